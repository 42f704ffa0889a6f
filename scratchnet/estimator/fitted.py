"""What a fitted estimator gives: predictions, its weights as scikit-learn names them, a file."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from scratchnet.environment import limit_threads
from scratchnet.errors import DataError, DtypeError
from scratchnet.estimator.conversion import convert_from_sklearn, convert_to_sklearn
from scratchnet.estimator.linked import LinkedArrays, write_all
from scratchnet.estimator.saving import load_estimator, save_estimator
from scratchnet.layers import Affine, BatchNorm, Conv2D, Layer, Loss, MemberAffine
from scratchnet.networks import Network
from scratchnet.parameters import Array
from scratchnet.training.threads import suggest_threads

PICKLES = 2
"""The form of pickles that this version writes, and the only one that it reads."""


class Fitted(BaseEstimator, ABC):  # type: ignore[misc]
    """An estimator that may have been fitted: it has a network then."""

    n_outputs_: int
    n_features_in_: int
    n_threads: int | None
    _network: Network
    _offset: Array | None
    """What is taken off each row of X, in float64, before float32 would round it away."""

    @abstractmethod
    def _decide(self, outputs: Array) -> Array:
        """The predictions for network outputs (N, K)."""

    @property
    def _loss(self) -> Loss:
        """What turns outputs (N, K) into predictions."""
        return self._network.loss_layer

    # What a fitted estimator gives.

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is a network, which a refit that was refused leaves none of."""
        return "_network" in vars(self)

    def _outputs(self, X: Any) -> Array:
        """The outputs of the network for X (N, D), batch by batch, (N, K)."""
        network = self._network.for_thread()
        at_once = network.evaluation_rows
        rows = min(X.shape[0], at_once)
        if X.shape[0] == rows:
            return network.logits(self._converted(X)).copy()
        made = np.empty((X.shape[0], network.output_sizes[-1]), network.dtype)
        parts = [slice(start, start + at_once) for start in range(0, X.shape[0], at_once)]
        several = min(self._threads_of_rows(), len(parts))

        def visit(thread: int) -> None:
            own = self._network.for_thread()
            for part in parts[thread::several]:
                made[part] = own.logits(self._converted(X[part]))

        if several > 1:  # of the same parts, so that their number changes no bit
            with limit_threads(1), ThreadPoolExecutor(several - 1) as pool:
                others = [pool.submit(visit, thread) for thread in range(1, several)]
                visit(0)
                for other in others:
                    other.result()
            return made
        # To limit the threads takes longer than to predict a few rows, which need but one.
        few = self.n_threads is None or suggest_threads(network, rows) == 1
        with nullcontext() if few else limit_threads(1 if network.takes_images else self.n_threads):
            visit(0)
        return made

    def _threads_of_rows(self) -> int:
        """How many threads share the rows of a prediction, beside those of BLAS."""
        return 1

    def _converted(self, X: Any) -> Any:
        """X in the dtype of the network, which an offset is taken off before."""
        if self._offset is not None and not issparse(X):
            return (X - self._offset).astype(np.float32)
        return X.astype(self._network.dtype, copy=False)

    def _checked_outputs(self, X: Any) -> Array:
        """The outputs for what a user brings."""
        if not self._is_plain(X):
            check_is_fitted(self)
            X = validate_data(self, X, accept_sparse="csr", dtype="numeric", reset=False)
            if issparse(X):
                refuse_sparse(self._network.layers)
        outputs = self._outputs(X)
        if X.dtype != np.float32:  # as a product of X and weights of float32 would be
            return outputs.astype(np.float64, copy=False)
        return outputs

    def _is_plain(self, X: Any) -> bool:
        """Whether X is an array of finite floats that fits: the checks of any other X take longer.

        They would find nothing, and take ten times the time that a small network predicts in.
        """
        fitted = vars(self)
        return (
            type(X) is np.ndarray
            and "_network" in fitted
            and "feature_names_in_" not in fitted
            and X.dtype in (np.float64, np.float32)
            and X.ndim == 2
            and X.shape[1] == self.n_features_in_
            and len(X) > 0
            and _is_finite(X)
        )

    def predict(self, X: npt.ArrayLike) -> Array:
        """Classes or values for X (N, D), which may be sparse."""
        return self._decide(self._checked_outputs(X))

    @property
    def coefs_(self) -> list[Array]:
        """The weights W of each layer that has them, in the memory of the network itself.

        They are (n_in, n_out), of convolutions (KH, KW, C, F), of M members (M, n_in, n_out).

        To assign to one of them, or to all, writes into the network. Raises ShapeError where
        shapes differ.
        """
        return LinkedArrays(layer.params["W"] for layer in self._affine())

    @coefs_.setter
    def coefs_(self, values: Iterable[Any]) -> None:
        write_all(self.coefs_, values)

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of each layer; under batch normalization the beta that takes their place."""
        names = {Affine: "b", MemberAffine: "b", Conv2D: "b", BatchNorm: "beta"}
        return LinkedArrays(
            layer.params[names[type(layer)]]
            for layer in self._network_layers()
            if names.get(type(layer)) in layer.shapes
        )

    @intercepts_.setter
    def intercepts_(self, values: Iterable[Any]) -> None:
        write_all(self.intercepts_, values)

    def _affine(self) -> list[Any]:
        kinds = Affine | MemberAffine | Conv2D
        return [layer for layer in self._network_layers() if isinstance(layer, kinds)]

    def _network_layers(self) -> Sequence[Layer]:
        if "_network" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted yet; call fit")
        return self._network.layers

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to a file of arrays and JSON, which runs no code when read.

        Arguments that are objects, for example callbacks or an Optimizer, are left out, and so is
        the optimizer's memory: training continues anew from the weights. Raises NotFittedError
        before `fit`, DataError for labels that no file can hold, OutputError if it cannot be
        written.
        """
        check_is_fitted(self)
        save_estimator(self, path)

    @classmethod
    def load(cls, path: str | Path, classes: Iterable[type[Any]] = ()) -> Self:
        """The estimator in a file of `save`; raises DataError if it is damaged or another's.

        `classes` are layers and losses of your own that its network is made of.
        """
        return cast(Self, load_estimator(cls, path, classes))

    def to_sklearn(self) -> Any:
        """scikit-learn's own estimator, fitted, with the weights of this one.

        It predicts the same, to the bit unless an activation is logistic, which scikit-learn
        rounds otherwise in the last place. Raises NotFittedError before `fit`, ParameterError,
        naming the layer or the loss, for a network that scikit-learn's class cannot hold.
        """
        check_is_fitted(self)
        return convert_to_sklearn(self)

    @classmethod
    def from_sklearn(cls, fitted: Any) -> Self:
        """An estimator with the arguments and the weights of scikit-learn's fitted one.

        It predicts the same, as `to_sklearn` says. Raises NotFittedError if it is not fitted,
        TypeError if it is not scikit-learn's class of this name.
        """
        return cast(Self, convert_from_sklearn(cls, fitted))

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_form_of_pickle": PICKLES}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state.pop("_form_of_pickle", None) != PICKLES:
            raise DataError(
                f"this pickle of {type(self).__name__} is of another version of scratchnet; read "
                "it with that version and write it with save(), whose files every version reads"
            )
        super().__setstate__(state)


def _is_finite(X: Array) -> bool:
    """Whether all values are finite, if their sum is: else it has to be looked at more closely."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(X.sum()))


def refuse_sparse(layers: Sequence[Layer]) -> None:
    """Raise DtypeError where a layer would make a dense array of a sparse X."""
    for layer in layers:
        if not layer.takes_sparse:
            cure = (
                "MaxAbsScaler, or StandardScaler(with_mean=False), scales a sparse X"
                if layer.normalizes
                else "put it behind an affine layer"
            )
            raise DtypeError(
                f"a sparse X would be made dense by {layer!r} before the first affine layer; "
                f"{cure}, or write X.toarray()"
            )
        if isinstance(layer, Affine):
            return
