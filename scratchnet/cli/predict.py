"""`scratchnet predict MODEL FILE...`: what a trained network says of pictures, tables, arrays."""

import csv
import io
import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.checks import Range, is_number, quoted, without_controls
from scratchnet.cli.command import add_model, check_output, parse_command, title_of
from scratchnet.cli.interrupts import Interrupts
from scratchnet.cli.options import LabelOptions, PlaceOptions, WordOptions
from scratchnet.data import Dataset, Samples
from scratchnet.data.inputs import KINDS, STDIN, Part, Wanted, count_pictures, describe, read_inputs
from scratchnet.data.pictures import write_picture
from scratchnet.errors import (
    DataError,
    DataWarning,
    DivergenceError,
    OutputError,
    ParameterError,
)
from scratchnet.inspection import inspect_predictions
from scratchnet.networks import Network
from scratchnet.networks.classes import classifies, is_multilabel, probabilities
from scratchnet.networks.weights import load_network
from scratchnet.options import Parsed, Switch, option
from scratchnet.parameters import Array
from scratchnet.storage.atomic import write_atomically, write_text
from scratchnet.tables import align

MOST_CLASSES = 30
"""Classes up to which the confusion matrix is printed."""


@dataclass(frozen=True, kw_only=True)
class PredictOptions(WordOptions, PlaceOptions, LabelOptions):
    """What is asked, and where answers go."""

    title = "predictions"

    top: int = option(
        1, Range(at_least=1, integer=True), "show the N likeliest classes", metavar="N"
    )
    as_is: bool = option(
        False,
        Switch(),
        "leave pictures as they are: they have the size and the place that the network knows",
        plain=True,
    )
    show: str | None = option(
        None,
        Parsed(os.path.expanduser),
        "write what the network saw of each picture into this folder, as PNG",
        metavar="DIR",
    )
    evaluate: bool = option(
        False,
        Switch(),
        "compare with the labels: accuracy with its interval, confusion matrix",
        plain=True,
    )
    page: str | None = option(
        None,
        Parsed(os.path.expanduser),
        "write the evaluation as a page, with the most confident mistakes",
        metavar="FILE",
    )
    csv: str | None = option(
        None, Parsed(os.path.expanduser), "write a CSV: file, label, probability", metavar="FILE"
    )
    kaggle: bool = option(
        False, Switch(), "write that CSV as Kaggle has it: ImageId,Label from 1 on", plain=True
    )
    json: bool = option(False, Switch(), "print a line of JSON for each input", plain=True)


def main(words: Sequence[str]) -> None:
    """Predict as the words say; raises ScratchnetError."""
    options, given = parse_command(
        "predict",
        "Say which classes pictures, tables and arrays belong to.",
        PredictOptions,
        words,
        _add_words,
        first=("top", "as_is", "evaluate", "csv", "json"),
    )
    model, paths = given["model"], given["files"]
    if options.kaggle and options.csv is None:
        raise ParameterError("--kaggle says how --csv is written; add --csv FILE")
    if options.page is not None and not options.evaluate:
        raise ParameterError("--page shows an evaluation; add --evaluate")
    for out in (options.csv, options.page):
        if out == STDIN:
            raise ParameterError("--csv and --page need the name of a file; --json is for pipes")
        if out is not None:
            check_output(Path(out), model=model, given=True)
    with Interrupts().end_at_once(), warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # which is for those who train
        Prediction(load_network(model), options).run(model, paths)


def _add_words(parser: Any) -> None:
    add_model(parser)
    parser.add_argument("files", nargs="+", metavar="FILE", help=KINDS)


