"""What a step of a program does: its loops and products, over memory that is made once.

Rows of a batch are gathered, taken through the layers and back; then come the gradients of the
weights, and the rule of the optimizer. Threads share each of these, and wait for each other where
one needs what another has computed: a phase is what lies between two waits.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet import loops
from scratchnet.layers import Affine, Layer, Loss, SoftmaxWithLoss
from scratchnet.layers.elementary import Identity
from scratchnet.layers.elementwise import Elementwise, find_formula, numbers_of
from scratchnet.loops.translation import Loop
from scratchnet.optimizers.loops import find_rule
from scratchnet.optimizers.walk import weights_in
from scratchnet.parameters import Array

WIDE = 1 << 16
"""Values of a matrix from which on the columns of a product may be shared: it costs two waits."""

Instruction = tuple[Any, ...]
Code = list[Instruction]


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

    def __init__(self, step: "Step", rows: int) -> None:
        self.rows = rows
        self.index = step.table(rows, np.intp)
        self.losses = step.table(rows, np.float64)
        self.right = step.table(1, np.intp)
        self.means = step.table(1, np.float64)  # what is added to the mean loss of the batch
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


class Step:
    """The memory of a step with `rows` samples, and what it does, by so many threads.

    Tables have a row for each of the `most` steps of a call. With `within` it works in the memory
    of a step of more rows.
    """

    def __init__(
        self, trainer: Any, rows: int, threads: int, most: int, within: "Step | None"
    ) -> None:
        network, optimizer = trainer.network, trainer.optimizer
        self.network, self.optimizer, self.samples = network, optimizer, trainer.train
        self.dtype, self.rows, self.most = network.vector.dtype, rows, most
        self._tables = list[Array]()
        self._strides = dict[int, int]()  # of each table, by its id
        rule = find_rule(optimizer)
        assert rule is not None
        self.rule, self._slots = rule, optimizer._slots_of("vector", network.vector)
        self.numbers = self.table(rule.n_numbers, self.dtype)
        self.finite = [self.table(1, np.intp) for _ in range(threads)]
        self.limits = [np.empty(2, self.dtype) for _ in range(threads)]
        self.of_layers: list[tuple[Layer, Loop, Array]] = []  # the numbers of activations
        self.places: list[Place]
        self.targets: Array
        if within is not None:
            self.places = [place.first(rows) for place in within.places]
            self.targets = within.targets[:rows]
        else:
            self.places, self.targets = self._allocate(*trainer.batches.memory(rows))
        self._cuts = [slice(*ends) for ends in cut(rows, threads)]
        self.parts = [Part(self, rows.stop - rows.start) for rows in self._cuts]
        # Sums over the batch, in pieces: the losses of each part, the squares of the gradient.
        self._sums = np.zeros(threads)
        self._squares = np.zeros((threads, 2 * len(self.places)), self.dtype)
        weights = self.samples.weights
        simple = weights is None or weights.dtype == np.float64
        self._plain = simple and is_plain(network.loss_layer, self.targets)
        self.has_means = weights is not None or not self._plain
        """Whether parts know their mean losses, else those of all rows."""

    def phases(self) -> list[list[Code]]:
        """The instructions of each phase, and in it of each part."""
        threads = range(len(self.parts))
        made: list[list[Code]] = []
        by_rows = False
        for same_rows, codes in self._pass():
            if by_rows and same_rows:  # a part needs only what it has computed itself
                for one, more in zip(made[-1], codes, strict=True):
                    one += more
            else:
                made.append(codes)
            by_rows = same_rows
        made.append([self._gradients(k, len(threads)) for k in threads])
        made.append([self._update(k, len(threads)) for k in threads])
        if len(threads) == 1:
            return [[[one for (code,) in made for one in code]]]
        return made

    def _pass(self) -> Iterator[tuple[bool, list[Code]]]:
        """The batch gathered, taken forward and back; whether each thread has rows of its own."""
        lowest = self.network._lowest
        yield True, [self._gather(part, rows) for part, rows in self._each_part()]
        bias = None
        for place, after in zip(self.places, [*self.places[1:], None], strict=True):
            if isinstance(place.layer, Affine):
                yield self._product(place.x, place.layer.params["W"], place.y)
            yield True, [self._forward(place, rows, bias, after) for rows in self._cuts]
            bias = place.layer.params.get("b") if adds_bias_after(place, after) else None
        yield True, [self._loss(*pair, self._sums[k:]) for k, pair in enumerate(self._each_part())]
        for place in reversed(self.places[lowest + 1 :]):
            if isinstance(place.layer, Affine):
                yield self._product(place.dout, place.layer.params["W"].T, place.dx)
            else:
                yield True, [self._backward(place, rows) for rows in self._cuts]

    def _each_part(self) -> Iterator[tuple[Part, slice]]:
        return zip(self.parts, self._cuts, strict=True)

    # Memory.

    def table(self, width: int, dtype: npt.DTypeLike) -> Array:
        """Memory with a row for each step."""
        made = np.empty((self.most, width), dtype)
        self._tables.append(made)
        self._strides[id(made)] = made.strides[0]
        return made

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
        strides = [self._strides.get(id(array), 0) for array in arrays]
        code = loops.code_of(name, self.dtype)
        return ("loop", code, n, d, *zip(arrays, strides, strict=True))

    def _number(self, value: float) -> Array:
        return np.array([value], self.dtype)

    def _gather(self, part: Part, rows: slice) -> Code:
        """The samples of these rows."""
        of_all, x, t = self.samples.x, self.places[0].x[rows], self.targets[rows]
        gather = f"gather_{of_all.dtype.name}"
        scale = self._number(self.samples.scale)
        code = [self._loop(gather, *x.shape, of_all, part.index, scale, x)]
        if t.dtype == np.intp:
            code.append(self._loop("take", part.rows, 1, self.samples.t, part.index, t))
        else:
            code.append(("call", part.take, (self.samples.t, t)))
        return code

    def _product(self, x: Array, w: Array, y: Array) -> tuple[bool, list[Code]]:
        """y = x w, shared by rows or by columns, whichever are more.

        BLAS brings w into an order of its own at each call: by rows every thread does all of it.
        """
        n, d = y.shape
        if len(self._cuts) == 1 or n >= d or w.size < WIDE:
            return True, [[product(x[rows], w, y[rows])] for rows in self._cuts]
        columns = [slice(*ends) for ends in cut(d, len(self._cuts))]
        return False, [[product(x, w[:, c], y[:, c])] for c in columns]

    def _forward(self, place: Place, rows: slice, bias: Array | None, after: Place | None) -> Code:
        """y from x, or what comes behind its product."""
        layer, x, y = place.layer, place.x[rows], place.y[rows]
        if isinstance(layer, Affine) and layer.bias and not adds_bias_after(place, after):
            return [self._loop("add_bias", *y.shape, y, layer.params["b"])]
        if not isinstance(layer, Elementwise):
            return []
        name, numbers = self._of_formula(layer, "value")
        more = [array[rows] for array in place.more]
        if bias is None:
            return [self._loop(name, *x.shape, numbers, numbers, x, y, *more)]
        return [self._loop(f"biased {name}", *x.shape, numbers, bias, x, y, *more)]

    def _backward(self, place: Place, rows: slice) -> Code:
        """dx from dout, in the same memory, for a function of single values."""
        layer, dout, dx = place.layer, place.dout[rows], place.dx[rows]
        if not isinstance(layer, Elementwise):
            return []
        name, numbers = self._of_formula(layer, "derivative")
        more = [array[rows] for array in place.more]
        x, y = place.x[rows], place.y[rows]
        return [self._loop(name, *x.shape, numbers, dx, dout, x, y, *more)]

    def _of_formula(self, layer: Elementwise, name: str) -> tuple[str, Array]:
        """The loop of a formula of the layer, and its numbers."""
        loop = find_formula(layer, name)
        assert loop is not None
        numbers = numbers_of(loop, layer, self.dtype)
        if len(numbers):
            self.of_layers.append((layer, loop, numbers))
        return loop.digest, numbers

    def _loss(self, part: Part, rows: slice, total: Array) -> Code:
        """The loss of these rows, their sum in total[0], and its derivative."""
        layer, t = self.network.loss_layer, self.targets[rows]
        y, dy, total = self.places[-1].y[rows], self.places[-1].dout[rows], total[:1]
        n, k = y.shape
        share = part.rows / len(self.targets)
        weights = self.samples.weights
        if not self._plain:
            return [("call", part.find_loss, (copy(layer), y, t, weights, dy, share, total))]
        p, largest = np.empty_like(y), np.empty(n, self.dtype)
        first, log, losses = np.empty(n, np.intp), np.empty(n), part.losses
        if weights is None:
            before: Code = []
            of_row = self._number(1 / len(self.targets))
            after = [self._loop("softmax_grad", n, k, p, t, of_row, dy)]
        else:
            shares, losses, mean = np.empty(n), np.empty(n), np.empty(1)
            of_all = np.array([float(len(self.targets))])
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

    def _gradients(self, part: int, parts: int) -> Code:
        """The gradients of some of the weights of each layer, and their squares summed."""
        code: Code = []
        for k, place in enumerate(self.places):
            layer = place.layer
            if not isinstance(layer, Affine):
                continue
            rows = slice(*cut(len(layer.params["W"]), parts)[part])
            w, g = layer.params["W"][rows], layer.grads["W"][rows]
            if g.size:
                code.append(product(place.x[:, rows].T, place.dout, g))
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

    def _update(self, part: int, parts: int) -> Code:
        """The rule for a piece of all parameters, unless something is not finite."""
        network, optimizer = self.network, self.optimizer
        w, g = network.vector, network.gradient_vector
        finite, squares = self.finite[part], self._squares
        code: Code = []
        if optimizer.clip_norm is not None:  # in one product, as when steps are made one by one
            squares = np.empty((), self.dtype)
            longest = np.array([optimizer.clip_norm])
            code.append(("call", np.dot, (g, g, squares)))
            code.append(self._loop("clip_scale", 1, 1, squares, longest, self.limits[part]))
        code.append(self._loop("check", len(self._sums), squares.size, squares, self._sums, finite))
        code.append(("stop", (finite, finite.strides[0])))
        start, stop = cut(w.size, parts)[part]
        decays = optimizer.weight_decay and not optimizer.own_weight_decay
        n_decayed = weights_in(network.params, w) if decays else 0
        here = min(max(n_decayed - start, 0), stop - start)
        pieces = [array[start:stop] for array in (w, g, *self._slots)]
        name, numbers, limits = self.rule.digest, self.numbers, self.limits[part]
        code.append(self._loop(name, stop - start, here, numbers, limits, *pieces))
        return code


def product(x: Array, w: Array, y: Array) -> Instruction:
    """y = x w, for matrices that may lie in pieces."""
    return ("product", x, w, y) if loops.has_products() else ("call", np.matmul, (x, w, y))


def adds_bias_after(place: Place, after: Place | None) -> bool:
    """Whether the bias of a layer is added with what comes after it, as that is one loop."""
    return after is not None and isinstance(after.layer, Elementwise)


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
