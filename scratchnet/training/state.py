"""The state of training as plain data: the settings that it depends on, and where it is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

from scratchnet.data import Augmentation, Batches, Samples
from scratchnet.networks import Network
from scratchnet.optimizers import Optimizer
from scratchnet.parallel.ranks import Parallel
from scratchnet.schedules import Schedule
from scratchnet.training.epoch import Epoch
from scratchnet.training.sharing import tracks_statistics


class Training(Protocol):
    """The parts of a Trainer that its state is taken from and given to."""

    network: Network
    train: Samples
    validation: Samples | None
    batches: Batches
    optimizer: Optimizer
    schedule: Schedule
    augment: Augmentation | None
    seed: int
    shuffle: bool
    remeasure: int
    epochs: int
    steps: int
    history: list[Epoch]
    lr: float
    parallel: Parallel
    _optimizer_config: dict[str, Any]
    _loss_sum: float
    _right: int

    @property
    def ranks(self) -> int:
        """The number of ranks that share each batch."""


def settings_of(trainer: Training) -> dict[str, Any]:
    """All that the course of training depends on besides the network: options and data."""
    return {
        "optimizer": trainer._optimizer_config,
        "schedule": trainer.schedule.config(),
        "batch_size": trainer.batches.batch_size,
        "seed": trainer.seed,
        "train": trainer.train.digest(),
        "validation": None if trainer.validation is None else trainer.validation.digest(),
        "shuffle": trainer.shuffle,
        "remeasure": trainer.remeasure,
        "augment": None if trainer.augment is None else trainer.augment.config(),
    }


def state_of(trainer: Training) -> dict[str, Any]:
    """All that training continues from, besides the parameters: plain data and arrays.

    Wall times are 0 in it, so that equal courses of training have equal states.
    """
    return {
        "steps": trainer.steps,
        "epochs": trainer.epochs,
        "loss_sum": trainer._loss_sum,
        "right": trainer._right,
        "optimizer": trainer.optimizer.state(),
        "schedule": trainer.schedule.state(),
        "history": [
            asdict(replace(epoch, seconds=0.0, samples_per_second=0.0)) for epoch in trainer.history
        ],
    }


def restore_state(trainer: Training, state: Mapping[str, Any], times: Sequence[float]) -> None:
    """Continue from `state`; `times` are the seconds of the epochs in its history."""
    trainer.steps, trainer.epochs = state["steps"], state["epochs"]
    trainer._loss_sum, trainer._right = state["loss_sum"], state["right"]
    trainer.optimizer.restore(state["optimizer"])
    trainer.schedule.restore(state["schedule"])
    trainer.history = [
        replace(Epoch(**row), seconds=seconds, samples_per_second=len(trainer.train) / seconds)
        for row, seconds in zip(state["history"], times, strict=True)
    ]


def batch_stats_of(trainer: Training) -> str:
    """Whether layers measure whole batches, "all", or each rank its own rows, "rank"."""
    return trainer.parallel.batch_stats if tracks_statistics(trainer.network) else "all"
