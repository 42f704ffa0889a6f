"""Losses: how wrong the outputs of a network are, as one number, and its derivative."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import final

import numpy as np
import numpy.typing as npt

from scratchnet.errors import DtypeError, ParameterError, ShapeError
from scratchnet.layers.layer import remembered
from scratchnet.parameters import Array

LABELS = ("integer", "onehot", "soft")


class Loss(ABC):
    """L = mean over the batch of how wrong y (N, K) is for the targets t."""

    @abstractmethod
    def check_targets(self, t: npt.ArrayLike, n_rows: int, n_outputs: int) -> Array:
        """`t` as the array that `forward` takes; raises ShapeError or DtypeError."""

    @abstractmethod
    def compute(self, y: Array, t: Array) -> float:
        """L for outputs y (N, K) and targets t that `check_targets` has passed."""

    @final
    def forward(self, y: Array, t: npt.ArrayLike) -> float:
        """L for outputs y (N, K) and targets t; raises what `check_targets` raises."""
        return self.compute(y, self.check_targets(t, *y.shape))

    @abstractmethod
    def backward(self, dout: float = 1.0) -> Array:
        """dL/dy (N, K) of the last `forward`, times dout."""

    @abstractmethod
    def count_correct(self) -> int:
        """How many rows of the last `forward` have the right class first."""


class SoftmaxWithLoss(Loss):
    """Cross-entropy of softmax, from the logits: L = mean_n -sum_k t_nk log softmax(y_n)_k.

    With p = softmax(y), dL/dy = (p - t) / N. Nothing is added inside the logarithm: with
    m = max_k y_k and r = the sum of exp(y_k - m) over all k but the largest,

        -log softmax(y)_t = (m - y_t) + log(1 + r),

    which is right for every finite logit, never negative, and keeps its digits near 0, where
    log(1 + r) with all of the 1 inside would round them away.

    `labels` says what targets look like, and is never guessed from their shape: "integer" (N,)
    with values 0..K-1, "onehot" (N, K) with a single 1 a row, "soft" (N, K) with rows of
    probabilities. Raises ParameterError for another word.
    """

    def __init__(self, labels: str = "integer") -> None:
        if labels not in LABELS:
            raise ParameterError(f"labels must be one of {', '.join(LABELS)}, got {labels!r}")
        self.labels = labels
        self.p: Array | None = None  # softmax(y) (N, K)
        self.t: Array | None = None  # (N,) integers or (N, K) probabilities
        self.first: Array | None = None  # the class with the largest logit (N,)

    def check_targets(self, t: npt.ArrayLike, n_rows: int, n_outputs: int) -> Array:
        """`t` checked against N = n_rows and K = n_outputs; one-hot rows become integers.

        Raises ShapeError, naming row and value, where a label does not fit, DtypeError where
        labels are not numbers of the right kind.
        """
        t = np.asarray(t)
        if self.labels == "integer":
            return check_integer_labels(t, n_rows, n_outputs)
        if t.shape != (n_rows, n_outputs):
            raise ShapeError(
                f"{self.labels} labels must have the shape ({n_rows}, {n_outputs}), got {t.shape}"
            )
        if t.dtype.kind not in "biuf":
            raise DtypeError(f"{self.labels} labels must be numbers, got dtype {t.dtype}")
        bad = np.flatnonzero(~_is_distribution(t))
        if self.labels == "onehot" and not len(bad):
            bad = np.flatnonzero((t != 0).sum(axis=1) != 1)
        if len(bad):
            rule = "one 1 and else 0" if self.labels == "onehot" else "numbers >= 0 that sum to 1"
            raise ShapeError(
                f"a row of {self.labels} labels must hold {rule}, got {t[bad[0]]} at row {bad[0]}"
            )
        return t.argmax(axis=1) if self.labels == "onehot" else t

    def compute(self, y: Array, t: Array) -> float:
        """L for finite logits y (N, K) and targets t as `check_targets` returned them."""
        rows = np.arange(len(y))
        self.t, self.first = t, y.argmax(axis=1)
        largest = y[rows, self.first]
        with np.errstate(over="ignore"):  # float32 logits 2e38 apart: exp(-inf) = 0 is right
            e = np.exp(y - largest[:, np.newaxis])
        e[rows, self.first] = 0.0
        rest = e.sum(axis=1)  # r
        e[rows, self.first] = 1.0
        self.p = np.divide(e, (1.0 + rest)[:, np.newaxis], out=e)
        gap = np.subtract(largest, self._target_logit(y, rows), dtype=np.float64)  # m - y_t
        return float((gap + np.log1p(rest)).mean())

    def _target_logit(self, y: Array, rows: Array) -> Array:
        """y_t, or its mean under soft labels (N,)."""
        t = remembered(self.t)
        if t.ndim == 1:
            return y[rows, t]
        return np.asarray((y * t).sum(axis=1, dtype=np.float64))

    def backward(self, dout: float = 1.0) -> Array:
        """dL/dy = (p - t) / N times dout, (N, K), in the dtype of the logits.

        Raises CallOrderError before the first `forward`.
        """
        p, t = remembered(self.p), remembered(self.t)
        dy = p.copy()
        if t.ndim == 1:
            dy[np.arange(len(t)), t] -= 1.0
        else:
            np.subtract(dy, t, out=dy, casting="same_kind")
        return np.multiply(dy, dout / len(t), out=dy)

    def count_correct(self) -> int:
        """How many rows of the last `forward` have their largest logit at the (likeliest) label."""
        t, first = remembered(self.t), remembered(self.first)
        return int(np.count_nonzero(first == (t if t.ndim == 1 else t.argmax(axis=1))))

    def __repr__(self) -> str:
        return f"SoftmaxWithLoss(labels={self.labels!r})"


def check_integer_labels(t: Array, n_rows: int, n_outputs: int) -> Array:
    """`t` if it is n_rows integers from 0 to n_outputs - 1.

    Raises ShapeError or DtypeError that names row, value and the fix.
    """
    if t.ndim != 1:
        fix = "t.ravel()" if t.ndim == 2 and t.shape[1] == 1 else "SoftmaxWithLoss(labels='onehot')"
        raise ShapeError(f"labels must have the shape (N,), got {t.shape}; use {fix}")
    if len(t) != n_rows:
        raise ShapeError(f"x and t must have as many rows, x has {n_rows}, t has {len(t)}")
    if t.dtype.kind not in "iu":
        came = f"{t[0]!r} at row 0 (dtype {t.dtype})" if len(t) else f"dtype {t.dtype}"
        raise DtypeError(f"labels must be integers, got {came}; use t.astype(int)")
    if len(t) and (t.min() < 0 or t.max() >= n_outputs):
        row = int(np.flatnonzero((t < 0) | (t >= n_outputs))[0])
        raise ShapeError(
            f"labels must be from 0 to {n_outputs - 1}, the outputs of the network, "
            f"got {t[row]} at row {row}"
        )
    return t


def _is_distribution(t: Array) -> Array:
    """For each row of t (N, K): are its values >= 0 with the sum 1, to 1e-6? Booleans (N,)."""
    return np.asarray((t >= 0).all(axis=1) & (np.abs(t.sum(axis=1, dtype=float) - 1) <= 1e-6))


LOSSES: Mapping[str, type[Loss]] = MappingProxyType({"softmax": SoftmaxWithLoss})
