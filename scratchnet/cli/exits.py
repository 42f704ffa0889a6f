"""How the command line ends: an exit status and one line on stderr for each kind of error."""

import io
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress

from scratchnet.checks import without_controls
from scratchnet.cli.interrupts import Interrupted, Interrupts
from scratchnet.cli.parser import program
from scratchnet.errors import (
    DataError,
    DivergenceError,
    DownloadError,
    OutputError,
    ParameterError,
    ScratchnetError,
)
from scratchnet.parallel import MPIGradients

EXIT_CODES: Mapping[type[BaseException], int] = {
    ParameterError: 2,
    MemoryError: 2,
    ModuleNotFoundError: 2,
    DataError: 3,
    OutputError: 4,
    DivergenceError: 5,
    DownloadError: 6,
    Interrupted: 130,  # or what its signal says
    ScratchnetError: 3,  # what is left: arrays of the data set that do not fit
    KeyboardInterrupt: 130,
    BrokenPipeError: 141,
    OSError: 4,  # what is left: a folder that has gone while in use
}
"""The exit status of each kind of error, the first that fits; 1 is left to bugs."""


LONGEST_LINE = 4000
"""Characters of an error; of a longer one both ends are shown."""


def exit_code(error: BaseException | None) -> int:
    """The exit status of an error, or of none."""
    if error is None:
        return 0
    if isinstance(error, Interrupted):
        return error.code
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))


def tell(error: BaseException | None, rank: int = 0, aside: str = "") -> None:
    """Say what happened, in one line on stderr; of wrong arguments what was said `aside`."""
    where = f"rank {rank}: " if rank else ""
    text = aside.replace(": ", f": {where}", 1)
    if error is not None and not isinstance(error, SystemExit):
        text = _line(error, where)
    with suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


def drop_output() -> None:
    """Let go of what standard output does not take, or the exit would try once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _line(error: BaseException, where: str = "") -> str:
    """The line for stderr about an error, or nothing if the reader has gone."""
    if isinstance(error, BrokenPipeError):
        return ""
    if isinstance(error, KeyboardInterrupt | Interrupted):
        return f"{program()}: {where}{str(error) or 'interrupted'}\n"
    text = str(error)
    if isinstance(error, MemoryError):
        text = f"out of memory: {text or 'there is no more'}; choose smaller layers or batches"
    elif isinstance(error, ModuleNotFoundError) and "pip install" not in text:
        text = f"{error.name} is not installed; run `make train`, or see README.md"
    elif isinstance(error, OSError) and not isinstance(error, ScratchnetError):
        text = f"{text}; --debug shows where"
    if len(text) > LONGEST_LINE:
        text = f"{text[: LONGEST_LINE // 2]} ... {text[-LONGEST_LINE // 2 :]}"
    return f"{program()}: {where}error: {without_controls(text)}\n"


def prepare_streams() -> None:
    """Give a closed stream a place to write to, and every name of a file a spelling."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def leave(parallel: MPIGradients, code: int, hurry: bool, tell: Callable[[], None]) -> None:
    """End the ranks together; in a `hurry` end all of them, if the others do not come.

    `tell` says why on stderr. Rank 0 has spoken already, for all that fail alike.
    """
    with Interrupts().watch():  # or a signal would end rank 0, while it writes, with the others
        together = parallel.all_leave(hurry)
    if not together:
        if parallel.rank > 0:
            tell()
        parallel.abort(code)
    if code:
        parallel.finalize()
