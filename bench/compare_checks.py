"""Is a comparison honest? Tuned SGD beside Adam, and a copy of SGD under another name.

    python bench/compare_checks.py --data-dir DIR

1. 784-[100]x4-10 on MNIST, 2,000 steps of 108, both rates tuned on a grid, five seeds: the book's
   figure for this network, with untuned rates, makes SGD look far behind.
2. SGD and a copy of it, tuned alike, 40 times with new seeds: in how many is "no difference shown"?
   Once with the same seeds, where they must agree to the bit, and once with other seeds for the
   copy, where the test alone can keep it from a wrong verdict.
"""

import argparse

from scratchnet import MultiLayerNet, load
from scratchnet.compare import Comparison, Trial, compare
from scratchnet.optimizers import SGD

REPETITIONS = 40
SEEDS = 5


def main() -> None:
    """Measure both and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="where the MNIST files are")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    tuned_sgd_beside_adam(arguments)
    renamed_copies(arguments)


def tuned_sgd_beside_adam(arguments: argparse.Namespace) -> None:
    mnist = load("mnist", home=arguments.data_dir)
    network = MultiLayerNet(784, [100] * 4, 10)
    options = {"epochs": 4, "batch_size": 108, "seeds": SEEDS, "jobs": arguments.jobs}
    grid = [10.0 ** (k / 2) for k in range(-8, 1)]
    for name, rates in (("tuned on 1e-4 to 1", grid), ("default rates", None)):
        found = compare(["sgd", "adam"], mnist, network, lr_grid=rates, **options)
        print(f"784-[100]x4-10, {found.trials[0].history[-1].steps} steps, {name}:")
        print(found, "\n")


def renamed_copies(arguments: argparse.Namespace) -> None:
    digits, network = load("digits"), MultiLayerNet(64, [50], 10)
    same = other = 0
    for k in range(REPETITIONS):
        seeds = range(2 * SEEDS * k, 2 * SEEDS * (k + 1))
        options = {"epochs": 10, "lr_grid": [0.03, 0.1, 0.3], "jobs": arguments.jobs}
        twins = {"sgd": SGD(), "renamed": SGD()}
        found = compare(twins, digits, network, seeds=seeds[:SEEDS], **options)
        same += found.differences()[0]["verdict"] == "no difference shown"
        copies = compare({"renamed": SGD()}, digits, network, seeds=seeds[SEEDS:], **options)
        moved = tuple(
            Trial(**{**vars(trial), "seed": trial.seed - SEEDS}) for trial in copies.trials
        )
        apart = Comparison((*found.of("sgd"), *moved), (), None)
        other += apart.differences()[0]["verdict"] == "no difference shown"
    for what, count in (("the same seeds", same), ("other seeds", other)):
        print(f"a renamed copy of SGD with {what}: no difference shown in {count} of {REPETITIONS}")


if __name__ == "__main__":
    main()
