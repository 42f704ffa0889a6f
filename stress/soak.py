"""A long run of a tiny network: memory, open files, threads and the seconds of a save stay flat.

100,000 epochs of ten steps, saved every second as always. What is compared is the median of the
first tenth of all saves with that of the last.
"""

import os
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, folder, run

from scratchnet import cli
from scratchnet.cli.train import Job

GROWTH = 16.0
"""MiB by which memory may grow: the history takes 80 bytes an epoch, 8 MB in all."""
SLOWER = 2.0
"""How many times slower saves may be in the end: other programs may be busy meanwhile."""


class Probe:
    """What each save found."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def watch(self, save: Any) -> Any:
        """`save` with a look at the process after each call."""

        def watched(job: Job) -> None:
            start = time.perf_counter()
            save(job)
            seconds = time.perf_counter() - start
            self.rows.append(
                {
                    "epochs": job.trainer.epochs,
                    "seconds": seconds,
                    "memory": resident(),
                    "files": len(os.listdir("/proc/self/fd")),
                    "threads": threading.active_count(),
                    "checkpoint": os.path.getsize(max(job.path.glob("checkpoint-0*"))),
                }
            )

        return watched

    def ends(self, name: str) -> tuple[float, float]:
        """The medians over the first and the last tenth of all saves."""
        values = [row[name] for row in self.rows[1:]]
        n = max(1, len(values) // 10)
        return statistics.median(values[:n]), statistics.median(values[-n:])


def resident() -> float:
    """The memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(count: int, seed: int) -> list[Figure]:
    """So many epochs."""
    probe, rng = Probe(), np.random.default_rng(seed)
    with folder() as where:
        x, t = rng.normal(size=(130, 4)), np.arange(130) % 3
        np.savez(where / "set.npz", x=x, t=t)
        save = Job._save
        Job._save = probe.watch(save)  # type: ignore[method-assign]
        words = ["--dataset", str(where / "set.npz"), "--hidden", "4", "--batch-size", "10"]
        words += ["--epochs", str(count), "--out", str(where / "run"), "--no-report", "-q"]
        try:
            code = cli.main([*words, "--lr", "1e-5"])
        finally:
            Job._save = save  # type: ignore[method-assign]
        log = os.path.getsize(where / "run" / "history.log")
    steps = f"{count:,} epochs, {len(probe.rows)} saves, a log of {log / 2**20:.1f} MiB"
    found = {name: probe.ends(name) for name in probe.rows[0]}
    told = {
        name: f"{first:.4g} at first, {last:.4g} at last" for name, (first, last) in found.items()
    }
    first, last = found["memory"]
    slow, fast = found["seconds"][1], found["seconds"][0]
    return [
        Figure("soak: the run ends", int(code != 0), 1, steps),
        Figure("soak: MiB of memory", int(last - first > GROWTH), 1, told["memory"]),
        Figure("soak: open files", int(len(set(found["files"])) > 1), 1, told["files"]),
        Figure("soak: threads", int(len(set(found["threads"])) > 1), 1, told["threads"]),
        Figure("soak: bytes of a checkpoint", 0, 1, told["checkpoint"]),
        Figure("soak: seconds of a save", int(slow > SLOWER * fast), 1, told["seconds"]),
    ]


if __name__ == "__main__":
    sys.exit(run(measure, 100_000, __doc__))
