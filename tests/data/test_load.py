"""Data sets by name, by folder and by file: what is loaded, verified and refused."""

import gzip
import os
import pathlib
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

import scratchnet.data.sets as data
from scratchnet.data import DATASETS, Dataset, Samples, load
from scratchnet.data.download import RemoteFile, Source
from scratchnet.data.idx import header
from scratchnet.data.paths import IDX_NAMES
from scratchnet.data.sets import Published
from scratchnet.errors import DataError, ParameterError, ShapeError

ROOT = pathlib.Path(__file__).parents[2]
RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def pixels(n=60, width=12, classes=3):
    """Samples whose pixels tell their row, so that mixed-up rows are seen."""
    x = (np.arange(n)[:, None] * 7 + np.arange(width)).astype(np.uint8)
    return Samples(x, np.arange(n) % classes, scale=1 / 255)


def test_digits_are_split_80_to_20_by_class_and_seed(digits):
    train, test = digits
    assert (len(train), len(test)) == (1437, 360)
    assert train.x.dtype == np.uint8
    assert train.x.max() == 16
    assert train[:][0].max() == 1.0
    assert digits.classes == 10
    assert digits.image_shape == (8, 8)
    assert np.ptp(np.bincount(test.t)) <= 2
    assert load("digits", seed=0).digest == digits.digest
    assert load("digits", seed=1).digest != digits.digest


@pytest.mark.parametrize("name", ["Digits", "DIGITS", " digits "])
def test_the_case_of_a_name_does_not_matter(name, digits):
    assert load(name).digest == digits.digest


def test_the_digest_tells_any_change_of_content_and_no_change_of_name():
    train, test = pixels(), pixels(6)
    one = Dataset("one", train, test, 3)
    assert re.fullmatch("[0-9a-f]{64}", one.digest)
    assert Dataset("two", train, test, 3).digest == one.digest
    x = train.x.copy()
    x[5, 5] ^= 1
    changed = [
        Samples(x, train.t, train.scale),
        Samples(train.x, train.t[::-1], train.scale),
        Samples(train.x, train.t, 1.0),
        Samples(train.x.astype(np.float32), train.t, train.scale),
        Samples(train.x[:30], train.t[:30], train.scale),
    ]
    digests = {Dataset("one", other, test, 3).digest for other in changed}
    assert len(digests | {one.digest}) == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"test": pixels(5, width=11)}, "train has 12 features, test has 11"),
        ({"classes": 2}, "label 2 at row 2 of train, but the labels of 2 classes are 0..1"),
        ({"image_shape": (3, 5)}, "image_shape (3, 5) does not fit 12"),
    ],
)
def test_the_parts_of_a_data_set_must_fit(options, words):
    with pytest.raises(ShapeError, match=re.escape(words)):
        Dataset(**{"name": "n", "train": pixels(), "test": pixels(), "classes": 3, **options})


def test_a_data_set_and_the_table_cannot_be_changed(digits):
    with pytest.raises(FrozenInstanceError):
        digits.name = "other"
    with pytest.raises(TypeError):
        DATASETS["mine"] = None


# load


def idx_arrays(seed=3):
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 256, (20, 4, 3), dtype=np.uint8),
        (np.arange(20) % 5).astype(np.uint8),
        rng.integers(0, 256, (10, 4, 3), dtype=np.uint8),
        (np.arange(10) % 5).astype(np.uint8),
    ]


def idx_bytes(array):
    return header(array.shape) + array.tobytes()


