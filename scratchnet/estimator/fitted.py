"""What a fitted estimator gives: predictions, its weights as scikit-learn names them, a file."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Self, cast

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from scratchnet.environment import limit_threads
from scratchnet.estimator.arguments import Arguments
from scratchnet.estimator.saving import load_estimator, save_estimator
from scratchnet.layers import Affine, BatchNorm, Layer
from scratchnet.networks import EVALUATION_ROWS, MultiLayerNet
from scratchnet.parameters import Array


class Fitted(BaseEstimator, Arguments, ABC):  # type: ignore[misc]
    """An estimator that may have been fitted: it has a network then."""

    n_outputs_: int
    _network: MultiLayerNet

    @abstractmethod
    def _decide(self, outputs: Array) -> Array:
        """The predictions for network outputs (N, n_outputs_)."""

    # What a fitted estimator gives.

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is a network, which a refit that was refused leaves none of."""
        return "_network" in vars(self)

    def _outputs(self, X: Array, network: MultiLayerNet) -> Array:
        """The outputs of `network` for X (N, D), (N, n_outputs_), converted batch by batch."""
        made = np.empty((len(X), self.n_outputs_), network.dtype)
        with limit_threads(self.n_threads):
            for start in range(0, len(X), EVALUATION_ROWS):
                rows = slice(start, start + EVALUATION_ROWS)
                made[rows] = network.logits(np.asarray(X[rows], network.dtype))
        return made

    def _checked_outputs(self, X: npt.ArrayLike) -> Array:
        """The outputs in float64, in which a row's do not depend on what other rows there are."""
        check_is_fitted(self)
        checked = validate_data(self, X, dtype="numeric", reset=False)
        return self._outputs(checked, self._network.copy("float64"))

    def predict(self, X: npt.ArrayLike) -> Array:
        """Classes or values for X (N, D)."""
        return self._decide(self._checked_outputs(X))

    @property
    def coefs_(self) -> list[Array]:
        """The weights W (n_in, n_out) of each layer: the memory of the network itself."""
        return [layer.params["W"] for layer in self._affine()]

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of each layer; under batch normalization the beta that takes their place."""
        names = {Affine: "b", BatchNorm: "beta"}
        return [
            layer.params[names[type(layer)]]
            for layer in self._network_layers()
            if names.get(type(layer)) in layer.shapes
        ]

    def _affine(self) -> list[Affine]:
        return [layer for layer in self._network_layers() if isinstance(layer, Affine)]

    def _network_layers(self) -> Sequence[Layer]:
        if "_network" not in vars(self):
            raise AttributeError(f"this {type(self).__name__} is not fitted yet; call fit")
        return self._network.layers

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to a file of arrays and JSON, which runs no code when read.

        Arguments that are objects, for example callbacks or an Optimizer, are left out, and so is
        the optimizer's memory: training continues anew from the weights. Raises NotFittedError
        before `fit`, OutputError if it cannot be written.
        """
        check_is_fitted(self)
        save_estimator(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The estimator in a file of `save`; raises DataError if it is damaged or another's."""
        return cast(Self, load_estimator(cls, path))
