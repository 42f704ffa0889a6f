"""Several optimizers side by side: equal starts, equal batches, equal budgets, tested differences.

Every optimizer gets the same networks, drawn by the same seeds, and sees the same batches. Where
there is a grid of rates each is tuned on validation samples with the first seed, within the same
budget; the test samples are looked at only with the rate that was chosen.
"""

import csv
import math
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.checks import check_above_zero, check_integer, check_word
from scratchnet.data import Augmentation, Dataset, Samples
from scratchnet.errors import DivergenceError, ParameterError
from scratchnet.networks import NETWORKS, MultiLayerNet
from scratchnet.optimizers import OPTIMIZERS, Optimizer, make_optimizer
from scratchnet.registry import canonical, pick
from scratchnet.runs import as_row
from scratchnet.schedules import Schedule
from scratchnet.tables import align
from scratchnet.training import Epoch, Trainer
from scratchnet.training.curves import LossCurve

AUTOMATIC = tuple(10.0**power for power in (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0))
"""What an automatic grid multiplies an optimizer's own rate by."""
STEP = 10.0**0.5
WIDER = 4
"""How many rates an automatic grid may grow by, where the best one is at its end."""
FEWEST_SEEDS = 3
"""Below it the test of a difference says nothing: of two gaps both may be alike by chance."""
VERDICTS = {"highest": "the highest", "difference": "differs from the highest"}
"""How verdicts are told, where they are not told as they are."""
NEAR = 0.05
"""An optimizer that stays further below the best does not lower the target."""
LEVEL = 0.05
"""A difference is shown where its p, corrected for how many there are, is below this."""


@dataclass(frozen=True)
class Trial:
    """One training run; one that diverged has no loss or accuracy at its end."""

    optimizer: str
    lr: float
    seed: int
    history: tuple[Epoch, ...]
    curve: tuple[tuple[int, float], ...] = ()
    """Step, and mean training loss of the last few steps there."""
    test_loss: float | None = None
    test_accuracy: float | None = None
    diverged: bool = False
    """Whether a value was not finite before the last epoch had ended."""
    final: bool = False
    """Whether it was to look at the test samples, having the chosen rate."""

    @property
    def val_loss(self) -> float | None:
        """Loss on the validation samples after the last epoch; None without any."""
        return None if self.diverged else self.history[-1].val_loss

    @property
    def val_accuracy(self) -> float | None:
        """Accuracy on the validation samples after the last epoch; None without any."""
        return None if self.diverged else self.history[-1].val_accuracy

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Trial":
        """The trial that `asdict` gave these plain values of."""
        history = tuple(Epoch(**row) for row in values["history"])
        curve = tuple((int(step), float(loss)) for step, loss in values["curve"])
        return cls(**{**values, "history": history, "curve": curve})

    @property
    def seconds(self) -> float:
        """Wall time of all training steps."""
        return sum(epoch.seconds for epoch in self.history)

    def until(self, target: float) -> tuple[int, float] | None:
        """Epochs and seconds to a validation accuracy of `target`; None where it is not reached."""
        seconds = 0.0
        for epoch in () if self.diverged else self.history:
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

        "verdict" says how it stands to the one with the highest test accuracy, as `differences`.
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

        A paired t-test, its p corrected for the number of pairs (Holm 1979): "difference" where
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

        "rate" is the trial's, "lr" what the schedule made of it at the end of the epoch.
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
        """What one must know to read the table."""
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


