"""The ways in which data arrive: each is read right, or refused by what it is and its cure.

The table also runs for people: `python -m pytest tests/data/test_forms.py -v`.
"""

import gzip
import json
import os
import pickle
import sqlite3
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scratchnet import DataWarning, Trainer, TwoLayerNet, load
from scratchnet.data.idx import header
from scratchnet.errors import DataError, ParameterError, ScratchnetError

RNG = np.random.default_rng(0)
N, K = 120, 4
T = np.arange(N) % K
IMAGES = RNG.integers(0, 90, (N, 8, 8), dtype=np.uint8)
IMAGES[np.arange(N), T, 3] = 255
WORDS = np.array(["ant", "bee", "cat", "dog"])


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def text(path, content, encoding="utf-8"):
    path.write_bytes(content.encode(encoding))
    return path


def csv(path, *, names=None, labels=T, rows=None, sep=",", **options):
    rows = IMAGES.reshape(N, -1) if rows is None else rows
    names = names or ["label", *(f"pixel{k}" for k in range(rows.shape[1]))]
    lines = [sep.join(names)]
    lines += [sep.join(map(str, [t, *row])) for t, row in zip(labels, rows.tolist(), strict=True)]
    return text(path, "\n".join(lines) + "\n", **options)


def idx_set(folder, prefix="", test="t10k", images=IMAGES, labels=T, packed=False):
    folder.mkdir(exist_ok=True)
    for part, rows in (("train", slice(0, 80)), (test, slice(80, None))):
        for kind, array in (("images-idx3", images[rows]), ("labels-idx1", labels[rows])):
            content = header(array.shape) + array.astype(np.uint8).tobytes()
            name = f"{prefix}{part}-{kind}-ubyte"
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


