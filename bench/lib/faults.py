"""Faults to be planted in a run: each makes a healthy run worse, by a dose.

A setup is plain data until it is built, so that the flags of a cure can be followed literally.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from scratchnet.data import Samples, load
from scratchnet.layers import Affine, Layer
from scratchnet.networks import MultiLayerNet, Network
from scratchnet.optimizers import make_optimizer
from scratchnet.training import Trainer

Array = np.ndarray


@dataclass(frozen=True)
class Setup:
    """A run: samples, network, optimizer."""

    x: Array
    t: Array
    x_test: Array
    t_test: Array
    classes: int
    hidden: tuple[int, ...]
    optimizer: str
    lr: float
    epochs: int
    seed: int
    network: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    weights: Callable[[Network], None] | None = None
    """What is done to the weights of a new network."""
    frame: bool = False
    """Whether inputs come as a frame of pandas."""
    layer: Callable[[], Layer] | None = None
    """A user's layer in the place of the first activation."""

    def build(self) -> Network:
        """The network before training."""
        made: Network = MultiLayerNet(
            self.x.shape[1], self.hidden, self.classes, seed=self.seed, **self.network
        )
        if self.layer is not None:
            layers = list(made.layers)
            first = next(k for k, each in enumerate(layers) if isinstance(each, Affine))
            layers[first + 1] = self.layer()
            made = Network(layers, made.loss_layer, l2=made.l2)
        if self.weights is not None:
            self.weights(made)
        return made

    @property
    def given(self) -> tuple[tuple[Any, Array], tuple[Any, Array]]:
        """What `diagnose` is given: training and validation samples."""
        if not self.frame:
            return (self.x, self.t), (self.x_test, self.t_test)
        import pandas as pd

        return (pd.DataFrame(self.x), self.t), (pd.DataFrame(self.x_test), self.t_test)

    @property
    def train(self) -> Samples:
        """The samples to train on."""
        return Samples(self.x, self.t)

    @property
    def test(self) -> Samples:
        """The samples to test on."""
        return Samples(self.x_test, self.t_test)

    def accuracy(self) -> float:
        """The mean recall on test samples after training; a guess where training diverges."""
        from scratchnet.errors import ScratchnetError

        network = self.build()
        try:
            trainer = Trainer(
                network,
                self.train,
                optimizer=self.optimizer,
                lr=self.lr,
                seed=self.seed,
                **self.options,
            )
            for _ in trainer.run(self.epochs):
                pass
            predicted = None if self.classes == 1 else network.predict_classes(self.test.x)
        except ScratchnetError:
            return 1 / self.classes
        if self.classes == 1:
            y = network.predict(self.test.x)
            return 1 - float(np.square(y - self.t_test).mean() / self.t_test.var())
        return float(
            np.mean(
                [
                    (predicted[self.t_test == k] == k).mean()
                    for k in range(self.classes)
                    if (self.t_test == k).any()
                ]
            )
        )


# The data sets.


def digits(seed: int, home: str) -> tuple[Array, Array, Array, Array, int]:
    data = load("digits")
    x = np.concatenate([data.train.x * data.train.scale, data.test.x * data.test.scale])
    return _split(x, np.concatenate([data.train.t, data.test.t]), 10, 0.3, seed)


def mnist(seed: int, home: str) -> tuple[Array, Array, Array, Array, int]:
    data = load("mnist", home=home)
    x = data.train.x[:10_000] * np.float32(data.train.scale)
    return _split(x, data.train.t[:10_000], 10, 0.2, seed)


