"""The names of parameters in a network, and the words of older versions."""

import itertools
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from scratchnet.layers import Layer


def name_parameters(layers: Sequence[Layer]) -> list[dict[str, str]]:
    """For each layer the network's names of its parameters and statistics.

    A name ends in the number of layers with a weight W up to there, this one included; if another
    layer has taken the name already, in the next free number.
    """
    taken: set[str] = set()
    found = []
    count = 0
    for layer in layers:
        count += "W" in layer.shapes
        of_layer = {}
        for own in (*layer.shapes, *layer.statistic_shapes):
            number = next(n for n in itertools.count(count) if f"{own}{n}" not in taken)
            of_layer[own] = f"{own}{number}"
            taken.add(of_layer[own])
        found.append(of_layer)
    return found


def old_names(layers: Sequence[Layer]) -> dict[str, str]:
    """The names of version 0.1, which counted each name by itself, by the names of today."""
    counts: Counter[str] = Counter()
    found = {}
    for names in name_parameters(layers):
        counts.update(names.keys())
        found.update({new: f"{own}{counts[own]}" for own, new in names.items()})
    return found


def read_old_name(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a network, `weight_decay` read as `l2`; warns where the caller is called.

    The old name works until version 0.3, with a FutureWarning. Raises TypeError for both names.
    """
    if "weight_decay" not in options:
        return dict(options)
    if "l2" in options:
        raise TypeError("weight_decay is the old name of l2; give l2 alone")
    warnings.warn(
        "weight_decay of a network is now l2, and the old name works until version 0.3; "
        "weight_decay is an option of optimizers",
        FutureWarning,
        stacklevel=3,
    )
    return {("l2" if name == "weight_decay" else name): value for name, value in options.items()}
