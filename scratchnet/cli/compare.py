"""A comparison of the command line: trials in processes, kept as they end, summed up at the end."""

import argparse
import json
import shutil
import signal
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scratchnet import environment
from scratchnet.cli.arguments import command
from scratchnet.cli.interrupts import Interrupted, Interrupts
from scratchnet.cli.screen import Screen, Silent
from scratchnet.cli.train import Job, describe_asked, stem, typed, write_report
from scratchnet.compare import Common, Comparison, Task, Trial, compare, make_trainer, run_trial
from scratchnet.data import Dataset
from scratchnet.errors import DataError, DivergenceError
from scratchnet.networks import MultiLayerNet
from scratchnet.optimizers import Optimizer
from scratchnet.report.comparison import comparison_page
from scratchnet.runs import ComparisonFolder, RunFolder, to_json
from scratchnet.storage.atomic import write_text
from scratchnet.storage.checkpoint import Checkpoints
from scratchnet.training import Trainer

ALONE = {"seeds": 1, "lr_grid": None, "jobs": None, "target": None, "patience": None, "json": False}
"""The arguments of a comparison that its runs do not have."""
TRIALS = "trials"
FREE_TO_CHANGE = frozenset({"jobs", "seeds", "target", "data_dir", "report"})
"""The arguments that a comparison may go on with others of: its trials stay the same."""


