"""The one problem that every optimizer is followed on, and the files that hold what others did.

The tests follow scratchnet's optimizers, the makers beside this file follow torch's, optax's and
schedulefree's, and both must see the very same gradients. So all of it is sums and products of
stored uniform draws: no logarithm, no exponential, nothing that another processor or another
mathematics library would round differently. RandomState is here because NumPy promises never to
change its streams.

A few steps are no ordinary ones. Gradients of exactly 0, of 1e-12 and of 1e4 are where a formula
with its eps in the wrong place, or its average updated in the wrong order, shows itself; they
come once every state is warm, alone, after each other, and side by side in one array. b2 starts
at 0, as biases do, because formulas with the norm of w in them need a rule for that.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

STEPS = 120
"""A trajectory has the steps 1, 2, ..., STEPS."""

SHAPES = {"W1": (5, 4), "b1": (4,), "W2": (4, 4), "b2": (4,), "W3": (4, 3)}
MATRICES = ("W1", "W2", "W3")
"""What weight decay applies to: a bias is spared."""

ZERO_STEPS = (26, 27, 61, 100)
TINY_STEPS = (33, 62, 84)
HUGE_STEPS = (45, 112)
MIXED_STEPS = (52, 93)
"""In these steps every single weight draws its own scale, from MIXED_SCALES."""

TINY, HUGE = 1e-12, 1e4
MIXED_SCALES = (0.0, TINY, 1.0, HUGE)

KEPT_STEPS = tuple(range(1, STEPS + 1))
"""The steps in the files: all."""

KEPT_EVALUATIONS = tuple(range(10, STEPS + 1, 10))
"""The steps after which the weights meant for use are in the files, where they are others."""

FOLDER = Path(__file__).parent

Arrays = dict[str, np.ndarray]


class Problem(NamedTuple):
    """Where the parameters start, and per parameter what its gradient is made of."""

    start: Arrays
    target: Arrays
    curvature: Arrays
    noise: Arrays
    scale: Arrays


class Reference(NamedTuple):
    """One stored trajectory: the parameters after each of `steps`, as arrays (steps, *shape).

    `evaluation`, after each of `evaluation_steps`, holds the weights meant for use where a method
    trains at other ones; it is empty for all other methods. `config` says who computed it, how.
    """

    steps: np.ndarray
    path: Arrays
    evaluation_steps: np.ndarray
    evaluation: Arrays
    config: dict[str, Any]


def _problem() -> Problem:
    draw = np.random.RandomState(1847)

    def uniform(low: float, high: float, *size: int) -> np.ndarray:
        return low + (high - low) * draw.random_sample(size)

    problem = Problem({}, {}, {}, {}, {})
    common = _scale_of_steps(uniform(0.0, 1.0, STEPS))
    for name, shape in SHAPES.items():
        problem.start[name] = np.zeros(shape) if name == "b2" else uniform(-1.0, 1.0, *shape)
        problem.target[name] = uniform(-2.0, 2.0, *shape)
        problem.curvature[name] = uniform(0.1, 2.0, *shape)
        problem.noise[name] = uniform(-0.6, 0.6, STEPS, *shape)
        scale = np.ones((STEPS, *shape)) * common.reshape(STEPS, *[1] * len(shape))
        for step in MIXED_STEPS:
            scale[step - 1] = np.take(MIXED_SCALES, draw.randint(len(MIXED_SCALES), size=shape))
        problem.scale[name] = scale
    return problem


def _scale_of_steps(draws: np.ndarray) -> np.ndarray:
    """Ordinary steps differ by a factor of up to 40, so that clipping is on at times."""
    scale = 0.05 + 2.0 * draws * draws
    for steps, value in ((ZERO_STEPS, 0.0), (TINY_STEPS, TINY), (HUGE_STEPS, HUGE)):
        scale[np.subtract(steps, 1)] = value
    return scale


PROBLEM = _problem()


def start() -> Arrays:
    """The parameters before step 1, as new arrays."""
    return {name: w.copy() for name, w in PROBLEM.start.items()}


def gradient(step: int, params: Mapping[str, np.ndarray]) -> Arrays:
    """The gradient that step number `step`, 1 to STEPS, sees at `params`; each weight by itself."""
    target, curvature, noise, scale = PROBLEM[1:]
    return {
        name: scale[name][step - 1] * (curvature[name] * (w - target[name]) + noise[name][step - 1])
        for name, w in params.items()
    }


def save(
    name: str, path: Sequence[Arrays], evaluation: Sequence[Arrays], config: Mapping[str, Any]
) -> None:
    """Write NAME.npz, given the parameters, and the weights for use or nothing, of every step."""
    arrays: Arrays = {"steps": np.array(KEPT_STEPS), "config": np.array(json.dumps(config))}
    for key in SHAPES:
        arrays[key] = np.stack([path[step - 1][key] for step in KEPT_STEPS])
        if evaluation:
            arrays[f"eval_{key}"] = np.stack([evaluation[s - 1][key] for s in KEPT_EVALUATIONS])
    if evaluation:
        arrays["eval_steps"] = np.array(KEPT_EVALUATIONS)
    if not all(np.isfinite(arrays[key]).all() for key in arrays if key != "config"):
        raise ValueError(f"the trajectory of {name} overflows")
    np.savez_compressed(FOLDER / f"{name}.npz", **arrays)


def load(name: str) -> Reference:
    """What NAME.npz holds."""
    with np.load(FOLDER / f"{name}.npz") as file:
        stored = dict(file)
    evaluation = {key: stored[f"eval_{key}"] for key in SHAPES if f"eval_{key}" in stored}
    return Reference(
        steps=stored["steps"],
        path={key: stored[key] for key in SHAPES},
        evaluation_steps=stored.get("eval_steps", np.array([], int)),
        evaluation=evaluation,
        config=json.loads(str(stored["config"])),
    )


def names() -> list[str]:
    """Every trajectory there is."""
    others = {"layers", "torch_export"}
    return sorted(path.stem for path in FOLDER.glob("*.npz") if path.stem not in others)
