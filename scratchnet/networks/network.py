"""Networks: layers in a row with all of their parameters in one vector, and a loss at the end."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Sequence
from threading import get_ident, local
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_dtype, check_not_negative
from scratchnet.layers import Dropout, Layer, Loss, SoftmaxWithLoss
from scratchnet.layers.image import ImageLayer
from scratchnet.layers.layer import walk
from scratchnet.networks.border import check_rows, refuse_swapped
from scratchnet.networks.naming import name_parameters, read_old_name
from scratchnet.networks.shapes import evaluation_rows, hand_on, slices
from scratchnet.networks.trained import Trained
from scratchnet.networks.views import view
from scratchnet.parallel.ranks import Shard
from scratchnet.parameters import Array, Arrays, Shape, allocate, is_weight


class Network(Trained):
    """Layers applied one after the other, and a loss on what the last one gives.

    `vector` and `gradient_vector` are flat: all parameters, all derivatives, weights before biases.
    `params` and `grads` are the same memory by name: "W1", "b1" of the first layer that has such,
    "W2", "b2" of the next. The number counts the layers with a weight W: gamma3 and beta3 normalize
    what W3 gives. Writing to one is writing to the other. `statistics` are what layers have
    measured instead of learnt, as "running_mean1", and `state_vector` is `vector` and these.
    `all_layers` are the layers and, behind each, those that it is made of.

    L2: the loss has l2 / 2 times the sum of all squared weights added to it, biases
    spared, and the gradient has its derivative, l2 * W.

    `preparation` says how raw values become its inputs; a Trainer sets it.

    Raises ParameterError for an option out of its range, ShapeError where layers do not fit.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        loss: Loss | None = None,
        *,
        l2: float = 0.0,
        dtype: npt.DTypeLike = "float32",
        input_shape: Shape | None = None,
        weight_decay: float | None = None,
    ) -> None:
        if weight_decay is not None:  # the old name of l2
            l2 = read_old_name({"weight_decay": weight_decay} | ({"l2": l2} if l2 else {}))["l2"]
        self.layers = tuple(layers)
        self.loss_layer = SoftmaxWithLoss() if loss is None else loss
        self.l2 = check_not_negative("l2", l2)
        self.dtype = check_dtype(dtype)
        self.input_shape, self.output_shapes = hand_on(self.layers, input_shape)
        self.input_size = math.prod(self.input_shape)
        self.output_sizes = [math.prod(shape) for shape in self.output_shapes]
        if isinstance(self.layers[-1], Dropout):
            warnings.warn(
                f"{self.layers[-1]!r} is the last layer and drops logits, which the loss can never "
                "make up for; put it before the last Affine",
                stacklevel=2,
            )
            # Below the first layer with parameters nobody needs dL/dx: it is never computed.
        self._lowest = next(
            i for i, layer in enumerate(self.layers) if any(one.shapes for one in walk([layer]))
        )
        for layer in self.layers:
            layer.initialize()
        self._adopt()
        drawing = [layer.rng for layer in self.all_layers if layer.rng is not None]
        if drawing:  # one after the other from one stream, or layers with one seed would agree
            self._set_rng(drawing[0])

    def _adopt(self) -> None:
        """Allocate the two vectors and move every layer's parameters into its pieces of them."""
        self._owner, self._memory = get_ident(), local()
        self.evaluation_rows = evaluation_rows(self.output_sizes, np.dtype(self.dtype).itemsize)
        self.all_layers = tuple(walk(self.layers))
        self.takes_images = any(isinstance(layer, ImageLayer) for layer in self.all_layers)
        names = name_parameters(self.all_layers)
        weights: dict[str, Shape] = {}
        others: dict[str, Shape] = {}
        statistics: dict[str, Shape] = {}
        for layer, of_network in zip(self.all_layers, names, strict=True):
            for own, shape in layer.shapes.items():
                (weights if is_weight(shape) else others)[of_network[own]] = shape
            for own, shape in layer.statistic_shapes.items():
                statistics[of_network[own]] = shape
        learnt = weights | others
        self.state_vector, everything = allocate(learnt | statistics, self.dtype)
        self.gradient_vector, self.grads = allocate(learnt, self.dtype)
        self.vector = self.state_vector[: self.gradient_vector.size]
        self.params = everything.select({name: name for name in learnt}, self.vector)
        self.statistics = everything.select({name: name for name in statistics})
        self._n_weights = sum(math.prod(shape) for shape in weights.values())
        for layer, of_network in zip(self.all_layers, names, strict=True):
            learns = {own: of_network[own] for own in layer.shapes}
            measures = {own: of_network[own] for own in layer.statistic_shapes}
            layer.adopt(
                self.params.select(learns),
                self.grads.select(learns),
                self.statistics.select(measures),
            )

    def for_thread(self) -> Self:
        """The network as the calling thread may evaluate it while other threads do, too.

        In the thread that made it, it is the network itself. Other threads get a copy that shares
        all parameters and keeps results in memory of that thread.
        """
        if get_ident() == self._owner:
            return self
        kept = self._memory.__dict__.setdefault("kept", [])
        kept += [{} for _ in self.all_layers[len(kept) :]]
        own: Self = view(self, kept)
        return own

    # What a caller uses: inputs are checked, and no kept memory leaves except params and grads.

    def predict(self, x: npt.ArrayLike, batch_size: int | None = None) -> Array:
        """The logits (N, K) for x (N, D), a fresh array; their softmax are the probabilities.

        Raises ShapeError or DtypeError where x does not fit.
        """
        x = self.check_inputs(x)
        y = np.empty((len(x), self.output_sizes[-1]), self.dtype)
        network = self.for_thread()
        for rows in slices(len(x), batch_size, self.evaluation_rows):
            y[rows] = network.logits(x[rows])
        return y

    def loss(self, x: npt.ArrayLike, t: npt.ArrayLike) -> float:
        """The mean loss over x (N, D) with labels t (N,), plus the penalty on the weights.

        In evaluation: without dropout and noise, with running statistics. Raises ShapeError or
        DtypeError, naming row and value, where x or t do not fit.
        """
        return self.for_thread().forward(*self._check_batch(x, t)) + self.penalty()

    def gradient(self, x: npt.ArrayLike, t: npt.ArrayLike) -> Arrays:
        """The derivatives of the loss by name: `grads`, which the next call overwrites.

        In training: with dropout and noise, normalized by the batch. Raises ShapeError or
        DtypeError, naming row and value, where x or t do not fit.
        """
        self.loss_and_gradient(x, t)
        return self.grads

    def loss_and_gradient(
        self, x: npt.ArrayLike, t: npt.ArrayLike, w: Array | None = None
    ) -> float:
        """Write the derivatives of the loss into `grads` and return it: one pass each way.

        `w` (N,) weighs the rows in the mean. Raises what `gradient` does.
        """
        loss = self.forward(*self._check_batch(x, t), w, train=True)
        self.backward()
        return loss + self.penalty()

    def accuracy(self, x: npt.ArrayLike, t: npt.ArrayLike, batch_size: int | None = None) -> float:
        """The share of all N rows whose largest logit is at the label, for every batch size."""
        x, t = self._check_batch(x, t)
        correct, network = 0, self.for_thread()
        for rows in slices(len(x), batch_size, self.evaluation_rows):
            network.forward(x[rows], t[rows])
            correct += network.loss_layer.count_correct()
        return correct / len(x)

    def penalty(self) -> float:
        """l2 / 2 times the sum of all squared weights."""
        if not self.l2:
            return 0.0
        w = self.vector[: self._n_weights]
        return 0.5 * self.l2 * float(np.dot(w, w))

    @property
    def weight_decay(self) -> float:
        """The old name of `l2`, which works until version 0.3."""
        return float(read_old_name({"weight_decay": self.l2})["l2"])

    @weight_decay.setter
    def weight_decay(self, value: float) -> None:
        self.l2 = read_old_name({"weight_decay": value})["l2"]

    def config(self) -> dict[str, Any]:
        """The arguments that make a network like this one, as JSON values."""
        from scratchnet.networks.saving import describe

        return {
            "kind": "layers",
            "layers": describe(self.layers),
            "loss": describe(self.loss_layer),
            "l2": self.l2,
            "dtype": self.dtype,
            "input_shape": list(self.input_shape),
        }

    # What the Trainer uses: arrays that were checked once, results in kept memory.

    def logits(self, x: Array, *, train: bool = False) -> Array:
        """The last layer's output (N, K) for x (N, D), valid until the next such forward pass.

        Evaluation, with its larger batches, has memory apart from that of training.
        """
        for layer in self.layers:
            layer.keep_apart(train=train)
            x = layer.forward(x, train=train)
        return x

    def forward(self, x: Array, t: Array, w: Array | None = None, *, train: bool = False) -> float:
        """The mean loss over the batch, its rows weighted by w (N,) if given; no penalty."""
        return self.loss_layer.compute(self.logits(x, train=train), t, w)

    def backward(self, share: float = 1.0) -> None:
        """Write the derivatives of the last `forward`, penalty added, into `gradient_vector`.

        `share` is what they are multiplied with: where ranks share a batch, that of its rows.
        """
        dout = self.loss_layer.backward(share)
        for layer in reversed(self.layers[self._lowest + 1 :]):
            dout = layer.backward(dout)
        self.layers[self._lowest].param_grads(dout)
        if self.l2:
            weights = slice(self._n_weights)
            self.gradient_vector[weights] += share * self.l2 * self.vector[weights]

    def _set_rng(self, rng: np.random.Generator) -> None:
        """Let layers that draw random numbers in training take the next ones from `rng`."""
        for layer in self.all_layers:
            if layer.rng is not None:
                layer.rng = rng

    def _set_shard(self, shard: Shard | None) -> None:
        """Tell the layers which rows of a batch come next, where ranks share it; None for all."""
        for layer in self.all_layers:
            layer.shard = shard

    def adapt(self, x: Array, t: Array, scale: float = 1.0, weights: Array | None = None) -> None:
        """Let layers and loss see all training samples, x * scale (N, D) with labels t, once."""
        for layer in self.all_layers:
            layer.adapt(x, scale, weights)
        self.loss_layer.adapt(t, self.output_sizes[-1])

    def _apply_constraints(self) -> None:
        """Put parameters back into the set they must lie in, as below a max-norm."""
        for layer in self.all_layers:
            layer.apply_constraints()

    # The border: what may come in, and copies.

    def check_inputs(self, x: npt.ArrayLike) -> Array:
        """`x` as (N, D) in the network's dtype; images are flattened.

        Raises DtypeError for what is not numbers, ShapeError for another D, and for values that
        are not finite, naming the first.
        """
        normalized, images = self.layers[0].normalizes, self.takes_images
        return check_rows(x, self.input_shape, self.dtype, normalized=normalized, images=images)

    def _check_batch(self, x: npt.ArrayLike, t: npt.ArrayLike) -> tuple[Array, Array]:
        """`x` and `t` as `forward` takes them; raises ShapeError or DtypeError."""
        refuse_swapped(x, t, self.input_size, self.output_sizes[-1])
        x = self.check_inputs(x)
        return x, self.loss_layer.check_targets(t, len(x), self.output_sizes[-1])

    def copy(self, dtype: npt.DTypeLike | None = None) -> Self:
        """Another network with the same parameters in memory of its own, in `dtype` if given."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.layers = copy.deepcopy(self.layers)
        other.loss_layer = copy.deepcopy(self.loss_layer)
        other.dtype = self.dtype if dtype is None else check_dtype(dtype)
        other._adopt()
        return other

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy()

    def __getstate__(self) -> dict[str, Any]:
        """The state for a pickle: no memory of threads."""
        return {**self.__dict__, "_memory": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle: the layers bring their values, the two vectors are made anew."""
        self.__dict__.update(state)
        self._adopt()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.layers))})"
