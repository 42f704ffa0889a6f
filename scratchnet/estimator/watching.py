"""When a fit ends: each epoch is noted, its score compared, the rate lowered, the best kept."""

import copy
import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring

from scratchnet.data import Samples
from scratchnet.errors import warn_caller
from scratchnet.estimator.fitted import Fitted
from scratchnet.parameters import Array
from scratchnet.training import Epoch, Trainer

SLOWEST = 1e-6
"""An adaptive rate that has fallen to this ends the training."""


class Watched(Fitted):
    """An estimator whose fit is watched: by its loss, or by its score on validation samples."""

    _classifies: ClassVar[bool]
    alpha: float
    tol: float
    verbose: bool | int
    early_stopping: bool
    n_iter_no_change: float
    learning_rate: str
    learning_rate_init: float
    power_t: float
    solver: str
    optimizer: Any
    scoring: Any
    callbacks: Any
    n_iter_: int
    t_: int
    loss_: float
    stopped_: bool
    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    validation_loss_curve_: list[float]
    _came: int
    """The samples that came, equal ones counted each."""
    _epochs: int
    """Epochs since the network was made."""
    _rate: float
    _no_improvement_count: int
    """Epochs, or calls of partial_fit, without an improvement."""
    _best: tuple[float, float]
    """The highest validation score, and the validation loss of the best epoch."""
    _best_state: Array | None
    _validated_with: str | None
    """The digest of the validation samples that these are of."""

    @abstractmethod
    def _decode(self, t: Array) -> Array:
        """Targets as the user knows them."""

    @abstractmethod
    def _score_of(self, found: Array, y: Array, w: Array | None) -> float:
        """Accuracy or R2 of predictions."""

    def _for_prepared_rows(self) -> Any:
        """A copy that predicts for rows as the network takes them, which have no column names."""
        plain: Any = copy.copy(self)
        plain.__dict__.pop("feature_names_in_", None)
        return plain

    def _held_out(self, validation: Samples) -> tuple[Any, Array]:
        """What predicts these samples without having been trained on them, and their targets."""
        return self._for_prepared_rows(), self._targets_of(validation)

    def _targets_of(self, samples: Samples) -> Array:
        """The targets of samples as the loss of one network takes them."""
        return samples.t

    def _note(self, epoch: Epoch, trainer: Trainer, validation: Samples | None) -> None:
        """Note the results of an epoch, and whether it was the last."""
        self._epochs = epoch.number
        self.t_ += self._came
        self.loss_ = np.float64(epoch.loss + epoch.penalty)  # the type that it has there
        self.loss_curve_.append(self.loss_)
        self.n_iter_ += 1
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
        if validation is not None:
            self._validate(epoch, validation)
        if self.early_stopping and validation is not None:
            self._watch_score()
        else:
            self._watch_loss()
        if self.learning_rate == "invscaling" and self._has_rates():
            self._rate = trainer.lr = self.learning_rate_init / (self.t_ + 1) ** self.power_t
        if self._no_improvement_count > self.n_iter_no_change:
            self._slow_down_or_stop(trainer)
        asked = [callback(self, epoch) for callback in self.callbacks or ()]
        self.stopped_ = self.stopped_ or any(
            isinstance(answer, bool | np.bool_) and answer for answer in asked
        )

    def _has_rates(self) -> bool:
        """Whether `learning_rate` applies: as in scikit-learn to the solver sgd alone."""
        return self.solver == "sgd" and self.optimizer is None

    def _slow_down_or_stop(self, trainer: Trainer) -> None:
        """A fifth of the rate where it is adaptive and not yet at its lowest, else the end."""
        what = "Validation score" if self.early_stopping else "Training loss"
        why = (
            f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} "
            "consecutive epochs."
        )
        if self.learning_rate == "adaptive" and self._has_rates() and self._rate > SLOWEST:
            self._rate = trainer.lr = self._rate / 5
            self._no_improvement_count = 0
            why += f" Setting learning rate to {self._rate:f}"
            if self.best_loss_ is not None:
                # So that one lucky epoch lowers the rate but once.
                self.best_loss_ = np.float64(np.inf)
        else:
            self.stopped_ = True
            why += " Stopping."
        if self.verbose:
            print(why)

    def _watch_loss(self) -> None:
        best = np.inf if self.best_loss_ is None else self.best_loss_
        self._no_improvement_count = (
            self._no_improvement_count + 1 if self.loss_ > best - self.tol else 0
        )
        self.best_loss_ = min(best, self.loss_)

    def _watch_score(self) -> None:
        """Compare the last score with the highest, and keep the weights of the best epoch.

        Of epochs with the highest score, which on few samples are many, the one with the lowest
        validation loss is best. While that still falls by tol, and an accuracy is within tol of the
        highest and not yet perfect, training waits.
        """
        score, loss = (self.validation_scores_ or [])[-1], self.validation_loss_curve_[-1]
        highest, lowest = self._best
        level = self._classifies and highest - self.tol <= score < 1.0
        improved = score >= highest + self.tol or (level and loss < lowest - self.tol)
        self._no_improvement_count = 0 if improved else self._no_improvement_count + 1
        if score > highest or (score == highest and loss < lowest):
            self.best_validation_score_ = score
            self._best_state = self._network.state_vector.copy()
            self._best = score, loss
        elif improved:
            self._best = max(score, highest), loss

    def _validate(self, epoch: Epoch, validation: Samples) -> None:
        """Loss and score on the validation samples."""
        loss = np.inf if epoch.val_loss is None else epoch.val_loss
        self.validation_loss_curve_.append(loss)
        if self.scoring == "loss":
            score = -loss
        else:
            plain, t = self._held_out(validation)
            y = self._decode(t)
            if self.scoring is None:
                found = self._decide(plain._outputs(validation.x))
                score = self._score_of(found, y, validation.weights)
            else:
                score = check_scoring(plain, self.scoring)(plain, validation.x, y)
        if not math.isfinite(score):
            warn_caller(
                f"the validation score is {score}, which can be no best one; validate with more "
                "samples",
                ConvergenceWarning,
            )
            score = -np.inf
        assert self.validation_scores_ is not None
        self.validation_scores_.append(float(score))
        if self.verbose:
            print(f"Validation score: {score:.6f}")