def write_set(folder, arrays=None, *, packed=True, dotted=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(IDX_NAMES, arrays or idx_arrays(), strict=True):
        content = idx_bytes(array)
        spelling = name.replace("-idx", ".idx") if dotted else name
        path = folder / (spelling + ".gz" * packed)
        path.write_bytes(gzip.compress(content, mtime=0) if packed else content)


def published(*, unpacked=True, arrays=None):
    """A loader as for MNIST, of the small arrays."""
    import hashlib

    files = []
    for name, array in zip(IDX_NAMES, arrays or idx_arrays(), strict=True):
        content = idx_bytes(array)
        sums = [hashlib.sha256(b).hexdigest() for b in (gzip.compress(content, mtime=0), content)]
        files.append(RemoteFile(f"{name}.gz", sums[0], None, sums[1] if unpacked else None))
    return Published("tiny", Source(("http://127.0.0.1:1/",), tuple(files)), classes=5)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dotted", [True, False])
def test_a_folder_of_four_idx_files_is_a_data_set(tmp_path, packed, dotted):
    write_set(tmp_path, packed=packed, dotted=dotted)
    found = load(str(tmp_path))
    arrays = idx_arrays()
    np.testing.assert_array_equal(found.train.x, arrays[0].reshape(20, 12))
    np.testing.assert_array_equal(found.train.t, arrays[1])
    np.testing.assert_array_equal(found.test.x, arrays[2].reshape(10, 12))
    np.testing.assert_array_equal(found.test.t, arrays[3])
    assert found.train.x.dtype == np.uint8
    assert found.train.scale == found.test.scale == 1 / 255
    assert found.classes == 5
    assert found.image_shape == (4, 3)


def test_paths_are_told_from_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_set(tmp_path / "plain")
    write_set(tmp_path / "digits", idx_arrays(4))
    assert load("plain").classes == 5
    assert load("./digits").classes == 5
    assert load(pathlib.Path("digits")).classes == 5
    assert load("digits").classes == 10  # a known name is a name, whatever lies about
    with pytest.raises(DataError, match=r"cannot read 'mine.npz': No such file .* give a .csv"):
        load("mine.npz")
    with pytest.raises(DataError, match="No such file"):
        load("sub/folder")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mnits", "unknown data set 'mnits'; did you mean 'mnist'?"),
        ("", "unknown data set ''"),
        ("cifar10", f"the names are: {', '.join(DATASETS)}"),
        (None, "must be one of the names"),
        (3, "must be one of the names"),
    ],
)
def test_b05_an_unknown_name_is_answered_with_the_nearest_and_the_list(name, words):
    with pytest.raises(ParameterError, match=re.escape(words)):
        load(name)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "KMNIST"])
def test_missing_files_are_answered_with_where_what_and_how(tmp_path, name):
    home = tmp_path / "my data"
    write_set(home)
    (home / f"{IDX_NAMES[3]}.gz").unlink()
    with pytest.raises(DataError) as caught:
        load(name, home=home)
    message, plain = str(caught.value), name.lower()
    assert "\n" not in message
    assert all(stem in message for stem in IDX_NAMES)
    assert f"{str(home / plain)!r} (no such folder)" in message
    assert f"{str(home)!r} (no {IDX_NAMES[3]})" in message
    assert f"python -m scratchnet.data {plain} --to '{home / plain}'" in message


def test_the_usual_home_is_named_by_its_short_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCRATCHNET_DATA", raising=False)
    with pytest.raises(DataError, match=r"scratchnet\.data mnist --to datasets/mnist$"):
        load("mnist")


def test_files_are_looked_for_in_home_name_then_home_by_argument_variable_and_default(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "DATASETS", {"tiny": published()})
    monkeypatch.delenv("SCRATCHNET_DATA", raising=False)

    def found_in(folder, **options):
        write_set(tmp_path / folder)
        assert load("tiny", **options).classes == 5
        (tmp_path / folder / f"{IDX_NAMES[0]}.gz").write_bytes(b"")
        with pytest.raises(DataError, match=re.escape(str(pathlib.Path(folder) / IDX_NAMES[0]))):
            load("tiny", **options)

    found_in("datasets")
    found_in("datasets/tiny")
    monkeypatch.setenv("SCRATCHNET_DATA", "variable")
    found_in("variable")
    found_in("variable/tiny")
    found_in("argument", home="argument")
    found_in("argument/tiny", home="argument")


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("which", range(4))
def test_b26_a_corrupted_mnist_file_is_refused(tmp_path, packed, which):
    arrays = idx_arrays()
    loader = published()
    write_set(tmp_path / "tiny", packed=packed)
    assert loader(tmp_path, 0).classes == 5
    arrays[which].flat[7] ^= 1
    write_set(tmp_path / "tiny", arrays, packed=packed)
    with pytest.raises(DataError) as caught:
        loader(tmp_path, 0)
    message = str(caught.value)
    assert IDX_NAMES[which] in message
    assert f"expected SHA-256 {loader.source.files[which].unpacked}, found " in message
    assert "fetch it with python -m scratchnet.data tiny" in message


def test_b26_a_half_written_file_is_refused(tmp_path):
    write_set(tmp_path)
    path = tmp_path / f"{IDX_NAMES[0]}.gz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"ended after .* delete it and download it again"):
        published()(tmp_path, 0)


