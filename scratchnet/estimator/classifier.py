"""Networks that classify, as scikit-learn estimators: `MLPClassifier` and `NetworkClassifier`."""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from scratchnet.errors import ParameterError
from scratchnet.estimator.arguments import (
    ARGUMENTS,
    BESIDE_SCIKIT_LEARN,
    DECAY,
    OF_IMAGES,
    OF_LAYERS,
    Arguments,
    ImageArguments,
    LayerArguments,
    list_arguments,
)
from scratchnet.estimator.fitting import NetworkEstimator
from scratchnet.estimator.stacked import OfImages, OfLayers, Stacked, out_activation_of
from scratchnet.layers import BinaryCrossEntropy, Loss, SoftmaxWithLoss
from scratchnet.networks import NetworkOptions
from scratchnet.parameters import Array

OWN_CONSTRAINTS: dict[str, Any] = {
    "loss": [StrOptions({"log_loss"}), Loss],
    "label_smoothing": [DECAY],
    "class_weight": [dict, StrOptions({"balanced"}), None],
}


class Classifier(ClassifierMixin, NetworkEstimator):  # type: ignore[misc]
    """What all classifiers share: their classes, and what outputs mean."""

    _classifies = True
    _least_held_out = 1
    _multilabel: bool
    loss: str | Loss
    label_smoothing: float
    class_weight: Any

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._takes_sparse()
        tags.classifier_tags.multi_label = True
        return tags

    def _learn_targets(self, y: Array, classes: Any, partial: bool) -> None:
        simple = y.ndim == 1 and y.dtype.kind in "biu"  # which needs no slower look
        kind = "multiclass" if simple else _kind_of(y)
        if partial and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        self._multilabel = kind == "multilabel-indicator"
        if kind == "multiclass-multioutput":
            raise ValueError("y must hold one label for each sample or be a multilabel indicator")
        if self._multilabel:
            self.classes_ = np.arange(y.shape[1])
        elif simple and classes is None:
            self.classes_ = np.unique(y)
        else:
            self.classes_ = unique_labels(y if classes is None else np.asarray(classes))
        single = not self._multilabel and len(self.classes_) <= 2 and not self._own_loss
        self.n_outputs_ = 1 if single else len(self.classes_)
        self.out_activation_ = out_activation_of(self._new_loss())

    @property
    def _own_loss(self) -> bool:
        return isinstance(self.loss, Loss)

    def _new_loss(self) -> Loss:
        """The loss for these classes; raises ParameterError for an option that it does not have."""
        if isinstance(self.loss, Loss):
            if self.label_smoothing != type(self).label_smoothing:  # which was not asked for
                raise ParameterError("label_smoothing is an option of 'log_loss', not of a Loss")
            return deepcopy(self.loss)
        if not self._multilabel and self.n_outputs_ > 1:
            return SoftmaxWithLoss(label_smoothing=self.label_smoothing)
        labels = "values" if self._multilabel else "integer"
        return BinaryCrossEntropy(labels, label_smoothing=self.label_smoothing)

    def _encode(self, y: Array) -> Array:
        """Indices into `classes_` (N,), or 0 and 1 as floats (N, K) where the loss wants these."""
        if self._multilabel:
            if y.ndim != 2 or y.shape[1] != self.n_outputs_:
                raise ValueError(
                    f"y must have {self.n_outputs_} columns, as at first, got {y.shape}"
                )
            return np.asarray(y, np.float64)
        if y.ndim != 1:
            raise ValueError(f"y must have the shape (n_samples,), got {y.shape}")
        if self.classes_.dtype.kind == "U" and y.dtype.kind == "O":
            y = y.astype(str)
        try:
            t = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
            known = np.asarray(self.classes_[t] == y)
        except TypeError:  # as texts in the place of numbers
            known = np.zeros(len(y), np.bool_)
        if not known.all():
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. "
                f"'y' has {np.unique(y[~known])}."
            )
        if self._own_loss and getattr(self.loss, "labels", "integer") != "integer":
            return np.asarray(np.eye(self.n_outputs_)[t])
        return t

    def _decode(self, t: Array) -> Array:
        if self._multilabel:
            return t.astype(int)
        return np.asarray(self.classes_[t if t.ndim == 1 else t.argmax(axis=1)])

    def _compare_targets(self, y: Array, classes: Any, partial: bool) -> None:
        if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be those of the first call, {self.classes_}, got {classes}"
            )
        if not partial and self.warm_start and not self._multilabel:
            found = unique_labels(y)
            if set(found) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous "
                    f"call to fit. Previously got {self.classes_}, `y` has {found}"
                )

    def _weigh(self, t: Array, weights: Array | None, partial: bool) -> Array | None:
        if self.class_weight is None:
            return weights
        labels = t if t.ndim == 1 or self._multilabel else t.argmax(axis=1)
        if self.class_weight == "balanced" and not self._multilabel:
            if partial:
                raise ValueError(
                    "class_weight 'balanced' needs all samples at once; give partial_fit a "
                    "dictionary of weights"
                )
            w = np.ones(len(t)) if weights is None else weights
            totals = np.bincount(labels, w, len(self.classes_))
            return np.asarray(w * w.sum() / (np.count_nonzero(totals) * totals[labels]))
        of_classes = compute_sample_weight(self.class_weight, self._decode(t))
        return np.asarray(of_classes if weights is None else of_classes * weights)

    def _decide(self, outputs: Array) -> Array:
        if self._multilabel:
            found = (self._loss.confidences(outputs) > 0.5).astype(int)
            return csr_matrix(found) if self._sparse_labels else found
        if self.n_outputs_ == 1:
            index = (outputs[:, 0] > 0).astype(int)
            return np.asarray(self.classes_[np.minimum(index, len(self.classes_) - 1)])
        if self._own_loss:
            outputs = self._loss.confidences(outputs)
        return np.asarray(self.classes_[outputs.argmax(axis=1)])

    def _score_of(self, found: Array, y: Array, w: Array | None) -> float:
        return float(accuracy_score(y, found, sample_weight=w))

    def predict_proba(self, X: npt.ArrayLike) -> Array:
        """The probability of each of `classes_` for X (N, D), under multilabel of each label.

        Of a loss of one's own they are its `confidences`, with the sum 1.
        """
        outputs = self._checked_outputs(X)
        p = self._loss.confidences(outputs)
        if self._multilabel:
            return p
        if self.n_outputs_ > 1:
            return np.asarray(p / p.sum(axis=1, keepdims=True)) if self._own_loss else p
        return np.hstack([1.0 - p, p]) if len(self.classes_) > 1 else np.ones_like(p)

    def predict_log_proba(self, X: npt.ArrayLike) -> Array:
        """The logarithm of `predict_proba`."""
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))


