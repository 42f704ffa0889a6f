"""The folder that a training run leaves behind: what was asked, how it went, what came out."""

import csv
import io
import json
import os
import re
import textwrap
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Self

from scratchnet.errors import DataError, OutputError
from scratchnet.storage.atomic import describe, open_to_append, write_atomically, write_text
from scratchnet.storage.lock import lock_folder
from scratchnet.storage.log import Log
from scratchnet.storage.plain import read_bytes, read_json
from scratchnet.training import Epoch
from scratchnet.training.epoch import read_epoch

RUNS = Path("runs")
COLUMNS = ("epoch", *(field.name for field in fields(Epoch) if field.name != "number"))
OF_STEPS = ("step", "loss", "lr")
OF_LAYERS = ("epoch", "layer", "weight_norm", "gradient_norm", "flat", "dead")
TEXT: dict[str, Any] = {"newline": "", "encoding": "utf-8", "errors": "backslashreplace"}
NUMBERS = re.compile(r"\[\n\s+([-+.\deE]+(?:,\n\s+[-+.\deE]+)*)\n\s+\]")


class _Encoded:
    """A file of bytes as one of text."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def write(self, text: str) -> int:
        """Write it as UTF-8, with backslashes for what that cannot hold."""
        return self.file.write(text.encode("utf-8", "backslashreplace"))


class Table:
    """A CSV file with these columns, to which rows are added at once: a killed run has them.

    No link is followed: its folder may be a stranger's.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = columns

    def start(self) -> None:
        """Make the file, with its header; raises FileExistsError where it is there already."""
        with open(self.path, "x", **TEXT) as file:
            csv.DictWriter(file, self.columns).writeheader()

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows, to a file that is made if there is none; raises OutputError."""
        try:
            if not os.path.lexists(self.path):
                self.start()
            with open_to_append(self.path) as file:
                csv.DictWriter(_Encoded(file), self.columns).writerows(rows)
        except OSError as error:
            raise OutputError(_refusal(self.path, error)) from error

    def rewrite(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Let the file hold these rows and no others; raises OutputError."""

        def write(file: BinaryIO) -> None:
            writer = csv.DictWriter(_Encoded(file), self.columns)
            writer.writeheader()
            writer.writerows(rows)

        write_atomically(self.path, write, follow=False)

    def read(self) -> list[dict[str, Any]]:
        """The rows, numbers as numbers and nothing as None; without those that were cut short."""
        try:
            text = read_bytes(self.path, follow=False).decode("utf-8")
            found = list(csv.DictReader(io.StringIO(text, newline="")))
        except (OSError, ValueError, csv.Error):
            return []
        whole = (row for row in found if None not in row and None not in row.values())
        return [{name: _value(text) for name, text in row.items()} for row in whole]


class OutputFolder:
    """A folder of what came out: `config.json`, `results.json`, and a table that it is claimed by.

    `out` is its path; without one it is `runs/<name>-<n>`, n the first number not taken. A folder
    that already holds something is never written to, and of two runs that claim one folder at the
    same moment only one gets it.

    While it is used it is locked: a second process on it is refused; a lock dies with its process.

    Raises OutputError, with path and reason, where the folder cannot be made or is not empty.
    """

    table: ClassVar[tuple[str, Sequence[str]]]
    """The name of its first file, which is a Table, and the columns of that."""

    def __init__(self, out: str | None, name: str) -> None:
        check_free(out)
        self.path = _make(Path(out)) if out is not None else _next_free(RUNS, name)
        self._hold(lock_folder(self.path, "choose another --out"))
        self._open_tables()
        _claim(self.history)

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """The folder of an earlier run, to resume; raises OutputError if it is in use."""
        folder = cls.__new__(cls)
        folder.path = path
        folder._hold(lock_folder(path, "wait until it ends, or resume another run"))
        folder._open_tables()
        return folder

    def _open_tables(self) -> None:
        name, columns = self.table
        self.history = Table(self.path / name, columns)

    def _hold(self, lock: int | None) -> None:
        """Keep the lock until `close`, or until nobody has this object any more."""
        self.close: Callable[[], object] = (
            (lambda: None) if lock is None else weakref.finalize(self, os.close, lock)
        )

    def write_config(self, config: dict[str, Any]) -> None:
        """Write `config.json`: everything needed to run the same again."""
        self._write_json("config.json", config)

    def read_config(self) -> dict[str, Any]:
        """The content of `config.json`; empty if there is none that can be read."""
        return self._read_json("config.json")

    def write_results(self, results: dict[str, Any]) -> None:
        """Write `results.json`: the results of the run."""
        self._write_json("results.json", results)

    def read_results(self) -> dict[str, Any]:
        """The content of `results.json`; empty if there is none that can be read."""
        return self._read_json("results.json")

    def _write_json(self, name: str, content: Any) -> None:
        write_text(self.path / name, to_json(content), follow=False)

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            found = read_json(self.path / name, follow=False)
        except DataError:
            return {}
        return found if isinstance(found, dict) else {}


