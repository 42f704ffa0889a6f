"""Every optimizer at its default rate on the digits: test accuracy, and what a step costs.

64-100-10, He weights, ReLU, float32, batches of 10, 30 epochs, no penalty, no schedule, no early
stopping. Within a seed all start from the same weights and see the same batches. Optimizers that
mean the gradient of all samples get all of them at each of their 30 steps. Wrappers are around
their default inner optimizer. Accuracy is that of the test samples after the last epoch, with the
weights that the optimizer evaluates with.

A step is forward, backward and update; its time is the best of several repeats, in each of which
all optimizers have their turn, some before each seed. It is compared with that of SGD on a batch of
the same size; one step of L-BFGS is up to 20 iterations.

The table compares defaults on one small problem, and ranks nobody. Two rules do not come into their
own: a network with one hidden layer has no matrix for Muon, which is Adam here, array by array, and
ASGD begins its mean after a million steps, as torch's does.
"""

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lib.report import machine, machine_lines, parser, table, write_json

from scratchnet import Dataset, MultiLayerNet, Trainer, load
from scratchnet.environment import limit_threads
from scratchnet.optimizers import OPTIMIZERS
from scratchnet.randomness import permutation
from scratchnet.training import Batch

HIDDEN = 100
BATCH_SIZE = 10
WANTED = 95.0  # per cent: the mean that every optimizer is to reach
PAGE = Path(__file__).parents[1] / "docs" / "measurements" / "optimizers_on_digits.md"


@dataclass(frozen=True)
class Result:
    """What one run came to; `accuracy` in per cent of the test samples."""

    optimizer: str
    seed: int
    accuracy: float


@dataclass(frozen=True)
class Cost:
    """Microseconds of one step on a batch of so many samples: the best and all repeats."""

    optimizer: str
    batch_size: int
    best: float
    repeats: list[float]


def main() -> None:
    options = _arguments()
    found = machine()
    dataset = load("digits", home=options.data_dir)
    with limit_threads(1):
        results, times = [], []
        for seed in range(options.seeds):
            times += [_times(dataset) for _ in range(options.repeats)]
            results += [_run(name, seed, dataset, options.epochs) for name in OPTIMIZERS]
    costs = _costs(times)
    text = _report(found, options, results, costs)
    print(text)
    if options.write:
        PAGE.write_text(_page(text, options), encoding="utf-8")
    write_json(
        options.json,
        {
            "machine": found,
            "epochs": options.epochs,
            "batch_size": BATCH_SIZE,
            "results": [asdict(result) for result in results],
            "costs": [asdict(cost) for cost in costs],
        },
    )


def _arguments() -> argparse.Namespace:
    made = parser("Test accuracy and time per step of every optimizer on the digits.")
    made.add_argument("--seeds", type=int, default=5, help="how many (default 5)")
    made.add_argument("--epochs", type=int, default=30, help="epochs of each run (default 30)")
    made.add_argument("--repeats", type=int, default=5, help="timings before each seed (default 5)")
    made.add_argument(
        "--write", action="store_true", help=f"also write docs/measurements/{PAGE.name}"
    )
    return made.parse_args()


def _trainer(name: str, dataset: Dataset, seed: int, batch_size: int | None = None) -> Trainer:
    """A fresh network and its Trainer; no batch size is all samples for those that mean all."""
    if batch_size is None and not OPTIMIZERS[name].full_batch:
        batch_size = BATCH_SIZE
    network = MultiLayerNet(dataset.train.x.shape[1], HIDDEN, dataset.classes, seed=seed)
    return Trainer(network, dataset.train, optimizer=name, batch_size=batch_size, seed=seed)


def _run(name: str, seed: int, dataset: Dataset, epochs: int) -> Result:
    """Train one network and evaluate it on the test samples."""
    trainer = _trainer(name, dataset, seed)
    for _ in trainer.run(epochs):
        pass
    _, accuracy = trainer.evaluate(dataset.test)
    return Result(name, seed, 100 * accuracy)


