"""The outcome of a comparison: the trials, a table of the optimizers, tested differences."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.compare.statistics import FEWEST_SEEDS, LEVEL, half_interval, holm, paired_p
from scratchnet.compare.trials import Trial
from scratchnet.runs import as_row
from scratchnet.tables import align

VERDICTS = {"highest": "the highest", "difference": "differs from the highest"}
"""How the table words verdicts; the others stand in it as they are."""


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`, as plain data; printed, it is the table.

    `trials` have the chosen rates, over all seeds; `tuning` are the rest of the grid, which
    never saw the test samples. `target` is the validation accuracy to which epochs and seconds are
    counted.
    """

    trials: tuple[Trial, ...]
    tuning: tuple[Trial, ...]
    target: float | None
    resolution: float = 0.0
    """1 / the number of test samples: accuracies are multiples of it."""

    @property
    def optimizers(self) -> list[str]:
        """Their names, in the order they were given."""
        return list(dict.fromkeys(trial.optimizer for trial in self.trials))

    def of(self, optimizer: str) -> list[Trial]:
        """The trials of one optimizer with its chosen rate, by seed."""
        return [trial for trial in self.trials if trial.optimizer == optimizer]

    def summary(self) -> list[dict[str, Any]]:
        """A row for each optimizer: rate, means over seeds, 95 % interval, way to the target.

        "verdict" compares it with the one of the highest test accuracy, as `differences` does.
        """
        rows = [self._row(name, self.of(name)) for name in self.optimizers]
        known = [row for row in rows if row["test_accuracy"] is not None]
        fewest = min((row["diverged"] for row in known), default=0)
        steady = [row for row in known if row["diverged"] == fewest]
        best = max(steady, key=lambda row: row["test_accuracy"])["optimizer"] if steady else None
        verdicts = {
            frozenset((row["first"], row["second"])): row["verdict"] for row in self.differences()
        }
        for row in rows:
            pair = frozenset((row["optimizer"], best))
            row["verdict"] = "highest" if row["optimizer"] == best else verdicts.get(pair)
            if row["diverged"] > fewest or not known:
                row["verdict"] = "diverged"
            elif len(rows) == 1:
                row["verdict"] = None
        return rows

    def _row(self, name: str, trials: Sequence[Trial]) -> dict[str, Any]:
        accuracies = [t.test_accuracy for t in trials if t.test_accuracy is not None]
        losses = [t.test_loss for t in trials if t.test_loss is not None]
        ways = [way for way in map(self._way, trials) if way is not None]
        arrived = len(ways) == len(trials)
        return {
            "optimizer": name,
            "lr": trials[0].lr,
            "test_accuracy": float(np.mean(accuracies)) if accuracies else None,
            "interval": half_interval(accuracies),
            "test_loss": float(np.mean(losses)) if losses else None,
            "epochs_to_target": float(np.median([e for e, _ in ways])) if arrived else None,
            "seconds_to_target": float(np.median([s for _, s in ways])) if arrived else None,
            "steps": max((t.history[-1].steps for t in trials if t.history), default=0),
            "seconds": float(np.mean([t.seconds for t in trials])),
            "diverged": sum(t.diverged for t in trials),
        }

    def _way(self, trial: Trial) -> tuple[int, float] | None:
        return None if self.target is None else trial.until(self.target)

    def _at_end_of_grid(self, name: str) -> bool:
        rates = sorted(trial.lr for trial in self.tuning if trial.optimizer == name)
        return bool(rates) and self.of(name)[0].lr in {rates[0], rates[-1]}

    def differences(self) -> list[dict[str, Any]]:
        """A row for each pair: mean difference of test accuracy over shared seeds, and its test.

        A paired t-test, its p corrected for the number of pairs (Holm 1979): "difference" if
        that is below 0.05, else "no difference shown".
        """
        rows: list[dict[str, Any]] = []
        found: list[float] = []
        for i, first in enumerate(self.optimizers):
            for second in self.optimizers[i + 1 :]:
                gaps = self._gaps(first, second)
                found.append(paired_p(gaps, self.resolution))
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
        """Differences of test accuracy of trials with the same seed, if neither diverged."""
        others = {trial.seed: trial.test_accuracy for trial in self.of(second)}
        return [
            trial.test_accuracy - other
            for trial in self.of(first)
            if trial.test_accuracy is not None and (other := others.get(trial.seed)) is not None
        ]

    def to_csv(self, path: str | Path) -> None:
        """Write a row for each epoch of each trial, those of the grid too."""
        with open(os.path.expanduser(path), "w", encoding="utf-8", newline="") as file:
            rows = list(self.epochs())
            writer = csv.DictWriter(file, rows[0] if rows else [])
            writer.writeheader()
            writer.writerows(rows)

    def to_dataframe(self) -> Any:
        """The rows of `to_csv` as a pandas DataFrame; raises ModuleNotFoundError without pandas."""
        import pandas as pd

        return pd.DataFrame(list(self.epochs()))

    def epochs(self) -> Iterator[dict[str, Any]]:
        """A row for each epoch of each trial, `chosen` or of the rest of the grid.

        "rate" is the trial's; "lr" is the one after the schedule, at the end of the epoch.
        """
        for chosen, trials in ((True, self.trials), (False, self.tuning)):
            for trial in trials:
                about = {"optimizer": trial.optimizer, "rate": trial.lr, "seed": trial.seed}
                for epoch in trial.history:
                    yield {**about, "chosen": chosen, **as_row(epoch)}

    def __str__(self) -> str:
        head = ("optimizer", "lr", "test accuracy", "loss", "epochs", "seconds", "")
        lines = [head, *(_cells(row) for row in self.summary())]
        return "\n".join([align(lines, left=(0, len(head) - 1)), *self.notes()])

    def notes(self) -> list[str]:
        """Notes that one needs to read the table."""
        seeds = max(len(self.of(name)) for name in self.optimizers)
        notes = []
        steps = {row["optimizer"]: row["steps"] for row in self.summary() if not row["diverged"]}
        most = max(steps.values(), default=0)
        fewer = [f"{name} {count}" for name, count in steps.items() if count < most]
        if fewer:
            notes.append(f"all samples at once are fewer steps: of {most}, {', '.join(fewer)}")
        if self.target is not None:
            notes.append(
                f"epochs and seconds are those to a validation accuracy of {self.target:.4f}, "
                "seconds as they came"
            )
        at_end = [name for name in self.optimizers if self._at_end_of_grid(name)]
        if at_end:
            notes.append(
                f"the best rate is at the end of the grid for {', '.join(at_end)}: a wider one may "
                "have a better"
            )
        several = len(self.optimizers) > 1
        if seeds < FEWEST_SEEDS and several:
            notes.append(f"below {FEWEST_SEEDS} seeds no difference can be shown; more may do so")
        if seeds > 1:
            test = f"; differences by paired t-tests, corrected for all pairs (Holm), at {LEVEL:g}"
            notes.append(f"means of {seeds} seeds with 95 % intervals{test if several else ''}")
        return notes


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row of the summary as the cells of the table."""
    accuracy, interval = row["test_accuracy"], row["interval"]
    shown = "diverged" if accuracy is None else f"{accuracy:.4f}"
    shown += "" if interval is None else f" ± {interval:.4f}"
    shown += f" ({row['diverged']} diverged)" if row["diverged"] and accuracy is not None else ""
    loss = "" if row["test_loss"] is None else f"{row['test_loss']:.4f}"
    epochs = "never" if row["epochs_to_target"] is None else f"{row['epochs_to_target']:g}"
    seconds = "" if row["seconds_to_target"] is None else f"{row['seconds_to_target']:.3f}"
    told = VERDICTS.get(row["verdict"], row["verdict"] or "")
    return (row["optimizer"], f"{row['lr']:.4g}", shown, loss, epochs, seconds, told)
