"""Compiled loops beside NumPy: each rule, each activation, and threads on a busy machine.

    python bench/loops.py [--dry-run]

Loops and NumPy take turns; times are the best of many. What was found goes to loops.md in
docs/measurements. The shares of other systems are those of speed.py.
"""

import contextlib
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from lib.children import without_blas_variables
from lib.page import DOCS, page_parser, write_section
from lib.report import machine, machine_lines, table

from scratchnet import MultiLayerNet, Samples, Trainer, loops
from scratchnet.environment import limit_threads
from scratchnet.layers import ACTIVATIONS, Affine
from scratchnet.layers.elementwise import Elementwise
from scratchnet.networks import Network
from scratchnet.optimizers import OPTIMIZERS
from scratchnet.optimizers.loops import find_rule

PAGE = DOCS / "loops.md"
PARAMETERS = 79_510
ROUNDS = 40
SECONDS = 6.0
"""For each pair of a net and a number of busy processes."""


def main() -> None:
    """Measure all, print it, and write the page."""
    options = page_parser(__doc__).parse_args()
    without_blas_variables()
    if loops.compiled() is None:
        raise SystemExit(f"there are no loops here: {loops.describe()}")
    about = f"{machine_lines(machine())}\n\nLoops: {loops.describe()}."
    sections = {"machine": about, "rules": rules(), "activations": activations()}
    sections["threads"] = threads()
    for name, text in sections.items():
        print(f"\n{text}", flush=True)
        if not options.dry_run:
            write_section(PAGE, name, text)


def in_turn(make: Callable[[], Callable[[], object]]) -> tuple[float, float]:
    """The best microseconds of what `make` gives, with loops and without, in turns."""
    best = [np.inf, np.inf]
    ours = make()
    with loops.without():
        numpys = make()
    for _ in range(ROUNDS):
        for k, (run, how) in enumerate(
            ((ours, contextlib.nullcontext()), (numpys, loops.without()))
        ):
            with how:
                run()
                start = time.perf_counter()
                run()
                best[k] = min(best[k], time.perf_counter() - start)
    return best[0] * 1e6, best[1] * 1e6


def rules() -> str:
    """A step of every rule that has a loop."""
    rows = []
    for name, kind in OPTIMIZERS.items():
        if find_rule(kind()) is None:
            continue
        cells: list[str] = []
        for dtype in ("float32", "float64"):

            def make(kind: type = kind, dtype: str = dtype) -> Callable[[], object]:
                rng = np.random.default_rng(0)
                network = MultiLayerNet(784, [100], 10, dtype=dtype)
                network.gradient_vector[...] = rng.standard_normal(PARAMETERS)
                optimizer = kind()
                return lambda: optimizer.update(network.params, network.grads)

            ours, numpys = in_turn(make)
            cells += [f"{numpys:.0f}", f"{ours:.0f}", f"{numpys / ours:.1f}"]
        rows.append((name, *cells))
    head = ("rule", *(f"{what}, {d}" for d in ("float32", "float64") for what in COLUMNS))
    return table(head, rows)


COLUMNS = ("NumPy", "loop", "times")


def activations() -> str:
    """Values and derivatives of 128 x 100 numbers."""
    rows = []
    for name, kind in ACTIVATIONS.items():
        if not issubclass(kind, Elementwise):
            continue
        cells: list[str] = []
        for way in ("forward", "input_grad"):

            def make(kind: type = kind, way: str = way) -> Callable[[], object]:
                x = np.random.default_rng(0).standard_normal((128, 100)).astype("float32")
                layer = kind()
                Network([Affine(100, 100), layer])
                layer.forward(x)
                return lambda: getattr(layer, way)(x)

            ours, numpys = in_turn(make)
            cells += [f"{numpys:.0f}", f"{ours:.0f}"]
        rows.append((name, *cells))
    return table(("activation", "value, NumPy", "loop", "derivative, NumPy", "loop"), rows)


def threads() -> str:
    """Seconds of an epoch with one thread and with two, beside processes that do nothing useful."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20_000, 784), dtype=np.uint8)
    pixels[rng.random(pixels.shape) < 0.8] = 0
    samples = Samples(pixels, rng.integers(0, 10, 20_000), scale=1 / 255)
    rows = []
    for busy, hidden in itertools.product((0, 1, 2), ([100], [512, 512])):
        with busy_processes(busy):
            trainers = [
                Trainer(MultiLayerNet(784, hidden, 10), samples, batch_size=128, threads=n)
                for n in (1, 2)
            ]
            taken: list[list[float]] = [[], []]
            end = time.perf_counter() + SECONDS
            while time.perf_counter() < end:
                for k, trainer in enumerate(trainers):
                    start = time.perf_counter()
                    next(trainer.run(1))
                    taken[k].append(time.perf_counter() - start)
        one, two = map(statistics.fmean, taken)
        net = "-".join(map(str, [784, *hidden, 10]))
        rows.append((net, busy, f"{one * 1e3:.0f}", f"{two * 1e3:.0f}", f"{two / one:.2f}"))
    head = ("net, batches of 128", "busy processes", "1 thread, ms", "2 threads, ms", "share")
    return table(head, rows)


@contextlib.contextmanager
def busy_processes(n: int) -> Iterator[None]:
    """Inside of it so many processes compute without an end."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


if __name__ == "__main__":
    with limit_threads(1):
        main()
