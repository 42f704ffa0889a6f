"""The loss of classifiers: softmax with cross-entropy, and what every loss is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_not_negative, check_share, check_word
from scratchnet.errors import CallOrderError, DtypeError, ParameterError, ShapeError
from scratchnet.functions import softmax
from scratchnet.layers.labels import check_integer_labels, is_distribution
from scratchnet.layers.layer import remembered
from scratchnet.layers.memory import without_remembered
from scratchnet.loops import kernels
from scratchnet.parameters import Array


class Loss(ABC):
    """L = mean over the batch of L_n, how wrong the row y_n of y (N, K) is for its target t_n.

    A subclass writes `check_targets`, `per_sample_loss` and `per_sample_gradient`, and remembers in
    the second what the third needs; `ElementwiseLoss` has the first for values. `labels` says what
    targets look like, and is never guessed from their shape.
    Raises ParameterError for another word than those the loss knows.
    """

    known_labels: ClassVar[tuple[str, ...]]
    shares: Array | None = None  # of each row in the mean (N,); None for equal ones

    def __init__(self, labels: str) -> None:
        self.labels = check_word("labels", labels, self.known_labels)

    def adapt(self, t: Array, n_outputs: int) -> None:
        """Take what it needs to know of all training labels t, before the first step."""

    def config(self) -> dict[str, Any]:
        """The options that make a loss like this one, as JSON values."""
        return {"labels": self.labels}

    @abstractmethod
    def check_targets(self, t: npt.ArrayLike, n_rows: int, n_outputs: int) -> Array:
        """`t` as the array that `forward` takes; raises ShapeError or DtypeError."""

    @abstractmethod
    def per_sample_loss(self, y: Array, t: Array) -> Array:
        """L_n of each row (N,), in float64, for outputs y (N, K) and targets t."""

    @abstractmethod
    def per_sample_gradient(self) -> Array:
        """dL_n/dy_n of each row (N, K) of the last forward pass, a fresh array."""

    def predictions(self, y: Array) -> Array:
        """What the outputs y (N, K) predict, in the units of the targets, (N, K): y itself."""
        return y

    def confidences(self, y: Array) -> Array:
        """How sure the outputs y (N, K) are of each class: y held between 0 and 1, (N, K)."""
        return np.clip(y, 0.0, 1.0)

    @final
    def compute(self, y: Array, t: Array, w: Array | None = None) -> float:
        """L for outputs y (N, K) and targets t that `check_targets` has passed.

        The mean over rows of L_n, or of w_n L_n with weights w (N,) >= 0: not over weights, which
        would cancel in a batch of one.
        """
        losses = self.per_sample_loss(y, t)
        if w is None:
            self.shares = None
            return float(losses.sum()) / max(len(losses), 1)
        self.shares = w / len(w)
        return float(losses @ self.shares)

    @final
    def forward(self, y: Array, t: npt.ArrayLike) -> float:
        """L for outputs y (N, K) and targets t; raises what `check_targets` raises."""
        return self.compute(y, self.check_targets(t, *y.shape))

    @final
    def backward(self, dout: float = 1.0) -> Array:
        """dL/dy (N, K) of the last `forward`, times dout, in the dtype of y.

        Raises CallOrderError before the first `forward`.
        """
        dy = self.per_sample_gradient()
        if self.shares is None:
            return np.multiply(dy, dout / max(len(dy), 1), out=dy)
        return np.multiply(dy, dout * self.shares[:, np.newaxis], out=dy)

    def count_correct(self) -> int:
        """How many rows of the last `forward` have the right class first; 0 if there is none."""
        return 0

    def __getstate__(self) -> dict[str, Any]:
        """The state for a copy or a pickle: nothing of the last batch."""
        return without_remembered(self)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.config().items())
        return f"{type(self).__name__}({options})"


class SoftmaxWithLoss(Loss):
    """Cross-entropy of softmax, from the logits: L = mean_n -sum_k t_nk log softmax(y_n)_k.

    With p = softmax(y), dL/dy = (p - t) / N. Nothing is added inside the logarithm: with
    m = max_k y_k and r = the sum of exp(y_k - m) over all k but the largest,

        -log softmax(y)_t = (m - y_t) + log(1 + r),

    which is right for every finite logit, never negative, and keeps its digits near 0, where
    log(1 + r) with all of the 1 inside would round them away.

    `labels`: "integer" (N,) with values 0..K-1, "onehot" (N, K) with a single 1 a row, "soft"
    (N, K) with rows of probabilities.

    `label_smoothing` e, from 0 to below 1, puts (1 - e) t + e / K in the place of t, so that no
    logit gains from growing without end (Szegedy et al. 2016, section 7). `class_weight` holds a
    factor >= 0 for each class: L = mean_n w_n L_n with w_n that of the label (its mean under soft
    labels); the mean is over rows, not over weights. "balanced" means N / (K N_k) for a class of
    N_k of the N training samples, of which K classes have any, and is known once a Trainer is made
    or `Network.adapt` called. Both hold in evaluation too.

    Raises ParameterError for an option out of its range.
    """

    known_labels = ("integer", "onehot", "soft")
    p: Array | None = None  # softmax(y) (N, K)
    t: Array | None = None  # (N,) integers or (N, K) probabilities
    w: Array | None = None  # the weight of each row (N, 1)
    first: Array | None = None  # the class with the largest logit (N,)

    def __init__(
        self,
        labels: str = "integer",
        *,
        label_smoothing: float = 0.0,
        class_weight: Sequence[float] | str | None = None,
    ) -> None:
        super().__init__(labels)
        self.label_smoothing = check_share("label_smoothing", label_smoothing)
        self.balanced = isinstance(class_weight, str)
        if isinstance(class_weight, str):
            check_word("class_weight", class_weight, ("balanced",))
        self.class_weight: Array | None = None  # (K,)
        if class_weight is not None and not self.balanced:
            if isinstance(class_weight, Mapping) or not np.iterable(class_weight):
                raise ParameterError(
                    "class_weight must be a list with a number for each class, 'balanced' or None, "
                    f"got {class_weight!r}"
                )
            each = enumerate(class_weight)
            self.class_weight = np.array(
                [check_not_negative(f"class_weight[{k}]", weight) for k, weight in each]
            )

    def check_targets(self, t: npt.ArrayLike, n_rows: int, n_outputs: int) -> Array:
        """`t` checked against N = n_rows and K = n_outputs; one-hot rows become integers.

        Raises ShapeError, naming row and value, where a label does not fit, DtypeError where
        labels are not numbers of the right kind.
        """
        t = np.asarray(t)
        if self.class_weight is not None and len(self.class_weight) != n_outputs:
            raise ShapeError(
                f"class_weight must have one number for each of the {n_outputs} outputs, "
                f"got {len(self.class_weight)}"
            )
        if self.labels == "integer":
            return check_integer_labels(t, n_rows, n_outputs)
        if t.shape != (n_rows, n_outputs):
            raise ShapeError(
                f"{self.labels} labels must have the shape ({n_rows}, {n_outputs}), got {t.shape}"
            )
        if t.dtype.kind not in "biuf":
            raise DtypeError(f"{self.labels} labels must be numbers, got dtype {t.dtype}")
        bad = np.flatnonzero(~is_distribution(t))
        if self.labels == "onehot" and not len(bad):
            bad = np.flatnonzero((t != 0).sum(axis=1) != 1)
        if len(bad):
            rule = "one 1 and else 0" if self.labels == "onehot" else "numbers >= 0 that sum to 1"
            raise ShapeError(
                f"a row of {self.labels} labels must hold {rule}, got {t[bad[0]]} at row {bad[0]}"
            )
        return t.argmax(axis=1) if self.labels == "onehot" else t

    def per_sample_loss(self, y: Array, t: Array) -> Array:
        """L_n for finite logits y (N, K) and targets t as `check_targets` returned them."""
        if self.balanced and self.class_weight is None:
            raise CallOrderError(
                "balanced class weights need the training labels; make a Trainer, or call "
                "network.adapt(x, t)"
            )
        self.t = t
        self.p, self.first, largest, log = kernels.softmax(y)
        losses = self._gap(y, largest) + log  # (m - y_t) + log(1 + r)
        if self.class_weight is not None:
            self.w = (self.class_weight[t] if t.ndim == 1 else t @ self.class_weight)[:, np.newaxis]
            losses *= self.w[:, 0]
        return np.asarray(losses)

    def _gap(self, y: Array, largest: Array) -> Array:
        """m - y_t, or its mean under soft or smoothed labels, in float64 (N,); never below 0."""
        t, e, rows = remembered(self.t), self.label_smoothing, np.arange(len(y))
        if t.ndim == 1 and not e:
            return np.subtract(largest, y[rows, t], dtype=np.float64)
        gaps = np.subtract(largest[:, np.newaxis], y, dtype=np.float64)
        gap = gaps[rows, t] if t.ndim == 1 else (gaps * t).sum(axis=1)
        return np.asarray((1.0 - e) * gap + e * gaps.mean(axis=1))

    def adapt(self, t: Array, n_outputs: int) -> None:
        """Count the classes among the labels of all training samples, for balanced weights."""
        if self.balanced and self.class_weight is None:
            counts = np.bincount(t, minlength=n_outputs) if t.ndim == 1 else t.sum(axis=0)
            self.class_weight = len(t) / (np.count_nonzero(counts) * np.maximum(counts, 1.0))

    def config(self) -> dict[str, Any]:
        """The options that make a loss like this one; balanced weights as the numbers they are."""
        weights = None if self.class_weight is None else self.class_weight.tolist()
        waiting = "balanced" if self.balanced and weights is None else weights
        options = {"label_smoothing": self.label_smoothing, "class_weight": waiting}
        return super().config() | {name: value for name, value in options.items() if value}

    def per_sample_gradient(self) -> Array:
        """w (p - t), (N, K), in the dtype of the logits."""
        p, t, e = remembered(self.p), remembered(self.t), self.label_smoothing
        dy = p.copy()
        if t.ndim == 1:
            dy[np.arange(len(t)), t] -= 1.0 - e
        else:
            np.subtract(dy, (1.0 - e) * t, out=dy)
        if e:
            dy -= e / dy.shape[1]
        if self.w is not None:
            np.multiply(dy, self.w, out=dy)
        return dy

    def confidences(self, y: Array) -> Array:
        """softmax(y)."""
        return softmax(y)

    def count_correct(self) -> int:
        """How many rows of the last `forward` have their largest logit at the (likeliest) label."""
        t, first = remembered(self.t), remembered(self.first)
        return int(np.count_nonzero(first == (t if t.ndim == 1 else t.argmax(axis=1))))
