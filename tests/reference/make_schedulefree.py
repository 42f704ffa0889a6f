"""Follow the authors' own schedule-free optimizers along the problem and store where they went.

Run after a change of problem.py: python tests/reference/make_schedulefree.py
"""

from importlib.metadata import version
from typing import Any

import problem
import schedulefree
import torch
from problem import STEPS, Arrays

torch.set_default_dtype(torch.float64)

CASES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "schedule_free_sgd": (
        schedulefree.SGDScheduleFree,
        {"lr": 1.0, "momentum": 0.9},
        "path is y, where the gradient is taken; eval is x; weight of step t in x is 1 / t",
    ),
    "schedule_free_adamw": (
        schedulefree.AdamWScheduleFree,
        {"lr": 0.0025, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0},
        "path is y, where the gradient is taken; eval is x; weight of step t in x is 1 / t; "
        "v has its bias corrected, eps outside of its root",
    ),
}


def trajectory(name: str, start: Arrays) -> tuple[list[Arrays], list[Arrays]]:
    """The training point y and the averaged point x after each step.

    x is read off a copy, as the package turns the parameters themselves from y to x and back,
    which would round them.
    """
    kind, options, _ = CASES[name]
    params = {key: torch.tensor(w) for key, w in start.items()}
    optimizer = kind(list(params.values()), foreach=False, **options)
    optimizer.train()
    path, averages = [], []
    for step in range(1, STEPS + 1):
        grads = problem.gradient(step, {key: w.numpy() for key, w in params.items()})
        for key, w in params.items():
            w.grad = torch.tensor(grads[key])
        optimizer.step()
        path.append({key: w.numpy().copy() for key, w in params.items()})
        optimizer.eval()
        averages.append({key: w.numpy().copy() for key, w in params.items()})
        optimizer.train()
        for key, w in params.items():
            w.copy_(torch.tensor(path[-1][key]))
    return path, averages


def config(name: str) -> dict[str, Any]:
    """What a reader of the file needs to repeat it."""
    kind, options, note = CASES[name]
    return {
        "library": f"schedulefree {version('schedulefree')}, torch {torch.__version__}",
        "call": f"schedulefree.{kind.__name__}",
        "options": options,
        "options_of_matrices": {},
        "note": note,
    }


if __name__ == "__main__":
    for each in CASES:
        problem.save(each, *trajectory(each, problem.start()), config(each))
