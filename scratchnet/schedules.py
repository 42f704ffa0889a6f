"""Schedules: by how much the learning rate is multiplied as training goes on.

Each is a plain function of progress p, from 0 at the start to 1 at the end of training, that can
be plotted; `Schedule` puts a warm-up before one. One of them, the plateau, also looks at results.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from scratchnet.checks import Range, check_integer, check_not_negative
from scratchnet.errors import ParameterError
from scratchnet.registry import canonical


def constant(p: float) -> float:
    """1."""
    return 1.0


def step(p: float, every: float = 1 / 3, gamma: float = 0.1) -> float:
    """gamma^floor(p / every): a step down by gamma at each `every` of training."""
    return gamma ** math.floor(p / every)


def multi_step(p: float, at: Sequence[float] | float = (0.5, 0.75), gamma: float = 0.1) -> float:
    """gamma^k, k being how many of the points in `at` have been passed (He et al. 2015)."""
    return gamma ** sum(p >= point for point in ([at] if isinstance(at, float | int) else at))


def exponential(p: float, end: float = 0.01) -> float:
    """end^p: falls by the same factor in equal times, to `end`."""
    return float(end**p)


def linear(p: float, end: float = 0.0, hold: float = 0.0) -> float:
    """1 up to p = hold, then 1 + (end - 1) (p - hold) / (1 - hold): a straight line to `end`."""
    return 1.0 + (end - 1.0) * max(p - hold, 0.0) / (1.0 - hold)


def polynomial(p: float, power: float = 2.0, end: float = 0.0) -> float:
    """(1 - end) (1 - p)^power + end (Chen et al. 2015)."""
    return float((1.0 - end) * (1.0 - p) ** power + end)


def cosine(p: float, end: float = 0.0) -> float:
    """end + (1 - end) (1 + cos(pi p)) / 2 (Loshchilov and Hutter 2016, eq. 5, without restarts)."""
    return end + (1.0 - end) * (1.0 + math.cos(math.pi * p)) / 2.0


def cosine_restarts(p: float, cycles: int = 3, growth: float = 2.0, end: float = 0.0) -> float:
    """`cosine` begun anew, `cycles` times, each `growth` times as long as the one before.

    Loshchilov and Hutter 2016, eq. 5, with growth for their T_mult.
    """
    lengths = [growth**k for k in range(cycles)]
    start, total = 0.0, sum(lengths)
    for length in lengths:
        if p < (start + length) / total:
            return cosine((p * total - start) / length, end)
        start += length
    return end


def inverse_sqrt(p: float, knee: float = 0.1) -> float:
    """1 / sqrt(1 + p / knee): falls as 1 / sqrt(step) once past the knee (Vaswani et al. 2017)."""
    return 1.0 / math.sqrt(1.0 + p / knee)


class Schedule:
    """A schedule by name, after a warm-up: a straight line from 0 over the first `warmup` of steps.

    Behind it the schedule runs over what is left: its own p is (p - warmup) / (1 - warmup).
    `warmup` None is what the schedule is used with: 0.3 for one-cycle, which is a warm-up and a
    straight line down (Smith 2018, in its simplest form), else 0. `options` are the arguments of
    the function, for example `end=0.1`.

    >>> Schedule("cosine", warmup=0.1)(0.05), Schedule("cosine", warmup=0.1)(1.0)
    (0.5, 0.0)

    Raises ParameterError for an unknown name or option, or a warmup outside of 0 to below 1.
    """

    def __init__(
        self, name: str = "constant", /, warmup: float | None = None, **options: Any
    ) -> None:
        self.name = canonical(SCHEDULES, name, "schedule")
        usual = USUAL_WARMUP.get(self.name, 0.0)
        self.warmup = usual if warmup is None else check_not_negative("warmup", warmup)
        if self.warmup >= 1:
            raise ParameterError(f"warmup must be a share of training below 1, got {warmup!r}")
        _check_options(self.name, SCHEDULES[self.name], options)
        self.options = options

    def __call__(self, p: float) -> float:
        """The factor at progress p, 0 to 1."""
        if p < self.warmup:
            return p / self.warmup
        return SCHEDULES[self.name]((p - self.warmup) / (1.0 - self.warmup), **self.options)

    def observe(self, value: float) -> None:
        """Take note of a validation loss, at the end of an epoch; only the plateau does."""

    def config(self) -> dict[str, Any]:
        """The arguments that make a schedule like this one, as JSON values."""
        return {"name": self.name, "warmup": self.warmup, **self.options}

    def state(self) -> dict[str, Any]:
        """The state of the schedule; only the plateau has any."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what `state` gave."""

    def __repr__(self) -> str:
        parts = [repr(self.name)]
        parts += [f"warmup={self.warmup:g}"] if self.warmup else []
        parts += [f"{name}={value!r}" for name, value in self.options.items()]
        return f"{type(self).__name__}({', '.join(parts)})"


