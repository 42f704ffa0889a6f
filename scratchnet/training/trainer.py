"""The Trainer: mini-batch training with an optimizer, one epoch after the other."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer, check_word
from scratchnet.data import Augmentation, Batches, Samples
from scratchnet.environment import describe, limit_threads, processors
from scratchnet.errors import DivergenceError, ParameterError, ShapeError
from scratchnet.layers import Layer
from scratchnet.networks import EVALUATION_ROWS, Network, hint_at_scale
from scratchnet.optimizers import Optimizer, make_optimizer
from scratchnet.parallel import Parallel, Part, fingerprint
from scratchnet.parameters import Array
from scratchnet.randomness import generator
from scratchnet.schedules import Plateau, Schedule, make_schedule
from scratchnet.storage.checkpoint import restore_checkpoint, save_checkpoint

Data = Samples | tuple[npt.ArrayLike, npt.ArrayLike]
OnStep = Callable[[int, float], object]
PRODUCTS_A_THREAD = 1 << 25
"""Multiplications of a matrix product from which on a thread of BLAS is worth its while."""
MONITORS = ("val_loss", "val_accuracy")


@dataclass(frozen=True)
class Epoch:
    """What one epoch, every training sample once, came to."""

    number: int
    """Epochs completed, this one included: 1 for the first."""
    steps: int
    """Updates since the start."""
    loss: float
    """Mean training loss of the forward passes that gave the gradients, penalty left out."""
    accuracy: float
    """Share of training samples that those same passes classified rightly."""
    penalty: float
    """The L2 penalty on the weights at the end of the epoch."""
    val_loss: float | None
    """Mean loss on the validation samples at the end of the epoch; None without any."""
    val_accuracy: float | None
    """Accuracy on the validation samples at the end of the epoch; None without any."""
    seconds: float
    """Wall time of the training steps; evaluation is not counted."""
    samples_per_second: float
    """Training samples per second of that time."""
    lr: float
    """Learning rate of the last step."""


class Trainer:
    """Trains `network` on `train` with an optimizer by name, or one that is ready made.

    `train` and `validation` are Samples, or pairs (x, t). `lr` is None for the optimizer's own
    default; `schedule`, by name or a Schedule, multiplies it step by step over the planned run.
    `batch_size` is None for 100, or for all samples where the optimizer means all. Every epoch
    visits each training sample once, in an order drawn from `seed` and the number of the epoch, or
    with shuffle=False as they stand; the last batch is as short as it must be. `augment` distorts
    each batch of images before it is trained on. `remeasure` is how many training samples running
    statistics are measured on anew after each epoch, undisturbed and at the weights meant for
    evaluation; with 0 they are those of the training steps. `threads` is how many BLAS may
    use: on a machine that is busy with anything else a second one makes small
    networks many times slower. "auto" goes by the sizes alone, as `suggest_threads` says; None
    leaves it as it is. `on_step(step, loss)` is called after every update; `options` are the
    optimizer's.

    `parallel`, as MPIGradients(comm), shares every batch between ranks, each of which makes its
    own Trainer with the same arguments: the course of training is that of one process, to
    rounding, and the same bits for the same number of ranks. All of them must run the same epochs,
    and leave the loop after the same one; `evaluate` is each rank's own affair.

    Between epochs the network holds the weights meant for evaluation, which for a few optimizers
    are an average of those that training goes on from.

    >>> trainer = Trainer(network, train, validation, optimizer="adam")
    >>> for epoch in trainer.run(epochs=20):
    ...     print(epoch.number, epoch.val_accuracy)

    Raises ParameterError, ShapeError or DtypeError where an option or the data do not fit.
    """

    def __init__(
        self,
        network: Network,
        train: Data,
        validation: Data | None = None,
        *,
        optimizer: str | Optimizer = "adam",
        lr: float | None = None,
        schedule: str | Schedule = "constant",
        batch_size: int | None = None,
        seed: int = 0,
        threads: int | str | None = "auto",
        shuffle: bool = True,
        augment: Augmentation | None = None,
        remeasure: int = 0,
        on_step: OnStep | None = None,
        parallel: Parallel | None = None,
        **options: Any,
    ) -> None:
        self.network = network
        self.train = _fit(network, "train", train)
        if self.train.scale == 1.0:
            hint_at_scale(self.train.x[: self.train.block_rows])
        network.observe(self.train.x, self.train.t, self.train.scale, self.train.weights)
        self.validation = None if validation is None else _fit(network, "validation", validation)
        self.optimizer = make_optimizer(optimizer, lr, **options)
        self.lr = self.optimizer.lr  # what the schedule multiplies
        self._optimizer_config = self.optimizer.config()  # before any schedule changes a rate
        self.schedule = make_schedule(schedule)
        if isinstance(self.schedule, Plateau) and self.validation is None:
            raise ParameterError("the schedule plateau needs validation samples, there are none")
        self.batches = Batches(self.train, self._batch_size(batch_size), network.dtype)
        self.seed = check_integer("seed", seed, 0)
        self._noisy = any(layer.rng is not None for layer in network.layers)
        # One rank by itself has nobody to share with.
        self.parallel = None if parallel is None or parallel.size == 1 else parallel
        self.threads = self._threads(threads)
        self.shuffle = shuffle
        self.augment = augment
        self.remeasure = check_integer("remeasure", remeasure, 0)
        if self.remeasure == 1:
            raise ParameterError("remeasure must be 0, or 2 samples or more, which have a variance")
        self.on_step = on_step
        self.epochs = 0  # completed
        self.steps = 0
        self.history: list[Epoch] = []
        self._loss_sum, self._right = 0.0, 0  # over the samples of the epoch visited so far
        if self.parallel is not None:
            self._begin_alike(self.parallel)

    @property
    def ranks(self) -> int:
        """How many ranks share each batch."""
        return 1 if self.parallel is None else self.parallel.size

    @property
    def batch_stats(self) -> str:
        """Whether layers measure whole batches, "all", or each rank its own rows, "rank"."""
        if self.parallel is None or not self._measures():
            return "all"
        return self.parallel.batch_stats

    def run(self, epochs: int, planned: int | None = None) -> Iterator[Epoch]:
        """Train for that many epochs more, giving each as it ends; stop by leaving the loop.

        The schedule runs over all epochs from the first on: to the last of these, or where there
        will be others later over the number `planned`.

        An epoch that was broken off, by an exception or a checkpoint, is gone on with and counts as
        the first of them. Raises ParameterError unless epochs is an integer >= 1, and, while it
        runs, DivergenceError at the first step whose loss or gradient is not finite.
        """
        last = self.epochs + check_integer("epochs", epochs, 1)
        if planned is not None:
            last = max(last, check_integer("planned", planned, 1))
        if self.parallel is not None:
            self.parallel.agree({"epochs to run": [self.epochs, epochs, last]})
        return (self._run_epoch(last * len(self.batches)) for _ in range(epochs))

    def _batch_size(self, given: int | None) -> int:
        """The batch size, by default 100, or all samples for optimizers that mean all of them."""
        if not self.optimizer.full_batch:
            return 100 if given is None else given
        if given is not None and check_integer("batch_size", given, 1) < len(self.train):
            name = type(self.optimizer).__name__
            raise ParameterError(
                f"{name} means the gradient of all samples: batch_size must be at least "
                f"{len(self.train)}, got {given}; leave it out"
            )
        return len(self.train)

    def _threads(self, given: int | str | None) -> int | None:
        if isinstance(given, str):
            check_word("threads", given, ("auto",))
            if self.parallel is not None:
                return 1  # there are others on the same processors
            return suggest_threads(self.network, min(self.batches.batch_size, len(self.train)))
        return None if given is None else check_integer("threads", given, 1)

    def _begin_alike(self, parallel: Parallel) -> None:
        """Raise ParameterError where the ranks could not work together, or would not be alike."""
        rows = min(self.batches.batch_size, len(self.train))
        if parallel.size > rows:
            raise ParameterError(
                f"each rank needs a row of a batch, got {parallel.size} ranks for batches of "
                f"{rows}; start fewer ranks, or take larger batches"
            )
        network = self.network
        if self._measures() and parallel.batch_stats == "rank" and rows < 2 * parallel.size:
            raise ParameterError(
                "statistics of each rank's rows need two rows a rank, got batches of "
                f"{rows} for {parallel.size} ranks; take larger batches, or batch_stats='all'"
            )
        about = describe()
        parallel.agree(
            {
                **self.settings(),
                "layers": [_options(layer) for layer in network.layers],
                "loss": repr(network.loss_layer),
                "l2": network.l2,
                "dtype": network.dtype,
                "starting weights": fingerprint(network.state_vector),
                "version of NumPy": about["numpy"],
                # Of which kernels round differently: then so would clipping and penalties.
                "BLAS": [(pool["version"], pool["architecture"]) for pool in about["blas"]],
            }
        )

    def _measures(self) -> bool:
        return any(layer.measures for layer in self.network.layers)

    def _run_epoch(self, planned: int) -> Epoch:
        """The rest of an epoch, of training that is planned to end after so many steps."""
        params = self.network.params
        with limit_threads(self.threads):
            self.optimizer.to_training(params)
            seconds = self._visit_all(planned)
            self.optimizer.to_evaluation(params)
            if self.remeasure:
                samples = self.train.first(min(self.remeasure, len(self.train)))
                pieces = -(-len(samples) // EVALUATION_ROWS)  # of one size, as all count alike
                batches = Batches(samples, -(-len(samples) // pieces), self.network.dtype)
                self.network.measure(x for x, _ in batches.in_order())
            self.epochs += 1
            if self.parallel is not None:  # they would have drifted apart without a sound
                self.parallel.agree({"parameters": fingerprint(self.network.state_vector)})
            val_loss, val_accuracy = self._validate()
        n, penalty = len(self.train), self.network.penalty()
        lr = self._lr_of_step(self.steps - 1, planned)
        self._require_finite("penalty", penalty)
        if val_loss is not None:
            self.schedule.observe(val_loss)
        epoch = Epoch(
            self.epochs,
            self.steps,
            self._loss_sum / n,
            self._right / n,
            penalty,
            val_loss,
            val_accuracy,
            seconds,
            n / seconds,
            lr,
        )
        self.history.append(epoch)
        return epoch

    def _validate(self) -> tuple[float | None, float | None]:
        """Loss and accuracy on the validation samples, if there are any; ranks share the work."""
        if self.validation is None:
            return None, None
        if self.parallel is None:
            return self.evaluate(self.validation)
        return self._evaluate(self.validation, self.parallel)

    def _visit_all(self, planned: int) -> float:
        """Visit what is left of the epoch's samples; returns the seconds it took."""
        start = time.perf_counter()
        done = self.steps - self.epochs * len(self.batches)
        if not done:
            self._loss_sum, self._right = 0.0, 0
        seed = self.seed if self.shuffle else None
        # What overflows ends in a loss that is not finite, which is reported with its step.
        with np.errstate(over="ignore", invalid="ignore"):
            for index in self.batches.epoch(seed, self.epochs, done):
                part = None if self.parallel is None else self.parallel.part(len(index))
                x, t, w = self._gather(index, part)
                among = () if part is None else (part,)
                if self.augment is not None:
                    x = self.augment(x, generator(self.seed, "augment", self.steps), *among)
                self.optimizer.lr = self._lr_of_step(self.steps, planned)
                loss, right = self.step(x, t, w, *among)
                self._loss_sum += loss * len(index)
                self._right += right
                self.steps += 1
                if self.on_step is not None:
                    self.on_step(self.steps, loss)
        return time.perf_counter() - start

    def _gather(
        self, index: npt.NDArray[np.intp], part: Part | None
    ) -> tuple[Array, Array, Array | None]:
        """The samples `index` of a batch, x, t and w, or the part of them that is this rank's."""
        own = index if part is None else index[part.rows]
        x, t = self.batches.gather(own if len(own) else index[:1])
        return x[: len(own)], t[: len(own)], self.batches.weights(own)

    def _lr_of_step(self, step: int, planned: int) -> float:
        """The rate at the middle of the step's share of progress, where no schedule gives 0."""
        return self.lr * self.schedule((step + 0.5) / planned)

    def step(
        self, x: Array, t: Array, w: Array | None = None, part: Part | None = None
    ) -> tuple[float, int]:
        """One update on a batch as `Batches` gives it: its loss, and rows right, before the update.

        `part` says which rows of a batch these are, where ranks share it. Raises DivergenceError,
        naming step and place, instead of updating where the loss or the gradient is not finite.
        """
        network = self.network
        loss, right = self._loss_and_gradient(x, t, w, part)
        if not math.isfinite(loss):
            raise DivergenceError(self._divergence(x, f"the loss is {loss}"))
        # One product of the gradient with itself: not finite, or beyond all reason, if any part is.
        if not math.isfinite(np.dot(network.gradient_vector, network.gradient_vector)):
            raise DivergenceError(self._divergence(x, "the gradient is not finite or beyond 1e19"))
        self.optimizer.update(
            network.params, network.grads, partial(self._look_again, x, t, w, part)
        )
        network.constrain()
        return loss, right

    def _renew_noise(self) -> None:
        """Hand out the random numbers of this step, to those layers that draw any."""
        if self._noisy:
            self.network.set_rng(generator(self.seed, "noise", self.steps))

    def _loss_and_gradient(
        self, x: Array, t: Array, w: Array | None, part: Part | None
    ) -> tuple[float, int]:
        """Mean loss of a batch, and how many rows are right; its gradient is in `grads` then."""
        network = self.network
        self._renew_noise()
        if part is None or self.parallel is None:
            loss = network.forward(x, t, w, train=True)
            right = network.loss_layer.count_correct()
            network.backward()
            return loss, right
        network.take_part(part)
        try:
            loss = network.forward(x, t, w, train=True)
            right = network.loss_layer.count_correct()
            network.backward(part.share)
        finally:
            network.take_part(None)
        self.parallel.add_up(network.gradient_vector)
        sums = np.array([part.share * loss, right])
        self.parallel.add_up(sums)
        if part.add_up is None and self._measures():
            self._average_statistics(self.parallel, len(x))
        return float(sums[0]), int(sums[1])

    def _average_statistics(self, parallel: Parallel, n: int) -> None:
        """The mean over all rows of what layers have measured, each rank of its own n.

        A single row has no variance: a rank that has no more of them has measured nothing.
        """
        weight = n if n > 1 else 0
        total = np.array([float(weight)])
        parallel.add_up(total)
        for layer in self.network.layers if total[0] else ():
            for array in layer.statistics.values() if layer.measures else ():
                array *= weight
                parallel.add_up(array)
                array /= total[0]

    def _look_again(self, x: Array, t: Array, w: Array | None, part: Part | None) -> float:
        """Loss and gradient of the same batch, under the same noise, at changed parameters.

        What layers measure stays as the first pass over the batch left it.
        """
        network = self.network
        measured = network.state_vector[network.vector.size :]
        kept = measured.copy()
        loss, _ = self._loss_and_gradient(x, t, w, part)
        measured[:] = kept
        return loss + network.penalty()

    def evaluate(self, samples: Data) -> tuple[float, float]:
        """The mean loss, penalty left out, and the accuracy on all of `samples`.

        Raises DivergenceError where the loss is not finite.
        """
        return self._evaluate(_fit(self.network, "samples", samples), None)

    def _evaluate(self, samples: Samples, parallel: Parallel | None) -> tuple[float, float]:
        """Loss and accuracy; where there are ranks to share it, each takes some of the batches."""
        rank, ranks = (0, 1) if parallel is None else (parallel.rank, parallel.size)
        sums = np.zeros(2)  # of the losses, and of the rows that are right
        quiet = np.errstate(over="ignore", invalid="ignore")
        with limit_threads(self.threads), quiet:
            batches = Batches(samples, EVALUATION_ROWS, self.network.dtype)
            for k, (x, t) in enumerate(batches.in_order(rank, ranks)):
                start = (rank + k * ranks) * EVALUATION_ROWS
                w = batches.weights(slice(start, start + len(t)))
                loss = self.network.forward(x, t, w) * len(t)
                sums += (loss, self.network.loss_layer.count_correct())
        if parallel is not None:
            parallel.add_up(sums)
        total, correct = sums.tolist()
        self._require_finite("loss", total)
        count = len(samples) if samples.weights is None else float(samples.weights.sum())
        return total / count, correct / len(samples)

    def _require_finite(self, name: str, value: float) -> None:
        """Raise DivergenceError where it is not a step but its outcome that is not finite."""
        if not math.isfinite(value):
            raise DivergenceError(
                f"training diverged by step {self.steps}: the {name} is {value}; {self._advice()}"
            )

    def _advice(self) -> str:
        default: Any = type(self.optimizer).__dataclass_fields__["lr"].default
        usual = self.optimizer.lr / 10
        if default is not None:  # a wrapper's is that of the optimizer within
            usual = min(default, usual)
        return f"try an lr below {self.optimizer.lr:g}, such as {usual:g}"

    def _divergence(self, x: Array, what: str) -> str:
        """Say where values are not finite: in a parameter, behind a layer, or in a gradient."""
        return (
            f"training diverged at step {self.steps + 1}: {what}, {self._place(x)} is not finite; "
            f"{self._advice()}"
        )

    def _place(self, x: Array) -> str:
        for name, array in self.network.params.items():
            if not np.isfinite(array).all():
                return f"the parameter {name}"
        for k, layer in enumerate(self.network.layers, 1):
            x = layer.forward(x)
            if not np.isfinite(x).all():
                return f"the output of layer {k}, {layer!r},"
        for name, array in self.network.grads.items():
            if not np.isfinite(array).all():
                return f"the gradient of {name}"
        return "their sum of squares"

    # Checkpoints.

    def save(self, path: str | Path, stopping: "EarlyStopping | None" = None) -> None:
        """Write a checkpoint: all that training goes on from; `stopping` too, if there is one.

        Where there are ranks, the first writes, and the others do nothing. Raises OutputError
        where it cannot be written, DivergenceError where a value is not finite.
        """
        if self.parallel is not None and self.parallel.rank > 0:
            return
        with limit_threads(self.threads):  # which the checkpoint notes down
            save_checkpoint(path, self, stopping)

    def resume(
        self,
        path: str | Path,
        stopping: "EarlyStopping | None" = None,
        *,
        override: bool = False,
    ) -> list[str]:
        """Go on from a checkpoint, to the bits of a run that was never broken off.

        The Trainer must be made with the same options and data; where there are ranks, each reads
        the file. Returns what is different and may change the last bits, as the version of NumPy.
        Raises DataError where the file is damaged or of another network, ParameterError where
        options or data differ, unless `override`.

        >>> trainer = Trainer(network, train, validation, optimizer="adam")
        >>> notes = trainer.resume("checkpoint-00001230.npz")
        >>> for epoch in trainer.run(epochs=20 - trainer.epochs):
        ...     print(epoch.number, epoch.val_accuracy)
        """
        with limit_threads(self.threads):
            notes = restore_checkpoint(path, self, stopping, override=override)
        if self.parallel is not None:
            vector = self.network.state_vector
            self.parallel.agree({"checkpoint": [self.steps, fingerprint(vector)]})
        return notes

    def settings(self) -> dict[str, Any]:
        """All that the course of training depends on besides the network: options and data."""
        return {
            "optimizer": self._optimizer_config,
            "schedule": self.schedule.config(),
            "batch_size": self.batches.batch_size,
            "seed": self.seed,
            "train": self.train.digest(),
            "validation": None if self.validation is None else self.validation.digest(),
            "shuffle": self.shuffle,
            "remeasure": self.remeasure,
            "augment": None if self.augment is None else self.augment.config(),
        }

    def state(self) -> dict[str, Any]:
        """All that training goes on from, besides the parameters: plain data and arrays.

        Wall times are not part of it, so that equal courses have equal states.
        """
        return {
            "steps": self.steps,
            "epochs": self.epochs,
            "loss_sum": self._loss_sum,
            "right": self._right,
            "optimizer": self.optimizer.state(),
            "schedule": self.schedule.state(),
            "history": [
                asdict(replace(epoch, seconds=0.0, samples_per_second=0.0))
                for epoch in self.history
            ],
        }

    def restore(self, state: Mapping[str, Any], times: Sequence[float]) -> None:
        """Go on from what `state` gave; `times` are the seconds of the epochs in its history."""
        self.steps, self.epochs = state["steps"], state["epochs"]
        self._loss_sum, self._right = state["loss_sum"], state["right"]
        self.optimizer.restore(state["optimizer"])
        self.schedule.restore(state["schedule"])
        self.history = [
            replace(Epoch(**row), seconds=seconds, samples_per_second=len(self.train) / seconds)
            for row, seconds in zip(state["history"], times, strict=True)
        ]


