"""SIGKILL at random moments of comparisons with parallel jobs, each resumed until it is through.

Half of the kills hit the process alone, as the system does when memory ends, half all of its jobs
too. At the end every trial, every table of layers, and the list of files must be those of a
comparison that nobody killed.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from figures import Figure, folder, run, shout

COMMAND = [
    *("--dataset", "digits", "--train-samples", "400", "--hidden", "8", "--epochs", "3"),
    *("--optimizer", "adam", "sgd", "--seeds", "3", "--jobs", "2", "--save-every", "2"),
    *("--no-report", "--quiet"),
]
LONGEST = 8
"""Kills of one comparison, after which it may go through."""
TIMES = ("seconds", "samples_per_second")


def start(where: Path, path: Path) -> subprocess.Popen[bytes]:
    """Start a comparison in `path`, or resume it."""
    words = ["--resume", str(path), "-q"] if (path / "trials.csv").exists() else None
    words = words or [*COMMAND, "--out", str(path)]
    with open(where / "log", "ab") as log:
        command = [sys.executable, "-m", "scratchnet", *words]
        return subprocess.Popen(command, cwd=where, stdout=log, stderr=log, start_new_session=True)


def kill(one: subprocess.Popen[bytes], rng: random.Random, longest: float) -> bool:
    """Kill it at a random moment; False where it had ended before."""
    try:
        one.wait(rng.uniform(0, longest))
    except subprocess.TimeoutExpired:
        if rng.random() < 0.5:
            os.kill(one.pid, signal.SIGKILL)
        else:
            os.killpg(one.pid, signal.SIGKILL)
        one.wait()
        end_jobs(one.pid)
    return one.returncode == -signal.SIGKILL


def end_jobs(group: int) -> None:
    """Leave the jobs of a killed process some time to go on by themselves, then end them."""
    with suppress(ProcessLookupError):
        for _ in range(20):
            os.killpg(group, 0)
            time.sleep(0.05)
        os.killpg(group, signal.SIGKILL)


def ending(path: Path) -> dict[str, Any]:
    """All that must be equal at the end: files, trials without times, layers and steps."""
    names = sorted(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())
    found: dict[str, Any] = {"files": names}
    for place in sorted(path.glob("trials/*.json")):
        found[place.name] = _timeless(json.loads(place.read_bytes()))
    for name in ("layers.csv", "steps.csv"):
        for place in sorted(path.glob(f"*/{name}")):
            found[f"{place.parent.name}/{name}"] = place.read_text("utf-8")
    return found


def _timeless(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _timeless(each) for key, each in tree.items() if key not in TIMES}
    return [_timeless(each) for each in tree] if isinstance(tree, list) else tree


def measure(count: int, seed: int) -> list[Figure]:
    """At least `count` kills."""
    rng, found = random.Random(seed), Counter[str]()
    with folder() as where:
        began = time.perf_counter()
        if start(where, where / "whole").wait() != 0:
            raise RuntimeError((where / "log").read_text("utf-8")[-2000:])
        longest, whole = time.perf_counter() - began, ending(where / "whole")
        number = 0
        while found["kills"] < count:
            number += 1
            path = where / f"comparison-{number}"
            for _ in range(min(LONGEST, count - found["kills"])):
                if not kill(start(where, path), rng, 1.2 * longest):
                    break
                found["kills"] += 1
            code = start(where, path).wait()
            found["ends"] += 1
            if code != 0:
                found["lost"] += 1
                shout(f"exit {code}: {(where / 'log').read_text('utf-8')[-1000:]}")
                continue
            last = ending(path)
            strays = [name for name in last["files"] if ".tmp." in name]
            found["strays"] += bool(strays)
            other = [name for name in {**whole, **last} if whole.get(name) != last.get(name)]
            found["other"] += bool(other)
            if other or strays:
                shout(f"another ending: {other} {strays}")
    return [
        Figure("comparisons: each is resumed to its end", found["lost"], found["ends"]),
        Figure("comparisons: no stray file at the end", found["strays"], found["ends"]),
        Figure(
            "comparisons: trials, layers and steps as if nothing had been",
            found["other"],
            found["ends"],
            f"{found['kills']} kills",
        ),
    ]


if __name__ == "__main__":
    sys.exit(run(measure, 100, __doc__))
