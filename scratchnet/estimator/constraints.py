"""The arguments of the estimators, checked as scikit-learn checks its own: at the first use.

scikit-learn describes what an argument may be by constraints, in `_parameter_constraints`. Those of
an option that a network or the Trainer has follow from its kind, so that no range stands twice.
"""

import functools
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)

from scratchnet.checks import Range
from scratchnet.errors import ParameterError
from scratchnet.options import Names, Option, Switch, Words
from scratchnet.registry import canonical, nearest

NO_DEFAULT = object()


class ArgumentError(ParameterError, InvalidParameterError):  # type: ignore[misc]
    """An argument of an estimator that cannot be; it is scikit-learn's error for it, too."""


class Name(StrOptions):  # type: ignore[misc]
    """One of a few names, in any case."""

    def is_satisfied_by(self, val: Any) -> bool:
        """Whether `val` is one of them."""
        try:
            return isinstance(val, str) and bool(canonical(dict.fromkeys(self.options), val, ""))
        except ParameterError:
            return False


def names(table: Iterable[str]) -> Name:
    """The constraint for a name of a table."""
    return Name(set(table))


def interval(kind: type, low: float | None, high: float | None, closed: str) -> Interval:
    """scikit-learn's constraint for a range of numbers, an end that is None being open."""
    return Interval(kind, low, high, closed=closed)


def constraints_of(about: Option) -> list[Any] | str:
    """scikit-learn's constraints for an option; no_validation for one that is checked elsewhere."""
    kind = about.kind
    found: list[Any]
    if isinstance(kind, Range):
        found = [_interval_of(kind)]
    elif isinstance(kind, Switch):
        found = ["boolean"]
    elif isinstance(kind, Words):
        found = [StrOptions(set(kind.words))]
    elif isinstance(kind, Names):
        found = [names(kind.table), *([kind.ready] if kind.ready else [])]
    else:
        return "no_validation"
    return found + ["array-like"] * about.each + [None] * getattr(kind, "optional", False)


def _interval_of(kind: Range) -> Interval:
    left, right = kind.at_least > -np.inf, kind.at_most < np.inf
    low = kind.at_least if left else kind.above
    high = kind.at_most if right else kind.below
    closed = {(True, True): "both", (True, False): "left", (False, True): "right"}
    return interval(
        Integral if kind.integer else Real,
        None if low == -np.inf else low,
        None if high == np.inf else high,
        closed.get((left, right), "neither"),
    )


def check_arguments(estimator: Any, defaults: Mapping[str, Any]) -> None:
    """Raise ArgumentError for the first argument that its constraints do not allow.

    A default is not checked anew each time: that takes longer than to fit a small network.
    """
    given = {
        name: value
        for name in estimator._parameter_constraints
        if (value := getattr(estimator, name)) is not defaults.get(name, NO_DEFAULT)
    }
    if not given:
        return
    try:
        validate_parameter_constraints(
            estimator._parameter_constraints, given, type(estimator).__name__
        )
    except InvalidParameterError as error:
        raise ArgumentError(f"{error}{_hint(estimator, given, str(error))}") from None


def _hint(estimator: Any, given: Mapping[str, Any], message: str) -> str:
    """The nearest of the names that a misspelt one could have meant, as a question."""
    name = message.partition("'")[2].partition("'")[0]
    value, constraints = given.get(name), estimator._parameter_constraints[name]
    known = [c for c in constraints if isinstance(c, StrOptions)] if constraints else []
    near = nearest(value, set().union(*(c.options for c in known))) if isinstance(value, str) else 0
    return f" (did you mean {near!r}?)" if near else ""


@functools.cache
def defaults_of(kind: Any) -> Mapping[str, Any]:
    """The default of each argument of an estimator."""
    return {name: one.default for name, one in kind.__dataclass_fields__.items()}
