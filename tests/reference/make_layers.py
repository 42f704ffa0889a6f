"""Store what torch's layers and losses give, and their derivatives, in float64.

Run after a change of the inputs: python tests/reference/make_layers.py
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

torch.set_default_dtype(torch.float64)
DRAW = np.random.RandomState(2718)

SPECIAL = [0.0, -0.0, 1e-12, -1e-12, 1e-300, 30.0, -30.0, 200.0, -200.0, 1e4, -1e4, 1.0, -1.0]
"""Where an activation has a kink, underflows, saturates, or would overflow inside."""


def uniform(low: float, high: float, *size: int) -> np.ndarray:
    """Draws from a stream that NumPy promises never to change."""
    return low + (high - low) * DRAW.random_sample(size)


X = uniform(-4.0, 4.0, 9, 5)
X.flat[: len(SPECIAL)] = SPECIAL
DOUT = uniform(-1.0, 1.0, 9, 5)
SLOPES = uniform(-0.5, 0.5, 5)

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "identity": nn.Identity,
    "leaky-relu": lambda: nn.LeakyReLU(0.01),
    "prelu": lambda: nn.PReLU(1, 0.25),
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    # Above its threshold torch gives x itself, an error of 2e-9 at the default of 20.
    "softplus": lambda: nn.Softplus(threshold=700.0),
    "mish": nn.Mish,
}

# Columns: ordinary, large, far from 0, so small that eps decides, and constant.
SCALES = np.array([1.0, 1e4, 1.0, 1e-4, 0.0])
OFFSETS = np.array([0.0, 0.0, 100.0, 0.0, 2.5])
BATCHES = uniform(-1.0, 1.0, 3, 8, 5) * SCALES + OFFSETS
BATCHES_DOUT = uniform(-1.0, 1.0, 3, 8, 5)
GAMMA, BETA = uniform(0.5, 2.0, 5), uniform(-1.0, 1.0, 5)
ROWS = np.concatenate([uniform(-3.0, 3.0, 6, 5), uniform(-1e4, 1e4, 1, 5), np.full((1, 5), 2.5)])

Y = np.concatenate(
    [uniform(-4.0, 4.0, 6, 4), [[30.0, 0, -30, 10], [1e4, -1e4, 0, 1], [0.0, 0, 0, 0]]]
)
T = DRAW.randint(4, size=9)
P = uniform(0.0, 1.0, 9, 4)
VALUES = uniform(-2.0, 2.0, 9, 4)
COUNTS = np.floor(uniform(0.0, 5.0, 9, 4))
WEIGHTS = np.array([0.5, 2.0, 1.0, 3.0])

Arrays = dict[str, np.ndarray]

IMAGES = np.random.RandomState(3141)
"""The stream of the cases with images, which stand by themselves."""
CONVOLUTIONS = {
    "plain": ((2, 7, 6, 2), 3, (3, 3), {}),
    "one-image": ((1, 5, 5, 1), 2, (3, 3), {}),
    "book": ((2, 28, 28, 1), 4, (5, 5), {}),
    "1x1": ((3, 4, 5, 3), 2, (1, 1), {}),
    "rectangle": ((2, 6, 9, 2), 3, (2, 4), {}),
    "stride": ((2, 9, 8, 2), 3, (3, 3), {"stride": (2, 3)}),
    "padding": ((2, 5, 6, 2), 3, (3, 3), {"padding": (1, 2)}),
    "far-padding": ((2, 4, 4, 1), 2, (2, 3), {"padding": (4, 5)}),
    "dilation": ((2, 9, 9, 2), 2, (3, 3), {"dilation": (2, 3)}),
    "same": ((2, 7, 5, 2), 3, (3, 5), {"padding": "same"}),
    "same-dilated": ((2, 8, 7, 1), 2, (3, 3), {"padding": "same", "dilation": (2, 2)}),
    "everything": (
        (2, 11, 10, 3),
        4,
        (3, 2),
        {"stride": (2, 2), "padding": (2, 1), "dilation": (2, 3)},
    ),
    "whole-image": ((3, 4, 6, 2), 5, (4, 6), {}),
    "one-row": ((3, 1, 9, 2), 3, (1, 3), {"stride": (1, 2)}),
    "1x1-stride": ((2, 5, 6, 3), 2, (1, 1), {"stride": (2, 2)}),
    "same-even": ((2, 5, 6, 2), 2, (4, 2), {"padding": "same"}),
}
"""By name: (N, H, W, C), filters, kernel, and the options of torch's layer."""
POOLS: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module]]] = {
    "max-pool": ((2, 6, 8, 3), lambda: nn.MaxPool2d(2)),
    "max-pool-odd": ((2, 7, 5, 2), lambda: nn.MaxPool2d((3, 2))),
    "avg-pool": ((2, 6, 8, 3), lambda: nn.AvgPool2d(2)),
    "avg-pool-odd": ((2, 7, 5, 2), lambda: nn.AvgPool2d((3, 2))),
    "global-avg-pool": ((2, 4, 5, 3), lambda: nn.AdaptiveAvgPool2d(1)),
}


