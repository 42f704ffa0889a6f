"""Batches: every sample once an epoch, in the network's type, in memory that is reused."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchnet.data import Batches, Samples
from scratchnet.errors import ParameterError

RNG = np.random.default_rng(5)


def pixels(n=60, width=12, classes=3):
    """Samples whose pixels tell their row, so that mixed-up rows are seen."""
    x = (np.arange(n)[:, None] * 7 + np.arange(width)).astype(np.uint8)
    return Samples(x, np.arange(n) % classes, scale=1 / 255)


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