class RunFolder(OutputFolder):
    """The folder of one training run.

    `history.log` is the source of its curves: records of epochs, of the state of layers, of the
    loss over steps. `history.csv`, `layers.csv`, `steps.csv` and `history.json` are made from it.
    """

    table = ("history.csv", COLUMNS)

    def _open_tables(self) -> None:
        super()._open_tables()
        self.log = Log(self.path / "history.log")
        self.steps = Table(self.path / "steps.csv", OF_STEPS)
        self.layers = Table(self.path / "layers.csv", OF_LAYERS)

    def cut_log(self, epochs: int, steps: int) -> list[str]:
        """Let log and tables end with these epochs and steps; returns what was damaged.

        Raises OutputError if the folder cannot be written.
        """
        notes = self.log.cut(lambda record: _is_before(record, epochs, steps))
        self.rewrite_tables()
        return notes

    def begin_log(self, epochs: Iterable[Epoch], steps: int) -> None:
        """Make the log of a run of version 0.1 from its tables; raises OutputError."""
        known = list(epochs)
        tables = {"layer": self.layers.read(), "step": self.steps.read()}
        self.log.cut()
        self.log.append({"epoch": as_row(epoch)} for epoch in known)
        records = ({kind: row} for kind, rows in tables.items() for row in rows)
        self.log.append(r for r in records if _is_before(r, len(known), steps))
        self.rewrite_tables()

    def rewrite_tables(self) -> None:
        """Make the tables from the log; raises OutputError."""
        self.history.rewrite(map(as_row, self.epochs()))
        self.layers.rewrite(self.rows("layer"))
        self.steps.rewrite(self.rows("step"))

    def epochs(self) -> Iterator[Epoch]:
        """The epochs in the log."""
        return (as_epoch(row) for row in self.rows("epoch"))

    def rows(self, kind: str) -> Iterator[dict[str, Any]]:
        """The rows of a kind in the log: "epoch", "layer" or "step"."""
        return (record[kind] for record in self.log.records(kind) if kind in record)

    def add_epoch(self, epoch: Epoch, layers: Iterable[Mapping[str, Any]] = ()) -> None:
        """Add an epoch, and how its layers are, to log and tables; raises OutputError."""
        row = as_row(epoch)
        states = [{"epoch": epoch.number, **layer} for layer in layers]
        self.log.append([{"epoch": row}, *({"layer": state} for state in states)])
        self.history.add([row])
        self.layers.add(states)

    def add_steps(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Add points of the loss over steps to log and table; raises OutputError."""
        self.log.append({"step": point} for point in points)
        self.steps.add(points)

    def has_history(self) -> bool:
        """Whether there is a `history.json` that can be read."""
        try:
            return isinstance(read_json(self.path / "history.json", follow=False), list)
        except DataError:
            return False

    def write_history(self) -> None:
        """Write `history.json`: one row for each epoch, with Keras's names."""

        def write(file: BinaryIO) -> None:
            between = b"[\n"
            for row in self.rows("epoch"):
                text = textwrap.indent(json.dumps(row, indent=2, allow_nan=False), "  ")
                file.write(between + text.encode())
                between = b",\n"
            file.write(b"[]\n" if between == b"[\n" else b"\n]\n")

        write_atomically(self.path / "history.json", write, follow=False)


class ComparisonFolder(OutputFolder):
    """The folder of a comparison: `trials.csv`, and a RunFolder for each optimizer."""

    table = ("trials.csv", ("optimizer", "rate", "seed", "chosen", *COLUMNS))


class PathsFolder(OutputFolder):
    """The folder of paths on a surface: `paths.csv`."""

    table = ("paths.csv", ("optimizer", "step", "x", "y", "f"))


class DoctorFolder(OutputFolder):
    """The folder of a diagnosis: `experiments.csv`."""

    table = ("experiments.csv", ("experiment", "skill"))


class RangeFolder(OutputFolder):
    """The folder of a range test of learning rates: `rates.csv`."""

    table = ("rates.csv", ("optimizer", "lr", "loss", "smoothed"))


def as_row(epoch: Epoch) -> dict[str, Any]:
    """The epoch as a row of the history: its fields, the number under the name "epoch"."""
    values = asdict(epoch)
    return {"epoch": values.pop("number"), **values}


def as_epoch(row: Mapping[str, Any]) -> Epoch:
    """The epoch that `as_row` was given; raises TypeError or ValueError."""
    values = dict(row)
    return read_epoch({"number": values.pop("epoch", None), **values})


def _is_before(record: Mapping[str, Any], epochs: int, steps: int) -> bool:
    """Whether a record of a log is of these epochs and steps, and is what it should be."""
    try:
        if "epoch" in record:
            return as_epoch(record["epoch"]).number <= epochs
        kind, columns = ("layer", OF_LAYERS) if "layer" in record else ("step", OF_STEPS)
        row = dict(record[kind])
        numbers = [value for name, value in row.items() if name != "layer" and value is not None]
        if set(row) != set(columns) or not all(_is_number(value) for value in numbers):
            return False
        if kind == "layer":
            return isinstance(row["layer"], str) and row["epoch"] <= epochs
        return None not in row.values() and row["step"] <= steps
    except (LookupError, TypeError, ValueError):
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**1023


def to_json(content: Any) -> str:
    """`content` as JSON with two spaces of indentation and a final newline; no NaN.

    A list of numbers is one line, so that a matrix looks like one.
    """
    text = json.dumps(content, indent=2, allow_nan=False)
    return NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def check_free(out: str | None) -> None:
    """Raise OutputError where no run could be kept in `out`, or in runs/; nothing is written."""
    path = RUNS if out is None else Path(out)
    try:
        nearest = next((p for p in (path, *path.parents) if p.exists()), Path())
        if not nearest.is_dir():
            raise OutputError(f"{str(nearest)!r} must be a folder; choose another --out")
        if out is not None and nearest == path and any(path.iterdir()):
            hint = ", or resume it by --resume" if (path / "config.json").exists() else ""
            raise OutputError(f"{out!r} already holds files; choose another --out{hint}")
        if not os.access(nearest, os.W_OK):
            raise OutputError(f"cannot write to {str(nearest)!r}; choose another --out")
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(_refusal(path, error)) from error


def _make(path: Path) -> Path:
    """Make the folder, or take an empty one; raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(_refusal(path, error)) from error
    return path


def _claim(table: Table) -> None:
    """Make the file of the table: whoever makes it owns the folder; raises OutputError."""
    try:
        table.start()
    except FileExistsError:
        raise OutputError(
            f"{str(table.path.parent)!r} was just taken by another run; choose another --out"
        ) from None
    except OSError as error:
        raise OutputError(_refusal(table.path, error)) from error


def _value(text: str) -> Any:
    """A cell as a number if it is one, as None if it is empty."""
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            pass
    return text or None


def _next_free(parent: Path, name: str) -> Path:
    """Make `parent/name-n` for the smallest n that nobody has; raises OutputError."""
    n = 1
    while True:
        path = parent / f"{name}-{n}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            n += 1
        except OSError as error:
            raise OutputError(_refusal(path, error)) from error
        else:
            return path


def _refusal(path: Path, error: OSError) -> str:
    return f"cannot write {str(path)!r}: {describe(error)}; choose another --out"
