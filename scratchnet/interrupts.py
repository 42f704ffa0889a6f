"""Ctrl-C and SIGTERM for the command line: finish the step, save, then go."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from scratchnet.errors import ScratchnetError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(ScratchnetError):
    """A signal asked for the end; `code` is the exit status that says which."""

    def __init__(self, number: int, message: str = "interrupted") -> None:
        super().__init__(message)
        self.number = number
        self.code = 128 + number


class Interrupts:
    """Notes the first signal; `check` raises at the next step. A second one ends at once."""

    def __init__(self) -> None:
        self.number: int | None = None

    def check(self) -> None:
        """Raise Interrupted if a signal has come."""
        if self.number is not None:
            raise Interrupted(self.number)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """While inside, in the main thread: signals are noted instead of raised."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:  # the second time: files are whole at any moment, so go
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.number = number
