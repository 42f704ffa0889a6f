"""Several optimizers side by side: equal starts, equal batches, equal budgets, tested differences.

Every optimizer gets the same networks, drawn by the same seeds, and sees the same batches. If
there is a grid of rates, each is tuned on validation samples with the first seed, within the same
budget. The test samples are used only with the rate that was chosen.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchnet.checks import check_above_zero, check_integer, check_word
from scratchnet.compare.comparison import Comparison
from scratchnet.compare.options import ACCEPTED, OF_TRIALS, CompareOptions
from scratchnet.compare.trials import Common, Progress, Run, Trial, Workers, run_trial
from scratchnet.data import Dataset
from scratchnet.data.preparation import Preparation
from scratchnet.errors import ParameterError
from scratchnet.networks import MultiLayerNet
from scratchnet.optimizers import OPTIMIZERS, Optimizer, make_optimizer
from scratchnet.options import make_options, show_options
from scratchnet.registry import canonical

AUTOMATIC = tuple(10.0**power for power in (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0))
"""An automatic grid is these times the optimizer's own rate."""
STEP = 10.0**0.5
WIDER = 4
"""How many rates an automatic grid may grow by, if the best one is at its end."""
NEAR = 0.05
"""An optimizer that stays further below the best does not lower the target."""


def compare(
    optimizers: Sequence[str] | Mapping[str, Optimizer],
    dataset: Dataset,
    network: MultiLayerNet,
    *,
    run: Run | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Comparison:
    """Train networks like `network` with each of several optimizers, and compare the results.

    optimizers: names, or a mapping of own names to Optimizers.
    seeds: a number n for the seeds 0 to n - 1, or a list. Each draws a network and the order of
        the batches, the same for every optimizer.
    lr_grid: None for each optimizer's own rate. "auto" tries that times powers of the square root
        of 10 from 0.1 to 100, and up to four more if the best is at the end. Or a list of rates.
        The rate with the highest validation accuracy with the first seed is chosen; the lower
        validation loss decides ties.
    val_split: the share of the training samples for validation, from 0 to below 1.
    target: validation accuracy to which epochs and seconds are counted. By default the highest
        that every optimizer reached with every seed; those 0.05 below the best do not count.
    jobs: processes that share the work, each with one thread of BLAS; None for one.
    run: replaces `run_trial`.
    progress: progress(trial, done, all) is called after each trial, and with None before them.
    epochs, batch_size, schedule, shuffle, augment, remeasure: the Trainer's.

    >>> network = MultiLayerNet(64, [50], 10)
    >>> print(compare(["sgd", "adam"], load("digits"), network, seeds=5, lr_grid="auto"))

    Raises ParameterError for an unknown optimizer, or an option out of its range.
    """
    if not (isinstance(dataset, Dataset) and isinstance(network, MultiLayerNet)):
        raise ParameterError(
            "dataset must be a Dataset, as load('digits'), and network a MultiLayerNet, got "
            f"{type(dataset).__name__} and {type(network).__name__}"
        )
    given = make_options(CompareOptions, options, ACCEPTED)
    chosen = _optimizers(optimizers)
    drawn = _seeds(given.seeds)
    lr_grid, target = given.lr_grid, given.target
    grid = {name: _rates(optimizer, lr_grid) for name, optimizer in chosen.items()}
    train, validation = dataset.train, None
    if given.val_split:
        train, validation = dataset.train.split(given.val_split, drawn[0])
    elif lr_grid is not None:
        raise ParameterError("lr_grid needs validation samples; set val_split above 0")
    common = Common(
        train,
        validation,
        dataset.test,
        network.config(),
        given.epochs,
        given.batch_size,
        {name: getattr(given, name) for name in OF_TRIALS},
        Preparation.of(dataset),
    )
    total = sum(len(rates) for rates in grid.values() if len(rates) > 1)
    workers = Workers(
        common, run or run_trial, given.jobs or 1, progress, total + len(chosen) * len(drawn)
    )
    tuning = _tune(workers, chosen, grid, drawn[0], WIDER if lr_grid == "auto" else 0)
    best = {name: rates[0] for name, rates in grid.items()}
    for name in {trial.optimizer: None for trial in tuning}:
        best[name] = max((t for t in tuning if t.optimizer == name), key=_merit).lr
    final = workers.run([(n, chosen[n], best[n], s) for n in chosen for s in drawn], final=True)
    if target is None:
        target = _target([[t for t in final if t.optimizer == name] for name in chosen])
    return Comparison(tuple(final), tuple(tuning), target, 1 / len(dataset.test))


show_options(compare, ACCEPTED)


def _tune(
    workers: Workers,
    optimizers: Mapping[str, Optimizer],
    grid: Mapping[str, Sequence[float]],
    seed: int,
    wider: int,
) -> list[Trial]:
    """The trials of each grid of several rates, which may grow `wider` times beyond its end."""
    tasks = [
        (name, optimizers[name], lr, seed)
        for name, rates in grid.items()
        if len(rates) > 1
        for lr in rates
    ]
    tuning = workers.run(tasks, final=False)
    for _ in range(wider):
        more = [
            (name, optimizers[name], rate, seed)
            for name in optimizers
            if (rate := _beyond([t for t in tuning if t.optimizer == name])) is not None
        ]
        workers.total += len(more)
        tuning += workers.run(more, final=False)
    return tuning


def _optimizers(given: Sequence[str] | Mapping[str, Optimizer]) -> dict[str, Optimizer]:
    """The optimizers by name; raises ParameterError if there are none, or one comes twice."""
    if isinstance(given, str):
        raise ParameterError(f"optimizers must be a list of names, got {given!r}; use brackets")
    if isinstance(given, Mapping):
        made = dict(given)
    else:
        names = [canonical(OPTIMIZERS, name, "optimizer") for name in given]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ParameterError(f"each optimizer must be given once, {twice} came twice")
        made = {name: make_optimizer(name) for name in names}
    if not made:
        raise ParameterError("there must be at least one optimizer to compare, got none")
    return made


def _rates(optimizer: Optimizer, lr_grid: str | Sequence[float] | None) -> list[float]:
    """The rates to try; L-BFGS, which has none, is tried as it is."""
    if lr_grid is None or optimizer.full_batch:
        return [optimizer.lr]
    if isinstance(lr_grid, str):
        check_word("lr_grid", lr_grid, ("auto",))
        return [optimizer.lr * factor for factor in AUTOMATIC]
    if not np.iterable(lr_grid):
        raise ParameterError(f"lr_grid must be auto, None or a list of rates, got {lr_grid!r}")
    rates = [check_above_zero(f"lr_grid[{k}]", lr) for k, lr in enumerate(lr_grid)]
    if len(set(rates)) < len(rates):
        raise ParameterError(f"lr_grid must hold each rate once, got {rates}")
    if not rates:
        raise ParameterError("lr_grid must hold at least one rate, got none")
    return rates


def _seeds(given: int | Sequence[int]) -> list[int]:
    """0, 1, ... below a number, or the seeds listed; raises ParameterError."""
    if isinstance(given, int | np.integer):
        return list(range(check_integer("seeds", given, 1)))
    seeds = [check_integer(f"seeds[{k}]", seed, 0) for k, seed in enumerate(given)]
    if not seeds or len(set(seeds)) < len(seeds):
        raise ParameterError(f"seeds must be a number, or different seeds, got {seeds}")
    return seeds


def _beyond(tuning: Sequence[Trial]) -> float | None:
    """The next rate of a grid whose best one is at its end; None if it is inside."""
    if not tuning:
        return None
    rates = sorted(trial.lr for trial in tuning)
    best = max(tuning, key=_merit).lr
    if best == rates[-1]:
        return best * STEP
    return best / STEP if best == rates[0] else None


def _merit(trial: Trial) -> tuple[float, float]:
    """The order in which rates are chosen: validation accuracy, then loss, after the last epoch."""
    if trial.val_accuracy is None or trial.val_loss is None:
        return (-math.inf, -math.inf)
    return (trial.val_accuracy, -trial.val_loss)


def _target(finals: Sequence[Sequence[Trial]]) -> float | None:
    """The validation accuracy that all optimizers reached, but for those NEAR below the best."""
    tops = [top for trials in finals if (top := _highest(trials)) is not None]
    return min((top for top in tops if top >= max(tops) - NEAR), default=None)


def _highest(trials: Sequence[Trial]) -> float | None:
    """The lowest over seeds of the highest validation accuracy; None if one diverged."""
    if any(t.diverged for t in trials):
        return None
    tops = [
        max((e.val_accuracy for e in t.history if e.val_accuracy is not None), default=None)
        for t in trials
    ]
    known = [top for top in tops if top is not None]
    return min(known) if len(known) == len(tops) else None
