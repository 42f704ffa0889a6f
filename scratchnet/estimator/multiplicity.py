"""Repeated samples: a sample that occurs k times and one of weight k are the same to training."""

import numpy as np

from scratchnet.data import Samples
from scratchnet.errors import ParameterError
from scratchnet.parameters import Array

ROWS = 1024
"""Rows looked at together, so that little memory is needed."""


def deduplicate(
    X: Array, t: Array, weights: Array | None
) -> tuple[Array, Array, Array | None, int]:
    """Samples (X, t, weights) in which none occurs twice or has the weight 0, and their number.

    Equal rows with equal targets become one whose weight is the sum of theirs, in an order that
    depends on the rows alone: so a sample of weight k is trained on exactly as k samples are, to
    the bit, whatever the batch size. The number is that of samples before: whole weights are taken
    for repetitions, others for shares of the rows that came. Without anything to merge all stays as
    it is, uncopied. Raises ParameterError for weights below 0, or all 0.
    """
    n, w = len(X), np.ones(len(X))
    if weights is not None:
        w = np.asarray(weights, np.float64)
        if not (w.min() >= 0 and w.any()):
            raise ParameterError("sample weights must be >= 0 and not all 0; leave out what is not")
        whole = bool((w == np.rint(w)).all())
        n = int(w.sum()) if whole else len(X)
        w = w if whole else w * (len(X) / w.sum())
    keys = row_keys(X) ^ (row_keys(t.reshape(len(t), -1)) * np.uint64(0x9E3779B97F4A7C15))
    order = np.argsort(keys, kind="stable")
    same = np.zeros(len(X), np.bool_)  # as the one before it, in this order
    same[1:] = keys[order[1:]] == keys[order[:-1]]
    if not same.any() and np.allclose(w, 1.0, rtol=1e-12):
        return X, t, None, n
    starts = np.flatnonzero(~same)
    sums = np.add.reduceat(w[order], starts)
    kept = sums > 0
    first = order[starts][kept]
    return X[first], t[first], sums[kept], n


def row_keys(x: Array) -> Array:
    """64 bits for each row of x (N, D), equal for equal rows, and for others almost never.

    sum_j r_j bits(x_j) modulo 2^64 with odd random r: the same wherever a row stands.
    """
    words = np.uint32 if x.dtype.itemsize == 4 else np.uint64 if x.dtype.itemsize == 8 else np.uint8
    r = (
        np.random.default_rng(0).integers(0, 2**63, x.shape[1] * x.dtype.itemsize, np.uint64) * 2
        + 1
    )
    keys = np.empty(len(x), np.uint64)
    for start in range(0, len(x), ROWS):
        rows = np.ascontiguousarray(x[start : start + ROWS]).view(words).astype(np.uint64)
        rows ^= rows >> np.uint64(29)  # or rows of small whole numbers would differ in few bits
        rows *= np.uint64(0xBF58476D1CE4E5B9)
        rows ^= rows >> np.uint64(32)
        keys[start : start + len(rows)] = np.einsum("ij,j->i", rows, r[: rows.shape[1]])
    return keys


def split_repeated(
    X: Array,
    t: Array,
    repeats: Array | None,
    weights: Array | None,
    fraction: float,
    seed: int,
) -> tuple[Samples, Samples, float]:
    """Samples to train with, samples to validate with, and the share of the former.

    By class; repetitions are divided too.
    """
    times = np.ones(len(t)) if repeats is None else repeats
    if (times != np.rint(times)).any():  # shares, no repetitions
        times = np.ones(len(t))
    rows = np.repeat(np.arange(len(t)), times.astype(int))
    kept, held = Samples(rows[:, np.newaxis], t[rows]).split(fraction, seed)
    train, validation = (_part(X, t, weights, times, numbers) for numbers in (kept, held))
    return train, validation, len(kept) / len(rows)


def _part(X: Array, t: Array, weights: Array | None, times: Array, numbers: Samples) -> Samples:
    """The samples of these numbers, each row with the share of its weight that is there."""
    found = np.bincount(numbers.x[:, 0].astype(int), minlength=len(t))
    chosen = found > 0
    w = None if weights is None else (weights * found / times)[chosen]
    return Samples(X[chosen], t[chosen], weights=w)
