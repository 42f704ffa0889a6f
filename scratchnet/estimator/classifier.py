"""`MLPClassifier`: a network that classifies, as a scikit-learn estimator."""

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from scratchnet.errors import ParameterError
from scratchnet.estimator.arguments import list_arguments
from scratchnet.estimator.fitting import NetworkEstimator
from scratchnet.functions import sigmoid, softmax
from scratchnet.networks import NetworkOptions
from scratchnet.parameters import Array


@dataclass(eq=False, repr=False)
class MLPClassifier(ClassifierMixin, NetworkEstimator):  # type: ignore[misc]
    """A network that classifies, with the arguments of scikit-learn's MLPClassifier and more.

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
    `validation_scores_`, `best_validation_score_`, `validation_loss_curve_`, `stopped_`,
    `classes_`.
    `save` and `load` write and read a file without pickle.

    `label_smoothing` and `class_weight` ("balanced", or factors by class) are the classifier's.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> network = MLPClassifier(max_iter=300, early_stopping=True, random_state=0)
    >>> network.fit(X / 16, y).score(X / 16, y) > 0.98
    True
    """

    _classifies = True

    _: KW_ONLY
    label_smoothing: float = NetworkOptions.label_smoothing
    class_weight: Any = NetworkOptions.class_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _learn_targets(self, y: Array, classes: Any, partial: bool) -> None:
        try:
            check_classification_targets(y)
        except TypeError as error:
            raise TypeError(f"labels must all be of one kind: {error}; convert them") from error
        if partial and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        kind = type_of_target(y, input_name="y")
        self._multilabel = kind == "multilabel-indicator"
        if kind == "multiclass-multioutput":
            raise ValueError("y must hold one label for each sample or be a multilabel indicator")
        if self._multilabel:
            self.classes_ = np.arange(y.shape[1])
        else:
            self.classes_ = np.unique(y if classes is None else np.asarray(classes))
        self.n_outputs_ = len(self.classes_) if self._multilabel or len(self.classes_) > 2 else 1
        self.out_activation_ = (
            "softmax" if self.n_outputs_ > 1 and not self._multilabel else "logistic"
        )

    def _encode(self, y: Array) -> Array:
        """Indices into `classes_` (N,), or under multilabel 0 and 1 as floats (N, K)."""
        if self._multilabel:
            if y.ndim != 2 or y.shape[1] != self.n_outputs_:
                raise ValueError(
                    f"y must have {self.n_outputs_} columns, as at first, got {y.shape}"
                )
            return np.asarray(y, np.float64)
        if y.ndim != 1:
            raise ValueError(f"y must have the shape (n_samples,), got {y.shape}")
        known = np.isin(y, self.classes_)
        if not known.all():
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. "
                f"'y' has {np.unique(y[~known])}."
            )
        return np.searchsorted(self.classes_, y)

    def _decode(self, t: Array) -> Array:
        return t.astype(int) if self._multilabel else self.classes_[t]

    def _compare_targets(self, classes: Any) -> None:
        if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be those of the first call, {self.classes_}, got {classes}"
            )

    def _weigh(self, t: Array, weights: Array | None, partial: bool) -> Array | None:
        if self.class_weight is None:
            return weights
        if self.class_weight == "balanced" and not self._multilabel:
            if partial:
                raise ValueError(
                    "class_weight 'balanced' needs all samples at once; give partial_fit a "
                    "dictionary of weights"
                )
            w = np.ones(len(t)) if weights is None else weights
            totals = np.bincount(t, w, len(self.classes_))
            return np.asarray(w * w.sum() / (np.count_nonzero(totals) * totals[t]))
        of_classes = compute_sample_weight(self.class_weight, self._decode(t))
        return np.asarray(of_classes if weights is None else of_classes * weights)

    def _loss(self) -> dict[str, Any]:
        if self.out_activation_ == "softmax":
            return {"loss": "softmax", "label_smoothing": self.label_smoothing}
        if self.label_smoothing:
            raise ParameterError("label_smoothing needs more than two classes, one label a sample")
        return {
            "loss": "binary-cross-entropy",
            "labels": "values" if self._multilabel else "integer",
        }

    def _decide(self, outputs: Array) -> Array:
        if self._multilabel:
            return (outputs > 0).astype(int)
        if self.n_outputs_ == 1:
            index = (outputs[:, 0] > 0).astype(int)
            return np.asarray(self.classes_[np.minimum(index, len(self.classes_) - 1)])
        return np.asarray(self.classes_[outputs.argmax(axis=1)])

    def _score_of(self, found: Array, y: Array, w: Array | None) -> float:
        return float(accuracy_score(y, found, sample_weight=w))

    def predict_proba(self, X: npt.ArrayLike) -> Array:
        """The probability of each of `classes_` for X (N, D), under multilabel of each label."""
        outputs = self._checked_outputs(X)
        if self.out_activation_ == "softmax":
            return softmax(outputs)
        p = sigmoid(outputs)
        if self._multilabel:
            return p
        return (
            np.hstack([1.0 - p, p])[:, : len(self.classes_)]
            if len(self.classes_) > 1
            else np.ones_like(p)
        )

    def predict_log_proba(self, X: npt.ArrayLike) -> Array:
        """The logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))


list_arguments(MLPClassifier)
