"""A log: lines of JSON that are only appended, each with a digest of itself and all before it.

So a save costs what is new, and a reader knows of each line whether it is whole:

    3f2a51c09b7de844 {"epoch": 1, "loss": 0.41}
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from scratchnet.data.opening import open_regular
from scratchnet.errors import DataError, OutputError
from scratchnet.storage.atomic import describe, open_to_append, sync_file, write_atomically
from scratchnet.storage.plain import parse_json

Record = dict[str, Any]

LONGEST = 2**24
"""Bytes of a line, at most."""
START = "0" * 16
MOST_NOTES = 3


class Log:
    """The log at `path`; `size` and `digest` are those of what this object has written or kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size, self.digest = 0, START

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add a line for each record, behind what is whole; raises OutputError."""
        text, digest = bytearray(), self.digest
        for record in records:
            line = json.dumps(record, allow_nan=False).encode()
            digest = _digest(digest, line)
            text += digest.encode() + b" " + line + b"\n"
        try:
            with open_to_append(self.path) as file:
                if os.fstat(file.fileno()).st_size != self.size:
                    os.ftruncate(file.fileno(), self.size)
                file.write(text)
        except OSError as error:
            raise OutputError(
                f"cannot write {str(self.path)!r}: {describe(error)}; choose a folder that can be "
                "written and has room"
            ) from error
        self.size, self.digest = self.size + len(text), digest

    def sync(self) -> None:
        """Make what was appended durable; raises OutputError."""
        try:
            with open_to_append(self.path) as file:
                sync_file(file.fileno())
        except OSError as error:
            raise OutputError(f"cannot write {str(self.path)!r}: {describe(error)}") from error

    def expect(self, place: Mapping[str, Any]) -> None:
        """Take the log to end where `place` says; raises ValueError for what is none."""
        size, digest = place.get("bytes"), place.get("digest")
        if type(size) is not int or size < 0 or not isinstance(digest, str):
            raise ValueError(f"{dict(place)!r} is no place in a log")
        self.size, self.digest = size, digest

    def place(self) -> dict[str, Any]:
        """Where the log ends now, as a checkpoint notes it down."""
        return {"bytes": self.size, "digest": self.digest}

    def cut(self, keep: Callable[[Record], bool] = lambda record: True) -> list[str]:
        """Cut what stands behind the end, and damaged lines; returns a note for each of these.

        Of the others those that `keep` wants stay. Raises OutputError if it cannot be written.
        """
        notes: list[str] = []
        before, kept = self.place(), Log(self.path)

        def copy(file: BinaryIO) -> None:
            for record in self._whole(self.size, notes):
                if keep(record):
                    line = json.dumps(record, allow_nan=False).encode()
                    kept.digest = _digest(kept.digest, line)
                    kept.size += file.write(kept.digest.encode() + b" " + line + b"\n")

        write_atomically(self.path, copy, follow=False)
        self.size, self.digest = kept.size, kept.digest
        if self.place() != before and not notes:
            notes.append(f"{str(self.path)!r} is not the log that the checkpoint was saved with")
        return notes

    def is_whole(self) -> bool:
        """Whether the file has every line up to the end that this object knows, as it was."""
        notes: list[str] = []
        found = Log(self.path)
        for record in self._whole(self.size, notes):
            found.digest = _digest(found.digest, json.dumps(record, allow_nan=False).encode())
        return not notes and found.digest == self.digest

    def records(self, kind: str = "") -> Iterator[Record]:
        """The records that are whole, up to where this object's log ends.

        With `kind` those that begin with this key; the others are not parsed.
        """
        return self._whole(self.size, [], kind)

    def _whole(self, size: int, notes: list[str], kind: str = "") -> Iterator[Record]:
        """The records in the first `size` bytes that are whole; `notes` gets the others."""
        try:
            with open_regular(self.path, follow=False) as file:
                yield from self._lines(file, size, notes, kind)
        except DataError as error:
            notes.append(f"{error}; the curves begin anew")

    def _lines(self, file: BinaryIO, size: int, notes: list[str], kind: str) -> Iterator[Record]:
        digest, done, number, damaged = START, 0, 0, 0
        start_of_kind = b'{"%s"' % kind.encode() if kind else b""
        while done < size and (line := file.readline(min(LONGEST, size - done))):
            done, number = done + len(line), number + 1
            start, _, text = line.rstrip(b"\n").partition(b" ")
            found = start.decode("ascii", "replace")
            whole = line.endswith(b"\n") and found == _digest(digest, text)
            digest = found
            if whole and not text.startswith(start_of_kind):
                continue
            try:
                record = parse_json(text.decode()) if whole else None
            except ValueError:
                record = None
            if isinstance(record, dict):
                yield record
                continue
            damaged += 1
            if damaged <= MOST_NOTES:
                more = "; there may be more" if damaged == MOST_NOTES else ""
                notes.append(
                    f"{str(self.path)!r} is damaged in line {number}, which is left out of the "
                    f"curves{more}"
                )


def _digest(before: str, line: bytes) -> str:
    return hashlib.sha256(before.encode() + line).hexdigest()[:16]
