"""The output of a run: a header, a bar on a terminal, a line for each epoch, the result."""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from scratchnet import environment
from scratchnet.checks import without_controls
from scratchnet.compare import Comparison, Trial
from scratchnet.data import Dataset
from scratchnet.errors import DataWarning, OutputError
from scratchnet.inspection.lr_finder import RangeTest
from scratchnet.networks import MultiLayerNet, NetworkOptions
from scratchnet.optimizers import Optimizer
from scratchnet.options import options_of
from scratchnet.runs import to_json
from scratchnet.schedules import Schedule
from scratchnet.tables import align
from scratchnet.training import Epoch, Trainer

if TYPE_CHECKING:
    from scratchnet.diagnosis import Diagnosis  # which few commands need

BARS = "▁▂▃▄▅▆▇█"
HUGE = 1e5
RECENT = 10
"""How many epochs a sparkline shows."""
IN_HEADER = {"activation", "dtype", "seed"}
"""Options that the header shows in words of its own."""


class Console:
    """Prints a run: results on stdout, bars on stderr; with `json` only results.json on stdout."""

    def __init__(self, epochs: int, *, quiet: bool, verbose: bool, json: bool) -> None:
        self.epochs = epochs
        self.quiet = quiet
        self.verbose = verbose
        self.json = json
        self._bar: Any = None
        self._val_losses: list[float] = []

    def header(
        self,
        dataset: Dataset,
        trainer: Trainer,
        network: MultiLayerNet,
        optimizers: Iterable[Optimizer],
    ) -> None:
        """Say what is about to be trained, on what, how and with which machine."""
        if self.quiet:
            return
        shape = dataset.image_shape or (dataset.train.x.shape[1],)
        counts = {"train": trainer.train, "validation": trainer.validation, "test": dataset.test}
        parts = ", ".join(f"{len(s):,} {name}" for name, s in counts.items() if s is not None)
        lines = {
            "data": f"{_shown(dataset.name)}: {parts}; {'x'.join(map(str, shape))}, "
            f"{dataset.classes} classes",
            "network": f"{' '.join([network.outline, *_alike(network.options.activation)])}"
            f"{''.join(f', {text}' for text in _extras(network, trainer))}, "
            f"{network.vector.size:,} parameters, {network.dtype}",
            "optimizer": f"{f',{chr(10)}'.ljust(13).join(map(str, optimizers))}, "
            f"{_described(trainer.schedule)}batch {trainer.batches.batch_size}, "
            f"seed {trainer.seed}",
            "machine": _machine()
            + (f", {trainer.ranks} ranks" if trainer.ranks > 1 else "")
            + (f", {trainer.parts} threads share each batch" if trainer.parts > 1 else ""),
        }
        for name, text in lines.items():
            self._say(f"{name:<10} {text}")
        if self.verbose:
            self._say(f"\n{network.summary()}\n")

    @contextmanager
    def bar(self, unit: str, total: int | None = None, done: int = 0) -> Iterator[None]:
        """While inside: a bar on stderr that counts units, if stderr is a terminal that can."""
        if self.quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            yield
            return
        from tqdm.auto import tqdm

        with tqdm(
            total=total, initial=done, unit=unit, leave=False, dynamic_ncols=True
        ) as self._bar:
            yield
        self._bar = None

    def advance(self, loss: float) -> None:
        """Move the bar, if there is one, by a step."""
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            self._bar.update()

    def trial(self, trial: Trial | None, done: int, total: int, *, new: bool = True) -> None:
        """Move the bar by a trial of a comparison, and say how that went, where it is new."""
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)
        if self.quiet or trial is None or not new:
            return
        width = len(str(total))
        found = "diverged"
        if not trial.diverged:
            last = trial.history[-1]
            found = f"loss {last.loss:.4f}"
            if last.val_loss is not None:
                found += f"  val_loss {last.val_loss:.4f}  val_accuracy {last.val_accuracy:.4f}"
            if trial.test_accuracy is not None:
                found += f"  test_accuracy {trial.test_accuracy:.4f}"
        self._say(
            f"trial {done:>{width}}/{total}  {trial.optimizer}, lr {trial.lr:.4g}, "
            f"seed {trial.seed}  {found}  {trial.seconds:.3f} s"
        )

    def comparison(self, found: Comparison, results: Mapping[str, Any], folder: str) -> None:
        """The table of a comparison, and where the files are."""
        self._say(str(found))
        self.written(results, folder)

    def paths(
        self, surface: str, start: Sequence[float], steps: int, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """The table of the optimizers' paths on a surface."""
        self._say(f"{surface} from ({start[0]:g}, {start[1]:g}), {steps} steps")
        head = ("optimizer", "lr", "f at the end", "distance", "found at step")
        lines = [
            (
                row["optimizer"],
                f"{row['lr']:g}",
                f"diverged at {row['diverged']}" if row["f"] is None else f"{row['f']:.4g}",
                "" if row["distance"] is None else f"{row['distance']:.4g}",
                "" if row["reached"] is None else str(row["reached"]),
            )
            for row in rows
        ]
        self._say(align([head, *lines]))

    def diagnosis(self, found: "Diagnosis") -> None:
        """Print what the doctor found; the sentence alone if quiet."""
        for line in [found.verdict] if self.quiet else str(found).splitlines():
            self._say(line)

    def rates(self, name: str, found: RangeTest) -> None:
        """Print the result of a range test of learning rates."""
        said = str(found)
        self._say(f"{name}: {said.splitlines()[0] if self.quiet else said}")

    def written(self, results: Mapping[str, Any], folder: str) -> None:
        """Where the files are, or what is in results.json."""
        if self.json:
            _print(to_json(results).rstrip(), sys.stdout)
        self._say(f"see {_shown(folder)}")

    def going_on(self, folder: str, trainer: Trainer) -> None:
        """Say which run is resumed, and from where."""
        if not self.quiet:
            epochs = f"{trainer.epochs} of {self.epochs} epochs"
            self._say(f"{'resume':<10} {_shown(folder)} after step {trainer.steps}, {epochs}")

    def finished(self, folder: str, results: Mapping[str, Any], flag: str) -> None:
        """Say that the run is finished, and that more of what `flag` sets would resume it."""
        if self.json:
            _print(to_json(results).rstrip(), sys.stdout)
        self._say(
            f"{_shown(folder)} is finished: epoch {results['epochs']} of {self.epochs}; "
            f"raise {flag} to resume it"
        )

    def epoch(self, epoch: Epoch) -> None:
        """One line for an epoch that has ended."""
        if self.quiet:
            return
        width = len(str(self.epochs))
        parts = [f"epoch {epoch.number:>{width}}/{self.epochs}"]
        parts += [f"loss {epoch.loss:.4f}", f"accuracy {epoch.accuracy:.4f}"]
        if epoch.val_loss is not None:
            parts += [f"val_loss {epoch.val_loss:.4f}", f"val_accuracy {epoch.val_accuracy:.4f}"]
        parts.append(f"{epoch.seconds:.3f} s")
        if epoch.val_loss is not None and can_draw(self._file()):
            self._val_losses.append(epoch.val_loss)
            parts.append(sparkline(self._val_losses[-RECENT:]))
        self._say("  ".join(parts))

    def result(self, results: Mapping[str, Any], folder: str) -> None:
        """The last line: accuracy on the test samples, time, where the files are."""
        if self.json:
            _print(to_json(results).rstrip(), sys.stdout)
        epochs, kept = results["epochs"], results["kept_epoch"]
        count = f"{epochs} epoch{'s' if epochs != 1 else ''}"
        best = f", with the weights of epoch {kept}" if kept != epochs else ""
        failed = ""
        if not results["learned"]:
            failed = (
                f"; it did not learn: the most frequent label alone is right for "
                f"{results['guess_accuracy']:.4f}"
            )
        self._verdict(results.get("verdict"))
        self._say(
            f"test accuracy {results['test_accuracy']:.4f}, loss {_loss(results['test_loss'])} "
            f"after {count} in {results['seconds']:.2f} s{best}{failed}; see {_shown(folder)}"
        )

    def _verdict(self, verdict: Mapping[str, str] | None) -> None:
        """What the run came to, and what to type next, if anything."""
        if verdict is not None and not self.quiet:
            more = f"; next: {_shown(verdict['command'])}" if verdict["command"] else ""
            self._say(f"{'verdict':<10} {verdict['text']}{more}")

    @contextmanager
    def notes_of_data(self) -> Iterator[None]:
        """While inside: what is doubtful about the data is a note, each said once."""
        said: set[str] = set()
        with warnings.catch_warnings():
            warnings.simplefilter("always", DataWarning)
            show = warnings.showwarning

            def note(
                message: Warning | str,
                category: type[Warning],
                filename: str,
                lineno: int,
                file: TextIO | None = None,
                line: str | None = None,
            ) -> None:
                if not issubclass(category, DataWarning):
                    show(message, category, filename, lineno, file, line)
                elif str(message) not in said:
                    said.add(str(message))
                    self.note(str(message))

            warnings.showwarning = note  # which catch_warnings puts back
            yield

    def plan(self) -> None:
        """The last line of a dry run."""
        if not self.quiet:
            self._say(f"{'dry run':<10} nothing was trained or written")

    def note(self, text: str) -> None:
        """Something the user should know, on stderr."""
        _print(f"note: {without_controls(text)}", sys.stderr)

    def _file(self) -> TextIO:
        return sys.stderr if self.json else sys.stdout

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        _print(line, self._file())
        if self._bar is not None:
            self._bar.refresh()


class Silent(Console):
    """A Console that shows nothing, of a run that is a part of something else."""

    def __init__(self, epochs: int) -> None:
        super().__init__(epochs, quiet=True, verbose=False, json=False)

    def note(self, text: str) -> None:
        """Nothing."""

    def _say(self, line: str) -> None:
        """Nothing."""


def _print(text: str, file: TextIO) -> None:
    """Print at once; raises OutputError, or BrokenPipeError where the reader has gone."""
    try:
        print(text, file=file, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot print: {error.strerror or error}; send it elsewhere") from error


def _loss(value: float) -> str:
    """A loss with four decimals, or where it is huge in powers of ten."""
    return f"{value:.4f}" if value < HUGE else f"{value:.3g}"


def sparkline(values: Sequence[float]) -> str:
    """The values as bars of eighths of a line, from the lowest to the highest of them.

    >>> sparkline([3.0, 2.0, 1.5, 1.0])
    '█▅▃▁'
    """
    low, high = min(values), max(values)
    steps = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * steps)] for value in values)


