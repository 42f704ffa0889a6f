"""The border of a network: inputs checked once, then trusted."""

import math

import numpy as np
import numpy.typing as npt

from scratchnet.data.look import hint_at_total
from scratchnet.errors import DtypeError, ShapeError
from scratchnet.parameters import Array, Shape


def check_rows(
    x: npt.ArrayLike, shape: Shape, dtype: str, *, normalized: bool = False, images: bool = False
) -> Array:
    """`x` as rows (N, D) of a network that takes this shape; raises as `Network.check_inputs`.

    A network of `images` (H, W, C) also takes them as (N, C, H, W), and turns them round.
    """
    x = np.asarray(x)
    if images and x.ndim > 2:
        x = _channels_last(x, shape)
    if x.dtype.kind not in "biuf":
        raise DtypeError(f"x must be an array of real numbers, got dtype {x.dtype}")
    if x.ndim < 2 or (x.size == math.prod(shape) and not _fits(x.shape[1:], shape)):
        raise ShapeError(
            f"x must have the shape {_expected(shape)}, got {x.shape}; for a single sample use "
            "x.reshape(1, -1)"
        )
    if x.size == 0 or not _fits(x.shape[1:], shape):
        raise ShapeError(f"x must have the shape {_expected(shape)}, got {x.shape}")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf and is named
        x = x.reshape(len(x), -1).astype(dtype, copy=False)
        total = float(x.sum())  # one quick pass, in which a sum may overflow too
    if not math.isfinite(total):
        _check_finite(x)
    elif not normalized:
        hint_at_total(total, x.size)
    return x


def refuse_swapped(x: npt.ArrayLike, t: npt.ArrayLike, n_in: int, n_out: int) -> None:
    """Raise ShapeError if t can only be the inputs of a network of n_in to n_out values."""
    given, shape = getattr(x, "shape", ()), getattr(t, "shape", ())
    if len(shape) > 1 and math.prod(shape[1:]) == n_in != n_out:
        if given == shape:
            raise ShapeError(f"t has the shape of x, {shape}: are they swapped? give x, then t")
        if len(given) == 1:
            raise ShapeError(
                f"x has the shape {given}, t has {shape}: are they swapped? give x, then t"
            )


def _channels_last(x: Array, shape: Shape) -> Array:
    """Images (N, C, H, W) as (N, H, W, C), where only that is the shape of the network.

    One channel need not be there, in either of the two.
    """
    own = (*shape, 1)[:3] if len(shape) == 2 else shape
    given = x.shape[1:] if x.ndim == 4 or own[-1] > 1 else (*x.shape[1:], 1)
    if x.ndim == 4 and given == (own[2], *own[:2]) != own:
        return x.transpose(0, 2, 3, 1).reshape(len(x), *shape)
    return x.reshape(len(x), *shape) if given == own else x


def _fits(given: Shape, own: Shape) -> bool:
    """Whether a network of rows of the shape `own` takes rows of the shape `given`.

    A network of flat rows takes any shape of so many values. One of images (C, H, W) takes flat
    rows, that shape, and with one channel (H, W).
    """
    if len(own) == 1 or len(given) == 1:
        return math.prod(given) == math.prod(own)
    return given == own or (own[0] == 1 and given == own[1:])


def _expected(shape: Shape) -> str:
    sizes = [f"(N, {math.prod(shape)})"]
    if len(shape) > 1:
        sizes.append(f"(N, {', '.join(map(str, shape))})")
    return " or ".join(sizes)


def _check_finite(x: Array) -> None:
    """Raise ShapeError naming the first value of x (N, D) that is not finite, if there is one."""
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        row, column = bad[0]
        raise ShapeError(
            f"x must hold finite numbers, got {x[row, column]} at row {row}, column {column}; "
            "remove or replace such values"
        )
