"""The signals of a case: its samples, and its network before training; each is looked at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from scratchnet.data import Batches, Samples
from scratchnet.diagnosis.case import (
    Case,
    dense,
    pool,
    some,
    usual_stds,
)
from scratchnet.diagnosis.outcome import has_classes, losses_of
from scratchnet.inspection.gradient_check import check_directions
from scratchnet.inspection.layers import inspect_layers
from scratchnet.networks import Network
from scratchnet.parameters import Array

PROBE = 500
"""Training samples on which a network is looked at before it is trained."""
CHECKED = 16
"""Of these, so many for the check of gradients."""
WRONG = 0.02
"""A gradient with a larger relative error is wrong."""
OUTSIZE, OUTSIZE_SHARE = 5.0, 0.02
"""A column is outsize if it is so many times as large as the others, and so few are."""
FAR, FAR_SHARE = 20.0, 0.05
"""A sample is an outlier if it reaches so many times as far as the median one, and so few do."""
ENOUGH = 5
"""Samples of a class in both parts, to compare the parts by it."""
SHIFTED = 8.0
"""Parts whose inputs differ by so many standard errors were prepared in different ways."""
_OF_ROWS: dict[str, Callable[[Array], Array]] = {
    "means": lambda x: x.mean(axis=1),
    "spreads": lambda x: x.std(axis=1),
}


class Signals:
    """What there is to see without an experiment."""

    def __init__(self, case: Case) -> None:
        self.case = case

    @cached_property
    def classes(self) -> bool:
        """Whether each sample is of one class."""
        return has_classes(self.case.network, self.case.train)

    @cached_property
    def counts(self) -> Array:
        """The training samples of each class (K,)."""
        n_out = max(2, self.case.network.output_sizes[-1])
        if not self.classes:
            return np.full(1, len(self.case.train))
        return np.bincount(self.case.train.t, minlength=n_out)

    @cached_property
    def takes_categories(self) -> bool:
        """Whether some columns are numbers of categories."""
        return any(layer.takes_categories for layer in self.case.network.all_layers)

    @cached_property
    def x(self) -> Array:
        """The training inputs (N, D), float64."""
        return dense(self.case.train).astype(np.float64)

    @cached_property
    def sizes(self) -> Array:
        """The root mean square of each column (D,)."""
        return np.asarray(np.sqrt(np.square(self.x).mean(axis=0)))

    @cached_property
    def spreads(self) -> Array:
        """The standard deviation of each column (D,)."""
        return np.asarray(self.x.std(axis=0))

    @cached_property
    def constant(self) -> Array:
        """Which columns do not vary (D,)."""
        return self.spreads <= 1e-6 * np.maximum(self.sizes, 1e-30)

    @cached_property
    def outsize(self) -> Array:
        """The few columns that are far larger than the largest of the others, if any."""
        order = np.argsort(self.sizes)[::-1]
        s = self.sizes[order]
        for k in range(1, min(max(1, int(OUTSIZE_SHARE * len(s))), len(s) - 2) + 1):
            if s[k - 1] > OUTSIZE * max(s[k], 1e-30):
                return order[:k]
        return order[:0]

    @cached_property
    def reach(self) -> Array:
        """The largest input of each sample (N,), outsize columns left out."""
        return np.asarray(np.abs(np.delete(self.x, self.outsize, axis=1)).max(axis=1, initial=0.0))

    @cached_property
    def far(self) -> Array:
        """Which samples are outliers (N,): a few that reach far beyond the median one."""
        far = self.reach > FAR * max(float(np.median(self.reach)), 1e-30)
        return far if far.mean() <= FAR_SHARE else np.zeros_like(far)

    @cached_property
    def shift(self) -> tuple[float, str]:
        """How far validation inputs lie from those held out of training, in standard errors.

        The largest of the means of the columns, Bonferroni aside, and of the means and spreads of
        rows.
        """
        if self.case.validation is None or self.takes_categories:
            return 0.0, ""
        a = dense(pool(self.case.train, self.case.held)).astype(np.float64)
        b = dense(self.case.validation).astype(np.float64)
        t = np.concatenate([self.case.train.t, self.case.held.t]), self.case.validation.t
        groups = _alike(*t) if self.classes else [(np.ones(len(a), bool), np.ones(len(b), bool))]
        if not groups:
            return 0.0, ""
        found = [(_distance(a, b, groups), "the means of columns")]
        found += [
            (_distance(measure(a)[:, None], measure(b)[:, None], groups), f"the {what} of rows")
            for what, measure in _OF_ROWS.items()
        ]
        return max(found)

    @cached_property
    def is_shifted(self) -> bool:
        """Whether validation inputs were surely prepared in another way."""
        return self.shift[0] > SHIFTED

    @cached_property
    def needed_width(self) -> int:
        """How many units a hidden layer has at least, of a network that is not narrow."""
        return max(4, min(self.case.network.output_sizes[-1], 16))

    @cached_property
    def narrowest(self) -> int:
        """The units of the smallest hidden layer; 0 if there is none."""
        layers = [layer for layer in self.case.network.all_layers if "W" in layer.shapes]
        return min((layer.shapes["W"][-1] for layer in layers[:-1]), default=0)

    @cached_property
    def probe(self) -> Samples:
        """Some training samples."""
        return some(self.case.train, PROBE, 0)

    @cached_property
    def layers(self) -> list[dict[str, Any]]:
        """The state of the layers before training."""
        network = self.case.network.copy()
        with np.errstate(all="ignore"):
            network.forward(*_batch(network, self.probe), train=True)
            network.backward()
            return inspect_layers(network, self.probe)

    @cached_property
    def start_loss(self) -> tuple[float, float]:
        """The loss before training, and that of the best guess."""
        return losses_of(self.case.network.copy(), self.probe)

    @cached_property
    def weight_sizes(self) -> dict[str, float]:
        """How many times as large as usual weights are, by layer: 1 from Glorot's to He's."""
        found = {}
        for k, layer in enumerate(self.case.network.all_layers, 1):
            if "W" in layer.shapes:
                std, (glorot, he) = float(layer.params["W"].std()), usual_stds(layer)
                found[f"{k} {layer!r}"] = std / he if std > he else min(1.0, std / glorot)
        return found

    @cached_property
    def wrong_gradients(self) -> dict[str, float]:
        """Relative errors of gradients along random directions, by array, where they are large."""
        network = self.case.network
        return check_directions(network, *_batch(network, some(self.probe, CHECKED, 1)))

    @cached_property
    def wrong_layers(self) -> list[str]:
        """The layers whose gradients are wrong by themselves."""
        network = self.case.network.copy("float64")
        x, _ = _batch(network, some(self.probe, CHECKED, 1))
        wrong = []
        for layer in network.layers:
            if max(check_directions(layer, x).values(), default=0.0) > WRONG:
                wrong.append(repr(layer))
            x = layer.forward(x, train=True).copy()
        return wrong


def _batch(network: Network, samples: Samples) -> tuple[Array, Array]:
    """All of the samples, as the network takes them."""
    return next(iter(Batches(samples, len(samples), network.dtype).in_order()))


Groups = list[tuple[Array, Array]]


def _alike(t: Array, other: Array) -> Groups:
    """The rows of each class that both have enough of: the shares of classes are no difference."""
    pairs = [(t == k, other == k) for k in np.unique(t)]
    return [(one, two) for one, two in pairs if min(one.sum(), two.sum()) >= ENOUGH]


def _distance(a: Array, b: Array, groups: Groups) -> float:
    """The largest difference of column means, class by class, in its standard errors."""
    differs, variance = np.zeros(a.shape[1]), np.zeros(a.shape[1])
    for one, two in groups:
        differs += a[one].mean(axis=0) - b[two].mean(axis=0)
        variance += a[one].var(axis=0) / one.sum() + b[two].var(axis=0) / two.sum()
    differs, error = np.abs(differs), np.sqrt(variance)
    floor = 1e-9 * (np.abs(a).mean(axis=0) + np.abs(b).mean(axis=0)) + 1e-300
    z = np.where(differs <= floor, 0.0, differs / np.maximum(error, floor))
    return float(np.min([z.max(), 1e6]))
