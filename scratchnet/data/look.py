"""One look at the data: what often keeps a network from learning, said in one line each.

A few hundred rows are looked at, never all: it costs far less than loading does.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from scratchnet.data.samples import Samples
from scratchnet.errors import DataWarning, warn_caller
from scratchnet.parameters import Array

ROWS = 256
"""So many rows are looked at."""
LARGE, SMALL = 10.0, 0.01
"""Networks learn best from values near 1; these are too far away, as a root mean square."""
UNEVEN, UNEVEN_FEW, FEW = 100.0, 1000.0, 64
"""The widest column against the median one, and where there are few against the narrowest."""
APART = 10.0
"""The sizes of two parts of one data set never differ by this factor."""
LISTED = 10
"""At most so many classes are listed."""
CURE = 'standardize="features" (--standardize features) brings each column to mean 0, variance 1'


def look_at(samples: Samples, n_outputs: int, *, normalized: bool = False) -> list[str]:
    """What is doubtful about samples to train a network of `n_outputs` on.

    The values that a network normalizes first may lie anywhere.
    """
    return [
        *([] if normalized else _look_at_values(_rows(samples))),
        *(_look_at_labels(samples.t, n_outputs) if samples.t.ndim == 1 else []),
    ]


def look_at_both(train: Samples, other: Samples, name: str) -> list[str]:
    """Whether the samples called `name` have another scale than those to train on."""
    a, b = _rows(train), _rows(other)
    sizes = sorted((_size(a), _size(b)))
    if sizes[1] <= APART * sizes[0]:
        return []
    return [
        f"x of the training samples holds values {_span(a)}, x of the {name} {_span(b)}; bring "
        "both to one scale"
    ]


def hint_at_total(total: float, n_values: int) -> None:
    """Warn where the mean of inputs, from their sum, is far from 0: nobody has scaled them."""
    if abs(total) > LARGE * max(n_values, 1):
        warn_of_data(
            f"x has the mean {total / n_values:.4g}; networks learn best from values near 1: "
            f"divide pixels by 255, or {CURE}"
        )


def warn_of_data(*texts: str) -> None:
    """Warn of each text, by DataWarning, where the caller of scratchnet called it."""
    for text in texts:
        warn_caller(text, DataWarning)


def _rows(samples: Samples) -> Array:
    """Rows from all over the samples, or the first where these stay in their file; as float64."""
    step = 1 if samples.block_rows is not None else max(1, len(samples) // ROWS)
    return samples.x[::step][:ROWS].astype(np.float64) * samples.scale


def _size(x: Array) -> float:
    """The root mean square."""
    return float(np.sqrt(np.mean(np.square(x))))


def _span(x: Array) -> str:
    return f"from {x.min():.4g} to {x.max():.4g}"


def _look_at_values(x: Array) -> list[str]:
    """The spread of the columns of x, or if that is even, the range of all."""
    spread = x.std(axis=0)
    live = spread[spread > 0]
    if not len(live):
        return ["x has the same values in every row, which tell nothing apart"] * (len(x) > 1)
    least = live.min() if len(live) <= FEW else live.max()
    if live.max() > UNEVEN * np.median(live) or live.max() > UNEVEN_FEW * least:
        widest, narrowest = int(spread.argmax()), int(np.where(spread > 0, spread, np.inf).argmin())
        return [
            f"the columns of x spread unevenly, column {widest} by {spread[widest]:.3g} and column "
            f"{narrowest} by {spread[narrowest]:.3g}; {CURE}"
        ]
    if _size(x) > LARGE:
        fix = "for pixels divide by 255, as Samples(x, t, scale=1 / 255) does; "
        return [
            f"x holds values {_span(x)}; networks learn best from values near 1: "
            f"{fix if 127 < x.max() <= 255 and x.min() >= 0 else ''}{CURE}"
        ]
    if np.sqrt(np.mean(np.square(live))) < SMALL:
        return [
            f"x holds values {_span(x)}, which differ by little; networks learn best from values "
            f"near 1: {CURE}"
        ]
    return []


def _look_at_labels(t: Array, n_outputs: int) -> list[str]:
    """Classes without a sample."""
    if t.min() == t.max():
        return [f"every label is {t[0]}: there is nothing to tell apart"]
    n_classes = max(n_outputs, 2)  # one output tells two classes apart
    missing = np.flatnonzero(np.bincount(t, minlength=n_classes) == 0)
    if not len(missing):
        return []
    shift = "; labels that count from 1 need t - 1" if missing[0] == 0 else ""
    return [f"no training sample is of {_listed(missing)}, of {n_classes} classes{shift}"]


def _listed(classes: Iterable[Any]) -> str:
    words = [str(one) for one in classes]
    more = f" and {len(words) - LISTED} more" if len(words) > LISTED else ""
    return f"class{'es' * (len(words) > 1)} {', '.join(words[:LISTED])}{more}"
