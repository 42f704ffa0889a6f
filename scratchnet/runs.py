"""The folder that a training run leaves behind: what was asked, how it went, what came out."""

import csv
import errno
import io
import json
import os
import weakref
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Self

from scratchnet.errors import OutputError
from scratchnet.files import describe, write_text
from scratchnet.trainer import Epoch

RUNS = Path("runs")
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # as some network file systems say
COLUMNS = ("epoch", *(field.name for field in fields(Epoch) if field.name != "number"))


class RunFolder:
    """A folder for one run: `config.json`, `history.csv`, `history.json` and `results.json`.

    `out` is its path; without one it is `runs/<name>-<n>`, n the first number not taken. A folder
    that already holds something is never written to, and of two runs that claim one folder at the
    same moment only one gets it.

    While it is used it is locked: a second process on it is refused; a lock dies with its process.

    Raises OutputError, with path and reason, where the folder cannot be made or is not empty.
    """

    def __init__(self, out: str | None, name: str) -> None:
        check_free(out)
        self.path = _make(Path(out)) if out is not None else _next_free(RUNS, name)
        self._hold(_lock(self.path, "choose another --out"))
        self.rows: list[dict[str, Any]] = []
        _start_history(self.path / "history.csv")

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """The folder of an earlier run, to go on in; raises OutputError where it is in use."""
        folder = cls.__new__(cls)
        folder.path = path
        folder._hold(_lock(path, "wait until it ends, or go on with another run"))
        folder.rows = []
        return folder

    def _hold(self, lock: int | None) -> None:
        """Keep the lock until `close`, or until nobody has this object any more."""
        self.close: Callable[[], object] = (
            (lambda: None) if lock is None else weakref.finalize(self, os.close, lock)
        )

    def rewrite_history(self, epochs: Sequence[Epoch]) -> None:
        """Make `history.csv` hold these epochs and no others, as where a run is gone on with."""
        self.rows = [as_row(epoch) for epoch in epochs]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path / "history.csv", text.getvalue())

    def write_config(self, config: dict[str, Any]) -> None:
        """Write `config.json`: everything needed to run the same again."""
        self._write_json("config.json", config)

    def add_epoch(self, epoch: Epoch) -> None:
        """Append the epoch to `history.csv`, at once, so that a killed run has its history."""
        row = as_row(epoch)
        path = self.path / "history.csv"
        try:
            with open(path, "a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, COLUMNS).writerow(row)
        except OSError as error:
            raise OutputError(_refusal(path, error)) from error
        self.rows.append(row)

    def write_history(self) -> None:
        """Write `history.json`: one row for each epoch, with Keras's names."""
        self._write_json("history.json", self.rows)

    def write_results(self, results: dict[str, Any]) -> None:
        """Write `results.json`: what the run came to."""
        self._write_json("results.json", results)

    def read_results(self) -> dict[str, Any]:
        """What `results.json` says; empty where there is none, or none that can be read."""
        try:
            found = json.loads((self.path / "results.json").read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write_json(self, name: str, content: Any) -> None:
        write_text(self.path / name, to_json(content))


def as_row(epoch: Epoch) -> dict[str, Any]:
    """The epoch as a row of the history: its fields, the number under the name "epoch"."""
    values = asdict(epoch)
    return {"epoch": values.pop("number"), **values}


def to_json(content: Any) -> str:
    """`content` as JSON with two spaces of indentation and a final newline; no NaN."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def check_free(out: str | None) -> None:
    """Raise OutputError where no run could be kept in `out`, or in runs/; nothing is written."""
    path = RUNS if out is None else Path(out)
    try:
        nearest = next((p for p in (path, *path.parents) if p.exists()), Path())
        if not nearest.is_dir():
            raise OutputError(f"{str(nearest)!r} must be a folder; choose another --out")
        if out is not None and nearest == path and any(path.iterdir()):
            hint = ", or go on with it by --resume" if (path / "config.json").exists() else ""
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


def _start_history(path: Path) -> None:
    """Make `history.csv` with its header: whoever makes it owns the folder; raises OutputError."""
    try:
        with open(path, "x", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writeheader()
    except FileExistsError:
        raise OutputError(
            f"{str(path.parent)!r} was just taken by another run; choose another --out"
        ) from None
    except OSError as error:
        raise OutputError(_refusal(path, error)) from error


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
