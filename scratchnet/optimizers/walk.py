"""The walk over parameters: a network's vector in blocks, or arrays by name."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from scratchnet.errors import DivergenceError, DtypeError, ParameterError, ShapeError
from scratchnet.parameters import Array, Arrays, is_weight

Closure = Callable[[], float]
"""Computes the gradients where the parameters are, and returns the loss."""

Params = MutableMapping[str, Array] | Arrays


def walk(
    params: Params, grads: Mapping[str, Array], by_name: bool = False
) -> Iterator[tuple[str, Array, Array]]:
    """Name, parameters and gradient: a network's whole vector, unless `by_name`, or each array."""
    whole, whole_grads = getattr(params, "vector", None), getattr(grads, "vector", None)
    if not by_name and whole is not None and whole_grads is not None:
        yield "vector", whole, whole_grads
        return
    for name, w in params.items():
        if name not in grads:
            raise ParameterError(f"every parameter needs a gradient, there is none for {name!r}")
        g = grads[name]
        if not isinstance(w, np.ndarray) or w.dtype.kind != "f":
            raise DtypeError(
                f"parameters must be arrays of floats, {name!r} is {getattr(w, 'dtype', type(w))}"
            )
        if np.shape(g) != w.shape:
            raise ShapeError(
                f"a gradient has the shape of its parameter, {name!r} has {w.shape}, "
                f"its gradient {np.shape(g)}"
            )
        yield name, w, np.asarray(g)


@contextmanager
def as_arrays(params: Params) -> Iterator[Params]:
    """The parameters with an array () for each plain number, which gets its value afterwards.

    A number is a float, as in the book's functions of x and y.
    """
    numbers = _numbers(params)
    if not numbers:
        yield params
        return
    given: Any = params  # a dict, as there are numbers in it
    arrays = {name: np.array(w) if name in numbers else w for name, w in params.items()}
    try:
        yield arrays
    finally:
        for name, kind in numbers.items():
            given[name] = kind(arrays[name])


def apply(
    update: Callable[[Params, Mapping[str, Array], Closure | None], None],
    params: Params,
    grads: Mapping[str, Array],
    closure: Closure | None,
) -> None:
    """One step of `update`, which takes arrays, for parameters that may be plain numbers.

    Raises DivergenceError if a rule's own numbers leave the range of floats.
    """
    try:
        _apply(update, params, grads, closure)
    except DivergenceError:
        raise
    except ArithmeticError as error:
        raise DivergenceError(
            f"the numbers of the optimizer left the range of floats ({error}); choose an lr, and "
            "other options, nearer to their defaults"
        ) from error


def _apply(
    update: Callable[[Params, Mapping[str, Array], Closure | None], None],
    params: Params,
    grads: Mapping[str, Array],
    closure: Closure | None,
) -> None:
    numbers = _numbers(params)
    if not numbers:
        update(params, grads, closure)
        return
    given: Any = params  # a dict, as there are numbers in it
    with as_arrays(params) as arrays:
        slopes = {name: np.array(g, dtype=np.float64) for name, g in grads.items()}

        def again(compute: Closure) -> float:
            for name, kind in numbers.items():
                given[name] = kind(arrays[name])
            loss = compute()
            for name, g in slopes.items():
                g[...] = grads[name]
            return loss

        update(arrays, slopes, None if closure is None else partial(again, closure))


def _numbers(params: Params) -> dict[str, type[Any]]:
    """The parameters that are plain numbers, by name, with their type."""
    if isinstance(params, Arrays):
        return {}
    values: Iterable[tuple[str, Any]] = params.items()
    return {name: type(w) for name, w in values if isinstance(w, float)}


def weights_in(params: Params, w: Array) -> int:
    """How many values of `w`, from its first on, are weights."""
    if w is getattr(params, "vector", None):  # weights come first in a network's vector
        return sum(array.size for array in params.values() if is_weight(array.shape))
    return w.size if is_weight(w.shape) else 0
