"""Whole processes, from the shell: how long they take and how much memory they have at most.

A part of `speed.py`: imports, `--help`, loading MNIST, training it, and training it to 98 %. Unlike
seconds per epoch these run as a user finds them, on as many threads as each system takes by itself.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib import children
from lib.report import table

TRAIN = str(children.ROOT / "train.py")
TO_98 = str(Path(__file__).with_name("to_98.py"))
RECIPE = str(children.ROOT / "recipes" / "mnist-98-in-seconds.toml")
LOAD = "import sys; from scratchnet import load; load('mnist', home=sys.argv[1])"
PEERS = ("scikit-learn", "torch", "jax", "keras")
NEEDS = {"torch": "torch", "jax": "jax-step", "keras": "keras"}
"""Which of the systems of `speed` must not be absent."""


@dataclass(frozen=True)
class Process:
    """A command under the name it has in the table; where it trains, its output has an accuracy."""

    name: str
    command: tuple[str, ...]
    seeded: bool = False
    writes: bool = False


def listed(data_dir: str | None, peers: str, absent: set[str]) -> list[Process]:
    """Everything that is measured, but for what is absent."""
    home = data_dir or os.environ.get("SCRATCHNET_DATA") or "datasets"
    here = sys.executable
    pythons = {"scikit-learn": here} | {
        name: peers for name, system in NEEDS.items() if system not in absent
    }
    modules = {name: name for name in pythons} | {"scikit-learn": "sklearn.neural_network"}
    mnist = ("--dataset", "mnist", "--epochs", "1")
    quiet = ("--data-dir", home, "--quiet", "--json")
    return [
        Process("import numpy", (here, "-c", "import numpy")),
        Process("import scratchnet", (here, "-c", "import scratchnet")),
        *(
            Process(f"import {modules[name]}", (python, "-c", f"import {modules[name]}"))
            for name, python in pythons.items()
        ),
        Process("train.py --help", (here, TRAIN, "--help")),
        Process("load MNIST", (here, "-c", LOAD, home)),
        Process("train.py, MNIST, 784-100-10, 1 epoch", (here, TRAIN, *mnist, *quiet), True, True),
        Process("98 %: scratchnet", (here, TRAIN, "--config", RECIPE, *quiet), True, True),
        *(
            Process(f"98 %: {name}", (python, TO_98, name, "--data-dir", home), True)
            for name, python in pythons.items()
        ),
    ]


def measure(options: argparse.Namespace, absent: set[str]) -> dict[str, Any]:
    """Each process once unseen, so that files are in memory, then in turn, repeat by repeat."""
    chosen = [
        one
        for one in listed(options.data_dir, options.peers, absent)
        if options.pattern.search(one.name)
    ]
    rows: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    if not options.quick:
        for one in chosen:
            _run(one, 0)
    for repeat in range(options.process_repeats):
        shift = repeat * len(chosen) // options.process_repeats
        for one in chosen[shift:] + chosen[:shift]:
            found = _run(one, repeat)
            if isinstance(found, str):
                failed[one.name] = found
                continue
            row = rows.setdefault(one.name, {"name": one.name, "seconds": [], "peak": []})
            for name, value in found.items():
                row.setdefault(name, []).append(value)
        print(f"processes: repeat {repeat + 1} is done", file=sys.stderr, flush=True)
    return {"rows": [rows[one.name] for one in chosen if one.name in rows], "failed": failed}


def _run(one: Process, seed: int) -> dict[str, float] | str:
    """Seconds, peak memory and, where it trains, test accuracy; or why it failed."""
    command = [*one.command, *(["--seed", str(seed)] if one.seeded else [])]
    with tempfile.TemporaryDirectory() as folder:
        if one.writes:
            command += ["--out", str(Path(folder) / "run")]
        done = children.run(command)
    if done.status:
        return done.reason
    found = {"seconds": round(done.seconds, 4), "peak": round(done.peak, 1)}
    if one.seeded:
        results = json.loads(done.output)
        found["accuracy"] = results.get("test_accuracy", results.get("accuracy"))
    return found


def sections(figures: Mapping[str, Any]) -> dict[str, str]:
    """The sections of the page, by name."""
    rows = {row["name"]: row for row in figures["rows"]}
    cells = [
        (
            name,
            f"{min(row['seconds']):.2f}",
            f"{statistics.median(row['seconds']):.2f}",
            f"{max(row['peak']):.0f}",
            _accuracy(row.get("accuracy", ())),
        )
        for name, row in rows.items()
    ]
    head = ("", "best s", "median s", "peak MiB", "test accuracy, mean (min)")
    failed = [f"- {name}: failed ({reason})" for name, reason in figures["failed"].items()]
    text = "\n\n".join([table(head, cells), *filter(None, ["\n".join(failed)])])
    return {"processes": text, "process-goals": _goals(rows)}


def _accuracy(values: Sequence[float]) -> str:
    return f"{100 * statistics.fmean(values):.2f} ({100 * min(values):.2f}) %" if values else ""


def _goals(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """What was to be reached, and what was: medians where nothing else is said."""

    def median(name: str) -> float | None:
        return statistics.median(rows[name]["seconds"]) if name in rows else None

    ours, numpy = median("import scratchnet"), median("import numpy")
    trained = rows.get("train.py, MNIST, 784-100-10, 1 epoch")
    seconds = median("98 %: scratchnet")
    found = [
        ("import scratchnet, of import numpy", *judged(over(ours, numpy), 1.5)),
        ("train.py --help, seconds", *judged(median("train.py --help"), 0.2)),
        ("peak MiB, MNIST, 784-100-10", *judged(trained and max(trained["peak"]), 200)),
        ("98 % of MNIST, seconds", *judged(seconds, 3)),
        *(
            (f"98 % of MNIST, of {name}", *judged(over(seconds, median(f"98 %: {name}")), 1))
            for name in PEERS
        ),
    ]
    return table(("whole processes", "goal", "measured", "is"), found)


def over(one: float | None, other: float | None) -> float | None:
    """The quotient; None where one of them was not measured."""
    return None if one is None or other is None else one / other


def judged(value: float | None, goal: float) -> tuple[str, str, str]:
    """Three cells: the goal, the value, and whether it is reached."""
    if value is None:
        return f"≤ {goal:g}", "–", "not measured"
    verdict = "reached" if value <= goal else "missed"
    return f"≤ {goal:g}", f"{value:.2f}" if value < 100 else f"{value:.0f}", verdict


if __name__ == "__main__":
    raise SystemExit("processes.py is a part of speed.py; run python bench/speed.py")