def turned(module: nn.Module, x: np.ndarray, dout: Callable[..., np.ndarray]) -> Arrays:
    """What torch's module gives for images (N, H, W, C), turned to (N, C, H, W) and back."""
    leaf = torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    y = module(leaf)
    # Rounded to a few digits, so that they pack well.
    d = np.round(dout(-1.0, 1.0, tuple(y.permute(0, 2, 3, 1).shape)), 3)
    y.backward(torch.tensor(d.transpose(0, 3, 1, 2).copy()))
    found = {"x": x, "dout": d}
    for name, tensor in (("y", y), ("dx", leaf.grad)):
        found[name] = tensor.detach().permute(0, 2, 3, 1).numpy().copy()
    return found


def convolution(case: str) -> Arrays:
    """A convolution: W (KH, KW, C, F), b, y, dx, dW, db."""
    shape, filters, kernel, options = CONVOLUTIONS[case]
    module = nn.Conv2d(shape[3], filters, kernel, **options)
    W = np.round(IMAGES.uniform(-1.0, 1.0, (*kernel, shape[3], filters)), 3)
    b = np.round(IMAGES.uniform(-1.0, 1.0, filters), 3)
    put(module, weight=W.transpose(3, 2, 0, 1), bias=b)
    found = turned(module, np.round(IMAGES.uniform(-1.0, 1.0, shape), 3), IMAGES.uniform)
    dW = module.weight.grad.permute(2, 3, 1, 0).numpy().copy()
    return found | {"W": W, "b": b, "dW": dW, "db": module.bias.grad.numpy().copy()}


def channels() -> Arrays:
    """Batch normalization of the channels of images, in training."""
    module = put(nn.BatchNorm2d(3, momentum=None), weight=GAMMA[:3], bias=BETA[:3])
    x = np.round(IMAGES.uniform(-2.0, 3.0, (4, 5, 6, 3)), 3)
    found = turned(module, x, IMAGES.uniform)
    found["dgamma"], found["dbeta"] = (p.grad.numpy().copy() for p in module.parameters())
    found["mean"], found["var"] = module.running_mean.numpy(), module.running_var.numpy()
    return found


def passed(module: nn.Module, x: np.ndarray, dout: np.ndarray) -> Arrays:
    """y, dx and the derivatives of the module's parameters by torch's names."""
    module.zero_grad()
    leaf = torch.tensor(x, requires_grad=True)
    y = module(leaf)
    y.backward(torch.tensor(dout))
    found = {"y": y, "dx": leaf.grad}
    found.update({f"d{name}": parameter.grad for name, parameter in module.named_parameters()})
    return {name: tensor.detach().numpy().copy() for name, tensor in found.items()}


def put(module: nn.Module, **values: np.ndarray) -> nn.Module:
    """The module with these parameters."""
    with torch.no_grad():
        for name, value in values.items():
            getattr(module, name).copy_(torch.tensor(value))
    return module


