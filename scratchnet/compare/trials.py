"""One trial of a comparison: a training run with its own network, optimizer, rate and seed."""

import signal
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from scratchnet.checks import check_integer
from scratchnet.data import Samples
from scratchnet.data.preparation import Preparation
from scratchnet.errors import DivergenceError
from scratchnet.networks import NETWORKS
from scratchnet.optimizers import Optimizer
from scratchnet.registry import pick
from scratchnet.training import Epoch, Trainer
from scratchnet.training.curves import LossCurve
from scratchnet.training.epoch import Watch, read_epoch
from scratchnet.training.trials import make_trial


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
    """Whether it has the chosen rate, and used the test samples."""

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
        """The trial that `asdict` made these plain values from.

        Raises LookupError, TypeError or ValueError where they are something else.
        """
        history = tuple(read_epoch(row) for row in values["history"])
        curve = tuple((int(step), float(loss)) for step, loss in values["curve"])
        made = cls(**{**values, "history": history, "curve": curve})
        numbers = [made.lr, *(v for v in (made.test_loss, made.test_accuracy) if v is not None)]
        if any(isinstance(v, bool) or not isinstance(v, int | float) for v in numbers):
            raise TypeError(f"lr, test_loss and test_accuracy must be numbers, got {numbers}")
        kinds = {"optimizer": str, "seed": int, "diverged": bool, "final": bool}
        for name, kind in kinds.items():
            if type(getattr(made, name)) is not kind:
                raise TypeError(f"{name} must be of {kind}, got {getattr(made, name)!r}")
        if not made.diverged and not history:
            raise ValueError("it has no epoch")
        return made

    @property
    def key(self) -> tuple[str, float, int, bool]:
        """What tells it from the other trials of a comparison."""
        return self.optimizer, self.lr, self.seed, self.final

    @property
    def seconds(self) -> float:
        """Wall time of all training steps."""
        return sum(epoch.seconds for epoch in self.history)

    def until(self, target: float) -> tuple[int, float] | None:
        """Epochs and seconds to a validation accuracy of `target`; None if it is not reached."""
        seconds = 0.0
        for epoch in () if self.diverged else self.history:
            seconds += epoch.seconds
            if epoch.val_accuracy is not None and epoch.val_accuracy >= target:
                return epoch.number, seconds
        return None


@dataclass(frozen=True)
class Common:
    """The data and options that all trials share."""

    train: Samples
    validation: Samples | None
    test: Samples
    network: dict[str, Any]
    epochs: int
    batch_size: int | None
    training: dict[str, Any]
    preparation: Preparation


Task = tuple[str, Optimizer, float, int]
"""The name, the optimizer, its rate, the seed."""
Run = Callable[[Common, Task, bool], Trial]
"""Makes a trial; the last argument says whether it may use the test samples."""
Progress = Callable[[Trial | None, int, int], object]
"""Is told of each trial that ends: the trial, how many are done, how many there are."""


def make_trainer(common: Common, task: Task) -> Trainer:
    """The Trainer of a trial, with a network drawn by its seed and an optimizer of its own."""
    _, optimizer, lr, seed = task
    options = {**common.network, "seed": seed}
    network = pick(NETWORKS, options.pop("kind"), "network")(**options)
    network.preparation = common.preparation
    return make_trial(
        network,
        common.train,
        common.validation,
        optimizer,
        lr,
        batch_size=common.batch_size,
        seed=seed,
        threads=1,  # processes share the work
        **common.training,
    )


def run_trial(common: Common, task: Task, final: bool) -> Trial:
    """One training run, evaluated on the test samples at its end if it is `final`."""
    name, _, lr, seed = task
    trainer = make_trainer(common, task)
    curve = LossCurve(trainer)
    trainer.on_step = Watch(curve.add)
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


class Workers:
    """Runs trials in processes of joblib, or in this one, and counts them."""

    def __init__(
        self,
        common: Common,
        run: Run,
        jobs: int,
        progress: Progress | None,
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
                warnings.simplefilter("ignore")  # of trials that nobody waits for
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
