"""The kinds of files: the weights of a network, an estimator, and the checkpoints of a run.

All are files of `scratchnet.storage.archive`: plain arrays and JSON values. The parameters stand
in them by name, so a learner reads them with `np.load(path)["W1"]`.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from scratchnet import __version__
from scratchnet.errors import (
    DataError,
    OutputError,
)
from scratchnet.parameters import Array, first_not_finite
from scratchnet.storage.archive import digest, read_archive, write_archive
from scratchnet.storage.plain import is_real_folder

WEIGHTS, CHECKPOINT = "scratchnet weights", "scratchnet checkpoint"
ESTIMATOR = "scratchnet estimator"
VERSION = 1
KEPT = 2  # numbered checkpoints of a run; the best one is kept apart
NUMBERED = re.compile(r"checkpoint-(\d{8,})\.npz")
STRAY = re.compile(r"\..+\.tmp\.\d+\.[0-9a-f]+")


def write_checkpoint(
    path: str | Path, arrays: Mapping[str, Array], header: Mapping[str, Any], *, follow: bool = True
) -> None:
    """Write a checkpoint of plain arrays and JSON values, atomically.

    Raises OutputError if it cannot be written.
    """
    write_archive(path, arrays, {**mark(CHECKPOINT), **header}, follow=follow)


def read_checkpoint(path: str | Path) -> "Saved":
    """The checkpoint in a file; raises DataError if it is missing, damaged or something else."""
    arrays, header = read_file(path, (CHECKPOINT,))
    return Saved(Path(path), header, [], arrays)


def state_digest(path: str | Path) -> str:
    """SHA-256 (hex) of what a checkpoint says of training: all but wall times and environment."""
    arrays, header = read_file(path, (CHECKPOINT,))
    arrays.pop("trainer.history.times", None)
    try:
        return digest(arrays, {key: header[key] for key in ("network", "settings", "trainer")})
    except KeyError as error:
        raise unfit(path, error) from error


class Saved(NamedTuple):
    """A checkpoint that was read."""

    path: Path
    header: dict[str, Any]
    passed_over: list[str]
    """Why later ones were passed over."""
    arrays: dict[str, Array]


class Checkpoints:
    """The checkpoints in the folder of a run: numbered by step the last KEPT, and the best.

    The folder may be a stranger's: links in it are not followed.

    `checkpoint-00001230.npz` is what training continues from after step 1230; the one with the
    highest number that can be read is the latest. `checkpoint-best.npz` has the weights of the
    epoch with the best validation result.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def best(self) -> Path:
        """Where the best weights are kept."""
        return self.folder / "checkpoint-best.npz"

    def save(self, steps: int, arrays: Mapping[str, Array], header: Mapping[str, Any]) -> None:
        """Write and read back the checkpoint of that step, then remove those older than KEPT.

        Raises OutputError, with the earlier ones still there.
        """
        path = self.folder / f"checkpoint-{steps:08d}.npz"
        write_checkpoint(path, arrays, header, follow=False)
        try:
            read_archive(path, follow=False)
        except DataError as error:
            raise OutputError(f"what was just saved cannot be read back: {error}") from error
        numbered = self.numbered()
        older = numbered[: numbered.index(path)]
        for other in older[: -(KEPT - 1)]:
            with suppress(OSError):
                other.unlink()

    def latest(self) -> Saved:
        """The latest checkpoint that can be read, and why later ones were passed over.

        Raises DataError if there is none; nothing is deleted.
        """
        reasons: list[str] = []
        for path in reversed(self.numbered()):
            try:
                arrays, header = read_file(path, (CHECKPOINT,), follow=False)
            except DataError as error:
                reasons.append(str(error))
            else:
                back = f"going back to the one before, {path.name!r}"
                return Saved(path, header, [f"{r}; {back}" for r in reasons], arrays)
        why = f": {reasons[0]}; nothing was deleted, start anew" if reasons else ""
        raise DataError(f"there is no checkpoint that can be read in {str(self.folder)!r}{why}")

    def numbered(self) -> list[Path]:
        """The numbered checkpoints, whole or not, by the number of their step."""
        try:
            names = os.listdir(self.folder)
        except OSError as error:
            raise DataError(
                f"cannot read {str(self.folder)!r}: {error.strerror}; name the folder of a run"
            ) from error
        found = [(int(match[1]), name) for name in names if (match := NUMBERED.fullmatch(name))]
        return [self.folder / name for _, name in sorted(found)]

    def clear_strays(self) -> None:
        """Remove what a run that was killed had begun to write; only while the folder is locked."""
        clear_strays(self.folder)


def clear_strays(folder: Path) -> None:
    """Remove temporary files that a killed process left in a folder, which nobody else uses."""
    for name in os.listdir(folder) if is_real_folder(folder) else ():
        if STRAY.fullmatch(name):
            with suppress(OSError):
                (folder / name).unlink()


def mark(kind: str) -> dict[str, Any]:
    """How the header of a file begins: what it is, and who wrote it."""
    return {"format": kind, "version": VERSION, "scratchnet": __version__}


def read_file(
    path: str | Path, formats: tuple[str, ...], *, follow: bool = True
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and header of one of our files of these formats, in the version that we know."""
    arrays, header = read_archive(path, follow=follow)
    kind = header.get("format")
    version = header.get("version", 1 if kind == ESTIMATOR else None)  # it had none at first
    if kind not in formats:
        listed = " or ".join([", ".join(formats[:-1]), formats[-1]][-len(formats) :])
        hint = "; it has weights, but nothing to resume from" if kind == WEIGHTS else ""
        raise DataError(f"{str(path)!r} must be a file of {listed}, its header says {kind!r}{hint}")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise DataError(
            f"{str(path)!r} has version {version!r} of its format, this scratchnet {__version__} "
            f"reads up to version {VERSION}; it needs scratchnet >= {header.get('scratchnet')}"
        )
    faulty = first_not_finite(arrays)
    if faulty is not None:
        raise DataError(f"{str(path)!r} holds {faulty} with values that are not finite")
    return arrays, header


UNFIT = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What a header that is whole, and says other things than it should, raises where it is used."""


def unfit(path: str | Path, error: Exception) -> DataError:
    """The error for a header that is whole and does not say what it should."""
    what = f"lacks {error}" if isinstance(error, KeyError) else f"does not fit: {error}"
    return DataError(f"{str(path)!r} has a header that {what}; take another copy")
