"""Follow torch's optimizers along the problem and store where they went, in float64.

Run after a change of problem.py: python tests/reference/make_torch.py
"""

from typing import Any, NamedTuple

import problem
import torch
from problem import MATRICES, STEPS, Arrays
from torch import optim

# Not only for the parameters: NAdam's product of momenta and ASGD's rates are tensors of the
# default type, and in float32 they would spoil the trajectories at the seventh digit.
torch.set_default_dtype(torch.float64)

CLIP = 1.0
RHO = 0.05


class Case(NamedTuple):
    """An optimizer with its options; `matrices` are further options, for the 2-D arrays only."""

    kind: type[optim.Optimizer]
    options: dict[str, Any]
    matrices: dict[str, Any] | None = None
    gradient: Any = problem.gradient
    note: str = ""


def clipped(step: int, params: Arrays) -> Arrays:
    """g * min(1, CLIP / ||g||), the norm over all arrays; clip_grad_norm_ adds 1e-6 to the norm."""
    grads = _tensors(problem.gradient(step, params))
    norm = _norm(grads)
    factor = min(1.0, CLIP / norm) if norm > 0 else 1.0
    return {name: (g * factor).numpy() for name, g in grads.items()}


def sharpness_aware(step: int, params: Arrays) -> Arrays:
    """The gradient at w + RHO g / ||g||, the norm over all arrays; at w where g is 0."""
    grads = _tensors(problem.gradient(step, params))
    norm = _norm(grads)
    if norm == 0:
        return problem.gradient(step, params)
    worst = {name: (torch.tensor(w) + RHO / norm * grads[name]) for name, w in params.items()}
    return problem.gradient(step, {name: w.numpy() for name, w in worst.items()})


def _tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(array) for name, array in arrays.items()}


def _norm(grads: dict[str, torch.Tensor]) -> float:
    return torch.sqrt(sum((g * g).sum() for g in grads.values())).item()


CASES = {
    "sgd": Case(optim.SGD, {"lr": 0.01}),
    "sgd_l2": Case(
        optim.SGD, {"lr": 0.01}, {"weight_decay": 0.1}, note="g + 0.1 w for the 2-D arrays"
    ),
    "sgd_clip": Case(
        optim.SGD,
        {"lr": 0.01},
        gradient=clipped,
        note="g * min(1, 1 / norm), the norm over all arrays, nothing added to it; 0 stays 0",
    ),
    "momentum": Case(optim.SGD, {"lr": 0.01, "momentum": 0.9}, note="lr outside of the velocity"),
    "nesterov": Case(
        optim.SGD,
        {"lr": 0.01, "momentum": 0.9, "nesterov": True},
        note="w is the point where the gradient is taken",
    ),
    "adagrad": Case(optim.Adagrad, {"lr": 0.01, "eps": 1e-7}, note="eps outside of the root"),
    "rmsprop": Case(
        optim.RMSprop, {"lr": 0.01, "alpha": 0.99, "eps": 1e-7}, note="eps outside of the root"
    ),
    "rmsprop_centered": Case(
        optim.RMSprop,
        {"lr": 0.01, "alpha": 0.99, "eps": 1e-7, "centered": True},
        note="eps outside of the root; no bias correction of the mean",
    ),
    "adadelta": Case(
        optim.Adadelta, {"lr": 1.0, "rho": 0.9, "eps": 1e-6}, note="eps inside of both roots"
    ),
    "adam": Case(optim.Adam, {"lr": 0.001}, note="eps outside of the root of the corrected v"),
    "amsgrad": Case(
        optim.Adam,
        {"lr": 0.001, "amsgrad": True},
        note="the maximum is of the uncorrected v, and is corrected by the step at hand",
    ),
    "adamax": Case(
        optim.Adamax, {"lr": 0.002}, note="u <- max(beta2 u, |g| + eps): eps inside of the maximum"
    ),
    "nadam": Case(
        optim.NAdam,
        {"lr": 0.002, "momentum_decay": 0.004},
        note="Dozat's schedule of momenta with 0.96; m itself decays with the constant beta1",
    ),
    "radam": Case(
        optim.RAdam,
        {"lr": 0.001},
        note="rectified where rho > 5, else momentum; eps added to the root of the uncorrected v",
    ),
    "adamw": Case(
        optim.AdamW,
        {"lr": 0.001, "weight_decay": 0.0},
        {"weight_decay": 0.01},
        note="w <- w (1 - lr decay) first, then Adam",
    ),
    "adafactor": Case(
        optim.Adafactor,
        {"lr": 0.01, "beta2_decay": -0.8, "eps": (None, 1e-3), "d": 1.0},
        note="2-D arrays factored, 1-D not; eps None is 2^-52, the smallest v is its square",
    ),
    "rprop": Case(
        optim.Rprop,
        {"lr": 0.01, "etas": (0.5, 1.2), "step_sizes": (1e-6, 50)},
        note="where the sign changed: rate halved, no step, and g remembered as 0",
    ),
    "asgd": Case(
        optim.ASGD,
        {"lr": 0.01, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6},
        note="lambd decays every array; eval is ax, which before t0 is w",
    ),
    "asgd_t0": Case(
        optim.ASGD,
        {"lr": 0.01, "lambd": 1e-4, "alpha": 0.75, "t0": 20},
        note="lambd decays every array; eval is ax, a running mean from step 22 on",
    ),
    "sam": Case(
        optim.SGD,
        {"lr": 0.01, "momentum": 0.9},
        gradient=sharpness_aware,
        note="rho 0.05 along g / norm, the norm over all arrays, nothing added to it; "
        "the second gradient has the scale and noise of the same step",
    ),
}


def trajectory(name: str, start: Arrays) -> tuple[list[Arrays], list[Arrays]]:
    """The parameters after each step, and for ASGD their averages."""
    case = CASES[name]
    params = {key: torch.tensor(w) for key, w in start.items()}
    optimizer = case.kind(_groups(case, params), foreach=False, **case.options)
    path, averages = [], []
    for step in range(1, STEPS + 1):
        grads = case.gradient(step, {key: w.numpy() for key, w in params.items()})
        for key, w in params.items():
            w.grad = torch.tensor(grads[key])
        optimizer.step()
        path.append({key: w.numpy().copy() for key, w in params.items()})
        if case.kind is optim.ASGD:
            averages.append({k: optimizer.state[w]["ax"].numpy().copy() for k, w in params.items()})
    return path, averages


def _groups(case: Case, params: dict[str, torch.Tensor]) -> list[dict[str, Any]]:
    matrices = [w for name, w in params.items() if name in MATRICES]
    biases = [w for name, w in params.items() if name not in MATRICES]
    return [{"params": matrices, **(case.matrices or {})}, {"params": biases}]


def config(name: str) -> dict[str, Any]:
    """What a reader of the file needs to repeat it."""
    case = CASES[name]
    return {
        "library": f"torch {torch.__version__}",
        "call": f"torch.optim.{case.kind.__name__}",
        "options": case.options,
        "options_of_matrices": case.matrices or {},
        "note": case.note,
    }


if __name__ == "__main__":
    for each in CASES:
        problem.save(each, *trajectory(each, problem.start()), config(each))
