"""A comparison of the command line: trials in processes, kept as they end, summed up at the end."""

import shutil
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from scratchnet import environment
from scratchnet.cli.console import Silent
from scratchnet.cli.folder import OpenFolder, describe_asked, open_folder, shell_path, stem
from scratchnet.cli.interrupts import Interrupted, Interrupts
from scratchnet.cli.options import CommandLine
from scratchnet.cli.parser import command, flag_of
from scratchnet.cli.resume import Resumed
from scratchnet.cli.setup import Setup, plain_options
from scratchnet.cli.train import Job
from scratchnet.compare import Common, Comparison, Task, Trial, compare, make_trainer, run_trial
from scratchnet.compare.options import ComparisonOptions
from scratchnet.data import Dataset
from scratchnet.errors import DataError, DivergenceError, OutputError, ParameterError
from scratchnet.networks import MultiLayerNet
from scratchnet.report.comparison import comparison_page
from scratchnet.runs import ComparisonFolder, OutputFolder, RunFolder, to_json
from scratchnet.storage.atomic import write_text
from scratchnet.storage.checkpoint import UNFIT, clear_strays
from scratchnet.storage.plain import read_json
from scratchnet.training.resuming import Checkpoints

TRIALS = "trials"
SIGKILL = 9
"""Its number; Windows has no name for it."""


def run_comparison(setup: Setup, folder: OutputFolder | None) -> None:
    """Compare several optimizers, or several seeds or rates of one; raises ScratchnetError."""
    options = setup.options
    if options.patience is not None:
        raise ParameterError("--patience gives each trial another budget; leave it out to compare")
    if options.lr_grid is not None and options.lr is not None:
        raise ParameterError("--lr-grid tries many rates, --lr one; keep one of the two")
    for name in ("lr_grid", "target"):
        if getattr(options, name) is not None and not options.val_split:
            raise ParameterError(
                f"{flag_of(name)} needs validation samples; set --val-split above 0"
            )
    setup.console.header(setup.dataset, setup.trainer, setup.network, setup.optimizers.values())
    if options.dry_run:
        setup.console.plan()
        return
    assert folder is None or isinstance(folder, ComparisonFolder)
    CompareJob(setup).run(folder)