class Plateau(Schedule):
    """Multiplies by `factor` whenever `patience` epochs have brought no lower validation loss.

    After a warm-up as any Schedule has. Needs validation samples. `patience` counts anew after each
    step down. Raises ParameterError for an option out of its range.
    """

    def __init__(self, warmup: float | None = None, factor: float = 0.1, patience: int = 3) -> None:
        super().__init__("plateau", warmup)
        _check_options("plateau", Plateau, {"factor": factor})
        self.factor, self.patience = factor, check_integer("patience", patience, 1)
        self.options = {"factor": factor, "patience": patience}
        self.level = 1.0
        self.best: float | None = None
        self.waited = 0

    def __call__(self, p: float) -> float:
        """The factor at progress p, after what has been observed."""
        return self.level * (p / self.warmup if p < self.warmup else 1.0)

    def observe(self, value: float) -> None:
        """Take note of the validation loss of an epoch, and step down after `patience` of them."""
        self.waited += 1
        if self.best is None or value < self.best:
            self.best, self.waited = value, 0
        elif self.waited >= self.patience:
            self.level, self.waited = self.level * self.factor, 0

    def state(self) -> dict[str, Any]:
        """The level, the lowest loss, and how long it has been waited for a lower one."""
        return {"level": self.level, "best": self.best, "waited": self.waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what `state` gave."""
        self.level, self.best, self.waited = state["level"], state["best"], state["waited"]


def make_schedule(
    which: str | Schedule, /, warmup: float | None = None, **options: Any
) -> Schedule:
    """The schedule called `which`, or itself; raises ParameterError."""
    if isinstance(which, Schedule):
        return which
    if canonical(SCHEDULES, which, "schedule") == "plateau":
        _check_options("plateau", Plateau, options)
        return Plateau(warmup, **options)
    return Schedule(which, warmup, **options)


def _check_options(name: str, make: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Raise ParameterError for an option that `make` does not have, or out of its range."""
    known = [one for one in inspect.signature(make).parameters if one in RANGES]
    for option, value in options.items():
        if option not in known:
            names = ", ".join(known) or "none"
            raise ParameterError(f"{name} has no option {option!r}; it has {names}")
        values = value if option == "at" and isinstance(value, tuple | list) else [value]
        if any(one not in RANGES[option] for one in values):
            raise ParameterError(f"{option} must be {RANGES[option]}, got {value!r}")


RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "every": Range(above=0),
        "gamma": Range(above=0, at_most=1),
        "at": Range(at_least=0, at_most=1),
        "end": Range(at_least=0, at_most=1),
        "hold": Range(at_least=0, below=1),
        "power": Range(above=0),
        "cycles": Range(at_least=1, integer=True),
        "growth": Range(above=0),
        "knee": Range(above=0),
        "factor": Range(above=0, below=1),
        "patience": Range(at_least=1, integer=True),
    }
)
"""The ranges of the options of schedules; a name means the same in all of them."""

SCHEDULES: Mapping[str, Callable[..., float]] = MappingProxyType(
    {
        "constant": constant,
        "step": step,
        "multi-step": multi_step,
        "exponential": exponential,
        "linear": linear,
        "polynomial": polynomial,
        "cosine": cosine,
        "cosine-restarts": cosine_restarts,
        "one-cycle": linear,
        "inverse-sqrt": inverse_sqrt,
        "plateau": constant,
    }
)
"""Every schedule by name."""

USUAL_WARMUP: Mapping[str, float] = MappingProxyType({"one-cycle": 0.3})
