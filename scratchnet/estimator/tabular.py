"""Networks for tables as they come: `TableClassifier` and `TableRegressor`."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import column_or_1d
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from scratchnet.checks import check_dtype
from scratchnet.data.preparation import Preparation
from scratchnet.environment import processors
from scratchnet.estimator.arguments import (
    OF_TABLES,
    TABLE_DEFAULTS,
    TableArguments,
    list_arguments,
)
from scratchnet.estimator.classifier import OWN_CONSTRAINTS, Classifier, OfClassifiers
from scratchnet.estimator.frames import TablePreparation, is_frame
from scratchnet.estimator.intake import Taken
from scratchnet.estimator.members import OfMembers
from scratchnet.estimator.regressor import OWN_CONSTRAINTS as OF_REGRESSORS
from scratchnet.estimator.regressor import OfQuantiles, OfValues, Regressor
from scratchnet.layers import (
    Columns,
    Concat,
    Embedding,
    Identity,
    Layer,
    MemberLoss,
    PiecewiseLinear,
    RobustScale,
)
from scratchnet.layers.numbers import count_bins
from scratchnet.networks import Network
from scratchnet.parameters import Array
from scratchnet.randomness import generator


class OfTables(OfMembers):
    """An estimator of tables, which learns from the training rows what each column is."""

    bins: int
    embedding: int
    _counts: list[int]
    """How many bins each number has."""
    _counted: Array | None
    """The weights of the training samples, while they are taken in."""
    _target_moments: list[list[float]]
    """Of regressors: mean and standard deviation of each column of y in training."""

    _ends_with_schedule = True
    _optimizer_with_betas = "adamw"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def _takes_sparse(self) -> bool:
        return False

    @cached_property
    def _preparation(self) -> TablePreparation:
        """How rows become inputs: learnt in `fit`, and kept with the network in a file."""
        return TablePreparation.from_config(self._network.preparation.table or ())

    def summary(self) -> str:
        """What each column was taken for, and what becomes of it: a line each.

        Raises NotFittedError before `fit`.
        """
        check_is_fitted(self)
        return str(self._preparation)

    # What comes in.

    def _take_in(self, X: Any, y: Any, sample_weight: Any, *others: Any, **more: Any) -> Taken:
        """Rows of weight k count as k rows in what is learnt of columns and targets, too."""
        self._counted = None
        if sample_weight is not None:
            w = _check_sample_weight(sample_weight, X, dtype=np.float64)
            self._counted = w if w.min() >= 0 and w.any() else None  # else it will be refused
        try:
            return super()._take_in(X, y, sample_weight, *others, **more)
        finally:
            del self._counted

    def _arrays(self, X: Any, y: Any, anew: bool, classes: Any, partial: bool) -> tuple[Any, Array]:
        X = self._table(X, anew)
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None."
            )
        y = _check_y(y, multi_output=True, estimator=self)
        y = y.toarray() if issparse(y) else y
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        check_consistent_length(X, y)
        if anew:
            self._preparation = TablePreparation.learn(X, self._counted)
            self._learn_targets(y, classes, partial)
        else:
            self._compare_targets(y, classes, partial)
        prepared = self._preparation.apply(X, self._dtype_for(X))
        if anew:
            numbers = prepared[:, : self._preparation.sizes[0]]
            self._counts = count_bins(numbers, self.bins, self._counted, prepared.dtype)
        return prepared, self._encode(y)

    def _table(self, X: Any, anew: bool) -> Any:
        """A frame or an array (N, D), with the columns of the first call."""
        if is_frame(X):
            if not len(X):
                raise ValueError(f"Found a table with 0 sample(s) (shape={X.shape}), 1 is needed")
            if not len(X.columns):
                raise ValueError(f"Found a table with 0 feature(s) (shape={X.shape}), 1 is needed")
            names = [str(name) for name in X.columns]
            if len(set(names)) == len(names):
                validate_data(self, X, skip_check_array=True, reset=anew)
            elif anew:  # scikit-learn knows no names that are given twice
                self.n_features_in_ = len(names)
                self.feature_names_in_ = np.array(names, dtype=object)
            elif names != list(getattr(self, "feature_names_in_", [])):
                raise ValueError(
                    "The feature names should match those that were passed during fit, "
                    f"{list(getattr(self, 'feature_names_in_', []))}, got {names}"
                )
            return X
        if issparse(X):
            raise TypeError("Sparse data was passed, a table is dense; write X.toarray()")
        if not hasattr(X, "dtype"):
            X = np.array(X, dtype=object)  # or numbers beside texts would become texts
        return validate_data(self, X, dtype=None, ensure_all_finite=False, reset=anew)

    def _dtype_for(self, X: Any) -> str:
        """float32, unless another is asked for: numbers are scaled before, in float64."""
        return "float32" if self.dtype == "auto" else check_dtype(self.dtype)

    def _checked_outputs(self, X: Any) -> Array:
        if "_takes_prepared" in vars(self):
            return self._outputs(X)
        check_is_fitted(self)
        X = self._table(X, False)
        prepared = self._preparation.apply(X, self._network.dtype)
        return self._outputs(prepared).astype(np.float64)

    def _for_prepared_rows(self) -> Any:
        plain = super()._for_prepared_rows()
        plain._takes_prepared = True
        return plain

    def _n_network_inputs(self) -> int:
        """How many numbers a row becomes; raises ValueError for another number of columns."""
        found = len(self._preparation.columns)
        if found != self.n_features_in_:
            raise ValueError(f"{found} columns for {self.n_features_in_} features")
        numbers, flags, sizes = self._preparation.sizes
        return numbers + flags + len(sizes)

    def _threads_of_blas(self) -> int:
        return self.n_threads or 1

    def _threads_of_rows(self) -> int:
        return self.n_threads or processors()

    def _usual_batch_size(self, n: int) -> int:
        """Small enough for 32 updates an epoch, but from 16 to 128; 256 of many samples."""
        return min(n, max(16, min(128, n // 32), min(256, n // 128)))

    # The network.

    def _stack(self, n_features: int, hidden: list[int], options: dict[str, Any]) -> Network:
        """Codes of numbers, flags, vectors of categories; behind them the layers of an MLP."""
        numbers, flags, sizes = self._preparation.sizes
        # Affine layer k draws from (seed, "initialize", k).
        dtype, rng = options["dtype"], generator(self._seed, "initialize", 0, 1)
        parts: list[tuple[int, Layer]] = []
        if numbers:
            each: list[Layer] = [RobustScale(dtype=dtype)]
            if any(self._counts):
                each.append(PiecewiseLinear(bins=self.bins, counts=self._counts, dtype=dtype))
            parts.append((numbers, Concat(each)))
        if flags:
            parts.append((flags, Identity()))
        if sizes:
            parts.append((len(sizes), Embedding(sizes, self.embedding, rng=rng, dtype=dtype)))
        columns = Columns([n for n, _ in parts], [layer for _, layer in parts])
        columns.build((n_features,))
        (width,) = columns.output_shape((n_features,))
        behind = self._side_by_side(width, hidden, options)
        loss = MemberLoss(options["loss"], self.members)
        network = Network([columns, *behind], loss, dtype=dtype, input_shape=(n_features,))
        network.preparation = Preparation(table=tuple(self._preparation.config()))
        network._set_rng(generator(self._seed, "noise"))
        return network


@dataclass(eq=False, repr=False)
class TableClassifier(OfTables, Classifier, OfClassifiers, TableArguments):  # type: ignore[misc]
    """A network that classifies the rows of a table, as a scikit-learn estimator.

    X is a frame of pandas or polars, or an array: numbers of any scale, texts, truth values, dates,
    durations, with gaps. What each column is, is learnt in `fit`, and `summary` says it:

    - A number becomes codes of the bin that it is in (`PiecewiseLinear`), of `bins` bins that are
      equally full, beside its scaled value (`RobustScale`). A gap becomes the median, with a flag
      where training had gaps.
    - Up to 32 categories have a flag each; more have a vector of `embedding` numbers (`Embedding`).
      A gap is a category where training had gaps; one that training did not see is none of them.
    - A date becomes numbers: days since 1970, month, weekday, hour. A duration is its seconds.
    - A column that holds one value is left out.

    Behind them are `members` MLPs with the arguments of MLPClassifier and other defaults, which are
    trained at once and averaged. Each holds out other rows. They are trained for `max_iter` epochs
    with a falling rate, and keep the weights that were best on the rows held out.

    >>> from sklearn.datasets import load_wine
    >>> X, y = load_wine(return_X_y=True, as_frame=True)
    >>> network = TableClassifier(random_state=0).fit(X[::2], y[::2])
    >>> network.score(X[1::2], y[1::2]) > 0.9
    True
    """

    label_smoothing: float = field(default=TABLE_DEFAULTS["label_smoothing"], kw_only=True)


@dataclass(eq=False, repr=False)
class TableRegressor(OfTables, Regressor, OfQuantiles, TableArguments, OfValues):  # type: ignore[misc]
    """A network that predicts a value, or several, from the rows of a table.

    What becomes of X is as in TableClassifier; y may have any scale, as the network is trained on
    (y - mean) / std, with those of the training targets, but for `loss="poisson"` or a Loss.
    `loss` and `quantiles` are as in MLPRegressor.
    """

    def _learn_targets(self, y: Array, classes: Any, partial: bool) -> None:
        super()._learn_targets(y, classes, partial)
        self._target_moments = [[0.0] * self.n_outputs_, [1.0] * self.n_outputs_]
        if isinstance(self.loss, str) and self.loss != "poisson":
            mean, std = moments(self._encode(y), self._counted)
            self._target_moments = [mean.tolist(), std.tolist()]

    def _encode(self, y: Array) -> Array:
        mean, std = self._target_moments
        return np.asarray((super()._encode(y) - mean) / std)

    def _decode(self, t: Array) -> Array:
        mean, std = self._target_moments
        return super()._decode(t * std + mean)

    def _values(self, outputs: Array) -> Array:
        mean, std = self._target_moments
        return np.asarray(super()._values(outputs) * std + mean)


def moments(values: Array, w: Array | None) -> tuple[Array, Array]:
    """Mean and standard deviation of each column (N, K) by weights (N,); 1 for what is constant."""
    mean = np.average(values, axis=0, weights=w)
    away = values - mean
    largest = np.abs(away).max(axis=0)
    # What rounding leaves of a column that never varies is no deviation.
    varies = largest > len(values) * np.finfo(np.float64).eps * np.abs(mean)
    largest = np.where(varies, largest, 1)  # so that no square overflows
    std = largest * np.sqrt(np.average((away / largest) ** 2, axis=0, weights=w))
    return mean, np.where(varies, std, 1)


TableClassifier._parameter_constraints = {
    **TableClassifier._parameter_constraints,
    **OWN_CONSTRAINTS,
}
TableRegressor._parameter_constraints = {**TableRegressor._parameter_constraints, **OF_REGRESSORS}
list_arguments(TableClassifier, OF_TABLES)
list_arguments(TableRegressor, OF_TABLES)