class Prediction:
    """The answers of a network, as they go."""

    def __init__(self, network: Network, options: PredictOptions) -> None:
        self.network, self.options = network, options
        shape, preparation = network.input_shape, network.preparation
        self.wanted = Wanted(shape, preparation, options.as_is, options.label, options.data_dir)
        self.classes = max(network.output_sizes[-1], 2)
        self.classifies = classifies(network)
        if options.evaluate and (not self.classifies or is_multilabel(network)):
            raise ParameterError(
                f"--evaluate compares classes, the network has {network.loss_layer!r}; leave it out"
            )
        if options.kaggle and not self.classifies:
            raise ParameterError("--kaggle holds classes, the network gives values; leave it out")
        self.told = False  # what is done with pictures
        self.seen: Counter[str] = Counter()  # names of the files of --show
        self.rows: list[dict[str, Any]] = []  # of the CSV
        self.inputs: list[Array] = []  # of the evaluation
        self.labels: list[int] = []

    def run(self, model: str, paths: Sequence[str]) -> None:
        """Predict all that the paths hold; raises ScratchnetError."""
        speaks = self.options.json or not self.options.evaluate
        with _bar(count_pictures(paths), hidden=speaks and sys.stdout.isatty()) as advance:
            for part in read_inputs(paths, self.wanted):
                self._note(part)
                if part.pictures and self.options.show is not None:
                    _write_seen(part, self.wanted, Path(self.options.show), self.seen)
                for row in self._answers(part):
                    if speaks:
                        self._say(row)
                    if self.options.csv is not None:
                        self.rows.append(row)
                self._keep(part)
                advance(len(part.names))
        sys.stdout.flush()
        if self.options.csv is not None:
            write_text(Path(self.options.csv), self._table())
        if self.options.evaluate:
            self._evaluate(model)

    def _answers(self, part: Part) -> Iterator[dict[str, Any]]:
        """Of each row its name, and classes, the likeliest first, or values."""
        outputs = self.network.predict(part.x)
        if not np.isfinite(outputs).all():
            raise DivergenceError(
                f"the network gives numbers that are not finite for {part.names[0]!r} or one after "
                "it; train anew, or look at the values"
            )
        if not self.classifies:
            values = self.network.loss_layer.predictions(outputs)
            for name, row in zip(part.names, values.tolist(), strict=True):
                yield {"file": name, "values": row}
            return
        p = probabilities(self.network, outputs)
        order = np.argsort(-p, axis=1, kind="stable")[:, : self.options.top]
        for name, ranks, row in zip(part.names, order, p, strict=True):
            best = [(self.network.preparation.name_of(int(k)), float(row[k])) for k in ranks]
            yield {"file": name, "classes": best}

    def _say(self, row: dict[str, Any]) -> None:
        """Print a line."""
        if self.options.json:
            if "classes" in row:
                found = [{"label": name, "probability": p} for name, p in row["classes"]]
                row = {"file": row["file"], **found[0], "top": found}
            sys.stdout.write(json.dumps(row, allow_nan=False) + "\n")
            return
        cells = [without_controls(row["file"])]
        for name, p in row.get("classes", ()):
            cells += [without_controls(name), f"{p:.4f}"]
        cells += [f"{value:.6g}" for value in row.get("values", ())]
        sys.stdout.write("  ".join(cells) + "\n")

    def _note(self, part: Part) -> None:
        """Say once what was done with pictures, and which of them show nothing."""
        if self.options.quiet or not part.pictures:
            return
        if not self.told:
            self.told = True
            sys.stderr.write(f"note: {describe(self.wanted)}\n")
        for name, row in zip(part.names, part.x, strict=True):
            if not row.any() and self.wanted.preparation.style is not None:
                sys.stderr.write(f"note: {without_controls(name)} shows no ink\n")

    def _keep(self, part: Part) -> None:
        """Keep rows and labels for the evaluation."""
        if not self.options.evaluate:
            return
        if part.labels is None:
            raise DataError(
                f"{part.names[0]!r} has no label to compare with; give a folder with a folder for "
                "each class, a CSV with --label COLUMN, or an .npz with t"
            )
        self.inputs.append(part.x)
        pairs = zip(part.labels, part.names, strict=True)
        self.labels += [self._class_of(text, name) for text, name in pairs]

    def _class_of(self, text: str, where: str) -> int:
        names = self.network.preparation.class_names
        if names is not None and text in names:
            return names.index(text)
        k = float(text) if is_number(text) else -1.0  # 7.0 is 7, as tables have it
        if names is not None or k not in range(self.classes):
            known = ", ".join(map(quoted, names[:10])) if names else f"0 to {self.classes - 1}"
            raise DataError(f"{where!r} has the label {quoted(text)}, the network knows {known}")
        return int(k)

    def _table(self) -> str:
        """The CSV."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if self.options.kaggle:
            writer.writerow(["ImageId", "Label"])
            writer.writerows([k + 1, row["classes"][0][0]] for k, row in enumerate(self.rows))
            return text.getvalue()
        if self.classifies:
            top = min(self.options.top, self.classes)
            ranks = ["", *(f"_{k}" for k in range(2, top + 1))]
            head = [f"{what}{k}" for k in ranks for what in ("label", "probability")]
            writer.writerow(["file", *head])
            for row in self.rows:
                writer.writerow([row["file"], *(cell for pair in row["classes"] for cell in pair)])
        else:
            n = self.network.output_sizes[-1]
            writer.writerow(["file", *(f"value_{k + 1}" for k in range(n))])
            writer.writerows([row["file"], *row["values"]] for row in self.rows)
        return text.getvalue()

    def _evaluate(self, model: str) -> None:
        """Print accuracy and confusion matrix, and write the page."""
        names = self.network.preparation.class_names
        x, t = np.concatenate(self.inputs), np.array(self.labels, np.intp)
        samples = Samples(x, t)
        found = inspect_predictions(self.network, samples, self.classes, names)
        right = sum(found["confusion"][k][k] for k in range(self.classes))
        low, high = found["interval"]
        out = sys.stderr if self.options.json else sys.stdout
        if self.classes <= MOST_CLASSES and not self.options.quiet:
            called = [
                without_controls(self.network.preparation.name_of(k)) for k in range(self.classes)
            ]
            rows = [
                [name, *map(str, row)] for name, row in zip(called, found["confusion"], strict=True)
            ]
            out.write(align([["label \\ taken for", *called], *rows]) + "\n")
        out.write(
            f"accuracy {right / len(t):.4f} ({right:,} of {len(t):,}), 95 % interval {low:.4f} to "
            f"{high:.4f}\n"
        )
        if self.options.page is not None:
            from scratchnet.report.evaluation import evaluation_page

            shape = self.wanted.image_shape
            dataset = Dataset("evaluated", samples, samples, self.classes, shape, names)
            results = {"test_accuracy": right / len(t), "test": found}
            title = f"{title_of(model)}: evaluation"
            text = evaluation_page(title, results, dataset, self.network.summary())
            write_text(Path(self.options.page), text)
            out.write(f"see {self.options.page}\n")


def _write_seen(part: Part, wanted: Wanted, folder: Path, used: Counter[str]) -> None:
    """Write the images that the network saw, each under a name of its own; raises OutputError."""
    shape, preparation = wanted.image_shape, wanted.preparation
    assert shape is not None  # as there are pictures
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {str(folder)!r}: {error.strerror}") from error
    for name, row in zip(part.names, part.x, strict=True):
        stem = "-".join(Path(name).parts[-2:]).replace(":", "-").strip("/.-") or "input"
        used[stem] += 1
        if used[stem] > 1:
            stem += f"-{used[stem]}"
        image = row.reshape(shape) / (preparation.white * preparation.scale)
        write_atomically(folder / f"{stem}-seen.png", partial(write_picture, image))


@contextmanager
def _bar(total: int | None, *, hidden: bool) -> Iterator[Callable[[int], object]]:
    """While inside: a bar on stderr, if that is a terminal that can; hidden between answers."""
    if hidden or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda n: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, unit="input", leave=False, dynamic_ncols=True) as bar:
        yield bar.update
