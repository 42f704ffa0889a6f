"""What the stress scripts share: their options, figures with an upper bound, one line for each."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MEMORY = Path("/dev/shm")  # where Linux keeps files in memory


@dataclass(frozen=True)
class Figure:
    """How often a promise was put to the test, and how often it was broken."""

    promise: str
    failures: int
    trials: int
    note: str = ""
    least: int = 1
    """Fewer trials than this prove nothing."""
    complete: bool = False
    """True where these were all cases that there are, and no sample of them."""

    @property
    def kept(self) -> bool:
        """True where there were trials enough and none of them failed."""
        return self.failures == 0 and self.trials >= self.least

    @property
    def bound(self) -> str:
        """In how many cases the promise may still be broken: 3 / N, where it held in all of N."""
        if not self.kept:
            return "broken"
        if self.complete or self.trials <= 3:
            return "-"
        return f"< {300 / self.trials:.2g} %"

    def __str__(self) -> str:
        note = f"; {self.note}" if self.note else ""
        bound = f" ({self.bound})" if self.bound != "-" else ""
        return f"{self.promise}: {self.failures} of {self.trials:,} failed{bound}{note}"


Measure = Callable[[int, int], Sequence[Figure]]


def run(measure: Measure, count: int, description: str | None) -> int:
    """Read --count and --seed, print each figure; the exit status is 1 where a promise broke."""
    options = arguments(description, count)
    start = time.perf_counter()
    found = measure(options.count, options.seed)
    for figure in found:
        say(str(figure))
    say(f"{time.perf_counter() - start:.1f} s")
    return 0 if all(figure.kept for figure in found) else 1


def arguments(description: str | None, count: int) -> argparse.Namespace:
    """The options that every script has."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=count, help="trials (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed (default: %(default)s)")
    return parser.parse_args()


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def shout(text: str) -> None:
    """Print what went wrong, on stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextmanager
def folder(memory: bool = False) -> Iterator[Path]:
    """A folder that is gone afterwards, in memory where that is asked for and there is one."""
    where = MEMORY if memory and MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="scratchnet-", dir=where) as name:
        yield Path(name)