def can_draw(file: TextIO) -> bool:
    """Whether it is a terminal that has the bars of a sparkline."""
    if not file.isatty() or os.environ.get("TERM") == "dumb":
        return False
    try:
        BARS.encode(file.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _shown(path: str) -> str:
    """`path` as it is, or quoted where it holds what would break the line."""
    return path if path.isprintable() else repr(path)


def _extras(network: MultiLayerNet, trainer: Trainer) -> list[str]:
    """The options of network and training that are not at their defaults, in words."""
    given = asdict(network.options) | {"remeasure": trainer.remeasure}
    given["augment"] = trainer.augment and trainer.augment.config()
    known = options_of(NetworkOptions)
    texts = []
    for name, value in given.items():
        default = known[name][0] if name in known else None
        values = _alike(value) if isinstance(value, list) else [value]
        if name in IN_HEADER or values == [default] or not any([*values, default]):
            continue
        words = name.replace("_", " ")
        if isinstance(default, bool):
            texts.append(words if value else f"no {words}")
        else:
            texts.append(f"{words} {_amounts(values)}")
    return texts


def _alike(values: Sequence[str]) -> Sequence[str]:
    """The value where all are the same, else each of them."""
    return values[:1] if len(set(values)) == 1 else values


def _amounts(values: Sequence[Any]) -> str:
    """Numbers and words as one would type them; {"shift": 2} as shift=2."""
    texts = []
    for value in values:
        if isinstance(value, Mapping):
            each = {name: _amounts(np.atleast_1d(v).tolist()) for name, v in value.items()}
            texts += [f"{name}={amount.replace(' ', ':')}" for name, amount in each.items()]
        else:
            texts.append(f"{value:.3g}" if isinstance(value, float) else str(value))
    return " ".join(texts)


def _described(schedule: Schedule) -> str:
    """The schedule, if it is more than a constant rate."""
    plain = schedule.name == "constant" and not schedule.warmup
    return "" if plain else f"{schedule}, "


def _machine() -> str:
    """Python, NumPy, the BLAS behind it, its kernel and threads, and compiled loops."""
    about = environment.describe()
    pools = [
        f"{pool['internal_api']} {pool['version']} ({pool['architecture']}, "
        f"{pool['threads']} thread{'s' if pool['threads'] != 1 else ''})"
        for pool in about["blas"]
    ]
    loops = f"loops: {about['loops']}"
    return ", ".join([f"Python {about['python']}", f"NumPy {about['numpy']}", *pools, loops])
