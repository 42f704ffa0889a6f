"""Networks that predict values, as scikit-learn estimators, and intervals around them."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from scratchnet.checks import Range
from scratchnet.data import Samples
from scratchnet.errors import CallOrderError, DtypeError, ParameterError
from scratchnet.estimator.arguments import (
    ARGUMENTS,
    BESIDE_SCIKIT_LEARN,
    OF_LAYERS,
    Arguments,
    LayerArguments,
    list_arguments,
)
from scratchnet.estimator.fitting import NetworkEstimator
from scratchnet.estimator.stacked import OfLayers, Stacked, out_activation_of
from scratchnet.layers import (
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    PoissonLoss,
    QuantileLoss,
)
from scratchnet.parameters import Array

LOSSES_OF_VALUES: Mapping[str, Callable[..., Loss]] = MappingProxyType(
    {
        "squared_error": MeanSquaredError,
        "absolute_error": MeanAbsoluteError,
        "huber": Huber,
        "poisson": PoissonLoss,
        "quantile": QuantileLoss,
    }
)
"""The losses of the regressors by scikit-learn's names for them."""
KEPT = 1000
"""Scores of conformity that are kept for a pair of quantiles: of more, so many in even steps."""
OWN_CONSTRAINTS: dict[str, Any] = {
    "loss": [StrOptions(set(LOSSES_OF_VALUES)), Loss],
    "quantiles": ["array-like"],
}


