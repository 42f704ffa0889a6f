"""The Trainer: mini-batch training with an optimizer, one epoch after the other."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.checks import check_integer
from scratchnet.data import Batches
from scratchnet.data.batches import Labels
from scratchnet.environment import limit_threads
from scratchnet.networks import Network
from scratchnet.optimizers import make_optimizer
from scratchnet.options import options_of, show_options
from scratchnet.parallel.ranks import Parallel
from scratchnet.randomness import generator
from scratchnet.training.border import Data, choose_batch_size, choose_schedule, fit_data, prepare
from scratchnet.training.divergence import check_result, check_step
from scratchnet.training.epoch import Epoch, History, OnStep
from scratchnet.training.evaluation import evaluate, remeasure
from scratchnet.training.options import TrainingOptions
from scratchnet.training.parts import Parts
from scratchnet.training.program import Programs
from scratchnet.training.sharing import Alone, Batch, check_alike, check_start, gather, sum_ranks
from scratchnet.training.state import restore_state, settings_of, state_of
from scratchnet.training.stopping import EarlyStopping
from scratchnet.training.threads import choose_threads, count_parts

TRAINER = options_of(TrainingOptions)
"""The options of a Trainer; all others are the optimizer's."""


class Trainer:
    """Trains `network` on `train`; between epochs it holds the weights meant for evaluation.

    train, validation: Samples, or pairs (x, t).
    optimizer: a name, with its `options`, or an Optimizer.
    lr: the base rate, above 0; None for the optimizer's own default.
    schedule: a name or a Schedule, which multiplies lr step by step over the planned run.
    batch_size: from 1; None for 100, or for all samples if the optimizer needs all of them.
    seed: from 0; with the number of the epoch it gives the order of the samples.
    threads: of BLAS, from 1; "auto" is what `suggest_threads` says, None leaves it as it is.
    shuffle: False keeps the order of the samples.
    augment: distorts each batch of images before its step.
    remeasure: after each epoch, running statistics are computed again from that many training
        samples, without noise, at the weights meant for evaluation; 0 keeps those of training.
    on_step: on_step(step, loss) is called after every update; a `Watch` may be called late.
    parallel: for example MPIGradients(comm), which shares every batch between ranks. Each makes a
        Trainer with the same arguments and runs the same epochs; it is one training, to rounding.

    >>> trainer = Trainer(network, train, validation, optimizer="adam")
    >>> for epoch in trainer.run(epochs=20):
    ...     print(epoch.number, epoch.val_accuracy)

    Raises ParameterError, ShapeError or DtypeError if an option or the data do not fit.
    """

    def __init__(
        self,
        network: Network,
        train: Data,
        validation: Data | None = None,
        *,
        on_step: OnStep | None = None,
        parallel: Parallel | None = None,
        **options: Any,
    ) -> None:
        own = {name: options.pop(name) for name in TRAINER if name in options}
        given = TrainingOptions(**own)
        self.network = network
        self.train, self.validation = prepare(network, train, validation)
        self.optimizer = make_optimizer(given.optimizer, given.lr, **options)
        self.lr = self.optimizer.lr  # the base rate; the optimizer's own is that of the step
        self._optimizer_config = self.optimizer.config()
        self.schedule = choose_schedule(given.schedule, self.validation)
        batch_size = choose_batch_size(given.batch_size, self.optimizer, len(self.train))
        self.batches = Batches(self.train, batch_size, network.dtype)
        self.seed, self.shuffle = given.seed, given.shuffle
        self.augment, self.remeasure = given.augment, given.remeasure
        self.on_step = on_step
        self.epochs, self.steps = 0, 0  # completed
        self.history = History()
        self.ahead = 0  # how many steps more the weights have than `steps`, within on_step
        self._programs = Programs()
        self._loss_sum, self._right = 0.0, 0  # over the samples of this epoch so far
        self._draws = any(layer.rng is not None for layer in network.all_layers)
        self.parallel = Alone() if parallel is None or parallel.size == 1 else parallel
        rows = min(batch_size, len(self.train))
        self.threads = choose_threads(given.threads, network, rows, self.ranks)
        self.parts = count_parts(self.threads, network, self.ranks)  # threads that share a batch
        self._parts = Parts(network, self.parts)
        if self.ranks > 1:
            check_start(self.parallel, network, rows, settings_of(self))

    def run(self, epochs: int, planned: int | None = None) -> Iterator[Epoch]:
        """Train for `epochs` more epochs in a loop, which gets each as it ends and may be left.

        The schedule spans all epochs from the first to the last of these, or to number `planned` if
        more will follow. An interrupted epoch is resumed, and counts as one. Raises ParameterError
        unless epochs is an integer >= 1, DivergenceError if a loss or gradient is not finite.
        """
        last = self.epochs + check_integer("epochs", epochs, 1)
        if planned is not None:
            last = max(last, check_integer("planned", planned, 1))
        self.parallel.check_equal({"epochs to run": [self.epochs, epochs, last]})
        return (self._run_epoch(last * len(self.batches)) for _ in range(epochs))

    def _run_epoch(self, planned: int) -> Epoch:
        """The rest of an epoch, in training that is planned to end after so many steps."""
        network = self.network
        with limit_threads(self.blas_threads):
            self.optimizer.to_training(network.params)
            seconds = self._visit_batches(planned)
            self.optimizer.to_evaluation(network.params)
            if self.remeasure:
                remeasure(network, self.train, self.remeasure)
            self.epochs += 1
            check_alike(self.parallel, network, "parameters")
            val_loss = val_accuracy = None
            if self.validation is not None:
                val_loss, val_accuracy = evaluate(
                    network, self.validation, self.parallel, self.parts
                )
                check_result("loss", val_loss, self.optimizer, self.steps)
        n, penalty = len(self.train), network.penalty()
        lr = self._lr_of_step(self.steps - 1, planned)
        check_result("penalty", penalty, self.optimizer, self.steps)
        if val_loss is not None:
            self.schedule.observe(val_loss)
        loss, accuracy, speed = self._loss_sum / n, self._right / n, n / seconds
        results = (loss, accuracy, penalty, val_loss, val_accuracy, seconds, speed, lr)
        epoch = Epoch(self.epochs, self.steps, *results)
        self.history.append(epoch)
        return epoch

    def _visit_batches(self, planned: int) -> float:
        """A step with each batch that is left of the epoch; returns the seconds it took."""
        start = time.perf_counter()
        done = self.steps - self.epochs * len(self.batches)
        if not done:
            self._loss_sum, self._right = 0.0, 0
        seed = self.seed if self.shuffle else None
        # An overflow ends in a loss that is not finite, which `step` reports.
        self._programs.prepare(self, alone=type(self).step is not PLAIN_STEP)
        alone = self._programs.reason is None and self.threads is not None
        own_threads = limit_threads(1) if alone else nullcontext()  # threads are the program's
        with np.errstate(over="ignore", invalid="ignore"), own_threads, self._parts, self._programs:
            left = self.batches.epoch(seed, self.epochs, done)
            while batches := list(islice(left, self._programs.steps_ahead(self))):
                results = self._steps(batches, planned)
                for index, (loss, right) in zip(batches, results, strict=True):
                    self._loss_sum += loss * len(index)
                    self._right += right
                    self.steps += 1
                    if self.on_step is not None:
                        self.on_step(self.steps, loss)
        return time.perf_counter() - start

    def _steps(self, batches: Sequence[Labels], planned: int) -> Iterator[tuple[float, int]]:
        """Loss and correct rows of a step with each batch: in one call, as far as that can be."""
        rates = [self._lr_of_step(self.steps + k, planned) for k in range(len(batches))]
        made = self._programs.run(self, batches, rates)
        for rate, result, ahead in zip(rates, made, reversed(range(len(made))), strict=False):
            self.optimizer.lr, self.ahead = rate, ahead
            yield result
        if self._programs.failed is not None:
            raise self._programs.failed
        for index in batches[len(made) :]:
            batch = gather(self.batches, index, self.parallel)
            if self.augment is not None:
                rng = generator(self.seed, "augment", self.steps)
                batch = batch._replace(x=self.augment(batch.x, rng, batch.shard))
            self.optimizer.lr = self._lr_of_step(self.steps, planned)
            yield self.step(batch)

    def _lr_of_step(self, step: int, planned: int) -> float:
        """The rate at the middle of the step's share of training, where no schedule gives 0."""
        return self.lr * self.schedule((step + 0.5) / planned)

    def step(self, batch: Batch) -> tuple[float, int]:
        """One update: forward, backward, optimizer. Returns loss and correct rows before it.

        Raises DivergenceError, and updates nothing, if the loss or the gradient is not finite.
        """
        network, optimizer = self.network, self.optimizer
        loss, right = self._forward_backward(batch)
        check_step(loss, network, batch.x, optimizer, self.steps + 1)
        optimizer.update(network.params, network.grads, partial(self._closure, batch))
        network._apply_constraints()
        return loss, right

    def _forward_backward(self, batch: Batch) -> tuple[float, int]:
        """Mean loss and correct rows of a batch; its gradient is in `network.grads` then."""
        # The noise of this step, the same for every pass and part.
        noise = partial(generator, self.seed, "noise", self.steps) if self._draws else None
        loss, right = self._parts.forward_backward(batch, noise)
        return sum_ranks(self.network, batch, loss, right, self.parallel)

    def _closure(self, batch: Batch) -> float:
        """Loss and gradient of the same batch, under the same noise, at changed parameters.

        The statistics that layers measure stay those of the first pass.
        """
        network = self.network
        measured = network.state_vector[network.vector.size :]
        kept = measured.copy()
        loss, _ = self._forward_backward(batch)
        measured[:] = kept
        return loss + network.penalty()

    def evaluate(self, samples: Data) -> tuple[float, float]:
        """Mean loss, without the penalty, and accuracy on `samples`, by this rank alone.

        Raises DivergenceError if the loss is not finite.
        """
        with limit_threads(self.blas_threads):
            samples = fit_data(self.network, "samples", samples)
            loss, accuracy = evaluate(self.network, samples, Alone(), self.parts)
        check_result("loss", loss, self.optimizer, self.steps)
        return loss, accuracy

    def save(self, path: str | Path, stopping: EarlyStopping | None = None) -> None:
        """Write a checkpoint of all that training continues from; of several ranks the first does.

        Raises OutputError if it cannot be written, DivergenceError if a value is not finite.
        """
        from scratchnet.training.resuming import save_checkpoint

        if self.parallel.rank == 0:
            with limit_threads(self.blas_threads):  # which the checkpoint notes down
                save_checkpoint(path, self, stopping)

    def resume(
        self, path: str | Path, stopping: EarlyStopping | None = None, *, override: bool = False
    ) -> list[str]:
        """Continue from a checkpoint, to the bits of a run that was never interrupted.

        Make the Trainer with the same options and data; every rank reads the file. Returns what
        may change the last bits, for example another NumPy. Raises DataError if the file is damaged
        or of another network, ParameterError if options or data differ, unless `override`.
        """
        from scratchnet.training.resuming import restore_checkpoint

        with limit_threads(self.blas_threads):
            notes = restore_checkpoint(path, self, stopping, override=override)
        check_alike(self.parallel, self.network, "checkpoint", self.steps)
        return notes

    def state(self) -> dict[str, Any]:
        """All that training continues from, besides the parameters: plain data and arrays."""
        return state_of(self)

    def restore(self, state: Mapping[str, Any], times: Sequence[float]) -> None:
        """Continue from `state()`; `times` are the seconds of each epoch in its history."""
        restore_state(self, state, times)

    @property
    def blas_threads(self) -> int | None:
        """The threads of BLAS: one, where the threads are those of parts of a batch."""
        return 1 if self.parts > 1 else self.threads

    @property
    def ranks(self) -> int:
        """The number of ranks that share each batch."""
        return self.parallel.size


PLAIN_STEP = Trainer.step  # a subclass with a step of its own makes them one by one

show_options(Trainer, TRAINER)