class CompareJob:
    """The comparison that was asked for, in a folder from which it can be resumed."""

    def __init__(self, setup: Setup) -> None:
        self.options = setup.options
        self.dataset = setup.dataset
        self.network = setup.network
        self.optimizers = setup.optimizers
        self.trainer = setup.trainer  # with the schedule and the distortion of all
        self.console = setup.console

    def run(self, folder: ComparisonFolder | None) -> None:
        """Run the trials that are not there yet, in `folder` or in a new one, and sum up."""
        if folder is None:
            folder = ComparisonFolder(self.options.out, f"{stem(self.dataset.name)}-comparison")
        else:
            self._check_data(folder)
        config = describe_asked(self.options, self.optimizers, self.dataset, self.network)
        for name in ("", TRIALS, *self.optimizers):
            clear_strays(folder.path / name)
        with open_folder(folder, self.options, self.console, config) as opened:
            found, results, shown = self._run(folder, opened)
        self.console.comparison(found, results, str(shown))
        if all(trial.diverged for trial in found.trials):
            raise DivergenceError("every trial diverged; give a lower --lr, or --lr-grid auto")

    def _run(
        self, folder: ComparisonFolder, opened: OpenFolder
    ) -> tuple[Comparison, dict[str, Any], Path]:
        """The comparison, its results and its page; what was done is kept however it ends."""
        resume = f"--resume {shell_path(folder.path)}"
        try:
            with Interrupts().end_at_once():
                found = self._compare(folder)
                results = self._results(found)
                folder.history.rewrite(found.epochs())
                page = partial(self._page, found, folder)
                return found, results, opened.finish(results, page, f", then {resume} writes it")
        except BrokenProcessPool as error:
            raise Interrupted(
                SIGKILL,
                f"a process was killed, perhaps out of memory; resume with {resume}, perhaps "
                "with fewer --jobs",
            ) from error
        except (Interrupted, KeyboardInterrupt) as error:
            _end_workers()
            number = error.number if isinstance(error, Interrupted) else 2
            raise Interrupted(number, f"interrupted; resume with {resume}") from None

    def _compare(self, folder: ComparisonFolder) -> Comparison:
        options = self.options
        kept = set()
        for path in (folder.path / TRIALS).glob("*.json"):
            try:
                kept.add(place_of(*read_trial(path).key))
            except DataError as error:
                self.console.note(f"{error}; the trial is made again")
        if kept:
            self.console.note(f"{len(kept)} trials are there already")
        jobs = options.jobs or environment.processors()
        if jobs > 1:
            self.console.note(
                f"{jobs} processes side by side slow each other down; for seconds to go by use "
                "--jobs 1"
            )

        def progress(trial: Trial | None, done: int, total: int) -> None:
            new = trial is None or place_of(*trial.key) not in kept
            self.console.trial(trial, done, total, new=new)

        with self.console.bar("trial"):
            return compare(
                self.optimizers,
                self.dataset,
                self.network,
                epochs=options.epochs,
                batch_size=options.batch_size,
                seeds=range(options.seed, options.seed + options.seeds),
                lr_grid=options.lr_grid,
                val_split=options.val_split,
                schedule=self.trainer.schedule,
                augment=self.trainer.augment,
                target=options.target,
                jobs=jobs,
                # Absolute, as a process that is used again may be somewhere else.
                run=Runner(options, self.dataset, folder.path.absolute()),
                progress=progress,
                **{n: v for n, v in plain_options(options).items() if n != "seed"},
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
        """The results of the comparison, as plain data."""
        return {
            "dataset": self.dataset.name,
            "epochs": self.options.epochs,
            "batch_size": self.options.batch_size or 100,
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
            found, folder.read_results(), links, config, command(self.options), summary
        )


@dataclass(frozen=True)
class Runner:
    """Makes the trials of a comparison in `path`, or finds those that were made before.

    The first trial of each optimizer with its chosen rate is a run with a folder of its own.
    """

    options: CommandLine
    dataset: Dataset
    path: Path

    def __call__(self, common: Common, task: Task, final: bool) -> Trial:
        """The trial; kept in `trials/` from the moment it ends."""
        name, _, lr, seed = task
        place = self.path / TRIALS / place_of(name, lr, seed, final)
        with suppress(DataError):
            kept = read_trial(place)
            if kept.key == (name, lr, seed, final):
                return kept
        with environment.limit_threads(1):
            if final and seed == self.options.seed:
                trial = self._as_run(common, task)
            else:
                trial = run_trial(common, task, final)
        _check_inside(place.parent)
        place.parent.mkdir(exist_ok=True)
        write_text(place, to_json(asdict(trial)), follow=False)
        return trial

    def _as_run(self, common: Common, task: Task) -> Trial:
        """The trial as `python train.py` would have run it, resumed where it was interrupted.

        The folder of one that ended before its first checkpoint is begun anew.
        """
        name, _, lr, seed = task
        trainer = make_trainer(common, task)
        out = self.path / name
        _check_inside(out)
        network = trainer.network
        assert isinstance(network, MultiLayerNet)  # as `make_trainer` builds no other
        size = None if trainer.optimizer.full_batch else self.options.batch_size
        options = replace(
            self.options,
            **asdict(ComparisonOptions()),
            optimizer=[name],
            lr=lr,
            batch_size=size,
            out=str(out),
            json=False,
        )
        setup = Setup(
            options,
            self.dataset,
            network,
            {name: trainer.optimizer},
            trainer,
            Silent(common.epochs),
        )
        job = Job(setup)
        if out.is_dir() and Checkpoints(out).numbered():
            job.resume(Resumed(RunFolder.reopen(out), Checkpoints(out).latest()))
        else:
            shutil.rmtree(out, ignore_errors=True)
            job.begin()
        with suppress(DivergenceError):
            job.run()
        assert job.folder is not None
        found = job.folder.read_results()
        history = tuple(trainer.history)
        curve = tuple((row["step"], row["loss"]) for row in job.folder.rows("step"))
        loss, accuracy = found.get("test_loss"), found.get("test_accuracy")
        return Trial(name, lr, seed, history, curve, loss, accuracy, not found, final=True)


def read_trial(path: Path) -> Trial:
    """The trial kept in a file; raises DataError that names it."""
    found = read_json(path, follow=False)
    try:
        return Trial.from_dict(found)
    except UNFIT as error:
        raise DataError(f"{str(path)!r} holds no trial ({error})") from error


def _check_inside(folder: Path) -> None:
    """Raise OutputError for a link in the place of a folder, which would lead out of this one."""
    if folder.is_symlink():
        raise OutputError(f"{str(folder)!r} must be a folder, it is a link; remove it")


def place_of(name: str, lr: float, seed: int, final: bool) -> str:
    """The name of the file that such a trial is kept in."""
    return f"{name}-{'final' if final else 'tuning'}-lr-{lr!r}-seed-{seed}.json"


def _end_workers() -> None:
    """End the processes of joblib at once, if there are any: what they were at is made again."""
    from joblib.externals.loky import reusable_executor

    if reusable_executor._executor is not None:
        reusable_executor._executor.shutdown(wait=True, kill_workers=True)
