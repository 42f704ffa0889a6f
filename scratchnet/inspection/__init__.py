"""A network looked at: its predictions, its layers, its gradients, its learning rate."""

from scratchnet.inspection.layers import inspect_layers
from scratchnet.inspection.predictions import (
    compare_with_guess,
    confusion_matrix,
    inspect_predictions,
    wilson_interval,
)

__all__ = [
    "compare_with_guess",
    "confusion_matrix",
    "inspect_layers",
    "inspect_predictions",
    "wilson_interval",
]
