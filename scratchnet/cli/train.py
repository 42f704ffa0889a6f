"""One training run of the command line: train, save, stop when asked, resume, and sum up.

Every rank runs the same loop. Rank 0 has a folder and a console; the others have no folder and a
silent console.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchnet.cli.advice import next_commands
from scratchnet.cli.folder import describe_asked, shell_path, stem, write_report
from scratchnet.cli.interrupts import Interrupted, Interrupts
from scratchnet.cli.parser import command
from scratchnet.cli.resume import Resumed
from scratchnet.cli.setup import Setup
from scratchnet.errors import DataError, ParameterError, ScratchnetError
from scratchnet.inspection import (
    Figures,
    compare_with_guess,
    inspect_layers,
    inspect_predictions,
    judge,
)
from scratchnet.layers import SoftmaxWithLoss
from scratchnet.parallel import Alone
from scratchnet.report.run import run_page
from scratchnet.runs import RunFolder
from scratchnet.storage.checkpoint import UNFIT, unfit
from scratchnet.training import EarlyStopping, Epoch
from scratchnet.training.curves import LossCurve
from scratchnet.training.epoch import History, Watch
from scratchnet.training.resuming import (
    Checkpoints,
    Saved,
    checkpoint_of,
    load_weights,
    restore_checkpoint,
    save_weights,
)

SECONDS_BETWEEN_SAVES = 1.0
RESULTS = {"dataset", "optimizer", "test_accuracy", "test_loss", "epochs", "steps", "test"}
"""Some of the names in the results of a run, by which it is known as such."""
SAMPLES_FOR_LAYERS = 500
"""How many training samples the layers are looked at with after each epoch."""


def train(setup: Setup, resumed: Resumed | None) -> None:
    """The main job: train, evaluate, write; raises ScratchnetError.

    `resumed` is None for a new run, and on all ranks but the first.
    """
    job = Job(setup)
    if setup.options.resume is not None:
        job.resume(resumed)
    setup.console.header(setup.dataset, setup.trainer, setup.network, [setup.trainer.optimizer])
    if resumed is not None:
        setup.console.going_on(str(resumed.folder.path), setup.trainer)
    if setup.options.dry_run:
        setup.console.plan()
        return
    if setup.options.resume is None:
        job.begin()
    job.run()


class Job:
    """The training that was asked for, which can be resumed at any moment from its folder."""

    folder: RunFolder | None = None
    """Where this rank writes; None on all ranks but the first."""
    path: Path
    """The path of that folder, on every rank."""
    resumed = False
    has_log = True
    stepped = False
    """Whether there was a step in this epoch, since the run was started or resumed."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.options = setup.options
        (self.optimizer,) = setup.options.optimizers  # its name
        self.dataset = setup.dataset
        self.network = setup.network
        self.trainer = setup.trainer
        self.console = setup.console
        self.ranks = setup.parallel or Alone()
        self.interrupts = Interrupts(self.ranks)
        self.curve = LossCurve(setup.trainer)
        self.stopping: EarlyStopping | None = None  # keeps the best weights, may stop early
        if setup.trainer.validation is not None:
            self.stopping = EarlyStopping(
                setup.network, setup.options.patience, setup.options.monitor
            )
        self.seconds_before = 0.0
        self.started = self.saved = time.perf_counter()
        self.best_saved = 0  # also in a resumed run: it may have ended before saving it

    # The beginning: every rank is told what the first one found, or raises what it raised.

    def begin(self) -> None:
        """Make a new folder."""
        self.path = self.ranks.broadcast(self._make_folder)

    def _make_folder(self) -> Path:
        self.folder = RunFolder(self.options.out, f"{stem(self.dataset.name)}-{self.optimizer}")
        return self.folder.path

    def resume(self, resumed: Resumed | None) -> None:
        """Continue where the checkpoint of the run left off, in its folder."""

        def restore() -> tuple[Any, ...]:
            assert resumed is not None  # on the first rank, which alone calls this
            assert isinstance(resumed.folder, RunFolder)
            assert resumed.checkpoint is not None
            self.folder = resumed.folder
            self._restore(resumed.checkpoint)
            stopping = None if self.stopping is None else self.stopping.state()
            times = [epoch.seconds for epoch in self.trainer.history]
            return (
                self.folder.path,
                self.network.state_vector,
                self.trainer.state(),
                times,
                stopping,
            )

        self.resumed = True
        self.path, weights, state, times, stopping = self.ranks.broadcast(restore)
        if self.ranks.rank > 0:
            self.network.state_vector[:] = weights
            self.trainer.restore(state, times)
            if self.stopping is not None:
                self.stopping.restore(stopping)

    def _restore(self, saved: Saved) -> None:
        """Put everything where the checkpoint left off, and say what differs."""
        override = self.options.override
        notes = restore_checkpoint(saved, self.trainer, self.stopping, override=override)
        try:
            self._restore_run(saved.header["run"], override)
        except ScratchnetError:
            raise
        except UNFIT as error:
            raise unfit(saved.path, error) from error
        for text in (*saved.passed_over, *notes):
            self.console.note(text)

    def _restore_run(self, run: Mapping[str, Any], override: bool) -> None:
        """Take over what the command line keeps in a checkpoint: seconds, the end of the log."""
        assert self.folder is not None
        self.seconds_before = float(run["seconds"])
        self.has_log = "log" in run  # version 0.1 had none, and the history in its checkpoints
        if self.has_log:
            self.folder.log.expect(run["log"])
            known = (e for e in self.folder.epochs() if e.number <= self.trainer.epochs)
            self.trainer.history = History(known)
        test = run.get("test", self.dataset.test.digest())
        if test != self.dataset.test.digest() and not override:
            raise ParameterError(
                "--resume: the test samples are not those of the saved run; give those, or add "
                "--override"
            )

    # The loop.

    def run(self) -> None:
        """Train to the end and sum up, after `begin` or `resume`."""
        try:
            if self.folder is not None and self.resumed:
                Checkpoints(self.folder.path).clear_strays()
            if self._is_finished():
                return
            self._start_files()
            with self.interrupts.watch():
                self._save()  # a place that cannot be written to is found now, not after training
                self._train()
                told = self._sum_up()
        finally:
            if self.folder is not None:
                self.folder.close()
        if told is not None:
            self.console.result(*told)

    def _is_over(self) -> bool:
        """Whether training has ended, by the number of epochs or by early stopping."""
        done = self.trainer.epochs
        stopped = self.stopping is not None and done > 0 and self.stopping.is_over(done)
        return stopped or done >= self.options.epochs

    def _train(self) -> None:
        """The epochs that are left, saved as they go; what was done is kept however it ends."""
        self.trainer.on_step = Watch(self._after_step, self._steps_ahead)
        try:
            total = self.options.epochs * len(self.trainer.batches)
            with self.console.bar("batch", total, self.trainer.steps):
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
                f"{'--parallel mpi ' * (self.setup.parallel is not None)}--resume "
                f"{shell_path(self.path)}",
            ) from None
        finally:
            self.trainer.on_step = None
            if self.folder is not None:
                self.folder.add_steps(self.curve.take())
                self.folder.write_history()

    def _after_step(self, step: int, loss: float) -> None:
        """Save and stop where that is due; behind the last step of an epoch once that has ended.

        A resumed run could not tell the gradient of a last step.
        """
        self.curve.add(step, loss)
        self.console.advance(loss)
        self.stepped = True
        if step % len(self.trainer.batches) and not self.trainer.ahead:
            self._save_if_due(step)
            self.interrupts.check()

    def _steps_ahead(self, step: int) -> int:
        """How many steps may be made before one has to be saved."""
        every = self.options.save_every
        return sys.maxsize if every is None else every - step % every

    def _save_if_due(self, step: int) -> None:
        every = self.options.save_every
        if every is not None and step % every == 0:
            self._save()

    def _after_epoch(self, epoch: Epoch) -> None:
        if self.folder is not None:
            samples = self.trainer.train.first(min(SAMPLES_FOR_LAYERS, len(self.trainer.train)))
            layers = inspect_layers(self.network, samples)
            if not self.stepped:  # resumed behind the last step, from a checkpoint of version 0.1
                layers = [{**layer, "gradient_norm": None} for layer in layers]
            self.folder.add_epoch(epoch, layers)
        self.stepped = False
        self.console.epoch(epoch)
        if self.stopping is not None:
            self.stopping.should_stop(epoch)
        self._save_if_due(epoch.steps)
        due = time.perf_counter() - self.saved >= SECONDS_BETWEEN_SAVES
        if due and self.options.save_every is None:
            self._save()
        self.interrupts.check()

    # The folder, which the first rank alone has.

    def _is_finished(self) -> bool:
        """Whether nothing is left to do; says so, and which option gives more to do.

        The results there may be those of an earlier end: then there is something to do.
        """
        folder, trainer = self.folder, self.trainer
        if folder is None or not self._is_over():
            return False
        results = folder.read_results()
        if (results.get("epochs"), results.get("steps")) != (trainer.epochs, trainer.steps):
            return False
        damaged = self._find_damage(folder, results)
        if not damaged and not (folder.path / "report.html").exists():
            try:
                self._write_report(folder)
            except UNFIT:  # there is something else in the results than names say
                damaged = "results.json"
        if damaged:
            self.console.note(f"{damaged} is missing or damaged, and is made again")
            return False
        flag = "--epochs" if trainer.epochs >= self.options.epochs else "--patience"
        self.console.finished(str(folder.path), results, flag)
        return True

    def _find_damage(self, folder: RunFolder, results: Mapping[str, Any]) -> str:
        """The first file of a finished run that cannot be used, or "".

        Tables and pages are not looked into: they can be made again from the others.
        """
        try:
            load_weights(folder.path / "weights.npz", follow=False)
        except DataError:
            return "weights.npz"
        if not {"arguments", "data", "environment"} <= set(folder.read_config()):
            return "config.json"
        if not results.keys() >= RESULTS or not isinstance(results["test"], dict):
            return "results.json"
        if not folder.has_history():
            return "history.json"
        return ""

    def _start_files(self) -> None:
        """Let log and tables end where training is, and write `config.json`."""
        if self.folder is None:
            return
        trainer = self.trainer
        if self.resumed and self.has_log:
            for text in self.folder.cut_log(trainer.epochs, trainer.steps):
                self.console.note(text)
        elif self.resumed:
            self.folder.begin_log(trainer.history, trainer.steps)
        optimizers = {self.optimizer: self.trainer.optimizer}
        self.folder.write_config(
            describe_asked(self.options, optimizers, self.dataset, self.network, self.trainer.ranks)
        )

    def _save(self) -> None:
        """Save where training is, and the best weights if they are better than those saved."""
        points = self.curve.take()
        if self.folder is None:
            return
        checkpoints = Checkpoints(self.folder.path)
        self.folder.add_steps(points)
        self.folder.log.sync()
        run = {
            "arguments": self.options.asked(),
            "seconds": self._seconds(),
            "log": self.folder.log.place(),
            "test": self.dataset.test.digest(),
        }
        state = checkpoint_of(self.trainer, self.stopping, run, history=False)
        checkpoints.save(self.trainer.steps, *state)
        if self.stopping is not None and self.stopping.best_epoch > self.best_saved:
            best = self.network.copy()
            best.state_vector[:] = self.stopping.weights
            save_weights(best, checkpoints.best, follow=False)
            self.best_saved = self.stopping.best_epoch
        self.saved = time.perf_counter()

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def _sum_up(self) -> tuple[dict[str, Any], str] | None:
        """Write weights, results and page; returns the results, and the file to look at.

        With --patience the weights are those of the best epoch.
        """
        if self.folder is None:
            return None
        seconds, number = self._seconds(), self.trainer.epochs
        if self.stopping is not None and self.options.patience is not None:
            self.stopping.restore_best()
            number = self.stopping.best_epoch
        results = self._results(number, seconds)
        save_weights(self.network, self.folder.path / "weights.npz", follow=False)
        self.folder.write_results(results)
        return results, str(self._write_report(self.folder))

    def _write_report(self, folder: RunFolder) -> Path:
        """Write the page of the run, if there is to be one; returns the file to look at."""

        def page() -> str:
            network = load_weights(folder.path / "weights.npz", follow=False)
            asked_for = command(self.options, self.trainer.ranks)
            return run_page(folder, network, self.dataset, asked_for)

        later = f", then --resume {shell_path(folder.path)} writes it"
        return write_report(folder, page, self.options, self.console, later)

    def _verdict(self, number: int, guess_accuracy: float, learned: bool) -> dict[str, str] | None:
        """What the run came to, with the weights of epoch `number`; None if its log is lost."""
        history = list(self.trainer.history)
        if not history:
            return None
        stopped = self.stopping is not None and self.stopping.is_over(self.trainer.epochs)
        figures = Figures(history, learned, guess_accuracy, number, stopped)
        trainer = self.trainer
        commands = next_commands(self.options, self.path, trainer.epochs, trainer.ranks)
        return judge(figures, commands)._asdict()

    def _results(self, number: int, seconds: float) -> dict[str, Any]:
        """The results, with the weights of epoch `number`.

        The test samples are used here, once, and nowhere else.
        """
        trainer = self.trainer
        test_loss, test_accuracy = trainer.evaluate(self.dataset.test)
        kept = next((epoch for epoch in trainer.history if epoch.number == number), None)
        validated: tuple[float | None, float | None] = (None, None)
        if kept is not None:
            validated = kept.val_loss, kept.val_accuracy
        elif trainer.validation is not None:  # its line in the log was damaged
            validated = trainer.evaluate(trainer.validation)
        training_seconds = sum(epoch.seconds for epoch in trainer.history) or seconds
        compared = compare_with_guess(
            self.dataset.test.t,
            test_accuracy,
            test_loss if isinstance(self.network.loss_layer, SoftmaxWithLoss) else None,
        )
        return {
            "dataset": self.dataset.name,
            "optimizer": self.optimizer,
            "lr": trainer.lr,
            "test_accuracy": test_accuracy,
            "test_loss": test_loss,
            **compared,
            "verdict": self._verdict(number, **compared),
            "val_accuracy": validated[1],
            "val_loss": validated[0],
            "kept_epoch": number,
            "epochs": trainer.epochs,
            "steps": trainer.steps,
            "batch_size": trainer.batches.batch_size,
            "seconds": seconds,
            "samples_per_second": len(trainer.train) * len(trainer.history) / training_seconds,
            "parameters": trainer.network.vector.size,
            "seed": self.options.seed,
            "test": inspect_predictions(
                self.network, self.dataset.test, self.dataset.classes, self.dataset.class_names
            ),
        }
