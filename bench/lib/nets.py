"""What the measurements of speed have in common: nets by name, equal starts, arithmetic, a check.

It needs NumPy alone, but for `save_set`, so that it runs in the environment of any system that is
measured.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

LR, BETA1, BETA2, EPS = 0.001, 0.9, 0.999, 1e-8
"""Adam's hyper-parameters, in every system."""
ADAM_FLOP = 14
"""Operations of Adam's formula on each parameter, a root and a division counted as one each."""
CHECKED_ROWS = 10_000

Weights = list[tuple[np.ndarray, np.ndarray]]
"""W (n_in, n_out) and b (n_out,) of every layer."""


@dataclass(frozen=True)
class Job:
    """What a child trains: `system` is a name of `speed_worker.SYSTEMS`, `net` as 784-100-10.

    `folder` holds the arrays that `save_set` wrote, of which the first `rows` are trained on.
    """

    system: str
    net: str
    batch: int
    threads: int
    epochs: int
    seed: int
    folder: str
    rows: int | None = None


@dataclass(frozen=True)
class Data:
    """Training and test samples: pixels as bytes (N, D), labels (N,), and the factor to 0..1."""

    pixels: np.ndarray
    t: np.ndarray
    pixels_test: np.ndarray
    t_test: np.ndarray
    scale: float

    def x(self) -> np.ndarray:
        """All training pixels as float32 from 0 to 1, what most systems keep in memory."""
        return self.pixels * np.float32(self.scale)


def sizes(net: str) -> list[int]:
    """The widths in a name like 784-100-10; raises ValueError where it is none."""
    parts = net.split("-")
    if len(parts) < 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise ValueError(f"a net is at least two widths above 0, as 784-100-10, got {net!r}")
    return [int(part) for part in parts]


def save_set(name: str, home: str | None, folder: Path) -> None:
    """Write a data set of `scratchnet.load` into `folder`/`name`, where `read` finds it."""
    from scratchnet import ScratchnetError, load

    try:
        train, test = load(name, home=home)
    except ScratchnetError as error:
        raise SystemExit(str(error)) from None
    _save(folder / name, Data(train.x, train.t, test.x, test.t, train.scale))


def _save(folder: Path, data: Data) -> None:
    folder.mkdir()
    for name, value in vars(data).items():
        np.save(folder / f"{name}.npy", value)


def read(folder: Path, rows: int | None = None) -> Data:
    """What `save_set` wrote, with the first `rows` training samples."""
    found = {path.stem: np.load(path) for path in folder.glob("*.npy")}
    return Data(
        found["pixels"][:rows],
        found["t"][:rows],
        found["pixels_test"],
        found["t_test"],
        float(found["scale"]),
    )


def start_weights(net: str, seed: int) -> Weights:
    """He's normal weights and biases of 0, float32: the very same for every system."""
    rng = np.random.default_rng(seed)
    return [
        (
            rng.normal(0.0, math.sqrt(2.0 / n_in), (n_in, n_out)).astype(np.float32),
            np.zeros(n_out, np.float32),
        )
        for n_in, n_out in pairwise(sizes(net))
    ]


def check(weights: Weights, data: Data) -> tuple[float, float]:
    """Loss on the first training samples and accuracy on all test samples, computed here.

    From the weights alone, so that a system's own word is not taken for what it has learnt.
    """
    scale = np.float32(data.scale)
    y = _logits(weights, data.pixels[:CHECKED_ROWS] * scale).astype(np.float64)
    t = data.t[:CHECKED_ROWS]
    y -= y.max(axis=1, keepdims=True)
    losses = np.log(np.exp(y).sum(axis=1)) - y[np.arange(len(t)), t]
    right = _logits(weights, data.pixels_test * scale).argmax(axis=1) == data.t_test
    return float(losses.mean()), float(right.mean())


def _logits(weights: Weights, x: np.ndarray) -> np.ndarray:
    for W, b in weights[:-1]:
        x = np.maximum(x @ W + b, 0)
    W, b = weights[-1]
    return x @ W + b


def product_flop(net: str) -> int:
    """Operations of the matrix products for one sample: y, dW and, but for the first layer, dx."""
    products = [n_in * n_out for n_in, n_out in pairwise(sizes(net))]
    return 2 * (3 * sum(products) - products[0])


def parameters(net: str) -> int:
    """How many weights and biases there are."""
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes(net)))


def epoch_flop(net: str, rows: int, batch: int) -> int:
    """Operations of one epoch: the products for every sample and Adam for every step."""
    steps = -(-rows // batch)
    return rows * product_flop(net) + steps * parameters(net) * ADAM_FLOP


def slices(rows: int, batch: int) -> Sequence[slice]:
    """Where each batch of an epoch lies; the last may be shorter."""
    return [slice(start, min(start + batch, rows)) for start in range(0, rows, batch)]
