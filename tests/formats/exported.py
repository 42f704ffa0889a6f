"""Networks to export: every kind of layer in rows and images of odd sizes, and random stacks."""

import numpy as np

from scratchnet import Network
from scratchnet.data.preparation import Preparation
from scratchnet.layers import (
    ACTIVATIONS,
    Affine,
    AvgPool,
    BatchNorm,
    Columns,
    Concat,
    Conv2D,
    Dropout,
    Embedding,
    GaussianNoise,
    GlobalAvgPool,
    LayerNorm,
    MaxPool,
    MemberAffine,
    PiecewiseLinear,
    PReLU,
    ReLU,
    Residual,
    RobustScale,
    Scale,
    Standardize,
)

ROWS = ((7,), (6, 5), (7, 5, 3))
"""Shapes of rows for layers that take any."""
IMAGES = ((6, 5), (7, 5, 3), (8, 9, 2))

OF_ROWS = {
    **{name: lambda n, kind=kind: [kind()] for name, kind in ACTIVATIONS.items()},
    "prelu-each": lambda n: [PReLU(n)],
    "affine": lambda n: [Affine(5), ACTIVATIONS["tanh"](), Affine(3, bias=False)],
    "batch-norm": lambda n: [BatchNorm()],
    "batch-norm-each": lambda n: [BatchNorm(n, scale=False, eps=0.01)],
    "layer-norm": lambda n: [LayerNorm()],
    "layer-norm-unscaled": lambda n: [LayerNorm(scale=False, eps=0.01)],
    "standardize": lambda n: [Standardize()],
    "standardize-all": lambda n: [Standardize(over="all")],
    "robust-scale": lambda n: [RobustScale()],
    "piecewise-linear": lambda n: [PiecewiseLinear(bins=3)],
    "scale": lambda n: [Scale()],
    "embedding": lambda n: [Embedding([2 + k % 3 for k in range(n)], 3)],
    "columns": lambda n: [Columns([2, n - 2], [PiecewiseLinear(bins=2), Scale()])],
    "piecewise-linear-counts": lambda n: [
        PiecewiseLinear(bins=3, counts=[k % 4 for k in range(n)])
    ],
    "concat": lambda n: [Concat([RobustScale(), PiecewiseLinear(bins=2)])],
    "members": lambda n: [
        MemberAffine(n, 3),
        ACTIVATIONS["tanh"](),
        MemberAffine(n, 2, bias=False),
    ],
    "dropout": lambda n: [Dropout(0.3), Affine(6)],
    "noise": lambda n: [GaussianNoise(0.3), Affine(6)],
    "residual-dense": lambda n: [Residual([Affine(n), ReLU()], projection=Affine(n))],
    "residual-plain": lambda n: [Affine(6), Residual([Affine(6), ReLU(), Affine(6)])],
}
OF_IMAGES = {
    "convolution": lambda: [Conv2D(4, 3)],
    "convolution-stride": lambda: [Conv2D(4, (3, 2), stride=(2, 3), padding=(1, 2))],
    "convolution-dilation": lambda: [Conv2D(3, 2, dilation=(2, 3), bias=False)],
    "convolution-same": lambda: [Conv2D(4, (2, 4), padding="same")],
    "convolution-same-stride": lambda: [Conv2D(4, 3, padding="same", stride=2)],
    "convolution-far": lambda: [Conv2D(2, 2, padding=4)],
    "max-pool": lambda: [MaxPool((2, 3))],
    "avg-pool": lambda: [AvgPool((3, 2))],
    "global": lambda: [Conv2D(5, 2), GlobalAvgPool()],
    "channels": lambda: [Conv2D(4, 3), BatchNorm(), ReLU(), Conv2D(3, 2), BatchNorm(scale=False)],
    "residual": lambda: [Residual([Conv2D(4, 3, padding="same", stride=2), ReLU()])],
    "residual-within": lambda: [
        Conv2D(4, 3, padding="same"),
        Residual([BatchNorm(), Residual([Conv2D(4, 3, padding=1), ReLU()]), LayerNorm()]),
    ],
}
CASES = [(name, shape) for name in OF_ROWS for shape in ROWS]
CASES += [(name, shape) for name in OF_IMAGES for shape in IMAGES]


def network_of(name, shape, dtype="float32", **options):
    """A network of that kind, 4 classes at its end, with random parameters."""
    layers = OF_ROWS[name](int(np.prod(shape))) if name in OF_ROWS else OF_IMAGES[name]()
    return at_random(Network([*layers, Affine(4)], input_shape=shape, dtype=dtype, **options))


def at_random(network, seed=0):
    """The network with parameters and statistics that are not those of a start.

    They come from a stream that NumPy promises never to change.
    """
    rng = np.random.RandomState(seed)
    for name, array in network.params.items():
        fan_in = np.prod(array.shape[:-1]) if array.ndim > 1 else 4
        array[...] = rng.normal(size=array.shape) / np.sqrt(fan_in)
        if name.startswith("gamma"):
            array += 1
    for array in network.statistics.values():
        array[...] = rng.uniform(0.5, 1.5, array.shape) if array.size > 1 else 3
    return network


def inputs_of(network, n, seed=0):
    """Inputs (N, *shape)."""
    rng = np.random.RandomState(seed)
    return rng.normal(size=(n, *network.input_shape)).astype(network.dtype)


def stack(seed):
    """A network of layers at random, and the preparation of raw values from 0 to 255."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(6, 12)), int(rng.integers(6, 12)), int(rng.integers(1, 4)))
    layers = []
    for _ in range(rng.integers(0, 4)):
        padding, stride = [0, 1, "same"][rng.integers(3)], int(rng.integers(1, 3))
        filters, kernel = int(rng.integers(1, 6)), int(rng.integers(1, 4))
        layers += [Conv2D(filters, kernel, stride=stride, padding=padding), *unit(rng)]
    if layers and rng.random() < 0.5:
        layers += [[MaxPool((1, 1)), AvgPool((1, 1)), GlobalAvgPool()][rng.integers(3)]]
    for _ in range(rng.integers(0, 3)):
        layers += [Affine(int(rng.integers(1, 9))), *unit(rng)]
    network = Network([*layers, Affine(int(rng.integers(2, 6)))], input_shape=shape)
    network.preparation = Preparation(scale=1 / 255, image_shape=shape)
    return at_random(network, seed)


def unit(rng):
    """An activation, perhaps between others."""
    kinds = list(ACTIVATIONS.values())
    before = [[], [BatchNorm()], [LayerNorm()], [GaussianNoise(0.1)]][rng.integers(4)]
    return [*before, kinds[rng.integers(len(kinds))](), *([Dropout(0.2)] * (rng.random() < 0.3))]


def case_of(name, shape):
    """What a case is called among the stored numbers."""
    return f"{name}.{'x'.join(map(str, shape))}"


def mark_of(array):
    """A number that is another one if two values change places."""
    return float(np.ravel(array) @ np.sqrt(np.arange(1, np.size(array) + 1)))