class EarlyStopping:
    """Keeps the weights of the best epoch, and notices when there has been no better for long.

    Better is a lower "val_loss" or a higher "val_accuracy", as `monitor` says. `patience` None
    never stops.

    >>> stopping = EarlyStopping(network, patience=5)
    >>> for epoch in trainer.run(100):
    ...     if stopping.should_stop(epoch):
    ...         break
    >>> stopping.restore_best()

    Raises ParameterError for a patience that is not an integer >= 1, or an unknown monitor.
    """

    def __init__(self, network: Network, patience: int | None, monitor: str = "val_loss") -> None:
        if monitor not in MONITORS:
            raise ParameterError(f"monitor must be one of {', '.join(MONITORS)}, got {monitor!r}")
        self.network = network
        self.patience = None if patience is None else check_integer("patience", patience, 1)
        self.monitor = monitor
        self.best: float | None = None
        self.best_epoch = 0
        self.weights = network.state_vector.copy()

    def should_stop(self, epoch: Epoch) -> bool:
        """True when `patience` epochs, this one included, brought no better one.

        Raises ParameterError where the Trainer has no validation samples.
        """
        value = getattr(epoch, self.monitor)
        if value is None:
            raise ParameterError("early stopping needs validation samples, the Trainer has none")
        if self.best is None or (
            value < self.best if self.monitor == "val_loss" else value > self.best
        ):
            self.best, self.best_epoch = value, epoch.number
            self.weights[:] = self.network.state_vector
        return self.is_over(epoch.number)

    def is_over(self, number: int) -> bool:
        """True when `patience` epochs have passed at epoch `number` since the best one."""
        return self.patience is not None and number - self.best_epoch >= self.patience

    def restore_best(self) -> None:
        """Give the network the weights of the best epoch seen; before any, those it had."""
        self.network.state_vector[:] = self.weights

    def state(self) -> dict[str, Any]:
        """The best value, its epoch and its weights."""
        return {"best": self.best, "best_epoch": self.best_epoch, "weights": self.weights.copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what `state` gave."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.weights[:] = state["weights"]


def suggest_threads(network: Network, batch_size: int) -> int:
    """How many threads pay for batches of that size: one for each 2^25 products of the largest.

    A matrix product of x (B, n) and W (n, m) takes B n m multiplications; a thread that has fewer
    than 2^25 of them to do spends much of its time on waiting for the others. At least 1, at most
    one a processor: a rule of sizes and not of timing, as the last bits depend on the number.
    """
    largest = max(
        (math.prod(shape) for layer in network.layers for shape in layer.shapes.values()), default=0
    )
    return max(1, min(batch_size * largest // PRODUCTS_A_THREAD, processors()))


def _options(layer: Layer) -> dict[str, Any]:
    """What kind of layer it is, and its options as far as they are plain values."""
    plain = {k: v for k, v in vars(layer).items() if isinstance(v, bool | int | float | str)}
    return {"class": type(layer).__name__, **plain}


def _fit(network: Network, name: str, data: Data) -> Samples:
    """`data` as Samples whose shape and labels fit the network; raises ShapeError."""
    samples = data if isinstance(data, Samples) else Samples(*data)
    n_in, n_out = network.input_size, network.output_sizes[-1]
    if samples.x.shape[1] != n_in:
        raise ShapeError(
            f"{name} must have the {n_in} columns that the network takes, got {samples.x.shape[1]}"
        )
    network.loss_layer.check_targets(samples.t, len(samples), n_out)
    return samples
