"""The options of training, each declared once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scratchnet.checks import Range
from scratchnet.data import AUGMENTATIONS
from scratchnet.errors import ParameterError
from scratchnet.optimizers import OPTIMIZERS, Optimizer
from scratchnet.options import (
    EVERY_JOB,
    Names,
    Options,
    Parsed,
    Seeded,
    Switch,
    WordOr,
    Words,
    option,
    parse_amounts,
)
from scratchnet.schedules import SCHEDULES, Schedule
from scratchnet.training.epoch import MONITORS

RUNS = frozenset({"train", "compare"})
"""The jobs that train for epochs."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Seeded):
    """How a network is trained."""

    title = "training"

    optimizer: Any = option(
        "adam",
        Names(OPTIMIZERS, "optimizer", ready=Optimizer),
        f"one, or several to compare: {', '.join(OPTIMIZERS)}",
        listed=True,
        jobs=EVERY_JOB,
        shown=True,
        group="optimizer",
    )
    lr: float | None = option(
        None,
        Range(above=0, optional=True),
        "learning rate (default: the optimizer's own)",
        metavar="RATE",
        jobs=EVERY_JOB - {"find-lr"},
        group="optimizer",
    )
    schedule: str | Schedule = option(
        "constant",
        Names(SCHEDULES, "schedule", ready=Schedule),
        ", ".join(SCHEDULES),
        jobs=RUNS,
        group="optimizer",
    )
    batch_size: int | None = option(
        None,
        Range(at_least=1, integer=True, optional=True),
        "samples of one update (default: 100; lbfgs and rprop use the full batch)",
        metavar="N",
    )
    threads: int | str | None = option(
        "auto",
        WordOr("auto", Range(at_least=1, integer=True, optional=True)),
        "threads of the BLAS library, with images those that share each batch; auto goes by the "
        "sizes",
        metavar="N",
    )
    shuffle: bool = option(
        True, Switch(), "visit the samples in a new order in every epoch", door="library"
    )
    augment: Any = option(
        None,
        Parsed(parse_amounts),
        "distort each image anew in every epoch, for example shift=2,rotate=10,elastic=34:4; "
        f"there are {', '.join(AUGMENTATIONS)}",
        metavar="NAME=AMOUNT",
    )
    remeasure: int = option(
        0,
        Range(at_least=0, integer=True),
        "measure the statistics of batch normalization on N training samples after each epoch, "
        "without noise and dropout (default: in training)",
        metavar="N",
        jobs=RUNS,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.remeasure == 1:
            raise ParameterError("remeasure must be 0, or 2 samples or more, which have a variance")


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """How long training lasts."""

    title = "training"

    epochs: int = option(
        20,
        Range(at_least=1, integer=True),
        "passes over the training samples",
        metavar="N",
        jobs=RUNS,
        resume=frozenset({"train"}),
        shown=True,
    )
    patience: int | None = option(
        None,
        Range(at_least=1, integer=True, optional=True),
        "early stopping: stop after N epochs without improvement, and keep the weights of the "
        "best (default: never)",
        metavar="N",
        jobs=RUNS,
        resume=frozenset({"train"}),
    )
    monitor: str = option(
        "val_loss",
        Words(MONITORS),
        f"{' or '.join(MONITORS)}: what makes an epoch the best",
        jobs=RUNS,
    )
