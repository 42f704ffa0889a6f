"""`scratchnet predict`: every form of input, every form of answer, and what is refused."""

import csv
import io
import json
import shutil
import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scratchnet import Affine, MeanSquaredError, MultiLayerNet, Network, Trainer, load, load_network
from scratchnet.cli import main
from scratchnet.data.preparation import Preparation

DIGITS = load("digits")
X, T = DIGITS.test.x, DIGITS.test.t
FOUR = Path(__file__).parents[2] / "docs" / "four.png"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    network = MultiLayerNet(64, [50], 10)
    list(Trainer(network, DIGITS.train, optimizer="adam", lr=0.01).run(10))
    network.save(folder / "net.npz")
    return folder / "net.npz"


@pytest.fixture
def model(trained, here):
    shutil.copy(trained, "net.npz")
    return "net.npz"


@pytest.fixture
def asked(model, capsys):
    """Ask about files; returns lines on stdout and the text on stderr."""

    def ask(*words, code=0):
        assert main(["predict", model, *map(str, words)]) == code
        said = capsys.readouterr()
        return said.out.splitlines(), said.err

    return ask


def expected(model, rows):
    network = load_network(model)
    return network.predict_classes(network.preparation.rows(rows))


def classes_in(lines):
    return [int(line.split("  ")[1]) for line in lines]


def write_csv(path, rows, head=None):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([*([head] if head else []), *rows])


PIXELS = [f"pixel{k}" for k in range(64)]
FORMS = {
    "x.npy": lambda p: np.save(p, X[:5]),
    "images.npy": lambda p: np.save(p, X[:5].reshape(-1, 8, 8)),
    "fortran.npy": lambda p: np.save(p, np.asfortranarray(X[:5])),
    "x.npz": lambda p: np.savez(p, x=X[:5]),
    "both.npz": lambda p: np.savez(p, x_train=X[5:], x_test=X[:5], t_test=T[:5]),
    "one.npz": lambda p: np.savez(p, anything=X[:5]),
    "scaled.npz": lambda p: np.savez(p, x=X[:5] / 16),
    "head.csv": lambda p: write_csv(p, X[:5], PIXELS),
    "bare.csv": lambda p: write_csv(p, X[:5]),
    "label.csv": lambda p: write_csv(
        p, [[t, *x] for t, x in zip(T[:5], X, strict=False)], ["label", *PIXELS]
    ),
    "last.csv": lambda p: write_csv(
        p, [[*x, t] for t, x in zip(T[:5], X, strict=False)], [*PIXELS, "digit"]
    ),
    "images-idx3-ubyte": lambda p: Path(p).write_bytes(
        struct.pack(">IIII", 0x803, 5, 8, 8) + X[:5].tobytes()
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_array_gets_the_same_classes(name, model, asked):
    FORMS[name](name)
    lines, said = asked(name)
    assert classes_in(lines) == expected(model, X[:5]).tolist()
    assert [line.split("  ")[0] for line in lines] == [f"{name}:{k}" for k in range(1, 6)]
    assert said == ""


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "label.csv", "images-idx3-ubyte"])
def test_standard_input_may_be_any_of_them(name, model, asked, monkeypatch):
    FORMS[name](name)
    stream = io.TextIOWrapper(io.BytesIO(Path(name).read_bytes()))
    monkeypatch.setattr(sys, "stdin", stream)
    lines, _ = asked("-")
    assert classes_in(lines) == expected(model, X[:5]).tolist()
    assert lines[0].startswith("-:1  ")


def test_rows_of_a_csv_are_called_as_its_first_column_calls_them(model, asked):
    write_csv("id.csv", [[f"r{k}", *X[k]] for k in range(3)], ["Id", *PIXELS])
    lines, _ = asked("id.csv")
    assert [line.split("  ")[0] for line in lines] == ["r0", "r1", "r2"]


