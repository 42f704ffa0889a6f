"""Optimizers: how a step along the gradient g changes the parameters w.

Every class is its paper's formula on plain arrays: `rule` says what happens to w, given g and
whatever the optimizer remembers. The base class walks over the parameters, so a rule need not
know whether it sees a network's vector, a piece of it, or an array of a dict.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, final

import numpy as np

from scratchnet.errors import DtypeError, ParameterError, ShapeError
from scratchnet.parameters import Array, Arrays
from scratchnet.registry import pick

BLOCK = 32_768
"""Values handled at a time: their temporaries stay in the processor's cache."""


class Range(NamedTuple):
    """The values a hyper-parameter may have: from `low` to `high`, ends included where said."""

    low: float
    high: float
    includes_low: bool

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            return False
        above = value >= self.low if self.includes_low else value > self.low
        return bool(above and value < self.high and math.isfinite(value))

    def __str__(self) -> str:
        least = f"{'>=' if self.includes_low else '>'} {self.low:g}"
        return least if self.high == math.inf else f"{least} and < {self.high:g}"


RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "lr": Range(0, math.inf, includes_low=False),
        "momentum": Range(0, 1, includes_low=True),
        "decay": Range(0, 1, includes_low=True),
        "beta1": Range(0, 1, includes_low=True),
        "beta2": Range(0, 1, includes_low=True),
        "eps": Range(0, math.inf, includes_low=False),
    }
)
"""Every hyper-parameter of every optimizer by its name, which means the same in all of them."""


@dataclass
class Optimizer(ABC):
    """Changes parameters in place; its fields are the hyper-parameters, the learning rate first.

    Raises ParameterError for a value outside of RANGES.
    """

    lr: float = 0.01

    remembers: ClassVar[tuple[str, ...]] = ()
    """The arrays kept for each parameter, as ("m", "v"); they start at 0."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, allowed = getattr(self, field.name), RANGES[field.name]
            if value not in allowed:
                raise ParameterError(
                    f"{field.name} must be a finite number {allowed}, got {value!r}"
                )
        self.memory: dict[str, dict[str, Array]] = {}
        self.steps: dict[str, int] = {}
        self.step = 0

    @final
    def update(
        self, params: MutableMapping[str, Array] | Arrays, grads: Mapping[str, Array]
    ) -> None:
        """One step: change every array of `params` in place, given `grads` under the same names.

        `params` and `grads` are a network's, or plain dicts of float arrays. A name seen for the
        first time starts with an empty memory and its own count of steps.

        Raises ParameterError for a parameter without gradient, ShapeError and DtypeError where
        the two do not match.
        """
        for name, w, g in _pairs(params, grads):
            self.steps[name] = self.step = self.steps.get(name, 0) + 1
            for block in _blocks(w, g, *self._memory_of(name, w)):
                self.rule(*block)

    @abstractmethod
    def rule(self, w: Array, g: Array, *memory: Any, **none: Any) -> None:
        """Change w, and the memory, in place, given g = dL/dw: arrays of one length.

        A rule names its memory, in the order of `remembers`. `self.step` counts the updates of
        these parameters, this one included: 1, 2, ...
        """

    def _memory_of(self, name: str, w: Array) -> list[Array]:
        if name not in self.memory:
            self.memory[name] = {what: np.zeros(w.shape, w.dtype) for what in self.remembers}
        return list(self.memory[name].values())


def _pairs(
    params: Mapping[str, Array], grads: Mapping[str, Array]
) -> Iterator[tuple[str, Array, Array]]:
    """Name, parameters and gradient: a network's whole vector, or its arrays one by one."""
    whole, whole_grads = getattr(params, "vector", None), getattr(grads, "vector", None)
    if whole is not None and whole_grads is not None and whole.size == whole_grads.size:
        yield "vector", whole, whole_grads
        return
    for name, w in params.items():
        if name not in grads:
            raise ParameterError(f"every parameter needs a gradient, there is none for {name!r}")
        g = grads[name]
        if not isinstance(w, np.ndarray) or w.dtype.kind != "f":
            raise DtypeError(
                f"parameters must be arrays of floats, {name!r} is {getattr(w, 'dtype', type(w))}"
            )
        if np.shape(g) != w.shape:
            raise ShapeError(
                f"a gradient has the shape of its parameter, {name!r} has {w.shape}, "
                f"its gradient {np.shape(g)}"
            )
        yield name, w, np.asarray(g)


