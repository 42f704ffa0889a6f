"""The base of the scikit-learn estimators: arguments in, a Trainer at work, results out."""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, validate_data

from scratchnet.checks import Range, check_above_zero, check_dtype, check_integer, check_word
from scratchnet.data import Samples
from scratchnet.environment import limit_threads
from scratchnet.errors import DataWarning
from scratchnet.estimator.arguments import MAKES, OF_NETWORK, OF_TRAINING
from scratchnet.estimator.multiplicity import deduplicate, split_repeated
from scratchnet.estimator.solver import choose_optimizer, draw_weights, minimizes
from scratchnet.estimator.watching import Watched
from scratchnet.networks import MultiLayerNet
from scratchnet.parameters import Array
from scratchnet.training import Trainer

SOLVERS = ("lbfgs", "sgd", "adam")
LEARNING_RATES = ("constant", "invscaling", "adaptive")


def _goes_by_batches(estimator: Any) -> bool:
    """Whether there is a partial_fit; raises AttributeError if there is none."""
    if minimizes(estimator):
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
        )
    return True


class NetworkEstimator(Watched):
    """The base of classifier and regressor: everything but the targets."""

    # What a subclass knows: its targets.

    _classifies: ClassVar[bool]
    n_outputs_: int

    @abstractmethod
    def _learn_targets(self, y: Array, classes: Any, partial: bool) -> None:
        """Set what is known of targets from the first fit on: classes, how many outputs."""

    @abstractmethod
    def _encode(self, y: Array) -> Array:
        """`y` as the loss takes it; `_decode` is the way back."""

    @abstractmethod
    def _loss(self) -> dict[str, Any]:
        """Name, labels and options of the loss, as arguments of MultiLayerNet."""

    def _weigh(self, t: Array, weights: Array | None, partial: bool) -> Array | None:
        """Sample weights, times class weights where there are any."""
        return weights

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

        A sample of weight k counts exactly as k samples. `X_val` and `y_val` are validation data of
        one's own, in the place of the fraction that early stopping holds out. With `warm_start` an
        earlier fit continues: weights, optimizer and epochs as they were left.
        """
        anew = not (self.warm_start and hasattr(self, "_network"))
        samples, validation = self._take_in(X, y, sample_weight, X_val, y_val, anew)
        if anew:
            self._begin(samples)
        self._frozen = False
        seen = None if validation is None else validation.digest()
        if seen != self._validated_with:  # what was best on other data is not so on these
            self._best, self._best_state, self._validated_with = (-np.inf, np.inf), None, seen
        trainer = self._trainer(samples, validation)
        if minimizes(self):
            with limit_threads(self.n_threads):
                self._minimize(trainer, validation)
        else:
            self._descend(trainer, validation)
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
        anew = not hasattr(self, "_network")
        samples, validation = self._take_in(X, y, sample_weight, X_val, y_val, anew, classes, True)
        if anew:
            self._begin(samples)
        if not self._frozen:
            self._descend(self._trainer(samples, validation), validation, 1)
            self._frozen = self.early_stopping and self.stopped_
        return self

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
    ) -> tuple[Samples, Samples | None]:
        """Training samples, and those to validate with, if any; everything checked."""
        self._check_arguments()
        if anew:
            self.__dict__.pop("_network", None)  # a refit that is refused leaves nothing half made
            self._seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        X, t = self._arrays(X, y, anew, classes, partial)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        X, t, repeats, n = deduplicate(X, t, weights)
        weights = self._weigh(t, repeats, partial)
        if weights is not None:
            # Of one call of partial_fit the mean says nothing: others may have other classes.
            weights = weights / (n / len(t) if partial else weights.mean())
        self._count = n
        if X_val is not None and y_val is not None:
            held_out = Samples(*self._arrays(X_val, y_val, False, None, partial))
            return Samples(X, t, weights=weights), held_out
        if X_val is not None or y_val is not None:
            raise ValueError("X_val and y_val must come together, one is None; give both or none")
        if self.early_stopping and not minimizes(self):
            fraction = float(self.validation_fraction)
            kept, held, share = split_repeated(X, t, repeats, weights, fraction, self._seed)
            self._count = round(self._count * share)
            return kept, held
        return Samples(X, t, weights=weights), None

    def _arrays(
        self, X: Any, y: Any, anew: bool, classes: Any, partial: bool
    ) -> tuple[Array, Array]:
        """X (N, D) and the targets as the loss takes them; raises what scikit-learn does."""
        X, y = validate_data(
            self,
            X,
            y,
            multi_output=True,
            dtype="numeric",
            y_numeric=not self._classifies,
            reset=anew,
        )
        y = y.toarray() if issparse(y) else y
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        if anew:
            self._learn_targets(y, classes, partial)
        else:
            self._compare_targets(classes)
        return X, self._encode(y)

    def _compare_targets(self, classes: Any) -> None:
        """Raise ValueError where a later call says other `classes` than the first."""

    def _check_arguments(self) -> None:
        """Raise ParameterError for an argument that can be checked before anything is looked at."""
        check_dtype(self.dtype)
        check_word("solver", self.solver, SOLVERS)
        check_word("learning_rate", self.learning_rate, LEARNING_RATES)
        check_above_zero("learning_rate_init", self.learning_rate_init)
        Range(at_least=0).check("alpha", self.alpha)
        Range(at_least=0).check("tol", self.tol)
        if self.n_iter_no_change != np.inf:
            check_integer("n_iter_no_change", self.n_iter_no_change, 1)
        if self.early_stopping:
            Range(above=0, below=1).check("validation_fraction", self.validation_fraction)

    def _begin(self, samples: Samples) -> None:
        """Make the network and the optimizer, and forget what an earlier fit had learnt."""
        sizes = self.hidden_layer_sizes
        hidden = list(sizes) if np.iterable(sizes) else [sizes]
        own = {name: getattr(self, name) for name in OF_NETWORK}
        single = isinstance(self.activation, str)
        names = [self.activation] if single else list(self.activation)
        names = ["sigmoid" if name == "logistic" else name for name in names]
        own["activation"] = names[0] if single else names
        if self.initializer is None:
            own["initializer"] = "xavier-uniform"
        self._network = MultiLayerNet(
            samples.x.shape[1], hidden, self.n_outputs_, seed=self._seed, **own, **self._loss()
        )
        if self.initializer is None:
            draw_weights(self._affine(), self._seed, self.activation)
        self._resume()
        self._epochs = 0
        self.n_iter_ = 0
        self.loss_ = np.inf
        self.n_layers_ = len(hidden) + 2
        self.t_ = 0
        self.stopped_ = False
        self.loss_curve_: list[float] = []
        self.validation_loss_curve_: list[float] = []
        self.best_loss_ = None if self.early_stopping else np.inf
        self.validation_scores_: list[float] = []
        self.best_validation_score_ = -np.inf if self.early_stopping else None

    def _follow_arguments(self) -> None:
        """Take over what has changed since the network was made, and warn of what cannot be."""
        changed = [name for name in MAKES if getattr(self, name) is not self._made_with[name]]
        changed = [name for name in changed if getattr(self, name) != self._made_with[name]]
        if "learning_rate_init" in changed:
            self._rate = self._made_with["learning_rate_init"] = self.learning_rate_init
            changed.remove("learning_rate_init")
        if changed:
            warnings.warn(
                f"training continues with the network as it was made; {', '.join(changed)} changed "
                "since, and has no effect; use warm_start=False",
                stacklevel=5,
            )

    def _trainer(self, samples: Samples, validation: Samples | None) -> Trainer:
        """A Trainer on these samples, where training has got to."""
        n = self._count
        if self.batch_size == "auto":
            batch_size = min(200, n)
        elif check_integer("batch_size", self.batch_size, 1) > n:
            warnings.warn(
                f"batch_size {self.batch_size} is more than the {n} samples; every update uses all "
                "of them",
                stacklevel=4,
            )
            batch_size = n
        else:
            batch_size = int(self.batch_size)
        self._follow_arguments()
        # As many updates in an epoch as without the merging of equal samples.
        batch_size = max(1, round(batch_size * len(samples) / n))
        self._network.l2 = self.alpha / n
        if minimizes(self) and self.optimizer is None:
            self._optimizer = choose_optimizer(self)  # as max_iter, tol and max_fun are now
        with warnings.catch_warnings():  # data are taken as they are, as scikit-learn takes them
            warnings.simplefilter("ignore", DataWarning)
            trainer = Trainer(
                self._network,
                samples,
                validation,
                optimizer=self._optimizer,
                batch_size=None if self._optimizer.full_batch else batch_size,
                seed=self._seed,
                threads=None,
                **{name: getattr(self, name) for name in OF_TRAINING},
            )
        trainer.lr = self._rate
        trainer.epochs = self._epochs
        trainer.steps = self._epochs * len(trainer.batches)
        return trainer

    def _minimize(self, trainer: Trainer, validation: Samples | None) -> None:
        """L-BFGS on all samples at once."""
        epoch = next(iter(trainer.run(1)))
        self._epochs = trainer.epochs
        loss, _ = trainer.evaluate(trainer.train)
        self.loss_ = self.best_loss_ = loss + epoch.penalty
        self.t_ += self._count
        self.n_iter_ += self._optimizer.iterated  # type: ignore[attr-defined]
        if validation is not None:
            self._validate(epoch, validation)
        if self._optimizer.iterated >= self.max_iter:  # type: ignore[attr-defined]
            self._warn_of_end()

    def _descend(
        self, trainer: Trainer, validation: Samples | None, epochs: int | None = None
    ) -> None:
        """Epoch after epoch, until nothing improves; `epochs` is set for partial_fit."""
        limit = check_integer("max_iter", self.max_iter, 1) if epochs is None else epochs
        self.stopped_ = False
        try:
            # Here and not in the Trainer: to ask for it every epoch takes a fifth of a small one.
            with limit_threads(self.n_threads), self._bar(limit) as advance:
                for epoch in trainer.run(limit, self.max_iter if epochs else None):
                    self._note(epoch, trainer, validation)
                    advance(self.loss_)
                    if self.stopped_:
                        break
                else:
                    if epochs is None:
                        self._warn_of_end()
        except KeyboardInterrupt:
            self._optimizer.to_evaluation(self._network.params)
            warnings.warn("Training interrupted by user.", stacklevel=3)
        if self._best_state is not None and (self.stopped_ or epochs is None):
            self._network.state_vector[:] = self._best_state

    def _warn_of_end(self) -> None:
        warnings.warn(
            f"Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged "
            "yet; raise max_iter",
            ConvergenceWarning,
            stacklevel=4,
        )

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
        self._made_with = {name: getattr(self, name) for name in MAKES}
        self._optimizer = choose_optimizer(self)
        self._rate = self._optimizer.lr
        self._waited = 0
        self._best, self._best_state = (-np.inf, np.inf), None
        self._frozen = False
        self._validated_with = None
