"""Surfaces over the plane with exact gradients, and the path that an optimizer takes on one.

Small enough to draw, and each with a difficulty of its own: a valley, a bend, a pit, a saddle,
noise. The table at the end names them all; another one is a class here and a line there.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer
from scratchnet.errors import ParameterError
from scratchnet.optimizers import Optimizer, make_optimizer
from scratchnet.optimizers.wrappers import Wrapper
from scratchnet.parameters import Array
from scratchnet.randomness import generator
from scratchnet.registry import pick

Point = tuple[float, float]
Numbers = Any
"""Arrays of one shape, as `np.meshgrid` gives, or single numbers: what goes in comes out."""

RATES: tuple[float, ...] = (
    *(float(f"{digit}e{power}") for power in range(-7, 1) for digit in (1, 2, 5)),
    10.0,
)
"""1, 2 and 5 times the powers of ten, from 1e-7 to 10: the learning rates that are tried."""
LAST = 10
"""Over so many points at its end the height of a noisy path is averaged."""


class Surface(ABC):
    """A function f(x, y) with its gradient, and what is known about it."""

    starts: ClassVar[tuple[Point, ...]]
    """Where paths usually begin; the first is the default."""
    minima: ClassVar[tuple[Point, ...]]
    """Every point where f is lowest; () where it falls without end."""
    lowest: ClassVar[float] = 0.0
    """f at the minima."""
    limits: ClassVar[tuple[tuple[float, float], tuple[float, float]]]
    """The part to draw: from and to, of x and of y."""
    steps: ClassVar[int] = 100
    """How many updates show what there is to see."""
    rates: ClassVar[Mapping[str, float]] = MappingProxyType({})
    """The learning rates that it is usually drawn with, by the optimizer's name."""
    noise: ClassVar[float] = 0.0
    """Deviation of u and v, drawn anew for every step of a path over f(x, y) + u x + v y."""

    @abstractmethod
    def value(self, x: Numbers, y: Numbers) -> Numbers:
        """f(x, y)."""

    @abstractmethod
    def gradient(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
        """df/dx and df/dy."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Ellipse(Surface):
    """f = x^2 / 20 + y^2: ten times as steep in y as in x is far to go.

    Chapter 6 of "Deep Learning from Scratch", with its start, its 30 updates and its rates.
    """

    starts = ((-7.0, 2.0),)
    minima = ((0.0, 0.0),)
    limits = ((-8.0, 3.0), (-3.0, 3.0))
    steps = 30
    rates = MappingProxyType(
        {
            "sgd": 0.95,
            "momentum": 0.1,
            "nesterov": 0.1,
            "adagrad": 1.5,
            "rmsprop": 0.1,
            "adam": 0.3,
        }
    )

    def value(self, x: Numbers, y: Numbers) -> Numbers:
        return x**2 / 20 + y**2

    def gradient(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
        return x / 10, 2 * y


class Rosenbrock(Surface):
    """f = (1 - x)^2 + 100 (y - x^2)^2: a bent valley, easy to find and slow to follow.

    Rosenbrock 1960.
    """

    starts = ((-2.0, 2.0), (-0.5, 1.5))
    minima = ((1.0, 1.0),)
    limits = ((-2.5, 2.5), (-1.5, 3.5))
    steps = 200

    def value(self, x: Numbers, y: Numbers) -> Numbers:
        return (1 - x) ** 2 + 100 * (y - x**2) ** 2

    def gradient(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
        d = y - x**2
        return -2 * (1 - x) - 400 * x * d, 200 * d


class Beale(Surface):
    """f = (1.5 - x + x y)^2 + (2.25 - x + x y^2)^2 + (2.625 - x + x y^3)^2: cliffs about a plain.

    Beale 1958. From the second start, at f = 169,680, plain gradient descent mostly diverges.
    """

    starts = ((1.0, 1.5), (-4.5, 4.5))
    minima = ((3.0, 0.5),)
    limits = ((-4.5, 4.5), (-4.5, 4.5))
    steps = 200

    def value(self, x: Numbers, y: Numbers) -> Numbers:
        return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2

    def gradient(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
        a, b, c = 1.5 - x + x * y, 2.25 - x + x * y**2, 2.625 - x + x * y**3
        dx = 2 * (a * (y - 1) + b * (y**2 - 1) + c * (y**3 - 1))
        dy = 2 * x * (a + 2 * b * y + 3 * c * y**2)
        return dx, dy


class Himmelblau(Surface):
    """f = (x^2 + y - 11)^2 + (x + y^2 - 7)^2: four minima; the start and the rule choose.

    The second start is close to the top of the hill between them. Himmelblau 1972.
    """

    starts = ((0.0, 0.0), (-0.3, -1.0))
    minima = (
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.2831859912861696),
        (3.5844283403304917, -1.8481265269644036),
    )
    limits = ((-5.5, 5.5), (-5.5, 5.5))
    steps = 50

    def value(self, x: Numbers, y: Numbers) -> Numbers:
        return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2

    def gradient(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
        a, b = x**2 + y - 11, x + y**2 - 7
        return 4 * x * a + 2 * b, 2 * a + 4 * y * b


class Booth(Surface):
    """f = (x + 2 y - 7)^2 + (2 x + y - 5)^2: a valley that runs across both axes.

    So a rule with a rate for each coordinate gains nothing from it. Booth 1947.
    """

    starts = ((-8.0, 2.0),)
    minima = ((1.0, 3.0),)
    limits = ((-10.0, 10.0), (-10.0, 10.0))
    steps = 50

    def value(self, x: Numbers, y: Numbers) -> Numbers:
        return (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2

    def gradient(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
        return 10 * x + 8 * y - 34, 8 * x + 10 * y - 38


class ThreeHumpCamel(Surface):
    """f = 2 x^2 - 1.05 x^4 + x^6 / 6 + x y + y^2: two shallow minima beside the deep one.

    The shallow ones are at +-(1.7476, -0.8738), where f = 0.2986. Dixon and Szegoe 1978.
    """

    starts = ((-2.0, 1.8),)
    minima = ((0.0, 0.0),)
    limits = ((-2.3, 2.3), (-2.3, 2.3))
    steps = 50

    def value(self, x: Numbers, y: Numbers) -> Numbers:
        return 2 * x**2 - 1.05 * x**4 + x**6 / 6 + x * y + y**2

    def gradient(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
        return 4 * x - 4.2 * x**3 + x**5 + y, x + 2 * y


class Saddle(Surface):
    """f = x^2 - y^2: downhill to a point that is no minimum, and then down for ever.

    The start lies just off the ridge y = 0. A fast rule leaves the limits, and may overflow.
    """

    starts = ((-2.0, 0.001),)
    minima = ()
    lowest = -math.inf
    limits = ((-2.5, 2.5), (-2.5, 2.5))
    steps = 50

    def value(self, x: Numbers, y: Numbers) -> Numbers:
        return x**2 - y**2

    def gradient(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
        return 2 * x, -2 * y


class Plateau(Surface):
    """f = 1 - exp(-(x^2 + y^2) / 2): a pit in a plain that is all but flat.

    At the start the slope is 0.0054, so a rule in proportion to it stands still.
    """

    starts = ((-3.0, 2.0),)
    minima = ((0.0, 0.0),)
    limits = ((-5.0, 5.0), (-5.0, 5.0))

    def value(self, x: Numbers, y: Numbers) -> Numbers:
        return -np.expm1(-(x**2 + y**2) / 2)

    def gradient(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
        bell = np.exp(-(x**2 + y**2) / 2)
        return x * bell, y * bell


class NoisyQuadratic(Surface):
    """f = (x^2 + y^2) / 2, and f + u x + v y at every step of a path, with u, v ~ N(0, 1).

    The noise is that of mini-batches: the mean of all steps' surfaces is f, the gradient of each is
    off by (u, v). The form of the noise is that of the 2-D problems of Schneider et al. 2019.
    """

    starts = ((-3.0, 2.0),)
    minima = ((0.0, 0.0),)
    limits = ((-4.0, 4.0), (-4.0, 4.0))
    noise = 1.0

    def value(self, x: Numbers, y: Numbers) -> Numbers:
        return (x**2 + y**2) / 2

    def gradient(self, x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
        return x, y


def trace(
    optimizer: str | Optimizer,
    surface: str | Surface,
    start: npt.ArrayLike | None = None,
    steps: int = 100,
    seed: int = 0,
    *,
    training: bool = False,
) -> Array:
    """The path (steps + 1, 2) in float64: (x, y) before the first update and after each.

    An optimizer by name has its defaults; of an object only the hyper-parameters count, and it is
    left as it was. `start` None is the surface's own; `seed` is for noisy surfaces. A point is one
    parameter of two values: the same to the bit as x and y apart for rules that look at values one
    by one; those with norms (LAMB, LARS, Adafactor) take the norm of both. With no matrix here
    muon is its share of Adam, and weight_decay does nothing.

    A rule that averages (ASGD, EMA, Lookahead, schedule-free) shows the average that it would be
    evaluated with; `training` True shows the points where it takes its gradients.

    From the first point that is not finite on, every row is nan: what led there stays, a plot ends
    the line where it diverged, and nothing warns.

    >>> trace("sgd", "ellipse", steps=1)
    array([[-7.   ,  2.   ],
           [-6.993,  1.96 ]])

    Raises ParameterError for an unknown name, a start that is not two finite numbers, steps below
    1, or a seed below 0.
    """
    where = surface if isinstance(surface, Surface) else pick(SURFACES, surface, "surface")
    walker = _Walker(_unused(make_optimizer(optimizer)), where, check_start(start, where))
    steps = check_integer("steps", steps, 1)
    tilts = draw_tilts(where, steps, seed)
    path = np.full((steps + 1, 2), np.nan)
    path[0] = walker.point
    with np.errstate(all="ignore"):  # to overflow is an outcome here, not a slip
        for row, tilt in zip(path[1:], tilts, strict=True):
            found = walker.step(tilt, training)
            if not np.isfinite(found).all():
                break
            row[:] = found
    return path


def draw_tilts(surface: Surface, steps: int, seed: int = 0) -> Array:
    """The (u, v) of each of the first `steps` steps of a path (steps, 2); 0 where f has no noise.

    Raises ParameterError for a seed below 0.
    """
    return surface.noise * generator(seed, "noise").standard_normal((steps, 2))


def tuned_rate(
    optimizer: str | Optimizer,
    surface: str | Surface,
    start: npt.ArrayLike | None = None,
    steps: int | None = None,
    rates: Sequence[float] = RATES,
    seed: int = 0,
) -> float:
    """The one of `rates` whose path ends lowest: what a fair picture draws an optimizer with.

    Defaults of networks are of no use here: surfaces differ in steepness by powers of ten. Of a
    noisy path the last ten heights are averaged. Where f has no minimum, and the largest rate
    would always win, it is the smallest that leads out of the limits. `steps` None is the
    surface's own number. A rate that the optimizer does not allow is passed over.

    Raises ParameterError as `trace` does, or where it allows none of `rates`.
    """
    where = surface if isinstance(surface, Surface) else pick(SURFACES, surface, "surface")
    walker = make_optimizer(optimizer)
    steps = where.steps if steps is None else steps
    allowed = type(walker).__dataclass_fields__["lr"].metadata["range"]
    heights: dict[float, float] = {}
    for rate in sorted(rates):
        if rate in allowed:
            path = trace(replace(walker, lr=rate), where, start, steps, seed)
            heights[rate] = _height(path, where)
            if heights[rate] == -math.inf:
                break
    if not heights:
        raise ParameterError(f"rates must hold one that is {allowed}, got {list(rates)}")
    return min(heights, key=lambda rate: heights[rate])


def _height(path: Array, surface: Surface) -> float:
    """f where the path ends: inf if it diverged, -inf if it left the limits of an endless fall."""
    if not surface.minima:
        low, high = np.transpose(surface.limits)
        if ((path < low) | (path > high)).any():
            return -math.inf
    with np.errstate(all="ignore"):
        last = surface.value(*path[-LAST if surface.noise else -1 :].T).mean()
    return float(last) if np.isfinite(last) else math.inf


def check_start(start: npt.ArrayLike | None, surface: Surface) -> Array:
    """`start`, or the surface's first, as a new array (2,); raises ParameterError."""
    try:
        point = np.array(surface.starts[0] if start is None else start)
    except ValueError:  # rows of unequal lengths
        point = np.empty(0)
    if point.shape != (2,) or point.dtype.kind not in "iuf" or not np.isfinite(point).all():
        raise ParameterError(f"start must be two finite numbers, as (-7, 2), got {start!r}")
    return point.astype(np.float64)


class _Walker:
    """An optimizer on its way: the point, its gradient, and the tilt (u, v) of this step."""

    def __init__(self, optimizer: Optimizer, surface: Surface, point: Array) -> None:
        self.optimizer, self.surface, self.point = optimizer, surface, point
        self.params = {"point": point}
        self.grads = {"point": np.zeros(2)}
        self.tilt = np.zeros(2)

    def closure(self) -> float:
        """Compute the gradient where the point is now; return the value."""
        x, y = self.point
        self.grads["point"][:] = self.surface.gradient(x, y)
        self.grads["point"] += self.tilt
        return float(self.surface.value(x, y) + self.tilt @ self.point)

    def step(self, tilt: Array, training: bool) -> Array:
        """Update once; the point (2,) to show."""
        self.tilt = tilt
        self.closure()
        self.optimizer.update(self.params, self.grads, self.closure)
        if training:
            return self.point.copy()
        self.optimizer.to_evaluation(self.params)
        shown = self.point.copy()
        self.optimizer.to_training(self.params)
        return shown


def _unused(optimizer: Optimizer) -> Optimizer:
    """Another one with the same hyper-parameters, and within it another `inner`, new as well."""
    if isinstance(optimizer, Wrapper):
        return replace(optimizer, inner=_unused(optimizer.inner))
    return replace(optimizer)


SURFACES: Mapping[str, Surface] = MappingProxyType(
    {
        "ellipse": Ellipse(),
        "rosenbrock": Rosenbrock(),
        "beale": Beale(),
        "himmelblau": Himmelblau(),
        "booth": Booth(),
        "three-hump-camel": ThreeHumpCamel(),
        "saddle": Saddle(),
        "plateau": Plateau(),
        "noisy-quadratic": NoisyQuadratic(),
    }
)
"""Every surface by name."""
