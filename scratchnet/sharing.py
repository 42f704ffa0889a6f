"""Element-wise work shared between threads: NumPy lets go of the interpreter while it computes.

A value depends on its own element alone, so the result is the same to the bit for any number.
"""

import contextvars
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def share(work: Callable[[T], object], pieces: Sequence[T], threads: int) -> None:
    """Call work(piece) for every piece, in `threads` threads at once; raises what any of it does.

    What holds here, as `np.errstate`, holds in the other threads too.
    """
    groups = [pieces[k::threads] for k in range(max(1, min(threads, len(pieces))))]
    others = [
        _helpers(threads - 1).submit(contextvars.copy_context().run, _do_all, work, group)
        for group in groups[1:]
    ]
    try:
        _do_all(work, groups[0])
    finally:
        for other in others:
            other.result()


def _do_all(work: Callable[[T], object], pieces: Sequence[T]) -> None:
    for piece in pieces:
        work(piece)


@cache
def _helpers(threads: int) -> Any:
    """Threads that are kept: starting one takes longer than the work of a step."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(threads, thread_name_prefix="scratchnet")
