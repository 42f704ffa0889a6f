"""Samples: what goes in and out, what is refused, and splits by class and seed."""

import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from scratchnet.data import Batches, Samples
from scratchnet.errors import DataError, DtypeError, ParameterError, ShapeError

RNG = np.random.default_rng(5)


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
