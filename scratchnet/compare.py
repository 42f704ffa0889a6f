"""Several optimizers side by side: equal starts, equal batches, equal budgets, tested differences.

Every optimizer gets the same networks, drawn by the same seeds, and sees the same batches. Where
there is a grid of rates each is tuned on validation samples with the first seed, within the same
budget; the test samples are looked at only with the rate that was chosen.
"""

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.checks import check_above_zero, check_integer, check_word
from scratchnet.data import Dataset, Samples
from scratchnet.errors import DivergenceError, ParameterError
from scratchnet.networks import NETWORKS, MultiLayerNet
from scratchnet.optimizers import OPTIMIZERS, Optimizer, make_optimizer
from scratchnet.registry import canonical, pick
from scratchnet.trainer import Epoch, Trainer

AUTOMATIC = tuple(10.0**power for power in (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5))
"""What an automatic grid multiplies an optimizer's own rate by."""
LEVEL = 0.05
"""A difference is shown where its p, corrected for how many there are, is below this."""


@dataclass(frozen=True)
class Trial:
    """One training run; one that diverged has no loss or accuracy at its end."""

    optimizer: str
    lr: float
    seed: int
    history: tuple[Epoch, ...]
    val_loss: float | None
    val_accuracy: float | None
    test_loss: float | None = None
    test_accuracy: float | None = None

    @property
    def diverged(self) -> bool:
        """Whether a value was not finite before the last epoch had ended."""
        return self.val_loss is None

    @property
    def seconds(self) -> float:
        """Wall time of all training steps."""
        return sum(epoch.seconds for epoch in self.history)

    def until(self, target: float) -> tuple[int, float] | None:
        """Epochs and seconds to a validation accuracy of `target`; None where it is not reached."""
        seconds = 0.0
        for epoch in self.history:
            seconds += epoch.seconds
            if epoch.val_accuracy is not None and epoch.val_accuracy >= target:
                return epoch.number, seconds
        return None


@dataclass(frozen=True)
class Comparison:
    """What `compare` came to, as plain data; printed, it is the table.

    `trials` are those with the chosen rates, over all seeds, `tuning` the rest of the grid, without
    a look at the test samples. `target` is the validation accuracy that epochs and seconds are
    counted to.
    """

    trials: tuple[Trial, ...]
    tuning: tuple[Trial, ...]
    target: float

    @property
    def optimizers(self) -> list[str]:
        """Their names, in the order they were given."""
        return list(dict.fromkeys(trial.optimizer for trial in self.trials))

    def of(self, optimizer: str) -> list[Trial]:
        """The trials of one optimizer with its chosen rate, by seed."""
        return [trial for trial in self.trials if trial.optimizer == optimizer]

    def summary(self) -> list[dict[str, Any]]:
        """A row for each optimizer: rate, means over seeds, 95 % interval, way to the target."""
        return [self._row(name, self.of(name)) for name in self.optimizers]

    def _row(self, name: str, trials: Sequence[Trial]) -> dict[str, Any]:
        accuracies = [t.test_accuracy for t in trials if t.test_accuracy is not None]
        losses = [t.test_loss for t in trials if t.test_loss is not None]
        ways = [way for way in (t.until(self.target) for t in trials) if way is not None]
        arrived = len(ways) == len(trials)
        return {
            "optimizer": name,
            "lr": trials[0].lr,
            "test_accuracy": float(np.mean(accuracies)) if accuracies else None,
            "interval": half_interval(accuracies),
            "test_loss": float(np.mean(losses)) if losses else None,
            "epochs_to_target": float(np.median([e for e, _ in ways])) if arrived else None,
            "seconds_to_target": float(np.median([s for _, s in ways])) if arrived else None,
            "seconds": float(np.mean([t.seconds for t in trials])),
            "diverged": sum(t.diverged for t in trials),
        }

    def differences(self) -> list[dict[str, Any]]:
        """A row for each pair: mean difference of test accuracy over shared seeds, and its test.

        A paired t-test, its p corrected for the number of pairs (Holm 1979): "difference" where
        that is below 0.05, else "no difference shown".
        """
        rows: list[dict[str, Any]] = []
        found: list[float] = []
        for i, first in enumerate(self.optimizers):
            for second in self.optimizers[i + 1 :]:
                gaps = self._gaps(first, second)
                found.append(paired_p(gaps))
                rows.append(
                    {
                        "first": first,
                        "second": second,
                        "difference": float(np.mean(gaps)) if gaps else None,
                        "interval": half_interval(gaps),
                    }
                )
        corrected = holm(found)
        for row, p in zip(rows, corrected, strict=True):
            row["p"] = p
            row["verdict"] = "difference" if p < LEVEL else "no difference shown"
        return rows

    def _gaps(self, first: str, second: str) -> list[float]:
        """Differences of test accuracy of trials with one seed, where neither diverged."""
        others = {trial.seed: trial.test_accuracy for trial in self.of(second)}
        return [
            trial.test_accuracy - other
            for trial in self.of(first)
            if trial.test_accuracy is not None and (other := others.get(trial.seed)) is not None
        ]

    def to_csv(self, path: str | Path) -> None:
        """Write a row for each epoch of each trial, those of the grid too."""
        with open(path, "w", encoding="utf-8", newline="") as file:
            rows = list(self._epochs())
            writer = csv.DictWriter(file, rows[0] if rows else [])
            writer.writeheader()
            writer.writerows(rows)

    def to_dataframe(self) -> Any:
        """The rows of `to_csv` as a pandas DataFrame; raises ModuleNotFoundError without pandas."""
        import pandas as pd

        return pd.DataFrame(list(self._epochs()))

    def _epochs(self) -> Iterator[dict[str, Any]]:
        for chosen, trials in ((True, self.trials), (False, self.tuning)):
            for trial in trials:
                about = {"optimizer": trial.optimizer, "lr": trial.lr, "seed": trial.seed}
                for epoch in trial.history:
                    yield {**about, "chosen": chosen, **asdict(epoch)}

    def __str__(self) -> str:
        head = (
            "optimizer",
            "lr",
            "test accuracy",
            "loss",
            f"epochs to {self.target:.4f}",
            "seconds",
        )
        lines = [head, *(_cells(row) for row in self.summary())]
        wide = [max(len(line[k]) for line in lines) for k in range(len(head))]
        table = [
            "  ".join(
                [
                    line[0].ljust(wide[0]),
                    *(c.rjust(w) for c, w in zip(line[1:], wide[1:], strict=True)),
                ]
            )
            for line in lines
        ]
        pairs = [_told(row) for row in self.differences()]
        return "\n".join([*table, *pairs])


