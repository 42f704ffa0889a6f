"""Optimizers: how a step along the gradient g changes the parameters w.

Every class is its paper's formula on plain arrays. The table at the end names them all; another
one is a class in one of these files and a line there.
"""

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from scratchnet.errors import ParameterError
from scratchnet.optimizers.adam_family import (
    AdaDelta,
    Adamax,
    AdamW,
    AMSGrad,
    CenteredRMSprop,
    NAdam,
    RAdam,
)
from scratchnet.optimizers.adaptive import AdaGrad, Adam, RMSprop
from scratchnet.optimizers.averaged import ASGD, ScheduleFreeAdamW, ScheduleFreeSGD
from scratchnet.optimizers.descent import SGD, Momentum, Nesterov
from scratchnet.optimizers.layerwise import LAMB, LARS, Adafactor, Muon
from scratchnet.optimizers.optimizer import Optimizer
from scratchnet.optimizers.signs import Lion, Rprop
from scratchnet.optimizers.wrappers import EMA, LBFGS, SAM, Lookahead
from scratchnet.registry import pick


def make_optimizer(which: str | Optimizer, /, lr: float | None = None, **options: Any) -> Optimizer:
    """The optimizer called `which`, at its own default lr unless given; an Optimizer as it is.

    >>> make_optimizer("Adam")
    Adam(lr=0.001, beta1=0.9, beta2=0.999, eps=1e-08)

    `inner` of a wrapper may be a name too. Raises ParameterError for an unknown name or option, or
    a value out of its range.
    """
    if isinstance(which, Optimizer):
        if lr is not None or options:
            raise ParameterError("give lr and options to the optimizer itself, or give its name")
        return which
    kind = pick(OPTIMIZERS, which, "optimizer")
    known = [field.name for field in sorted(fields(kind), key=lambda field: field.kw_only is True)]
    for name in options:
        if name not in known:
            raise ParameterError(f"{which} has no option {name!r}; it has {', '.join(known)}")
    if isinstance(options.get("inner"), str):
        options["inner"] = pick(OPTIMIZERS, options["inner"], "inner optimizer")()
    return kind(**({} if lr is None else {"lr": lr}), **options)


OPTIMIZERS: Mapping[str, type[Optimizer]] = MappingProxyType(
    {
        "sgd": SGD,
        "momentum": Momentum,
        "nesterov": Nesterov,
        "adagrad": AdaGrad,
        "rmsprop": RMSprop,
        "rmsprop-centered": CenteredRMSprop,
        "adadelta": AdaDelta,
        "adam": Adam,
        "amsgrad": AMSGrad,
        "adamax": Adamax,
        "nadam": NAdam,
        "radam": RAdam,
        "adamw": AdamW,
        "adafactor": Adafactor,
        "rprop": Rprop,
        "asgd": ASGD,
        "lion": Lion,
        "lamb": LAMB,
        "lars": LARS,
        "muon": Muon,
        "schedule-free-sgd": ScheduleFreeSGD,
        "schedule-free-adamw": ScheduleFreeAdamW,
        "sam": SAM,
        "lookahead": Lookahead,
        "ema": EMA,
        "lbfgs": LBFGS,
    }
)
"""Every optimizer by name: what the command line, the Trainer and the contract tests know."""

__all__ = [
    "ASGD",
    "EMA",
    "LAMB",
    "LARS",
    "LBFGS",
    "OPTIMIZERS",
    "SAM",
    "SGD",
    "AMSGrad",
    "AdaDelta",
    "AdaGrad",
    "Adafactor",
    "Adam",
    "AdamW",
    "Adamax",
    "CenteredRMSprop",
    "Lion",
    "Lookahead",
    "Momentum",
    "Muon",
    "NAdam",
    "Nesterov",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "make_optimizer",
]
