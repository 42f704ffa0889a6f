"""What a step does between its products: each loop beside the NumPy lines that do the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.loops import run

Array = npt.NDArray[Any]


def gather(
    x: Array, rows: Array, scale: Array, raw_rows: Callable[[int], Array], out: Array
) -> None:
    """out = x[rows] * scale, for rows (n,) within 0..N-1 of x (N, D).

    `scale` (1,) and out (n, D) have the precision of the network; `raw_rows(n)` is memory for n
    rows of the type of x.
    """
    name = f"gather_{x.dtype.name}"
    if not run(name, *out.shape, out.dtype, x, rows, scale, out):
        ready = x.dtype == out.dtype and scale[0] == 1
        raw = out if ready else raw_rows(len(out))
        # mode="clip" only because "raise" would copy through a buffer
        np.take(x, rows, axis=0, out=raw, mode="clip")
        if not ready:
            np.multiply(raw, scale, out=out, dtype=out.dtype, casting="same_kind")


def add_bias(y: Array, b: Array) -> None:
    """y <- y + b, for y (N, D) and b (D,)."""
    if not run("add_bias", *y.shape, y.dtype, y, b):
        np.add(y, b, out=y)


def column_sums(x: Array, out: Array) -> None:
    """out (D,) = the sum of the rows of x (N, D)."""
    if not len(x) or not run("column_sums", *x.shape, x.dtype, x, out):
        np.sum(x, axis=0, out=out)


def softmax(y: Array) -> tuple[Array, Array, Array, Array]:
    """From logits y (N, K): their softmax, the class of the largest, that logit m, and log(1 + r).

    r is the sum of exp(y_k - m) over all k but the largest. So -log softmax(y)_t, which is
    (m - y_t) + log(1 + r), keeps its digits where it is small. Loop and NumPy differ by their exp:
    1e-7 in float32.
    """
    n = len(y)
    p, largest = np.empty_like(y), np.empty(n, y.dtype)
    first, log = np.empty(n, np.intp), np.empty(n)
    if run("softmax", *y.shape, y.dtype, y, p, first, largest, log):
        return p, first, largest, log
    rows = np.arange(n)
    first = y.argmax(axis=1)
    largest = y[rows, first]
    with np.errstate(over="ignore"):  # float32 logits 2e38 apart: exp(-inf) = 0 is right
        p = np.exp(y - largest[:, np.newaxis])
    p[rows, first] = 0.0
    rest = p.sum(axis=1)  # r
    p[rows, first] = 1.0
    p /= (1.0 + rest)[:, np.newaxis]
    return p, first, largest, np.log1p(rest)
