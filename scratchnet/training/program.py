"""Many steps of training in one call: a list of loops and products, which C works through.

It does what `Trainer.step` does, to the same bits, without the calls of Python between: gather the
rows of a batch, forward, loss, backward, the optimizer's rule. There is one for networks of affine
layers and functions of single values, in one process, where every part has a compiled loop; all
others are trained step by step. What the instructions are is in loops.c.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scratchnet import loops
from scratchnet.layers import Affine, Layer, Loss, SoftmaxWithLoss
from scratchnet.layers.elementary import Identity
from scratchnet.layers.elementwise import Elementwise, find_loop, numbers_of
from scratchnet.loops.translation import Loop
from scratchnet.networks import Network
from scratchnet.optimizers.loops import find_loop as find_rule
from scratchnet.optimizers.loops import limits_of
from scratchnet.optimizers.optimizer import Optimizer
from scratchnet.optimizers.walk import weights_in
from scratchnet.parameters import Array
from scratchnet.training.epoch import Watch
from scratchnet.training.threads import share_program

WORK = 1 << 30
"""Multiplications in one call: some hundredths of a second, in which no signal is answered."""
MOST = 64
"""Steps in one call, at most: tables have a row for each."""

Instruction = tuple[Any, ...]
Result = tuple[float, int]
"""The mean loss of a batch, and its correct rows."""


@dataclass
class Place:
    """A layer of a program, and the memory of its batch: x, y, what it remembers, dL/dy, dL/dx."""

    layer: Layer
    x: Array
    y: Array
    more: list[Array]
    dout: Array
    dx: Array

    def first(self, rows: int) -> "Place":
        """The same memory for fewer rows."""
        more = [array[:rows] for array in self.more]
        arrays = (self.x, self.y, self.dout, self.dx)
        x, y, dout, dx = (array[:rows] for array in arrays)
        return Place(self.layer, x, y, more, dout, dx)


class Part:
    """The rows of each batch that a thread takes: tables of which they are, and of their losses."""

    def __init__(self, program: "Program", rows: int) -> None:
        self.rows = rows
        self.index = program._table(rows, np.intp)
        self.losses = program._table(rows, np.float64)
        self.right = program._table(1, np.intp)
        self.means = program._table(1, np.float64)  # what is added to the mean loss of the batch
        self.tables = (self.index, self.losses, self.right, self.means)
        self.step = 0  # counted by what is called

    def take(self, of_all: Array, t: Array) -> None:
        """Targets that are no labels."""
        np.take(of_all, self.index[self.step], axis=0, out=t, mode="clip")

    def find_loss(
        self, layer: Loss, y: Array, t: Array, w: Array | None, dy: Array, share: float, sums: Array
    ) -> None:
        """The loss of these rows and its derivative, `share` being their share of the batch.

        `w` are the weights of all samples, where they have any.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # as the Trainer's, in each thread
            mean = layer.compute(y, t, None if w is None else w[self.index[self.step]])
            dy[...] = layer.backward(share)
        sums[0] = self.means[self.step] = share * mean
        self.right[self.step] = layer.count_correct()
        self.step += 1


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
    found = [find_loop(layer, name) for name in ("value", "derivative")]
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

    def __init__(self, trainer: Any, rows: int, threads: int, within: "Program | None") -> None:
        network, optimizer = trainer.network, trainer.optimizer
        self.network, self.optimizer, self.samples = network, optimizer, trainer.train
        self.dtype = network.vector.dtype
        self.rows, small = rows, within is not None and within.rows > rows
        self.most = 1 if small else most_steps(trainer)
        rule = find_rule(optimizer)
        assert rule is not None
        self._rule, self._slots = rule, optimizer._slots_of("vector", network.vector)
        # Tables have a row for each step of a call.
        self._numbers = self._table(rule.n_numbers, self.dtype)
        self._finite = [self._table(1, np.intp) for _ in range(threads)]
        self._limits = [np.empty(2, self.dtype) for _ in range(threads)]
        self._of_layers: list[tuple[Layer, Loop, Array]] = []  # the numbers of activations
        self._places: list[Place]
        self._targets: Array
        if within is not None and small:
            self._places = [place.first(rows) for place in within._places]
            self._targets = within._targets[:rows]
        else:
            self._places, self._targets = self._allocate(*trainer.batches.memory(rows))
        cuts = cut(rows, threads)
        self._parts = [Part(self, stop - start) for start, stop in cuts]
        self._has_means = False  # whether parts know their mean losses, else those of all rows
        # Sums over the batch, in pieces: the losses of each part, the squares of the gradient.
        self._sums = np.zeros(threads)
        self._squares = np.zeros((threads, 2 * len(self._places)), self.dtype)
        rows_passed = [
            self._pass_rows(part, slice(*cuts[k]), self._sums[k : k + 1])
            for k, part in enumerate(self._parts)
        ]
        gradients = [self._gradients(k, threads) for k in range(threads)]
        updates = [self._update(k, threads) for k in range(threads)]
        phases = [rows_passed, gradients, updates]
        if threads == 1:  # one after the other, as they stand
            phases = [[[one for (part,) in phases for one in part]]]
        self._code = loops.compiled().program(phases)
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
        n, optimizer = len(batches), self.optimizer
        at = 0
        for part in self._parts:
            for k, batch in enumerate(batches):
                part.index[k] = batch[at : at + part.rows]
            at, part.step = at + part.rows, 0
        before = dict(optimizer.steps), {k: dict(v) for k, v in optimizer.scalars.items()}
        n = self._set_numbers(rates)
        for layer, loop, numbers in self._of_layers:
            numbers[...] = loop.numbers(layer)
        for limits in self._limits:
            limits[...] = limits_of(optimizer, 1.0)
        for finite in self._finite:
            finite[...] = 0
        failed = self._run_threads(n, pool)
        made = self._finite[0][:n, 0] == 1  # of each step behind which there was an update
        done = n if made.all() else int(made.argmin())
        if done < len(batches):  # go back to where the optimizer was then
            optimizer.steps, optimizer.scalars = before
            self._set_numbers(rates[:done])
        right = sum(part.right[:done, 0] for part in self._parts)
        if self._has_means:
            means = np.asarray(sum(part.means[:done, 0] for part in self._parts))
        else:
            losses = np.concatenate([part.losses[:done] for part in self._parts], axis=1)
            means = losses.sum(axis=1) / losses.shape[1]
        return list(zip(means.tolist(), np.asarray(right).tolist(), strict=True)), failed

    def _run_threads(self, n: int, pool: ThreadPoolExecutor | None) -> BaseException | None:
        """Let every thread do its part of n steps; what failed first, if anything did."""
        run, failed = loops.compiled().run, list[BaseException | None]()
        self._calls += 1
        threads = range(1, len(self._parts)) if pool is not None else ()
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
        optimizer, steps = self.optimizer, self.optimizer.steps
        optimizer.name, scalars = "vector", optimizer.scalars.setdefault("vector", {})
        for k, rate in enumerate(rates):
            optimizer.lr = rate
            steps["vector"] = optimizer.step = steps.get("vector", 0) + 1
            try:
                optimizer.before_rule(scalars)
                self._numbers[k] = self._rule.numbers(optimizer)
            except ArithmeticError:  # which the step itself will tell
                return k
        return len(rates)

    # Memory.

    def _table(self, width: int, dtype: npt.DTypeLike) -> Array:
        return np.empty((self.most, width), dtype)

    def _allocate(self, x: Array, t: Array) -> tuple[list[Place], Array]:
        """Memory for what every layer takes and gives; x and t are there already."""
        places, n = list[Place](), len(x)
        for layer, width in zip(self.network.layers, self.network.output_sizes, strict=True):
            y = x if type(layer) is Identity else np.empty((n, width), self.dtype)
            names = layer.remembers if isinstance(layer, Elementwise) else ()
            places.append(Place(layer, x, y, [np.empty_like(y) for _ in names], x, x))
            x = y
        dout = np.empty_like(x)
        for k, place in reversed(list(enumerate(places))):
            place.dout = dout
            if isinstance(place.layer, Affine) and k > self.network._lowest:
                dout = np.empty_like(place.x)
            place.dx = dout
        return places, t

    # Instructions.

    def _loop(self, name: str, n: int, d: int, *arrays: Array) -> Instruction:
        """A loop; an array that is a table moves on by a row each step."""
        code = loops.code_of(name, self.dtype)
        tables = [self._numbers, *self._finite]
        tables += [table for part in self._parts for table in part.tables]
        strides = [a.strides[0] if any(a is table for table in tables) else 0 for a in arrays]
        return ("loop", code, n, d, *zip(arrays, strides, strict=True))

    def _number(self, value: float) -> Array:
        return np.array([value], self.dtype)

    def _pass_rows(self, part: Part, rows: slice, total: Array) -> list[Instruction]:
        """Rows of a batch gathered, taken forward and back; `total` becomes their loss."""
        of_all, x, n = self.samples.x, self._places[0].x[rows], part.rows
        gather = f"gather_{of_all.dtype.name}"
        scale = self._number(self.samples.scale)
        code = [self._loop(gather, n, x.shape[1], of_all, part.index, scale, x)]
        t = self._targets[rows]
        if t.dtype == np.intp:
            code.append(self._loop("take", n, 1, self.samples.t, part.index, t))
        else:
            code.append(("call", part.take, (self.samples.t, t)))
        bias = None
        for place, after in zip(self._places, [*self._places[1:], None], strict=True):
            code += self._forward(place, rows, bias, after)
            fused = after is not None and isinstance(after.layer, Elementwise)
            bias = place.layer.params.get("b") if fused else None
        code += self._loss(part, self._places[-1].y[rows], t, self._places[-1].dout[rows], total)
        for k, place in reversed(list(enumerate(self._places))):
            code += self._backward(place, rows) if k > self.network._lowest else []
        return code

    def _forward(
        self, place: Place, rows: slice, bias: Array | None, after: Place | None
    ) -> list[Instruction]:
        """y from x. The bias of a layer is added with what comes after it, where that is a loop."""
        layer, x, y = place.layer, place.x[rows], place.y[rows]
        if isinstance(layer, Affine):
            code: list[Instruction] = [("call", np.dot, (x, layer.params["W"], y))]
            if layer.bias and not (after is not None and isinstance(after.layer, Elementwise)):
                code.append(self._loop("add_bias", *y.shape, y, layer.params["b"]))
            return code
        if not isinstance(layer, Elementwise):
            return []
        name, numbers = self._of_formula(layer, "value")
        more = [array[rows] for array in place.more]
        if bias is None:
            return [self._loop(name, *x.shape, numbers, numbers, x, y, *more)]
        return [self._loop(f"biased {name}", *x.shape, numbers, bias, x, y, *more)]

    def _backward(self, place: Place, rows: slice) -> list[Instruction]:
        """dx from dout, in the same memory for a function of single values."""
        layer, dout, dx = place.layer, place.dout[rows], place.dx[rows]
        if isinstance(layer, Affine):
            return [("call", np.dot, (dout, layer.params["W"].T, dx))]
        if not isinstance(layer, Elementwise):
            return []
        name, numbers = self._of_formula(layer, "derivative")
        more = [array[rows] for array in place.more]
        x, y = place.x[rows], place.y[rows]
        return [self._loop(name, *x.shape, numbers, dx, dout, x, y, *more)]

    def _of_formula(self, layer: Elementwise, name: str) -> tuple[str, Array]:
        """The loop of a formula of the layer, and its numbers."""
        loop = find_loop(layer, name)
        assert loop is not None
        numbers = numbers_of(loop, layer, self.dtype)
        if len(numbers):
            self._of_layers.append((layer, loop, numbers))
        return loop.digest, numbers

    def _loss(self, part: Part, y: Array, t: Array, dy: Array, total: Array) -> list[Instruction]:
        """The loss of these rows, and its derivative."""
        layer, n, k = self.network.loss_layer, *y.shape
        share = part.rows / len(self._targets)
        weights = self.samples.weights
        plain = is_plain(layer, t) and (weights is None or weights.dtype == np.float64)
        self._has_means = weights is not None or not plain
        if not plain:
            return [("call", part.find_loss, (copy(layer), y, t, weights, dy, share, total))]
        p, largest = np.empty_like(y), np.empty(n, self.dtype)
        first, log, losses = np.empty(n, np.intp), np.empty(n), part.losses
        if weights is None:
            before: list[Instruction] = []
            of_row = self._number(1 / len(self._targets))
            after = [self._loop("softmax_grad", n, k, p, t, of_row, dy)]
        else:
            shares, losses, mean = np.empty(n), np.empty(n), np.empty(1)
            of_all = np.array([float(len(self._targets))])
            before = [self._loop("weigh", n, 1, weights, part.index, of_all, shares)]
            after = [
                ("call", np.dot, (losses, shares, mean.reshape(()))),
                self._loop("keep", 1, 1, mean, part.means),
                self._loop("weighted_grad", n, k, p, t, shares, dy),
            ]
        return [
            *before,
            self._loop("softmax", n, k, y, p, first, largest, log),
            self._loop("cross_entropy", n, k, y, t, largest, log, first, losses, part.right, total),
            *after,
        ]

    def _gradients(self, part: int, parts: int) -> list[Instruction]:
        """The gradients of some of the weights of each layer, and their squares summed."""
        code: list[Instruction] = []
        for k, place in enumerate(self._places):
            layer = place.layer
            if not isinstance(layer, Affine):
                continue
            rows = slice(*cut(len(layer.params["W"]), parts)[part])
            w, g = layer.params["W"][rows], layer.grads["W"][rows]
            if g.size:
                # Of columns of x np.dot would make a copy, np.matmul does not.
                product = np.dot if parts == 1 else np.matmul
                code.append(("call", product, (place.x[:, rows].T, place.dout, g)))
                if self.network.l2:
                    l2 = self._number(self.network.l2)
                    code.append(self._loop("add_scaled", g.size, 1, g, w, l2))
                squares = self._squares[part, 2 * k : 2 * k + 1]
                code.append(self._loop("sum_squares", g.size, 1, g, squares))
            if layer.bias and part == parts - 1:
                g, squares = layer.grads["b"], self._squares[part, 2 * k + 1 : 2 * k + 2]
                code.append(self._loop("column_sums", *place.dout.shape, place.dout, g))
                code.append(self._loop("sum_squares", g.size, 1, g, squares))
        return code

    def _update(self, part: int, parts: int) -> list[Instruction]:
        """The rule for a piece of all parameters, unless something is not finite."""
        network, optimizer = self.network, self.optimizer
        w, g = network.vector, network.gradient_vector
        finite, squares = self._finite[part], self._squares
        code: list[Instruction] = []
        if optimizer.clip_norm is not None:  # in one product, as when steps are made one by one
            squares = np.empty((), self.dtype)
            longest = np.array([optimizer.clip_norm])
            code.append(("call", np.dot, (g, g, squares)))
            code.append(self._loop("clip_scale", 1, 1, squares, longest, self._limits[part]))
        code.append(self._loop("check", len(self._sums), squares.size, squares, self._sums, finite))
        code.append(("stop", (finite, finite.strides[0])))
        start, stop = cut(w.size, parts)[part]
        decays = optimizer.weight_decay and not optimizer.own_weight_decay
        n_decayed = weights_in(network.params, w) if decays else 0
        here = min(max(n_decayed - start, 0), stop - start)
        pieces = [array[start:stop] for array in (w, g, *self._slots)]
        name, numbers, limits = self._rule.digest, self._numbers, self._limits[part]
        code.append(self._loop(name, stop - start, here, numbers, limits, *pieces))
        return code


def most_steps(trainer: Any) -> int:
    """How many steps a call may make: its time is that of so many multiplications."""
    work: int = 3 * trainer.batches.batch_size * trainer.network.vector.size
    return min(MOST, max(1, WORK // (work + 1)))


def is_plain(loss: Loss, t: Array) -> bool:
    """Whether a loss is softmax with whole labels, which has a loop; others are called."""
    if not isinstance(loss, SoftmaxWithLoss) or type(loss) is not SoftmaxWithLoss:
        return False
    special = loss.label_smoothing or loss.balanced or loss.class_weight is not None
    return t.ndim == 1 and not special


def cut(n: int, parts: int) -> list[tuple[int, int]]:
    """Where each of so many parts of 0..n-1 starts and stops: whole eights, but for the last."""
    ends = [n * k // parts // 8 * 8 for k in range(parts)] + [n]
    return list(pairwise(ends))
