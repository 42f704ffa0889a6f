"""Start one command, wait for it, and print as JSON what it came to; `children.py` runs this."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

PIECE = 1 << (20 if sys.platform == "darwin" else 10)
"""ru_maxrss divided by this is MiB: it is counted in bytes on macOS, in KiB elsewhere."""


@dataclass(frozen=True)
class Finished:
    """What a command came to: exit status, wall seconds, peak memory in MiB, what it printed."""

    status: int
    seconds: float
    peak: float
    output: str
    errors: str

    @property
    def reason(self) -> str:
        """The last line of what it complained about."""
        lines = [line for line in self.errors.strip().splitlines() if line.strip()]
        return lines[-1].strip()[:200] if lines else f"exit status {self.status}"


def _launch(spec: Mapping[str, Any]) -> Finished:
    """Start the command on the first of the processors that there are, and wait for it."""
    if spec["processors"] and hasattr(os, "sched_setaffinity"):  # JAX counts these, not variables
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[: spec["processors"]])
    start = time.perf_counter()
    try:
        done = subprocess.run(
            spec["command"], env=spec["variables"], capture_output=True, text=True, check=False
        )
    except OSError as error:
        return Finished(127, 0.0, 0.0, "", str(error))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / PIECE
    return Finished(done.returncode, seconds, peak, done.stdout, done.stderr)


if __name__ == "__main__":
    print(json.dumps(asdict(_launch(json.load(sys.stdin)))))
