"""One training run of the command line: train, save, stop when asked, go on, and sum up."""

import argparse
import os
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scratchnet import __version__, environment
from scratchnet.cli.arguments import asked, command
from scratchnet.cli.interrupts import Interrupted, Interrupts
from scratchnet.cli.screen import Screen
from scratchnet.data import Dataset
from scratchnet.errors import DataError
from scratchnet.inspection import inspect_layers, inspect_predictions
from scratchnet.networks import MultiLayerNet
from scratchnet.optimizers import Optimizer
from scratchnet.parallel import MPIGradients
from scratchnet.report.page import MissingPlotlyError
from scratchnet.report.run import run_page
from scratchnet.runs import RUNS, ComparisonFolder, OutputFolder, RunFolder
from scratchnet.storage.atomic import write_text
from scratchnet.storage.checkpoint import (
    Checkpoints,
    check_checkpoint,
    load_weights,
    restore_checkpoint,
    save_weights,
)
from scratchnet.training import EarlyStopping, Epoch, Trainer
from scratchnet.training.curves import LossCurve

SECONDS_BETWEEN_SAVES = 1.0
SAMPLES_FOR_LAYERS = 500
"""How many training samples the layers are looked at with after each epoch."""
FREE = frozenset({"epochs", "patience", "save_every", "data_dir", "report"})
"""The arguments of a run that it may go on with others of: results up to there stay the same."""


