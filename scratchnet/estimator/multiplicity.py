"""Repeated samples: a sample that occurs k times and one of weight k are the same to training."""

from typing import Any, NamedTuple

import numpy as np

from scratchnet.checks import is_sparse
from scratchnet.data import Samples
from scratchnet.data.samples import parts_of
from scratchnet.parameters import Array

ROWS = 1024
"""Rows looked at together, so that little memory is needed."""
REPEATS = 4
"""Samples that occur so often on average are left as they are: an epoch is as long as they are."""


class Merged(NamedTuple):
    """Samples in which none has the weight 0, and none occurs twice, unless all do so often."""

    samples: Samples
    """With weights whose mean is 1; without any if all are equal."""
    came: int
    """How many there were before."""
    digest: int
    """A number of 64 bits that tells these samples from others."""


def merge_repeated(X: Any, t: Array, weights: Array | None) -> Merged:
    """The samples (X, t) with the weights >= 0, of which the mean is 1, each once.

    Equal rows with equal targets become one whose weight is the sum of theirs, in an order that
    depends on the rows alone: so a sample of weight k is trained on exactly as k samples are, to
    the bit. But where they stand for REPEATS samples and more on average, they stay, as merged
    they would make but few batches. Without anything to merge all is as it was, uncopied.
    """
    rows = X.shape[0]
    w = np.ones(rows) if weights is None else weights
    of_t = _mixed(t) if t.ndim == 1 else row_keys(t)
    keys = row_keys(X) ^ (of_t * np.uint64(0x9E3779B97F4A7C15))
    digest = int(keys.sum() if weights is None else keys @ w.view(np.uint64))
    order = np.argsort(keys, kind="stable")
    same = np.zeros(rows, np.bool_)  # as the one before it, in this order
    same[1:] = keys[order[1:]] == keys[order[:-1]]
    alike = np.allclose(w, 1.0, rtol=1e-12, atol=0)
    if alike and not same.any():
        return Merged(Samples.checked(X, t), rows, digest)
    starts = np.flatnonzero(~same)
    sums = np.add.reduceat(w[order], starts)
    first, sums = order[starts][sums > 0], sums[sums > 0]
    there = w > 0
    came = int(np.count_nonzero(there))
    if came < REPEATS * len(first):
        share = len(first) / rows
        return Merged(Samples.checked(X[first], t[first], weights=sums * share), rows, digest)
    if alike:
        return Merged(Samples.checked(X, t), rows, digest)
    kept = Samples.checked(X[there], t[there], weights=w[there] * (came / rows))
    return Merged(kept, rows, digest)


def row_keys(x: Any) -> Array:
    """64 bits for each row of x (N, D), equal for equal rows, and for others almost never.

    sum_j r_j bits(x_j) modulo 2^64 with odd random r: the same wherever a row stands. Of a sparse
    array only what is not 0 counts, as bits(0) = 0.
    """
    if is_sparse(x):
        return _sparse_keys(x)
    words = np.uint32 if x.dtype.itemsize == 4 else np.uint64 if x.dtype.itemsize == 8 else np.uint8
    r = _factors(x.shape[1] * x.dtype.itemsize)
    keys = np.empty(len(x), np.uint64)
    for start in range(0, len(x), ROWS):
        rows = _mixed(np.ascontiguousarray(x[start : start + ROWS]).view(words))
        keys[start : start + len(rows)] = np.einsum("ij,j->i", rows, r[: rows.shape[1]])
    return keys


def _sparse_keys(x: Any) -> Array:
    data, indices, starts = parts_of(x)
    words = _mixed(data.view(np.uint32 if data.itemsize == 4 else np.uint64))
    words *= _factors(x.shape[1])[indices]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(words, dtype=np.uint64)])
    return np.asarray(sums[starts[1:]] - sums[starts[:-1]])


def _factors(n: int) -> Array:
    return np.random.default_rng(0).integers(0, 2**63, n, np.uint64) * 2 + 1


def _mixed(words: Array) -> Array:
    """The words (of any size) as 64 bits each, all of which depend on all of theirs; 0 is 0."""
    rows = words.astype(np.uint64)
    rows ^= rows >> np.uint64(29)  # or rows of small whole numbers would differ in few bits
    rows *= np.uint64(0xBF58476D1CE4E5B9)
    rows ^= rows >> np.uint64(32)
    return rows
