"""SIGKILL at random moments of runs that save often, each resumed until it is through.

Four in ten kills come at any time after the start, three up to 3 ms after the run has said that it
enters a save, three as soon as it has left one. After every kill a reader of its own opens every
checkpoint.
"""

import math
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

LONGEST = 12
"""Kills of one run, after which it may go through."""


def kill(one: worker.Run, rng: random.Random, duration: float) -> bool:
    """Kill the run at a random moment; False where it had ended before."""
    mode = rng.random()
    if mode < 0.4:
        time.sleep(rng.uniform(0, duration))
    elif mode < 0.7 and one.has_said("s", rng.randint(1, 12), 20):
        time.sleep(rng.uniform(0, 0.003))
    elif mode > 0.7 and one.has_said("e", rng.randint(1, 12), 20):
        time.sleep(rng.uniform(0, 0.001))
    one.send(signal.SIGKILL)
    return one.wait() == -signal.SIGKILL


class Chain:
    """One run, killed and resumed until it has ended."""

    in_place = False

    def __init__(self, where: Path, number: int, case: int, save_every: int) -> None:
        self.where, self.path, self.case = where, where / f"run-{number}", case
        self.save_every = str(save_every)
        self.latest = -1
        self.strays: set[str] = set()
        self.found: Counter[str] = Counter()

    def start(self) -> worker.Run:
        """Start it, or resume it where there is a checkpoint."""
        if self.path.is_dir() and worker.numbered(self.path):
            arguments = ["--resume", str(self.path), "--save-every", self.save_every]
        else:
            shutil.rmtree(self.path, ignore_errors=True)
            case = worker.CASES[self.case]
            arguments = [*case, "--out", str(self.path), "--save-every", self.save_every]
        return worker.start(self.where, [*arguments, "--quiet"], in_place=self.in_place)

    def look(self, one: worker.Run) -> None:
        """See what a kill has left behind."""
        self.found["kills"] += 1
        if not self.path.is_dir():
            return
        there = worker.temporary(self.path)
        held = any(name.startswith(".checkpoint-") for name in there)
        self.found["half-written files"] += held
        self.found["inside of a save"] += held or one.is_saving
        if "s" in one.said and self.strays & there:
            self.fail("strays", f"left after a start: {self.strays & there}")
        self.strays = there
        paths = [path for path in self.path.glob("*.npz") if path.name[0] != "."]
        for path in paths:
            why = reader.fault(path)
            if why is not None:
                self.fail("unreadable", f"{path.name}: {why}")
        steps = [int(path.stem.rpartition("-")[2]) for path in worker.numbered(self.path)]
        if max(steps, default=-1) < self.latest:
            self.fail("lost", f"step {self.latest} was saved, there are {steps}")
        self.latest = max(steps, default=-1)
        if self.latest < 0 and "e" in one.said:
            self.fail("lost", "a save had ended")

    def fail(self, what: str, why: str) -> None:
        """Count and say a failure."""
        self.found[what] += 1
        if self.in_place:
            return
        shout(f"{what}: {worker.CASES[self.case]} --save-every {self.save_every}: {why}")

    def run(self, kills: int, rng: random.Random, duration: float, whole: tuple[Any, ...]) -> None:
        """At most `kills` of them, then to the end, which must be as `whole`."""
        for _ in range(kills):
            one = self.start()
            if not kill(one, rng, duration):
                break
            self.look(one)
        else:
            one = self.start()
        if one.wait() != 0:
            self.fail("other endings", f"exit status {one.status}: {self.where / 'log'}")
            shout((self.where / "log").read_text("utf-8")[-1000:])
        else:
            for k, (a, b) in enumerate(zip(worker.ending(self.path), whole, strict=True)):
                if a != b:
                    self.fail("other endings", f"part {k} of the ending is another")
                    break
        if worker.temporary(self.path):
            self.fail("strays", f"left at the end: {worker.temporary(self.path)}")
        self.found["ends"] += 1


def measure(count: int, seed: int) -> list[Figure]:
    """At least `count` kills."""
    rng = random.Random(seed)
    found: Counter[str] = Counter()
    with folder() as where:
        worker.prepare(where)
        wholes = [worker.reference(where, case) for case in range(len(worker.CASES))]
        number = 0
        while found["kills"] < count:
            case = number % len(worker.CASES)
            chain = Chain(where, number, case, rng.randint(1, 5))
            whole, seconds = wholes[case]
            chain.run(min(LONGEST, count - found["kills"]), rng, seconds, whole)
            found += chain.found
            shutil.rmtree(chain.path)
            number += 1
        noticed = control(where, rng, wholes[0][1])
    kills = found["kills"]
    inside = (
        f"{found['inside of a save']:,} inside of a save, "
        f"{found['half-written files']:,} with a half-written file"
    )
    hits = found["inside of a save"]
    short = 0 if hits + 2 * math.sqrt(hits) >= 0.3 * kills else 1  # a count of few is uncertain
    return [
        Figure("kill -9: every checkpoint can be read", found["unreadable"], kills, inside),
        Figure("kill -9: three in ten are inside of a save", short, kills),
        Figure("kill -9: no checkpoint is lost", found["lost"], kills),
        Figure("kill -9: no stray file after the next start", found["strays"], kills),
        Figure(
            "kill -9: the run ends as if nothing had been", found["other endings"], found["ends"]
        ),
        Figure(
            "control: a writer in place is found out", int(not noticed), 1, f"by kill {noticed}"
        ),
    ]


def control(where: Path, rng: random.Random, duration: float) -> int:
    """How many kills it takes to see that a writer in place leaves what cannot be read."""
    chain = Chain(where, -1, 0, 1)
    chain.in_place = True
    for number in range(1, 200):
        shutil.rmtree(chain.path, ignore_errors=True)
        chain.latest, one = -1, chain.start()
        if kill(one, rng, duration):
            chain.look(one)
        if chain.found["unreadable"]:
            return number
    return 0


if __name__ == "__main__":
    sys.exit(run(measure, 1000, __doc__))