def test_without_published_unpacked_sums_the_gz_is_verified(tmp_path):
    loader = published(unpacked=False)
    write_set(tmp_path / "tiny")
    assert loader(tmp_path, 0).classes == 5
    write_set(tmp_path / "tiny", idx_arrays(4))
    with pytest.raises(DataError, match=f"expected SHA-256 {loader.source.files[0].sha256}"):
        loader(tmp_path, 0)
    write_set(tmp_path / "plain/tiny", idx_arrays(4), packed=False)
    assert loader(tmp_path / "plain", 0).classes == 5


def test_an_unverified_file_known_to_be_another_sets_is_refused(tmp_path, monkeypatch):
    sums = {file.unpacked: "mnist" for file in published().source.files}
    monkeypatch.setattr(data, "KNOWN_SUMS", sums)
    write_set(tmp_path, packed=False)
    with pytest.raises(DataError, match=r"wrong content \(a file of mnist\)"):
        published(unpacked=False)(tmp_path, 0)


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist"])
def test_fashion_mnist_and_kmnist_load_through_the_same_reader_by_name(tmp_path, name):
    arrays = idx_arrays()
    write_set(tmp_path / name, packed=False)
    dataset = load(name, home=tmp_path)
    assert (dataset.name, dataset.classes, dataset.image_shape) == (name, 10, (4, 3))
    for samples, x, t in ((dataset.train, *arrays[:2]), (dataset.test, *arrays[2:])):
        np.testing.assert_array_equal(samples.x, x.reshape(len(x), -1))
        np.testing.assert_array_equal(samples.t, t)
        np.testing.assert_allclose(samples[:][0].max(), x.max() / 255, rtol=1e-6)


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist"])
def test_packed_files_of_another_set_are_not_taken_for_fashion_mnist_or_kmnist(tmp_path, name):
    write_set(tmp_path / name)
    with pytest.raises(DataError, match="expected SHA-256"):
        load(name, home=tmp_path)


def test_every_published_set_has_the_sums_that_the_loader_needs():
    for name in ("mnist", "fashion-mnist", "kmnist"):
        loader = DATASETS[name]
        assert loader.name == name
        for file, stem in zip(loader.source.files, IDX_NAMES, strict=True):
            assert file.name == f"{stem}.gz"
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert (file.unpacked is not None) == (name == "mnist")
    assert len(data.KNOWN_SUMS) == 16


def changed(which, array):
    arrays = idx_arrays()
    arrays[which] = array
    return arrays


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (changed(1, np.zeros(10, np.uint8)), "20 images, 10 labels: files of different sets?"),
        (changed(2, np.zeros((10, 2, 6), np.uint8)), "train images are (4, 3), test images (2, 6)"),
        (changed(1, np.zeros((20, 4, 3), np.uint8)), "it is an image file (magic 0x00000803)"),
        (changed(0, np.zeros(20, np.uint8)), "it is a label file (magic 0x00000801); images"),
    ],
)
def test_files_of_different_sets_are_noticed(tmp_path, arrays, words):
    write_set(tmp_path, arrays)
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        load(str(tmp_path))
    assert str(tmp_path) in str(caught.value)


def test_a_label_beyond_the_classes_of_a_known_set_is_named(tmp_path):
    arrays = changed(3, np.full(10, 11, np.uint8))
    write_set(tmp_path, arrays)
    with pytest.raises(DataError, match="label 11 at row 0 of test"):
        published(arrays=arrays)(tmp_path, 0)


@pytest.mark.parametrize("label", ["t", "y"])
def test_an_npz_of_four_arrays_is_a_data_set(tmp_path, label):
    x_train, t_train, x_test, t_test = idx_arrays()
    path = tmp_path / "set.npz"
    parts = {f"{label}_train": t_train, f"{label}_test": t_test}
    np.savez(path, x_train=x_train, x_test=x_test, **parts)
    write_set(tmp_path / "folder")
    found = load(str(path))
    assert found.digest == load(str(tmp_path / "folder")).digest
    assert found.image_shape == (4, 3)
    assert found.classes == 5


