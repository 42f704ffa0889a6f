"""The base of every optimizer: hyper-parameters with their ranges, a rule, a walk over arrays.

A rule is the formula of its paper on plain arrays. `Optimizer.update` walks over the parameters,
so that a rule need not know whether it sees a piece of a network's vector or an array of a dict.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from scratchnet.checks import Range
from scratchnet.errors import CallOrderError, ParameterError
from scratchnet.loops.pages import zeros
from scratchnet.optimizers.loops import run_loop
from scratchnet.optimizers.walk import Closure, Params, apply, as_arrays, walk, weights_in
from scratchnet.parameters import Array, blocks


def hyper(default: Any, *, kw_only: bool = False, **bounds: Any) -> Any:
    """A dataclass field for a hyper-parameter: its default, and the Range of its values."""
    return field(default=default, kw_only=kw_only, metadata={"range": Range(**bounds)})


@dataclass(repr=False)
class Optimizer(ABC):
    """Changes parameters in place; its fields are the hyper-parameters, the learning rate first.

    Three of them every optimizer has, by keyword. `weight_decay` shrinks weights by lr times it at
    each step, apart from the gradient (Loshchilov and Hutter 2017), sparing biases: see
    `parameters.is_weight`. `clip_norm` scales all gradients together so that their norm is at most
    that; `clip_value` limits each value to +- that.

    Raises ParameterError for a value out of its range.
    """

    lr: float = hyper(0.01, above=0)
    weight_decay: float = hyper(0.0, kw_only=True, at_least=0)
    clip_norm: float | None = hyper(None, kw_only=True, above=0, optional=True)
    clip_value: float | None = hyper(None, kw_only=True, above=0, optional=True)

    slots: ClassVar[tuple[str, ...]] = ()
    """The names of the arrays kept for each parameter, for example ("m", "v"); they start at 0."""
    elementwise: ClassVar[bool] = True
    """False for a rule that needs whole arrays in their shape, and cannot take them in blocks."""
    own_weight_decay: ClassVar[bool] = False
    """True for a rule that has weight decay inside of its formula."""
    uses_closure = False  # True where the gradient at other points is needed too, through `closure`
    full_batch = False  # True where the gradient of all samples is meant, not that of a batch

    def __post_init__(self) -> None:
        for one in fields(self):
            allowed = one.metadata.get("range")
            if allowed is not None and getattr(self, one.name) not in allowed:
                raise ParameterError(
                    f"{one.name} must be {allowed}, got {getattr(self, one.name)!r}"
                )
        self.slot_values: dict[str, dict[str, Array]] = {}
        self.scalars: dict[str, dict[str, float]] = {}
        self.steps: dict[str, int] = {}
        self.step = 0
        self._training: dict[str, Array] = {}

    def update(
        self, params: Params, grads: Mapping[str, Array], closure: Closure | None = None
    ) -> None:
        """One step: change every array of `params` in place, given `grads` under the same names.

        Both are a network's, or plain dicts of float arrays or floats. A name seen for the first
        time starts with empty slots and a step count of its own. `closure()`, for the few
        optimizers that look at other points, computes `grads` anew where `params` are, and returns
        the loss.

        Raises ParameterError for a parameter without gradient, ShapeError and DtypeError where
        the two do not match, CallOrderError while the weights are those for evaluation.
        """
        apply(self._update, params, grads, closure)

    def _update(self, params: Params, grads: Mapping[str, Array], closure: Closure | None) -> None:
        """One step of arrays; an optimizer around another one has its own."""
        if self._training:
            raise CallOrderError("the weights are those for evaluation; call to_training(params)")
        scale = self._clip_scale(params, grads)
        for name, w, g in walk(params, grads, not self.elementwise):
            self.name = name
            self.steps[name] = self.step = self.steps.get(name, 0) + 1
            slots = self._slots_of(name, w)
            self.before_rule(self.scalars.setdefault(name, {}))
            decays = self.weight_decay and not self.own_weight_decay
            n = weights_in(params, w) if decays else 0
            if run_loop(self, scale, n, w, g, *slots):
                continue
            if n:
                self.decay_weights(*(array if n == w.size else array[:n] for array in (w, *slots)))
            for block in blocks(w, g, *slots) if self.elementwise else [(w, g, *slots)]:
                self.rule(block[0], self._clipped(block[1], scale), *block[2:])

    @abstractmethod
    def rule(self, w: Array, g: Array, *slots: Any, **none: Any) -> None:
        """Change w, and the slots, in place, given g = dL/dw: arrays of one shape.

        A rule names its slots, in their order. `self.step` counts the updates of
        these parameters, this one included: 1, 2, ...
        """

    def slot_shapes(self, w: Array) -> dict[str, tuple[int, ...]]:
        """The shape of each array kept for the parameters w: that of w, for nearly every rule."""
        return dict.fromkeys(self.slots, w.shape)

    def begin(self, w: Array, *slots: Any, **none: Any) -> None:
        """Fill the slots of parameters seen for the first time, if they do not begin at 0."""

    def decay_weights(self, w: Array, *slots: Any, **none: Any) -> None:
        """w <- w - lr weight_decay w, for weights, before the rule."""
        w *= 1 - self.lr * self.weight_decay

    def before_rule(self, scalars: dict[str, float]) -> None:
        """Advance the single numbers that a rule keeps, once a step; most keep none."""

    def evaluation_weights(self, w: Array, *slots: Any, **none: Any) -> Array | None:
        """The weights to evaluate with, where they are not w itself: an average of the path."""
        return None

    def to_evaluation(self, params: Params) -> None:
        """Put the weights meant for evaluation into `params`; `to_training` brings the others back.

        For most optimizers these are the weights themselves, and nothing happens.
        """
        if type(self).evaluation_weights is Optimizer.evaluation_weights:
            return
        with as_arrays(params) as arrays:
            for name, w, _ in walk(arrays, arrays, not self.elementwise):
                if name in self.slot_values and name not in self._training:
                    averaged = self.evaluation_weights(w, *self.slot_values[name].values())
                    if averaged is not None:
                        self._training[name] = w.copy()
                        w[...] = averaged.reshape(w.shape)

    def to_training(self, params: Params) -> None:
        """Put the weights that training continues from back into `params`."""
        if not self._training:
            return
        with as_arrays(params) as arrays:
            for name, w, _ in walk(arrays, arrays, not self.elementwise):
                if name in self._training:
                    w[...] = self._training.pop(name)

    def arrays_kept(self) -> int:
        """How many arrays of the size of the parameters are kept, at most."""
        return len(self.slots)

    def state(self) -> dict[str, Any]:
        """The optimizer's whole state as plain data: steps, scalars, and copies of the slots."""
        return {
            "steps": dict(self.steps),
            "numbers": {name: dict(kept) for name, kept in self.scalars.items()},
            "memory": {
                name: {what: array.copy() for what, array in arrays.items()}
                for name, arrays in self.slot_values.items()
            },
            "training": {name: w.copy() for name, w in self._training.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` gave, to the same bits."""
        self.steps = dict(state["steps"])
        self.scalars = {name: dict(kept) for name, kept in state["numbers"].items()}
        self.slot_values = {
            name: {what: np.array(array) for what, array in arrays.items()}
            for name, arrays in state["memory"].items()
        }
        self._training = {name: np.array(w) for name, w in state["training"].items()}

    def config(self) -> dict[str, Any]:
        """The class and every hyper-parameter, as JSON values."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {"class": type(self).__name__, **values}

    def __repr__(self) -> str:
        """The class and its hyper-parameters; of those that all optimizers have, what is set."""
        common = {one.name for one in fields(Optimizer) if one.kw_only}
        shown = [one for one in fields(self) if one.name not in common or self._is_set(one)]
        values = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in shown)
        return f"{type(self).__name__}({values})"

    def _is_set(self, one: Field[Any]) -> bool:
        return bool(getattr(self, one.name) != Optimizer.__dataclass_fields__[one.name].default)

    def _slots_of(self, name: str, w: Array) -> list[Array]:
        if name not in self.slot_values:
            shapes = self.slot_shapes(w)
            self.slot_values[name] = {what: zeros(shapes[what], w.dtype) for what in shapes}
            self.begin(w, *self.slot_values[name].values())
        return list(self.slot_values[name].values())

    def _clip_scale(self, params: Params, grads: Mapping[str, Array]) -> float:
        """min(1, clip_norm / norm of all gradients together)."""
        if self.clip_norm is None:
            return 1.0
        pieces = (g.reshape(-1) for _, _, g in walk(params, grads))
        norm = math.sqrt(sum(float(np.dot(g, g)) for g in pieces))
        return self.clip_norm / norm if norm > self.clip_norm else 1.0

    def _clipped(self, g: Array, scale: float) -> Array:
        if scale != 1.0:
            g = scale * g
        return g if self.clip_value is None else np.clip(g, -self.clip_value, self.clip_value)
