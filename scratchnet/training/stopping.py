"""Early stopping: keep the best weights, and stop when they no longer improve."""

from collections.abc import Mapping
from typing import Any

from scratchnet.errors import ParameterError
from scratchnet.networks import Network
from scratchnet.training.epoch import Epoch
from scratchnet.training.options import RunOptions


class EarlyStopping:
    """Keeps the weights of the best epoch, and says when `patience` epochs brought no better one.

    network: the network that is trained.
    patience: epochs without improvement after which to stop, from 1; None never stops.
    monitor: "val_loss", of which lower is better, or "val_accuracy", of which higher is better.

    >>> stopping = EarlyStopping(network, patience=5)
    >>> for epoch in trainer.run(100):
    ...     if stopping.should_stop(epoch):
    ...         break
    >>> stopping.restore_best()

    Raises ParameterError if patience is no integer >= 1, or monitor is unknown.
    """

    def __init__(
        self, network: Network, patience: int | None, monitor: str = RunOptions.monitor
    ) -> None:
        given = RunOptions(patience=patience, monitor=monitor)
        self.network = network
        self.patience, self.monitor = given.patience, given.monitor
        self.best: float | None = None
        self.best_epoch = 0
        self.weights = network.state_vector.copy()

    def should_stop(self, epoch: Epoch) -> bool:
        """Note the epoch; True if `patience` epochs, this one included, brought no better one.

        Raises ParameterError if the Trainer has no validation samples.
        """
        value = getattr(epoch, self.monitor)
        if value is None:
            raise ParameterError("early stopping needs validation samples, the Trainer has none")
        if self.best is None or (
            value < self.best if self.monitor == "val_loss" else value > self.best
        ):
            self.best, self.best_epoch = value, epoch.number
            self.weights[:] = self.network.state_vector
        return self.is_over(epoch.number)

    def is_over(self, number: int) -> bool:
        """True if `patience` epochs have passed between the best epoch and epoch `number`."""
        return self.patience is not None and number - self.best_epoch >= self.patience

    def restore_best(self) -> None:
        """Give the network the weights of the best epoch; before any epoch, those it began with."""
        self.network.state_vector[:] = self.weights

    def state(self) -> dict[str, Any]:
        """The best value, its epoch and its weights."""
        return {"best": self.best, "best_epoch": self.best_epoch, "weights": self.weights.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned."""
        best, epoch = state["best"], state["best_epoch"]
        if type(epoch) is not int or not (best is None or isinstance(best, int | float)):
            raise TypeError(f"the best epoch and value must be numbers, got {epoch!r} and {best!r}")
        self.best, self.best_epoch = best, epoch
        self.weights[:] = state["weights"]