def compare(
    optimizers: Sequence[str] | Mapping[str, Optimizer],
    dataset: Dataset,
    network: MultiLayerNet,
    *,
    epochs: int = 10,
    batch_size: int | None = None,
    seeds: int = 1,
    lr_grid: str | Sequence[float] | None = None,
    val_split: float = 0.1,
    schedule: str = "constant",
    target: float | None = None,
    jobs: int = 1,
) -> Comparison:
    """Train copies of `network` with each of `optimizers`, by name, or by a name of one's own.

    `seeds` networks like it are drawn by the seeds 0, 1, ..., which order the batches too.
    `lr_grid` None is each optimizer's own rate, "auto" that times powers of the square root of 10
    from 10^-1.5 to 10^1.5, or a list of rates: of these the one with the highest validation
    accuracy with seed 0 is chosen, ties by the lower loss. `target` is by default the validation
    accuracy that every optimizer has reached with every seed. `jobs` processes share the work,
    with one thread of BLAS each.

    >>> network = MultiLayerNet(64, [50], 10)
    >>> print(compare(["sgd", "adam"], load("digits"), network, seeds=5, lr_grid="auto"))

    Raises ParameterError for an unknown optimizer, or an option out of its range.
    """
    chosen = _optimizers(optimizers)
    check_integer("seeds", seeds, 1)
    train, validation = dataset.train.split(val_split, 0)
    common = _Common(
        train,
        validation,
        dataset.test,
        network.config(),
        check_integer("epochs", epochs, 1),
        batch_size,
        schedule,
    )
    grid = {name: _rates(optimizer, lr_grid) for name, optimizer in chosen.items()}
    first = _run_all(
        common, [(n, chosen[n], lr, 0) for n, rates in grid.items() for lr in rates], False, jobs
    )
    best = {name: max((t for t in first if t.optimizer == name), key=_merit).lr for name in chosen}
    final = _run_all(
        common, [(n, chosen[n], best[n], s) for n in chosen for s in range(seeds)], True, jobs
    )
    tuning = tuple(trial for trial in first if len(grid[trial.optimizer]) > 1)
    if target is None:
        highest = [_highest([t for t in final if t.optimizer == name]) for name in chosen]
        target = min((value for value in highest if value is not None), default=1.0)
    return Comparison(tuple(final), tuning, check_above_zero("target", target))


@dataclass(frozen=True)
class _Common:
    """What all trials have in common."""

    train: Samples
    validation: Samples
    test: Samples
    network: dict[str, Any]
    epochs: int
    batch_size: int | None
    schedule: str


Task = tuple[str, Optimizer, float, int]
"""The name, the optimizer, its rate, the seed."""