def cancer(seed: int, home: str) -> tuple[Array, Array, Array, Array, int]:
    from sklearn.datasets import load_breast_cancer

    x, t = load_breast_cancer(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return _split(x, t, 2, 0.3, seed)


def wine(seed: int, home: str) -> tuple[Array, Array, Array, Array, int]:
    from sklearn.datasets import load_wine

    x, t = load_wine(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return _split(x, t, 3, 0.4, seed)


def _split(
    x: Array, t: Array, classes: int, share: float, seed: int
) -> tuple[Array, Array, Array, Array, int]:
    train, test = Samples(np.asarray(x, np.float32), t).split(share, seed)
    return train.x, train.t, test.x, test.t, classes


SETS = {"digits": digits, "mnist": mnist, "cancer": cancer, "wine": wine}
RATES = {
    "digits": {"sgd": 0.2, "momentum": 0.05, "adam": 0.005},
    "mnist": {"sgd": 0.3, "momentum": 0.05, "adam": 0.002},
    "cancer": {"sgd": 0.2, "momentum": 0.03, "adam": 0.005},
    "wine": {"sgd": 0.2, "momentum": 0.03, "adam": 0.01},
}
EPOCHS = {"digits": 30, "mnist": 8, "cancer": 40, "wine": 60}
OPTIMIZERS = ("sgd", "momentum", "adam")


def healthy(of: str, optimizer: str, seed: int, home: str) -> Setup:
    """A run that learns; widths and depths change with the seed."""
    rng = np.random.default_rng([seed, 7])
    x, t, x_test, t_test, classes = SETS[of](seed, home)
    hidden = [(64,), (100,), (64, 32), (100, 50)][rng.integers(4)]
    return Setup(
        x,
        t,
        x_test,
        t_test,
        classes,
        hidden,
        optimizer,
        RATES[of][optimizer],
        EPOCHS[of],
        seed,
        options={"batch_size": 50 if of in ("digits", "mnist") else 20},
    )


# The faults: name, the name that is right, doses from weak to strong, what a dose does.


def high_rate(s: Setup, dose: float, rng: Any) -> Setup:
    return replace(s, lr=s.lr * dose)


def low_rate(s: Setup, dose: float, rng: Any) -> Setup:
    return replace(s, lr=s.lr / dose)


def _mixed(t: Array, share: float, rng: Any) -> Array:
    rows = np.flatnonzero(rng.random(len(t)) < share)
    t = t.copy()
    t[rows] = t[rng.permutation(rows)]
    return t


def shuffled(s: Setup, dose: float, rng: Any) -> Setup:
    return replace(s, t=_mixed(s.t, dose, rng))


def noisy(s: Setup, dose: float, rng: Any) -> Setup:
    t = s.t.copy()
    rows = rng.random(len(t)) < dose
    t[rows] = rng.integers(0, s.classes, rows.sum())
    return replace(s, t=t)


def unscaled(s: Setup, dose: float, rng: Any) -> Setup:
    by = np.float32(dose)
    return replace(s, x=s.x * by, x_test=s.x_test * by)


def constant(s: Setup, dose: float, rng: Any) -> Setup:
    columns = rng.random(s.x.shape[1]) < dose
    x, x_test = s.x.copy(), s.x_test.copy()
    x[:, columns] = x_test[:, columns] = s.x.mean(axis=0)[columns]
    return replace(s, x=x, x_test=x_test)


def outsize(s: Setup, dose: float, rng: Any) -> Setup:
    usual = np.flatnonzero(s.x.std(axis=0) >= np.median(s.x.std(axis=0)))
    column = rng.choice(usual)
    x, x_test = s.x.copy(), s.x_test.copy()
    x[:, column] *= dose
    x_test[:, column] *= dose
    return replace(s, x=x, x_test=x_test)


def _scaled_weights(by: float) -> Callable[[Network], None]:
    def change(network: Network) -> None:
        for name, w in network.params.items():
            if name.startswith("W"):
                w *= by

    return change


def small_weights(s: Setup, dose: float, rng: Any) -> Setup:
    return replace(s, weights=_scaled_weights(1 / dose))


def large_weights(s: Setup, dose: float, rng: Any) -> Setup:
    return replace(s, weights=_scaled_weights(dose))


def dead(s: Setup, dose: float, rng: Any) -> Setup:
    def change(network: Network) -> None:
        names = [name for name in network.params if name.startswith("b")]
        for name in names[:-1]:  # not that of the outputs
            network.params[name][...] = -dose

    return replace(s, weights=change)


def sigmoids(s: Setup, dose: float, rng: Any) -> Setup:
    return replace(
        s,
        hidden=(s.hidden[0],) * int(dose),
        network={**s.network, "activation": "sigmoid", "initializer": "xavier"},
    )


def penalty(s: Setup, dose: float, rng: Any) -> Setup:
    return replace(s, network={**s.network, "l2": dose})


def dropout(s: Setup, dose: float, rng: Any) -> Setup:
    return replace(s, hidden=(16,), network={**s.network, "dropout": dose})


def missing(s: Setup, dose: float, rng: Any) -> Setup:
    k = int(rng.integers(s.classes))
    if s.classes == 2:  # of two a class that is merely rare is the fault "dominant"
        dose = 0.0
    keep = (s.t != k) | (rng.random(len(s.t)) < dose)
    return replace(s, x=s.x[keep], t=s.t[keep])


def dominant(s: Setup, dose: float, rng: Any) -> Setup:
    k = int(rng.integers(s.classes))
    keep = (s.t == k) | (rng.random(len(s.t)) < dose)
    for other in range(s.classes):  # two of each at least, or it is missing
        keep[np.flatnonzero(s.t == other)[:4]] = True
    return replace(s, x=s.x[keep], t=s.t[keep])


def few(s: Setup, dose: float, rng: Any) -> Setup:
    rows = np.concatenate(
        [rng.permutation(np.flatnonzero(s.t == k))[: int(dose)] for k in range(s.classes)]
    )
    epochs = max(s.epochs, min(400, 30 * 100 // max(1, len(rows) // 20)))
    return replace(s, x=s.x[rows], t=s.t[rows], epochs=epochs)


def differently(s: Setup, dose: float, rng: Any) -> Setup:
    other = rng.normal(size=s.x.shape[1]) * dose * s.x.std()  # other means were taken off
    return replace(s, x_test=(s.x_test + other).astype(np.float32))


class Wrong(Layer):
    """A user's ReLU, whose backward pass is right but for a factor on some units."""

    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return max(0, x)."""
        self.x = x
        return np.maximum(x, 0)

    def input_grad(self, dout: Array) -> Array:
        """Return dL/dx, of the wrong sign for a share of the units."""
        sign = np.ones(dout.shape[1], dout.dtype)
        sign[: round(self.share * len(sign))] = -1
        return dout * (self.x > 0) * sign


def backward(s: Setup, dose: float, rng: Any) -> Setup:
    return replace(s, layer=lambda: Wrong(dose))


@dataclass(frozen=True)
class Fault:
    """What is planted, and the name that is right."""

    name: str
    doses: tuple[float, ...]
    """From weak to strong."""
    plant: Callable[[Setup, float, Any], Setup]
    curable: bool = True


FAULTS = {
    "high-rate": Fault("rate too high", (3, 10, 30, 100, 300, 1000), high_rate),
    "low-rate": Fault("rate too low", (3, 10, 30, 100, 1000, 1e4), low_rate),
    "shuffled": Fault("labels shuffled", (0.9, 0.95, 1.0), shuffled, False),
    "noisy": Fault("labels noisy", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6), noisy, False),
    "unscaled": Fault("inputs unscaled", (5, 10, 30, 100, 255, 1000), unscaled),
    "constant": Fault("inputs constant", (0.5, 0.6, 0.7, 0.8, 0.9, 1.0), constant, False),
    "outsize": Fault("outsize column", (10, 30, 100, 300, 1e3, 1e4), outsize),
    "small-weights": Fault("weights too small", (3, 10, 30, 100, 1e3, 1e4), small_weights),
    "large-weights": Fault("weights too large", (3, 5, 10, 30, 100, 300), large_weights),
    "dead": Fault("dead ReLU", (1, 2, 3, 5, 10, 30), dead),
    "sigmoids": Fault("saturated activations", (3, 4, 5, 6, 8, 10), sigmoids),
    "penalty": Fault("L2 too strong", (0.01, 0.03, 0.1, 0.3, 1, 3), penalty),
    "dropout": Fault("dropout too strong", (0.3, 0.5, 0.7, 0.8, 0.9, 0.95), dropout),
    "missing": Fault("class missing", (0.05, 0.02, 0.01, 0.0), missing, False),
    "dominant": Fault("class dominant", (0.15, 0.1, 0.05, 0.03, 0.02, 0.01), dominant, False),
    "few": Fault("too few samples", (50, 30, 20, 10, 5, 3), few, False),
    "differently": Fault(
        "train and test prepared differently", (0.25, 0.5, 1, 2, 4, 8), differently, False
    ),
    "backward": Fault("wrong backward pass", (0.2, 0.4, 0.6, 0.8, 1.0), backward, False),
}


def planted(of: str, fault: str, dose: float, optimizer: str, seed: int, home: str) -> Setup:
    """The healthy run with this fault."""
    rng = np.random.default_rng([seed, 11])
    made = FAULTS[fault].plant(healthy(of, optimizer, seed, home), dose, rng)
    order = rng.permutation(len(made.t))
    return replace(made, x=made.x[order], t=made.t[order])


# Healthy runs of many kinds.

ACTIVATIONS = ("relu", "tanh", "gelu", "elu", "silu", "leaky-relu", "sigmoid")
HEALTHY_OPTIMIZERS = (
    *("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "nadam", "radam"),
    *("lion", "lbfgs", "rprop", "amsgrad", "adamax", "ema"),
)
NEAR = 0.02
"""A run is healthy if it is no further behind the best of a few runs with Adam."""


def moons(seed: int, home: str) -> tuple[Array, Array, Array, Array, int]:
    from sklearn.datasets import make_moons

    x, t = make_moons(600, noise=0.15, random_state=seed)
    return _split(x, t, 2, 0.3, seed)


def blobs(seed: int, home: str) -> tuple[Array, Array, Array, Array, int]:
    """Classes that overlap: mistakes that no network can avoid."""
    from sklearn.datasets import make_classification

    x, t = make_classification(
        1500, 20, n_informative=8, n_classes=4, class_sep=1.0, random_state=seed
    )
    return _split((x - x.mean(axis=0)) / x.std(axis=0), t, 4, 0.3, seed)


def diabetes(seed: int, home: str) -> tuple[Array, Array, Array, Array, int]:
    from sklearn.datasets import load_diabetes

    x, t = load_diabetes(return_X_y=True)
    return _values(x / x.std(axis=0), t, seed)


def friedman(seed: int, home: str) -> tuple[Array, Array, Array, Array, int]:
    from sklearn.datasets import make_friedman1

    x, t = make_friedman1(1000, noise=1.0, random_state=seed)
    return _values((x - 0.5) * 3.5, t, seed)


def _values(x: Array, t: Array, seed: int) -> tuple[Array, Array, Array, Array, int]:
    t = ((t - t.mean()) / t.std())[:, None].astype(np.float32)
    train, test = Samples(np.asarray(x, np.float32), t).split(0.3, seed)
    return train.x, train.t, test.x, test.t, 1


SETS |= {"moons": moons, "blobs": blobs, "diabetes": diabetes, "friedman": friedman}
KINDS = ("digits", "mnist", "cancer", "wine", "moons", "blobs", "diabetes", "friedman")


def some_run(seed: int, home: str) -> tuple[str, Setup, list[Setup]]:
    """A name, a run drawn by the seed, and runs with Adam that it is to come near."""
    rng = np.random.default_rng([seed, 13])
    of = KINDS[seed % len(KINDS)]
    x, t, x_test, t_test, classes = SETS[of](seed, home)
    values = classes == 1
    loss = {"loss": "mean-squared-error", "labels": "values"} if values else {}
    batch = 50 if len(x) > 800 else 20
    epochs = EPOCHS.get(of, 60)
    adam = Setup(
        x,
        t,
        x_test,
        t_test,
        classes,
        (64,),
        "adam",
        0.005,
        epochs,
        seed,
        loss,
        {"batch_size": batch},
    )
    depth = int(rng.integers(1, 4))
    network: dict[str, Any] = {**loss, "activation": str(rng.choice(ACTIVATIONS))}
    if network["activation"] in ("sigmoid", "tanh"):
        network["initializer"] = "xavier"
    more = {"dropout": 0.2, "batch_norm": True, "l2": 1e-4}
    network |= {name: value for name, value in more.items() if rng.random() < 0.2}
    optimizer = str(rng.choice(HEALTHY_OPTIMIZERS))
    own = make_optimizer(optimizer)
    options = {} if own.full_batch else {"batch_size": batch}
    lr = own.lr * (1 if own.full_batch else float(rng.choice([1.0, 3.0, 10.0])))
    hidden = tuple(int(n) for n in rng.choice([32, 64, 100, 128], depth))
    run = replace(
        adam,
        hidden=hidden,
        optimizer=optimizer,
        lr=lr,
        epochs=epochs,
        network=network,
        options=options,
        frame=bool(rng.random() < 0.25),
    )
    words = f"{of} {optimizer} {lr:g} {hidden} {network}{' frame' if run.frame else ''}"
    others = [adam, replace(adam, epochs=max(1, epochs // 4)), replace(adam, hidden=(), lr=0.02)]
    return words, run, others


def followed(setup: Setup, flags: str) -> Setup:
    """The setup with what the flags of a cure say."""
    words = flags.split()
    network = dict(setup.network)
    while words:
        name = words.pop(0).removeprefix("--").replace("-", "_")
        value = words.pop(0) if words and not words[0].startswith("--") else "true"
        if name == "lr":
            setup = replace(setup, lr=float(value))
        elif name == "epochs":
            setup = replace(setup, epochs=int(value))
        elif name == "hidden":
            setup = replace(setup, hidden=(int(value),))
        elif name == "weight_decay":
            continue  # no run here has any
        elif name == "batch_norm":
            network[name] = True
        elif name in ("standardize", "initializer", "activation", "class_weight"):
            network[name] = value
        else:
            network[name] = float(value)
        if name == "initializer":
            setup = replace(setup, weights=None)
    return replace(setup, network=network)
