"""Compiled loops: what NumPy does in several passes over memory, done in one.

They are optional. Everything runs on NumPy alone, whose lines are what one reads, and what the
tests hold the loops to: the same bits, but for what has an exp in it. There are loops where the
package was built with a C compiler; SCRATCHNET_LOOPS=0 in the environment leaves them unused.

- `kernels`: a function for each loop, its NumPy lines beside it
- `pages`: memory in huge pages
- rules.h: the loops of the optimizers, which `make loops` writes from their rules
- kernels.h: those of layers, losses and batches
- level.h, loops.c: precisions, instruction sets, arrays of Python, programs of many steps
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

VARIABLE = "SCRATCHNET_LOOPS"
"""The variable of the environment that switches loops off, for this process and its children."""


class _Loops:
    """The compiled module, if there is one and it is in use, and the numbers of its loops."""

    module: Any = None
    reason = ""
    has_products = False

    def load(self) -> None:
        """Take the compiled module into use, or note why not."""
        self.module, self.codes = None, dict[tuple[str, str], int]()
        if os.environ.get(VARIABLE) == "0":
            self.reason = "off"
            return
        try:
            self.module = import_module("scratchnet.loops._loops")
        except ImportError:
            free = not getattr(sys, "_is_gil_enabled", lambda: True)()
            self.reason = "free-threaded Python has none" if free else "not built"
            return
        self.reason = ""
        self.has_products = isinstance(np.matmul, np.ufunc) and self.module.use_matmul(np.matmul)
        for k, name in enumerate(self.module.NAMES):
            self.codes[name, "f"], self.codes[name, "d"] = 2 * k, 2 * k + 1


_LOOPS = _Loops()
_LOOPS.load()


@contextmanager
def without() -> Iterator[None]:
    """Inside of it NumPy does all the work, in this process and those that it starts."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "0"
    _LOOPS.load()
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before
        _LOOPS.load()


def describe() -> str:
    """The instructions that loops are in use for, as "avx2"; without loops "none", and why."""
    return str(_LOOPS.module.level()) if _LOOPS.module else f"none ({_LOOPS.reason})"


def compiled() -> Any:
    """The compiled module, for programs of many steps; None where it is not in use."""
    return _LOOPS.module


def has_products() -> bool:
    """Whether programs have products of their own: else they call `numpy.matmul`."""
    return _LOOPS.has_products


def code_of(name: str, dtype: np.dtype[Any]) -> int | None:
    """The number of the loop of that name, or a rule's digest, for arrays of `dtype`; or None."""
    return _LOOPS.codes.get((name, dtype.char))


def run(name: str, n: int, d: int, dtype: np.dtype[Any], *arrays: Any) -> bool:
    """Run a loop, and say whether there is one, for arrays such as these.

    n and d are rows and columns; every array is as large as they say.
    """
    code = code_of(name, dtype)
    return code is not None and bool(_LOOPS.module.call(code, n, d, *arrays))
