"""MNIST to 98 % as a user of another system would write it: `to_98.py SYSTEM --data-dir DIR`.

The recipe `mnist-98-in-seconds` in torch, JAX and Keras: the same net, batches, optimizer, rates,
epochs and standardized pixels. scikit-learn has no schedule for Adam, so it goes on with a lower
rate in a second fit. Everything is counted: the start of Python, imports, reading the four files,
compiling, training, the test. Prints the test accuracy as JSON.
"""

import argparse
import gzip
import json
import warnings
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

HIDDEN = (256, 128)
EPOCHS, BATCH, LR, BETA2 = 4, 256, 0.004, 0.98
WARMUP = 0.3  # share of training in which the rate rises
ROWS = 60_000
STEPS = EPOCHS * -(-ROWS // BATCH)
SKLEARN_STAGES = ((4, 0.002), (1, 0.0003))
"""scikit-learn has no schedule for Adam: epochs and rate of one fit after the other."""


def rates() -> np.ndarray:
    """The rate of every step: up in a straight line, then down to 0 in another."""
    progress = (np.arange(STEPS) + 0.5) / STEPS
    factors = np.minimum(progress / WARMUP, (1 - progress) / (1 - WARMUP))
    return (LR * factors).astype(np.float32)


def read(home: Path) -> tuple[np.ndarray, ...]:
    """Training images and labels, test images and labels; pixels with mean 0 and variance 1."""
    x, t, x_test, t_test = (
        _idx(home, name)
        for part in ("train", "t10k")
        for name in (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte")
    )
    x, x_test = x.reshape(len(x), -1), x_test.reshape(len(x_test), -1)
    x = x.astype(np.float32)
    mean, std = x.mean(), x.std()
    x -= mean
    x /= std
    return x, t.astype(np.int64), (x_test.astype(np.float32) - mean) / std, t_test.astype(np.int64)


def _idx(home: Path, name: str) -> np.ndarray:
    """The array in an IDX file of bytes, packed or not, in `home` or in its folder mnist."""
    for folder in (home / "mnist", home):
        for path, opened in ((folder / name, open), (folder / f"{name}.gz", gzip.open)):
            if path.exists():
                with opened(path, "rb") as file:
                    raw = file.read()
                shape = np.frombuffer(raw, ">i4", raw[3], offset=4)
                return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)
    raise SystemExit(f"there is no {name} or {name}.gz in {home} or {home / 'mnist'}")


def train_sklearn(arrays: tuple[np.ndarray, ...], seed: int) -> float:
    """MLPClassifier, fitted twice."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)
    x, t, x_test, t_test = arrays
    model = MLPClassifier(HIDDEN, batch_size=BATCH, random_state=seed, warm_start=True)
    for epochs, lr in SKLEARN_STAGES:
        model.set_params(max_iter=epochs, learning_rate_init=lr).fit(x, t)
    return float(model.score(x_test, t_test))


def train_torch(arrays: tuple[np.ndarray, ...], seed: int) -> float:
    """torch, eager, fused Adam."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    x, t, x_test, t_test = map(torch.from_numpy, arrays)
    wide = (x.shape[1], *HIDDEN, 10)
    parts: list[Any] = []
    for n_in, n_out in pairwise(wide):
        parts += [nn.Linear(n_in, n_out), nn.ReLU()]
        nn.init.kaiming_normal_(parts[-2].weight, nonlinearity="relu")
        nn.init.zeros_(parts[-2].bias)
    net = nn.Sequential(*parts[:-1])
    optimizer = torch.optim.Adam(net.parameters(), LR, (0.9, BETA2), fused=True)
    criterion, rate = nn.CrossEntropyLoss(), iter(rates().tolist())
    for _ in range(EPOCHS):
        for index in torch.randperm(len(t)).split(BATCH):
            optimizer.param_groups[0]["lr"] = next(rate)
            optimizer.zero_grad()
            criterion(net(x[index]), t[index]).backward()
            optimizer.step()
    with torch.no_grad():
        return float((net(x_test).argmax(dim=1) == t_test).float().mean())


def train_jax(arrays: tuple[np.ndarray, ...], seed: int) -> float:
    """JAX with a compiled step; nothing is gained by compiling an epoch that is run four times."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(seed)
    x, t, x_test, t_test = arrays
    wide = (x.shape[1], *HIDDEN, 10)
    params = [
        (
            jnp.asarray(rng.normal(0, (2 / n_in) ** 0.5, (n_in, n_out)), jnp.float32),
            jnp.zeros(n_out),
        )
        for n_in, n_out in pairwise(wide)
    ]

    def logits(params: Any, x: Any) -> Any:
        for W, b in params[:-1]:
            x = jax.nn.relu(x @ W + b)
        return x @ params[-1][0] + params[-1][1]

    def loss(params: Any, x: Any, t: Any) -> Any:
        log_p = jax.nn.log_softmax(logits(params, x))
        return -jnp.take_along_axis(log_p, t[:, None], axis=1).mean()

    def step(state: Any, x: Any, t: Any, index: Any, rate: Any) -> Any:
        params, m, v, count = state
        g = jax.grad(loss)(params, x[index], t[index])
        count = count + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, g)
        rate, correction = rate / (1 - 0.9**count), 1 / (1 - BETA2**count)
        params = jax.tree.map(
            lambda w, m, v: w - rate * m / (jnp.sqrt(correction * v) + 1e-8), params, m, v
        )
        return params, m, v, count

    compiled = jax.jit(step, donate_argnums=0)
    zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]
    state, x, t = (params, *zeros, jnp.float32(0)), jnp.asarray(x), jnp.asarray(t, jnp.int32)
    rate = iter(rates())
    for _ in range(EPOCHS):
        order = rng.permutation(len(t)).astype(np.int32)
        for start in range(0, len(order), BATCH):
            state = compiled(state, x, t, order[start : start + BATCH], next(rate))
    return float((np.asarray(logits(state[0], x_test)).argmax(axis=1) == t_test).mean())


def train_keras(arrays: tuple[np.ndarray, ...], seed: int) -> float:
    """Keras's fit, on the backend that KERAS_BACKEND names."""
    import keras

    class Rates(keras.optimizers.schedules.LearningRateSchedule):
        """`rates`, looked up by the number of the step."""

        values = rates()

        def __call__(self, step: Any) -> Any:
            return keras.ops.take(self.values, keras.ops.cast(step, "int32"))

    keras.utils.set_random_seed(seed)
    x, t, x_test, t_test = arrays
    dense = keras.layers.Dense
    net = keras.Sequential(
        [
            keras.Input((x.shape[1],)),
            *(dense(n, "relu", kernel_initializer="he_normal") for n in HIDDEN),
            dense(10, kernel_initializer="he_normal"),
        ]
    )
    net.compile(
        keras.optimizers.Adam(Rates(), beta_2=BETA2, epsilon=1e-8),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    net.fit(x, t, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    best = net.predict(x_test, batch_size=1000, verbose=0).argmax(axis=1)
    return float((best == t_test).mean())


TRAINED: Mapping[str, Callable[[tuple[np.ndarray, ...], int], float]] = MappingProxyType(
    {
        "scikit-learn": train_sklearn,
        "torch": train_torch,
        "jax": train_jax,
        "keras": train_keras,
    }
)


def main() -> None:
    made = argparse.ArgumentParser(description="MNIST to 98 % with another system.")
    made.add_argument("system", choices=tuple(TRAINED))
    made.add_argument("--data-dir", type=Path, required=True)
    made.add_argument("--seed", type=int, default=0)
    options = made.parse_args()
    accuracy = TRAINED[options.system](read(options.data_dir), options.seed)
    print(json.dumps({"accuracy": accuracy}))


if __name__ == "__main__":
    main()
