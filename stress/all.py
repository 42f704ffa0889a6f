"""Everything of this folder, one script after the other, in one table.

--count N makes every count N times as large as it is; 0.01 is a quick look.
"""

import argparse
import time

import behaviour
import beside_sklearn
import disk
import diverge
import forks
import fuzz
import fuzz_doors
import kills
import kills_of_comparisons
import mutants
import power
import ranks
import resume
import sanitizers
import signals
import soak
import threads
from figures import Measure, say

SCRIPTS: dict[str, tuple[Measure, int]] = {
    "resume": (resume.measure, 1000),
    "kills": (kills.measure, 1000),
    "comparisons": (kills_of_comparisons.measure, 100),
    "signals": (signals.measure, 200),
    "disk": (disk.measure, 600),
    "power": (power.measure, 1),
    "ranks": (ranks.measure, 50),
    "diverge": (diverge.measure, 2000),
    "fuzz": (fuzz.measure, 1_000_000),
    "doors": (fuzz_doors.measure, 1_000_000),
    "behaviour": (behaviour.measure, 1000),
    "beside": (beside_sklearn.measure, 5000),
    "soak": (soak.measure, 100_000),
    "threads": (threads.measure, 100_000),
    "forks": (forks.measure, 1000),
    "sanitizers": (sanitizers.measure, 1),
    "mutants": (mutants.measure, 100_000),
}


def main() -> int:
    """Print a line for every figure; the exit status is 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description="Put every promise to the test.")
    parser.add_argument("--count", type=float, default=1.0, help="times the usual counts")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: %(default)s)")
    options = parser.parse_args()
    say("| script | promise | failed | trials | may fail | seconds | |")
    say("|---|---|---:|---:|---|---:|---|")
    broken = 0
    for name, (measure, count) in SCRIPTS.items():
        start = time.perf_counter()
        found = measure(max(1, round(options.count * count)), options.seed)
        seconds = f"{time.perf_counter() - start:.0f}"
        for figure in found:
            broken += not figure.kept
            say(
                f"| {name} | {figure.promise} | {figure.failures} | {figure.trials:,} | "
                f"{figure.bound} | {seconds} | {figure.note} |"
            )
            name = seconds = ""
    say(f"\n{broken} broken" if broken else "\nall kept")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
