import gzip
import os
import pathlib
import re
import subprocess
import sys
import tracemalloc
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import scratchnet.data.sets as data
from scratchnet.data import DATASETS, Batches, Dataset, Samples, load
from scratchnet.data.download import RemoteFile, Source
from scratchnet.data.idx import header
from scratchnet.data.sets import IDX_NAMES, Published
from scratchnet.errors import DataError, DtypeError, ParameterError, ShapeError

ROOT = pathlib.Path(__file__).parents[2]
RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def pixels(n=60, width=12, classes=3):
    """Samples whose pixels tell their row, so that mixed-up rows are seen."""
    x = (np.arange(n)[:, None] * 7 + np.arange(width)).astype(np.uint8)
    return Samples(x, np.arange(n) % classes, scale=1 / 255)


# Samples


def test_the_whole_set_comes_as_float32_and_labels():
    samples = pixels()
    x, t = samples[:]
    assert x.dtype == np.float32
    assert t.dtype == np.intp
    np.testing.assert_array_equal(x, samples.x * np.float32(1 / 255))
    np.testing.assert_array_equal(t, samples.t)


@pytest.mark.parametrize(
    "index",
    [slice(3, 9), slice(None, None, -2), [4, 4, 1], np.array([-1, 0]), np.arange(60) % 2 == 0],
    ids=["slice", "backwards", "list", "negative", "mask"],
)
def test_any_index_gives_fresh_rows(index):
    samples = pixels()
    x, t = samples[index]
    np.testing.assert_array_equal(x, (samples.x * np.float32(1 / 255))[index])
    np.testing.assert_array_equal(t, samples.t[index])
    before = samples.x.copy()
    x[:], t[:] = 0, 0
    np.testing.assert_array_equal(samples.x, before)
    np.testing.assert_array_equal(samples.t, np.arange(60) % 3)


def test_the_random_batch_of_the_book_works():
    train = pixels(500)
    x_batch, t_batch = train[np.random.default_rng(0).choice(len(train), 100)]
    assert x_batch.shape == (100, 12)
    assert t_batch.shape == (100,)


def test_a_single_number_is_no_index():
    with pytest.raises(ParameterError, match=r"samples\[i : i \+ 1\] for one sample"):
        pixels()[3]
    with pytest.raises(ParameterError, match=r"samples\[:\] for all"):
        x, t = pixels()  # noqa: RUF059


def test_an_index_out_of_range_is_refused():
    with pytest.raises(IndexError, match="60 is out of bounds"):
        pixels()[[60]]