def picture(path, digit, size=90, paper=255, turn=False, mode="L", box=(10, 20, 50, 50)):
    """A digit of the data set, drawn large somewhere on paper."""
    left, top, width, height = box
    row = X[np.flatnonzero(digit == T)[0]].reshape(8, 8) / 16
    large = np.asarray(
        Image.fromarray(row.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    )
    canvas = np.full((size, size), float(paper))
    canvas[top : top + height, left : left + width] += (-200 if paper > 100 else 200) * large
    made = Image.fromarray(canvas.clip(0, 255).astype(np.uint8)).convert(mode)
    made.save(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "tif", "pgm"])
def test_pictures_of_every_format_are_prepared(suffix, asked):
    picture(f"four.{suffix}", 4)
    lines, said = asked(f"four.{suffix}")
    assert classes_in(lines) == [4]
    assert said.count("note: pictures are prepared as the images of digits were") == 1


@pytest.mark.parametrize(
    "how",
    [
        {"paper": 0},
        {"mode": "RGB"},
        {"size": 200, "box": (120, 100, 60, 60)},
        {"size": 40, "box": (2, 1, 30, 30)},
        {"mode": "1"},
        {"mode": "P"},
    ],
    ids=str,
)
def test_where_a_digit_is_and_what_colour_it_has_makes_no_difference(how, asked):
    picture("six.png", 6, **how)
    assert classes_in(asked("six.png")[0]) == [6]


@pytest.mark.parametrize("ink", [0, 255])
def test_what_is_transparent_is_paper(ink, asked):
    picture("two.png", 2)
    grey = np.asarray(Image.open("two.png").convert("L"))
    pixels = np.full((*grey.shape, 4), ink, np.uint8)
    pixels[..., 3] = 255 - grey
    Image.fromarray(pixels, "RGBA").save("two.png")
    assert classes_in(asked("two.png")[0]) == [2]


def test_the_picture_that_the_readme_shows_is_a_four(asked):
    assert classes_in(asked(FOUR)[0]) == [4]


def test_pictures_as_they_are_must_have_the_size_of_the_network(asked):
    Image.fromarray((X[3].reshape(8, 8) * 15).astype(np.uint8)).save("small.png")
    lines, said = asked("small.png", "--as-is")
    assert classes_in(lines) == [T[3]]
    assert "taken as they are" in said
    picture("large.png", 4)
    _, said = asked("large.png", "--as-is", code=3)
    assert "leave out --as-is" in said


def test_images_of_another_size_in_an_array_are_prepared_too(asked):
    picture("four.png", 4)
    np.save("four.npy", np.asarray(Image.open("four.png"))[np.newaxis])
    lines, said = asked("four.npy")
    assert classes_in(lines) == [4]
    assert "prepared" in said


def test_a_large_picture_is_read_in_little_memory(asked):
    picture("huge.png", 4, size=6000, box=(2000, 1500, 2500, 2500))
    assert classes_in(asked("huge.png")[0]) == [4]


