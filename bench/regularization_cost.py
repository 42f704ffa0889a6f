"""What regularisation costs: the time of a step, or an epoch, with it over that without.

Dropout, noise, batch normalization and max-norm at 784-512-512-10 with batches of 128, and
augmentation at 784-1000-500-10 with batches of 250, on MNIST, Adam, float32, one thread. The
ways are run in turn, in rounds; each way's time is its best.
"""

import time
from collections.abc import Callable
from typing import Any

from lib.report import machine, machine_lines, parser, table, write_json

from scratchnet import MultiLayerNet, Trainer, load
from scratchnet.data import make_augmentation
from scratchnet.environment import limit_threads

ROUNDS = 7
STEPS = 40
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dropout 0.5": {"dropout": 0.5},
    "input dropout 0.2 and dropout 0.5": {"dropout": 0.5, "input_dropout": 0.2},
    "noise 0.5": {"noise": 0.5},
    "batch norm": {"batch_norm": True},
    "layer norm": {"layer_norm": True},
    "max-norm 3": {"max_norm": 3.0},
    "label smoothing 0.1": {"label_smoothing": 0.1},
}
AUGMENTED: dict[str, dict[str, Any]] = {
    "plain": {},
    "shift": {"shift": 2},
    "shift, rotate, scale, shear": {"shift": 2, "rotate": 10, "scale": 0.1, "shear": 0.1},
    "all of these and elastic": {
        **{"shift": 2, "rotate": 10, "scale": 0.1, "shear": 0.1},
        "elastic": [34, 5],
    },
    "erase": {"erase": 0.5},
}


def main() -> None:
    options = parser(__doc__ or "").parse_args()
    found = machine()
    print(machine_lines(found), "\n")
    train, _ = load("mnist", home=options.data_dir)
    steps = {name: _steps(train, [512, 512], 128, way, {}) for name, way in WAYS.items()}
    batches = {name: _steps(train, [1000, 500], 250, {}, a) for name, a in AUGMENTED.items()}
    with limit_threads(1):
        of_steps, of_batches = _times(steps), _times(batches)
    for title, times in (
        ("784-512-512-10, batch 128", of_steps),
        ("784-1000-500-10, batch 250", of_batches),
    ):
        rows = [
            [name, f"{seconds * 1000:.2f}", f"{seconds / times['plain']:.2f}"]
            for name, seconds in times.items()
        ]
        print(table([title, "ms per step", "relative"], rows), "\n")
    write_json(options.json, {"machine": found, "steps": of_steps, "batches": of_batches})


def _steps(
    train: Any, hidden: list[int], batch: int, network: dict[str, Any], distort: dict[str, Any]
) -> Callable[[], None]:
    """What runs STEPS steps, the gathering of the batch and its augmentation included."""
    augment = make_augmentation((28, 28), **distort) if distort else None
    part = train.first(batch * STEPS)
    net = MultiLayerNet(784, hidden, 10, **network)
    trainer = Trainer(net, part, batch_size=batch, augment=augment, threads=None)
    return lambda: next(iter(trainer.run(1))) and None


def _times(ways: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Seconds of a step of each way, the best of ROUNDS rounds."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], (time.perf_counter() - start) / STEPS)
    return best


if __name__ == "__main__":
    main()
