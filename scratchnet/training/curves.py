"""The training loss over steps, of which only so much is kept as a figure can show."""

from typing import Any

from scratchnet.training import Trainer

POINTS = 50
"""Points of a curve for each epoch, at most."""


class LossCurve:
    """Mean training loss of each few steps, and the rate of the last: 50 points an epoch at most.

    >>> curve = LossCurve(trainer)
    >>> trainer.on_step = curve.add
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.steps_an_epoch = len(trainer.batches)
        self.every = -(-self.steps_an_epoch // POINTS)
        self.rows: list[dict[str, Any]] = []
        self._sum, self._count = 0.0, 0

    def add(self, step: int, loss: float) -> None:
        """Take in the loss of a step; a point never reaches over the end of an epoch."""
        self._sum, self._count = self._sum + loss, self._count + 1
        in_epoch = step % self.steps_an_epoch
        if in_epoch % self.every == 0:
            mean = self._sum / self._count
            self.rows.append({"step": step, "loss": mean, "lr": self.trainer.optimizer.lr})
            self._sum, self._count = 0.0, 0

    def take(self) -> list[dict[str, Any]]:
        """The points since the last call."""
        rows, self.rows = self.rows, []
        return rows