def compare(
    optimizers: Sequence[str] | Mapping[str, Optimizer],
    dataset: Dataset,
    network: MultiLayerNet,
    *,
    epochs: int = 10,
    batch_size: int | None = None,
    seeds: int | Sequence[int] = 1,
    lr_grid: str | Sequence[float] | None = None,
    val_split: float = 0.1,
    schedule: str | Schedule = "constant",
    augment: Augmentation | None = None,
    remeasure: int = 0,
    target: float | None = None,
    jobs: int = 1,
    run: "Run | None" = None,
    progress: "Callable[[Trial | None, int, int], object] | None" = None,
) -> Comparison:
    """Train copies of `network` with each of `optimizers`, by name, or by a name of one's own.

    `seeds` networks like it are drawn by the seeds 0, 1, ..., or by those listed, which order the
    batches too. `lr_grid` None is each optimizer's own rate, "auto" that times powers of the square
    root of 10 from 0.1 to 100, and up to four further ones for an optimizer whose best is at the
    end, or a list of rates: of these the one with the highest
    validation accuracy with the first seed is chosen, ties by the lower loss. `target` is by
    default the validation accuracy that every optimizer has reached with every seed, but for those
    that stayed 0.05 below the best. `schedule`,
    `augment` and `remeasure` are the Trainer's. `jobs` processes share the work, with one thread of
    BLAS each. `run` takes the place of `run_trial`. `progress(trial, done, all)` hears of each
    trial as it ends, and of none before the first.

    >>> network = MultiLayerNet(64, [50], 10)
    >>> print(compare(["sgd", "adam"], load("digits"), network, seeds=5, lr_grid="auto"))

    Raises ParameterError for an unknown optimizer, or an option out of its range.
    """
    if not (isinstance(dataset, Dataset) and isinstance(network, MultiLayerNet)):
        raise ParameterError(
            "dataset must be a Dataset, as load('digits'), and network a MultiLayerNet, got "
            f"{type(dataset).__name__} and {type(network).__name__}"
        )
    chosen = _optimizers(optimizers)
    drawn = _seeds(seeds)
    if target is not None:
        check_above_zero("target", target)
    grid = {name: _rates(optimizer, lr_grid) for name, optimizer in chosen.items()}
    train, validation = dataset.train, None
    if val_split:
        train, validation = dataset.train.split(val_split, drawn[0])
    elif lr_grid is not None:
        raise ParameterError("lr_grid needs validation samples; set val_split above 0")
    common = Common(
        train,
        validation,
        dataset.test,
        network.config(),
        check_integer("epochs", epochs, 1),
        batch_size,
        {"schedule": schedule, "augment": augment, "remeasure": remeasure},
    )
    tried = [
        (name, chosen[name], lr, drawn[0])
        for name, rates in grid.items()
        if len(rates) > 1
        for lr in rates
    ]
    total = len(tried) + len(chosen) * len(drawn)
    workers = _Workers(common, run or run_trial, jobs, progress, total)
    tuning = workers.run(tried, final=False)
    for _ in range(WIDER if lr_grid == "auto" else 0):
        more = [
            (name, chosen[name], rate, drawn[0])
            for name in chosen
            if (rate := _beyond([t for t in tuning if t.optimizer == name])) is not None
        ]
        workers.total += len(more)
        tuning += workers.run(more, final=False)
    best = {name: rates[0] for name, rates in grid.items()}
    for name in {trial.optimizer: None for trial in tuning}:
        best[name] = max((t for t in tuning if t.optimizer == name), key=_merit).lr
    final = workers.run([(n, chosen[n], best[n], s) for n in chosen for s in drawn], final=True)
    if target is None:
        tops = [_highest([t for t in final if t.optimizer == name]) for name in chosen]
        known = [top for top in tops if top is not None]
        target = min((top for top in known if top >= max(known) - NEAR), default=None)
    return Comparison(tuple(final), tuple(tuning), target, 1 / len(dataset.test))


@dataclass(frozen=True)
class Common:
    """What all trials have in common."""

    train: Samples
    validation: Samples | None
    test: Samples
    network: dict[str, Any]
    epochs: int
    batch_size: int | None
    training: dict[str, Any]


Task = tuple[str, Optimizer, float, int]
"""The name, the optimizer, its rate, the seed."""
Run = Callable[[Common, Task, bool], Trial]
"""Makes a trial; whether it is to look at the test samples comes last."""


def _optimizers(given: Sequence[str] | Mapping[str, Optimizer]) -> dict[str, Optimizer]:
    """The optimizers by name; raises ParameterError where there are none, or one twice."""
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


