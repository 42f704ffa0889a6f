"""A trial: a case is trained for its epochs, and its skill is measured on samples held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scratchnet.data import Batches, Samples
from scratchnet.diagnosis.case import Case
from scratchnet.errors import DivergenceError
from scratchnet.layers.guess import best_constant
from scratchnet.networks import Network
from scratchnet.networks.classes import choose, classifies, is_multilabel
from scratchnet.parameters import Array
from scratchnet.schedules import Plateau
from scratchnet.training import Trainer
from scratchnet.training.trials import make_trial

FEW = 3
"""A class with fewer samples than this is left out of the mean recall."""
LOOKS = 12
"""How often, at most, a trial is measured on its way."""


@dataclass(frozen=True)
class Outcome:
    """What came of a trial."""

    losses: tuple[float, ...]
    """The training loss of each epoch."""
    scores: tuple[float, ...]
    """The skill on held-out samples, at some of the epochs, the last one among them."""
    fit: float
    """The skill on training samples, in the end."""
    score: float
    """The skill on held-out samples, in the end."""
    best: float
    """The largest of `scores`."""
    diverged: bool
    network: Network
    """As it was at `best`."""
    last: Network
    """As it was in the end."""


def outputs_of(network: Network, samples: Samples) -> Array:
    """The outputs (N, K) of the network, in evaluation."""
    found = []
    with np.errstate(all="ignore"):
        for x, _ in Batches(samples, network.evaluation_rows, network.dtype).in_order():
            found.append(network.logits(x).copy())
    return np.concatenate(found)


def has_classes(network: Network, samples: Samples) -> bool:
    """Whether each sample is of one class."""
    return classifies(network) and not is_multilabel(network) and samples.t.ndim == 1


def recalls(network: Network, samples: Samples) -> Array:
    """The share of each class that is recognized (K,); NaN for a class with few samples."""
    predicted, t = choose(network, outputs_of(network, samples)), samples.t
    counts = np.bincount(t)
    right = np.bincount(t[predicted == t], minlength=len(counts))
    few = counts < min(FEW, counts.max())
    return np.where(few, np.nan, right / np.maximum(counts, 1))


def skill(network: Network, samples: Samples) -> float:
    """How much was learnt, from 0 to 1: the mean recall of the classes, or R^2 of values.

    Where targets are values it is 1 - L / L_guess, L_guess being the loss of the one output that is
    best for all samples.
    """
    if has_classes(network, samples):
        return float(np.nanmean(recalls(network, samples)))
    own, of_guess = losses_of(network, samples)
    share = 1 - own / of_guess if of_guess > 0 else 0.0
    return float(np.clip(share, 0.0, 1.0)) if np.isfinite(share) else 0.0


def losses_of(network: Network, samples: Samples) -> tuple[float, float]:
    """The loss of the network, and that of the best guess, or of outputs of 0 if none is known."""
    y, loss = outputs_of(network, samples), network.loss_layer
    guess = best_constant(loss, samples.t, y.shape[1])
    same = np.broadcast_to(0.0 if guess is None else guess, y.shape).astype(y.dtype)
    with np.errstate(all="ignore"):
        return loss.compute(y, samples.t), loss.compute(same, samples.t)


def run(case: Case, measured: Samples) -> Outcome:
    """Train a copy of the network of the case, and measure it on these samples."""
    epochs = case.trial_epochs
    every = max(1, -(-epochs // LOOKS))
    losses: list[float] = []
    scores: list[float] = []
    network = case.network.copy()
    kept, best, diverged = network.copy(), -1.0, False
    with np.errstate(all="ignore"):
        try:
            for epoch in trainer_of(case, network).run(epochs):
                losses.append(epoch.loss)
                if epoch.number % every and epoch.number < epochs:
                    continue
                scores.append(skill(network, measured))
                if scores[-1] > best:
                    kept, best = network.copy(), scores[-1]
        except DivergenceError:
            diverged = True
        if diverged or not np.isfinite(network.vector).all():
            guess = chance(network, measured)  # values that are not finite predict nothing
            reached = max([*scores, guess])
            return Outcome(tuple(losses), tuple(scores), guess, guess, reached, True, kept, kept)
        fit = skill(network, case.train)
    return Outcome(tuple(losses), tuple(scores), fit, scores[-1], best, False, kept, network)


def trainer_of(case: Case, network: Network) -> Trainer:
    """A Trainer of the network, as the case says."""
    options = dict(case.training)
    if case.optimizer.full_batch:
        options.pop("batch_size", None)
    watched = case.held if isinstance(options.get("schedule"), Plateau) else None
    return make_trial(network, case.train, watched, case.optimizer, case.lr, **options)


def chance(network: Network, samples: Samples) -> float:
    """The skill of a guess that knows nothing of x."""
    if not has_classes(network, samples):
        return 0.0
    counts = np.bincount(samples.t)
    return 1.0 / max(1, int((counts >= min(FEW, counts.max())).sum()))