class Job:
    """The training that `arguments` ask for, in a folder that can be gone on with at any moment."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        dataset: Dataset,
        network: MultiLayerNet,
        trainer: Trainer,
        screen: Screen,
        parallel: MPIGradients | None = None,
    ) -> None:
        self.arguments = arguments
        (self.optimizer,) = arguments.optimizer  # its name
        self.dataset = dataset
        self.network = network
        self.trainer = trainer
        self.screen = screen
        self.parallel = parallel
        self.interrupts = Interrupts(parallel)
        self.curve = LossCurve(trainer)
        self.stopping = make_stopping(arguments, trainer)
        self.seconds_before = 0.0
        self.started = self.saved = time.perf_counter()
        self.best_saved = 0  # also where a run is gone on with: it may have ended before saving it

    def restore(self, folder: RunFolder) -> None:
        """Put everything where the latest checkpoint in the folder left off; says what differs."""
        path, header, passed_over = Checkpoints(folder.path).latest()
        override = self.arguments.override
        notes = restore_checkpoint(path, self.trainer, self.stopping, override=override)
        self.seconds_before = header["run"]["seconds"]
        for text in (*passed_over, *notes):
            self.screen.note(text)

    def run(self, folder: RunFolder | None) -> None:
        """Train to the end in `folder`, or in a new one; raises ScratchnetError."""
        new = folder is None
        if folder is None:
            folder = self._begin_folder()
        self.folder, self.checkpoints = folder, Checkpoints(folder.path)
        if not new:
            self.checkpoints.clear_strays()
        if self._is_over() and self._has_results(folder):
            flag = "--epochs" if self.trainer.epochs >= self.arguments.epochs else "--patience"
            if not (folder.path / "report.html").exists():
                self._write_report(folder)
            self.screen.finished(str(folder.path), folder.read_results(), flag)
            folder.close()
            return
        try:
            if not new:
                folder.rewrite_history(self.trainer.history, self.trainer.steps)
            folder.write_config(
                describe_asked(
                    self.arguments,
                    {self.optimizer: self.trainer.optimizer},
                    self.dataset,
                    self.network,
                    self.trainer.ranks,
                )
            )
            with self.interrupts.watch():
                self._save()  # a place that cannot be written to is found now, not after training
                self._train()
                results = self._sum_up()
                shown = self._write_report(folder)
        finally:
            folder.close()
        self.screen.result(results, str(shown))

    def _write_report(self, folder: RunFolder) -> Path:
        """Write the page of the run, if it is to be; returns what there is to look at."""

        def page() -> str:
            network = load_weights(folder.path / "weights.npz")
            asked_for = command(self.arguments, self.trainer.ranks)
            return run_page(folder, network, self.dataset, asked_for)

        again = f", then --resume {typed(folder.path)} writes it"
        return write_report(folder, page, self.arguments, self.screen, again)

    def _begin_folder(self) -> RunFolder:
        """A new folder; where there is none to be had all ranks raise why."""
        if self.parallel is None:
            return self._new_folder()
        made: list[RunFolder] = []
        self.parallel.broadcast(lambda: made.append(self._new_folder()))
        return made[0]

    def _new_folder(self) -> RunFolder:
        return RunFolder(self.arguments.out, f"{stem(self.dataset.name)}-{self.optimizer}")

    def _has_results(self, folder: RunFolder) -> bool:
        """Whether the results are those of where training is, and not of an earlier end."""
        found, trainer = folder.read_results(), self.trainer
        return (found.get("epochs"), found.get("steps")) == (trainer.epochs, trainer.steps)

    def _is_over(self) -> bool:
        return is_over(self.arguments, self.trainer, self.stopping)

    def _train(self) -> None:
        """The epochs that are left, saved as they go; what was done is kept however it ends."""
        self.trainer.on_step = self._after_step
        try:
            total = self.arguments.epochs * len(self.trainer.batches)
            with self.screen.bar("batch", total, self.trainer.steps):
                if not self._is_over():
                    for epoch in self.trainer.run(self.arguments.epochs - self.trainer.epochs):
                        self._after_epoch(epoch)
                        if self._is_over():
                            break
            self._save()
        except (Interrupted, KeyboardInterrupt) as error:
            self._save()
            number = error.number if isinstance(error, Interrupted) else 2
            raise Interrupted(
                number,
                f"interrupted after step {self.trainer.steps}; go on with "
                f"{'--parallel mpi ' * (self.parallel is not None)}--resume "
                f"{typed(self.folder.path)}",
            ) from None
        finally:
            self.trainer.on_step = None
            self.folder.steps.add(self.curve.take())
            self.folder.write_history()

    def _after_step(self, step: int, loss: float) -> None:
        self.curve.add(step, loss)
        self.screen.advance(loss)
        every = self.arguments.save_every
        if every is not None and step % every == 0:
            self._save()
        self.interrupts.check()

    def _after_epoch(self, epoch: Epoch) -> None:
        samples = self.trainer.train.first(min(SAMPLES_FOR_LAYERS, len(self.trainer.train)))
        self.folder.add_epoch(epoch, inspect_layers(self.network, samples))
        self.screen.epoch(epoch)
        if self.stopping is not None:
            self.stopping.should_stop(epoch)
        due = time.perf_counter() - self.saved >= SECONDS_BETWEEN_SAVES
        if due and self.arguments.save_every is None:
            self._save()
        self.interrupts.check()

    def _save(self) -> None:
        """Save where training is, and the best weights where there are better ones than saved."""
        self.folder.steps.add(self.curve.take())
        run = {"arguments": asked(self.arguments), "seconds": self._seconds()}
        self.checkpoints.save(self.trainer, self.stopping, run)
        if self.stopping is not None and self.stopping.best_epoch > self.best_saved:
            best = self.network.copy()
            best.state_vector[:] = self.stopping.weights
            save_weights(best, self.checkpoints.best)
            self.best_saved = self.stopping.best_epoch
        self.saved = time.perf_counter()

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def _sum_up(self) -> dict[str, Any]:
        """Weights and results on disk, of the best epoch where --patience asked for it."""
        seconds = self._seconds()
        kept = self.folder.rows[-1]
        if self.stopping is not None and self.arguments.patience is not None:
            self.stopping.restore_best()
            kept = self.folder.rows[self.stopping.best_epoch - 1]
        results = self._results(kept, seconds)
        save_weights(self.network, self.folder.path / "weights.npz")
        self.folder.write_results(results)
        return results

    def _results(self, kept: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """What the run came to with the weights of the epoch `kept`.

        The test samples are looked at here, once, and nowhere else.
        """
        trainer = self.trainer
        test_loss, test_accuracy = trainer.evaluate(self.dataset.test)
        training_seconds = sum(row["seconds"] for row in self.folder.rows)
        return {
            "dataset": self.dataset.name,
            "optimizer": self.optimizer,
            "lr": trainer.lr,
            "test_accuracy": test_accuracy,
            "test_loss": test_loss,
            "val_accuracy": kept["val_accuracy"],
            "val_loss": kept["val_loss"],
            "kept_epoch": kept["epoch"],
            "epochs": trainer.epochs,
            "steps": trainer.steps,
            "batch_size": trainer.batches.batch_size,
            "seconds": seconds,
            "samples_per_second": len(trainer.train) * trainer.epochs / training_seconds,
            "parameters": trainer.network.vector.size,
            "seed": self.arguments.seed,
            "test": inspect_predictions(self.network, self.dataset.test, self.dataset.classes),
        }


def make_stopping(arguments: argparse.Namespace, trainer: Trainer) -> EarlyStopping | None:
    """What keeps the best weights, and stops early if asked to; None without validation samples."""
    if trainer.validation is None:
        return None
    return EarlyStopping(trainer.network, arguments.patience, arguments.monitor)


def is_over(
    arguments: argparse.Namespace, trainer: Trainer, stopping: EarlyStopping | None
) -> bool:
    """Whether training has come to its end, by the number of epochs or for want of a better one."""
    done = trainer.epochs
    stopped = stopping is not None and done > 0 and stopping.is_over(done)
    return stopped or done >= arguments.epochs


def describe_asked(
    arguments: argparse.Namespace,
    optimizers: Mapping[str, Optimizer],
    dataset: Dataset | None = None,
    network: MultiLayerNet | None = None,
    ranks: int = 1,
) -> dict[str, Any]:
    """`config.json`: everything needed to do the same again, and to know whether it is the same."""
    found: dict[str, Any] = {
        "scratchnet": __version__,
        "arguments": asked(arguments),
        "optimizers": [{"name": name, **each.config()} for name, each in optimizers.items()],
    }
    if len(optimizers) == 1:
        (found["optimizer"],) = found.pop("optimizers")
    if network is not None:
        found["network"] = network.config()
    if dataset is not None:
        name, classes = dataset.name, dataset.classes
        found["data"] = {"name": name, "sha256": dataset.digest, "classes": classes}
    return {**found, "environment": {**environment.describe(), "ranks": ranks}}


def write_report(
    folder: OutputFolder,
    page: Callable[[], str],
    arguments: argparse.Namespace,
    screen: Screen,
    again: str = "",
) -> Path:
    """Write `page()` as report.html, if there is to be one; returns what there is to look at.

    Without plotly a note says so, and how to come to the page afterwards, `again`.
    """
    place = folder.path / "report.html"
    if not arguments.report:
        return folder.path
    try:
        write_text(place, page())
    except MissingPlotlyError as error:
        screen.note(f"{error}{again}")
        return folder.path
    return place


def find_run(where: str | None) -> Path:
    """The folder of the run to go on with: `where`, or for None the latest in runs/.

    Raises DataError, listing the runs there are, where there is no checkpoint, and for a file that
    says what it is.
    """
    found = [path for path in RUNS.glob("*") if _can_go_on(path)]
    if where is None and found:
        return max(found, key=lambda path: max(p.stat().st_mtime for p in path.iterdir()))
    if where is not None and _can_go_on(Path(where)):
        return Path(where)
    if where is not None and os.path.isfile(where):
        check_checkpoint(where)
        raise DataError(
            f"{where!r} is one checkpoint; --resume takes the folder of the run, "
            f"{os.path.dirname(where) or '.'!r}"
        )
    runs = ", ".join(sorted(str(path) for path in found)) or "none"
    raise DataError(
        f"--resume needs a run with a checkpoint, there is none in {where or str(RUNS)!r}; "
        f"runs that can be gone on with: {runs}"
    )


def is_comparison(path: Path) -> bool:
    """Whether the folder is that of a comparison."""
    return (path / ComparisonFolder.table[0]).is_file() and (path / "config.json").is_file()


def typed(path: Path) -> str:
    """The path as one would type it in a shell, on one line."""
    text = f"./{path}" if str(path).startswith("-") else str(path)
    return shlex.quote(text) if text.isprintable() else repr(text)


def stem(name: str) -> str:
    """The name of a data set, of which there may be only a path, as a part of another path."""
    last = os.path.basename(os.path.normpath(name)).removesuffix(".npz")
    return last.strip(".") or "data"


def _can_go_on(path: Path) -> bool:
    return path.is_dir() and (is_comparison(path) or bool(Checkpoints(path).numbered()))