class _Workers:
    """Runs trials in processes of joblib, or in this one, and counts them."""

    def __init__(
        self,
        common: Common,
        run: Run,
        jobs: int,
        progress: Callable[[Trial | None, int, int], object] | None,
        total: int,
    ) -> None:
        self.common, self.run_one, self.progress, self.total = common, run, progress, total
        self.jobs = check_integer("jobs", jobs, 1)
        self.done = 0
        self._tell(None)

    def run(self, tasks: Sequence[Task], *, final: bool) -> list[Trial]:
        """The trials, in the order of the tasks."""
        from joblib import Parallel, delayed

        one: Callable[..., Any] = delayed(self.run_one)
        jobs = min(self.jobs, max(1, len(tasks)))
        found: dict[tuple[str, float, int], Trial] = {}
        with _signals_held():  # the processes that start here leave Ctrl-C to this one
            trials = Parallel(n_jobs=jobs, return_as="generator_unordered")(
                one(self.common, task, final) for task in tasks
            )
        try:
            for trial in trials:
                found[trial.optimizer, trial.lr, trial.seed] = trial
                self.done += 1
                self._tell(trial)
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of trials that nobody waits for any more
                trials.close()
        return [found[name, lr, seed] for name, _, lr, seed in tasks]

    def _tell(self, trial: Trial | None) -> None:
        if self.progress is not None:
            self.progress(trial, self.done, self.total)


@contextmanager
def _signals_held() -> Iterator[None]:
    """While inside, Ctrl-C waits; what is started inside never gets it, where there are masks."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def make_trainer(common: Common, task: Task) -> Trainer:
    """The Trainer of a trial, with a network drawn by its seed and an optimizer of its own."""
    _, optimizer, lr, seed = task
    options = {**common.network, "seed": seed}
    network = pick(NETWORKS, options.pop("kind"), "network")(**options)
    optimizer = deepcopy(optimizer)
    optimizer.lr = lr
    return Trainer(
        network,
        common.train,
        common.validation,
        optimizer=optimizer,
        batch_size=None if optimizer.full_batch else common.batch_size,
        seed=seed,
        threads=1,  # processes share the work
        **deepcopy(common.training),
    )


def run_trial(common: Common, task: Task, final: bool) -> Trial:
    """One training run, with a look at the test samples at its end if it is `final`."""
    name, _, lr, seed = task
    trainer = make_trainer(common, task)
    curve = LossCurve(trainer)
    trainer.on_step = curve.add
    tested: tuple[float | None, float | None] = (None, None)
    diverged = False
    try:
        for _ in trainer.run(common.epochs):
            pass
        if final:
            tested = trainer.evaluate(common.test)
    except DivergenceError:
        diverged = True
    points = tuple((row["step"], row["loss"]) for row in curve.take())
    return Trial(name, lr, seed, tuple(trainer.history), points, *tested, diverged, final)


def _beyond(tuning: Sequence[Trial]) -> float | None:
    """The next rate of a grid whose best one is at its end; None where it is inside."""
    if not tuning:
        return None
    rates = sorted(trial.lr for trial in tuning)
    best = max(tuning, key=_merit).lr
    if best == rates[-1]:
        return best * STEP
    return best / STEP if best == rates[0] else None


def _merit(trial: Trial) -> tuple[float, float]:
    """By what a rate is chosen: validation accuracy, then loss, after the last epoch."""
    if trial.val_accuracy is None or trial.val_loss is None:
        return (-math.inf, -math.inf)
    return (trial.val_accuracy, -trial.val_loss)


def _highest(trials: Sequence[Trial]) -> float | None:
    """The lowest over seeds of the highest validation accuracy; None where one diverged."""
    if any(t.diverged for t in trials):
        return None
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


def paired_p(gaps: Sequence[float], resolution: float = 0.0) -> float:
    """p of the paired t-test that the mean gap is 0; 1 below three gaps, or where all are 0.

    Gaps are differences of two values rounded to multiples of `resolution`, so their variance is
    at least resolution^2 / 6: that a few of them are equal must not count as certainty.
    """
    if len(gaps) < FEWEST_SEEDS or not np.any(gaps):
        return 1.0
    from scipy.stats import t

    variance = max(float(np.var(gaps, ddof=1)), resolution**2 / 6)
    error = math.sqrt(variance / len(gaps))
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
    told = VERDICTS.get(row["verdict"], row["verdict"] or "")
    return (row["optimizer"], f"{row['lr']:.4g}", shown, loss, epochs, seconds, told)
