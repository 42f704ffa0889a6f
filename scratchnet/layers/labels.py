"""Labels checked at the border: integers of classes, or shares of them."""

import numpy as np

from scratchnet.data.border import is_one_hot
from scratchnet.errors import DtypeError, ShapeError
from scratchnet.parameters import Array


def check_integer_labels(t: Array, n_rows: int, n_outputs: int) -> Array:
    """`t` if it is n_rows integers from 0 to n_outputs - 1; one-hot rows (N, K) become integers.

    Raises ShapeError or DtypeError that names row, value and the fix.
    """
    if t.shape == (n_rows, n_outputs) and n_outputs > 1 and is_one_hot(t):
        return np.asarray(t.argmax(axis=1))
    if t.ndim != 1:
        fix = "t.ravel()" if t.ndim == 2 and t.shape[1] == 1 else "t.argmax(axis=1)"
        if t.shape == (n_rows, n_outputs) and t.dtype.kind == "f" and is_distribution(t).all():
            fix = "SoftmaxWithLoss(labels='soft')"
        raise ShapeError(
            f"labels must have the shape (N,), or one-hot ({n_rows}, {n_outputs}), got {t.shape}; "
            f"use {fix}"
        )
    if len(t) != n_rows:
        raise ShapeError(f"x and t must have as many rows, x has {n_rows}, t has {len(t)}")
    if t.dtype.kind not in "iu":
        came = f"{t[0]!r} at row 0 (dtype {t.dtype})" if len(t) else f"dtype {t.dtype}"
        raise DtypeError(f"labels must be integers, got {came}; use t.astype(int)")
    if len(t) and (t.min() < 0 or t.max() >= n_outputs):
        row = int(np.flatnonzero((t < 0) | (t >= n_outputs))[0])
        raise ShapeError(
            f"labels must be from 0 to {n_outputs - 1}, the outputs of the network, "
            f"got {t[row]} at row {row}"
        )
    return t


def is_distribution(t: Array) -> Array:
    """For each row of t (N, K): are its values >= 0 with the sum 1, to 1e-6? Booleans (N,)."""
    return np.asarray((t >= 0).all(axis=1) & (np.abs(t.sum(axis=1, dtype=float) - 1) <= 1e-6))
