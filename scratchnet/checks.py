"""Checks of single values at the border: what must hold, what came, in one sentence."""

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scratchnet.errors import ParameterError

LONGEST = 60
"""Characters of a value that a message quotes."""
SHOWN = 200
MOST = 10**100
"""Integers lie below: a float can be made of them, and a file holds them."""


class Range(NamedTuple):
    """The values an option may have: finite, above one bound or at it, below another."""

    above: float = -math.inf
    at_least: float = -math.inf
    below: float = math.inf
    at_most: float = math.inf
    optional: bool = False
    integer: bool = False

    def __contains__(self, value: object) -> bool:
        if value is None:
            return self.optional
        kind = int | np.integer if self.integer else int | float | np.number
        if isinstance(value, bool) or not isinstance(value, kind):
            return False
        if self.integer and abs(value) >= MOST:
            return False
        inside = self.above < value < self.below and self.at_least <= value <= self.at_most
        return bool(inside and math.isfinite(value))

    def check(self, name: str, value: Any) -> Any:
        """`value` as an int or a float, or None; raises ParameterError where it is outside."""
        if value not in self:
            raise ParameterError(f"{name} must be {self}, got {value!r}")
        if value is None:
            return None
        return int(value) if self.integer else float(value)

    def parse(self, text: str) -> int | float | None:
        """The number that `text` means, or None for "none"; raises ParameterError."""
        if self.optional and text.strip().lower() == "none":
            return None
        allowed = self._replace(optional=False)
        try:
            value = int(text) if self.integer else float(text)
        except ValueError:  # also of more digits than Python reads
            fix = text.replace(",", ".")
            point = "," in text and not self.integer and is_number(fix)
            hint = f"; use a point, {fix}" if point else ""
            raise ParameterError(f"must be {allowed}, got {text!r}{hint}") from None
        if value not in self:
            came = quoted(text) if self.integer else quoted(text.strip())[1:-1]
            raise ParameterError(f"must be {allowed}, got {came}")
        return value

    def __str__(self) -> str:
        if self.at_least == self.at_most:
            return f"{self.at_least:g}"
        words = [f"> {self.above:g}"] if self.above > -math.inf else []
        words += [f">= {self.at_least:g}"] if self.at_least > -math.inf else []
        words += [f"< {self.below:g}"] if self.below < math.inf else []
        words += [f"<= {self.at_most:g}"] if self.at_most < math.inf else []
        kind = "an integer" if self.integer else "a finite number"
        return " ".join([kind, " and ".join(words)]).rstrip() + " or None" * self.optional


DTYPES = ("float32", "float64")


def check_integer(name: str, value: Any, at_least: int) -> int:
    """`value` as an int; raises ParameterError unless it is an integer of `at_least` or more."""
    return int(Range(at_least=at_least, integer=True).check(name, value))


def check_not_negative(name: str, value: Any) -> float:
    """`value` as a float; raises ParameterError unless it is a finite number >= 0."""
    return float(Range(at_least=0).check(name, value))


def check_above_zero(name: str, value: Any) -> float:
    """`value` as a float; raises ParameterError unless it is a finite number > 0."""
    return float(Range(above=0).check(name, value))


def check_share(name: str, value: Any) -> float:
    """`value` as a float; raises ParameterError unless it is a number from 0 to below 1."""
    return float(Range(at_least=0, below=1).check(name, value))


def check_word(name: str, value: Any, words: Sequence[str]) -> str:
    """`value` if it is one of `words`; raises ParameterError that lists them."""
    if value not in words:
        raise ParameterError(f"{name} must be one of {', '.join(words)}, got {value!r}")
    return str(value)


def quoted(text: str) -> str:
    """`text` in quotes, at most LONGEST characters of it."""
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({len(text)} characters)")


def printable(text: str) -> str:
    """`text` on one line, without what would control a terminal, and at most 200 characters.

    What a server, or a file of a stranger, says is shown by it.
    """
    shown = without_controls(" ".join(text.split()))
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."


def without_controls(text: str) -> str:
    """`text` on one line, with backslashes for its line ends and what would control a terminal."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def is_sparse(x: object) -> bool:
    """Whether the rows x (N, D) of a data set are a sparse array of SciPy's, and no array."""
    return not isinstance(x, np.ndarray)


def is_number(text: str) -> bool:
    """Whether `float` can read the text."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_dtype(dtype: npt.DTypeLike) -> str:
    """The name of the dtype, float32 or float64; raises ParameterError for any other."""
    name = repr(dtype)
    # A text from a file may say anything: NumPy would take one with commas apart, as code.
    if not isinstance(dtype, str) or re.fullmatch("[<>=|]?[A-Za-z]+[0-9]{0,3}", dtype):
        with suppress(TypeError):
            name = np.dtype(dtype).name
    if dtype is None or name not in DTYPES:
        raise ParameterError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    return name
