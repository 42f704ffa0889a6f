"""Gradient checking: the proof that a hand-written backward pass is the derivative of its forward.

Every element of every gradient is compared with a central difference in float64, and a check that
compared nothing worth comparing says so instead of passing.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scratchnet.errors import DtypeError, GradientCheckError, InconclusiveCheckError, ParameterError
from scratchnet.layers import Layer, Loss
from scratchnet.layers.layer import walk
from scratchnet.networks import Network
from scratchnet.networks.naming import name_parameters
from scratchnet.parameters import Array, allocate

STEP = 1e-4
TOLERANCE = 1e-9
NOTHING = 1e-10
"""Gradients below this, relative to the function, are 0 up to the rounding of its differences."""
WEIGHTS = 271828
"""The seed of the weights with which the outputs of a layer are summed: not one of a user's x."""
DIRECTIONS = 3
"""How many random directions are tried for each array."""
RESOLVED = 1e-12
"""A difference of the function by less, relative to it, is taken for rounding."""
MOST_EXCLUDED = 0.1
"""With a larger share of an array's elements on kinks, its check proves too little."""


@dataclass(frozen=True)
class ArrayCheck:
    """How one array's analytic gradient compares with the numerical one."""

    name: str
    elements: int
    excluded: int
    """Elements left out because a unit crosses a kink between the points of their difference."""
    error: float
    """The largest |analytic - numerical| of an element, over the largest gradient in the array."""
    status: str
    """One of "passed", "failed", "inconclusive"."""
    reason: str
    """Why it has not passed; empty where it has."""

    def __str__(self) -> str:
        compared = f"{self.elements - self.excluded} of {self.elements} elements"
        line = f"{self.name:<6} {self.status:<13} error {self.error:.1e} over {compared}"
        return f"{line}: {self.reason}" if self.reason else line


@dataclass(frozen=True)
class GradientReport:
    """The check of every array: "failed" if one has, else "inconclusive" if one proves nothing."""

    arrays: tuple[ArrayCheck, ...]

    @property
    def status(self) -> str:
        """One of "passed", "failed", "inconclusive"."""
        found = {check.status for check in self.arrays}
        return next(word for word in ("failed", "inconclusive", "passed") if word in found)

    def __str__(self) -> str:
        return "\n".join([f"gradient check: {self.status}", *map(str, self.arrays)])


class _Problem(NamedTuple):
    """A function of arrays that can be changed in place, and its claimed derivatives."""

    value: Callable[[], float]
    arrays: dict[str, Array]
    gradients: dict[str, Array]
    layers: tuple[Layer, ...]  # whose kinks count


def check_gradients(
    subject: Layer | Loss | Network,
    x: npt.ArrayLike,
    t: npt.ArrayLike | None = None,
    *,
    train: bool = True,
    tolerance: float = TOLERANCE,
    raises: bool = True,
) -> GradientReport:
    """Compare every gradient of a layer, loss or network at x (N, D) with central differences.

    A network or a loss needs labels t; the outputs of a layer are summed with fixed weights to
    make one number of them. All happens on a copy in float64: the subject stays as it is. With
    h = 1e-4 the difference is (8 (f(+h) - f(-h)) - (f(+2h) - f(-2h))) / 12h, right to O(h^4).
    Layers are in training mode, with the same masks and noise at every evaluation, or with
    train=False in that of evaluation.

    Raises GradientCheckError, which carries its `report`, where the error of an array is above
    `tolerance`, and its subclass InconclusiveCheckError where all gradients of an array are 0 or
    more than a tenth of its elements lie on kinks: neither proves anything. raises=False leaves
    it to the report. Raises DtypeError for integers, which have no derivative.
    """
    x = np.asarray(x)
    if x.dtype.kind != "f":
        raise DtypeError(
            f"x must be floats for a gradient check, got {x.dtype}; use x.astype(float)"
        )
    problem = _pose(subject, x.astype(np.float64), t, train)
    checks = [_check_array(problem, name, tolerance) for name in problem.arrays]
    if train:
        reasons = (layer.gradcheck_caveat(len(x)) for layer in walk(problem.layers))
        reason = next((text for text in reasons if text is not None), None)
        if reason is not None:
            checks = [
                replace(check, status="inconclusive", reason=reason)
                if check.status == "passed"
                else check
                for check in checks
            ]
    report = GradientReport(tuple(checks))
    if raises and report.status != "passed":
        failed = report.status == "failed"
        raise (GradientCheckError if failed else InconclusiveCheckError)(report)
    return report


def check_directions(
    subject: Layer | Loss | Network, x: Array, t: Array | None = None
) -> dict[str, float]:
    """The relative error of each gradient along random directions, by array.

    Along v it is |g v - d| / max(|g v|, |d|, |g| |v| / (10 sqrt n)) with the central difference
    d = (f(w + h v) - f(w - h v)) / 2h and the h that fits best of three. It is far quicker than
    `check_gradients`, and sees what is wrong with a gradient as a whole. The median of a few
    directions counts. Steps over a kink do not; an array whose gradient cannot be told from
    rounding is left out.
    """
    problem = _pose(subject, np.asarray(x, np.float64), t, train=True)
    rng = np.random.default_rng(WEIGHTS)
    errors = {}
    for name, w in problem.arrays.items():
        found = [_error_along(problem, name, rng.normal(size=w.shape)) for _ in range(DIRECTIONS)]
        known = [error for error in found if error is not None]
        if known:
            errors[name] = float(np.median(known))
    return errors


