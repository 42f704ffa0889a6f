"""Many steps of training in one call: a list of loops and products, which C works through.

It does what `Trainer.step` does, to the same bits, without the calls of Python between: gather the
rows of a batch, forward, loss, backward, the optimizer's rule. There is one for networks of affine
layers and functions of single values, in one process, where every part has a compiled loop; all
others are trained step by step. What a step does is in `instructions`, how it is run in loops.c.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scratchnet import loops
from scratchnet.layers import Affine, Layer
from scratchnet.layers.elementary import Identity
from scratchnet.layers.elementwise import Elementwise, find_formula
from scratchnet.networks import Network
from scratchnet.optimizers.loops import find_rule, limits_of
from scratchnet.optimizers.optimizer import Optimizer
from scratchnet.training.epoch import Watch
from scratchnet.training.instructions import Step
from scratchnet.training.threads import share_program

WORK = 1 << 30
"""Multiplications in one call: some hundredths of a second, in which no signal is answered."""
MOST = 64
"""Steps in one call, at most: tables have a row for each."""

Result = tuple[float, int]
"""The mean loss of a batch, and its correct rows."""


def why_none(trainer: Any) -> str | None:
    """Why a Trainer makes its steps one by one; None if there is a program for it."""
    network, samples, optimizer = trainer.network, trainer.train, trainer.optimizer
    if loops.compiled() is None:
        return f"there are no loops: {loops.describe()}"
    pairs: list[tuple[Any, Any]] = [(network, Network), (optimizer, Optimizer)]
    for one, kind in (*pairs, *_affine(network)):
        if not _is_as_written(one, kind):
            return f"{one!r} has methods of its own"
    if trainer.ranks > 1 or trainer.parts > 1:
        return "ranks or threads share its batches"
    if trainer.augment is not None:
        return "its images are distorted"
    if samples.block_rows is not None or trainer.batches.is_sparse:
        return "its samples stay in their file, or are sparse"
    weights = np.empty(0) if samples.weights is None else samples.weights
    flags = [array.flags for array in (samples.x, samples.t, weights)]
    if not all(one.c_contiguous and one.aligned for one in flags):
        return "its samples lie in memory column by column, or at odd places"
    if samples.x.dtype.name not in ("uint8", "float32", "float64"):
        return f"its samples are {samples.x.dtype}"
    for layer in network.layers:
        if not _has_loops(layer):
            return f"{layer!r} has no loop"
    if optimizer.uses_closure:
        return f"{optimizer!r} needs more than a gradient"
    rule = find_rule(optimizer)
    if rule is None or loops.code_of(rule.digest, network.vector.dtype) is None:
        return f"{optimizer!r} has no loop"
    return None


AS_WRITTEN: dict[Any, dict[str, Any]] = {
    Network: {n: vars(Network)[n] for n in ("forward", "backward", "logits")},
    Optimizer: {n: vars(Optimizer)[n] for n in ("update", "_update")},
    Affine: {n: vars(Affine)[n] for n in ("forward", "param_grads", "input_grad")},
}
"""The methods whose work a program does: it is none for those of a subclass, or exchanged ones."""
METHODS = {
    "rule",
    "value",
    "derivative",
    *(name for names in AS_WRITTEN.values() for name in names),
}


def _is_as_written(one: Any, kind: type[Any]) -> bool:
    methods = AS_WRITTEN[kind].items()
    return all(getattr(type(one), name) is method for name, method in methods) and not (
        vars(one).keys() & AS_WRITTEN[kind].keys()
    )


def _affine(network: Network) -> list[tuple[Any, type[Any]]]:
    return [(layer, Affine) for layer in network.layers if isinstance(layer, Affine)]


def _has_loops(layer: Layer) -> bool:
    if type(layer) is Affine:
        return layer.max_norm is None
    if not isinstance(layer, Elementwise):
        return type(layer) is Identity
    if METHODS & vars(layer).keys():
        return False
    found = [find_formula(layer, name) for name in ("value", "derivative")]
    dtype = np.dtype(np.float32)
    return all(one is not None and loops.code_of(one.digest, dtype) is not None for one in found)


def _identity(trainer: Any) -> tuple[Any, ...]:
    """What a program was made for: another one is needed where any of it has been exchanged."""
    network, optimizer = trainer.network, trainer.optimizer
    slots = optimizer.slot_values.get("vector", {}).values()
    parts = (network, *network.layers, network.loss_layer, optimizer)
    memory = (network.vector, network.gradient_vector, trainer.batches, *slots)
    options = (network.l2, optimizer.clip_norm, optimizer.weight_decay, trainer.threads)
    others = (trainer.augment, loops.compiled())
    exchanged = (len(vars(part).keys() & METHODS) for part in parts)
    return (*map(id, (*parts, *memory, *others)), *options, *exchanged)


class Programs:
    """The programs of a Trainer, one for each length of its batches, made when they are needed."""

    def __init__(self) -> None:
        self._made: dict[int, Program] = {}
        self._of: tuple[Any, ...] = ()
        self.reason: str | None = "no epoch has begun"
        """Why there is none; None where there is."""
        self.threads = 1
        """How many threads share every batch."""
        self.failed: BaseException | None = None
        """What ended the last call, behind the steps that it had made."""
        self._pool: ThreadPoolExecutor | None = None

    def prepare(self, trainer: Any, *, alone: bool = False) -> None:
        """Forget programs that were made for what has been exchanged since: once an epoch.

        `alone`: the Trainer makes each step by a method of its own.
        """
        of = _identity(trainer), alone
        if of == self._of:
            return
        self._made.clear()
        self.reason = "the Trainer has a step of its own" if alone else why_none(trainer)
        network, rows = trainer.network, trainer.batches.batch_size
        self.threads = 1 if self.reason else share_program(trainer.threads, network, rows)
        if self.reason is None:
            trainer.optimizer._slots_of("vector", network.vector)
        self._of = _identity(trainer), alone

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        """A copy has none yet: programs are memory of their own."""
        return type(self), ()

    def __enter__(self) -> Self:
        """Inside of its `with` the other threads are there, and BLAS has one in each."""
        if self.threads > 1:
            self._pool = ThreadPoolExecutor(self.threads - 1)
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        self._pool = None

    def steps_ahead(self, trainer: Any) -> int:
        """How many steps the next call may make."""
        if self.reason is not None:
            return 1
        most = most_steps(trainer)
        if trainer.on_step is None:
            return most
        if not isinstance(trainer.on_step, Watch):  # it may look at the network after every step
            return 1
        return min(most, trainer.on_step.steps_ahead(trainer.steps))

    def run(
        self, trainer: Any, batches: Sequence[npt.NDArray[np.intp]], rates: Sequence[float]
    ) -> list[Result]:
        """Steps with these batches at these rates; loss and correct rows of each that was made.

        None are where there is no program; one whose loss or gradient is not finite is not made.
        """
        made: list[Result] = []
        self.failed = None
        while self.reason is None and len(made) < len(batches):
            at, rows = len(made), len(batches[len(made)])
            n = next((k for k, b in enumerate(batches[at:]) if len(b) != rows), len(batches) - at)
            if rows not in self._made:
                largest = max(self._made.values(), key=lambda made: made.rows, default=None)
                self._made[rows] = Program(trainer, rows, self.threads, largest)
            program = self._made[rows]
            n = min(n, program.most)
            results, self.failed = program.run(batches[at : at + n], rates[at : at + n], self._pool)
            made += results
            if len(made) < at + n:
                break
        return made


class Program:
    """Steps with batches of `rows` samples, for a Trainer that `why_none` has nothing against.

    `threads` share every batch: each takes some of its rows through the network and back, then the
    gradient and the update of some of the weights. A program of fewer rows works `within` the
    memory of another one, and makes one step in a call.
    """

    def __init__(self, trainer: Any, rows: int, threads: int, largest: "Program | None") -> None:
        self.rows, small = rows, largest is not None and largest.rows > rows
        self.most = 1 if small else most_steps(trainer)
        within = largest.step if largest is not None and small else None
        self.step: Step = Step(trainer, rows, threads, self.most, within)
        self._code = loops.compiled().program(self.step.phases())
        self._calls = 0

    def run(
        self,
        batches: Sequence[npt.NDArray[np.intp]],
        rates: Sequence[float],
        pool: ThreadPoolExecutor | None,
    ) -> tuple[list[Result], BaseException | None]:
        """Steps with these batches at these rates; loss and correct rows of each that was made.

        One whose loss or gradient is not finite is not made, and no further one. With them comes
        the exception that ended the call, if one did, as Ctrl-C while a loss was computed.
        """
        n, step, optimizer = len(batches), self.step, self.step.optimizer
        at = 0
        for part in step.parts:
            for k, batch in enumerate(batches):
                part.index[k] = batch[at : at + part.rows]
            at, part.step = at + part.rows, 0
        before = dict(optimizer.steps), {k: dict(v) for k, v in optimizer.scalars.items()}
        n = self._set_numbers(rates)
        for layer, loop, numbers in step.of_layers:
            numbers[...] = loop.numbers(layer)
        for limits in step.limits:
            limits[...] = limits_of(optimizer, 1.0)
        for finite in step.finite:
            finite[...] = 0
        failed = self._run_threads(n, pool)
        made = step.finite[0][:n, 0] == 1  # of each step behind which there was an update
        done = n if made.all() else int(made.argmin())
        if done < len(batches):  # go back to where the optimizer was then
            optimizer.steps, optimizer.scalars = before
            self._set_numbers(rates[:done])
        right = sum(part.right[:done, 0] for part in step.parts)
        if step.has_means:
            means = np.asarray(sum(part.means[:done, 0] for part in step.parts))
        else:
            losses = np.concatenate([part.losses[:done] for part in step.parts], axis=1)
            means = losses.sum(axis=1) / losses.shape[1]
        return list(zip(means.tolist(), np.asarray(right).tolist(), strict=True)), failed

    def _run_threads(self, n: int, pool: ThreadPoolExecutor | None) -> BaseException | None:
        """Let every thread do its part of n steps; what failed first, if anything did."""
        run, failed = loops.compiled().run, list[BaseException | None]()
        self._calls += 1
        threads = range(1, len(self.step.parts)) if pool is not None else ()
        others = [pool.submit(run, self._code, k, n, self._calls) for k in threads if pool]
        try:
            run(self._code, 0, n, self._calls)
        except BaseException as error:  # the Trainer raises it behind the steps that were made
            failed.append(error)
        failed += [other.exception() for other in others]
        found = [error for error in failed if error is not None]
        # Where one thread fails the others do, too: they say so by a RuntimeError.
        return min(found, key=lambda error: isinstance(error, RuntimeError), default=None)

    def _set_numbers(self, rates: Sequence[float]) -> int:
        """Advance the optimizer step by step, as long as its numbers are floats; note them."""
        optimizer, steps = self.step.optimizer, self.step.optimizer.steps
        optimizer.name, scalars = "vector", optimizer.scalars.setdefault("vector", {})
        for k, rate in enumerate(rates):
            optimizer.lr = rate
            steps["vector"] = optimizer.step = steps.get("vector", 0) + 1
            try:
                optimizer.before_rule(scalars)
                self.step.numbers[k] = self.step.rule.numbers(optimizer)
            except ArithmeticError:  # which the step itself will tell
                return k
        return len(rates)


def most_steps(trainer: Any) -> int:
    """How many steps a call may make: its time is that of so many multiplications."""
    work: int = 3 * trainer.batches.batch_size * trainer.network.vector.size
    return min(MOST, max(1, WORK // (work + 1)))
