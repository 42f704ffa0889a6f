"""Values that are not finite, put into training: noticed at once, named, and never saved.

NaN, inf and -inf are put into the input, what a layer gives, a gradient, a weight, or what the
optimizer remembers, at every step of a run that saves at every step. Training must stop at the step
that uses the value or at the next, say where, and leave the last good checkpoint as it is.
"""

import io
import math
import sys
import timeit
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import reader
import worker
from figures import Figure, folder, run, shout

from scratchnet import Adam, MultiLayerNet, Samples, Trainer, cli
from scratchnet.training import Batch
from scratchnet.training import Trainer as TheTrainer

VALUES = (math.nan, math.inf, -math.inf)
SITES = ("input", "activation", "gradient", "weight", "memory")
NETWORKS = ((784, [100], 10), (784, [512, 512], 10))


def poison(trainer: Trainer, site: str, value: float) -> Callable[[], object]:
    """Put the value in its place before the step that comes; returns what takes the trap away."""
    network = trainer.network
    if site == "weight":
        network.params["W2"][1, 2] = value
    elif site == "memory":
        trainer.optimizer.slot_values["vector"]["m"][-1] = value
    elif site == "gradient":
        return _after(network, "backward", lambda _: network.grads["W2"].fill(value))
    elif site == "activation":
        return _after(network.layers[1], "forward", lambda y: y.fill(value))
    return int


def _after(owner: Any, name: str, spoil: Callable[[Any], object]) -> Callable[[], object]:
    """Let a method of an object spoil what it has made."""
    method = getattr(owner, name)

    def spoiling(*arguments: Any, **options: Any) -> Any:
        made = method(*arguments, **options)
        spoil(made)
        return made

    setattr(owner, name, spoiling)
    return lambda: delattr(owner, name)


def inject(where: Path, site: str, value: float, at: int, kind: int) -> str | None:
    """A run of the command line with a trap before step `at`: what went wrong, or None."""
    path = where / f"run-{site}-{value}-{at}-{kind}"
    visit = TheTrainer.step

    def step(self: Trainer, batch: Batch) -> tuple[float, int]:
        if self.steps + 1 != at:
            return visit(self, batch)
        if site == "input":
            batch = batch._replace(x=np.full_like(batch.x, value))
        trap = poison(self, site, value)
        try:
            return visit(self, batch)
        finally:
            trap()

    options = ["--out", str(path), "--save-every", "1", "--quiet", *KINDS[kind]]
    arguments = [*worker.COMMON, *options]
    arguments[arguments.index("set.npz")] = str(where / "set.npz")
    sys.argv, said = ["train.py"], io.StringIO()
    TheTrainer.step = step  # type: ignore[method-assign]
    try:
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            code = cli.main(arguments)
    finally:
        TheTrainer.step = visit  # type: ignore[method-assign]
    heard = said.getvalue()
    if code != 5 or heard.count("\n") != 1:
        return f"exit status {code}: {heard}"
    if not any(f"step {k}:" in heard for k in (at, at + 1)) or "not finite" not in heard:
        return f"another step, or no place: {heard}"
    last = 0
    for file in path.glob("*.npz"):
        arrays, header = reader.read(file)
        if not all(np.isfinite(array).all() for array in arrays.values()):
            return f"{file.name} holds what is not finite"
        last = max(last, header.get("trainer", {}).get("steps", 0))
    return None if last in (at - 1, at) else f"the last good checkpoint is of step {last}"


KINDS: tuple[list[str], ...] = (["--activation", "relu"], ["--activation", "tanh", "--l2", "0.01"])


def cost(n_in: int, hidden: list[int], n_out: int) -> tuple[float, float]:
    """Seconds of a step with a batch of 100, and of the check within it; the best of many."""
    rng = np.random.default_rng(0)
    x, t = rng.random((1000, n_in)).astype(np.float32), rng.integers(0, n_out, 1000)
    trainer = Trainer(MultiLayerNet(n_in, hidden, n_out), Samples(x, t), optimizer=Adam())
    batch = Batch(*trainer.batches.gather(np.arange(100)))
    g = trainer.network.gradient_vector
    step = min(timeit.repeat(lambda: trainer.step(batch), number=5, repeat=40)) / 5
    return step, min(timeit.repeat(lambda: math.isfinite(np.dot(g, g)), number=20, repeat=40)) / 20


def injections(count: int, seed: int) -> Figure:
    """About `count` injections, spread over sites, values, steps and kinds of network."""
    everything = list(product(SITES, VALUES, range(2, worker.STEPS + 1), range(len(KINDS))))
    order = np.random.default_rng(seed).permutation(len(everything))[:count]
    wrong: Counter[str] = Counter()
    with folder(memory=True) as where:
        worker.prepare(where)
        for k in order:
            why = inject(where, *everything[k])
            if why is not None:
                wrong[everything[k][0]] += 1
                shout(f"{everything[k]}: {why}")
    promise = f"NaN, inf or -inf: {', '.join(SITES)}; stops at once, exit 5"
    return Figure(promise, wrong.total(), len(order), complete=len(order) == len(everything))


def measure(count: int, seed: int) -> list[Figure]:
    """About `count` injections, and what the check costs."""
    found = [injections(count, seed)]
    for sizes in NETWORKS:
        step, check = cost(*sizes)
        names = "-".join(map(str, (sizes[0], *sizes[1], sizes[2])))
        share = f"{1e6 * check:.1f} of {1e6 * step:.0f} us, {100 * check / step:.2f} % of a step"
        promise = f"the check at {names}, batch 100, is at most 1 %"
        found.append(Figure(promise, int(check > step / 100), 1, share))
    return found


if __name__ == "__main__":
    sys.exit(run(measure, 2000, __doc__))
