"""Compare scratchnet's accuracy on the digits with scikit-learn's MLPClassifier, settings equal.

One hidden layer of 100 ReLU units, Adam at 0.001, batches of 100, a fixed number of epochs without
early stopping or penalty, the same float32 arrays. scikit-learn draws Glorot-uniform weights and
biases, so scratchnet runs with `he`, its default, and with `xavier-uniform`, the same but for the
biases, which start at 0.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import sklearn
from lib.report import machine, machine_lines, parser, table, write_json
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from scratchnet import Dataset, MultiLayerNet, Trainer, load

HIDDEN = 100
LR = 0.001
BATCH_SIZE = 100
ALLOWED = 0.3  # percentage points that scratchnet's mean may lie below
SKLEARN = "scikit-learn"
INITIALIZERS = ("he", "xavier-uniform")


@dataclass(frozen=True)
class Result:
    """What one run came to; `accuracy` in per cent of the test samples."""

    system: str
    seed: int
    accuracy: float
    seconds: float


def main() -> None:
    options = _arguments()
    found = machine()
    print(machine_lines(found))
    print(f"- scikit-learn {sklearn.__version__}\n", flush=True)
    results = []
    for seed in range(options.seeds):
        dataset = load("digits", seed=seed if options.split_by_seed else 0)
        results += [_scratchnet(name, dataset, seed, options.epochs) for name in INITIALIZERS]
        results.append(_sklearn(dataset, seed, options.epochs))
    split = "another for each seed" if options.split_by_seed else "the default one of load()"
    print(f"{options.seeds} seeds, {options.epochs} epochs; 80/20 split: {split}.\n")
    print(_table(results))
    print(f"\n{_verdict(results)}")
    write_json(
        options.json,
        {
            "machine": found,
            "epochs": options.epochs,
            "split_by_seed": options.split_by_seed,
            "results": [asdict(result) for result in results],
        },
    )


def _arguments() -> argparse.Namespace:
    made = parser("Test accuracy on the digits, scratchnet against scikit-learn.")
    made.add_argument("--seeds", type=int, default=10, help="how many (default 10)")
    made.add_argument("--epochs", type=int, default=50, help="epochs of each run (default 50)")
    made.add_argument(
        "--split-by-seed", action="store_true", help="another 80/20 split for each seed"
    )
    return made.parse_args()


def _scratchnet(initializer: str, dataset: Dataset, seed: int, epochs: int) -> Result:
    """One training run of scratchnet."""
    start = time.perf_counter()
    network = MultiLayerNet(64, [HIDDEN], 10, initializer=initializer, seed=seed)
    trainer = Trainer(
        network, dataset.train[:], optimizer="adam", lr=LR, batch_size=BATCH_SIZE, seed=seed
    )
    for _ in trainer.run(epochs):
        pass
    seconds = time.perf_counter() - start
    accuracy = network.accuracy(*dataset.test[:])
    return Result(f"scratchnet, {initializer}", seed, 100 * accuracy, seconds)


def _sklearn(dataset: Dataset, seed: int, epochs: int) -> Result:
    """One training run of scikit-learn, kept from stopping before its last epoch."""
    x, t = dataset.train[:]
    start = time.perf_counter()
    model = MLPClassifier(
        (HIDDEN,),
        solver="adam",
        learning_rate_init=LR,
        batch_size=BATCH_SIZE,
        alpha=0.0,
        max_iter=epochs,
        tol=0.0,
        n_iter_no_change=epochs + 1,
        early_stopping=False,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # what max_iter is there for
        model.fit(x, t)
    seconds = time.perf_counter() - start
    x_test, t_test = dataset.test[:]
    accuracy = float(np.mean(model.predict(x_test) == t_test))
    return Result(SKLEARN, seed, 100 * accuracy, seconds)


def _systems(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of each system, in the order of their seeds."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.system, []).append(result)
    return found


def _table(results: Sequence[Result]) -> str:
    """A row for each system; the difference to scikit-learn is taken seed by seed."""
    by_system = _systems(results)
    reference = by_system[SKLEARN]
    rows = []
    for system, runs in by_system.items():
        accuracies = [run.accuracy for run in runs]
        difference = "–"
        if system != SKLEARN:
            pairs = zip(runs, reference, strict=True)
            difference = _mean_sd([run.accuracy - other.accuracy for run, other in pairs], "+.2f")
        spread = f"{min(accuracies):.2f}..{max(accuracies):.2f}"
        seconds = statistics.median(run.seconds for run in runs)
        rows.append((system, _mean_sd(accuracies, ".2f"), spread, difference, f"{seconds:.3f}"))
    head = ("system", "test accuracy %", "min..max", "minus scikit-learn", "seconds (median)")
    return table(head, rows)


def _verdict(results: Sequence[Result]) -> str:
    """Whether each initializer's mean is at most ALLOWED points below scikit-learn's."""
    means = {
        system: statistics.fmean(run.accuracy for run in runs)
        for system, runs in _systems(results).items()
    }
    low = [name for name, mean in means.items() if means[SKLEARN] - mean > ALLOWED]
    return f"More than {ALLOWED} points below {SKLEARN}: {', '.join(low) or 'none'}."


def _mean_sd(values: Sequence[float], form: str) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):{form}} ± {deviation:.2f}"


if __name__ == "__main__":
    main()
