"""Optimizers around another one, and the one that SciPy brings."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from scratchnet.errors import ParameterError
from scratchnet.optimizers.adaptive import Adam
from scratchnet.optimizers.descent import Momentum
from scratchnet.optimizers.optimizer import Optimizer, hyper
from scratchnet.optimizers.walk import Closure, Params, walk
from scratchnet.parameters import Array

COMMON = ("weight_decay", "clip_norm", "clip_value")


@dataclass(repr=False)
class Wrapper(Optimizer):
    """An optimizer around another, `inner`: what both have, as lr or weight_decay, is the inner's.

    `lr` None takes the inner one's.
    """

    lr: float = hyper(None, above=0, optional=True)
    inner: Optimizer = field(default_factory=Momentum)

    def __post_init__(self) -> None:
        if not isinstance(self.inner, Optimizer):
            raise ParameterError(
                f"inner must be an optimizer, for example Adam(), got {self.inner!r}"
            )
        super().__post_init__()
        given = [name for name in COMMON if self._is_set(self.__dataclass_fields__[name])]
        given += [] if self.lr is None else ["lr"]
        if given:  # made anew, so that the inner one checks what it is given
            self.inner = replace(self.inner, **{name: getattr(self, name) for name in given})
        self.lr = self.inner.lr
        self.uses_closure = self.inner.uses_closure
        self.full_batch = self.inner.full_batch

    @abstractmethod
    def _update(self, params: Params, grads: Mapping[str, Array], closure: Closure | None) -> None:
        """One step of the inner optimizer, at this one's lr."""
        self.inner.lr = self.lr
        self.inner.update(params, grads, closure)

    def rule(self, w: Array, g: Array, *slots: Any, **none: Any) -> None:
        """The inner optimizer's."""
        self.inner.rule(w, g, *slots)

    def to_evaluation(self, params: Params) -> None:
        """Put the weights that the inner optimizer evaluates with into `params`."""
        self.inner.to_evaluation(params)

    def to_training(self, params: Params) -> None:
        """Put the weights that training continues from back into `params`."""
        self.inner.to_training(params)

    def state(self) -> dict[str, Any]:
        """The state of this and of the inner optimizer."""
        return {**super().state(), "inner": self.inner.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` gave, here and within."""
        super().restore(state)
        self.inner.restore(state["inner"])

    def arrays_kept(self) -> int:
        """How many arrays are kept here and within."""
        return super().arrays_kept() + self.inner.arrays_kept()

    def config(self) -> dict[str, Any]:
        """The class, every hyper-parameter, and the inner optimizer's."""
        return {**super().config(), "inner": self.inner.config()}

    def _visit(self, params: Params) -> list[tuple[Array, Array]]:
        """Parameters and the slot kept beside them, counted as one more step."""
        found = []
        for name, w, _ in walk(params, params):
            (slot,) = self._slots_of(name, w)
            self.steps[name] = self.steps.get(name, 0) + 1
            found.append((w, slot))
        return found


@dataclass(repr=False)
class EMA(Wrapper):
    """Exponential moving average: evaluation with an average over the path of `inner`.

    a <- decay a + (1 - decay) w, after every step of `inner`. Evaluation uses a / (1 - decay^t),
    freed of its start at 0 as Adam's means are. Use it where the last steps are noisy: it is
    nearly free. Polyak and Juditsky 1992, with Adam's correction.
    """

    decay: float = hyper(0.999, at_least=0, below=1)
    slots = ("average",)

    def _update(self, params: Params, grads: Mapping[str, Array], closure: Closure | None) -> None:
        super()._update(params, grads, closure)
        for w, average in self._visit(params):
            step = w - average
            step *= 1 - self.decay
            average += step

    def evaluation_weights(self, w: Array, average: Array) -> Array:
        return average / (1 - self.decay ** max(self.steps.values()))

    to_evaluation = Optimizer.to_evaluation
    to_training = Optimizer.to_training


@dataclass(repr=False)
class Lookahead(Wrapper):
    """Lookahead: `inner` explores for k steps, then slow weights go part of the way after it.

    s <- s + alpha (w - s), every k steps;  w <- s then. s starts where w does, and evaluation
    uses it. Use it to steady an optimizer that is fast and rough. Zhang et al. 2019, algorithm 1.
    """

    inner: Optimizer = field(default_factory=Adam)
    k: int = hyper(5, at_least=1, integer=True)
    alpha: float = hyper(0.5, above=0, at_most=1)
    slots = ("slow",)

    def begin(self, w: Array, slow: Array) -> None:
        slow[...] = w

    def _update(self, params: Params, grads: Mapping[str, Array], closure: Closure | None) -> None:
        pairs = self._visit(params)
        super()._update(params, grads, closure)
        if max(self.steps.values()) % self.k == 0:
            for w, slow in pairs:
                slow += self.alpha * (w - slow)
                w[...] = slow

    def evaluation_weights(self, w: Array, slow: Array) -> Array:
        return slow

    to_evaluation = Optimizer.to_evaluation
    to_training = Optimizer.to_training


@dataclass(repr=False)
class SAM(Wrapper):
    """Sharpness-aware minimisation: `inner` steps by the gradient of the worst point nearby.

    e = rho g / |g|;  g <- the gradient at w + e;  w <- the step of `inner` from w by that g.
    |g| is over all parameters together. Twice the work of a step; needs `closure`. Use it where
    generalisation is worth the time. Foret et al. 2020, algorithm 1.
    """

    rho: float = hyper(0.05, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inner.uses_closure:
            raise ParameterError(
                "inner of sam must step by the gradient it is given; sam and lbfgs look for their "
                f"own, got {self.inner!r}"
            )
        self.uses_closure = True

    def _update(self, params: Params, grads: Mapping[str, Array], closure: Closure | None) -> None:
        compute = require(closure, "sam")
        pieces = list(walk(params, grads))
        norm = math.sqrt(sum(float(np.vdot(g, g)) for _, _, g in pieces))
        if norm:
            here = [w.copy() for _, w, _ in pieces]
            for _, w, g in pieces:
                w += (self.rho / norm) * g
            compute()
            for (_, w, _), start in zip(pieces, here, strict=True):
                w[...] = start
        super()._update(params, grads, None)


@dataclass(repr=False)
class LBFGS(Optimizer):
    """L-BFGS: steps by the curvature that the last gradients show, each found by a line search.

    w <- w - a H g, up to `iterations` times in each update: less where every derivative is below
    `tolerance`, or after `evaluations` gradients. H is built from the last `history` pairs of
    changes in w and g, and a found by a line search: SciPy's L-BFGS-B does both, in float64, and
    begins anew at each update. Means the gradient of all samples, and needs `closure`. lr has no
    part in it and must be 1; weight decay and clipping are refused. Use it for small sets and
    exact minima. Liu and Nocedal 1989; Byrd et al. 1995.
    """

    lr: float = hyper(1.0, at_least=1, at_most=1)
    iterations: int = hyper(20, at_least=1, integer=True)
    history: int = hyper(10, at_least=1, integer=True)
    tolerance: float = hyper(1e-5, at_least=0)
    evaluations: int = hyper(15000, at_least=1, integer=True)
    uses_closure = True
    full_batch = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.iterated = 0  # how many iterations the last update made
        self.ended: str | None = None  # why it ended, if not at a minimum
        for name in COMMON:
            if self._is_set(self.__dataclass_fields__[name]):
                raise ParameterError(
                    f"lbfgs follows the loss alone and takes no {name}; put an L2 penalty into it"
                )

    def _update(self, params: Params, grads: Mapping[str, Array], closure: Closure | None) -> None:
        from scipy.optimize import minimize

        compute = require(closure, "lbfgs")
        pieces = list(walk(params, grads))

        def at(point: Array) -> tuple[float, Array]:
            place(point)
            loss = compute()
            slopes = [g.ravel() for _, _, g in walk(params, grads)]  # which may be other arrays now
            return loss, np.concatenate(slopes).astype(np.float64)

        def place(point: Array) -> None:
            start = 0
            for _, w, _ in pieces:
                w[...] = point[start : start + w.size].reshape(w.shape)
                start += w.size

        start = np.concatenate([w.ravel() for _, w, _ in pieces]).astype(np.float64)
        options = {
            "maxiter": self.iterations,
            "maxcor": self.history,
            "gtol": self.tolerance,
            "maxfun": self.evaluations,
        }
        found = minimize(at, start, jac=True, method="L-BFGS-B", options=options)
        self.iterated = int(found.nit)
        self.ended = None if found.status == 0 else str(found.message)
        place(found.x)

    def rule(self, w: Array, g: Array, *slots: Any, **none: Any) -> None:
        """There is none for a piece of the parameters: L-BFGS sees them all."""
        raise ParameterError("lbfgs has no rule for single arrays; call update")


def require(closure: Closure | None, name: str) -> Closure:
    """`closure`; raises ParameterError where the caller gave none."""
    if closure is None:
        raise ParameterError(
            f"{name} needs the gradient at other points: call update(params, grads, closure), with "
            "closure = lambda: network.loss_and_gradient(x, t)"
        )
    return closure
