"""A network looked at: its predictions, its layers, its gradients, its learning rate."""

from scratchnet.inspection.images import (
    apply_filter,
    feature_maps,
    filters,
    grad_cam,
    saliency,
    visualize_filter,
)
from scratchnet.inspection.layers import inspect_layers
from scratchnet.inspection.predictions import (
    compare_with_guess,
    confusion_matrix,
    inspect_predictions,
    wilson_interval,
)
from scratchnet.inspection.verdict import Figures, Verdict, judge

__all__ = [
    "Figures",
    "Verdict",
    "apply_filter",
    "compare_with_guess",
    "confusion_matrix",
    "feature_maps",
    "filters",
    "grad_cam",
    "inspect_layers",
    "inspect_predictions",
    "judge",
    "saliency",
    "visualize_filter",
    "wilson_interval",
]
