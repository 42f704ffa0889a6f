"""SIGINT and SIGTERM, some of them twice, at random moments of a run that is then resumed.

What must hold: the run is gone within the step it was in and a second more, its exit status is 130
or 143 as a shell sees it, and what it left is resumed to the same end. A run that was through
with training when the signal came may end with 0 instead, if it has left everything.
"""

import random
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import reader
import worker
from figures import Figure, folder, run, shout

NUMBERS = (signal.SIGINT, signal.SIGTERM)
STEP = 0.1
"""Seconds that a step of these runs takes at the very most."""


def interrupt(one: worker.Run, rng: random.Random, duration: float) -> tuple[list[int], float]:
    """Send a signal, or two: their numbers, and the seconds from the first one to the exit."""
    one.has_said("b", 1, 20)
    if rng.random() < 0.4:
        time.sleep(rng.uniform(0, duration))
    else:
        one.has_said(".", rng.randint(1, worker.STEPS - 8), 20)
    numbers = rng.choices(NUMBERS, k=2 if rng.random() < 0.3 else 1)
    begin = time.perf_counter()
    for number in numbers:
        one.send(number)
        time.sleep(rng.uniform(0, 0.003) if len(numbers) > 1 else 0)
    one.wait()
    return numbers, time.perf_counter() - begin


def measure(count: int, seed: int) -> list[Figure]:
    """As many interrupted runs; what is left of each is resumed."""
    rng = random.Random(seed)
    failed: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    slowest = 0.0
    with folder() as where:
        worker.prepare(where)
        wholes = [worker.reference(where, case) for case in range(len(worker.CASES))]
        while seen["signals"] < count:
            case = rng.randrange(len(worker.CASES))
            path = where / "run"
            arguments = [*worker.CASES[case], "--out", str(path), "--quiet"]
            if rng.random() < 0.5:
                arguments += ["--save-every", str(rng.randint(1, 5))]
            whole, duration = wholes[case]
            one = worker.start(where, arguments)
            numbers, seconds = interrupt(one, rng, duration)
            seen["signals"] += 1
            seen["twice"] += len(numbers) > 1
            slowest = max(slowest, seconds)
            what = f"{arguments} {[signal.Signals(number).name for number in numbers]}"
            if seconds > 1 + STEP:
                failed["slow"] += 1
                shout(f"slow: {what}: {seconds:.2f} s")
            status = one.wait()
            if status == 0:
                seen["through"] += 1
                if not (path / "results.json").exists():
                    failed["status"] += 1
                    shout(f"status: {what}: 0, without results")
            elif (status if status > 0 else 128 - status) - 128 not in numbers:
                failed["status"] += 1
                shout(f"status: {what}: {status}")
            failed["ending"] += not ends_alike(where, path, whole, what, seen)
            shutil.rmtree(path, ignore_errors=True)
    n = seen["signals"]
    early = f"{seen['early']} of them before there was anything to resume"
    return [
        Figure(
            "signals: exit status 130 or 143",
            failed["status"],
            n,
            f"{seen['twice']} sent twice; {seen['through']} came after the last step: 0",
        ),
        Figure(f"signals: gone within a step and 1 s, at most {slowest:.3f} s", failed["slow"], n),
        Figure("signals: resumed to the same end", failed["ending"], n, early),
    ]


def ends_alike(
    where: Path, path: Path, whole: tuple[Any, ...], what: str, seen: Counter[str]
) -> bool:
    """True where the run in `path` can be resumed, and comes to the end that `whole` is."""
    if not path.is_dir() or not worker.numbered(path):
        seen["early"] += 1
        return True
    faults = [reader.fault(file) for file in worker.numbered(path)]
    if any(faults):
        shout(f"unreadable: {what}: {faults}")
        return False
    if worker.start(where, ["--resume", str(path), "--quiet"]).wait() != 0:
        shout(f"resume: {what}: {(where / 'log').read_text('utf-8')[-300:]}")
        return False
    if worker.temporary(path) or worker.ending(path) != whole:
        shout(f"ending: {what}: another, or {worker.temporary(path)} is left")
        return False
    return True


if __name__ == "__main__":
    sys.exit(run(measure, 200, __doc__))
