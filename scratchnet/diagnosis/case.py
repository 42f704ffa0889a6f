"""A case: a network, its samples and how it is trained, small enough to be tried again and again.

Every cure is a function from a case to another that differs in one thing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from scratchnet.checks import is_sparse
from scratchnet.data import Samples
from scratchnet.layers import (
    Affine,
    BatchNorm,
    Dropout,
    GaussianNoise,
    Identity,
    MemberAffine,
    ReLU,
)
from scratchnet.layers.layer import Layer
from scratchnet.networks import Network
from scratchnet.optimizers import Optimizer
from scratchnet.optimizers.wrappers import Wrapper
from scratchnet.parameters import Array
from scratchnet.randomness import generator
from scratchnet.training.border import BATCH_SIZE

FEWEST = 5
"""Training samples that a diagnosis needs."""
VALUES = 40_000_000
"""Inputs of a case, at most, all samples together."""
FEWEST_ROWS, ROWS = 500, 4000
"""Training samples of a case: between these, where there are so many."""
FEWEST_HELD, HELD = 250, 1000
"""Samples that it is measured on, of each kind: half as many as to train on, between these."""
HELD_SHARE = 0.2
"""Of the training samples so many are held out: they were prepared as those to train on were."""
STEPS = 1500
"""Steps of a trial, at most."""
WORK = 3e10
"""Multiplications of a trial, at most: half a second of dense layers, a few of convolutions."""
FEWEST_STEPS, FEWEST_EPOCHS = 60, 6
"""But so many steps at least, and of a large network so few samples that they are such epochs."""
CLIP = 5.0
"""Standardized inputs are no further from 0: beyond are outliers and columns that hardly vary."""
NOISY = (Dropout, GaussianNoise)


@dataclass(frozen=True)
class Case:
    """What is tried: this network, trained like this."""

    network: Network
    train: Samples
    held: Samples
    """Held out of what was given to train on."""
    validation: Samples | None
    optimizer: Optimizer
    lr: float
    epochs: int
    training: Mapping[str, Any] = field(default_factory=dict)
    """Further options of a Trainer."""
    stretch: float = 1.0
    """How many times as many samples the run has: a trial has as many steps, not epochs."""

    @property
    def batch_size(self) -> int:
        """The rows of a step."""
        if self.optimizer.full_batch:
            return len(self.train)
        return min(self.training.get("batch_size") or BATCH_SIZE, len(self.train))

    @property
    def steps_of_epoch(self) -> int:
        """How many steps an epoch has."""
        return -(-len(self.train) // self.batch_size)

    @property
    def samples(self) -> int:
        """The training samples of the run."""
        return round(len(self.train) * self.stretch)

    @property
    def all_epochs(self) -> int:
        """The epochs over these samples that have the steps of the run."""
        return max(1, round(self.epochs * self.stretch))

    @property
    def trial_epochs(self) -> int:
        """Those of a trial, which may be fewer."""
        steps = affordable_steps(self.network, self.batch_size)
        return max(1, min(self.all_epochs, steps // self.steps_of_epoch))

    def lengthen(self, steps: int) -> Case:
        """The case with so many steps at least; one of all samples at once stays as it is."""
        if self.optimizer.full_batch:
            return self
        fewest = math.ceil(steps / (self.steps_of_epoch * self.stretch))
        return replace(self, epochs=max(self.epochs, fewest))


def affordable_steps(network: Network, batch_size: int) -> int:
    """How many steps of so many rows a trial may have."""
    row = max(1, sum(layer.multiplications() for layer in network.all_layers))
    return min(STEPS, max(FEWEST_STEPS, int(WORK / (3 * batch_size * row))))


def affordable_rows(network: Network, batch_size: int) -> int:
    """How many training samples a trial may have: for a few epochs of its steps, in memory."""
    rows = affordable_steps(network, batch_size) * batch_size // FEWEST_EPOCHS
    return max(FEWEST, min(ROWS, max(FEWEST_ROWS, rows), VALUES // network.input_size))


def some(samples: Samples, rows: int, seed: int) -> Samples:
    """At most so many of the samples, drawn by the seed, in memory and not sparse."""
    if len(samples) <= rows and samples.block_rows is None and not is_sparse(samples.x):
        return samples
    chosen = np.sort(generator(seed, "doctor").permutation(len(samples))[:rows])
    weights = None if samples.weights is None else samples.weights[chosen]
    x: Any = samples.x[chosen]
    if is_sparse(x):
        x = x.toarray()
    return Samples.checked(x, samples.t[chosen], samples.scale, weights)


def pool(a: Samples, b: Samples | None) -> Samples:
    """Both together."""
    if b is None:
        return a
    return Samples.checked(
        np.concatenate([dense(a), dense(b)]), np.concatenate([a.t, b.t]), 1.0, None
    )


def dense(samples: Samples) -> Array:
    """The inputs as the network gets them (N, D), float32."""
    return np.asarray(samples.x, np.float32) * np.float32(samples.scale)


# The cures.


def map_inputs(case: Case, change: Callable[[Array], Array]) -> Case:
    """The case with every input changed in the same way."""

    def changed(samples: Samples) -> Samples:
        x = np.ascontiguousarray(change(dense(samples)), np.float32)
        return Samples.checked(x, samples.t, 1.0, samples.weights)

    return _on_all(case, changed)


def standardized(case: Case, *, over: str = "features", clip: float = CLIP) -> Case:
    """Inputs of mean 0 and variance 1: each feature by itself, or "all" together."""
    x = dense(case.train).astype(np.float64)
    mean, std = (x.mean(axis=0), x.std(axis=0)) if over == "features" else (x.mean(), x.std())
    std = np.where(std > 1e-12 * (np.abs(mean) + 1e-30), std, np.inf)
    return map_inputs(case, lambda rows: np.clip((rows - mean) / std, -clip, clip))


def aligned_validation(case: Case) -> Samples | None:
    """Validation samples whose columns have the means and spreads of the training samples."""
    if case.validation is None:
        return None
    x, like = dense(case.validation).astype(np.float64), dense(case.train).astype(np.float64)
    own = np.where(x.std(axis=0) > 1e-9 * np.abs(x).max(), x.std(axis=0), np.inf)
    made = (x - x.mean(axis=0)) / own * like.std(axis=0) + like.mean(axis=0)
    return Samples.checked(made.astype(np.float32), case.validation.t, 1.0, None)


def shrunk(case: Case, columns: Array, factors: Array) -> Case:
    """Inputs of which some columns are divided by factors."""
    by = np.ones(case.train.x.shape[1])
    by[columns] = factors
    return map_inputs(case, lambda rows: rows / by)


def with_standard_targets(case: Case) -> Case:
    """Targets of mean 0 and variance 1, where they are values."""
    t = case.train.t.astype(np.float64)
    mean, std = t.mean(axis=0), t.std(axis=0)

    def changed(samples: Samples) -> Samples:
        made = ((samples.t - mean) / np.where(std > 0, std, 1.0)).astype(samples.t.dtype)
        return Samples.checked(samples.x, made, samples.scale, samples.weights)

    return _on_all(case, changed)


def _on_all(case: Case, change: Callable[[Samples], Samples]) -> Case:
    """The case with all samples changed in the same way."""
    held_out = None if case.validation is None else change(case.validation)
    return replace(case, train=change(case.train), held=change(case.held), validation=held_out)


def redrawn(case: Case, seed: int = 0) -> Case:
    """New weights of the size that keeps variances (He et al. 2015), biases of 0."""
    network = case.network.copy()
    rng = generator(seed, "doctor")
    for layer in network.all_layers:
        for name, w in layer.params.items():
            if name == "W":
                w[...] = rng.normal(0.0, usual_stds(layer)[1], w.shape)
            elif name in ("b", "beta"):
                w[...] = 0.0
            elif name == "gamma":
                w[...] = 1.0
    return replace(case, network=network)


def usual_stds(layer: Layer) -> tuple[float, float]:
    """sqrt(2 / (n_in + n_out)) and sqrt(2 / n_in): deviations of weights that keep variances."""
    shape = layer.shapes["W"]
    inputs = shape[-2] if isinstance(layer, Affine | MemberAffine) else math.prod(shape[:-1])
    return math.sqrt(2.0 / (inputs + shape[-1])), math.sqrt(2.0 / max(inputs, 1))


def without_biases(case: Case) -> Case:
    """Biases of 0; weights as they are."""
    network = case.network.copy()
    for layer in network.all_layers:
        for name in ("b", "beta"):
            if name in layer.params:
                layer.params[name][...] = 0.0
    return replace(case, network=network)


def with_training(case: Case, **options: Any) -> Case:
    """The case with other options of the Trainer."""
    return replace(case, training={**case.training, **options})


def with_layers(case: Case, change: Callable[[Layer], Layer]) -> Case:
    """The case with some layers exchanged, the parameters of all others as they are."""
    network = case.network.copy()
    network.layers = tuple(change(layer) for layer in network.layers)
    network._adopt()
    return replace(case, network=network)


def without_noise(case: Case) -> Case:
    """No dropout, no noise."""
    return with_layers(case, lambda layer: Identity() if isinstance(layer, NOISY) else layer)


def with_relu(case: Case, kinds: tuple[type[Layer], ...]) -> Case:
    """ReLU in the place of other activations, and weights as it wants them."""
    return redrawn(with_layers(case, lambda layer: ReLU() if isinstance(layer, kinds) else layer))


def with_batch_norm(case: Case) -> Case:
    """Batch normalization before each ReLU of a network of dense layers."""
    network = case.network
    layers: list[Layer] = []
    for k, layer in enumerate(network.layers):
        if isinstance(layer, ReLU):
            layers.append(BatchNorm(network.output_sizes[k - 1] if k else network.input_size))
        layers.append(deepcopy(layer))
    return replace(case, network=_rebuilt(network, layers))


def with_hidden_relu(case: Case) -> Case:
    """ReLU behind each Affine but the last."""
    network = case.network
    last = max(k for k, layer in enumerate(network.layers) if isinstance(layer, Affine))
    layers: list[Layer] = []
    for k, layer in enumerate(network.layers):
        layers.append(deepcopy(layer))
        if isinstance(layer, Affine) and k < last:
            layers.append(ReLU())
    return replace(case, network=_rebuilt(network, layers))


def _rebuilt(network: Network, layers: list[Layer]) -> Network:
    """A network of these layers, otherwise like this one."""
    loss = deepcopy(network.loss_layer)
    shape, dtype = network.input_shape, network.dtype
    return Network(layers, loss, l2=network.l2, input_shape=shape, dtype=dtype)


def limit_of(layer: Layer) -> float:
    """The most that the weights into a unit may be long; 0 if they may be of any length."""
    return float(getattr(layer, "max_norm", None) or 0.0)


def without_penalty(case: Case) -> Case:
    """No L2 penalty, no weight decay, no limit of the weights."""
    network, optimizer = case.network.copy(), deepcopy(case.optimizer)
    for layer in network.all_layers:
        if limit_of(layer):
            setattr(layer, "max_norm", None)  # noqa: B010 - only some layers have it
    network.l2 = innermost(optimizer).weight_decay = 0.0
    return replace(case, network=network, optimizer=optimizer)


def innermost(optimizer: Optimizer) -> Optimizer:
    """The optimizer that steps, within those around it."""
    while isinstance(optimizer, Wrapper):
        optimizer = optimizer.inner
    return optimizer


def balanced(case: Case) -> Case:
    """Training samples of which each class has as many as the largest, by repetition."""
    t = case.train.t
    counts = np.bincount(t)
    rng = generator(0, "doctor")
    rows = np.concatenate(
        [
            np.resize(rng.permutation(np.flatnonzero(t == k)), counts.max())
            for k in np.flatnonzero(counts)
        ]
    )
    rows = rows[rng.permutation(len(rows))][: max(len(t), ROWS)]
    train = Samples.checked(case.train.x[rows], t[rows], case.train.scale, None)
    return replace(case, train=train)


def fewer(case: Case, share: float) -> Case:
    """Some of the training samples, for as many steps."""
    t = case.train.t
    n = max(2, round(share * len(t)))
    train = some(case.train, n, 1)
    part = replace(case, train=train)
    return replace(part, stretch=case.stretch * case.steps_of_epoch / part.steps_of_epoch)


def without(case: Case, *names: str) -> Case:
    """The case without some options of the Trainer."""
    kept = {name: value for name, value in case.training.items() if name not in names}
    return replace(case, training=kept)