def _error_along(problem: _Problem, name: str, v: Array) -> float | None:
    """The relative error along v; None where the difference says nothing."""
    w, g = problem.arrays[name], problem.gradients[name]
    v *= max(float(np.sqrt(np.square(w).mean())), NOTHING) / float(np.sqrt(np.square(v).mean()))
    along = float((g * v).sum())
    scale = float(np.linalg.norm(g) * np.linalg.norm(v)) / (10 * math.sqrt(v.size))
    size, kept, errors = abs(problem.value()), w.copy(), []
    sides = _pattern(problem.layers)
    for h in (1e-3, 1e-5, 1e-7):
        f, smooth = [], True
        for side in (1, -1):
            w[...] = kept + side * h * v
            f.append(problem.value())
            smooth &= _pattern(problem.layers) == sides
        w[...] = kept
        if not smooth:
            continue
        difference = (f[0] - f[1]) / (2 * h)
        least = max(abs(along), abs(difference), scale)
        if least * h > RESOLVED * max(size, NOTHING):
            errors.append(abs(along - difference) / least)
    return min(errors) if errors else None


def _pose(
    subject: Layer | Loss | Network, x: Array, t: npt.ArrayLike | None, train: bool
) -> _Problem:
    """The function whose derivatives `subject` claims to know, on a float64 copy of it."""
    if isinstance(subject, Network):
        network = subject.copy(dtype="float64")
        x, labels = network._check_batch(x, _needed(t))

        def loss() -> float:
            network._set_rng(np.random.default_rng(0))  # the same masks and noise each time
            return network.forward(x, labels, train=train) + network.penalty()

        loss()
        network.backward()
        claimed = {name: g.copy() for name, g in network.grads.items()}
        return _Problem(loss, dict(network.params), claimed, network.layers)
    if isinstance(subject, Loss):
        criterion = copy.copy(subject)
        labels = criterion.check_targets(_needed(t), *x.shape)
        criterion.compute(x, labels)
        return _Problem(
            lambda: criterion.compute(x, labels), {"x": x}, {"x": criterion.backward().copy()}, ()
        )
    layer = copy.deepcopy(subject)
    within = list(walk([layer]))
    for one in within:
        shapes = (one.shapes, one.shapes, one.statistic_shapes)
        one.adopt(*(allocate(each, np.float64)[1] for each in shapes))

    def forward() -> Array:
        for one in within:
            if one.rng is not None:
                one.rng = np.random.default_rng(0)
        return layer.forward(x, train=train)

    weights = np.random.default_rng(WEIGHTS).normal(size=forward().shape)
    claimed = {"x": layer.backward(weights).copy()}
    params: dict[str, Array] = {}
    for one, names in zip(within, name_parameters(within), strict=True):
        for own in one.shapes:
            name = own if one is layer else names[own]  # W, or W1, W2, ... of layers within
            params[name], claimed[name] = one.params[own], one.grads[own].copy()
    arrays = params if layer.takes_categories else {"x": x, **params}
    return _Problem(lambda: float((forward() * weights).sum()), arrays, claimed, (layer,))


def _needed(t: npt.ArrayLike | None) -> npt.ArrayLike:
    if t is None:
        raise ParameterError("a network or a loss needs labels t for its gradient check, got None")
    return t


def _check_array(problem: _Problem, name: str, tolerance: float) -> ArrayCheck:
    """Compare the claimed gradient of one array with the numerical one."""
    claimed = problem.gradients[name].reshape(-1)
    numerical, smooth = _differentiate(problem, problem.arrays[name])
    excluded = int(np.count_nonzero(~smooth))
    a, n = claimed[smooth], numerical[smooth]
    largest = max(np.abs(a).max(initial=0.0), np.abs(n).max(initial=0.0))
    if largest < NOTHING * max(1.0, abs(problem.value())):
        largest = 0.0
    error = float(np.abs(a - n).max() / largest) if largest else 0.0
    status, reason = "passed", ""
    if not error <= tolerance:  # so that NaN fails
        worst = np.flatnonzero(smooth)[np.abs(a - n).argmax()]
        place = tuple(map(int, np.unravel_index(worst, problem.arrays[name].shape)))
        status = "failed"
        reason = (
            f"at {place} the gradient is {claimed[worst]:.9g}, "
            f"the difference {numerical[worst]:.9g}"
        )
    elif excluded > MOST_EXCLUDED * len(claimed):
        status, reason = "inconclusive", f"{excluded} elements lie on kinks; try another x"
    elif not largest:
        status, reason = "inconclusive", "every gradient is 0; try another x"
    return ArrayCheck(name, len(claimed), excluded, error, status, reason)


def _differentiate(problem: _Problem, array: Array) -> tuple[Array, Array]:
    """The numerical gradient, flat, and which of its elements no kink spoils."""
    problem.value()
    sides = _pattern(problem.layers)
    flat = array.reshape(-1)  # a view: the arrays are contiguous
    numerical, smooth = np.empty(flat.size), np.ones(flat.size, np.bool_)
    for i, middle in enumerate(flat.tolist()):
        f = {}
        for k in (-2, -1, 1, 2):
            flat[i] = middle + k * STEP
            f[k] = problem.value()
            smooth[i] &= _pattern(problem.layers) == sides
        flat[i] = middle
        numerical[i] = (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * STEP)
    return numerical, smooth


def _pattern(layers: tuple[Layer, ...]) -> bytes:
    """Which side of its kinks every unit is on, for comparison."""
    patterns = (layer.kink_pattern() for layer in walk(layers))
    return b"".join(pattern.tobytes() for pattern in patterns if pattern is not None)
