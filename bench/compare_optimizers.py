"""Train MNIST with six optimizers as chapter 6 of the book does, and compare with its figures.

784-100-100-100-100-10, He weights, ReLU, mini-batches of 128, 2,000 updates, default rates. Within
a seed every optimizer starts from the same weights and sees the same batches. The figures are the
mean of the last 100 losses, each taken before its update, and the accuracy on all test images.

The reference are three runs of the book's own classes in float64, each optimizer from weights of
its own. `--draws` says how weights and batches come about:

- epochs: as everywhere in scratchnet; an epoch visits every sample once in a new order, and its
  last batch is shorter.
- replacement: every batch is drawn anew from all samples, as the book does.
- book: with replacement, and the very weights and batches of the reference runs. Then, with
  `--dtype float64`, the figures are to be the reference's own, as far as rounding allows.
"""

import argparse
import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType

import numpy as np
from lib.report import machine, machine_lines, parser, table, write_json

from scratchnet import MultiLayerNet, Samples, Trainer, load
from scratchnet.optimizers import OPTIMIZERS
from scratchnet.randomness import generator, permutation
from scratchnet.training import Batch

HIDDEN = (100, 100, 100, 100)
BATCH_SIZE = 128
STEPS = 2000
LAST = 100

# Loss and test accuracy of the book's classes, three seeds, printed to four decimals.
BOOK_LOSSES = {
    "sgd": (0.2208, 0.2278, 0.2377),
    "momentum": (0.0680, 0.0727, 0.0715),
    "nesterov": (0.0688, 0.0702, 0.0745),
    "adagrad": (0.0579, 0.0530, 0.0558),
    "rmsprop": (0.1467, 0.1559, 0.1519),
    "adam": (0.0518, 0.0477, 0.0495),
}
BOOK_ACCURACIES = {
    "sgd": (0.9332, 0.9311, 0.9304),
    "momentum": (0.9679, 0.9678, 0.9674),
    "nesterov": (0.9695, 0.9690, 0.9705),
    "adagrad": (0.9686, 0.9699, 0.9718),
    "rmsprop": (0.9569, 0.9603, 0.9489),
    "adam": (0.9707, 0.9730, 0.9695),
}
BOOK_ORDER = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "rmsprop 0.001", "adam")
"""In which order the reference runs drew their networks' weights."""
SLACK = 0.00005
"""Half a unit of the fourth decimal, to which the reference is known."""


@dataclass(frozen=True)
class Result:
    """What one run came to."""

    optimizer: str
    seed: int
    loss: float
    accuracy: float


def main() -> None:
    options = _arguments()
    found = machine()
    print(f"{machine_lines(found)}\n", flush=True)
    train, test = load("mnist", home=options.data_dir)
    results = [
        _run(name, seed, train, test, options)
        for seed in range(options.seeds)
        for name in BOOK_LOSSES
    ]
    what = f"{options.seeds} seeds, {options.steps:,} steps, {options.dtype}"
    print(f"{what}; draws: {options.draws}.\n")
    print(_seed_table(results) if options.seeds <= 5 else _spread_table(results))
    write_json(
        options.json,
        {
            "machine": found,
            "draws": options.draws,
            "dtype": options.dtype,
            "steps": options.steps,
            "results": [asdict(result) for result in results],
        },
    )


def _arguments() -> argparse.Namespace:
    made = parser("Six optimizers on MNIST by the book's protocol, beside the book's figures.")
    made.add_argument("--seeds", type=int, default=3, help="how many (default 3); above 5: spread")
    made.add_argument("--steps", type=int, default=STEPS, help=f"updates (default {STEPS})")
    made.add_argument("--draws", choices=tuple(DRAWS), default="epochs", help="see the module")
    made.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    return made.parse_args()


def _run(
    name: str, seed: int, train: Samples, test: Samples, options: argparse.Namespace
) -> Result:
    """Train one network for `options.steps` updates and evaluate it."""
    network = MultiLayerNet(784, HIDDEN, 10, initializer="he", seed=seed, dtype=options.dtype)
    optimizer = OPTIMIZERS[name]()  # its default rate: 0.01, Adam 0.001
    trainer = Trainer(network, train, optimizer=optimizer, batch_size=BATCH_SIZE, seed=seed)
    indices = itertools.islice(DRAWS[options.draws](trainer, name), options.steps)
    losses = [trainer.step(Batch(*trainer.batches.gather(index)))[0] for index in indices]
    _, accuracy = trainer.evaluate(test)
    return Result(name, seed, statistics.fmean(losses[-LAST:]), accuracy)


