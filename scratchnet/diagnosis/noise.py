"""How many labels are random: where they rank among the predictions for held-out samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from scratchnet.data import Samples
from scratchnet.diagnosis.outcome import outputs_of
from scratchnet.networks import Network
from scratchnet.networks.classes import probabilities
from scratchnet.parameters import Array

MOSTLY = 0.75
"""With more random labels than this share they are called shuffled, with fewer noisy."""


class Noise(NamedTuple):
    """How the labels of held-out training samples stand to predictions."""

    wrong: float
    """The share that is predicted otherwise."""
    share: float
    """An estimate of the share of random labels."""
    ranks: Array
    """How often a label was the first, second, ... by probability (K,)."""
    random: float
    """From this share on all labels may be random, as far as so many samples can tell."""
    partly: float
    """And up to this they may be partly right."""
    auc: float
    """How well a low confidence tells which predictions are wrong: .5 is not at all."""


def noise_of(folds: Iterable[tuple[Network, Samples]]) -> Noise:
    """Rank the labels of held-out samples by what the reference makes of them.

    A network errs where classes are alike: the true class is second then. A random label is
    anywhere. So twice the share of labels in the lower half estimates that of random ones. Of two
    classes twice the share of errors does, if these are not those of low confidence.
    """
    pairs = [
        (probabilities(network, outputs_of(network, samples)), samples.t)
        for network, samples in folds
    ]
    p, t = (np.concatenate(each) for each in zip(*pairs, strict=True))
    own = p[np.arange(len(t)), t]
    rank = (p > own[:, None]).sum(axis=1)
    K = p.shape[1]
    wrong = rank > 0
    ranks = np.bincount(rank, minlength=K) / len(t)
    half = K // 2
    lower = float(ranks[-half:].sum()) if K > 2 else 0.0
    share = lower * K / half if K > 2 else 2 * float(wrong.mean())
    confidence = p.max(axis=1)
    auc = _auc(confidence[~wrong], confidence[wrong])
    unsure = 1.5 / len(t) ** 0.5
    return Noise(float(wrong.mean()), share, ranks, MOSTLY - unsure, MOSTLY + unsure, auc)


def _auc(high: Array, low: Array) -> float:
    """The probability that a value of `high` is above one of `low`."""
    if not len(high) or not len(low):
        return 1.0
    order = np.argsort(np.concatenate([low, high]), kind="stable")
    places = np.empty(len(order))
    places[order] = np.arange(1, len(order) + 1)
    return float(
        (places[len(low) :].sum() - len(high) * (len(high) + 1) / 2) / len(high) / len(low)
    )
