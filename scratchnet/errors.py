"""The errors that scratchnet raises: each is a ScratchnetError and also the built-in it resembles.

Every message is one sentence that says what must hold, what came, and the fix.
"""

import sys
import warnings


class ScratchnetError(Exception):
    """Base of all errors that scratchnet raises on purpose."""


class ParameterError(ScratchnetError, ValueError):
    """A hyper-parameter, name or option outside its range."""


class ShapeError(ScratchnetError, ValueError):
    """An array of the wrong shape, or labels that do not fit the network."""


class DtypeError(ScratchnetError, TypeError):
    """An array whose kind of number cannot be used here."""


class CallOrderError(ScratchnetError, RuntimeError):
    """A method called before the one it depends on, as backward before forward."""


class DataError(ScratchnetError, ValueError):
    """A data or weights file that is missing, damaged or not what its name says."""


class DataWarning(UserWarning):
    """Data that a network may not learn from: their range, their labels, how they were read."""


class DownloadError(ScratchnetError, OSError):
    """No mirror delivered the file whose checksum is known."""


class OutputError(ScratchnetError, OSError):
    """A file or folder that cannot be written."""


class DivergenceError(ScratchnetError, ArithmeticError):
    """Training produced a value that is not finite: what was found, and perhaps a cure."""

    def __init__(self, found: str, cure: str | None = None) -> None:
        super().__init__(found if cure is None else f"{found}; {cure}")
        self.found = found


class GradientCheckError(ScratchnetError, AssertionError):
    """An analytic gradient that does not match the numerical one; `report` has the figures."""

    def __init__(self, report: object) -> None:
        super().__init__(str(report))
        self.report = report


class InconclusiveCheckError(GradientCheckError):
    """A gradient check that compared nothing worth comparing, so it proves nothing."""


def warn_caller(text: str, category: type[Warning]) -> None:
    """Warn of `text` where the caller of scratchnet called it, however deep inside it is found."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("scratchnet"):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)
