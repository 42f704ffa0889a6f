"""The results of one epoch, in which every training sample is visited once."""

from collections.abc import Callable
from dataclasses import dataclass

MONITORS = ("val_loss", "val_accuracy")
"""The values of an epoch that early stopping can watch."""
OnStep = Callable[[int, float], object]
"""Is called after every update with the number of the step and its loss."""


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