@pytest.mark.parametrize(
    ("given_as", "kept_as"),
    [
        ("uint8", "uint8"),
        ("bool", "uint8"),
        ("int8", "float32"),
        ("uint16", "float32"),
        ("float16", "float32"),
        ("float32", "float32"),
        (">f4", "float32"),
        (">i2", "float32"),
        ("int32", "float64"),
        (">i8", "float64"),
        ("float64", "float64"),
        (">f8", "float64"),
        ("longdouble", "float64"),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_kind_of_number_is_kept_exactly(given_as, kept_as, order):
    x = np.array([[0, 1], [1, 0], [1, 1]]).astype(given_as, order=order)
    samples = Samples(x, [0, 1, 2])
    assert samples.x.dtype == np.dtype(kept_as)
    assert samples.x.dtype.isnative
    assert samples.x.flags.c_contiguous
    np.testing.assert_array_equal(samples.x, [[0, 1], [1, 0], [1, 1]])
    np.testing.assert_array_equal(samples[:][0], np.float32([[0, 1], [1, 0], [1, 1]]))


def test_images_are_flattened_in_row_order():
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(Samples(images, [0, 1]).x, images.reshape(2, 12))


def test_lists_subclasses_and_memory_maps_are_arrays_too(tmp_path):
    assert Samples([[1.5, 2.0]], [True]).x.tolist() == [[1.5, 2.0]]
    np.save(tmp_path / "x.npy", np.eye(3))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(Samples(mapped, range(3)).x, np.eye(3))
    assert Samples(np.ma.masked_array(np.eye(3)), range(3)).x.shape == (3, 3)


def test_the_callers_arrays_are_never_written_to_and_not_copied():
    x, t = RNG.standard_normal((60, 4)).astype(np.float32), np.arange(60) % 3
    before = x.copy(), t.copy()
    samples = Samples(x, t)
    assert np.shares_memory(samples.x, x)
    assert x.flags.writeable
    batches = Batches(samples, 7)
    for index in batches.slices(np.arange(60)):
        batch, labels = batches.gather(index)
        batch[:], labels[:] = 9, 9
    for batch, labels in batches.in_order():
        assert batch.flags.writeable is False
        assert labels.flags.writeable is False
    samples.split(0.5, 0)
    for mine in (samples.x, samples.t):
        with pytest.raises(ValueError, match="read-only"):
            mine[0] = 1
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(t, before[1])


def test_samples_say_what_they_are():
    text = repr(pixels())
    assert text == "Samples(x=(60, 12) uint8, t=(60,), scale=0.00392157)"


def spoiled(value, dtype="float64"):
    x = np.ones((60, 5), dtype)
    x[17, 3] = value
    x[40, 1] = value
    return x


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (spoiled(np.nan), DataError, "x has NaN at row 17, column 3 (2 of 60 rows)"),
        (spoiled(np.nan, "float16"), DataError, "x has NaN at row 17, column 3 (2 of 60 rows)"),
        (spoiled(np.inf), DataError, "x has inf at row 17, column 3"),
        (spoiled(-np.inf, "float32"), DataError, "x has -inf at row 17, column 3"),
        (spoiled(-1e300), DataError, "x has -1e+300 (beyond float32) at row 17, column 3"),
        (np.ones(60), ShapeError, "x.reshape(1, -1) for one sample"),
        (np.float64(3), ShapeError, "got ()"),
        (np.ones((0, 5)), ShapeError, "at least 1 sample and 1 feature, got shape (0, 5)"),
        (np.ones((60, 0)), ShapeError, "got shape (60, 0)"),
        ([[1, 2], [3]], ShapeError, "rows of one length"),
        (np.full((60, 5), "a"), DtypeError, "dtype <U1"),
        (np.full((60, 5), None), DtypeError, "dtype object"),
        (np.ones((60, 5), complex), DtypeError, "dtype complex128"),
        (np.zeros((60, 5), "M8[s]"), DtypeError, "dtype datetime64[s]"),
        (np.zeros((60, 5), "m8[s]"), DtypeError, "dtype timedelta64[s]"),
        (sparse.eye_array(60), DtypeError, "write x.toarray()"),
        (np.ma.masked_equal(np.eye(60), 1), DtypeError, "masked entries"),
        (np.ones((59, 5)), ShapeError, "x has 59 rows, t has 60"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_features_are_refused_with_their_place_or_kind(x, error, words):
    with pytest.raises(error, match=re.escape(words)):
        Samples(x, np.arange(60) % 3)


def test_the_search_for_bad_values_needs_little_memory():
    x = np.ones((200_000, 20), dtype=np.float32)
    x[150_001, 7] = np.nan
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="row 150001, column 7"):
            Samples(x, np.zeros(len(x), int))
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("t", "error", "words"),
    [
        (np.zeros((60, 1), int), ShapeError, "got (60, 1); try t.ravel()"),
        (np.eye(60, dtype=int), ShapeError, "got (60, 60); try t.argmax(axis=1)"),
        (0, ShapeError, "got ()"),
        (np.r_[np.zeros(59), 1.0], DtypeError, "float64 (0.0 at row 0); write t.astype(int)"),
        (np.r_[np.zeros(59), 0.5], DtypeError, "(0.5 at row 59); number the classes"),
        (np.r_[np.zeros(59), np.nan], DtypeError, "nan at row 59"),
        (np.r_[np.zeros(59, int), -1], ShapeError, "the label -1 at row 59; labels must be 0"),
        (np.r_[np.zeros(59, int), 2**40], ShapeError, "the label 1099511627776 at row 59"),
        (np.full(60, 2**64 - 1, np.uint64), ShapeError, "18446744073709551615 at row 0"),
        (["cat"] * 60, DtypeError, "np.unique(t, return_inverse=True)[1]"),
        ([None] * 60, DtypeError, "dtype object"),
        ([1, [2]], ShapeError, "t must be an array"),
        (np.zeros(59, int), ShapeError, "x has 60 rows, t has 59; give one label"),
        (np.zeros(0), DtypeError, "(nothing)"),
        (np.ma.masked_equal(np.arange(60), 1), DtypeError, "masked entries"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_b09_labels_that_would_give_wrong_losses_are_refused(t, error, words):
    with pytest.raises(error, match=re.escape(words)):
        Samples(np.ones((60, 5)), t)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", ">i4", "int64", "uint64"])
def test_labels_of_any_integer_type_become_intp(dtype):
    t = np.array([0, 1, 1]).astype(dtype)
    samples = Samples(np.ones((3, 2)), t)
    assert samples.t.dtype == np.intp
    np.testing.assert_array_equal(samples.t, [0, 1, 1])


@pytest.mark.parametrize("scale", [0, -1.0, np.nan, np.inf, "1", None, 1e300])
def test_scale_is_a_finite_number_above_zero(scale):
    with pytest.raises(ParameterError, match="scale must be a finite number above 0, got"):
        Samples(np.ones((1, 1)), [0], scale)


# split


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**70),
)
@settings(deadline=None, max_examples=150)
def test_a_split_holds_every_index_once_and_every_class_in_proportion(counts, fraction, seed):
    t = np.repeat(np.arange(len(counts)), counts)
    if max(counts) < 2:
        return
    t = np.random.default_rng(0).permutation(t)
    samples = Samples(np.arange(len(t))[:, None], t)
    kept, held = samples.split(fraction, seed)
    rows = np.concatenate([kept.x, held.x]).ravel()
    np.testing.assert_array_equal(np.sort(rows), np.arange(len(t)))
    for part in (kept, held):
        np.testing.assert_array_equal(part.t, t[part.x.astype(int).ravel()])
        assert (np.diff(part.x.ravel()) > 0).all()
    for label, count in enumerate(counts):
        out = np.count_nonzero(held.t == label)
        assert abs(out - fraction * count) < 1 + 1e-6 or out in (1, count - 1)
        if count >= 2:
            assert 0 < out < count
        else:
            assert out == 0


def test_a_split_depends_on_the_seed_alone():
    samples = pixels(300)
    np.random.seed(1)  # noqa: NPY002 - the global state must not matter
    first = [part.x.copy() for part in samples.split(0.3, 4)]
    np.random.seed(2)  # noqa: NPY002
    for once, again in zip(first, samples.split(0.3, 4), strict=True):
        np.testing.assert_array_equal(once, again.x)
    other = samples.split(0.3, 5)[1]
    assert not np.array_equal(first[1], other.x)
    assert other.scale == samples.scale
    assert other.x.dtype == np.uint8


def test_the_split_of_a_seed_never_changes():
    _, held = Samples(np.arange(20)[:, None], np.arange(20) % 2).split(0.3, 0)
    assert held.x.ravel().astype(int).tolist() == [1, 4, 8, 9, 10, 19]


def test_the_share_is_rounded_up_but_not_by_floating_point_noise():
    samples = pixels(30, classes=3)
    assert [len(part) for part in samples.split(0.1, 0)] == [27, 3]
    assert [len(part) for part in samples.split(0.11, 0)] == [26, 4]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, np.nan, 1, "0.2", None])