def _optimizers(given: Sequence[str] | Mapping[str, Optimizer]) -> dict[str, Optimizer]:
    """The optimizers by name; raises ParameterError where there are none, or one twice."""
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
    rates = [check_above_zero(f"lr_grid[{k}]", lr) for k, lr in enumerate(lr_grid)]
    if not rates:
        raise ParameterError("lr_grid must hold at least one rate, got none")
    return rates


def _run_all(common: _Common, tasks: Iterable[Task], test: bool, jobs: int) -> list[Trial]:
    """The trials, in the order of the tasks, by `jobs` processes."""
    from joblib import Parallel, delayed

    check_integer("jobs", jobs, 1)
    run: Callable[..., Any] = delayed(_run)
    return list(Parallel(n_jobs=jobs)(run(common, task, test) for task in tasks))


def _run(common: _Common, task: Task, test: bool) -> Trial:
    """One training run, with a look at the test samples at its end if `test`."""
    name, optimizer, lr, seed = task
    options = {**common.network, "seed": seed}
    network = pick(NETWORKS, options.pop("kind"), "network")(**options)
    optimizer = deepcopy(optimizer)
    optimizer.lr = lr
    trainer = Trainer(
        network,
        common.train,
        common.validation,
        optimizer=optimizer,
        schedule=common.schedule,
        batch_size=None if optimizer.full_batch else common.batch_size,
        seed=seed,
    )
    try:
        history = tuple(trainer.run(common.epochs))
        loss, accuracy = trainer.evaluate(common.test) if test else (None, None)
    except DivergenceError:
        return Trial(name, lr, seed, tuple(trainer.history), None, None)
    last = history[-1]
    return Trial(name, lr, seed, history, last.val_loss, last.val_accuracy, loss, accuracy)


def _merit(trial: Trial) -> tuple[float, float]:
    """By what a rate is chosen: validation accuracy, then loss, after the last epoch."""
    if trial.val_accuracy is None or trial.val_loss is None:
        return (-math.inf, -math.inf)
    return (trial.val_accuracy, -trial.val_loss)


def _highest(trials: Sequence[Trial]) -> float | None:
    """The lowest over seeds of the highest validation accuracy; None where one diverged."""
    tops = [
        max((e.val_accuracy for e in t.history if e.val_accuracy is not None), default=None)
        for t in trials
    ]
    known = [top for top in tops if top is not None]
    return min(known) if len(known) == len(tops) else None


def half_interval(values: Sequence[float]) -> float | None:
    """Half the width of the 95 % interval of the mean, by Student's t; None for less than two."""
    if len(values) < 2:
        return None
    from scipy.stats import t

    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return float(t.ppf(0.975, len(values) - 1)) * error


def paired_p(gaps: Sequence[float]) -> float:
    """p of the paired t-test that the mean gap is 0; 1 where there are too few, or all are 0."""
    if len(gaps) < 2 or not np.any(gaps):
        return 1.0
    from scipy.stats import t

    error = float(np.std(gaps, ddof=1)) / math.sqrt(len(gaps))
    if not error:
        return 0.0
    return 2.0 * float(t.sf(abs(float(np.mean(gaps))) / error, len(gaps) - 1))


def holm(p: Sequence[float]) -> list[float]:
    """Each p corrected for how many there are: the k-th smallest of m times m - k + 1, rising."""
    corrected, largest = [1.0] * len(p), 0.0
    for rank, k in enumerate(sorted(range(len(p)), key=lambda k: p[k])):
        largest = max(largest, min(1.0, p[k] * (len(p) - rank)))
        corrected[k] = largest
    return corrected


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row of the summary as the cells of the table."""
    accuracy, interval = row["test_accuracy"], row["interval"]
    shown = "diverged" if accuracy is None else f"{accuracy:.4f}"
    shown += "" if interval is None else f" ± {interval:.4f}"
    shown += f" ({row['diverged']} diverged)" if row["diverged"] and accuracy is not None else ""
    loss = "" if row["test_loss"] is None else f"{row['test_loss']:.4f}"
    epochs = "never" if row["epochs_to_target"] is None else f"{row['epochs_to_target']:g}"
    seconds = "" if row["seconds_to_target"] is None else f"{row['seconds_to_target']:.3f}"
    return (row["optimizer"], f"{row['lr']:.3g}", shown, loss, epochs, seconds)


def _told(row: Mapping[str, Any]) -> str:
    """A row of the differences as a line."""
    pair = f"{row['first']} - {row['second']}"
    if row["difference"] is None:
        return f"{pair}: no difference shown, one of them diverged"
    spread = "" if row["interval"] is None else f" ± {row['interval']:.4f}"
    return f"{pair}: {row['difference']:+.4f}{spread}, p {row['p']:.2g}: {row['verdict']}"