def pictures(folder, suffix=".png", images=IMAGES, parts=("",), mode=None):
    for k in range(N):
        place = folder / parts[k * len(parts) // N] / str(WORDS[T[k]])
        place.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(images[k])
        (picture if mode is None else picture.convert(mode)).save(place / f"{k:03}{suffix}")
    return folder


def emnist(folder):
    idx_set(folder, "emnist-letters-", "test", IMAGES.transpose(0, 2, 1), T + 1, packed=True)
    text(folder / "emnist-letters-mapping.txt", "".join(f"{k + 1} {65 + k} 97\n" for k in range(K)))
    return folder


READ = {
    "npz of bytes": lambda f: save(f / "a.npz", x=IMAGES, t=T),
    "npz of Keras": lambda f: save(
        f / "mnist.npz", x_train=IMAGES[:80], y_train=T[:80], x_test=IMAGES[80:], y_test=T[80:]
    ),
    "npz, packed": lambda f: (np.savez_compressed(f / "a.npz", x=IMAGES, t=T), f / "a.npz")[1],
    "npz of floats 0..1": lambda f: save(f / "a.npz", x=IMAGES / 255, t=T),
    "npz in Fortran order": lambda f: save(f / "a.npz", x=np.asfortranarray(IMAGES), t=T),
    "npz, big-endian": lambda f: save(f / "a.npz", x=(IMAGES / 255).astype(">f4"), t=T),
    "npz, float labels": lambda f: save(f / "a.npz", x=IMAGES, t=T.astype(float)),
    "npz, labels as a column": lambda f: save(f / "a.npz", x=IMAGES, t=T[:, None]),
    "npz, one-hot floats": lambda f: save(f / "a.npz", x=IMAGES, t=np.eye(K)[T]),
    "npz, one-hot booleans": lambda f: save(f / "a.npz", x=IMAGES, t=np.eye(K, dtype=bool)[T]),
    "npz, words": lambda f: save(f / "a.npz", x=IMAGES, t=WORDS[T]),
    "npz, byte words": lambda f: save(f / "a.npz", x=IMAGES, t=WORDS[T].astype("S3")),
    "npz of booleans": lambda f: save(f / "a.npz", x=IMAGES > 127, t=T),
    "npz of bits as bytes": lambda f: save(f / "a.npz", x=(IMAGES > 127).astype(np.uint8), t=T),
    "csv of Kaggle's digits": lambda f: csv(f / "train.csv"),
    "csv, label last": lambda f: csv(
        f / "a.csv",
        names=["q", *(f"x{k}" for k in range(63)), "y"],
        labels=IMAGES[:, 0, 0],
        rows=np.column_stack([IMAGES.reshape(N, -1)[:, 1:], T]),
    ),
    "csv of Excel in German": lambda f: csv(f / "a.csv", sep=";", encoding="utf-8-sig"),
    "tsv": lambda f: csv(f / "a.tsv", sep="\t"),
    "csv without a suffix": lambda f: csv(f / "data"),
    "csv of Windows": lambda f: text(
        f / "a.csv", csv(f / "b.csv").read_text().replace("\n", "\r\n")
    ),
    "csv of floats": lambda f: csv(f / "a.csv", rows=IMAGES.reshape(N, -1) / 255),
    "csv, words": lambda f: csv(f / "a.csv", labels=WORDS[T]),
    "csv, quoted": lambda f: csv(f / "a.csv", labels=[f'"{word}, a"' for word in WORDS[T]]),
    "csv with the index of pandas": lambda f: csv(
        f / "a.csv",
        names=["", "label", *(f"x{k}" for k in range(64))],
        labels=range(N),
        rows=np.column_stack([T, IMAGES.reshape(N, -1)]),
    ),
    "folder of IDX": lambda f: idx_set(f / "set"),
    "folder of packed IDX": lambda f: idx_set(f / "set", packed=True),
    "EMNIST's letters": lambda f: emnist(f / "gzip"),
    "EMNIST by its prefix": lambda f: emnist(f / "gzip") / "emnist-letters",
    "folder of PNG": lambda f: pictures(f / "set"),
    "folder of train and test": lambda f: pictures(f / "set", parts=("train", "test")),
    "folder of train and val": lambda f: pictures(f / "set", parts=("train", "val")),
    "folder of train alone": lambda f: pictures(f / "set", parts=("train",)),
    "folder of BMP": lambda f: pictures(f / "set", ".bmp"),
    "folder of TIFF": lambda f: pictures(f / "set", ".TIF"),
    "folder of PGM": lambda f: pictures(f / "set", ".pgm"),
    "folder of 16-bit PNG": lambda f: pictures(f / "set", images=IMAGES.astype(np.uint16) << 8),
}
"""What is read, to the right samples in the right classes."""
NAMED = {"npz, words", "npz, byte words", "csv, words", "folder of PNG", "EMNIST's letters"}
QUOTED = {"csv, quoted": [f"{word}, a" for word in WORDS]}


@pytest.mark.parametrize("form", READ)
def test_what_arrives_is_read_right(form, tmp_path):
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        found = load(READ[form](tmp_path))
    assert found.classes == K
    assert len(found.train) + len(found.test) == N
    for part in found:
        x, t = part[:]
        assert x.shape[1] == 64
        assert 0.99 < x.max() <= 1.0
        np.testing.assert_array_equal(x.reshape(-1, 8, 8)[:, :4, 3].argmax(axis=1), t)
    if form in NAMED or form.startswith("folder of PNG"):
        assert len(set(found.class_names)) == K
    if form in QUOTED:
        assert list(found.class_names) == QUOTED[form]
    if form.startswith("EMNIST"):
        assert found.class_names == ("A", "B", "C", "D")


def test_pictures_in_colour_keep_it(tmp_path):
    found = load(pictures(tmp_path / "set", mode="RGB"))
    assert found.image_shape == (8, 8, 3)
    assert found.train.x.shape[1] == 192
    with_alpha = load(pictures(tmp_path / "other", images=np.stack([IMAGES] * 4, axis=-1)))
    assert with_alpha.digest == found.digest


def test_pixels_of_a_csv_are_images(tmp_path):
    assert load(csv(tmp_path / "a.csv")).image_shape == (8, 8)
    assert load(csv(tmp_path / "a.csv")).train.x.dtype == np.uint8
    assert load(csv(tmp_path / "a.csv", rows=IMAGES.reshape(N, -1)[:, :9])).image_shape is None


def test_the_column_of_the_labels_can_be_named(tmp_path):
    path = csv(tmp_path / "a.csv", names=["kind", *(f"x{k}" for k in range(64))], labels=WORDS[T])
    assert load(path, label="kind").class_names == tuple(WORDS)
    assert load(path, label="KIND").class_names == tuple(WORDS)
    with pytest.raises(DataError, match="no column 'kin'; did you mean 'kind'"):
        load(path, label="kin")
    with pytest.raises(ParameterError, match="label names a column of a CSV"):
        load("digits", label="kind")
    with pytest.raises(ParameterError, match="label names a column of a CSV"):
        load(save(tmp_path / "a.npz", x=IMAGES, t=T), label="kind")


def test_classes_that_are_numbers_keep_their_order_and_their_names(tmp_path):
    found = load(csv(tmp_path / "a.csv", labels=np.array([10, -1, 9, 100000])[T]))
    assert found.class_names == ("-1", "9", "10", "100000")


def sqlite(path):
    with sqlite3.connect(path) as made:
        made.execute("create table a (b)")
    made.close()
    return path


def zipped(path, name="a.txt"):
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(name, "x")
    return path


def tarred(path):
    with tarfile.open(path, "w") as made:
        made.add(__file__, "a")
    return path


def raw(path, content):
    path.write_bytes(content)
    return path


def holed(path, cell, row=3, column=2):
    rows = IMAGES.reshape(N, -1).astype(str).astype(object)
    rows[row, column] = cell
    return csv(path, rows=rows)


REFUSED = {
    "nothing there": (lambda f: f / "a.csv", "No such file.*give a .csv"),
    "an empty file": (lambda f: raw(f / "a.csv", b""), "empty file"),
    "an empty folder": (lambda f: f, "needs the four files.*folder for each class"),
    "HDF5": (lambda f: raw(f / "a.h5", b"\x89HDF\r\n\x1a\n"), "an HDF5 file; h5py.File.*np.savez"),
    "MATLAB": (lambda f: raw(f / "a.mat", b"MATLAB 5.0 MAT-file"), "MATLAB.*loadmat.*np.savez"),
    "Parquet": (lambda f: raw(f / "a.parquet", b"PAR1"), "Parquet.*read_parquet.*to_csv"),
    "Arrow": (lambda f: raw(f / "a.feather", b"ARROW1\0\0"), "Arrow.*read_feather.*to_csv"),
    "SQLite": (lambda f: sqlite(f / "a.db"), "SQLite.*read_sql"),
    "Excel": (lambda f: zipped(f / "a.xlsx"), "Excel.*read_excel.*to_csv"),
    "PyTorch": (lambda f: zipped(f / "a.pt"), "PyTorch.*torch.load.*np.savez"),
    "a zip": (lambda f: zipped(f / "a.zip"), "a zip archive; unpack it first"),
    "a tar": (lambda f: tarred(f / "a.tar"), "a tar archive; unpack"),
    "gzip": (lambda f: raw(f / "a.csv.gz", gzip.compress(b"a,b\n")), "gzip; .*gunzip"),
    "a pickle": (lambda f: raw(f / "batch_1", pickle.dumps({})), "pickle.*only if you trust"),
    "one .npy": (lambda f: (np.save(f / "x.npy", IMAGES), f / "x.npy")[1], "np.load.*np.savez"),
    "JSON": (lambda f: text(f / "a.json", json.dumps([{"a": 1}])), "JSON.*read_json.*to_csv"),
    "ARFF": (lambda f: text(f / "a.arff", "@RELATION iris\n"), "ARFF.*loadarff"),
    "LIBSVM": (lambda f: text(f / "a.txt", "1 1:0.5 7:2\n"), "LIBSVM.*load_svmlight_file"),
    "one picture": (lambda f: raw(f / "a.png", b"\x89PNG\r\n\x1a\n"), "PNG picture; give a .csv"),
    "a web page": (lambda f: text(f / "a.npz", "<!doctype html>"), "looks like HTML"),
    "csv in UTF-16": (lambda f: csv(f / "a.csv", encoding="utf-16"), "UTF-16.*|UTF-8"),
    "csv in Latin-1": (lambda f: csv(f / "a.csv", labels=["é"] * N, encoding="latin-1"), "UTF-8"),
    "csv without a header": (lambda f: text(f / "a.csv", "5,0,1\n4,0,2\n"), "names of the columns"),
    "csv of one column": (lambda f: text(f / "a.csv", "label\n1\n"), "at least two columns"),
    "csv without rows": (lambda f: text(f / "a.csv", "label,x\n"), "must have rows"),
    "csv, an empty cell": (lambda f: holed(f / "a.csv", ""), "'pixel2'.*empty cell at row 4; fill"),
    "csv, a word": (lambda f: holed(f / "a.csv", "n/a"), "'pixel2'.*'n/a' at row 4; number"),
    "csv, nan": (lambda f: holed(f / "a.csv", "nan"), "x has NaN at row 3, column 2"),
    "csv, short row": (lambda f: text(f / "a.csv", "label,x,y\n0,1,2\n1,2\n"), "as many cells"),
    "csv, long row": (lambda f: text(f / "a.csv", "label,x\n0,1\n1,2,3\n"), "as many cells"),
    "csv, empty label": (lambda f: csv(f / "a.csv", labels=["", *WORDS[T[1:]]]), "row 1 has none"),
    "csv of values": (lambda f: csv(f / "a.csv", labels=RNG.normal(size=N)), "must hold classes"),
    "csv, ids as labels": (lambda f: csv(f / "a.csv", labels=range(N)), "name the column"),
    "csv, label twice": (
        lambda f: text(f / "a.csv", "label,x,label\n0,1,2\n"),
        "one column 'label', it has 2",
    ),
    "identifiers": (lambda f: save(f / "a.npz", x=IMAGES, t=T * 100000), "np.unique"),
    "values": (lambda f: save(f / "a.npz", x=IMAGES, t=RNG.normal(size=(N, 3))), "or one-hot"),
    "swapped": (lambda f: save(f / "a.npz", x=T, t=IMAGES), "are they swapped"),
    "transposed": (lambda f: save(f / "a.npz", x=IMAGES.reshape(N, -1).T, t=T), "transposed?"),
    "objects": (lambda f: save(f / "a.npz", x=IMAGES, t=T.astype(object)), "only numbers are read"),
    "pictures of two sizes": (
        lambda f: (pictures(f / "s"), Image.new("L", (9, 8)).save(f / "s/ant/x.png"), f / "s")[2],
        "of one size, .*is 8x8.*is 9x8; resize",
    ),
    "a damaged picture": (
        lambda f: (pictures(f / "s"), raw(f / "s/ant/000.png", b"\x89PNG\r\n\x1a\nx"), f / "s")[2],
        "000.png.*(damaged|no picture)",
    ),
    "several parts of EMNIST": (
        lambda f: (emnist(f / "g"), idx_set(f / "g", "emnist-mnist-", "test"), f / "g")[2],
        "holds several data sets; give one of .*emnist-letters",
    ),
}
"""What is refused, with words that name it and its cure."""


@pytest.mark.parametrize("form", REFUSED)
def test_what_cannot_be_read_is_named_with_its_cure(form, tmp_path):
    make, words = REFUSED[form]
    path = make(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ScratchnetError, match=words):
            load(path)


DOUBTFUL = {
    "pixels as integers": (IMAGES.astype(np.int64), T, "from 0 to 255.*divide by 255"),
    "pixels as floats": (IMAGES.astype(np.float32), T, "from 0 to 255.*divide by 255"),
    "pixels divided twice": (IMAGES / 255 / 255, T, "differ by little"),
    "one wide column": (np.c_[IMAGES.reshape(N, -1) / 255, 1e6 * T], T, "unevenly, column 64 by"),
    "years": (np.c_[2000 + RNG.random(N), RNG.random(N)], T, "from .* to 200.; networks"),
    "labels from 1": (IMAGES / 255, T + 1, "class 0, of 5 classes; .*count from 1"),
    "an unused class": (IMAGES / 255, np.where(T == 2, 4, T), "class 2, of 5"),
    "one class": (IMAGES / 255, np.ones(N, int), "every label is 1"),
    "one sample again and again": (np.ones((N, 5)), T, "same values in every row"),
}
"""What is read and trained on, with one warning."""


@pytest.mark.parametrize("form", DOUBTFUL)
def test_what_is_doubtful_is_said_once(form):
    x, t, words = DOUBTFUL[form]
    network = TwoLayerNet(x[0].size, 5, int(t.max()) + 1)
    with pytest.warns(DataWarning, match=words) as caught:
        Trainer(network, (x, t))
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_what_a_network_normalizes_first_may_lie_anywhere():
    network = TwoLayerNet(64, 5, K, standardize="features")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Trainer(network, (IMAGES.astype(float), T))
        network.loss(IMAGES.astype(float), T)


def test_bytes_that_do_not_go_to_255_are_divided_by_what_they_go_to(tmp_path):
    dark = IMAGES // 16
    with pytest.warns(DataWarning, match="bytes from 0 to 15, divided by 15"):
        found = load(save(tmp_path / "a.npz", x=dark, t=T))
    assert found.train[:][0].max() == 1.0


def test_parts_of_two_scales_are_told_apart(tmp_path):
    path = save(
        tmp_path / "a.npz",
        x_train=IMAGES[:80] / 255,
        t_train=T[:80],
        x_test=IMAGES[80:].astype(float),
        t_test=T[80:],
    )
    with pytest.warns(DataWarning, match="from 0 to 1, x of the test samples from 0 to 255"):
        load(path)
    network = TwoLayerNet(64, 5, K)
    with pytest.warns(DataWarning, match="x of the validation samples from 0 to 255"):
        Trainer(network, (IMAGES / 255, T), (IMAGES.astype(float), T))


def test_the_look_reads_a_few_rows_and_no_more(monkeypatch):
    seen = []
    real = np.ndarray.astype

    class Watched(np.ndarray):
        def astype(self, *args, **kwargs):
            seen.append(len(self))
            return real(np.asarray(self), *args, **kwargs)

    from scratchnet.data import Samples, look

    samples = Samples(np.zeros((5000, 3), np.float32) + np.arange(3), np.arange(5000) % 2)
    samples.x = samples.x.view(Watched)
    look.look_at(samples, 2)
    assert seen
    assert max(seen) <= look.ROWS


def test_pictures_without_pillow_say_what_to_install(tmp_path, monkeypatch):
    folder = pictures(tmp_path / "set")
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ParameterError, match=r"need Pillow: pip install 'scratchnet\[images\]'"):
        load(folder)


def test_too_many_pixels_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    folder = pictures(tmp_path / "set")
    monkeypatch.setattr("scratchnet.data.pictures.MAX_BYTES", N * 64 - 1)
    with pytest.raises(DataError, match=f"{N} pictures of 8x8 are {N * 64} bytes, over the limit"):
        load(folder)


def test_a_long_csv_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = csv(tmp_path / "a.csv")
    monkeypatch.setattr("scratchnet.data.csv.MAX_BYTES", os.path.getsize(path) - 1)
    with pytest.raises(DataError, match="over the limit of"):
        load(path)


def test_the_page_has_every_form():
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
    missing = [form for form in (*READ, *REFUSED, *DOUBTFUL) if f"| {form} | " not in page]
    assert missing == [], "make docs"
