"""Models, pictures, tables and streams that mean harm, or come from a strange tool."""

import gzip
import io
import json
import os
import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scratchnet import Affine, GlobalAvgPool, MultiLayerNet, Network, load, load_network
from scratchnet.cli import main
from scratchnet.data.preparation import Preparation
from scratchnet.storage.archive import read_archive, write_archive

DIGITS = load("digits")
X, T = DIGITS.test.x[:6], DIGITS.test.t[:6]


@pytest.fixture
def model(here):
    network = MultiLayerNet(64, [5], 10)
    network.preparation = Preparation.of(DIGITS)
    network.save("net.npz")
    return "net.npz"


@pytest.fixture
def ask(model, capsys):
    """Ask; returns exit status, stdout and stderr."""

    def asked(*words):
        code = main(["predict", model, *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return asked


def refused(found, part, codes=(2, 3, 4, 5)):
    code, out, err = found
    assert code in codes
    assert out == ""
    assert err.count("\n") == 1
    assert part in err
    assert "Traceback" not in err


def thin(width, height, places, path):
    pixels = np.full((height, width), 255, np.uint8)
    for row, column in places:
        pixels[row, column] = 0
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize(
    ("width", "height", "places"),
    [(32768, 32, [(0, 100), (1, 101)]), (40000, 2, [(0, 3), (1, 39000)]), (1, 2**20, [(500, 0)])],
)
def test_a_thin_picture_takes_little_memory(width, height, places, ask):
    thin(width, height, places, "thin.png")
    tracemalloc.start()
    code, _, _ = ask("thin.png")
    assert code == 0
    assert tracemalloc.get_traced_memory()[1] < 2**28
    tracemalloc.stop()


def test_an_array_of_a_long_image_takes_little_memory(ask):
    np.save("long.npy", np.eye(2, 2**22, dtype=np.uint8)[np.newaxis])
    tracemalloc.start()
    assert ask("long.npy")[0] == 0
    assert tracemalloc.get_traced_memory()[1] < 2**28
    tracemalloc.stop()


def test_a_small_model_of_large_images_reads_few_pictures_at_a_time(here, capsys):
    network = Network([GlobalAvgPool(), Affine(1, 3)], input_shape=(2048, 2048, 1))
    network.save("large.npz")
    Path("p").mkdir()
    for k in range(40):
        Image.new("L", (1, 1), k).save(f"p/{k}.png")
    tracemalloc.start()
    assert main(["predict", "large.npz", "p"]) == 0
    assert tracemalloc.get_traced_memory()[1] < 2**30
    tracemalloc.stop()
    assert len(capsys.readouterr().out.splitlines()) == 40


@pytest.mark.parametrize("form", ["I;16.png", "I;16.tif", "I;16B.tif", "I;16.pgm"])
def test_pictures_of_16_bits_are_not_cut_off(form, ask):
    mode, suffix = form.rsplit(".", 1)
    grey = np.kron(X[0].reshape(8, 8) / 16, np.ones((9, 9)))
    canvas = np.pad(65535 * grey, 20).astype(np.uint16)
    if suffix == "pgm":
        head = f"P5\n{canvas.shape[1]} {canvas.shape[0]}\n65535\n".encode()
        Path("deep.pgm").write_bytes(head + canvas.astype(">u2").tobytes())
    else:
        raw = canvas.astype(">u2" if mode.endswith("B") else "<u2").tobytes()
        Image.frombytes(mode, canvas.shape[::-1], raw).save(f"deep.{suffix}")
    Image.fromarray((canvas >> 8).astype(np.uint8)).save("flat.png")
    _, out, _ = ask(f"deep.{suffix}")
    _, same, _ = ask("flat.png")
    assert out.split("  ")[1:] == same.split("  ")[1:]


def test_pictures_of_32_bits_are_refused(ask):
    Image.fromarray(np.zeros((9, 9), np.float32)).save("f.tif")
    refused(ask("f.tif"), "of 32 bits")


EVIL = "\x1b]0;own\x07\nforged.png  0  1.0000"


def test_no_name_controls_the_terminal_or_forges_a_line(model, capsys):
    network = load_network(model)
    names = tuple(f"{EVIL}{k}" for k in range(10))
    network.preparation = Preparation(1 / 16, 16.0, (8, 8), "digits", names)
    network.save("evil.npz")
    np.savez("t.npz", x=X, t=np.array([names[t] for t in T]))
    assert main(["predict", "evil.npz", "t.npz"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 6
    assert "\x1b" not in said.out + said.err
    assert main(["predict", "evil.npz", "t.npz", "--evaluate"]) == 0
    assert "\x1b" not in capsys.readouterr().out
    np.savez("t.npz", x=X, t=np.array(["other"] * 6))
    assert main(["predict", "evil.npz", "t.npz", "--evaluate"]) == 3
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "\x1b" not in error


def test_names_of_files_stay_on_their_line(ask):
    Path("p").mkdir()
    name = "p/a\nb.png  9  1.0.png"
    Image.new("L", (9, 9), 3).save("x.png")
    os.rename("x.png", name)
    code, out, err = ask("p")
    assert code == 0
    assert len(out.splitlines()) == 1
    assert len(err.splitlines()) == 2


def test_an_error_is_never_longer_than_a_screen(model, capsys):
    network = load_network(model)
    names = tuple("n" * 10**5 + str(k) for k in range(10))
    network.preparation = Preparation(class_names=names)
    network.save("long.npz")
    np.savez("t.npz", x=X, t=np.array(["q" * 10**5] * 6))
    assert main(["predict", "long.npz", "t.npz", "--evaluate"]) == 3
    assert len(capsys.readouterr().err) < 5000


ARRAYS = {
    "no rows": np.zeros((0, 64)),
    "no images": np.zeros((0, 28, 28)),
    "no pixels": np.zeros((5, 0, 3)),
    "two channels": np.zeros((2, 28, 28, 2)),
    "seven channels": np.zeros((2, 28, 28, 7)),
    "five dimensions": np.zeros((2, 2, 9, 9, 3)),
    "not finite images": np.full((2, 28, 28), np.nan),
    "one inf": np.where(np.arange(784).reshape(1, 28, 28) == 5, np.inf, 0.0),
    "complex": np.zeros((2, 64), complex),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_cannot_be_inputs_are_refused(name, ask):
    np.save("a.npy", ARRAYS[name])
    refused(ask("a.npy"), "a.npy")


LABELS = {
    "none": np.array(3),
    "empty": np.zeros((6, 0)),
    "no ones": np.zeros((6, 10)),
    "inf": np.full(6, np.inf),
    "too large": np.full(6, 1e300),
    "too few": np.zeros(5, int),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_that_are_none_are_refused(name, ask):
    np.savez("t.npz", x=X, t=LABELS[name])
    refused(ask("t.npz", "--evaluate"), "t.npz")


@pytest.mark.parametrize("labels", [T, T[:, np.newaxis], np.eye(10)[T], T.astype(float)])
@pytest.mark.parametrize("names", [("x", "y"), ("X", "y"), ("images", "labels"), ("x_test", "t")])
def test_labels_in_every_usual_form_and_under_every_usual_name_are_found(labels, names, ask):
    np.savez("t.npz", **{names[0]: X, names[1]: labels})
    code, out, _ = ask("t.npz", "--evaluate", "-q")
    assert code == 0
    assert "of 6)" in out


def stream(content, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_one_row_and_a_packed_file_come_through_standard_input(ask, monkeypatch):
    expected = ask_array(ask)
    stream((",".join(map(str, X[0])) + "\n").encode(), monkeypatch)
    assert ask("-")[1].split("  ")[1:] == expected
    idx = struct.pack(">IIII", 0x803, 1, 8, 8) + X[0].tobytes()
    stream(gzip.compress(idx), monkeypatch)
    assert ask("-")[1].split("  ")[1:] == expected


def ask_array(ask):
    np.save("one.npy", X[0])
    return ask("one.npy")[1].split("  ")[1:]


@pytest.mark.parametrize("content", [b"", b"hello\n", bytes(range(256)) * 40, b"\x1f\x8bno gzip"])
def test_a_stream_of_something_else_is_refused(content, ask, monkeypatch):
    stream(content, monkeypatch)
    refused(ask("-"), "error")


def test_a_closed_standard_input_is_refused(ask, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    refused(ask("-"), "standard input is closed")


def test_tables_that_begin_like_other_files_are_tables(here, capsys):
    MultiLayerNet(3, [2], 2).save("net.npz")
    for head in ("BMI,age,height", "PAR1,a,b", "[a],b,c"):
        Path("t.csv").write_text(f"{head}\n1,2,3\n")
        assert main(["predict", "net.npz", "t.csv"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 1


def test_names_that_count_are_no_row(ask):
    head = ",".join(map(str, range(64)))
    Path("t.csv").write_text("\n".join([head, *(",".join(map(str, x)) for x in X)]) + "\n")
    assert len(ask("t.csv")[1].splitlines()) == 6


@pytest.mark.parametrize("names", [["y", "id"], ["y", ""], ["id", "y"]])
def test_a_label_and_a_column_that_counts_may_both_be_there(names, ask):
    pixels = [f"p{k}" for k in range(64)]
    rows = []
    for k, (x, t) in enumerate(zip(X, T, strict=True)):
        more = {"y": t, "id": f"r{k}", "": f"r{k}"}
        rows.append([*x, *(more[name] for name in names)])
    lines = [",".join([*pixels, *names]), *(",".join(map(str, row)) for row in rows)]
    Path("t.csv").write_text("\n".join(lines) + "\n")
    code, out, err = ask("t.csv", "--evaluate")
    assert (code, err) == (0, "")
    assert "of 6)" in out


def test_no_link_in_the_folder_of_a_run_is_followed(here, capsys):
    assert main(["--epochs", "1", "--quiet", "--no-report", "--out", "run"]) == 0
    Path("victim").write_text("precious")
    for words, target in (
        (["draw", "run"], "draw.html"),
        (["export", "run", "--to", "json"], "weights.json"),
        (["export", "run", "--to", "onnx"], "weights.onnx"),
        (["export", "run", "--to", "torch"], "weights.safetensors"),
    ):
        Path("run", target).symlink_to("../victim")
        assert main(words) == 4
        assert "is a link" in capsys.readouterr().err
        Path("run", target).unlink()
    assert Path("victim").read_text() == "precious"


@pytest.mark.parametrize(
    "words",
    [
        ["draw", "net.npz", "--out", "net.npz"],
        ["export", "net.npz", "--to", "json", "--out", "net.npz"],
        ["predict", "net.npz", "x.npy", "--csv", "net.npz"],
        ["predict", "net.npz", "x.npy", "--evaluate", "--page", "net.npz"],
    ],
)
def test_the_model_is_never_overwritten(words, model, capsys):
    np.save("x.npy", X)
    before = Path(model).read_bytes()
    assert main(words) == 4
    assert "is the model itself" in capsys.readouterr().err
    assert Path(model).read_bytes() == before


def test_every_picture_that_was_seen_has_a_file_of_its_own(ask):
    np.save("x.npy", np.random.default_rng(0).random((5, 20, 20)))
    for place in ("a/c", "b/c"):
        Path(place).mkdir(parents=True)
        for name in ("1.png", "1.bmp"):
            Image.new("L", (9, 9), 200).save(f"{place}/{name}")
    assert ask("x.npy", "a", "b", "--show", "seen", "-q")[0] == 0
    assert len(list(Path("seen").iterdir())) == 9


def test_numbers_that_are_not_finite_are_no_answer(model, capsys):
    network = load_network(model)
    network.vector[:] = 1e38
    network.save("huge.npz")
    np.save("x.npy", X)
    with np.errstate(all="ignore"):
        assert main(["predict", "huge.npz", "x.npy", "--json"]) == 5
    said = capsys.readouterr()
    assert said.out == ""
    assert "not finite" in said.err


@pytest.mark.parametrize("value", [1e308, 1e39, 10**50, 1e-308, 0, -1, None, "1", True])
@pytest.mark.parametrize("name", ["scale", "white"])
def test_a_scale_that_float32_cannot_hold_is_refused(name, value, model, capsys):
    arrays, header = read_archive(model)
    header["preparation"] |= {name: value}
    write_archive("odd.npz", arrays, header)
    np.save("x.npy", X)
    assert main(["predict", "odd.npz", "x.npy"]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_a_file_of_very_many_layers_is_refused_quickly(model, capsys):
    Network([Affine(3, 2)]).save("deep.npz")
    arrays, header = read_archive("deep.npz")
    header["network"]["layers"] += [{"class": "ReLU"}] * 20_000
    write_archive("deep.npz", arrays, header)
    np.save("x.npy", np.zeros((1, 3)))
    assert main(["predict", "deep.npz", "x.npy"]) == 3
    assert "20,001 layers" in capsys.readouterr().err


def test_the_page_of_a_run_whose_log_was_cut_is_not_written(here, capsys):
    assert main(["--epochs", "3", "--quiet", "--out", "run"]) == 0
    log, page = Path("run/history.log"), Path("run/report.html")
    content, before = log.read_bytes(), page.read_bytes()
    for damaged in (content[: len(content) // 2], b"", content[:-9] + b"x" * 9):
        log.write_bytes(damaged)
        assert main(["report", "run"]) == 3
        assert "history.log" in capsys.readouterr().err
        assert page.read_bytes() == before


@pytest.mark.parametrize(
    "change", [{"data_dir": [[1]]}, {"data_dir": 10**30}, {"dtype": {"a": 1}}, {"hidden": None}]
)
def test_the_page_of_a_run_with_strange_options_is_an_error(change, here, capsys):
    assert main(["--epochs", "1", "--quiet", "--no-report", "--out", "run"]) == 0
    path = Path("run/config.json")
    config = json.loads(path.read_text())
    config["arguments"] |= change
    path.write_text(json.dumps(config))
    assert main(["report", "run"]) in (0, 2, 3)
    assert "Traceback" not in capsys.readouterr().err


def test_runs_that_are_no_training_have_no_page_to_write_again(here, capsys):
    assert main(["surface", "beale", "sgd", "--steps", "3", "--out", "s", "--no-report"]) == 0
    assert main(["report", "s"]) == 3
    assert "paths on a surface" in capsys.readouterr().err
