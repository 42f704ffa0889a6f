"""The base of the scikit-learn estimators: arguments in, a Trainer at work, results out."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if

from scratchnet.checks import is_sparse
from scratchnet.data import Samples
from scratchnet.environment import limit_threads
from scratchnet.errors import DivergenceError, warn_caller
from scratchnet.estimator.arguments import MAKES, OF_TRAINING
from scratchnet.estimator.fitted import refuse_sparse
from scratchnet.estimator.intake import Intake, Taken
from scratchnet.estimator.solver import choose_optimizer, minimizes
from scratchnet.estimator.verdict import describe_divergence, describe_failure
from scratchnet.layers import Loss
from scratchnet.networks import Network
from scratchnet.training import Trainer
from scratchnet.training.threads import suggest_threads


def _goes_by_batches(estimator: Any) -> bool:
    """Whether there is a partial_fit; raises AttributeError if there is none."""
    if minimizes(estimator):
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
        )
    return True


class NetworkEstimator(Intake):
    """The base of classifiers and regressors: everything but the targets and the network."""

    max_iter: int
    max_fun: int
    warm_start: bool
    batch_size: int | str
    progress_bar: bool
    _ends_with_schedule: ClassVar[bool] = False
    """Whether the last of `max_iter` epochs is as good an end as any: nothing is said then."""
    _optimizer_with_betas: ClassVar[str | None] = None
    """The name of an optimizer that `beta_2` is for, too."""
    _trained_on: int | None
    """The digest of the samples that the epochs without an improvement are counted on."""
    _frozen: bool
    """Whether early stopping has ended the training by partial_fit."""

    @abstractmethod
    def _new_loss(self) -> Loss:
        """The loss of the network; raises ParameterError for an option that it does not have."""

    def _n_network_inputs(self) -> int:
        """How many inputs the network has."""
        return self.n_features_in_

    def _n_network_outputs(self) -> int:
        """How many outputs the network has."""
        return self.n_outputs_

    @abstractmethod
    def _make_network(self, n_features: int, dtype: str) -> Network:
        """The network that the arguments describe, with the weights that it starts from."""

    # Training.

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        X_val: npt.ArrayLike | None = None,
        y_val: npt.ArrayLike | None = None,
    ) -> Self:
        """Train on X (N, D) and y until nothing improves any more, or for max_iter epochs.

        X may be sparse. A sample of weight k counts exactly as k samples, weights count by their
        ratios alone. `X_val` and `y_val` are validation data of one's own, in the place of the
        fraction that early stopping holds out. With `warm_start` an earlier fit continues: weights,
        optimizer and epochs as they were left. A fit that ends without having learnt says so, by
        ConvergenceWarning.
        """
        anew = not (self.warm_start and "_network" in vars(self))
        taken = self._enter(anew, X, y, sample_weight, X_val, y_val)
        if taken.train.digest != self._trained_on:  # what was reached on other data says nothing
            self._no_improvement_count, self._trained_on = 0, taken.train.digest
            self.best_loss_ = None if self.early_stopping else np.inf
        validation = taken.validation
        seen = None if validation is None else validation.digest()
        if seen != self._validated_with:  # what was best on other data is not so on these
            self._best, self._validated_with = (-np.inf, np.inf), seen
            self._best_state = self._network.state_vector.copy() if self.early_stopping else None
        trainer = self._trainer(taken.train.samples, validation)
        if minimizes(self):
            self._minimize(trainer, validation)
        else:
            self._descend(trainer, validation)
        failure = describe_failure(self, trainer.train)
        if failure is not None:
            warn_caller(failure, ConvergenceWarning)
        self._calibrate(validation)
        return self

    @available_if(_goes_by_batches)  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        classes: npt.ArrayLike | None = None,
        *,
        X_val: npt.ArrayLike | None = None,
        y_val: npt.ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on X and y, continuing where the last call ended.

        A schedule runs over max_iter calls. `classes` are all there will be; a classifier must know
        them at the first call. With early stopping the score on `X_val`, `y_val`, or on the
        fraction held out of this call's data, is watched from call to call; once n_iter_no_change
        calls have brought nothing better the best weights are put back, `stopped_` is True, and
        further calls change nothing.
        """
        anew = "_network" not in vars(self)
        taken = self._enter(anew, X, y, sample_weight, X_val, y_val, classes, partial=True)
        if not self._frozen:
            trainer = self._trainer(taken.train.samples, taken.validation)
            self._descend(trainer, taken.validation, 1)
            self._frozen = self.early_stopping and self.stopped_
            self._calibrate(taken.validation)
        return self

    def _begin(self, samples: Samples, dtype: str) -> None:
        """Make the network and the optimizer, and forget what an earlier fit had learnt."""
        network = self._make_network(samples.x.shape[1], dtype)
        del self._start
        self._resume()
        self._network = network
        self._epochs = 0
        self.n_iter_ = 0
        self.loss_ = np.inf
        self.n_layers_ = len(self._affine()) + 1
        self.t_ = 0
        self.stopped_ = False
        self.loss_curve_ = []
        self.validation_loss_curve_ = []
        self.best_loss_ = None if self.early_stopping else np.inf
        self.validation_scores_ = None
        self.best_validation_score_ = -np.inf if self.early_stopping else None

    def _enter(
        self,
        anew: bool,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        classes: Any = None,
        *,
        partial: bool = False,
    ) -> Taken:
        """What training begins with: the samples, and a new network if it begins anew."""
        taken = self._take_in(X, y, sample_weight, X_val, y_val, anew, classes, partial)
        self._came = taken.train.came
        if anew:
            self._begin(taken.train.samples, taken.dtype)
        return taken

    def _training(self, X: Any, y: Any) -> Trainer:
        """The Trainer that `fit` would begin with; the estimator stays as it is."""
        own = clone(self)
        taken = own._enter(True, X, y)
        made: Trainer = own._trainer(taken.train.samples, taken.validation)
        return made

    def _follow_arguments(self) -> None:
        """Take over what has changed since the network was made, and warn of what cannot be."""
        made_with = self._made_with
        changed = [name for name in made_with if _differ(getattr(self, name), made_with[name])]
        if "learning_rate_init" in changed:
            self._rate = self._made_with["learning_rate_init"] = self.learning_rate_init
            changed.remove("learning_rate_init")
        if changed:
            warn_caller(
                f"training continues with the network as it was made; {', '.join(changed)} changed "
                "since, and has no effect; use warm_start=False",
                UserWarning,
            )

    def _trainer(self, samples: Samples, validation: Samples | None) -> Trainer:
        """A Trainer on these samples, where training has got to."""
        n = len(samples)
        if isinstance(self.batch_size, str):
            batch_size = self._usual_batch_size(n)
        else:
            batch_size = min(int(self.batch_size), n)
            if self.batch_size > self._came:
                warn_caller(
                    f"batch_size {self.batch_size} is more than the {self._came} samples; every "
                    "update uses all of them",
                    UserWarning,
                )
        self._follow_arguments()
        for part in (samples, *([] if validation is None else [validation])):
            if is_sparse(part.x):
                refuse_sparse(self._network.layers)
        if getattr(self, "validation_scores_", None) is None and validation is not None:
            self.validation_scores_ = []
        self._network.l2 = float(self.alpha) / n / self._n_losses()
        if minimizes(self) and self.optimizer is None:
            self._optimizer = choose_optimizer(self)  # as max_iter, tol and max_fun are now
        own = {name: getattr(self, name) for name in OF_TRAINING}
        if batch_size >= n:  # the order within the one batch is of no effect
            own["shuffle"] = False
        trainer = Trainer(
            self._network,
            samples,
            validation,
            optimizer=self._optimizer,
            batch_size=None if self._optimizer.full_batch else batch_size,
            seed=self._seed,
            threads=self._threads_of_parts(batch_size),
            **own,
            **self._augmentation(),
        )
        trainer.lr = self._rate
        trainer.epochs = self._epochs
        trainer.steps = self._epochs * len(trainer.batches)
        return trainer

    def _threads_of_parts(self, batch_size: int) -> int | None:
        """How many threads share a batch: those that pay, up to n_threads; None for those of BLAS.

        These are limited around the whole of `fit`.
        """
        if not self._network.takes_images or self.n_threads is None:
            return None
        return min(self.n_threads, suggest_threads(self._network, batch_size))

    def _n_losses(self) -> int:
        """How many networks the loss is the mean of."""
        return 1

    def _threads_of_blas(self) -> int | None:
        """The threads of BLAS in training; None to leave them."""
        return self.n_threads

    def _usual_batch_size(self, n: int) -> int:
        """The samples of an update under batch_size="auto", of n."""
        return min(200, n)

    def _augmentation(self) -> dict[str, Any]:
        """The Trainer's option `augment`, for rows that are images."""
        return {}

    def _minimize(self, trainer: Trainer, validation: Samples | None) -> None:
        """L-BFGS on all samples at once, whose curve of losses nobody sees."""
        for name in ("loss_curve_", "best_loss_"):
            self.__dict__.pop(name, None)
        optimizer: Any = self._optimizer
        try:
            with limit_threads(self._threads_of_blas()):
                epoch = next(iter(trainer.run(1)))
                loss, _ = trainer.evaluate(trainer.train)
        except DivergenceError as error:
            raise describe_divergence(self, error, trainer.train) from error
        self._epochs = trainer.epochs
        self.loss_ = np.float64(loss + epoch.penalty)
        self.n_iter_ = optimizer.iterated
        if validation is None:
            for name in ("validation_scores_", "best_validation_score_"):
                self.__dict__.pop(name, None)
        else:
            self._validate(epoch, validation)
        if optimizer.ended is not None:
            warn_caller(
                f"lbfgs ended after {self.n_iter_} iterations and hasn't converged yet: "
                f"{optimizer.ended}; raise max_iter ({self.max_iter}) or max_fun ({self.max_fun}), "
                "or bring X and y to variance 1",
                ConvergenceWarning,
            )

    def _descend(
        self, trainer: Trainer, validation: Samples | None, epochs: int | None = None
    ) -> None:
        """Epoch after epoch, until nothing improves; `epochs` is set for partial_fit."""
        limit = int(self.max_iter) if epochs is None else epochs
        self.stopped_ = False
        self.n_iter_ = 0
        try:
            # Here and not in the Trainer: to ask for it every epoch takes a fifth of a small one.
            quiet = np.errstate(over="ignore")  # what overflows ends in a DivergenceError
            with quiet, limit_threads(self._threads_of_blas()), self._bar(limit) as advance:
                for epoch in trainer.run(limit, self.max_iter if epochs else None):
                    self._note(epoch, trainer, validation)
                    advance(self.loss_)
                    if self.stopped_:
                        break
        except KeyboardInterrupt:
            self._optimizer.to_evaluation(self._network.params)
            warn_caller("Training interrupted by user.", UserWarning)
        except DivergenceError as error:
            self._diverge(error, trainer)
        else:
            if epochs is None and not self.stopped_ and not self._ends_with_schedule:
                warn_caller(
                    f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                    "optimization hasn't converged yet; raise max_iter",
                    ConvergenceWarning,
                )
        if self._best_state is not None and (self.stopped_ or epochs is None):
            self._network.state_vector[:] = self._best_state

    def _diverge(self, error: DivergenceError, trainer: Trainer) -> None:
        """Go back to the best weights where early stopping has kept some, else raise."""
        about = describe_divergence(self, error, trainer.train)
        if self._best_state is None:
            if not self._epochs:
                del self._network
            raise about from error
        self.loss_ = np.float64(np.nan)
        self.loss_curve_.append(self.loss_)
        assert self.validation_scores_ is not None
        self.validation_scores_.append(np.nan)
        self.validation_loss_curve_.append(np.nan)
        self.n_iter_ += 1
        self.stopped_ = True
        self._optimizer = choose_optimizer(self)  # its memory may hold what is not finite
        text = f"{about}; the weights of the best epoch before are kept"
        warn_caller(text, ConvergenceWarning)

    def _calibrate(self, validation: Samples | None) -> None:
        """Note how the weights that there are now do on held-out samples; most need nothing."""

    @contextmanager
    def _bar(self, total: int) -> Iterator[Callable[[float], object]]:
        """A function to call with the loss after each epoch; it moves the bar, if there is one."""
        if not self.progress_bar:
            yield lambda loss: None
            return
        from tqdm.auto import tqdm

        with tqdm(total=total, unit="epoch", dynamic_ncols=True) as bar:

            def advance(loss: float) -> None:
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
                bar.update()

            yield advance

    def _resume(self) -> None:
        """Set what training continues with and a file does not have."""
        self._made_with = {name: getattr(self, name) for name in MAKES if hasattr(self, name)}
        self._optimizer = choose_optimizer(self)
        self._rate = self._optimizer.lr
        self._no_improvement_count = 0
        self._trained_on = None
        self._best, self._best_state = (-np.inf, np.inf), None
        self._frozen = False
        self._validated_with = None


def _differ(a: Any, b: Any) -> bool:
    """Whether two values of an argument differ; arrays and lists are compared by their items."""
    return a is not b and not np.array_equal(np.asarray(a, object), np.asarray(b, object))