@pytest.mark.parametrize("label", ["t", "y"])
def test_an_npz_of_two_arrays_is_split_by_the_seed(tmp_path, label):
    path = tmp_path / "set.npz"
    x = RNG.standard_normal((50, 4))
    np.savez(path, x=x, **{label: np.arange(50) % 5})
    train, test = load(path, seed=3)
    assert (len(train), len(test)) == (40, 10)
    assert np.bincount(test.t).tolist() == [2] * 5
    assert train.scale == 1.0
    assert load(path, seed=3).digest == load(path, seed=3).digest != load(path, seed=4).digest
    assert load(path).image_shape is None
    np.savez(path, x=np.zeros((50, 4, 3), np.uint8), **{label: np.arange(50) % 5})
    assert load(path).image_shape == (4, 3)
    assert load(path).train.scale == 1 / 255


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "it holds nothing"),
        ({"a": [1]}, "must hold x_train, t_train, x_test and t_test, or x and t"),
        ({"x": [[1.0]]}, "it holds 'x'"),
        ({"x": [[1.0]], "t": [0], "y": [0]}, "each once; it holds 't', 'x', 'y'"),
        ({"x": [[np.nan]], "t": [0]}, "x has NaN at row 0, column 0"),
        ({"x": [[1.0]], "t": [0.5]}, "t must hold integer labels"),
        ({"x": [[1.0]], "t": [0, 1]}, "1 images, 2 labels"),
        ({"x_train": [[1.0]], "t_train": [0]}, "it holds 't_train', 'x_train'"),
    ],
)
def test_an_npz_with_the_wrong_arrays_is_named(tmp_path, arrays, words):
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_path_of_another_kind_of_file_is_named_with_what_is_wanted(tmp_path):
    write_set(tmp_path, packed=False)
    with pytest.raises(DataError, match=r"looks like an IDX file; give a .csv, an .npz, a folder"):
        load(tmp_path / IDX_NAMES[0])
    (tmp_path / "model.pt").write_bytes(b"\x80\x02}")
    with pytest.raises(DataError, match=r"looks like a Python pickle; pickle.load"):
        load(tmp_path / "model.pt")


# The package around it


def run(*args, **options):
    env = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, timeout=60, env=env, **options
    )


def test_a12_importing_data_is_light_and_without_warnings():
    code = (
        "import sys, scratchnet.data; "
        "print([m for m in ('sklearn', 'scipy', 'tqdm', 'urllib.request', 'http.client', "
        "'argparse') if m in sys.modules])"
    )
    done = run("-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_a13_readme_says_where_files_come_from_and_lists_every_checksum():
    text = (ROOT / "datasets/README.md").read_text(encoding="utf-8")
    assert all(total in text for total in data.KNOWN_SUMS)
    assert all(f"`{name}`" in text for name in DATASETS)
    assert all(f"`{name}`" in text for name in IDX_NAMES)


def test_git_ignores_fetched_data():
    lines = (ROOT / "datasets/.gitignore").read_text(encoding="utf-8").split()
    assert lines == ["*", "!.gitignore", "!README.md"]


def test_a_name_that_is_no_set_may_have_been_meant_as_a_path():
    with pytest.raises(ParameterError, match=r"path of a file or folder, .* none called 'mydata'"):
        load("mydata")
    with pytest.raises(DataError, match=r"^cannot read 'nope.csv': No such file"):
        load("nope.csv")


@pytest.mark.parametrize(
    ("shape", "cure"), [((784, 30), "x.T"), ((28, 28, 3, 30), "np.moveaxis(x, -1, 0)")]
)
def test_samples_along_the_last_axis_are_told_from_other_mistakes(shape, cure, tmp_path):
    words = re.escape(f"the last axis of x has 30: transposed? write {cure}")
    x, t = np.zeros(shape), np.zeros(30, int)
    with pytest.raises(ShapeError, match=words):
        Samples(x, t)
    np.savez(tmp_path / "a.npz", x=x, t=t)
    with pytest.raises(DataError, match=words):
        load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((30, 3, 8, 6), (8, 6, 3)),
        ((30, 8, 6, 3), (8, 6, 3)),
        ((30, 1, 8, 6), (8, 6, 1)),
        ((30, 8, 6), (8, 6)),
        ((30, 3, 8, 3), (3, 8, 3)),  # which may be either
    ],
)
def test_images_have_their_channels_last(shape, expected, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.savez(tmp_path / "x.npz", x=x, t=np.arange(30) % 3)
    found = load(tmp_path / "x.npz")
    assert found.image_shape == found.input_shape == expected
    rows = np.concatenate([found.train.x, found.test.x])
    turned = x.transpose(0, 2, 3, 1) if x.shape[1:] != expected else x
    assert {row.tobytes() for row in rows} == {row.tobytes() for row in turned.reshape(30, -1)}
