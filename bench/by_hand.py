"""The book's ReLU network and optimizers written out plainly, to compare scratchnet with.

Nothing here is scratchnet's: float64, a dict of parameters, formulas as the book states them, with
its 1e-7 inside the logarithm and Adam's corrections folded into the rate. Slow and short.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

Array = np.ndarray
Params = dict[str, Array]
Memory = dict[str, Array]


class Classifier:
    """x - Affine - ReLU - ... - Affine - softmax, with weights "W1", ... and biases "b1", ..."""

    def __init__(self, params: Mapping[str, Array]) -> None:
        self.params: Params = {name: array.astype(float) for name, array in params.items()}
        self.depth = len(params) // 2

    def activations(self, x: Array) -> list[Array]:
        """The input, every hidden layer's output and, last, the logits."""
        found = [x]
        for k in range(1, self.depth + 1):
            z = found[-1] @ self.params[f"W{k}"] + self.params[f"b{k}"]
            found.append(z if k == self.depth else np.maximum(z, 0))
        return found

    def loss_and_gradient(self, x: Array, t: Array) -> tuple[float, Params]:
        """The mean cross-entropy of the batch and its derivatives."""
        h = self.activations(x)
        p = np.exp(h[-1] - h[-1].max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        rows = np.arange(len(t))
        loss = -np.log(p[rows, t] + 1e-7).mean()
        p[rows, t] -= 1
        dout = p / len(t)
        grads = {}
        for k in range(self.depth, 0, -1):
            grads[f"W{k}"], grads[f"b{k}"] = h[k - 1].T @ dout, dout.sum(axis=0)
            dout = (dout @ self.params[f"W{k}"].T) * (h[k - 1] > 0)
        return float(loss), grads

    def accuracy(self, x: Array, t: Array) -> float:
        """The share of rows whose largest logit is at the label."""
        return float(np.mean(self.activations(x)[-1].argmax(axis=1) == t))


def sgd(w: Array, g: Array, _: Memory, __: int) -> None:
    w -= 0.01 * g


def momentum(w: Array, g: Array, memory: Memory, _: int) -> None:
    v = memory["v"] = 0.9 * memory.get("v", 0) - 0.01 * g
    w += v


def nesterov(w: Array, g: Array, memory: Memory, _: int) -> None:
    v = memory["v"] = 0.9 * memory.get("v", 0) - 0.01 * g
    w += 0.9 * v - 0.01 * g


def adagrad(w: Array, g: Array, memory: Memory, _: int) -> None:
    h = memory["h"] = memory.get("h", 0) + g * g
    w -= 0.01 * g / (np.sqrt(h) + 1e-7)


def rmsprop(w: Array, g: Array, memory: Memory, _: int) -> None:
    h = memory["h"] = 0.99 * memory.get("h", 0) + 0.01 * g * g
    w -= 0.01 * g / (np.sqrt(h) + 1e-7)


def adam(w: Array, g: Array, memory: Memory, step: int) -> None:
    m = memory["m"] = memory.get("m", 0) + 0.1 * (g - memory.get("m", 0))
    v = memory["v"] = memory.get("v", 0) + 0.001 * (g * g - memory.get("v", 0))
    rate = 0.001 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
    w -= rate * m / (np.sqrt(v) + 1e-7)


RULES: Mapping[str, Callable[[Array, Array, Memory, int], None]] = MappingProxyType(
    {
        "sgd": sgd,
        "momentum": momentum,
        "nesterov": nesterov,
        "adagrad": adagrad,
        "rmsprop": rmsprop,
        "adam": adam,
    }
)


class Fitting:
    """Updates `classifier` by one of RULES, batch after batch."""

    def __init__(self, classifier: Classifier, rule: str) -> None:
        self.classifier = classifier
        self.rule = RULES[rule]
        self.memory: dict[str, Memory] = {name: {} for name in classifier.params}
        self.steps = 0

    def step(self, x: Array, t: Array) -> float:
        """One update; returns the loss before it."""
        loss, grads = self.classifier.loss_and_gradient(x, t)
        self.steps += 1
        for name, w in self.classifier.params.items():
            self.rule(w, grads[name], self.memory[name], self.steps)
        return loss
