"""A child of `bench/convolution.py`: times one system on one network, and prints what it found.

    convolution_worker.py SYSTEM NETWORK THREADS STEPS

One JSON object on stdout: the best wall and CPU milliseconds of a step, forward and backward, of a
batch of 100, over blocks of three steps each; for `memory` the peak of resident memory in MB.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

BATCH = 100
BLOCK = 3
"""Steps of one measurement."""
NETWORKS: dict[str, dict[str, Any]] = {
    "simple": {"conv": ["30x5", "pool2"], "hidden": [100], "dropout": 0.0},
    "keras": {"conv": ["32x3", "pool2", "64x3", "pool2"], "hidden": [], "dropout": 0.5},
    "deep": {
        "conv": [
            *("16x3p1", "16x3p1", "pool2"),
            *("32x3p1", "32x3p2", "pool2"),
            *("64x3p1", "64x3p1", "pool2"),
        ],
        "hidden": [50],
        "dropout": 0.5,
    },
}

Array = Any
Step = Callable[[], object]


def batch(n: int = BATCH) -> tuple[Array, Array]:
    """Images (n, 784) from 0 to 1, and labels."""
    rng = np.random.default_rng(0)
    return rng.random((n, 784), dtype=np.float32), rng.integers(0, 10, n)


def network(name: str) -> Any:
    """Ours."""
    from scratchnet import ConvNet

    about = NETWORKS[name]
    return ConvNet((28, 28), about["conv"], about["hidden"], 10, dropout=about["dropout"])


@contextmanager
def ours(name: str, threads: int) -> Iterator[Step]:
    """A step as the Trainer makes it: `threads` share the batch."""
    from functools import partial

    from scratchnet.environment import limit_threads
    from scratchnet.training.parts import Parts
    from scratchnet.training.sharing import Batch

    made, (x, t) = network(name), batch()
    noise = partial(np.random.default_rng, 0)
    with limit_threads(1), Parts(made, threads) as parts:
        yield lambda: parts.forward_backward(Batch(x, t), noise)


@contextmanager
def bare(name: str, threads: int) -> Iterator[Step]:
    """The matrix products alone, of whole matrices that stand ready."""
    products = []
    made = network(name)
    rng = np.random.default_rng(0)
    first = True
    for layer in made.layers:
        if "W" not in layer.shapes:
            continue
        W = np.ascontiguousarray(layer.params["W"].reshape(-1, layer.shapes["W"][-1]))
        rows = BATCH * (layer.multiplications() // W.size)
        X = rng.random((rows, len(W)), dtype=np.float32)
        D = rng.random((rows, W.shape[1]), dtype=np.float32)
        products += [(X, W), (X.T, D)]
        if not first and len(layer.shapes["W"]) == 4:  # a convolution of dout, turned round
            kh, kw, channels, filters = layer.shapes["W"]
            pixels = BATCH * layer.image[0] * layer.image[1]
            windows = rng.random((pixels, kh * kw * filters), dtype=np.float32)
            products.append((windows, rng.random((kh * kw * filters, channels), dtype=np.float32)))
        elif not first:
            products.append((D, np.ascontiguousarray(W.T)))
        first = False
    places = [np.empty((len(a), b.shape[1]), np.float32) for a, b in products]

    def step() -> None:
        for (a, b), out in zip(products, places, strict=True):
            np.matmul(a, b, out=out)

    yield step


# The book's arithmetic: a matrix of all windows, images (N, C, H, W).


def columns_of(x: Array, size: int, stride: int, pad: int) -> Array:
    """All windows of images (N, C, H, W), (N OH OW, C K K)."""
    x = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    n, c, h, w = x.shape
    high, wide = (h - size) // stride + 1, (w - size) // stride + 1
    found = np.zeros((n, c, size, size, high, wide), x.dtype)
    for i in range(size):
        for j in range(size):
            rows, at = slice(i, i + stride * high, stride), slice(j, j + stride * wide, stride)
            found[:, :, i, j] = x[:, :, rows, at]
    return found.transpose(0, 4, 5, 1, 2, 3).reshape(n * high * wide, -1)


def images_of(columns: Array, shape: Sequence[int], size: int, stride: int, pad: int) -> Array:
    """The sum of windows put back to their places."""
    n, c, h, w = shape
    high, wide = (h + 2 * pad - size) // stride + 1, (w + 2 * pad - size) // stride + 1
    pieces = columns.reshape(n, high, wide, c, size, size).transpose(0, 3, 4, 5, 1, 2)
    x = np.zeros((n, c, h + 2 * pad + stride - 1, w + 2 * pad + stride - 1), columns.dtype)
    for i in range(size):
        for j in range(size):
            rows, at = slice(i, i + stride * high, stride), slice(j, j + stride * wide, stride)
            x[:, :, rows, at] += pieces[:, :, i, j]
    return x[:, :, pad : h + pad, pad : w + pad]


class PlainConvolution:
    """A convolution by a matrix of all windows."""

    def __init__(self, W: Array, pad: int) -> None:
        self.W, self.pad, self.b = W, pad, np.zeros(len(W), W.dtype)

    def forward(self, x: Array) -> Array:
        """The output for x."""
        filters, _, size, _ = self.W.shape
        self.shape, self.columns = x.shape, columns_of(x, size, 1, self.pad)
        y = self.columns @ self.W.reshape(filters, -1).T + self.b
        high = x.shape[2] + 2 * self.pad - size + 1
        return y.reshape(len(x), high, -1, filters).transpose(0, 3, 1, 2)

    def backward(self, dout: Array) -> Array:
        """The derivative by x."""
        filters, _, size, _ = self.W.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, filters)
        self.db = dout.sum(axis=0)
        self.dW = (self.columns.T @ dout).T.reshape(self.W.shape)
        columns = dout @ self.W.reshape(filters, -1)
        return images_of(columns, self.shape, size, 1, self.pad)


class PlainPool:
    """Max-pooling by a matrix of all windows."""

    def forward(self, x: Array) -> Array:
        """The output for x."""
        n, c, h, w = x.shape
        self.shape = x.shape
        columns = columns_of(x, 2, 2, 0).reshape(-1, 4)
        self.at = columns.argmax(axis=1)
        return columns.max(axis=1).reshape(n, h // 2, w // 2, c).transpose(0, 3, 1, 2)

    def backward(self, dout: Array) -> Array:
        """The derivative by x."""
        dout = dout.transpose(0, 2, 3, 1)
        spread = np.zeros((dout.size, 4), dout.dtype)
        spread[np.arange(dout.size), self.at] = dout.ravel()
        return images_of(spread.reshape(-1, dout.shape[3] * 4), self.shape, 2, 2, 0)


class PlainReLU:
    """max(x, 0) by a mask."""

    def forward(self, x: Array) -> Array:
        """The output for x."""
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout: Array) -> Array:
        """The derivative by x."""
        dout = dout.copy()
        dout[self.mask] = 0
        return dout


class PlainAffine:
    """x W + b of images written out."""

    def __init__(self, W: Array) -> None:
        self.W, self.b = W, np.zeros(W.shape[1], W.dtype)

    def forward(self, x: Array) -> Array:
        """The output for x."""
        self.shape, self.x = x.shape, x.reshape(len(x), -1)
        return self.x @ self.W + self.b

    def backward(self, dout: Array) -> Array:
        """The derivative by x."""
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return (dout @ self.W.T).reshape(self.shape)


@contextmanager
def plain(name: str, threads: int, dtype: str = "float64") -> Iterator[Step]:
    """A plain im2col of our own, in the book's way: no block, no kept memory.

    The book's weights and windows are float64, as NumPy makes them.
    """
    x, t = batch()
    images = x.reshape(-1, 1, 28, 28).astype(dtype)
    layers: list[Any] = []
    for layer in network(name).layers:
        kind = type(layer).__name__
        if kind == "Conv2D":
            W = np.ascontiguousarray(layer.params["W"].transpose(3, 2, 0, 1))
            layers.append(PlainConvolution(W.astype(dtype), layer.padding[0]))
        elif kind == "MaxPool":
            layers.append(PlainPool())
        elif kind == "ReLU":
            layers.append(PlainReLU())
        elif kind == "Affine":
            layers.append(PlainAffine(layer.params["W"].astype(dtype)))

    def step() -> None:
        y = images
        for layer in layers:
            y = layer.forward(y)
        p = np.exp(y - y.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[np.arange(len(t)), t] -= 1
        dout = (p / len(t)).astype(dtype)
        for layer in reversed(layers):
            dout = layer.backward(dout)

    yield step


@contextmanager
def plain32(name: str, threads: int) -> Iterator[Step]:
    """The same in float32."""
    with plain(name, threads, "float32") as step:
        yield step


@contextmanager
def of_torch(name: str, threads: int, last: bool = False) -> Iterator[Step]:
    """torch in eager mode; `last` with channels_last."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    about, layers, channels, size = NETWORKS[name], [], 1, 28
    for word in about["conv"]:
        if word == "pool2":
            layers.append(nn.MaxPool2d(2))
            size //= 2
            continue
        head, _, pad = word.partition("p")
        filters, kernel = map(int, head.split("x"))
        layers += [nn.Conv2d(channels, filters, kernel, padding=int(pad or 0)), nn.ReLU()]
        channels, size = filters, size + 2 * int(pad or 0) - kernel + 1
    layers.append(nn.Flatten())
    width = channels * size * size
    for n in about["hidden"]:
        layers += [nn.Linear(width, n), nn.ReLU()]
        width = n
    layers += [nn.Dropout(about["dropout"])] if about["dropout"] else []
    made = nn.Sequential(*layers, nn.Linear(width, 10))
    x, t = batch()
    images, labels = torch.from_numpy(x.reshape(-1, 1, 28, 28)), torch.from_numpy(t)
    if last:
        made = made.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)

    def step() -> None:
        made.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(made(images), labels).backward()

    yield step


