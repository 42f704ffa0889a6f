"""What the scikit-learn estimators have in common: arguments in, a Trainer at work, results out."""

import copy
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from scratchnet.checks import (
    Range,
    check_above_zero,
    check_dtype,
    check_integer,
    check_word,
)
from scratchnet.data import Samples
from scratchnet.environment import limit_threads
from scratchnet.errors import DataError
from scratchnet.estimator.repetitions import merge_equal
from scratchnet.layers import Affine, BatchNorm, Layer
from scratchnet.networks import EVALUATION_ROWS, MultiLayerNet
from scratchnet.optimizers import (
    EMA,
    LBFGS,
    OPTIMIZERS,
    SGD,
    Adam,
    Momentum,
    Nesterov,
    Optimizer,
    make_optimizer,
)
from scratchnet.parameters import Array
from scratchnet.randomness import generator
from scratchnet.registry import canonical
from scratchnet.schedules import Schedule, make_schedule
from scratchnet.storage.archive import read_archive, write_archive
from scratchnet.storage.checkpoint import build_network, place_weights
from scratchnet.training import Epoch, Trainer

SOLVERS = ("lbfgs", "sgd", "adam")
LEARNING_RATES = ("constant", "invscaling", "adaptive")
FORMAT = "scratchnet estimator"
SLOWEST = 1e-6
"""An adaptive rate that has fallen to this ends the training."""


MAKES = (
    *("hidden_layer_sizes", "activation", "solver", "learning_rate_init", "momentum"),
    *("nesterovs_momentum", "beta_1", "beta_2", "epsilon", "optimizer", "clip_norm", "clip_value"),
    *("ema", "initializer", "batch_norm", "layer_norm", "gamma", "dropout", "input_dropout"),
    *("noise", "input_noise", "max_norm", "standardize", "dtype"),
)
"""The arguments that the network and its optimizer are made with."""

NOT_SAVED = frozenset({"classes_", "_best_state", "_made_with"})