class CompareJob:
    """The comparison that `arguments` ask for, in a folder that can be gone on with."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        dataset: Dataset,
        network: MultiLayerNet,
        optimizers: Mapping[str, Optimizer],
        trainer: Trainer,
        screen: Screen,
    ) -> None:
        self.arguments = arguments
        self.dataset = dataset
        self.network = network
        self.optimizers = optimizers
        self.trainer = trainer  # with the schedule and the distortion of all
        self.screen = screen

    def run(self, folder: ComparisonFolder | None) -> None:
        """Run the trials that are not there yet, in `folder` or in a new one, and sum up."""
        if folder is None:
            name = f"{stem(self.dataset.name)}-comparison"
            folder = ComparisonFolder(self.arguments.out, name)
        else:
            self._check_data(folder)
        try:
            Checkpoints(folder.path / TRIALS).clear_strays()
            folder.write_config(
                describe_asked(self.arguments, self.optimizers, self.dataset, self.network)
            )
            with Interrupts().end_at_once():
                found = self._compare(folder)
                results = self._results(found)
                folder.history.rewrite(found.epochs())
                folder.write_results(results)
                shown = write_report(
                    folder,
                    lambda: self._page(found, folder),
                    self.arguments,
                    self.screen,
                    f", then --resume {typed(folder.path)} writes it",
                )
        except BrokenProcessPool as error:
            raise Interrupted(
                signal.SIGKILL,
                "a process was killed, perhaps for want of memory; go on with --resume "
                f"{typed(folder.path)}, perhaps with fewer --jobs",
            ) from error
        except (Interrupted, KeyboardInterrupt) as error:
            _end_workers()
            number = error.number if isinstance(error, Interrupted) else 2
            raise Interrupted(
                number,
                f"interrupted; go on with --resume {typed(folder.path)}",
            ) from None
        finally:
            folder.close()
        self.screen.comparison(found, results, str(shown))
        if all(trial.diverged for trial in found.trials):
            raise DivergenceError("every trial diverged; give a lower --lr, or --lr-grid auto")

    def _compare(self, folder: ComparisonFolder) -> Comparison:
        arguments = self.arguments
        kept = {path.name for path in (folder.path / TRIALS).glob("*.json")}
        if kept:
            self.screen.note(f"{len(kept)} trials are there already")
        jobs = arguments.jobs or environment.processors()
        if jobs > 1:
            self.screen.note(
                f"{jobs} processes side by side slow each other down; for seconds to go by use "
                "--jobs 1"
            )

        def progress(trial: Trial | None, done: int, total: int) -> None:
            new = trial is None or place_of(*_key(trial)) not in kept
            self.screen.trial(trial, done, total, new=new)

        with self.screen.bar("trial"):
            return compare(
                self.optimizers,
                self.dataset,
                self.network,
                epochs=arguments.epochs,
                batch_size=arguments.batch_size,
                seeds=range(arguments.seed, arguments.seed + arguments.seeds),
                lr_grid=arguments.lr_grid,
                val_split=arguments.val_split,
                schedule=self.trainer.schedule,
                augment=self.trainer.augment,
                remeasure=arguments.remeasure,
                target=arguments.target,
                jobs=jobs,
                # Absolute, as a process that is used again may be somewhere else.
                run=Runner(arguments, self.dataset, folder.path.absolute()),
                progress=progress,
            )

    def _check_data(self, folder: ComparisonFolder) -> None:
        """Raise DataError where the data are not those that the trials were made with."""
        before = folder.read_config().get("data", {}).get("sha256")
        if before != self.dataset.digest:
            raise DataError(
                f"{str(folder.path)!r} compares with other data than {self.dataset.name}; "
                "give those, or begin another comparison"
            )

    def _results(self, found: Comparison) -> dict[str, Any]:
        """What the comparison came to, as plain data."""
        return {
            "dataset": self.dataset.name,
            "epochs": self.arguments.epochs,
            "batch_size": self.arguments.batch_size or 100,
            "seeds": [trial.seed for trial in found.of(found.optimizers[0])],
            "target": found.target,
            "optimizers": found.summary(),
            "differences": found.differences(),
            "tuning": [
                {
                    "optimizer": trial.optimizer,
                    "lr": trial.lr,
                    "val_accuracy": trial.val_accuracy,
                    "val_loss": trial.val_loss,
                    "diverged": trial.diverged,
                }
                for trial in found.tuning
            ],
        }

    def _page(self, found: Comparison, folder: ComparisonFolder) -> str:
        links = {
            name: f"{name}/report.html"
            for name in found.optimizers
            if (folder.path / name / "report.html").exists()
        }
        summary = self.network.summary()
        config = folder.read_config()
        return comparison_page(
            found, folder.read_results(), links, config, command(self.arguments), summary
        )


@dataclass(frozen=True)
class Runner:
    """Makes the trials of a comparison in `path`, or finds those that were made before.

    The first trial of each optimizer with its chosen rate is a run with a folder of its own.
    """

    arguments: argparse.Namespace
    dataset: Dataset
    path: Path

    def __call__(self, common: Common, task: Task, final: bool) -> Trial:
        """The trial; kept in `trials/` from the moment it ends."""
        name, _, lr, seed = task
        place = self.path / TRIALS / place_of(name, lr, seed, final)
        with suppress(OSError, ValueError, KeyError, TypeError):
            return Trial.from_dict(json.loads(place.read_bytes()))
        with environment.limit_threads(1):
            if final and seed == self.arguments.seed:
                trial = self._as_run(common, task)
            else:
                trial = run_trial(common, task, final)
        place.parent.mkdir(exist_ok=True)
        write_text(place, to_json(asdict(trial)))
        return trial

    def _as_run(self, common: Common, task: Task) -> Trial:
        """The trial as `python train.py` would have run it, gone on with where it was broken off.

        The folder of one that ended before its first checkpoint is begun anew.
        """
        name, _, lr, seed = task
        trainer = make_trainer(common, task)
        out = self.path / name
        own = {**vars(self.arguments), **ALONE, "optimizer": [name], "lr": lr, "out": str(out)}
        if trainer.optimizer.full_batch:
            own["batch_size"] = None
        network = trainer.network
        assert isinstance(network, MultiLayerNet)  # as `make_trainer` builds no other
        job = Job(argparse.Namespace(**own), self.dataset, network, trainer, Silent(common.epochs))
        folder = None
        if out.is_dir() and Checkpoints(out).numbered():
            folder = RunFolder.reopen(out)
            job.restore(folder)
        elif out.is_dir():
            shutil.rmtree(out)
        with suppress(DivergenceError):
            job.run(folder)
        found = job.folder.read_results()
        history = tuple(trainer.history)
        curve = tuple((row["step"], row["loss"]) for row in job.folder.steps.read())
        loss, accuracy = found.get("test_loss"), found.get("test_accuracy")
        return Trial(name, lr, seed, history, curve, loss, accuracy, not found, final=True)


def _key(trial: Trial) -> tuple[str, float, int, bool]:
    return trial.optimizer, trial.lr, trial.seed, trial.final


def place_of(name: str, lr: float, seed: int, final: bool) -> str:
    """The name of the file that such a trial is kept in."""
    return f"{name}-{'final' if final else 'tuning'}-lr-{lr!r}-seed-{seed}.json"


def _end_workers() -> None:
    """End the processes of joblib at once, if there are any: what they were at is made again."""
    from joblib.externals.loky import reusable_executor

    if reusable_executor._executor is not None:
        reusable_executor._executor.shutdown(wait=True, kill_workers=True)
