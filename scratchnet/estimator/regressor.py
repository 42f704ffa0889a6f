"""`MLPRegressor`: a network that predicts values."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score

from scratchnet.errors import ParameterError
from scratchnet.estimator.arguments import list_arguments
from scratchnet.estimator.fitting import NetworkEstimator
from scratchnet.parameters import Array

LOSSES_OF_VALUES: Mapping[str, str] = MappingProxyType(
    {"squared_error": "mean-squared-error", "poisson": "poisson"}
)


@dataclass(eq=False, repr=False)
class _Loss:
    """The argument that comes before all others."""

    loss: str = "squared_error"


@dataclass(eq=False, repr=False)
class MLPRegressor(RegressorMixin, NetworkEstimator, _Loss):  # type: ignore[misc]
    """A network that predicts values, with the arguments of scikit-learn's MLPRegressor and more.

    All arguments of scikit-learn's class have its meaning and default. Where that one has a known
    fault, here

    - `alpha` is the strength of alpha / 2N times the squared weights, N being all training samples:
      divided by N and not by the batch size, so that batches can change and the penalty does not;
    - `learning_rate="adaptive"` forgets the best loss when it lowers the rate, so that one lucky
      epoch lowers it but once; it and "invscaling" are for `solver="sgd"`, as there;
    - `warm_start` continues with everything, the optimizer's memory and the order of epochs too:
      `fit` with max_iter 10 twice is `fit` with 20, to the bit, and n_iter_ counts on;
    - of epochs within `tol` of the highest validation score early stopping keeps the one with the
      lowest validation loss, and waits while that still falls by `tol`;
    - a sample of weight k is trained on exactly as k samples: equal samples are merged before.

    `fit` takes validation data of your own, `X_val` and `y_val`. All arguments stand at the end.

    Fitted: `coefs_`, `intercepts_`, `loss_`, `loss_curve_`, `best_loss_`, `n_iter_`, `t_`,
    `n_layers_`, `n_outputs_`, `out_activation_`, `n_features_in_`, `feature_names_in_`,
    `validation_scores_`, `best_validation_score_`, `validation_loss_curve_`, `stopped_`.
    `save` and `load` write and read a file without pickle.

    `loss` is "squared_error", half the squared error summed over outputs, or "poisson".
    """

    _classifies = False

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _learn_targets(self, y: Array, classes: Any, partial: bool) -> None:
        if self.loss not in LOSSES_OF_VALUES:
            words = ", ".join(LOSSES_OF_VALUES)
            raise ParameterError(f"loss must be one of {words}, got {self.loss!r}")
        self._flat = y.ndim == 1
        self.n_outputs_ = 1 if self._flat else y.shape[1]
        self.out_activation_ = "exp" if self.loss == "poisson" else "identity"

    def _encode(self, y: Array) -> Array:
        values = y.reshape(len(y), -1).astype(np.float64, copy=False)
        if values.shape[1] != self.n_outputs_:
            raise ValueError(f"y must have {self.n_outputs_} columns, as at first, got {y.shape}")
        return values

    def _decode(self, t: Array) -> Array:
        return t[:, 0] if self._flat else t

    def _loss(self) -> dict[str, Any]:
        return {"loss": LOSSES_OF_VALUES[self.loss], "labels": "values"}

    def _decide(self, outputs: Array) -> Array:
        values = np.exp(outputs) if self.loss == "poisson" else outputs
        return np.asarray(values[:, 0] if self._flat else values)

    def _score_of(self, found: Array, y: Array, w: Array | None) -> float:
        return float(r2_score(y, found, sample_weight=w))


list_arguments(MLPRegressor)
