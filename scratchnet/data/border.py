"""The border of samples: inputs, targets and weights checked once, as they come in."""

from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.data.mapped import blocks_of
from scratchnet.errors import DataError, DtypeError, ParameterError, ShapeError
from scratchnet.parameters import Array

LARGEST = float(np.finfo(np.float32).max)


def check_features(x: npt.ArrayLike) -> Array:
    """`x` as C-ordered numbers (N, D) in native byte order, checked."""
    array = _plain_array(x, "x")
    if array.dtype.kind not in "buif":
        raise DtypeError(f"x must hold real numbers, got an array of dtype {array.dtype}")
    if array.ndim < 2:
        raise ShapeError(
            f"x must have the shape (samples, features), got {array.shape}; "
            "write x.reshape(1, -1) for one sample, x.reshape(-1, 1) for one feature"
        )
    if array.size == 0:
        raise ShapeError(f"x must hold at least 1 sample and 1 feature, got shape {array.shape}")
    with np.errstate(all="ignore"):  # what does not fit becomes inf and is reported with its place
        kept = np.ascontiguousarray(array.reshape(len(array), -1), dtype=_kept_type(array.dtype))
    if kept.dtype != np.uint8:
        refuse_not_finite(kept)
    return kept


def _kept_type(dtype: np.dtype[Any]) -> type[np.generic]:
    """Choose the smallest of uint8, float32, float64 that holds such numbers (integers to 2^53)."""
    if dtype == np.uint8 or dtype.kind == "b":
        return np.uint8
    exact_in_float32 = dtype.itemsize <= (4 if dtype.kind == "f" else 2)
    return np.float32 if exact_in_float32 else np.float64


def refuse_not_finite(x: Array) -> None:
    """Raise DataError for the first cell that is NaN or does not fit float32, with its place."""
    rows: list[int] = []
    for start, block in blocks_of(x):  # so that the search needs little memory
        if not (block.min() >= -LARGEST and block.max() <= LARGEST):  # no temporary; so with NaN
            rows.extend(start + np.flatnonzero(~(np.abs(block) <= LARGEST).all(axis=1)))
    if not rows:
        return
    column = int(np.flatnonzero(~(np.abs(x[rows[0]]) <= LARGEST))[0])
    value = x[rows[0], column]
    what = (
        "NaN" if np.isnan(value) else f"{value}" + (" (beyond float32)" * bool(np.isfinite(value)))
    )
    raise DataError(
        f"x has {what} at row {rows[0]}, column {column} ({len(rows)} of {len(x)} rows); "
        "drop these rows or fill them in"
    )


def transposed(shape: tuple[int, ...], n: int) -> str:
    """A question with its cure, if the last axis of x is that of the n samples; else nothing."""
    if len(shape) < 2 or shape[-1] != n:
        return ""
    cure = "x.T" if len(shape) == 2 else "np.moveaxis(x, -1, 0)"
    return f"the last axis of x has {n}: transposed? write {cure}"


def check_weights(weights: npt.ArrayLike, n: int) -> Array:
    """`weights` as float64 (n,), checked."""
    array = np.asarray(_plain_array(weights, "weights"))
    if array.dtype.kind not in "buif":
        raise DtypeError(f"weights must be numbers, got an array of dtype {array.dtype}")
    if array.shape != (n,):
        raise ShapeError(f"weights must have the shape ({n},), one a sample, got {array.shape}")
    if not (np.isfinite(array).all() and (array >= 0).all() and array.any()):
        raise ParameterError(
            "weights must be finite numbers >= 0 and not all 0; remove what is not"
        )
    return np.ascontiguousarray(array, dtype=np.float64)


def check_targets(t: npt.ArrayLike) -> Array:
    """`t` as labels (N,) of type intp or values (N, K), float32 or float64, checked."""
    array = _plain_array(t, "t")
    if array.ndim == 2 and array.dtype.kind == "f":
        kept = np.ascontiguousarray(array, dtype=_kept_type(array.dtype))
        bad = np.argwhere(~np.isfinite(kept))
        if len(bad):
            row, column = bad[0]
            raise DataError(
                f"t has {kept[row, column]} at row {row}, column {column}; drop or fill in this row"
            )
        return kept
    if array.ndim != 1:
        fix = "t.argmax(axis=1)" if array.ndim == 2 and array.shape[1] > 1 else "t.ravel()"
        raise ShapeError(f"t must have the shape (samples,), got {array.shape}; try {fix}")
    if array.dtype.kind == "f":
        broken = np.flatnonzero(array != np.floor(array))
        row = int(broken[0]) if len(broken) else 0
        value = f"{array[row]} at row {row}" if len(array) else "nothing"
        fix = "number the classes 0, 1, 2, ..." if len(broken) else "write t.astype(int)"
        raise DtypeError(f"t must hold integer labels, got {array.dtype} ({value}); {fix}")
    if array.dtype.kind not in "bui":
        raise DtypeError(
            f"t must hold integer labels, got an array of dtype {array.dtype}; "
            "np.unique(t, return_inverse=True)[1] numbers the classes"
        )
    if array.dtype.kind != "b" and len(array):
        for row in (int(array.argmin()), int(array.argmax())):
            if not 0 <= array[row] <= np.iinfo(np.int32).max:
                raise ShapeError(
                    f"t has the label {array[row]} at row {row}; labels must be 0, 1, 2, ...: "
                    "np.unique(t, return_inverse=True)[1] numbers the classes"
                )
    return np.ascontiguousarray(array, dtype=np.intp)


def is_one_hot(t: Array) -> bool:
    """Whether each row of t (N, K) holds one 1 and else 0."""
    if t.dtype.kind not in "biuf" or t.ndim != 2:
        return False
    return bool(((t == 0) | (t == 1)).all() and (np.count_nonzero(t, axis=1) == 1).all())


def _plain_array(values: npt.ArrayLike, name: str) -> Array:
    """`values` as an ordinary array; refuses what NumPy would convert wrongly or not at all."""
    if hasattr(values, "toarray"):
        raise DtypeError(f"{name} must be a dense array, got a sparse one; write {name}.toarray()")
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise DtypeError(f"{name} must not have masked entries; write {name}.filled(...)")
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ShapeError(f"{name} must be an array with rows of one length: {error}") from error