class Regressor(RegressorMixin, NetworkEstimator):  # type: ignore[misc]
    """What all regressors share: their targets, and what outputs mean."""

    _classifies = False
    _least_held_out = 2
    loss: str | Loss
    quantiles: Sequence[float]
    _conformity: list[list[float]]
    """For each pair of quantiles, from outside in, by how much held-out targets lie outside it."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._takes_sparse()
        tags.target_tags.multi_output = True
        return tags

    def _learn_targets(self, y: Array, classes: Any, partial: bool) -> None:
        self._flat = y.ndim == 1
        self.n_outputs_ = 1 if self._flat else y.shape[1]
        made = self._new_loss()
        if isinstance(made, QuantileLoss) and self.n_outputs_ > 1:
            raise ParameterError(
                f"quantiles are of one target, y has {self.n_outputs_} columns; put a "
                "MultiOutputRegressor around the estimator"
            )
        self.out_activation_ = out_activation_of(made)

    def _new_loss(self) -> Loss:
        if isinstance(self.loss, Loss):
            return deepcopy(self.loss)
        kind = LOSSES_OF_VALUES[self.loss]
        return kind(self.quantiles) if kind is QuantileLoss else kind()

    def _n_network_outputs(self) -> int:
        made = self._new_loss()
        return len(made.quantiles) if isinstance(made, QuantileLoss) else self.n_outputs_

    def _encode(self, y: Array) -> Array:
        if y.dtype.kind == "O":
            y = y.astype(np.float64)
        if y.dtype.kind not in "buif":
            raise DtypeError(
                f"y must hold numbers, got {y.dtype}; of dates subtract one and divide by a "
                "np.timedelta64"
            )
        values = y.reshape(len(y), -1).astype(np.float64, copy=False)
        if values.shape[1] != self.n_outputs_:
            raise ValueError(f"y must have {self.n_outputs_} columns, as at first, got {y.shape}")
        lowest = getattr(self._new_loss(), "lowest", -np.inf)
        if values.min() < lowest:
            raise ValueError(
                f"Some value(s) of y are out of the valid range of the loss {self.loss!r}: they "
                f"must be >= {lowest:g}, got {values.min():g}"
            )
        return values

    def _decode(self, t: Array) -> Array:
        return t[:, 0] if self._flat else t

    def _values(self, outputs: Array) -> Array:
        """What outputs (N, K) say, in the units of y."""
        return self._loss.predictions(outputs)

    def _decide(self, outputs: Array) -> Array:
        loss, values = self._loss, self._values(outputs)
        if isinstance(loss, QuantileLoss):
            values = values[:, loss.middle : loss.middle + 1]
        return np.asarray(values[:, 0] if self._flat else values)

    def _score_of(self, found: Array, y: Array, w: Array | None) -> float:
        return float(r2_score(y, found, sample_weight=w)) if np.isfinite(found).all() else np.nan

    def _calibrate(self, validation: Samples | None) -> None:
        self._conformity = []
        loss = self._loss
        if isinstance(loss, QuantileLoss) and validation is not None:
            plain, t = self._held_out(validation)
            q = self._values(plain._outputs(validation.x))
            y = np.ravel(self._decode(t))
            for k in range(len(loss.quantiles) // 2):
                scores = np.sort(np.maximum(q[:, k] - y, y - q[:, -1 - k]))
                if len(scores) > KEPT:
                    scores = scores[np.linspace(0, len(scores) - 1, KEPT).round().astype(int)]
                self._conformity.append(scores.tolist())

    # Intervals.

    def predict_quantiles(self, X: npt.ArrayLike) -> Array:
        """The `quantiles` of y for X (N, D), rising along each row, (N, K).

        Raises CallOrderError unless the loss is "quantile".
        """
        check_is_fitted(self)
        loss = self._loss
        if not isinstance(loss, QuantileLoss):
            raise CallOrderError(
                f"quantiles are predicted after fit with loss='quantile', the loss was {loss!r}"
            )
        return self._values(self._checked_outputs(X))

    def predict_interval(self, X: npt.ArrayLike, coverage: float = 0.9) -> Array:
        """Bounds (N, 2) between which y lies with the probability `coverage`.

        Where samples were held out (`early_stopping`, or `X_val`), the pair of quantiles nearest to
        the coverage is widened or narrowed by what makes it hold on them: of n scores
        max(q_low - y, y - q_high) the ceil((n + 1) coverage)-th smallest. New samples of the same
        kind then lie inside with a probability of at least `coverage`, and at most 1 / (n + 1)
        more, whatever the network has learnt (Romano, Patterson and Candes 2019, conformalized
        quantile regression). Without held-out samples the bounds are the quantiles
        (1 - coverage) / 2 and (1 + coverage) / 2 themselves, which hold on the training samples.

        Raises CallOrderError unless the loss is "quantile", ParameterError for a coverage that
        neither held-out samples nor quantiles allow.
        """
        q = self.predict_quantiles(X)
        coverage = Range(above=0, below=1).check("coverage", coverage)
        loss: Any = self._loss
        widths = [loss.quantiles[-1 - k] - loss.quantiles[k] for k in range(q.shape[1] // 2)]
        if not widths:
            raise ParameterError(f"an interval needs two quantiles, got {loss.quantiles}")
        k = int(np.abs(np.array(widths) - coverage).argmin())
        bounds = q[:, [k, -1 - k]]
        scores = self._conformity[k] if self._conformity else []
        rank = int(np.ceil((len(scores) + 1) * coverage - 1e-9))
        if scores and rank <= len(scores):
            wider = scores[rank - 1]
            bounds = bounds + np.array([-wider, wider], bounds.dtype)
            crossed = bounds[:, 0] > bounds[:, 1]
            bounds[crossed] = bounds[crossed].mean(axis=1, keepdims=True)
            return np.asarray(bounds)
        sides = (1 - coverage) / 2, (1 + coverage) / 2
        least = int(np.ceil(coverage / (1 - coverage) - 1e-9))
        if not np.allclose((loss.quantiles[k], loss.quantiles[-1 - k]), sides, rtol=0, atol=1e-9):
            raise ParameterError(
                f"a coverage of {coverage:g} needs the quantiles {sides[0]:g} and {sides[1]:g}, or "
                f"{least} held-out samples; give quantiles these two, or set early_stopping=True"
            )
        return np.asarray(bounds)


@dataclass(eq=False, repr=False)
class OfValues:
    """The argument that comes before all others."""

    loss: Any = "squared_error"


@dataclass(eq=False, repr=False, kw_only=True)
class OfQuantiles:
    """The argument of a loss of quantiles."""

    quantiles: Any = (0.05, 0.5, 0.95)


@dataclass(eq=False, repr=False)
class MLPRegressor(Regressor, Stacked, OfQuantiles, Arguments, OfValues):  # type: ignore[misc]
    """A network that predicts values, with the arguments of scikit-learn's MLPRegressor and more.

    `loss` is "squared_error", half the squared error summed over outputs, "poisson",
    "absolute_error", "huber" (with delta 1; `Huber(delta=...)` has another), "quantile", or a Loss.
    With "quantile" one network learns all `quantiles`, which never cross: `predict_quantiles` gives
    them, `predict_interval` an interval, and `predict` the one nearest to the median.
    """


@dataclass(eq=False, repr=False)
class NetworkRegressor(Regressor, OfLayers, OfQuantiles, OfValues, LayerArguments):  # type: ignore[misc]
    """A network of any layers that predicts values, as a scikit-learn estimator.

    `layers` is a list of layers, of which `fit` trains a copy from the weights that they have, or a
    function of n_features, n_outputs and a Generator that makes them: then `random_state` decides
    about the weights, too. The last layer gives one output for each column of y, or for each of
    `quantiles`. Everything else is as in MLPRegressor.

    >>> from scratchnet.layers import Affine, Tanh
    >>> network = NetworkRegressor([Affine(10, 30), Tanh(), Affine(30, 1)], loss="huber")
    """


for _kind in (MLPRegressor, NetworkRegressor):
    _kind._parameter_constraints = {**_kind._parameter_constraints, **OWN_CONSTRAINTS}
list_arguments(MLPRegressor, ARGUMENTS, BESIDE_SCIKIT_LEARN)
list_arguments(NetworkRegressor, OF_LAYERS)
