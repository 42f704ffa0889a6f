"""Ctrl-C and SIGTERM for the command line: finish the step, save, then go."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

from scratchnet.errors import ScratchnetError
from scratchnet.parallel import Alone, MPIGradients

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(ScratchnetError):
    """A signal asked for the end; `code` is the exit status that says which."""

    def __init__(self, number: int, message: str = "interrupted") -> None:
        super().__init__(message)
        self.number = number
        self.code = 128 + number

    def __reduce__(self) -> tuple[type["Interrupted"], tuple[int, str]]:
        return Interrupted, (self.number, str(self))


class Interrupts:
    """Notes the first signal; `check` raises at the next step. A second one ends at once.

    All `ranks` check together, and a signal to one of them is a signal to all.
    """

    def __init__(self, ranks: MPIGradients | Alone | None = None) -> None:
        self.ranks = ranks or Alone()
        self.number: int | None = None

    def check(self) -> None:
        """Raise Interrupted if a signal has come."""
        number = self.ranks.largest(self.number or 0)
        if number:
            raise Interrupted(number)

    def watch(self) -> AbstractContextManager[None]:
        """While inside, in the main thread: signals are noted instead of raised."""
        return self._handle(self._note)

    def end_at_once(self) -> AbstractContextManager[None]:
        """While inside, in the main thread: a signal raises Interrupted where it comes."""
        return self._handle(self._raise)

    @contextmanager
    def _handle(self, handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        windows = getattr(signal, "SIGBREAK", None)  # Ctrl-Break
        numbers = SIGNALS if windows is None else (*SIGNALS, windows)
        before = {number: signal.signal(number, handler) for number in numbers}
        try:
            yield
        finally:
            for number, former in before.items():
                signal.signal(number, former)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        raise Interrupted(number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:  # the second time: files are whole at any moment, so go
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.number = number