@contextmanager
def of_jax(name: str, threads: int) -> Iterator[Step]:
    """JAX, compiled, channels last; without dropout, whose generator would count."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    about = NETWORKS[name]
    made = network_shapes(name)
    x, t = batch()
    images, labels = jnp.asarray(x.reshape(-1, 28, 28, 1)), jnp.asarray(t)

    def loss(parameters: Any) -> Any:
        y, k = images, 0
        for word in about["conv"]:
            if word == "pool2":
                window = (1, 2, 2, 1)
                y = lax.reduce_window(y, -jnp.inf, lax.max, window, window, "VALID")
                continue
            pad = int(word.partition("p")[2] or 0)
            y = lax.conv_general_dilated(
                y,
                parameters[k][0],
                (1, 1),
                [(pad, pad)] * 2,
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            y, k = jnp.maximum(y + parameters[k][1], 0), k + 1
        y = y.reshape(len(y), -1)
        for W, b in parameters[k:-1]:
            y = jnp.maximum(y @ W + b, 0)
        y = y @ parameters[-1][0] + parameters[-1][1]
        return -jax.nn.log_softmax(y)[jnp.arange(len(labels)), labels].mean()

    rng = np.random.default_rng(0)
    parameters = [
        (jnp.asarray(rng.normal(0, 0.1, shape).astype("float32")), jnp.zeros(shape[-1]))
        for shape in made
    ]
    compiled = jax.jit(jax.value_and_grad(loss))
    yield lambda: jax.block_until_ready(compiled(parameters))


def network_shapes(name: str) -> list[tuple[int, ...]]:
    """The shapes of the weights, by arithmetic alone: the peers have none of our packages."""
    about, found, channels, size = NETWORKS[name], [], 1, 28
    for word in about["conv"]:
        if word == "pool2":
            size //= 2
            continue
        head, _, pad = word.partition("p")
        filters, kernel = map(int, head.split("x"))
        found.append((kernel, kernel, channels, filters))
        channels, size = filters, size + 2 * int(pad or 0) - kernel + 1
    width = channels * size * size
    for n in [*about["hidden"], 10]:
        found.append((width, n))
        width = n
    return found


@contextmanager
def of_torch_last(name: str, threads: int) -> Iterator[Step]:
    """torch in eager mode with channels_last."""
    with of_torch(name, threads, last=True) as step:
        yield step


SYSTEMS = {
    "scratchnet": ours,
    "products": bare,
    "im2col": plain,
    "im2col32": plain32,
    "torch": of_torch,
    "channels_last": of_torch_last,
    "jax": of_jax,
}


def time_steps(step: Step, count: int) -> dict[str, float]:
    """The best wall and CPU milliseconds of a step."""
    for _ in range(BLOCK):
        step()
    wall, cpu = [], []
    for _ in range(count):
        start, used = time.perf_counter(), time.process_time()
        for _ in range(BLOCK):
            step()
        wall.append((time.perf_counter() - start) / BLOCK * 1e3)
        cpu.append((time.process_time() - used) / BLOCK * 1e3)
    return {"wall": min(wall), "cpu": min(cpu)}


def peak() -> float:
    """The peak of resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(name: str, threads: int) -> dict[str, float]:
    """MB that steps of training add, or with 0 threads an evaluation of 10,000 images."""
    x, _ = batch(10_000)
    before = peak()
    if not threads:
        network(name).predict(x)
    else:
        with ours(name, threads) as step:
            for _ in range(3):
                step()
    return {"added": peak() - before, "whole": peak()}


def main() -> None:
    """Measure what the command line says."""
    system, name, threads, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    if system == "memory":
        found = memory(name, threads)
    else:
        with SYSTEMS[system](name, threads) as step:
            found = time_steps(step, count)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
