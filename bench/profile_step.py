"""Where the time of a training step goes: microseconds for each of its operations.

    python bench/profile_step.py [--net NET ...] [--batch 100] [--threads 1] [--data-dir DIR]

The methods that a step calls are wrapped from outside; the library is as it is. What one wrapped
method spends in another counts for the other alone, so the figures add up to the whole, which is
set beside the time of the same steps without any wrapping. The images are MNIST's with
`--data-dir`, else random bytes in the same number. Epochs with and without wrapping take turns, and
the fastest of each counts.
"""

import argparse
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from lib import nets
from lib.children import without_blas_variables
from lib.page import page_parser, write_figures, write_section
from lib.report import machine, machine_lines, table

from scratchnet import MultiLayerNet, Samples, ScratchnetError, Trainer, load
from scratchnet.environment import limit_threads

ROWS = 60_000
STEPS = 300
"""Steps of an epoch, which is as many samples as they take."""
REST = "loop: order, slices, rates, counts"
WHOLE_STEP = "Trainer.step: finite check, calls"


class Clock:
    """Seconds and calls by name, those within other timed calls taken out."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._thread = threading.get_ident()
        self._inner = [0.0]  # seconds of the calls within the one that runs, by depth

    def wrap(self, owner: Any, method: str, name: str) -> None:
        """Time that method of one object under this name."""
        setattr(owner, method, self.timed(getattr(owner, method), name))

    def timed(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The same function, timed."""

        def wrapped(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread:  # its time is that of who waits for it
                return call(*arguments, **named)
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return call(*arguments, **named)
            finally:
                spent = time.perf_counter() - start
                self.seconds[name] += spent - self._inner.pop()
                self.calls[name] += 1
                self._inner[-1] += spent

        return wrapped

    def clear(self) -> None:
        """Begin anew."""
        self.seconds.clear()
        self.calls.clear()


def main() -> None:
    options = _arguments()
    without_blas_variables()
    found = machine()
    steps = [_profile(net, options) for net in options.net]
    figures = {"machine": found, "steps": steps}
    text = "\n\n".join(map(section, steps))
    print(f"{machine_lines(found)}\n\n{text}")
    if not options.dry_run:
        write_figures(options.json, "profile", figures)
        write_section(options.page, "profile", text)


def _arguments() -> argparse.Namespace:
    made = page_parser("Where the time of a training step goes.")
    made.add_argument("--net", nargs="+", default=["784-100-10"], help="default 784-100-10")
    made.add_argument("--batch", type=int, default=100, help="batch size (default 100)")
    made.add_argument("--threads", type=int, default=1, help="of BLAS (default 1)")
    made.add_argument("--optimizer", default="adam", help="by name (default adam)")
    made.add_argument("--repeats", type=int, default=20, help="epochs of each kind (default 20)")
    options = made.parse_args()
    try:
        for net in options.net:
            nets.sizes(net)
    except ValueError as error:
        made.error(f"--net: {error}")
    if options.repeats < 1 or not 1 <= options.batch <= ROWS:
        made.error(f"--repeats must be 1 or more, --batch 1 to {ROWS}")
    return options


def _profile(net: str, options: argparse.Namespace) -> dict[str, Any]:
    """The fastest epoch with the clock, operation by operation, and the fastest without."""
    try:
        samples = _samples(net, options)
        plain, clocked = (_trainer(net, samples, options) for _ in range(2))
    except ScratchnetError as error:
        raise SystemExit(str(error)) from None
    clock = Clock()
    _attach(clock, clocked)
    best, without = float("inf"), float("inf")
    for _ in range(options.repeats + 1):  # the first may be slow, it is never the fastest
        without = min(without, _epoch(plain))
        clock.clear()
        seconds = _epoch(clocked)
        if seconds < best:
            best, parts, calls = seconds, dict(clock.seconds), dict(clock.calls)
    steps = len(plain.batches)
    parts[REST] = best - sum(parts.values())
    return {
        "net": net,
        **{name: getattr(options, name) for name in ("batch", "threads", "optimizer")},
        "data": "mnist" if options.data_dir else "random bytes",
        "microseconds": {name: round(1e6 * spent / steps, 2) for name, spent in parts.items()},
        "calls": {name: calls.get(name, 0) / steps for name in parts},
        "whole": round(1e6 * best / steps, 2),
        "whole_without_clock": round(1e6 * without / steps, 2),
        "clock_per_call": round(_cost_of_clock(), 3),
        "gradient_dot_alone": round(_time_of_check(plain, options.threads), 2),
    }


def _samples(net: str, options: argparse.Namespace) -> Samples:
    """Bytes, ROWS of them or as many as MNIST has."""
    first, *_, last = nets.sizes(net)
    if options.data_dir:
        return load("mnist", home=options.data_dir).train
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (ROWS, first), dtype=np.uint8)
    return Samples(pixels, rng.integers(0, last, ROWS), scale=1 / 255)


