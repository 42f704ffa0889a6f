"""--resume: the folder of a run, and the options that the run had."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scratchnet.cli.options import CALL, JOBS, KNOWN, CommandLine
from scratchnet.cli.parser import complete, flag_of
from scratchnet.errors import DataError, ParameterError
from scratchnet.runs import RUNS, ComparisonFolder, OutputFolder, RunFolder
from scratchnet.storage.checkpoint import Checkpoints, Saved, read_checkpoint

SURE = 0.01
"""Seconds by which one run must have been saved after another, to be the latest."""


class Resumed(NamedTuple):
    """A run or a comparison that is resumed: its folder, locked, and where it was."""

    folder: OutputFolder
    checkpoint: Saved | None
    """The latest checkpoint; None for a comparison, which has none."""


def reopen(given: Mapping[str, Any]) -> tuple[Resumed, CommandLine]:
    """The run to resume, and its options but for those in `given` that may change.

    Raises DataError if there is nothing to resume, ParameterError, naming every option that was
    given and differs from the run's, unless --override.
    """
    path = find_run(None if given["resume"] is True else given["resume"])
    compares = is_comparison(path)
    found, ranks, resumed = _open_comparison(path) if compares else _open_run(path)
    saved = resumed.checkpoint
    source = path / "config.json" if saved is None else saved.path
    stored = stored_options(found, source)
    if "out" in given and os.path.realpath(given["out"]) != os.path.realpath(path):
        raise ParameterError(
            f"--out {given['out']!r}: a resumed run stays in its folder, {str(path)!r}; leave it "
            "out, or copy the folder and --resume the copy"
        )
    job = "compare" if compares else "train"
    _refuse_changes(given, stored, job)
    own = {**given, "out": str(path)}
    if "parallel" in given and ranks == 1:
        stored["threads"] = "auto"  # what one process had is not what each of several should have
    options = complete(own, stored)
    if options.job != job:
        raise ParameterError(
            f"--resume: {str(path)!r} is {JOBS[job]}, and these options ask for "
            f"{JOBS[options.job]}; leave them out, or start anew"
        )
    return resumed, options


def stored_options(found: Any, source: Path) -> dict[str, Any]:
    """The options that a run kept in `found`, which `source` holds; raises DataError."""
    try:
        return {
            name: _plain(name, value)
            for name, value in found["arguments"].items()
            if name not in CALL and name in KNOWN
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{str(source)!r} was not saved by a run of the command line; resume it in Python"
        ) from error


def _open_run(path: Path) -> tuple[Any, int, Resumed]:
    """The options that the run saved, its number of ranks, and the open folder."""
    folder = RunFolder.reopen(path)
    saved = Checkpoints(path).latest()
    ranks = saved.header.get("environment", {}).get("ranks", 1)
    return saved.header["run"], ranks, Resumed(folder, saved)


def _open_comparison(path: Path) -> tuple[Any, int, Resumed]:
    folder = ComparisonFolder.reopen(path)
    return folder.read_config(), 1, Resumed(folder, None)


def _plain(name: str, value: Any) -> Any:
    """A stored value as it is written today: runs of version 0.1 had lists of one, and {}."""
    if KNOWN[name][1].each and isinstance(value, list) and len(value) == 1:
        return value[0]
    return None if value == {} else value


def _refuse_changes(given: Mapping[str, Any], stored: Mapping[str, Any], job: str) -> None:
    """Raise ParameterError where options are given that a resumed run must not change."""
    clashes = [
        f"{flag_of(name)} was {_told(stored[name])}, now {_told(value)}"
        for name, value in given.items()
        if name in stored and value != stored[name] and job not in KNOWN[name][1].resume
    ]
    if not clashes or (given.get("override") and job == "train"):
        return
    what, fix = (
        ("the saved run", "drop them, or add --override")
        if job == "train"
        else ("the saved comparison", "drop them, or start another comparison")
    )
    raise ParameterError(f"--resume: these options differ from {what}: {'; '.join(clashes)}; {fix}")


def _told(value: Any) -> str:
    """The value as a message quotes it, names as they were typed."""
    names = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return repr(" ".join(value) if names else value)


def find_run(where: str | None) -> Path:
    """The folder of the run to resume: `where`, or for None the latest in runs/.

    Raises DataError, listing the runs there are, if there is no checkpoint, and for a file that
    says what it is.
    """
    found = [path for path in RUNS.glob("*") if _is_resumable(path)]
    if where is None and found:
        return _latest(found)
    if where is not None and _is_resumable(Path(where)):
        return Path(where)
    if where is not None and os.path.isfile(where):
        read_checkpoint(where)
        raise DataError(
            f"{where!r} is one checkpoint; --resume takes the folder of the run, "
            f"{os.path.dirname(where) or '.'!r}"
        )
    runs = ", ".join(sorted(str(path) for path in found))
    place = where or str(RUNS)
    raise DataError(
        f"--resume needs a run with a checkpoint, there is none in {place!r}; "
        + (f"resumable runs: {runs}" if runs else f"no resumable runs in {str(RUNS)!r}")
    )


def _latest(found: Sequence[Path]) -> Path:
    """The run that was saved last; raises DataError where the clock leaves that open."""
    times = {path: _saved_at(path) for path in found}
    latest = max(found, key=lambda path: times[path])
    stem = latest.name.rpartition("-")[0]
    later = [
        path
        for path in found
        if path != latest
        and (
            times[latest] - times[path] < SURE
            or (path.name.rpartition("-")[0] == stem and _number(path) > _number(latest))
        )
    ]
    if later or times[latest] > time.time() + SURE:
        raise DataError(
            "--resume cannot tell by the clock which run was saved last; name its folder: "
            + ", ".join(sorted(str(path) for path in [latest, *later]))
        )
    return latest


def _saved_at(path: Path) -> float:
    """When a run or a comparison was saved last, in seconds."""
    names = [*Checkpoints(path).numbered(), path / "trials", path / "config.json"]
    return max((one.lstat().st_mtime for one in names if os.path.lexists(one)), default=0.0)


def _number(path: Path) -> int:
    """The n of runs/<name>-<n>."""
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdecimal() and number.isascii() else 0


def is_comparison(path: Path) -> bool:
    """Whether the folder is that of a comparison."""
    return (path / ComparisonFolder.table[0]).is_file() and (path / "config.json").is_file()


def _is_resumable(path: Path) -> bool:
    return path.is_dir() and (is_comparison(path) or bool(Checkpoints(path).numbered()))
