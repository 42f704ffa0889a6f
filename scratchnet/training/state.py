"""The state of training as plain data: the settings that it depends on, and where it is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Protocol

from scratchnet.data import Augmentation, Batches, Samples
from scratchnet.networks import Network
from scratchnet.optimizers import Optimizer
from scratchnet.optimizers.walk import walk
from scratchnet.parallel.ranks import Parallel
from scratchnet.schedules import Schedule
from scratchnet.training.epoch import History, read_epoch
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
    history: History
    lr: float
    parallel: Parallel
    parts: int
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


def state_of(trainer: Training, *, history: bool = True) -> dict[str, Any]:
    """All that training continues from, besides the parameters: plain data and arrays.

    With history=False it has no history, and is made as quickly after any number of epochs. Wall
    times are 0 in it, so that equal courses of training have equal states.
    """
    return {
        "steps": trainer.steps,
        "epochs": trainer.epochs,
        "loss_sum": trainer._loss_sum,
        "right": trainer._right,
        "optimizer": trainer.optimizer.state(),
        "schedule": trainer.schedule.state(),
        "history": [
            asdict(replace(epoch, seconds=0.0, samples_per_second=0.0))
            for epoch in (trainer.history if history else ())
        ],
    }


def restore_state(trainer: Training, state: Mapping[str, Any], times: Sequence[float]) -> None:
    """Continue from `state`; `times` are the seconds of the epochs in its history."""
    steps, epochs, right = (_count(name, state[name]) for name in ("steps", "epochs", "right"))
    history = History(
        replace(read_epoch(row), seconds=seconds, samples_per_second=len(trainer.train) / seconds)
        for row, seconds in zip(state["history"], times, strict=True)
    )
    trainer._loss_sum, trainer._right = float(state["loss_sum"]), right
    trainer.optimizer.restore(state["optimizer"])
    check_slots(trainer.optimizer, trainer.network)
    trainer.schedule.restore(state["schedule"])
    trainer.steps, trainer.epochs, trainer.history = steps, epochs, history


def check_slots(optimizer: Any, network: Network) -> None:
    """Raise TypeError or ValueError if what the optimizer remembers is not of this network."""
    for name, count in optimizer.steps.items():
        _count(f"steps of {name}", count)
    for numbers in optimizer.scalars.values():
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"{name} must be a number, got {value!r}")
    params = network.params
    for name, w, _ in walk(params, params, not optimizer.elementwise):
        found = {what: slot.shape for what, slot in optimizer.slot_values.get(name, {}).items()}
        if found and found != optimizer.slot_shapes(w):
            raise ValueError(f"{name} has slots {found}, not {optimizer.slot_shapes(w)}")
    inner = getattr(optimizer, "inner", None)
    if inner is not None:
        check_slots(inner, network)


def _count(name: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{name} must be an integer >= 0, got {value!r}")
    return value


def batch_stats_of(trainer: Training) -> str:
    """Whether layers measure whole batches, "all", or each rank its own rows, "rank"."""
    return trainer.parallel.batch_stats if tracks_statistics(trainer.network) else "all"
