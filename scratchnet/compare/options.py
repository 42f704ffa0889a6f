"""The options of a comparison, each declared once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scratchnet.checks import Range
from scratchnet.errors import ParameterError
from scratchnet.options import TRAINING, Options, Parsed, option, options_of
from scratchnet.training.options import RUNS, RunOptions, TrainingOptions

COMPARE = frozenset({"compare"})
RATE = Range(above=0)


def _grid(text: str) -> str | list[float] | None:
    """The word auto, none, or the rates in "1e-4,1e-3"."""
    word = text.strip().lower()
    if word in ("auto", "none"):
        return "auto" if word == "auto" else None
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        rates = [0.0]
    if not all(rate in RATE for rate in rates):
        raise ParameterError(f"must be auto or finite numbers > 0 with commas, got {text!r}")
    if len(set(rates)) < len(rates):
        raise ParameterError(f"must hold each rate once, got {text!r}; remove one")
    return rates


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions(Options):
    """How several optimizers, seeds or rates are compared."""

    title = "comparison, if there are several optimizers"

    val_split: float = option(
        0.1,
        Range(at_least=0, below=1),
        "share of the training samples held out for validation",
        metavar="SHARE",
        jobs=TRAINING,
        group="data",
    )
    seeds: Any = option(
        1,
        Parsed(Range(at_least=1, integer=True).parse),
        "train with N seeds, from --seed on: means, intervals and tests",
        metavar="N",
        jobs=RUNS,
        resume=COMPARE,
    )
    jobs: int | None = option(
        None,
        Range(at_least=1, integer=True, optional=True),
        "processes that share the work (default: one for each processor)",
        metavar="N",
        jobs=COMPARE,
        resume=COMPARE,
    )
    lr_grid: Any = option(
        None,
        Parsed(_grid),
        "tune each optimizer on the validation samples: auto, or rates, for example 1e-4,1e-3,1e-2",
        metavar="RATES",
        jobs=frozenset({"train", "compare", "surface"}),
    )
    target: float | None = option(
        None,
        Range(above=0, at_most=1, optional=True),
        "count epochs and seconds to this validation accuracy (default: the one that all of them "
        "reach)",
        metavar="ACCURACY",
        jobs=COMPARE,
        resume=COMPARE,
    )


@dataclass(frozen=True, kw_only=True)
class CompareOptions(ComparisonOptions, RunOptions, TrainingOptions):
    """All options of `compare`."""


EACH_TRIAL_HAS = ("optimizer", "lr", "seed", "threads", "patience", "monitor")
"""Options of training that trials differ in, or that a comparison does not have."""
ACCEPTED = {n: one for n, one in options_of(CompareOptions).items() if n not in EACH_TRIAL_HAS}
"""The options that `compare` accepts."""
OF_TRIALS = [n for n in options_of(TrainingOptions) if n in ACCEPTED and n != "batch_size"]
"""The options that go to the Trainer of each trial."""
