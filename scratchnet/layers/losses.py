"""Losses: how wrong the outputs of a network are, as one number, and its derivative."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_above_zero, check_share
from scratchnet.errors import DtypeError, ShapeError
from scratchnet.functions import sigmoid
from scratchnet.layers.labels import check_integer_labels
from scratchnet.layers.layer import remembered
from scratchnet.layers.softmax import Loss, SoftmaxWithLoss
from scratchnet.parameters import Array


class ElementwiseLoss(Loss):
    """A loss that compares every output with a target value of its own; the base of own losses.

    A subclass writes `per_sample_loss` and `per_sample_gradient`, as those below.
    `labels`: "values" (N, K), or "integer" (N,) with values 0..K-1, of which output k has the
    target 1 for label k, else 0. With a single output the labels 0 and 1 are the targets.
    """

    known_labels = ("values", "integer")
    lowest, highest = -np.inf, np.inf
    """The target values there may be."""

    y: Array | None = None  # (N, K)
    t: Array | None = None  # (N, K)

    def __init__(self, labels: str = "values") -> None:
        super().__init__(labels)

    def check_targets(self, t: npt.ArrayLike, n_rows: int, n_outputs: int) -> Array:
        """`t` checked against N = n_rows and K = n_outputs.

        Raises ShapeError, naming row and value, where a target does not fit, DtypeError where
        targets are not numbers of the right kind.
        """
        t = np.asarray(t)
        if self.labels == "integer":
            return check_integer_labels(t, n_rows, max(n_outputs, 2))
        if t.dtype.kind not in "biuf":
            raise DtypeError(f"targets must be numbers, got dtype {t.dtype}")
        if t.shape != (n_rows, n_outputs):
            fix = "; use t[:, np.newaxis]" if t.ndim == n_outputs == 1 else ""
            raise ShapeError(
                f"targets must have the shape ({n_rows}, {n_outputs}), got {t.shape}{fix}"
            )
        bad = np.argwhere(~(np.isfinite(t) & (t >= self.lowest) & (t <= self.highest)))
        if len(bad):
            row, column = bad[0]
            rule = "finite"
            if self.lowest > -np.inf:
                rule = f"finite and from {self.lowest:g} to {self.highest:g}"
            raise ShapeError(
                f"targets must be {rule}, got {t[row, column]} at row {row}, column {column}"
            )
        return t

    def spread(self, y: Array, t: Array) -> Array:
        """The targets (N, K) for what `check_targets` returned, in the dtype of y (N, K)."""
        if t.ndim == 1:
            t = t[:, np.newaxis] == (1 if y.shape[1] == 1 else np.arange(y.shape[1]))
        return t.astype(y.dtype)

    def difference(self, y: Array, t: Array) -> Array:
        """y - t (N, K), of which both are remembered."""
        self.y, self.t = y, self.spread(y, t)
        return np.asarray(self.y - self.t)

    def count_correct(self) -> int:
        """How many rows have the largest output where the target is; of one, its side of 1/2."""
        y, t = remembered(self.y), remembered(self.t)
        if y.shape[1] == 1:
            return int(np.count_nonzero((y > 0.5) == (t > 0.5)))
        return int(np.count_nonzero(y.argmax(axis=1) == t.argmax(axis=1)))


class MeanSquaredError(ElementwiseLoss):
    """L = sum_nk (y_nk - t_nk)^2 / 2N, the sum of squares of the book; dL/dy = (y - t) / N."""

    def per_sample_loss(self, y: Array, t: Array) -> Array:
        """sum_k (y_nk - t_nk)^2 / 2 (N,)."""
        return np.asarray(np.square(self.difference(y, t), dtype=np.float64).sum(axis=1) / 2)

    def per_sample_gradient(self) -> Array:
        """y - t (N, K)."""
        return np.asarray(remembered(self.y) - remembered(self.t))


class MeanAbsoluteError(ElementwiseLoss):
    """L = sum_nk |y_nk - t_nk| / N; dL/dy = sign(y - t) / N. Its best constant is the median."""

    def per_sample_loss(self, y: Array, t: Array) -> Array:
        """sum_k |y_nk - t_nk| (N,)."""
        return np.asarray(np.abs(self.difference(y, t)).sum(axis=1, dtype=np.float64))

    def per_sample_gradient(self) -> Array:
        """sign(y - t) (N, K)."""
        return np.asarray(np.sign(remembered(self.y) - remembered(self.t)))


class Huber(ElementwiseLoss):
    """Squares of small errors, absolute values of large ones: outliers pull no harder than `delta`.

    With e = y - t: L_n = sum_k e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2);
    dL/dy = max(-delta, min(e, delta)) / N (Huber 1964). `delta`, above 0, has the unit of t.
    """

    def __init__(self, labels: str = "values", *, delta: float = 1.0) -> None:
        super().__init__(labels)
        self.delta = check_above_zero("delta", delta)

    def per_sample_loss(self, y: Array, t: Array) -> Array:
        """sum_k of e^2 / 2, or of delta (|e| - delta / 2) (N,)."""
        size = np.abs(self.difference(y, t), dtype=np.float64)
        small = np.minimum(size, self.delta)
        return np.asarray((small * (size - small / 2)).sum(axis=1))

    def per_sample_gradient(self) -> Array:
        """e, held between -delta and delta (N, K)."""
        return np.asarray(np.clip(remembered(self.y) - remembered(self.t), -self.delta, self.delta))

    def config(self) -> dict[str, Any]:
        """The options that make a loss like this one."""
        return {**super().config(), "delta": self.delta}


class BinaryCrossEntropy(ElementwiseLoss):
    """Cross-entropy of a sigmoid for each output, from the logits, for targets from 0 to 1.

    L = sum_nk -(t log s(y) + (1 - t) log(1 - s(y))) / N with s(y) = 1 / (1 + exp(-y)), which is
    max(y, 0) - y t + log(1 + exp(-|y|)), right for every finite logit; dL/dy = (s(y) - t) / N.
    For labels that do not exclude each other, or for two classes with a single output.

    `label_smoothing` e, from 0 to below 1, puts (1 - e) t + e / 2 in the place of t, also in
    evaluation: so no logit gains from growing without end (as in SoftmaxWithLoss).
    """

    lowest, highest = 0.0, 1.0

    def __init__(self, labels: str = "values", *, label_smoothing: float = 0.0) -> None:
        super().__init__(labels)
        self.label_smoothing = check_share("label_smoothing", label_smoothing)

    def spread(self, y: Array, t: Array) -> Array:
        """The targets (N, K), smoothed."""
        t, e = super().spread(y, t), self.label_smoothing
        return t * (1 - e) + e / 2 if e else t

    def config(self) -> dict[str, Any]:
        """The options that make a loss like this one."""
        e = self.label_smoothing
        return {**super().config(), **({"label_smoothing": e} if e else {})}

    def per_sample_loss(self, y: Array, t: Array) -> Array:
        """sum_k max(y, 0) - y t + log(1 + exp(-|y|)) (N,)."""
        self.y, self.t = y, self.spread(y, t)
        rest = np.log1p(np.exp(-np.abs(y)))
        return np.asarray((np.maximum(y, 0) - y * self.t + rest).sum(axis=1, dtype=np.float64))

    def per_sample_gradient(self) -> Array:
        """s(y) - t (N, K)."""
        return np.asarray(sigmoid(remembered(self.y)) - remembered(self.t))

    def confidences(self, y: Array) -> Array:
        """s(y)."""
        return sigmoid(y)

    def count_correct(self) -> int:
        """How many rows have the largest logit at the label; under "values" every logit right."""
        y, t = remembered(self.y), remembered(self.t)
        if self.labels == "integer" and y.shape[1] > 1:
            return int(np.count_nonzero(y.argmax(axis=1) == t.argmax(axis=1)))
        return int(np.count_nonzero(((y > 0) == (t > 0.5)).all(axis=1)))


class PoissonLoss(ElementwiseLoss):
    """Half the Poisson deviance, for counts t >= 0, from y, the logarithm of their mean.

    L = sum_nk (exp(y) - t y + t log t - t) / N, 0 where exp(y) = t; dL/dy = (exp(y) - t) / N.
    """

    lowest = 0.0

    def per_sample_loss(self, y: Array, t: Array) -> Array:
        """sum_k exp(y) - t y + t log t - t (N,)."""
        self.y, self.t = y, self.spread(y, t)
        logarithm = np.log(np.where(self.t > 0, self.t, 1.0))  # 0 log 0 is 0
        deviance = np.exp(y, dtype=np.float64) - self.t * (y - logarithm + 1.0)
        return np.asarray(deviance.sum(axis=1))

    def per_sample_gradient(self) -> Array:
        """exp(y) - t (N, K)."""
        return np.asarray(np.exp(remembered(self.y)) - remembered(self.t))

    def predictions(self, y: Array) -> Array:
        """exp(y), the mean count."""
        return np.exp(y)

    def confidences(self, y: Array) -> Array:
        """exp(y), the mean count, held below 1."""
        return np.exp(np.minimum(y, 0.0))

    def count_correct(self) -> int:
        """How many rows have the largest output at the largest target."""
        y, t = remembered(self.y), remembered(self.t)
        return int(np.count_nonzero(y.argmax(axis=1) == t.argmax(axis=1)))


LOSSES: Mapping[str, type[Loss]] = MappingProxyType(
    {
        "softmax": SoftmaxWithLoss,
        "mean-squared-error": MeanSquaredError,
        "mean-absolute-error": MeanAbsoluteError,
        "huber": Huber,
        "binary-cross-entropy": BinaryCrossEntropy,
        "poisson": PoissonLoss,
    }
)
