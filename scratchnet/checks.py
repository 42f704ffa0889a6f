"""Checks of single values at the border: what must hold, what came, in one sentence."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.errors import ParameterError

DTYPES = ("float32", "float64")


def check_integer(name: str, value: Any, at_least: int) -> int:
    """`value` as an int; raises ParameterError unless it is an integer of `at_least` or more."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise ParameterError(f"{name} must be an integer >= {at_least}, got {value!r}")
    return int(value)


def check_not_negative(name: str, value: Any) -> float:
    """`value` as a float; raises ParameterError unless it is a finite number >= 0."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ParameterError(f"{name} must be a finite number >= 0, got {value!r}")
    if not (math.isfinite(value) and value >= 0):
        raise ParameterError(f"{name} must be a finite number >= 0, got {value!r}")
    return float(value)


def check_dtype(dtype: npt.DTypeLike) -> str:
    """The name of the dtype, float32 or float64; raises ParameterError for any other."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = repr(dtype)
    if dtype is None or name not in DTYPES:
        raise ParameterError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    return name
