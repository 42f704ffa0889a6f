"""The results of each epoch, in which every training sample is visited once."""

import math
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import overload

MONITORS = ("val_loss", "val_accuracy")
"""The values of an epoch that early stopping can watch."""
OnStep = Callable[[int, float], object]
"""Is called after every update with the number of the step and its loss."""


@dataclass(frozen=True)
class Watch:
    """An `on_step` that may be called late: for one step after the other, once several are made.

    `steps_ahead(step)` says how many steps after `step` may be made before it is called for them.
    In it `trainer.ahead` is how many steps further the network is than the one it is called for.
    """

    call: OnStep
    steps_ahead: Callable[[int], int] = lambda step: sys.maxsize

    def __call__(self, step: int, loss: float) -> None:
        """What is to be done for a step."""
        self.call(step, loss)


@dataclass(frozen=True)
class Epoch:
    """The results of one epoch."""

    number: int
    """Epochs completed, this one included: 1 for the first."""
    steps: int
    """Updates since the start."""
    loss: float
    """Mean training loss of the forward passes that gave the gradients, without the penalty."""
    accuracy: float
    """Share of the training samples that those same passes classified correctly."""
    penalty: float
    """The L2 penalty on the weights at the end of the epoch."""
    val_loss: float | None
    """Mean loss on the validation samples at the end of the epoch; None without any."""
    val_accuracy: float | None
    """Accuracy on the validation samples at the end of the epoch; None without any."""
    seconds: float
    """Wall time of the training steps; evaluation is not counted."""
    samples_per_second: float
    """Training samples per second of that time."""
    lr: float
    """Learning rate of the last step."""


COLUMNS = tuple(one.name for one in fields(Epoch))
VALUES = attrgetter(*COLUMNS)
WHOLE = ("number", "steps")


class History(Sequence[Epoch]):
    """The epochs so far, oldest first: a list that takes 80 bytes an epoch."""

    def __init__(self, epochs: Iterable[Epoch] = ()) -> None:
        self._values = array("d")
        for epoch in epochs:
            self.append(epoch)

    def append(self, epoch: Epoch) -> None:
        """Add an epoch at the end."""
        values = VALUES(epoch)
        self._values.extend([math.nan if value is None else value for value in values])

    def __len__(self) -> int:
        return len(self._values) // len(COLUMNS)

    @overload
    def __getitem__(self, index: int) -> Epoch: ...
    @overload
    def __getitem__(self, index: slice) -> list[Epoch]: ...
    def __getitem__(self, index: int | slice) -> Epoch | list[Epoch]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        start = range(len(self))[index] * len(COLUMNS)
        values = self._values[start : start + len(COLUMNS)]
        made = dict(zip(COLUMNS, (None if math.isnan(v) else v for v in values), strict=True))
        return Epoch(**made | {name: int(made[name] or 0) for name in WHOLE})  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"History({len(self)} epochs)"


def read_epoch(row: object) -> Epoch:
    """The epoch of plain values that nobody vouches for; raises TypeError or ValueError."""
    if not isinstance(row, dict) or set(row) != set(COLUMNS):
        raise ValueError(f"an epoch must have the values {', '.join(COLUMNS)}")
    for name, value in row.items():
        kinds = int if name in WHOLE else (int, float)
        missing = value is None and name.startswith("val_")
        if not missing and (isinstance(value, bool) or not isinstance(value, kinds)):
            raise TypeError(f"{name} of an epoch must be a number, got {value!r}")
        if not missing and not abs(value) < 2**1023:
            raise ValueError(f"{name} of an epoch must be a finite number, got {value!r}")
    return Epoch(**row)
