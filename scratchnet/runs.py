"""The folder that a training run leaves behind: what was asked, how it went, what came out."""

import csv
import errno
import io
import json
import os
import re
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from scratchnet.errors import OutputError
from scratchnet.storage.atomic import describe, write_text
from scratchnet.training import Epoch

RUNS = Path("runs")
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # as some network file systems say
COLUMNS = ("epoch", *(field.name for field in fields(Epoch) if field.name != "number"))
OF_STEPS = ("step", "loss", "lr")
OF_LAYERS = ("epoch", "layer", "weight_norm", "gradient_norm", "flat", "dead")
NUMBERS = re.compile(r"\[\n\s+([-+.\deE]+(?:,\n\s+[-+.\deE]+)*)\n\s+\]")


class Table:
    """A CSV file with these columns, to which rows are added at once: a killed run has them."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = columns

    def start(self) -> None:
        """Make the file, with its header; raises FileExistsError where it is there already."""
        with open(self.path, "x", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writeheader()

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows, to a file that is made if there is none; raises OutputError."""
        try:
            if not self.path.exists():
                self.start()
            with open(self.path, "a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.columns).writerows(rows)
        except OSError as error:
            raise OutputError(_refusal(self.path, error)) from error

    def rewrite(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Let the file hold these rows and no others; raises OutputError."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())

    def read(self) -> list[dict[str, Any]]:
        """The rows, numbers as numbers and nothing as None; without those that were cut short."""
        try:
            with open(self.path, newline="", encoding="utf-8") as file:
                found = list(csv.DictReader(file))
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
        self._hold(_lock(self.path, "choose another --out"))
        self._open_tables()
        _claim(self.history)

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """The folder of an earlier run, to resume; raises OutputError if it is in use."""
        folder = cls.__new__(cls)
        folder.path = path
        folder._hold(_lock(path, "wait until it ends, or resume another run"))
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
        write_text(self.path / name, to_json(content))

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads((self.path / name).read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


class RunFolder(OutputFolder):
    """The folder of one training run, with `history.csv` and the same as `history.json`.

    `steps.csv` has the loss over steps, `layers.csv` the state of each layer.
    """

    table = ("history.csv", COLUMNS)

    def _open_tables(self) -> None:
        super()._open_tables()
        self.rows: list[dict[str, Any]] = []
        self.steps = Table(self.path / "steps.csv", OF_STEPS)
        self.layers = Table(self.path / "layers.csv", OF_LAYERS)

    def rewrite_history(self, epochs: Sequence[Epoch], steps: int) -> None:
        """Let all tables end with these epochs and that step, as when a run is resumed."""
        self.rows = [as_row(epoch) for epoch in epochs]
        self.history.rewrite(self.rows)
        self.steps.rewrite(row for row in self.steps.read() if row["step"] <= steps)
        self.layers.rewrite(row for row in self.layers.read() if row["epoch"] <= len(epochs))

    def add_epoch(self, epoch: Epoch, layers: Iterable[Mapping[str, Any]] = ()) -> None:
        """Add an epoch, and how its layers are, to the tables; raises OutputError."""
        row = as_row(epoch)
        self.history.add([row])
        self.layers.add({"epoch": epoch.number, **layer} for layer in layers)
        self.rows.append(row)

    def write_history(self) -> None:
        """Write `history.json`: one row for each epoch, with Keras's names."""
        self._write_json("history.json", self.rows)


class ComparisonFolder(OutputFolder):
    """The folder of a comparison: `trials.csv`, and a RunFolder for each optimizer."""

    table = ("trials.csv", ("optimizer", "rate", "seed", "chosen", *COLUMNS))


class PathsFolder(OutputFolder):
    """The folder of paths on a surface: `paths.csv`."""

    table = ("paths.csv", ("optimizer", "step", "x", "y", "f"))


class RangeFolder(OutputFolder):
    """The folder of a range test of learning rates: `rates.csv`."""

    table = ("rates.csv", ("optimizer", "lr", "loss", "smoothed"))


def as_row(epoch: Epoch) -> dict[str, Any]:
    """The epoch as a row of the history: its fields, the number under the name "epoch"."""
    values = asdict(epoch)
    return {"epoch": values.pop("number"), **values}


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


def _lock(folder: Path, fix: str) -> int | None:
    """Lock the folder until the descriptor is closed; raises OutputError if another has it.

    None where the system, or the file system, knows no such locks: there nothing is watched.
    """
    try:
        import fcntl
    except ImportError:
        return None
    path = folder / ".lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(f"cannot write {str(path)!r}: {describe(error)}; {fix}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
    except BlockingIOError as error:
        owner = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise OutputError(f"{str(folder)!r} is in use by process {owner}; {fix}") from error
    except OSError as error:
        os.close(descriptor)
        if error.errno in NO_LOCKS:
            return None
        raise OutputError(f"cannot write {str(path)!r}: {describe(error)}; {fix}") from error
    return descriptor


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