def _times(dataset: Dataset) -> list[tuple[str, int, float]]:
    """Name, batch size and microseconds of a step: all optimizers, and SGD on all samples."""
    which: list[tuple[str, int | None]] = [(name, None) for name in OPTIMIZERS]
    which.append(("sgd", len(dataset.train)))
    return [(name, *_time_of_a_step(name, size, dataset)) for name, size in which]


def _costs(times: Sequence[Sequence[tuple[str, int, float]]]) -> list[Cost]:
    """What `_times` came to, repeat by repeat."""
    return [
        Cost(column[0][0], column[0][1], min(us for *_, us in column), [us for *_, us in column])
        for column in zip(*times, strict=True)
    ]


def _time_of_a_step(name: str, batch_size: int | None, dataset: Dataset) -> tuple[int, float]:
    """Batch size and microseconds of a step: the first epoch's, or the first three on all samples.

    Every time it is a fresh network that trains, as L-BFGS has little to do once it has arrived.
    """
    trainer = _trainer(name, dataset, 0, batch_size)
    order = permutation(len(trainer.train), trainer.seed, "shuffle", 0)
    batches = [trainer.batches.gather(index) for index in trainer.batches.slices(order)]
    times = 3 if len(batches) == 1 else 1
    trainer.network.gradient(*batches[0])  # makes the memory that the network keeps
    start = time.perf_counter()
    for batch in times * batches:
        trainer.step(Batch(*batch))
    seconds = (time.perf_counter() - start) / (times * len(batches))
    return trainer.batches.batch_size, 1e6 * seconds


def _report(
    found: Mapping[str, Any],
    options: argparse.Namespace,
    results: Sequence[Result],
    costs: Sequence[Cost],
) -> str:
    """What is printed: the machine, the settings, the table and the verdict."""
    return (
        f"{machine_lines(found)}\n\n"
        f"{options.seeds} seeds, {options.epochs} epochs; "
        f"times: best of {len(costs[0].repeats)}.\n\n"
        f"{_table(results, costs)}\n\n{_verdict(results)}"
    )


def _table(results: Sequence[Result], costs: Sequence[Cost]) -> str:
    """A row for each optimizer, in the order of the package's table."""
    base = {cost.batch_size: cost.best for cost in costs if cost.optimizer == "sgd"}
    rows = []
    for name, kind in OPTIMIZERS.items():
        accuracies = [result.accuracy for result in results if result.optimizer == name]
        cost = next(cost for cost in costs if cost.optimizer == name)
        size = "all" if kind.full_batch else cost.batch_size
        mean, least = statistics.fmean(accuracies), min(accuracies)
        times = (f"{cost.best:,.1f}", f"{cost.best / base[cost.batch_size]:.2f}")
        rows.append((name, f"{kind().lr:g}", size, f"{mean:.2f}", f"{least:.2f}", *times))
    head = ("optimizer", "lr", "batch", "mean %", "min %", "µs per step", "times SGD")
    return table(head, rows)


def _verdict(results: Sequence[Result]) -> str:
    """Which optimizers stay below the mean that is wanted."""
    low = []
    for name in OPTIMIZERS:
        mean = statistics.fmean(result.accuracy for result in results if result.optimizer == name)
        if mean < WANTED:
            low.append(f"{name} ({mean:.2f})")
    return f"Mean below {WANTED:g} %: {', '.join(low) or 'none'}."


def _page(text: str, options: argparse.Namespace) -> str:
    """The page: what this module says of itself, and what it printed."""
    title, _, rest = (__doc__ or "").partition("\n")
    asked = "".join(
        f" --{name} {getattr(options, name)}"
        for name, usual in (("seeds", 5), ("epochs", 30), ("repeats", 5))
        if getattr(options, name) != usual
    )
    return (
        "<!-- Written by bench/optimizers_on_digits.py --write; edit that file, not this one. -->\n"
        f"# The optimizers on the digits\n\n{title}\n{rest}\n"
        f"    OPENBLAS_NUM_THREADS=1 python bench/optimizers_on_digits.py{asked} --write\n\n"
        f"{text}\n\n"
        "What the rules are and when to use them: [optimizers.md](../optimizers.md).\n"
    )


if __name__ == "__main__":
    main()
