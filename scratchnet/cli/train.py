"""One training run of the command line: train, save, stop when asked, go on, and sum up."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchnet.cli.folder import describe_asked, shell_path, stem, write_report
from scratchnet.cli.follow import share_state
from scratchnet.cli.interrupts import Interrupted, Interrupts
from scratchnet.cli.options import CommandLine
from scratchnet.cli.parser import command
from scratchnet.cli.resume import Resumed
from scratchnet.cli.setup import Setup
from scratchnet.inspection import inspect_layers, inspect_predictions
from scratchnet.report.run import run_page
from scratchnet.runs import RunFolder
from scratchnet.storage.checkpoint import (
    Checkpoints,
    Saved,
    load_weights,
    restore_checkpoint,
    save_weights,
)
from scratchnet.training import EarlyStopping, Epoch, Trainer
from scratchnet.training.curves import LossCurve

SECONDS_BETWEEN_SAVES = 1.0
SAMPLES_FOR_LAYERS = 500
"""How many training samples the layers are looked at with after each epoch."""


class Job:
    """The training that was asked for, in a folder from which it can be resumed at any moment."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.options = setup.options
        (self.optimizer,) = setup.options.optimizers  # its name
        self.dataset = setup.dataset
        self.network = setup.network
        self.trainer = setup.trainer
        self.screen = setup.screen
        self.parallel = setup.parallel
        self.interrupts = Interrupts(setup.parallel)
        self.curve = LossCurve(setup.trainer)
        self.stopping = make_stopping(setup)
        self.seconds_before = 0.0
        self.started = self.saved = time.perf_counter()
        self.best_saved = 0  # also where a run is resumed: it may have ended before saving it

    def restore(self, saved: Saved) -> None:
        """Put everything where the checkpoint left off; says what differs."""
        override = self.options.override
        notes = restore_checkpoint(saved, self.trainer, self.stopping, override=override)
        self.seconds_before = saved.header["run"]["seconds"]
        for text in (*saved.passed_over, *notes):
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
            flag = "--epochs" if self.trainer.epochs >= self.options.epochs else "--patience"
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
                    self.options,
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
            asked_for = command(self.options, self.trainer.ranks)
            return run_page(folder, network, self.dataset, asked_for)

        later = f", then --resume {shell_path(folder.path)} writes it"
        return write_report(folder, page, self.options, self.screen, later)

    def _begin_folder(self) -> RunFolder:
        """A new folder; where there is none to be had all ranks raise why."""
        if self.parallel is None:
            return self._new_folder()
        made: list[RunFolder] = []
        self.parallel.from_first(lambda: made.append(self._new_folder()))
        return made[0]

    def _new_folder(self) -> RunFolder:
        return RunFolder(self.options.out, f"{stem(self.dataset.name)}-{self.optimizer}")

    def _has_results(self, folder: RunFolder) -> bool:
        """Whether the results are those of where training is, and not of an earlier end."""
        found, trainer = folder.read_results(), self.trainer
        return (found.get("epochs"), found.get("steps")) == (trainer.epochs, trainer.steps)

    def _is_over(self) -> bool:
        return is_over(self.options, self.trainer, self.stopping)

    def _train(self) -> None:
        """The epochs that are left, saved as they go; what was done is kept however it ends."""
        self.trainer.on_step = self._after_step
        try:
            total = self.options.epochs * len(self.trainer.batches)
            with self.screen.bar("batch", total, self.trainer.steps):
                if not self._is_over():
                    for epoch in self.trainer.run(self.options.epochs - self.trainer.epochs):
                        self._after_epoch(epoch)
                        if self._is_over():
                            break
            self._save()
        except (Interrupted, KeyboardInterrupt) as error:
            self._save()
            number = error.number if isinstance(error, Interrupted) else 2
            raise Interrupted(
                number,
                f"interrupted after step {self.trainer.steps}; resume with "
                f"{'--parallel mpi ' * (self.parallel is not None)}--resume "
                f"{shell_path(self.folder.path)}",
            ) from None
        finally:
            self.trainer.on_step = None
            self.folder.steps.add(self.curve.take())
            self.folder.write_history()

    def _after_step(self, step: int, loss: float) -> None:
        self.curve.add(step, loss)
        self.screen.advance(loss)
        every = self.options.save_every
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
        if due and self.options.save_every is None:
            self._save()
        self.interrupts.check()

    def _save(self) -> None:
        """Save where training is, and the best weights where there are better ones than saved."""
        self.folder.steps.add(self.curve.take())
        run = {"arguments": self.options.asked(), "seconds": self._seconds()}
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
        if self.stopping is not None and self.options.patience is not None:
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
            "seed": self.options.seed,
            "test": inspect_predictions(self.network, self.dataset.test, self.dataset.classes),
        }


def make_stopping(setup: Setup) -> EarlyStopping | None:
    """What keeps the best weights, and stops early if asked to; None without validation samples."""
    if setup.trainer.validation is None:
        return None
    return EarlyStopping(setup.network, setup.options.patience, setup.options.monitor)


def is_over(options: CommandLine, trainer: Trainer, stopping: EarlyStopping | None) -> bool:
    """Whether training has come to its end, by the number of epochs or for want of a better one."""
    done = trainer.epochs
    stopped = stopping is not None and done > 0 and stopping.is_over(done)
    return stopped or done >= options.epochs


def follow(setup: Setup) -> None:
    """What all ranks but the first do of a run: the same steps, until the same end.

    Whether to stop is decided in the same places as in `Job`, which rank 0 runs. Raises what
    it does: Interrupted on a signal to any of the ranks, DivergenceError.
    """
    options, trainer, parallel = setup.options, setup.trainer, setup.parallel
    assert parallel is not None
    stopping = make_stopping(setup)
    if options.resume is not None:
        share_state(parallel, trainer, stopping)
    elif not options.dry_run:
        parallel.from_first(lambda: None)  # rank 0 makes the folder
    interrupts = Interrupts(parallel)
    trainer.on_step = lambda step, loss: interrupts.check()
    if options.dry_run:
        return
    with interrupts.watch():
        if not is_over(options, trainer, stopping):
            for epoch in trainer.run(options.epochs - trainer.epochs):
                if stopping is not None:
                    stopping.should_stop(epoch)
                interrupts.check()
                if is_over(options, trainer, stopping):
                    break


def train(setup: Setup, resumed: Resumed | None) -> None:
    """The main job: train, evaluate, write; on other ranks than the first, train along."""
    if setup.parallel is not None and setup.parallel.rank > 0:
        follow(setup)
        return
    job = Job(setup)
    saved = None if resumed is None else resumed.checkpoint
    if saved is not None and setup.parallel is not None:
        share_state(setup.parallel, setup.trainer, job.stopping, lambda: job.restore(saved))
    elif saved is not None:
        job.restore(saved)
    setup.screen.header(setup.dataset, setup.trainer, setup.network, [setup.trainer.optimizer])
    folder = None
    if resumed is not None:
        assert isinstance(resumed.folder, RunFolder)
        folder = resumed.folder
        setup.screen.going_on(str(folder.path), setup.trainer)
    if setup.options.dry_run:
        setup.screen.plan()
    else:
        job.run(folder)
