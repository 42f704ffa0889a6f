"""The signals of a case as plain data: samples, layers before training, 20 samples by heart."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from scratchnet.diagnosis.case import Case, some
from scratchnet.diagnosis.evidence import Evidence
from scratchnet.diagnosis.outcome import run, trainer_of
from scratchnet.errors import DivergenceError

FEW, STEPS = 20, 100
"""So many samples are learnt in so many steps: a network that cannot do that has no chance."""


def overview(evidence: Evidence) -> dict[str, Any]:
    """What was looked at, as JSON values; None where a number is not finite.

    "start_loss" is the loss before training, "guess_loss" that of the best guess, ln C for C
    classes of one size. "update" of a layer is the length of its first update over that of its
    parameters, by the optimizer and the rate of the run. "by_heart" is the skill on 20 training
    samples after 100 steps on them alone.
    """
    start, guess = evidence.start_loss
    case = evidence.case
    found: dict[str, Any] = {
        "samples": case.samples,
        "columns": evidence.x.shape[1],
        "input_size": float(np.sqrt(np.square(evidence.x).mean())),
        "input_range": [float(evidence.x.min()), float(evidence.x.max())],
        "constant_columns": int(evidence.constant.sum()),
        "outsize_columns": sorted(map(int, evidence.outsize)),
        "outlier_samples": int(evidence.far.sum()),
        "class_counts": evidence.counts.tolist() if evidence.classes else None,
        "start_loss": start,
        "guess_loss": guess,
        "penalty": case.network.penalty(),
        "by_heart": _by_heart(case),
        "fit": evidence.base.fit,
        "score": evidence.base.score,
        "layers": [
            {**row, "update": update}
            for row, update in zip(evidence.layers, _updates(evidence), strict=True)
        ],
    }
    return {name: _finite(value) for name, value in found.items()}


def _by_heart(case: Case) -> float:
    """The skill on a few samples, learnt by the optimizer of the run."""
    train = some(case.train, FEW, 2)
    options = {**case.training, "batch_size": len(train)}
    small = replace(
        case, train=train, held=train, validation=None, epochs=STEPS, stretch=1.0, training=options
    )
    return run(small, train).score


def _updates(evidence: Evidence) -> list[float | None]:
    """The length of the first update of each row of `layers`, over that of its parameters."""
    case = evidence.case
    network = case.network.copy()
    rows = some(case.train, case.batch_size, 3)
    one = replace(case, train=rows, training={**case.training, "batch_size": len(rows)})
    with np.errstate(all="ignore"):
        try:
            next(iter(trainer_of(one, network).run(1)))
        except DivergenceError:
            return [None] * len(evidence.layers)
        moved = {}
        for k, (before, after) in enumerate(zip(case.network.layers, network.layers, strict=True)):
            old = np.concatenate([w.ravel() for w in before.params.values()] or [np.zeros(0)])
            new = np.concatenate([w.ravel() for w in after.params.values()] or [np.zeros(0)])
            size = float(np.linalg.norm(old))
            moved[k + 1] = float(np.linalg.norm(new - old)) / size if size else None
    return [moved[int(str(row["layer"]).split()[0])] for row in evidence.layers]


def _finite(value: Any) -> Any:
    """The value with None in the place of what is not finite."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