def _kind_of(y: Array) -> str:
    """What scikit-learn takes the targets for; raises TypeError or ValueError for no classes."""
    try:
        check_classification_targets(y)
    except TypeError as error:
        raise TypeError(f"labels must all be of one kind: {error}; convert them") from error
    return str(type_of_target(y, input_name="y"))


@dataclass(eq=False, repr=False, kw_only=True)
class OfClassifiers:
    """The arguments that classifiers have besides."""

    loss: Any = "log_loss"
    label_smoothing: float = NetworkOptions.label_smoothing
    class_weight: Any = NetworkOptions.class_weight


@dataclass(eq=False, repr=False)
class MLPClassifier(Classifier, Stacked, OfClassifiers, Arguments):  # type: ignore[misc]
    """A network that classifies, with the arguments of scikit-learn's MLPClassifier and more.

    `loss` is "log_loss" or a Loss; `label_smoothing` and `class_weight` ("balanced", or factors by
    class) are the classifier's.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> network = MLPClassifier(max_iter=300, early_stopping=True, random_state=0)
    >>> network.fit(X / 16, y).score(X / 16, y) > 0.97
    True
    """


@dataclass(eq=False, repr=False)
class NetworkClassifier(Classifier, OfLayers, OfClassifiers, LayerArguments):  # type: ignore[misc]
    """A network of any layers that classifies, as a scikit-learn estimator.

    `layers` is a list of layers, of which `fit` trains a copy from the weights that they have, or a
    function of n_features, n_outputs and a Generator that makes them: then `random_state` decides
    about the weights, too. The last layer gives one output for each class; two classes have one
    output, whose sigmoid is the probability of the second, unless `loss` is a Loss of your own.
    Everything else is as in MLPClassifier.

    >>> from scratchnet.layers import Affine, LayerNorm, ReLU
    >>> network = NetworkClassifier([Affine(64, 32), LayerNorm(32), ReLU(), Affine(32, 10)])
    """


@dataclass(eq=False, repr=False)
class ConvClassifier(Classifier, OfImages, OfClassifiers, ImageArguments):  # type: ignore[misc]
    """A convolutional network that classifies rows that are images, as a scikit-learn estimator.

    A row of X (N, D) is an image (height, width, channels) written out, channels last; `conv` says
    which layers it goes through, and then come those of `hidden_layer_sizes`. `n_threads` share
    each batch. Everything else is as in MLPClassifier.

    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> network = ConvClassifier(batch_size=20, early_stopping=True, random_state=0)
    >>> network.fit(X / 16, y).score(X / 16, y) > 0.9
    True
    """


for _kind in (ConvClassifier, MLPClassifier, NetworkClassifier):
    _kind._parameter_constraints = {**_kind._parameter_constraints, **OWN_CONSTRAINTS}
list_arguments(MLPClassifier, ARGUMENTS, BESIDE_SCIKIT_LEARN)
list_arguments(NetworkClassifier, OF_LAYERS)
list_arguments(ConvClassifier, OF_IMAGES)