def _blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Pieces of arrays of one shape, BLOCK values at a time; views, so that they can be changed."""
    if not arrays[0].flags.c_contiguous:  # flattening it would copy
        yield arrays
        return
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, BLOCK):
        yield tuple(array[start : start + BLOCK] for array in flat)


@dataclass
class SGD(Optimizer):
    """Stochastic gradient descent: w <- w - lr g.

    Robbins and Monro, 1951. lr > 0.
    """

    def rule(self, w: Array, g: Array) -> None:
        w -= self.lr * g


@dataclass
class Momentum(Optimizer):
    """Momentum: v <- momentum v - lr g;  w <- w + v.

    A ball on the slope with friction 1 - momentum (Polyak 1964; the form of Sutskever et al.
    2013, eq. 1-2, and of the book). lr is inside of v; torch keeps it outside, which is the same
    as long as lr does not change.
    """

    momentum: float = 0.9
    remembers = ("v",)

    def rule(self, w: Array, g: Array, v: Array) -> None:
        v *= self.momentum
        v -= self.lr * g
        w += v


@dataclass
class Nesterov(Optimizer):
    """Nesterov's accelerated gradient: v <- momentum v - lr g;  w <- w + momentum v - lr g.

    The gradient is taken where the momentum is about to lead: w here is that point (Sutskever et
    al. 2013, eq. 3-4, in the variable of Bengio et al. 2013, eq. 7). torch's form is the same as
    long as lr does not change.
    """

    momentum: float = 0.9
    remembers = ("v",)

    def rule(self, w: Array, g: Array, v: Array) -> None:
        v *= self.momentum
        v -= self.lr * g
        w += self.momentum * v - self.lr * g


@dataclass
class AdaGrad(Optimizer):
    """AdaGrad: h <- h + g^2;  w <- w - lr g / (sqrt(h) + eps).

    A rate for each weight that falls with the gradients it has seen (Duchi et al. 2011). eps is
    outside of the root; 1e-7 is the book's, torch has 1e-10.
    """

    eps: float = 1e-7
    remembers = ("h",)

    def rule(self, w: Array, g: Array, h: Array) -> None:
        h += g * g
        w -= self.lr * g / (np.sqrt(h) + self.eps)


@dataclass
class RMSprop(Optimizer):
    """RMSprop: h <- decay h + (1 - decay) g^2;  w <- w - lr g / (sqrt(h) + eps).

    AdaGrad that forgets (Tieleman and Hinton 2012, lecture 6e). eps is outside of the root, as
    in torch; decay 0.99 is the book's and torch's, eps 1e-7 the book's.
    """

    decay: float = 0.99
    eps: float = 1e-7
    remembers = ("h",)

    def rule(self, w: Array, g: Array, h: Array) -> None:
        h *= self.decay
        h += (1 - self.decay) * g * g
        w -= self.lr * g / (np.sqrt(h) + self.eps)


@dataclass
class Adam(Optimizer):
    """Adam: momentum over AdaGrad that forgets, both freed of their start at 0.

    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
    w <- w - lr m^ / (sqrt(v^) + eps),  m^ = m / (1 - beta1^t),  v^ = v / (1 - beta2^t),
    with t the number of the step (Kingma and Ba 2014, algorithm 1). eps is outside of the root
    of v^; the book folds the corrections into lr, which makes its eps another one.
    """

    lr: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    remembers = ("m", "v")

    def rule(self, w: Array, g: Array, m: Array, v: Array) -> None:
        t = self.step
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * g * g
        v_hat = v / (1 - self.beta2**t)
        w -= (self.lr / (1 - self.beta1**t)) * m / (np.sqrt(v_hat) + self.eps)


def make_optimizer(which: str | Optimizer, lr: float | None = None, **options: Any) -> Optimizer:
    """The optimizer called `which`, at its own default lr unless given; an Optimizer as it is.

    >>> make_optimizer("Adam")
    Adam(lr=0.001, beta1=0.9, beta2=0.999, eps=1e-08)

    Raises ParameterError for an unknown name or option, or a value out of range.
    """
    if isinstance(which, Optimizer):
        if lr is not None or options:
            raise ParameterError("give lr to the optimizer itself, or give its name instead")
        return which
    kind = pick(OPTIMIZERS, which, "optimizer")
    known = [field.name for field in fields(kind)]
    for name in options:
        if name not in known:
            raise ParameterError(f"{which} has no option {name!r}; it has {', '.join(known)}")
    return kind(**({} if lr is None else {"lr": lr}), **options)


OPTIMIZERS: Mapping[str, type[Optimizer]] = MappingProxyType(
    {
        "sgd": SGD,
        "momentum": Momentum,
        "nesterov": Nesterov,
        "adagrad": AdaGrad,
        "rmsprop": RMSprop,
        "adam": Adam,
    }
)
