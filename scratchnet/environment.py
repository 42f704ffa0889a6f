"""The surroundings that the numbers of a run depend on: versions, BLAS, threads, memory."""

import os
import platform
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from scratchnet import loops


def describe() -> dict[str, Any]:
    """Versions of Python and NumPy, its BLAS with kernel and threads, and compiled loops."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "system": platform.system(),
        "processors": os.cpu_count(),
        "loops": loops.describe(),
        "blas": [
            {key: pool.get(key) for key in ("internal_api", "version", "architecture")}
            | {"threads": pool.get("num_threads")}
            for pool in _blas_of_numpy()
        ],
    }


def limit_threads(threads: int | None) -> AbstractContextManager[Any]:
    """Inside of it BLAS uses that many threads, or one a processor; None leaves it as it is.

    With one, other threads of Python may be inside at the same time: the last to leave restores
    what was before.
    """
    if threads is None:
        return nullcontext()
    if threads == 1:
        return _ONE
    most = min(threads, os.cpu_count() or 1)
    limit: AbstractContextManager[Any] = _controller().limit(limits=most, user_api="blas")
    return limit


class _OneThread(AbstractContextManager["_OneThread"]):
    """BLAS with one thread: its number is that of the process, not of a thread of Python."""

    def __init__(self) -> None:
        self._lock, self._inside = Lock(), 0
        self._limit: AbstractContextManager[Any] = nullcontext()

    def __enter__(self) -> "_OneThread":
        with self._lock:
            limit = _controller().limit(limits=1, user_api="blas")  # anew: another may be within
            limit.__enter__()
            if not self._inside:
                self._limit = limit
            self._inside += 1
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limit.__exit__(None, None, None)


_ONE = _OneThread()


def processors() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that can be allocated without swapping; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _blas_of_numpy() -> list[dict[str, Any]]:
    """The BLAS that came with NumPy, as SciPy brings its own; else all that are loaded."""
    pools = [pool for pool in _controller().info() if pool["user_api"] == "blas"]
    if not pools:
        return _blas_of_build()
    package = Path(np.__file__).resolve().parent  # whatever link led to the environment
    homes = (package, package.with_name("numpy.libs"))
    own = [p for p in pools if any(Path(p["filepath"]).resolve().is_relative_to(h) for h in homes)]
    return own or pools


def _blas_of_build() -> list[dict[str, Any]]:
    """The BLAS that NumPy was built with, where threadpoolctl knows none, as macOS's Accelerate."""
    config: Any = np.show_config(mode="dicts")
    about = config.get("Build Dependencies", {}).get("blas", {})
    name = about.get("name")
    if not name:
        return []
    return [{"internal_api": name, "version": about.get("version"), "architecture": None}]


def controls_threads() -> bool:
    """Whether the number of threads of BLAS can be set here; that of Accelerate cannot."""
    return any(pool["user_api"] == "blas" for pool in _controller().info())


@cache
def _controller() -> Any:
    """One controller for the process: making it looks at every loaded library, which is slow."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