def _by_epochs(trainer: Trainer, _: str) -> Iterator[np.ndarray]:
    """The batches of `Trainer.run`: every sample once an epoch, the last batch as short as left."""
    for epoch in itertools.count():
        order = permutation(len(trainer.train), trainer.seed, "shuffle", epoch)
        yield from trainer.batches.slices(order)


def _with_replacement(trainer: Trainer, _: str) -> Iterator[np.ndarray]:
    """BATCH_SIZE samples drawn anew from all, for ever."""
    rng = generator(trainer.seed, "shuffle")
    while True:
        yield rng.integers(len(trainer.train), size=BATCH_SIZE)


def _as_the_book(trainer: Trainer, name: str) -> Iterator[np.ndarray]:
    """Give the network the reference run's weights, then draw that run's batches, for ever.

    One legacy stream: the weights of seven networks, one after the other, then the batches.
    """
    rng = np.random.RandomState(trainer.seed)
    params = trainer.network.params
    weights = [params[f"W{k}"] for k in range(1, len(HIDDEN) + 2)]
    for owner in BOOK_ORDER:
        for W in weights:
            drawn = rng.randn(*W.shape) * math.sqrt(2 / len(W))
            if owner == name:
                W[:] = drawn
    while True:
        yield rng.choice(len(trainer.train), BATCH_SIZE)


Draw = Callable[[Trainer, str], Iterator[np.ndarray]]

DRAWS: Mapping[str, Draw] = MappingProxyType(
    {"epochs": _by_epochs, "replacement": _with_replacement, "book": _as_the_book}
)


def _distance(value: float, reference: Sequence[float]) -> str:
    """Say "inside" the reference's range, or how far below (-) or above (+) it."""
    low, high = min(reference) - SLACK, max(reference) + SLACK
    if low <= value <= high:
        return "inside"
    return f"{value - (low if value < low else high):+.4f}"


def _range(reference: Sequence[float]) -> str:
    return f"{min(reference):.4f}..{max(reference):.4f}"


def _seed_table(results: Sequence[Result]) -> str:
    """A row for each optimizer and seed, beside the range of the book's three seeds."""
    rows = []
    for name, reference in BOOK_LOSSES.items():
        accuracies = BOOK_ACCURACIES[name]
        for one in (result for result in results if result.optimizer == name):
            loss = (f"{one.loss:.4f}", _range(reference), _distance(one.loss, reference))
            accuracy = (
                f"{one.accuracy:.4f}",
                _range(accuracies),
                _distance(one.accuracy, accuracies),
            )
            rows.append((name, one.seed, *loss, *accuracy))
    head = ("optimizer", "seed", "loss", "book", "loss is", "accuracy", "book", "accuracy is")
    return table(head, rows)


def _spread_table(results: Sequence[Result]) -> str:
    """Mean, deviation and range of many seeds, and how far the means lie apart.

    The last column of each figure is Welch's t: the difference of the two means in units of its
    standard error; with three runs on one side only |t| above about 4 says something.
    """
    rows = []
    for name, losses in BOOK_LOSSES.items():
        mine = [result for result in results if result.optimizer == name]
        loss = _spread([result.loss for result in mine], losses)
        accuracy = _spread([result.accuracy for result in mine], BOOK_ACCURACIES[name])
        rows.append((name, *loss, *accuracy))
    head = ("mean ± sd", "min..max", "book's mean", "t")
    return table(
        ("optimizer", *(f"loss {text}" for text in head), *(f"accuracy {text}" for text in head)),
        rows,
    )


def _spread(values: Sequence[float], reference: Sequence[float]) -> tuple[str, str, str, str]:
    """Four cells: mean ± sd of ours, their range, the book's mean, Welch's t."""
    mean, other = statistics.fmean(values), statistics.fmean(reference)
    variance, other_variance = statistics.variance(values), statistics.variance(reference)
    error = math.sqrt(variance / len(values) + other_variance / len(reference))
    return (
        f"{mean:.4f} ± {math.sqrt(variance):.4f}",
        _range(values),
        f"{other:.4f}",
        f"{(mean - other) / error:+.1f}",
    )


if __name__ == "__main__":
    main()
