"""Follow optax's optimizers along the problem and store where they went, in float64.

For what torch lacks, or has in bfloat16 only: its Muon.
Run after a change of problem.py: python tests/reference/make_optax.py
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import problem
from optax import contrib
from problem import MATRICES, SHAPES, STEPS, Arrays

jax.config.update("jax_enable_x64", True)

DECAYED = {name: name in MATRICES for name in SHAPES}
"""Which arrays weight decay applies to, as optax wants to be told."""

BETA = 0.95
"""Muon's momentum."""


class Case(NamedTuple):
    """An optimizer, its options or the composition in words, and what a reader must know."""

    make: Callable[..., optax.GradientTransformation]
    call: str
    options: dict[str, Any]
    note: str


def muon(arrays: tuple[str, ...]) -> optax.GradientTransformation:
    """The author's form: the running mean m as it is, BETA m + (1 - BETA) g, and eps 1e-7.

    The trace of (1 - BETA) g is m, and its Nesterov form is that mix; without momentum all that
    remains of scale_by_muon is the Newton-Schulz iteration.
    """
    for_matrices = optax.chain(
        optax.scale(1 - BETA),
        optax.trace(BETA, nesterov=True),
        contrib.scale_by_muon(
            beta=0.0, eps=1e-7, nesterov=False, weight_dimension_numbers=_rows_by_columns
        ),
        optax.stateless_with_tree_map(lambda u, _: _factor(u.shape) * u),
        optax.scale_by_learning_rate(0.02),
    )
    return _muon_and_adam(for_matrices, arrays)


def _rows_by_columns(updates: Any) -> Any:
    """Every array is a plain matrix: what optax assumes by itself for a lone array only."""
    return jax.tree.map(lambda _: contrib.MuonDimensionNumbers(), updates)


def _factor(shape: tuple[int, int]) -> float:
    """The author's factor for the shape, with as many rows as inputs and columns as outputs."""
    rows, columns = shape
    return max(1, columns / rows) ** 0.5


def _muon_and_adam(
    for_matrices: optax.GradientTransformation, arrays: tuple[str, ...]
) -> optax.GradientTransformation:
    labels = {name: "muon" if name in arrays else "adam" for name in SHAPES}
    return optax.partition({"muon": for_matrices, "adam": optax.adam(1e-3)}, labels)


def lookahead(lr: float, k: int, alpha: float) -> optax.GradientTransformation:
    """Every k steps of Adam the slow weights follow by alpha, and Adam goes on from there."""
    return optax.lookahead(optax.adam(lr), sync_period=k, slow_step_size=alpha)


def _lamb(options: dict[str, Any]) -> Case:
    note = "Adam's direction + decay w, times ||w|| / its norm, per array; 1 where a norm is 0"
    return Case(optax.lamb, "optax.lamb", {"learning_rate": 0.01, "eps": 1e-6, **options}, note)


def _lars(options: dict[str, Any]) -> Case:
    note = "u = g + decay w; u times 0.001 ||w|| / ||u||, or 1 where a norm is 0; lr inside of v"
    fixed = {"learning_rate": 1.0, "momentum": 0.9, "trust_coefficient": 0.001, "eps": 0.0}
    return Case(optax.lars, "optax.lars", {**fixed, **options}, note)


def _lion(lr: float, decay: float) -> Case:
    options = {"learning_rate": lr, "b1": 0.9, "b2": 0.99, "weight_decay": decay, "mask": DECAYED}
    return Case(optax.lion, "optax.lion", options, "lr (sign + decay w), w before the step")


def _muon(options: dict[str, Any]) -> Case:
    call = "muon of make_optax.py, and optax.adam with lr 0.001 for the other arrays"
    note = (
        "lr 0.02, momentum 0.95, Nesterov, 5 steps of 3.4445, -4.7750, 2.0315; no bias correction; "
    )
    note += "eps 1e-7 added to the norm; more rows than columns: transposed; "
    return Case(muon, call, options, note + "times sqrt(max(1, columns / rows))")


CASES = {
    "lion": _lion(1e-4, 0.0),
    "lion_wd": _lion(1e-3, 0.1),
    "lamb": _lamb({"weight_decay": 0.0}),
    "lamb_wd": _lamb({"weight_decay": 0.01, "mask": DECAYED}),
    "lars": _lars({"weight_decay": 0.0}),
    "lars_wd": _lars({"weight_decay": 1e-4, "weight_decay_mask": DECAYED}),
    "muon": _muon({"arrays": ("W2",)}),
    "muon_all": _muon({"arrays": MATRICES}),
    "lookahead": Case(
        lookahead,
        "optax.lookahead of optax.adam",
        {"lr": 0.01, "k": 5, "alpha": 0.5},
        "path is the fast weights, after the meeting in steps 5, 10, ...; eval is the slow ones; "
        "Adam keeps its state and its count of steps",
    ),
}


def trajectory(name: str, start: Arrays) -> tuple[list[Arrays], list[Arrays]]:
    """The parameters after each step, and for lookahead the slow ones."""
    optimizer = CASES[name].make(**CASES[name].options)
    params: Any = {key: jax.numpy.asarray(w) for key, w in start.items()}
    slow = name == "lookahead"
    if slow:
        params = optax.LookaheadParams.init_synced(params)
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    path, slow_path = [], []
    for step in range(1, STEPS + 1):
        grads = problem.gradient(step, _numpy(params.fast if slow else params))
        updates, state = update(grads, state, params)
        params = optax.apply_updates(params, updates)
        path.append(_numpy(params.fast if slow else params))
        if slow:
            slow_path.append(_numpy(params.slow))
    return path, slow_path


def _numpy(params: dict[str, jax.Array]) -> Arrays:
    arrays = {name: np.array(w) for name, w in params.items()}
    assert all(w.dtype == np.float64 for w in arrays.values()), "optax left float64"
    return arrays


def config(name: str) -> dict[str, Any]:
    """What a reader of the file needs to repeat it."""
    case = CASES[name]
    return {
        "library": f"optax {optax.__version__}, jax {jax.__version__}",
        "call": case.call,
        "options": case.options,
        "note": case.note,
    }


if __name__ == "__main__":
    for each in CASES:
        problem.save(each, *trajectory(each, problem.start()), config(each))
