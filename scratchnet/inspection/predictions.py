"""The predictions of a network: right or wrong, with what confidence, class by class.

What comes back is plain data, as JSON values.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet.data import Batches, Samples
from scratchnet.networks import Network
from scratchnet.parameters import Array

Z95 = 1.959963984540054
"""Of a standard normal value 95 % lie between -Z95 and Z95."""
BINS = 15
MISTAKES = 24


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, of which `right` of n were seen.

    (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n) with p = right / n (Wilson
    1927): from 0 to 1 for every count, unlike p +- z sqrt(p (1 - p) / n).
    """
    p, z2 = right / n, Z95 * Z95
    middle = p + z2 / (2 * n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    low, high = (middle - half) / (1 + z2 / n), (middle + half) / (1 + z2 / n)
    return max(0.0, low), min(1.0, high)


def compare_with_guess(t: Array, accuracy: float, loss: float | None) -> dict[str, Any]:
    """Whether a network learned more of the labels t (N,) than how frequent each class is.

    "guess_accuracy" is that of the most frequent class. "learned" is false if the accuracy is not
    above that by two standard errors, and the loss, if it is a cross-entropy, not below 0.98 times
    the entropy of the classes, which is that of guesses by their shares.
    """
    shares = np.bincount(t) / len(t)
    guess = float(shares.max())
    entropy = -float(sum(p * math.log(p) for p in shares if p))
    margin = 2 * math.sqrt(guess * (1 - guess) / len(t))
    learned = accuracy > guess + margin or (loss is not None and loss < 0.98 * entropy)
    return {"guess_accuracy": guess, "learned": bool(learned)}


def confusion_matrix(t: Array, y: Array, classes: int) -> Array:
    """How many samples of label i (a row) were taken for class j (a column), (K, K)."""
    return np.bincount(t * classes + y, minlength=classes * classes).reshape(classes, classes)


def inspect_predictions(
    network: Network, samples: Samples, classes: int, names: Sequence[str] | None = None
) -> dict[str, Any]:
    """How right the predictions for `samples`, with integer labels, are, class by class.

    Classes are called by `names`, if there are any, else by their numbers.

    "interval" is the 95 % interval of the accuracy; "confusion" the matrix; "per_class" precision,
    recall and their harmonic mean (None where nothing was counted); "calibration" how often the
    network was right where it was so sure, and "calibration_error" the mean gap between the two;
    "mistakes" its most confident mistakes.
    """
    t, (y, sure) = samples.t, _predict(network, samples)
    called = names or range(classes)
    matrix = confusion_matrix(t, y, classes)
    bins = _calibration(sure, t == y)
    gaps = sum(b["count"] * abs(b["confidence"] - b["accuracy"]) for b in bins)
    return {
        "samples": len(t),
        "interval": list(wilson_interval(int(np.count_nonzero(t == y)), len(t))),
        "per_class": _per_class(matrix, called),
        "calibration_error": gaps / len(t),
        "calibration": bins,
        "mistakes": _mistakes(t, y, sure, called),
        "confusion": matrix.tolist(),
    }


def _predict(network: Network, samples: Samples) -> tuple[Array, Array]:
    """The class with the largest output for each sample (N,), and how sure that was (N,)."""
    classes, sure = [], []
    network = network.for_thread()
    for x, _ in Batches(samples, network.evaluation_rows, network.dtype).in_order():
        y = network.logits(x)
        classes.append(y.argmax(axis=1))
        confidences = network.loss_layer.confidences(y)
        sure.append(confidences[np.arange(len(y)), classes[-1]])
    return np.concatenate(classes), np.concatenate(sure).astype(np.float64)


def _per_class(matrix: Array, called: Sequence[Any]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each class, from the confusion matrix."""
    rows = []
    for k in range(len(matrix)):
        hits, of_label, as_class = int(matrix[k, k]), int(matrix[k].sum()), int(matrix[:, k].sum())
        rows.append(
            {
                "class": called[k],
                "precision": hits / as_class if as_class else None,
                "recall": hits / of_label if of_label else None,
                "f1": 2 * hits / (of_label + as_class) if of_label + as_class else None,
                "count": of_label,
            }
        )
    return rows


def _calibration(sure: Array, right: Array) -> list[dict[str, Any]]:
    """Bins of equal width over the confidence, those that are not empty (Guo et al. 2017)."""
    which = np.minimum((sure * BINS).astype(int), BINS - 1)
    return [
        {
            "from": b / BINS,
            "to": (b + 1) / BINS,
            "confidence": float(sure[inside].mean()),
            "accuracy": float(right[inside].mean()),
            "count": int(np.count_nonzero(inside)),
        }
        for b in range(BINS)
        if (inside := which == b).any()
    ]


def _mistakes(t: Array, y: Array, sure: Array, called: Sequence[Any]) -> list[dict[str, Any]]:
    """The most confident mistakes, first the most confident of all."""
    wrong = np.flatnonzero(t != y)
    worst = wrong[np.argsort(-sure[wrong], kind="stable")][:MISTAKES]
    return [
        {
            "row": int(n),
            "label": called[t[n]],
            "prediction": called[y[n]],
            "confidence": float(sure[n]),
        }
        for n in worst
    ]