def test_fraction_lies_between_0_and_1(fraction):
    with pytest.raises(ParameterError, match="fraction must lie between 0 and 1, got"):
        pixels().split(fraction, 0)


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None, True])
def test_seed_is_a_whole_number(seed):
    with pytest.raises(ParameterError, match="seed must be"):
        pixels().split(0.2, seed)


@pytest.mark.parametrize("n", [1, 3])
def test_a_split_that_would_leave_a_side_empty_is_refused_with_counts(n):
    samples = Samples(np.ones((n, 2)), np.arange(n))
    with pytest.raises(ParameterError, match=f"of {n} samples holds out none: no class of the {n}"):
        samples.split(0.5, 0)


# Batches


@given(n=st.integers(1, 70), batch_size=st.integers(1, 80), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=80)
def test_an_epoch_takes_every_sample_exactly_once_with_its_label(n, batch_size, seed):
    samples = Samples(np.arange(n)[:, None] * np.ones((1, 3)), np.arange(n))
    batches = Batches(samples, batch_size)
    order = np.random.default_rng(seed).permutation(n)
    seen, sizes = [], []
    for index in batches.slices(order):
        x, t = batches.gather(index)
        assert x.dtype == np.float32
        np.testing.assert_array_equal(x, t[:, None] * np.ones((1, 3)))
        seen.extend(t)
        sizes.append(len(t))
    np.testing.assert_array_equal(seen, order)
    assert len(sizes) == len(batches) == -(-n // batch_size)
    assert all(size == batch_size for size in sizes[:-1])
    np.testing.assert_array_equal(np.concatenate([t for _, t in batches.in_order()]), np.arange(n))
    np.testing.assert_array_equal(
        np.concatenate([x.copy() for x, _ in batches.in_order()]), samples[:][0]
    )


@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_a_batch_is_x_times_scale_in_the_networks_type(kind, dtype, scale):
    x = RNG.integers(0, 256, (20, 5)).astype(kind)
    samples = Samples(x, np.arange(20) % 2, scale)
    batches = Batches(samples, 8, dtype)
    index = np.array([19, 0, 7])
    batch, t = (kept.copy() for kept in batches.gather(index))
    assert batch.dtype == np.dtype(dtype)
    exact = x[index].astype("float64") * scale
    np.testing.assert_allclose(batch, exact, rtol=1e-6 if dtype == "float32" else 1e-15)
    if dtype == "float32":
        np.testing.assert_array_equal(batch, samples[index][0])
    np.testing.assert_array_equal(t, samples.t[index])
    ordered = np.concatenate([rows.copy() for rows, _ in batches.in_order()])
    np.testing.assert_array_equal(ordered[index], batch)
    assert ordered.dtype == np.dtype(dtype)


def test_batches_reuse_their_memory_and_allocate_nothing():
    samples = Samples(RNG.integers(0, 256, (1000, 784)).astype(np.uint8), np.arange(1000) % 10)
    batches = Batches(samples, 100)
    indices = list(batches.slices(RNG.permutation(1000)))
    first = batches.gather(indices[0])[0]
    short = batches.gather(indices[1][:30])[0]
    assert np.shares_memory(first, short)
    assert short.shape == (30, 784)
    tracemalloc.start()
    try:
        for index in indices:
            batches.gather(index)
        for _ in batches.in_order():
            pass
        # NumPy converts uint8 through a small buffer; the pixels of a batch are 78,400 bytes
        assert tracemalloc.get_traced_memory()[1] < 78_400
    finally:
        tracemalloc.stop()


def test_a_batch_larger_than_the_data_is_all_of_it():
    batches = Batches(pixels(10), 1000)
    assert len(batches) == 1
    assert batches.gather(np.arange(10))[0].shape == (10, 12)


@pytest.mark.parametrize("index", [[10], [-1], [0] * 9, []])
def test_an_index_that_does_not_fit_is_refused(index):
    with pytest.raises(ParameterError, match="index must hold 1 to 8 numbers from 0 to 9, got"):
        Batches(pixels(10), 8).gather(index)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "10", True, None])