def test_a_line_that_is_nearly_level_takes_no_more_memory_than_others(asked):
    level = np.full((900, 1100), 255, np.uint8)
    for column in range(100, 1000):
        level[400 + column // 300 : 412 + column // 300, column] = 0
    Image.fromarray(level).save("dash.png")
    tracemalloc.start()
    asked("dash.png")
    assert tracemalloc.get_traced_memory()[1] < 2**27
    tracemalloc.stop()


def test_a_folder_of_classes_is_evaluated(asked):
    for digit in (0, 4, 6):
        Path(f"p/{digit}").mkdir(parents=True)
        picture(f"p/{digit}/a.png", digit)
        picture(f"p/{digit}/b.png", digit, paper=0)
    lines, _ = asked("p", "--evaluate")
    assert lines[-1].startswith("accuracy 1.0000 (6 of 6), 95 % interval 0.6097 to 1.0000")
    assert lines[0].split() == ["label", "\\", "taken", "for", *map(str, range(10))]
    assert lines[5].split() == ["4", "0", "0", "0", "0", "2", *["0"] * 5]
    lines, _ = asked("p", "--evaluate", "-q")
    assert len(lines) == 1
    lines, _ = asked("p", "--top", "2")
    assert lines[0].startswith("p/0/a.png  0  ")
    assert len(lines[0].split("  ")) == 5


def test_an_evaluation_is_that_of_the_data_set(model, asked):
    np.savez("t.npz", x=X, t=T)
    lines, _ = asked("t.npz", "--evaluate", "--page", "e.html")
    right = int((expected(model, X) == T).sum())
    assert lines[-2].startswith(f"accuracy {right / len(T):.4f} ({right} of {len(T)})")
    assert lines[-1] == "see e.html"
    html = Path("e.html").read_text()
    assert "Most confident mistakes" in html
    assert f"{right / len(T):.4f}" in html


def test_the_test_samples_of_a_data_set_are_asked_by_its_name(model, asked):
    lines, _ = asked("digits", "--evaluate", "-q")
    right = int((expected(model, X) == T).sum())
    assert lines == [line for line in lines if f"({right} of {len(T)})" in line]


def test_a_folder_of_idx_files_gives_its_test_samples(asked):
    Path("idx").mkdir()
    for name, x, t in (("train", X[:9], T[:9]), ("t10k", X[9:20], T[9:20])):
        Path(f"idx/{name}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 0x803, len(x), 8, 8) + x.tobytes()
        )
        Path(f"idx/{name}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 0x801, len(t)) + t.astype(np.uint8).tobytes()
        )
    lines, _ = asked("idx", "--evaluate", "-q")
    assert "of 11)" in lines[0]
    lines, _ = asked("idx/t10k-images-idx3-ubyte", "--evaluate", "-q")  # its labels lie beside it
    assert "of 11)" in lines[0]


def test_answers_as_json_and_as_tables(asked):
    np.save("x.npy", X[:4])
    lines, _ = asked("x.npy", "--json", "--top", "3", "--csv", "out.csv")
    found = [json.loads(line) for line in lines]
    assert [row["file"] for row in found] == [f"x.npy:{k}" for k in range(1, 5)]
    for row in found:
        assert len(row["top"]) == 3
        assert row["top"][0] == {"label": row["label"], "probability": row["probability"]}
        assert sum(each["probability"] for each in row["top"]) <= 1 + 1e-6
    with open("out.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["label"] for row in table] == [row["label"] for row in found]
    assert float(table[0]["probability_2"]) == pytest.approx(found[0]["top"][1]["probability"])
    asked("x.npy", "--csv", "kaggle.csv", "--kaggle")
    head, *rows = Path("kaggle.csv").read_text().splitlines()
    assert head == "ImageId,Label"
    assert rows == [f"{k + 1},{row['label']}" for k, row in enumerate(found)]


def test_what_the_network_saw_is_written(asked):
    picture("four.png", 4)
    asked("four.png", "--show", "seen")
    (path,) = Path("seen").iterdir()
    image = np.asarray(Image.open(path))
    assert image.shape == (8, 8)
    assert image.max() == 255


def test_a_picture_that_shows_nothing_is_told(asked):
    Image.new("L", (50, 50), 240).save("blank.png")
    _, said = asked("blank.png")
    assert "blank.png shows no ink" in said
    _, said = asked("blank.png", "-q")
    assert said == ""


def test_names_of_classes_are_said_and_known(here, capsys):
    network = MultiLayerNet(2, [3], 2)
    network.preparation = Preparation(class_names=("cat", "dog"))
    network.save("pets.npz")
    write_csv("pets.csv", [[0.5, 1, "dog"], [-2, 0, "cat"]], ["a", "b", "label"])
    assert main(["predict", "pets.npz", "pets.csv", "--evaluate", "--json"]) == 0
    said = capsys.readouterr()
    assert {json.loads(line)["label"] for line in said.out.splitlines()} <= {"cat", "dog"}
    assert "accuracy" in said.err
    write_csv("pets.csv", [[0.5, 1, "cow"]], ["a", "b", "label"])
    assert main(["predict", "pets.npz", "pets.csv", "--evaluate"]) == 3
    assert "the label 'cow', the network knows 'cat', 'dog'" in capsys.readouterr().err


FLOWERS = ["petal", "sepal"]


@pytest.fixture
def flowers(here, capsys):
    """A model of a table whose columns have names, the label first."""
    rng = np.random.default_rng(0)
    rows = [[("rose", "iris")[k % 2], *(rng.normal(size=2) + 4 * (k % 2))] for k in range(60)]
    write_csv("train.csv", rows, ["species", *FLOWERS])
    flags = ["--epochs", "60", "--batch-size", "8", "--lr", "0.01", "--quiet", "--no-report"]
    words = ["--dataset", "train.csv", "--label", "species", "--val-split", "0", "--out", "run"]
    assert main([*words, *flags]) == 0
    capsys.readouterr()
    return rows


@pytest.mark.parametrize("form", ["as it was", "turned round", "with others", "without labels"])
def test_columns_are_found_by_their_names(form, flowers, capsys):
    rows = [[petal, sepal] for _, petal, sepal in flowers]
    labels = [row[0] for row in flowers]
    if form == "as it was":
        name = "train.csv"
    else:
        name = "new.csv"
        pairs = zip(rows, labels, strict=True)
        made = {
            "turned round": ([[s, p, t] for (p, s), t in pairs], ["sepal", "petal", "species"]),
            "with others": (
                [["a word", p, 3, s, t] for (p, s), t in zip(rows, labels, strict=True)],
                ["flower_id", "petal", "year", "sepal", "species"],
            ),
            "without labels": ([[7, p, s] for p, s in rows], ["number", *FLOWERS]),
        }[form]
        write_csv(name, *made)
    assert main(["predict", "run", name, "--json"]) == 0
    found = [json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()]
    assert np.mean([a == b for a, b in zip(found, labels, strict=True)]) > 0.9
    if form != "without labels":
        assert main(["predict", "run", name, "--evaluate", "-q"]) == 0


def test_a_table_that_lacks_a_column_is_refused(flowers, capsys):
    write_csv("new.csv", [[1, 2]], ["petal", "sepals"])
    assert main(["predict", "run", "new.csv"]) == 3
    assert "it lacks 'sepal'" in capsys.readouterr().err
    write_csv("new.csv", [[1, 2, 3]], ["petal", "sepal", "sepal"])
    assert main(["predict", "run", "new.csv"]) == 3
    assert "one column 'sepal'" in capsys.readouterr().err


def test_a_network_for_values_says_them(here, capsys):
    network = Network([Affine(2, 1, rng=0)], MeanSquaredError())
    network.save("v.npz")
    np.save("x.npy", np.eye(2))
    assert main(["predict", "v.npz", "x.npy", "--csv", "v.csv"]) == 0
    said = capsys.readouterr().out.splitlines()
    np.testing.assert_allclose(
        [float(line.split("  ")[1]) for line in said], network.predict(np.eye(2))[:, 0], rtol=1e-5
    )
    assert Path("v.csv").read_text().startswith("file,value_1\n")
    assert main(["predict", "v.npz", "x.npy", "--evaluate"]) == 2
    assert main(["predict", "v.npz", "x.npy", "--kaggle", "--csv", "k.csv"]) == 2


def test_pictures_without_a_style_are_resized_alone(here, capsys):
    network = Network([Affine(12, 2, rng=0)], input_shape=(2, 2, 3))
    network.preparation = Preparation(1 / 255, 255.0, (2, 2, 3))
    network.save("c.npz")
    colours = (10, 200, 99)
    Image.new("RGB", (30, 17), colours).save("c.png")
    assert main(["predict", "c.npz", "c.png", "--show", "seen"]) == 0
    assert "resized to 2x2" in capsys.readouterr().err
    seen = np.asarray(Image.open(next(Path("seen").iterdir()))).astype(int)
    assert (seen == colours).all()


def test_a_network_of_grey_images_with_one_channel_is_shown_too(here):
    Network([Affine(12, 2, rng=0)], input_shape=(3, 4, 1)).save("g.npz")
    Image.new("RGB", (30, 17), (9, 9, 9)).save("c.png")
    assert main(["predict", "g.npz", "c.png", "--show", "seen"]) == 0
    assert np.asarray(Image.open(next(Path("seen").iterdir()))).shape == (3, 4)


WRONG = {
    "missing": (["nothing.png"], 3, "cannot read 'nothing.png'"),
    "empty": (["empty.npy"], 3, "an empty file"),
    "text": (["text.txt"], 3, "give pictures"),
    "pickle": (["objects.npy"], 3, "never unpickled"),
    "columns": (["narrow.csv"], 3, "has 3 columns of values, the network takes 64"),
    "shape": (["flat.npy"], 3, "must hold rows of 64 values"),
    "damaged picture": (["broken.png"], 3, "damaged picture"),
    "empty folder": (["folder"], 3, "holds no pictures"),
    "no labels": (["x.npy", "--evaluate"], 3, "has no label"),
    "nan": (["nan.npy"], 3, "finite"),
    "words": (["words.csv"], 3, "must hold numbers"),
    "top": (["x.npy", "--top", "0"], 2, "--top"),
    "page": (["x.npy", "--page", "e.html"], 2, "add --evaluate"),
    "kaggle": (["x.npy", "--kaggle"], 2, "add --csv"),
    "stdout": (["x.npy", "--csv", "-"], 2, "name of a file"),
    "flag": (["x.npy", "--tpo", "3"], 2, "did you mean --top"),
    "no place": (["x.npy", "--csv", "none/at/all.csv"], 4, "cannot write"),
    "label column": (["words.csv", "--label", "nope"], 3, "has no column 'nope'"),
}


@pytest.fixture
def wrong_files(model):
    np.save("x.npy", X[:2])
    np.save("flat.npy", np.zeros((3, 63)))
    np.save("nan.npy", np.full((2, 64), np.nan))
    np.save("objects.npy", np.array([{}]), allow_pickle=True)
    Path("empty.npy").touch()
    Path("text.txt").write_text("hello there\n")
    Path("broken.png").write_bytes(FOUR.read_bytes()[:300])
    Path("folder").mkdir()
    write_csv("narrow.csv", [[1, 2, 3]], ["a", "b", "c"])
    write_csv("words.csv", [["x"] * 64], PIXELS)


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_predicted_is_told_in_one_line(name, wrong_files, asked, capsys):
    words, code, part = WRONG[name]
    if code == 2 and name in ("top", "flag"):
        with pytest.raises(SystemExit) as ended:
            asked(*words)
        assert ended.value.code == 2
        said = capsys.readouterr().err
    else:
        _, said = asked(*words, code=code)
    assert part in said
    assert said.count("\n") == 1
    assert "Traceback" not in said


@pytest.mark.parametrize("what", ["nothing", "folder", "four"])
def test_what_is_no_model_is_told(what, here, capsys):
    path = {"nothing": "nothing", "folder": str(here), "four": str(FOUR)}[what]
    assert main(["predict", path, str(FOUR)]) == 3
    assert "Traceback" not in capsys.readouterr().err


def test_a_table_cannot_be_a_picture(here, capsys):
    MultiLayerNet(4, [3], 2).save("table.npz")
    assert main(["predict", "table.npz", str(FOUR)]) == 3
    assert "takes 4 values that are no image" in capsys.readouterr().err