def is_plain(value: Any) -> bool:
    """Whether JSON can hold it once `to_plain`: numbers, words, None, lists and tables of them."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if isinstance(value, Mapping):
        return all(is_plain(v) for pair in value.items() for v in pair)
    if isinstance(value, np.ndarray):
        return is_plain(value.tolist())
    return value is None or isinstance(value, str | bool | int | float | np.generic)


def to_plain(value: Any) -> Any:
    """As JSON can hold it: a table as pairs, a number that is not finite as its name."""
    if isinstance(value, np.generic | np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {"pairs": [[to_plain(k), to_plain(v)] for k, v in value.items()]}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value


def from_plain(value: Any) -> Any:
    """What `to_plain` was given; tuples come back as lists."""
    if isinstance(value, list):
        return [from_plain(v) for v in value]
    if isinstance(value, dict) and set(value) == {"pairs"}:
        return {from_plain(k): from_plain(v) for k, v in value["pairs"]}
    if isinstance(value, dict) and set(value) == {"float"}:
        return float(value["float"])
    return {k: from_plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def _goes_by_batches(estimator: Any) -> bool:
    """Whether there is a partial_fit; raises AttributeError where there is none."""
    if estimator._minimizes():
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
        )
    return True


class NetworkEstimator(BaseEstimator, ABC):  # type: ignore[misc]
    """What the classifier and the regressor have in common: all but what the targets are."""

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] | int = (100,),
        activation: str | Sequence[str] = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        optimizer: str | Optimizer | None = None,
        schedule: str | Schedule = "constant",
        clip_norm: float | None = None,
        clip_value: float | None = None,
        ema: float | None = None,
        initializer: str | float | None = None,
        batch_norm: bool = False,
        layer_norm: bool = False,
        dropout: float | Sequence[float] = 0.0,
        input_dropout: float = 0.0,
        noise: float | Sequence[float] = 0.0,
        input_noise: float = 0.0,
        max_norm: float | None = None,
        standardize: str | None = None,
        gamma: bool = True,
        remeasure: int = 0,
        scoring: str | Callable[..., float] | None = None,
        callbacks: Sequence[Callable[..., Any]] | None = None,
        progress_bar: bool = False,
        dtype: str = "float32",
        n_threads: int | None = 1,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.optimizer = optimizer
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.ema = ema
        self.initializer = initializer
        self.batch_norm = batch_norm
        self.layer_norm = layer_norm
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.noise = noise
        self.input_noise = input_noise
        self.max_norm = max_norm
        self.standardize = standardize
        self.gamma = gamma
        self.remeasure = remeasure
        self.scoring = scoring
        self.callbacks = callbacks
        self.progress_bar = progress_bar
        self.dtype = dtype
        self.n_threads = n_threads

    # What a subclass knows: its targets.

    _classifies: ClassVar[bool]
    n_outputs_: int
    _best: tuple[float, float]
    """The highest validation score, and the validation loss of the best epoch."""
    _best_state: Array | None
    _validated_with: str | None
    """The digest of the validation samples that these are of."""

    @abstractmethod
    def _learn_targets(self, y: Array, classes: Any, partial: bool) -> None:
        """Set what is known of targets from the first fit on: classes, how many outputs."""

    @abstractmethod
    def _encode(self, y: Array) -> Array:
        """`y` as the loss takes it; `_decode` is the way back."""

    @abstractmethod
    def _decode(self, t: Array) -> Array:
        """Targets as the user knows them."""

    @abstractmethod
    def _loss(self) -> dict[str, Any]:
        """Name, labels and options of the loss, as arguments of MultiLayerNet."""

    @abstractmethod
    def _decide(self, outputs: Array) -> Array:
        """What to predict from network outputs (N, n_outputs_)."""

    @abstractmethod
    def _score_of(self, found: Array, y: Array, w: Array | None) -> float:
        """Accuracy or R2 of predictions."""

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
        earlier fit is gone on with: weights, optimizer and epochs as they were left.
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
        if self._minimizes():
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
        """Train for one epoch on X and y, going on from where the last call left off.

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
        X, t, repeats, n = merge_equal(X, t, weights)
        weights = self._weigh(t, repeats, partial)
        if weights is not None:
            # Of one call of partial_fit the mean says nothing: others may have other classes.
            weights = weights / (n / len(t) if partial else weights.mean())
        self._count = n  # samples to train with, repetitions counted
        if X_val is not None and y_val is not None:
            held_out = Samples(*self._arrays(X_val, y_val, False, None, partial))
            return Samples(X, t, weights=weights), held_out
        if X_val is not None or y_val is not None:
            raise ValueError("X_val and y_val must come together, one is None; give both or none")
        if self.early_stopping and not self._minimizes():
            return self._split(X, t, repeats, weights)
        return Samples(X, t, weights=weights), None

    def _split(
        self, X: Array, t: Array, repeats: Array | None, weights: Array | None
    ) -> tuple[Samples, Samples]:
        """What to train with and what to validate with, by class: repetitions part ways too."""
        times = np.ones(len(t)) if repeats is None else repeats
        if (times != np.rint(times)).any():  # shares, no repetitions
            times = np.ones(len(t))
        rows = np.repeat(np.arange(len(t)), times.astype(int))
        numbered = Samples(rows[:, np.newaxis], t[rows])
        kept, held = numbered.split(float(self.validation_fraction), self._seed)
        self._count = round(self._count * len(kept) / len(rows))
        return (
            self._part(X, t, weights, times, kept),
            self._part(X, t, weights, times, held),
        )

    def _part(
        self, X: Array, t: Array, weights: Array | None, times: Array, numbers: Samples
    ) -> Samples:
        """The samples of these numbers, each row with the share of its weight that is there."""
        found = np.bincount(numbers.x[:, 0].astype(int), minlength=len(t))
        chosen = found > 0
        w = None if weights is None else (weights * found / times)[chosen]
        return Samples(X[chosen], t[chosen], weights=w)

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
        names = [self.activation] if isinstance(self.activation, str) else list(self.activation)
        names = ["sigmoid" if name == "logistic" else name for name in names]
        self._network = MultiLayerNet(
            samples.x.shape[1],
            hidden,
            self.n_outputs_,
            names[0] if isinstance(self.activation, str) else names,
            "xavier-uniform" if self.initializer is None else self.initializer,
            seed=self._seed,
            dtype=self.dtype,
            batch_norm=self.batch_norm,
            layer_norm=self.layer_norm,
            noise=self.noise,
            dropout=self.dropout,
            input_noise=self.input_noise,
            input_dropout=self.input_dropout,
            gamma=self.gamma,
            max_norm=self.max_norm,
            standardize=self.standardize,
            **self._loss(),
        )
        if self.initializer is None:
            self._draw_as_scikit_learn()
        self._resume()
        self._epochs = 0
        self.n_iter_ = 0
        self.loss_ = np.inf
        self.n_layers_ = len(hidden) + 2
        self.t_ = 0
        self.stopped_ = False
        self.loss_curve_: list[float] = []
        self.validation_loss_curve_: list[float] = []
        self.best_loss_: float | None = None if self.early_stopping else np.inf
        self.validation_scores_: list[float] = []
        self.best_validation_score_: float | None = -np.inf if self.early_stopping else None

    def _draw_as_scikit_learn(self) -> None:
        """Weights and biases from U(-a, a), a^2 = 6 / (n_in + n_out), or 2 / ... under logistic."""
        factor = 2.0 if self.activation == "logistic" else 6.0
        for k, layer in enumerate(self._affine()):
            rng = generator(self._seed, "initialize", k)
            limit = math.sqrt(factor / (layer.n_in + layer.n_out))
            for name, array in layer.params.items():
                layer.params[name] = rng.uniform(-limit, limit, array.shape)

    def _make_optimizer(self) -> Optimizer:
        """The optimizer that `optimizer`, or else `solver` and its arguments, ask for."""
        around: dict[str, Any] = {"clip_norm": self.clip_norm, "clip_value": self.clip_value}
        around = {name: value for name, value in around.items() if value is not None}
        rate = self.learning_rate_init
        made: Optimizer
        if isinstance(self.optimizer, Optimizer):
            made = copy.deepcopy(self.optimizer)
        elif self.optimizer is not None:
            has_rate = canonical(OPTIMIZERS, self.optimizer, "optimizer") != "lbfgs"
            made = make_optimizer(self.optimizer, rate if has_rate else None, **around)
        elif self.solver == "lbfgs":
            return LBFGS(iterations=self.max_iter, tolerance=self.tol, evaluations=self.max_fun)
        elif self.solver == "adam":
            made = Adam(rate, self.beta_1, self.beta_2, self.epsilon, **around)
        elif not self.momentum:
            made = SGD(rate, **around)
        else:
            kind = Nesterov if self.nesterovs_momentum else Momentum
            made = kind(rate, self.momentum, **around)
        return made if self.ema is None else EMA(inner=made, decay=self.ema)

    def _follow_arguments(self) -> None:
        """Take over what has changed since the network was made, and warn of what cannot be."""
        changed = [name for name in MAKES if getattr(self, name) is not self._made_with[name]]
        changed = [name for name in changed if getattr(self, name) != self._made_with[name]]
        if "learning_rate_init" in changed:
            self._rate = self._made_with["learning_rate_init"] = self.learning_rate_init
            changed.remove("learning_rate_init")
        if changed:
            warnings.warn(
                f"training goes on with the network as it was made; {', '.join(changed)} changed "
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
        if self._minimizes() and self.optimizer is None:
            self._optimizer = self._make_optimizer()  # as max_iter, tol and max_fun are now
        with warnings.catch_warnings():  # bytes are taken as they are, as scikit-learn takes them
            warnings.filterwarnings("ignore", "x holds integers up to")
            trainer = Trainer(
                self._network,
                samples,
                validation,
                optimizer=self._optimizer,
                schedule=make_schedule(self.schedule),
                batch_size=None if self._optimizer.full_batch else batch_size,
                seed=self._seed,
                threads=None,
                shuffle=self.shuffle,
                remeasure=self.remeasure,
            )
        trainer.lr = self._rate
        trainer.epochs = self._epochs
        trainer.steps = self._epochs * len(trainer.batches)
        return trainer

    def _minimizes(self) -> bool:
        """Whether it is L-BFGS that trains, by all samples at once."""
        which = self.solver if self.optimizer is None else self.optimizer
        return isinstance(which, LBFGS) or (isinstance(which, str) and which.lower() == "lbfgs")

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
        """What to call with the loss after each epoch: it moves the bar, if there is to be one."""
        if not self.progress_bar:
            yield lambda loss: None
            return
        from tqdm.auto import tqdm

        with tqdm(total=total, unit="epoch", dynamic_ncols=True) as bar:

            def advance(loss: float) -> None:
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
                bar.update()

            yield advance

    def _note(self, epoch: Epoch, trainer: Trainer, validation: Samples | None) -> None:
        """Note down what an epoch came to, and whether it was the last."""
        self._epochs = epoch.number
        self.t_ += self._count
        self.loss_ = epoch.loss + epoch.penalty
        self.loss_curve_.append(self.loss_)
        self.n_iter_ = len(self.loss_curve_)
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
        if self._waited > self.n_iter_no_change:
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
        if self.learning_rate == "adaptive" and self._has_rates() and self._rate > SLOWEST:
            self._rate = trainer.lr = self._rate / 5
            self._waited = 0
            if self.best_loss_ is not None:
                self.best_loss_ = np.inf  # so that one lucky epoch lowers the rate but once
        else:
            self.stopped_ = True

    def _watch_loss(self) -> None:
        best = np.inf if self.best_loss_ is None else self.best_loss_
        self._waited = self._waited + 1 if self.loss_ > best - self.tol else 0
        self.best_loss_ = min(best, self.loss_)

    def _watch_score(self) -> None:
        """Compare the last score with the highest, and keep the weights of a better epoch.

        Of epochs within tol of the highest score, which on few samples are many, the one with the
        lowest validation loss is best; while that still falls by tol training waits.
        """
        score, loss = self.validation_scores_[-1], self.validation_loss_curve_[-1]
        highest, lowest = self._best
        level = score >= highest - self.tol
        improved = score >= highest + self.tol or (level and loss < lowest - self.tol)
        self._waited = 0 if improved else self._waited + 1
        if improved or (level and loss < lowest):
            self.best_validation_score_ = score
            self._best_state = self._network.state_vector.copy()
            self._best = (max(score, highest), loss)
        else:
            self._best = (max(score, highest), lowest)

    def _validate(self, epoch: Epoch, validation: Samples) -> None:
        """Loss and score on the validation samples."""
        loss = np.inf if epoch.val_loss is None else epoch.val_loss
        self.validation_loss_curve_.append(loss)
        if self.scoring == "loss":
            score = -loss
        elif self.scoring is None:
            outputs = self._outputs(validation.x, self._network)
            score = self._score_of(
                self._decide(outputs), self._decode(validation.t), validation.weights
            )
        else:
            plain = copy.copy(self)  # these arrays have no column names to be missed
            if hasattr(plain, "feature_names_in_"):
                del plain.feature_names_in_
            scorer = check_scoring(plain, self.scoring)
            score = scorer(plain, validation.x, self._decode(validation.t))
        if not math.isfinite(score):
            warnings.warn(
                f"the validation score is {score}, which can be no best one; validate with more "
                "samples",
                stacklevel=6,
            )
            score = -np.inf
        self.validation_scores_.append(float(score))
        if self.verbose:
            print(f"Validation score: {score:.6f}")

    # A file instead of a pickle.

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to a file of arrays and JSON, which runs no code when read.

        Arguments that are objects, as callbacks or an Optimizer, are left out, and so is what the
        optimizer remembers: training goes on anew from the weights. Raises NotFittedError before
        `fit`, OutputError where it cannot be written.
        """
        check_is_fitted(self)
        params = {**self.get_params(deep=False), "dtype": np.dtype(self.dtype).name}
        fitted = {n: v for n, v in vars(self).items() if n not in params and n not in NOT_SAVED}
        header = {
            "format": FORMAT,
            "class": type(self).__name__,
            "params": {name: to_plain(v) for name, v in params.items() if is_plain(v)},
            "network": self._network.config(),
            "fitted": {name: to_plain(v) for name, v in fitted.items() if is_plain(v)},
            "classes": to_plain(getattr(self, "classes_", None)),
            "dtype of classes": getattr(self, "classes_", np.empty(0)).dtype.str,
        }
        write_archive(path, {**self._network.params, **self._network.statistics}, header)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The estimator in a file of `save`; raises DataError where it is damaged or another's."""
        arrays, header = read_archive(path)
        if (header.get("format"), header.get("class")) != (FORMAT, cls.__name__):
            raise DataError(
                f"{str(path)!r} must be a file of {cls.__name__}.save, its header says "
                f"{header.get('format')!r}, {header.get('class')!r}"
            )
        try:
            made = cls(**from_plain(header["params"]))
            made._resume()
            made.__dict__.update(from_plain(header["fitted"]))
            if header["classes"] is not None:
                made.classes_ = np.array(header["classes"], header["dtype of classes"])
            if hasattr(made, "feature_names_in_"):
                made.feature_names_in_ = np.array(made.feature_names_in_, dtype=object)
            network = build_network(header["network"], sum(a.size for a in arrays.values()))
            place_weights(str(path), arrays, network)
            made._network = network
            made._best = (made._best[0], made._best[1])
            if np.isfinite(made._best[0]):
                made._best_state = network.state_vector.copy()
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{str(path)!r} does not fit: {error}; take another copy") from error
        return made

    def _resume(self) -> None:
        """What training goes on with that is not in a file."""
        self._made_with = {name: getattr(self, name) for name in MAKES}
        self._optimizer = self._make_optimizer()
        self._rate = self._optimizer.lr
        self._waited = 0
        self._best, self._best_state = (-np.inf, np.inf), None
        self._frozen = False
        self._validated_with = None

    # What a fitted estimator gives.

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is a network, which a refit that was refused leaves none of."""
        return "_network" in vars(self)

    def _outputs(self, X: Array, network: MultiLayerNet) -> Array:
        """What `network` puts out for X (N, D), (N, n_outputs_), converted batch by batch."""
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