def test_batch_size_is_a_whole_number_of_at_least_1(batch_size):
    with pytest.raises(ParameterError, match="batch_size must be an integer >= 1, got"):
        Batches(pixels(), batch_size)


@pytest.mark.parametrize("dtype", ["float16", "int8", "float8", None, 3])
def test_networks_compute_in_float32_or_float64(dtype):
    with pytest.raises(ParameterError, match="dtype must be one of float32, float64, got"):
        Batches(pixels(), 10, dtype)


# Dataset


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
    with pytest.raises(DataError, match=r"cannot read 'mine.npz': No such file .* give an .npz or"):
        load("mine.npz")
    with pytest.raises(DataError, match="No such file"):
        load("sub/folder")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mnits", "unknown data set 'mnits'; did you mean 'mnist'?"),
        ("", "unknown data set ''"),
        ("cifar10", "the names are: digits, mnist, fashion-mnist, kmnist"),
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
        ({"x": [[1.0]]}, "it holds x"),
        ({"x": [[1.0]], "t": [0], "y": [0]}, "each once; it holds t, x, y"),
        ({"x": [[np.nan]], "t": [0]}, "x has NaN at row 0, column 0"),
        ({"x": [[1.0]], "t": [0.0]}, "t must hold integer labels"),
        ({"x": [[1.0]], "t": [0, 1]}, "1 images, 2 labels"),
        ({"x_train": [[1.0]], "t_train": [0]}, "it holds t_train, x_train"),
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
    with pytest.raises(DataError, match=r"looks like an IDX file; give an \.npz or the folder"):
        load(tmp_path / IDX_NAMES[0])
    (tmp_path / "model.pt").write_bytes(b"\x80\x02}")
    with pytest.raises(DataError, match=r"looks like a Python pickle; give an \.npz"):
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