def batch_norm() -> Arrays:
    """Three batches in training, then one in evaluation with the plain average of them.

    momentum=None is torch's word for that average: rate 1 / k at the k-th batch.
    """
    module = put(nn.BatchNorm1d(5, eps=1e-5, momentum=None), weight=GAMMA, bias=BETA)
    found: Arrays = {}
    for k, (x, dout) in enumerate(zip(BATCHES, BATCHES_DOUT, strict=True)):
        found.update({f"{k}.{name}": a for name, a in passed(module, x, dout).items()})
        found[f"{k}.running_mean"] = module.running_mean.numpy().copy()
        found[f"{k}.running_var"] = module.running_var.numpy().copy()
    module.eval()
    evaluated = passed(module, BATCHES[0], BATCHES_DOUT[0])
    return found | {f"evaluation.{name}": array for name, array in evaluated.items()}


def loss(module: nn.Module, t: np.ndarray, factor: float = 1.0, y: np.ndarray = Y) -> Arrays:
    """factor L and its derivative at y."""
    leaf = torch.tensor(y, requires_grad=True)
    value = module(leaf, torch.tensor(t)) * factor
    value.backward()
    return {"L": value.detach().numpy().copy(), "dy": leaf.grad.numpy().copy()}


def everything() -> Arrays:
    """All that is stored, by "case.array"."""
    n, k = Y.shape
    distributions = P / P.sum(axis=1, keepdims=True)
    cases = {name: passed(make(), X, DOUT) for name, make in ACTIVATIONS.items()}
    cases["prelu-each"] = passed(put(nn.PReLU(5), weight=SLOPES), X, DOUT)
    cases["batch-norm"] = batch_norm()
    cases["layer-norm"] = passed(
        put(nn.LayerNorm(5, eps=1e-5), weight=GAMMA, bias=BETA), ROWS, BATCHES_DOUT[0]
    )
    cases["softmax"] = loss(nn.CrossEntropyLoss(), T)
    cases["smoothed"] = loss(nn.CrossEntropyLoss(label_smoothing=0.1), T)
    cases["smoothed-soft"] = loss(nn.CrossEntropyLoss(label_smoothing=0.3), distributions)
    # torch's means are over the weights, and over all N K values: ours are over rows.
    weighted = nn.CrossEntropyLoss(weight=torch.tensor(WEIGHTS), reduction="sum")
    cases["weighted"] = loss(weighted, T, 1 / n)
    cases["binary"] = loss(nn.BCEWithLogitsLoss(), P, k)
    cases["squares"] = loss(nn.MSELoss(), VALUES, k / 2)
    cases["absolute"] = loss(nn.L1Loss(), VALUES, k)
    cases["huber"] = loss(nn.HuberLoss(delta=0.7), VALUES, k)
    # torch leaves out what does not depend on y: ours is 0 where exp(y) = t.
    cases["poisson"] = loss(nn.PoissonNLLLoss(), COUNTS, k, VALUES)
    constant = COUNTS * np.log(np.maximum(COUNTS, 1.0)) - COUNTS
    cases["poisson"]["L"] = cases["poisson"]["L"] + constant.sum() / n
    for case in CONVOLUTIONS:
        cases[f"convolution-{case}"] = convolution(case)
    for case, (shape, make) in POOLS.items():
        # Whole numbers from 0 to 3: most windows have several largest values.
        cases[case] = turned(make(), IMAGES.randint(4, size=shape).astype(float), IMAGES.uniform)
    cases["channels"] = channels()
    cases["input"] = {
        "x": X,
        "dout": DOUT,
        "slopes": SLOPES,
        "batches": BATCHES,
        "batches_dout": BATCHES_DOUT,
        "gamma": GAMMA,
        "beta": BETA,
        "rows": ROWS,
        "y": Y,
        "t": T,
        "p": P,
        "distributions": distributions,
        "values": VALUES,
        "counts": COUNTS,
        "weights": WEIGHTS,
    }
    return {f"{case}.{name}": a for case, arrays in cases.items() for name, a in arrays.items()}


if __name__ == "__main__":
    stored = everything()
    if not all(np.isfinite(array).all() for array in stored.values()):
        raise ValueError("a value is not finite")
    config = json.dumps({"library": f"torch {torch.__version__}"})
    np.savez_compressed(Path(__file__).with_name("layers.npz"), config=config, **stored)
