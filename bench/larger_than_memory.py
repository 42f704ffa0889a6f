"""Training from a memory-mapped file against training in memory: seconds per sample, peak memory.

    python bench/larger_than_memory.py --data-dir DIR --folder ROOMY

Writes a .npy of 8 million 28x28 images, 6.3 GB, into `--folder`: MNIST over and over, each copy
shifted and with noise of its own. Then, each in a fresh process on one thread: 784-100-10, Adam,
batch 128, one epoch of that file, once with nothing of it in the system's memory before and once as
that left it; and before, between and after these the same net on MNIST in memory. The best of each
counts. Peak memory is that of the whole process: imports, one epoch, an evaluation of all samples
of the epoch, a checkpoint's digest.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from lib import children
from lib.report import machine_lines, parser, table, write_json

NET = (784, [100], 10)
BATCH = 128
MEMORY, COLD, WARM = "MNIST in memory", "mapped, read from the disk", "mapped, read before"
ORDER = (MEMORY, COLD, MEMORY, WARM, MEMORY)
SLOWER, PEAK = 1.5, 400
"""The goals: seconds per sample as a multiple of those in memory, and MB of peak memory."""


def main() -> None:
    options = _arguments()
    if options.child:
        print(json.dumps(_train(options)))
        return
    found = children.machine_of_children(1)
    print(machine_lines(found), flush=True)
    rows = round(options.millions * 1e6)
    with _file(options, rows) as seconds:
        print(f"- {rows:,} images written in {seconds:.0f} s\n", flush=True)
        runs = [_run(options, name) for name in ORDER]
    print(_section(runs))
    write_json(options.json, {"machine": found, "rows": rows, "runs": runs})


def _arguments() -> argparse.Namespace:
    made = parser("Training from a memory-mapped file against training in memory.")
    made.add_argument("--folder", type=Path, required=True, help="where the file is to be")
    made.add_argument("--millions", type=float, default=8.0, help="of images (default 8)")
    made.add_argument("--keep", action="store_true", help="leave the file where it is")
    made.add_argument("--child", help=argparse.SUPPRESS)  # what this process trains on
    return made.parse_args()


@contextmanager
def _file(options: argparse.Namespace, rows: int) -> Iterator[float]:
    """Images and labels in the folder, and the seconds it took to write them."""
    paths = _paths(options.folder)
    try:
        start = time.perf_counter()
        _write(paths, rows, options.data_dir)
        yield time.perf_counter() - start
    finally:
        for path in () if options.keep else paths:
            path.unlink(missing_ok=True)


def _paths(folder: Path) -> tuple[Path, Path]:
    return folder / "larger-than-memory-x.npy", folder / "larger-than-memory-t.npy"


def _write(paths: tuple[Path, Path], rows: int, home: str | None) -> None:
    """Copies of MNIST one after the other, so that no more than one is in memory."""
    from scratchnet import load

    train = load("mnist", home=home).train
    images = train.x.reshape(-1, 28, 28)
    rng = np.random.default_rng(0)
    with open(paths[0], "wb") as file:
        layout = {"descr": "|u1", "fortran_order": False, "shape": (rows, 28, 28)}
        np.lib.format.write_array_header_1_0(file, layout)
        for start in range(0, rows, len(images)):
            shifted = np.roll(images, rng.integers(-2, 3, 2), axis=(1, 2))
            noise = rng.integers(0, 16, images.shape, dtype=np.uint8)
            (shifted // 16 * 15 + noise)[: rows - start].tofile(file)
        file.flush()
        os.fsync(file.fileno())
    np.save(paths[1], np.resize(train.t.astype(np.uint8), rows))


def _forget(path: Path) -> None:
    """Have the system drop what it keeps of a file in memory, where it can be asked to."""
    if hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _run(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """One process, what it measured, and its peak memory in MB."""
    if name == COLD:
        _forget(_paths(options.folder)[0])
    command = [sys.executable, __file__, "--folder", str(options.folder), "--child", name]
    if options.data_dir is not None:
        command += ["--data-dir", options.data_dir]
    done = children.run(command, 1)
    if done.status:
        raise SystemExit(f"{name} failed: {done.reason}")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    found = {"name": name, **json.loads(done.output), "peak": done.peak * 1.048576, "load": load}
    print(f"{name}: {found}", file=sys.stderr, flush=True)
    return found


def _train(options: argparse.Namespace) -> dict[str, float]:
    """Microseconds per sample of an epoch and an evaluation; seconds to open and for a digest."""
    from scratchnet import MultiLayerNet, Samples, Trainer, load

    start = time.perf_counter()
    if options.child == MEMORY:
        train = load("mnist", home=options.data_dir).train
    else:
        train = Samples.open(*_paths(options.folder), scale=1 / 255)
    opened = time.perf_counter() - start
    trainer = Trainer(MultiLayerNet(*NET), train, batch_size=BATCH)
    epochs = list(trainer.run(10 if options.child == MEMORY else 1))
    start = time.perf_counter()
    trainer.evaluate(train)
    evaluated = time.perf_counter() - start
    start = time.perf_counter()
    train.digest()
    return {
        "opened": opened,
        "trained": 1e6 * min(epoch.seconds for epoch in epochs) / len(train),
        "evaluated": 1e6 * evaluated / len(train),
        "digest": time.perf_counter() - start,
    }


def _section(runs: list[dict[str, Any]]) -> str:
    """A table of all runs, and the two goals."""
    best = {name: min((run for run in runs if run["name"] == name), key=_trained) for name in ORDER}
    rows = [
        (
            run["name"],
            f"{run['trained']:.2f}",
            f"{run['trained'] / best[MEMORY]['trained']:.2f}",
            f"{run['evaluated']:.2f}",
            f"{run['opened']:.2f}",
            f"{run['digest']:.2f}",
            f"{run['peak']:.0f}",
            f"{run['load']:.1f}",
        )
        for run in runs
    ]
    head = ("", "µs a sample", "of in memory", "evaluation, µs a sample", "s to open", "s a digest")
    slower = max(best[name]["trained"] for name in (COLD, WARM)) / best[MEMORY]["trained"]
    peak = max(run["peak"] for run in runs if run["name"] != MEMORY)
    return (
        f"{table((*head, 'peak MB', 'load'), rows)}\n\n"
        f"Seconds per sample, of those in memory: {slower:.2f}, goal {SLOWER:g}: "
        f"{_verdict(slower, SLOWER)}. Peak memory: {peak:.0f} MB, goal {PEAK}: "
        f"{_verdict(peak, PEAK)}."
    )


def _trained(run: Mapping[str, Any]) -> float:
    trained: float = run["trained"]
    return trained


def _verdict(value: float, goal: float) -> str:
    return "reached" if value <= goal else "missed"


if __name__ == "__main__":
    main()
