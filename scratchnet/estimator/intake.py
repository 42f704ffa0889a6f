"""What comes into a fit: samples, targets and weights, checked and brought into one form."""

from abc import abstractmethod
from copy import deepcopy
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import _check_sample_weight, validate_data

from scratchnet.checks import check_dtype
from scratchnet.data import Samples
from scratchnet.data.border import LARGEST
from scratchnet.errors import DtypeError, ParameterError
from scratchnet.estimator.constraints import check_arguments, defaults_of
from scratchnet.estimator.multiplicity import Merged, merge_repeated
from scratchnet.estimator.solver import minimizes
from scratchnet.estimator.verdict import reach
from scratchnet.estimator.watching import Watched
from scratchnet.parameters import Array

LARGEST_SEED = np.iinfo(np.int32).max


class Taken(NamedTuple):
    """What a fit is made of."""

    train: Merged
    validation: Samples | None
    dtype: str
    """The dtype of a network that is made for them."""


class Intake(Watched):
    """An estimator whose X, y and weights are checked; a subclass knows its targets."""

    _least_held_out: ClassVar[int]
    """Samples that a score needs."""
    validation_fraction: float
    random_state: Any
    dtype: Any
    _seed: int
    """The seed of all randomness but the starting weights."""
    _start: np.random.RandomState
    """What these are drawn from."""

    @abstractmethod
    def _learn_targets(self, y: Array, classes: Any, partial: bool) -> None:
        """Set what is known of targets from the first fit on: classes, how many outputs."""

    @abstractmethod
    def _encode(self, y: Array) -> Array:
        """`y` as the loss takes it; `_decode` is the way back."""

    def _takes_sparse(self) -> bool:
        """Whether the arguments leave a sparse X sparse, up to the first affine layer."""
        return not (getattr(self, "standardize", None) or getattr(self, "input_noise", 0))

    def _weigh(self, t: Array, weights: Array | None, partial: bool) -> Array | None:
        """Sample weights, times class weights where there are any."""
        return weights

    def _compare_targets(self, y: Array, classes: Any, partial: bool) -> None:
        """Raise ValueError where a later call has other classes than the first."""

    def _take_in(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        X_val: Any,
        y_val: Any,
        anew: bool,
        classes: Any = None,
        partial: bool = False,
    ) -> Taken:
        """Training samples, and those to validate with, if any; everything checked."""
        check_arguments(self, defaults_of(type(self)))
        if anew:
            self.__dict__.pop("_network", None)  # a refit that is refused leaves nothing half made
            state = self.random_state
            if isinstance(state, np.random.RandomState):
                self._start = deepcopy(state)
            else:  # quicker, and the same
                state = check_random_state(None).randint(LARGEST_SEED) if state is None else state
                self._start = check_random_state(state)
                state = check_random_state(state)
            self._seed = int(state.randint(LARGEST_SEED))
        self._sparse_labels = issparse(y)
        X, t = self._arrays(X, y, anew, classes, partial)
        dtype = self._dtype_for(X)
        if anew:
            self._offset = self._choose_offset(X, dtype)
        X = self._in_form(X, dtype)
        weights = None
        if sample_weight is not None:
            weights = _mean_of_1(_check_sample_weight(sample_weight, X, dtype=np.float64))
        weights = self._weigh(t, weights, partial)
        if weights is not None and not partial:
            # Of one call of partial_fit the mean says nothing: others may have other classes.
            weights = _mean_of_1(weights)
        if X_val is not None and y_val is not None:
            held_out = self._arrays(X_val, y_val, False, None, True)
            validation = Samples.checked(self._in_form(held_out[0], dtype), held_out[1])
            return Taken(merge_repeated(X, t, weights), validation, dtype)
        if X_val is not None or y_val is not None:
            raise ValueError("X_val and y_val must come together, one is None; give both or none")
        merged = merge_repeated(X, t, weights)
        if not self.early_stopping or minimizes(self):
            return Taken(merged, None, dtype)
        kept, held = self._split(merged.samples)
        came = round(merged.came * len(kept) / len(merged.samples))
        return Taken(merged._replace(samples=kept, came=came), held, dtype)

    def _split(self, samples: Samples) -> tuple[Samples, Samples]:
        """Samples to train with and to validate with; raises ValueError if either is too few."""
        fraction, least = float(self.validation_fraction), self._least_held_out
        try:
            kept, held = samples.split(fraction, self._seed)
        except ParameterError:
            least = len(samples)
        if len(samples) <= least or len(held) < least:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                f"your dataset: {fraction:g} of n_samples={len(samples)} different ones must be "
                f"{self._least_held_out} or more, and a class must have two to give one."
            )
        return kept, held

    def _dtype_for(self, X: Any) -> str:
        """The dtype of a network for X: as asked for, else what loses nothing."""
        if not (isinstance(self.dtype, str) and self.dtype == "auto"):
            dtype = check_dtype(self.dtype)
            if dtype == "float32" and X.dtype == np.float64:
                largest = reach(X)
                if largest > LARGEST:
                    raise DtypeError(
                        f"X must fit into float32, the dtype asked for, and reaches {largest:g}; "
                        "leave dtype at 'auto', or put a StandardScaler before the network"
                    )
            return dtype
        return "float32" if X.dtype == np.float32 and not minimizes(self) else "float64"

    def _choose_offset(self, X: Any, dtype: str) -> Array | None:
        """What is taken off X before float32 rounds it, if the network standardizes it anyway."""
        if dtype == "float64" or issparse(X) or not getattr(self, "standardize", None):
            return None
        return None if X.dtype == np.float32 else np.asarray(X.mean(axis=0, dtype=np.float64))

    def _in_form(self, X: Any, dtype: str) -> Any:
        """X as batches are gathered from it: rows in one piece, a sparse X in canonical form."""
        if not issparse(X):
            return np.ascontiguousarray(X if self._offset is None else self._converted(X))
        X = X.astype(dtype, copy=False)
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        return X

    def _arrays(self, X: Any, y: Any, anew: bool, classes: Any, partial: bool) -> tuple[Any, Array]:
        """X (N, D) and the targets as the loss takes them; raises what scikit-learn does."""
        X, y = validate_data(
            self, X, y, accept_sparse="csr", multi_output=True, dtype="numeric", reset=anew
        )
        y = y.toarray() if issparse(y) else y
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        if anew:
            self._learn_targets(y, classes, partial)
        else:
            self._compare_targets(y, classes, partial)
        return X, self._encode(y)


def _mean_of_1(weights: Array) -> Array:
    """The weights by their ratios; raises ParameterError for weights below 0, or all 0."""
    largest = weights.max(initial=0.0)
    if not (largest > 0 and weights.min() >= 0):
        raise ParameterError("sample weights must be >= 0 and not all 0; leave out what is not")
    weights = weights / largest  # or the sum of huge ones would overflow
    return np.asarray(weights / weights.mean())
