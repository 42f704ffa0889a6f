"""What a person sees of a run: a header, a bar on a terminal, a line for each epoch, the result."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import numpy as np

from scratchnet import environment
from scratchnet.data import Dataset
from scratchnet.errors import OutputError
from scratchnet.networks import MultiLayerNet
from scratchnet.runs import to_json
from scratchnet.schedules import Schedule
from scratchnet.trainer import Epoch, Trainer


class Screen:
    """Prints a run: results on stdout, bars on stderr; with `json` only results.json on stdout."""

    def __init__(self, epochs: int, *, quiet: bool, verbose: bool, json: bool) -> None:
        self.epochs = epochs
        self.quiet = quiet
        self.verbose = verbose
        self.json = json
        self._bar: Any = None

    def header(self, dataset: Dataset, trainer: Trainer, network: MultiLayerNet) -> None:
        """Say what is about to be trained, on what, how and with which machine."""
        if self.quiet:
            return
        shape = dataset.image_shape or (dataset.train.x.shape[1],)
        counts = {"train": trainer.train, "validation": trainer.validation, "test": dataset.test}
        parts = ", ".join(f"{len(s):,} {name}" for name, s in counts.items() if s is not None)
        sizes = "-".join(map(str, network.sizes))
        lines = {
            "data": f"{_shown(dataset.name)}: {parts}; {'x'.join(map(str, shape))}, "
            f"{dataset.classes} classes",
            "network": f"{' '.join([sizes, *_alike(network.activation)])}"
            f"{''.join(f', {text}' for text in _extras(network, trainer))}, "
            f"{network.vector.size:,} parameters, {network.dtype}",
            "optimizer": f"{trainer.optimizer}, {_described(trainer.schedule)}"
            f"batch {trainer.batches.batch_size}, seed {trainer.seed}",
            "machine": _machine(),
        }
        for name, text in lines.items():
            self._say(f"{name:<10} {text}")
        if self.verbose:
            self._say(f"\n{network.summary()}\n")

    @contextmanager
    def bar(self, trainer: Trainer) -> Iterator[None]:
        """While inside: a bar on stderr that counts batches, if stderr is a terminal that can."""
        if self.quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            yield
            return
        from tqdm.auto import tqdm

        total = self.epochs * len(trainer.batches)
        with tqdm(
            total=total, initial=trainer.steps, unit="batch", leave=False, dynamic_ncols=True
        ) as self._bar:
            yield
        self._bar = None

    def advance(self, loss: float) -> None:
        """Move the bar, if there is one, by a step."""
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            self._bar.update()

    def going_on(self, folder: str, trainer: Trainer) -> None:
        """Say which run is gone on with, and from where."""
        if not self.quiet:
            epochs = f"{trainer.epochs} of {self.epochs} epochs"
            self._say(f"{'resume':<10} {_shown(folder)} after step {trainer.steps}, {epochs}")

    def finished(self, folder: str, results: Mapping[str, Any], flag: str) -> None:
        """Say that there is nothing left to go on with, but with more of what `flag` sets."""
        if self.json:
            _print(to_json(results).rstrip(), sys.stdout)
        self._say(
            f"{_shown(folder)} is finished: epoch {results['epochs']} of {self.epochs}; "
            f"raise {flag} to go on"
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
        self._say("  ".join([*parts, f"{epoch.seconds:.3f} s"]))

    def result(self, results: Mapping[str, Any], folder: str) -> None:
        """The last line: accuracy on the test samples, time, where the files are."""
        if self.json:
            _print(to_json(results).rstrip(), sys.stdout)
        epochs, kept = results["epochs"], results["kept_epoch"]
        count = f"{epochs} epoch{'s' if epochs != 1 else ''}"
        best = f", with the weights of epoch {kept}" if kept != epochs else ""
        self._say(
            f"test accuracy {results['test_accuracy']:.4f}, loss {results['test_loss']:.4f} after "
            f"{count} in {results['seconds']:.2f} s{best}; see {_shown(folder)}"
        )

    def plan(self) -> None:
        """The last line of a dry run."""
        if not self.quiet:
            self._say(f"{'dry run':<10} nothing was trained or written")

    def note(self, text: str) -> None:
        """Something the user should know, on stderr."""
        _print(f"note: {text}", sys.stderr)

    def _say(self, line: str) -> None:
        file = sys.stderr if self.json else sys.stdout
        if self._bar is not None:
            self._bar.clear()
        _print(line, file)
        if self._bar is not None:
            self._bar.refresh()


def _print(text: str, file: TextIO) -> None:
    """Print at once; raises OutputError, or BrokenPipeError where the reader has gone."""
    try:
        print(text, file=file, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot print: {error.strerror or error}; send it elsewhere") from error


def _shown(path: str) -> str:
    """`path` as it is, or quoted where it holds what would break the line."""
    return path if path.isprintable() else repr(path)


def _extras(network: MultiLayerNet, trainer: Trainer) -> list[str]:
    """What the network and its training have beyond affine layers and activations."""
    found = {**network.options, "loss": network.loss_name, **network.loss_layer.config()}
    if getattr(network.loss_layer, "balanced", False):
        found["class_weight"] = "balanced"
    found["no gamma"] = network.options["gamma"] is False
    found["remeasure"] = trainer.remeasure
    found["augment"] = trainer.augment and trainer.augment.config()
    texts = []
    for name, value in found.items():
        values = value if isinstance(value, list) else [value]
        values = values[:1] if len(set(map(str, values))) == 1 else values
        if name not in {"labels", "gamma"} and any(values) and value != "softmax":
            shown = "" if value is True else f" {_amounts(values)}"
            texts.append(f"{name.replace('_', ' ')}{shown}")
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
    """The schedule, where there is more to it than a constant rate."""
    plain = schedule.name == "constant" and not schedule.warmup
    return "" if plain else f"{schedule}, "


def _machine() -> str:
    """NumPy, the BLAS behind it, its kernel and threads."""
    about = environment.describe()
    pools = [
        f"{pool['internal_api']} {pool['version']} ({pool['architecture']}, "
        f"{pool['threads']} thread{'s' if pool['threads'] != 1 else ''})"
        for pool in about["blas"]
    ]
    return ", ".join([f"Python {about['python']}", f"NumPy {about['numpy']}", *pools])