def _trainer(net: str, samples: Samples, options: argparse.Namespace) -> Trainer:
    """A Trainer whose epoch has STEPS steps, or fewer where there are too few samples."""
    first, *hidden, last = nets.sizes(net)
    few = samples.first(min(STEPS * options.batch, len(samples)))
    return Trainer(
        MultiLayerNet(first, hidden, last),
        few,
        optimizer=options.optimizer,
        batch_size=options.batch,
        threads=options.threads,
    )


def _epoch(trainer: Trainer) -> float:
    """Seconds of the steps of one epoch."""
    (epoch,) = trainer.run(1)
    return epoch.seconds


def _attach(clock: Clock, trainer: Trainer) -> None:
    """Wrap everything that a step calls, in the order of the table."""
    network, loss = trainer.network, trainer.network.loss_layer
    clock.wrap(trainer.batches, "gather", "gather and scale the batch")
    for k, layer in enumerate(network.layers, 1):
        clock.wrap(layer, "forward", f"forward {k} {layer!r}")
    clock.wrap(loss, "compute", "loss: compute")
    clock.wrap(loss, "count_correct", "loss: count_correct")
    clock.wrap(loss, "backward", "loss: backward")
    for k, layer in reversed(list(enumerate(network.layers, 1))):
        if layer.shapes:
            clock.wrap(layer, "param_grads", f"param_grads {k} {layer!r}")
        clock.wrap(layer, "input_grad", f"input_grad {k} {layer!r}")
    clock.wrap(trainer.optimizer, "rule", f"optimizer: {type(trainer.optimizer).__name__}.rule")
    clock.wrap(trainer.optimizer, "update", "optimizer: update but for the rule")
    clock.wrap(network, "forward", "Network.forward: calls")
    clock.wrap(network, "backward", "Network.backward: calls")
    clock.wrap(network, "constrain", "Network.constrain")
    clock.wrap(trainer, "step", WHOLE_STEP)


def _cost_of_clock() -> float:
    """Microseconds that the clock itself adds to a call."""
    clock, calls = Clock(), 20_000
    bare = _nothing
    call = clock.timed(bare, "nothing")
    start = time.perf_counter()
    for _ in range(calls):
        call()
    wrapped = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(calls):
        bare()
    return 1e6 * (wrapped - (time.perf_counter() - start)) / calls


def _nothing() -> None: ...


def _time_of_check(trainer: Trainer, threads: int) -> float:
    """Microseconds of the gradient's product with itself, which is a part of `Trainer.step`."""
    g, times = trainer.network.gradient_vector, []
    with limit_threads(threads):
        for _ in range(1000):
            start = time.perf_counter()
            np.dot(g, g)
            times.append(time.perf_counter() - start)
    return 1e6 * min(times[100:])


def section(figures: Mapping[str, Any]) -> str:
    """The table, in the order of a step, and what it adds up to."""
    parts, calls, whole = (figures[name] for name in ("microseconds", "calls", "whole"))
    rows = [
        (name, f"{calls[name]:g}", f"{parts[name]:.1f}", f"{100 * parts[name] / whole:.1f} %")
        for name in sorted(parts, key=_place)
    ]
    rows.append(("sum: a step with the clock", "", f"{whole:.1f}", "100 %"))
    bare, threads = figures["whole_without_clock"], figures["threads"]
    rows.append(("a step without it", "", f"{bare:.1f}", f"{100 * bare / whole:.1f} %"))
    return (
        f"{figures['net']}, batches of {figures['batch']}, {figures['optimizer']}, {threads} "
        f"thread{'s' * (threads > 1)}, {figures['data']}; the clock adds "
        f"{figures['clock_per_call']:.2f} µs to a call; the finite check by itself takes "
        f"{figures['gradient_dot_alone']:.1f} µs.\n\n"
        + table(("operation", "calls a step", "µs a step", "share"), rows)
    )


def _place(name: str) -> int:
    """Where in a step it comes; names that are not listed keep their order among themselves."""
    first = ("gather", "forward", "loss: compute", "loss: count", "loss: back")
    later = ("param", "input", "optimizer", "Network", "Trainer", "loop")
    for place, start in enumerate((*first, *later)):
        if name.startswith(start):
            return place
    return len(first)


if __name__ == "__main__":
    main()
