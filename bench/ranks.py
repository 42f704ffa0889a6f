"""Does a second rank pay? Seconds per step on 1 and 2 ranks, and a model that says when.

    python bench/ranks.py --data-dir DIR

Every measurement is a process, or two, of its own (`ranks_worker.py`), one BLAS thread each; the
repeats are interleaved and the best counts. The model knows of two ranks nothing but the time of an
Allreduce by itself. Writes scaling.json and its tables in scaling.md, in docs/measurements.
"""

import argparse
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from lib import children
from lib.page import DOCS, page_parser, write_figures, write_section
from lib.report import THREAD_VARIABLES, machine_lines, table

WORKER = Path(__file__).parent / "lib" / "ranks_worker.py"
NETS = ("784-50-10", "784-100-10", "784-512-512-10", "784-1024-1024-10")
BATCHES = (128, 256, 512, 1024)
FITTED = (64, 128, 256, 512, 1024)
"""Batches at one rank that the two constants of a net are fitted to."""
BYTES = tuple(1 << k for k in range(3, 25))
"""Sizes of the sums that latency and bandwidth are fitted to."""
GOAL_NET, GOAL_BATCH, GOAL = "784-1024-1024-10", 1024, 1.6
ALLOWED = 0.2
"""How far the model may be from what is measured."""
NETWORKS = {
    "100 Gbit/s InfiniBand": (2e-6, 11e9),
    "10 Gbit/s Ethernet": (30e-6, 1.1e9),
}
"""Seconds of latency and bytes a second between machines, assumed, not measured."""
PLANNED = (8, 32, 128, 1000)
PROCESSES = {
    "digits, 64-50-10, 20 epochs": ("--hidden", "50", "--epochs", "20"),
    "MNIST, 784-50-10, batches of 100, 1 epoch": ("--hidden", "50", "--dataset", "mnist"),
    "MNIST, 784-50-10, batches of 100, 10 epochs": (
        *("--hidden", "50", "--dataset", "mnist", "--epochs", "10"),
    ),
    "MNIST, 784-1024-1024-10, batches of 1,024, 3 epochs": (
        *("--hidden", "1024,1024", "--batch-size", "1024", "--dataset", "mnist", "--epochs", "3"),
    ),
}
"""Commands of whole runs, from the shell to the end; 1 epoch where none is given."""


def main() -> None:
    options = _arguments()
    mpiexec = _mpiexec()
    figures = {
        "machine": children.machine_of_children(),
        "mpi": _mpi(),
        **_measure(options, mpiexec),
    }
    texts = sections(figures)
    print("\n\n".join(texts.values()))
    if not (options.dry_run or options.quick):
        write_figures(options.json, "ranks", figures)
        for name, text in texts.items():
            write_section(options.page, name, text)


def _arguments() -> argparse.Namespace:
    made = page_parser("Does a second rank pay?")
    made.set_defaults(json=DOCS / "scaling.json", page=DOCS / "scaling.md")
    made.add_argument("--repeats", type=int, default=5, help="runs of each point (default 5)")
    made.add_argument("--quick", action="store_true", help="every point once; writes nothing")
    options = made.parse_args()
    options.repeats = 1 if options.quick else options.repeats
    if options.repeats < 1:
        made.error("--repeats must be 1 or more")
    return options


def _mpiexec() -> str:
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise SystemExit("there is no mpiexec; pip install -e '.[mpi]'")
    return found


def _mpi() -> str:
    code = (
        "import mpi4py, json; from mpi4py import MPI; "
        "print(json.dumps([mpi4py.__version__, *map(str, MPI.get_vendor())]))"
    )
    ours, name, version = children.run_json([sys.executable, "-c", code])
    return f"mpi4py {ours}, {name} {version}"


# Measuring.


def _measure(options: argparse.Namespace, mpiexec: str) -> dict[str, Any]:
    """The seconds of all repeats, by net, batch and way."""
    points = [
        *((net, batch, 1, "step") for net in NETS for batch in FITTED),
        *((net, batch, 2, way) for net in NETS for batch in BATCHES for way in ("step", "overlap")),
    ]
    seconds: dict[tuple[str, int, int, str], list[float]] = {point: [] for point in points}
    sums, whole = [], {}
    for repeat in range(options.repeats):
        shift = repeat * len(points) // options.repeats
        for net, batch, ranks, way in points[shift:] + points[:shift]:
            job = {"what": way, "net": net, "batch": batch, "epochs": 4}
            job["data_dir"] = options.data_dir
            seconds[net, batch, ranks, way].append(_run(mpiexec, ranks, job))
        for name, words in PROCESSES.items():
            for ranks in (1, 2):
                whole.setdefault(f"{name}: {ranks}", []).append(
                    _run_whole(mpiexec, ranks, words, options.data_dir)
                )
        sums.append(_run(mpiexec, 2, {"what": "sums", "bytes": BYTES, "repeats": 200}))
        print(f"repeat {repeat + 1} of {options.repeats} is done", file=sys.stderr, flush=True)
    rows = [
        {"net": net, "batch": batch, "ranks": ranks, "way": way, "seconds": found}
        for (net, batch, ranks, way), found in seconds.items()
    ]
    return {"rows": rows, "bytes": BYTES, "sums": sums, "whole": whole}


def _run_whole(mpiexec: str, ranks: int, words: Sequence[str], data_dir: str | None) -> float:
    """Seconds of a command line as a user types it, or the same on ranks."""
    with tempfile.TemporaryDirectory() as folder:
        data = [] if data_dir is None else ["--data-dir", data_dir]
        train = [str(children.ROOT / "train.py"), "--epochs", "1"]
        train = train[: 1 if "--epochs" in words else 3]
        asked = [*train, *words, *data, "--quiet", "--no-report", "--out", f"{folder}/run"]
        command = [sys.executable, *asked]
        if ranks > 1:
            python = [sys.executable, "-m", "mpi4py"]
            command = [mpiexec, "-n", str(ranks), *python, *asked, "--parallel", "mpi"]
        done = children.run(command)
    if done.status:
        raise SystemExit(f"train.py failed: {done.reason}")
    return done.seconds


def _run(mpiexec: str, ranks: int, job: Mapping[str, Any]) -> Any:
    """What a worker printed; one rank is a process without MPI, on one processor."""
    command = [sys.executable, str(WORKER), json.dumps(job)]
    if ranks == 1:
        return children.run_json(command, 1)
    one_thread = dict.fromkeys(THREAD_VARIABLES, "1")
    done = children.run([mpiexec, "-n", str(ranks), *command], None, one_thread)
    if done.status:
        raise SystemExit(f"{WORKER.name} failed: {done.reason}")
    return json.loads(done.output)


# The model.


class Model:
    """Seconds of a step on r ranks: u + a B / r + an Allreduce of the gradient and of 16 bytes.

    u and a are fitted to one rank at several batches, latency and bandwidth to the sums alone.
    """

    def __init__(self, figures: Mapping[str, Any]) -> None:
        self.rows = figures["rows"]
        best = np.min(figures["sums"], axis=0)
        # t = 2 latency + bytes / bandwidth, there and back; each size with the same weight.
        twice, per_byte = _fit(figures["bytes"], best)
        self.latency = twice / 2
        self.bandwidth = 1 / per_byte
        self.constants = {}
        for net in NETS:
            measured = {b: self.best(net, b, 1) for b in FITTED}
            self.constants[net] = _fit(list(measured), list(measured.values()))

    def best(self, net: str, batch: int, ranks: int, way: str = "step") -> float:
        """The best seconds that were measured."""
        for row in self.rows:
            if (row["net"], row["batch"], row["ranks"], row["way"]) == (net, batch, ranks, way):
                return float(min(row["seconds"]))
        raise KeyError((net, batch, ranks, way))

    def seconds(
        self, net: str, batch: int, ranks: int, wire: tuple[float, float] | None = None
    ) -> float:
        """What the model says; `wire` is latency and bandwidth, by default those measured here."""
        u, a = self.constants[net]
        shared = self.sum(4 * parameters(net), ranks, wire) if ranks > 1 else 0.0
        return u + a * batch / ranks + shared

    def sum(self, size: int, ranks: int, wire: tuple[float, float] | None = None) -> float:
        """Seconds to sum up so many bytes and two numbers: there and back over a tree of ranks."""
        latency, bandwidth = wire or (self.latency, self.bandwidth)
        moved = 2 * (ranks - 1) / ranks * size
        return 2 * (2 * math.ceil(math.log2(ranks)) * latency) + moved / bandwidth


def _fit(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """c and d, neither below 0, with y = c + d x, by least squares of the relative errors."""
    from scipy.optimize import nnls

    x, y = np.asarray(x, float), np.asarray(y, float)
    (c, d), _ = nnls(np.stack([1 / y, x / y], axis=1), np.ones(len(y)))
    return float(c), float(d)


def parameters(net: str) -> int:
    """How many weights and biases a net has."""
    widths = list(map(int, net.split("-")))
    return sum((a + 1) * b for a, b in pairwise(widths))


# The page.


def sections(figures: Mapping[str, Any]) -> dict[str, str]:
    """The sections of the page, by name."""
    model = Model(figures)
    return {
        "ranks-machine": f"{machine_lines(figures['machine'])}\n- {figures['mpi']}",
        "ranks": _measured(model),
        "whole": _whole(figures["whole"]),
        "constants": _constants(model),
        "plan": _plan(model),
    }


def _measured(model: Model) -> str:
    rows, worst = [], 0.0
    for net in NETS:
        for batch in BATCHES:
            one, two = model.best(net, batch, 1), model.best(net, batch, 2)
            said = model.seconds(net, batch, 2)
            overlap = model.best(net, batch, 2, "overlap")
            worst = max(worst, abs(said / two - 1))
            rows.append(
                (
                    f"{net}, {batch}",
                    f"{1e3 * one:.2f}",
                    f"{1e3 * two:.2f}",
                    f"{one / two:.2f}",
                    f"{1e3 * said:.2f}",
                    f"{100 * (said / two - 1):+.0f} %",
                    f"{100 * (overlap / two - 1):+.0f} %",
                )
            )
    reached = model.best(GOAL_NET, GOAL_BATCH, 1) / model.best(GOAL_NET, GOAL_BATCH, 2)
    head = ("net, batch", "1 rank, ms", "2 ranks, ms", "times as fast")
    head += ("model, ms", "model is off by", "overlapped")
    return (
        f"{table(head, rows)}\n\n"
        f"{GOAL_NET} with batches of {GOAL_BATCH}: {reached:.2f} times as fast, asked {GOAL:g}: "
        f"{'reached' if reached >= GOAL else 'missed'}. The model is off by at most "
        f"{100 * worst:.0f} %, asked {100 * ALLOWED:.0f} %: "
        f"{'reached' if worst <= ALLOWED else 'missed'}."
    )


def _whole(found: Mapping[str, Sequence[float]]) -> str:
    rows = []
    for name in PROCESSES:
        one, two = (min(found[f"{name}: {ranks}"]) for ranks in (1, 2))
        rows.append((name, f"{one:.2f}", f"{two:.2f}", f"{one / two:.2f}"))
    return table(("a whole run", "1 process, s", "2 ranks, s", "times as fast"), rows)


def _constants(model: Model) -> str:
    rows = [
        (net, f"{parameters(net):,}", f"{1e3 * u:.3f}", f"{1e6 * a:.2f}")
        for net, (u, a) in model.constants.items()
    ]
    return (
        f"{table(('net', 'parameters', 'u, ms', 'a, µs a row'), rows)}\n\n"
        f"Allreduce between two ranks: L = {1e6 * model.latency:.1f} µs, "
        f"W = {model.bandwidth / 1e9:.2f} GB/s."
    )


def _plan(model: Model) -> str:
    rows = []
    for name, wire in NETWORKS.items():
        for net in NETS:
            cells = []
            for ranks in PLANNED:
                fast = {
                    batch: model.seconds(net, batch, 1) / model.seconds(net, batch, ranks, wire)
                    for batch in (1024, 16_384)
                }
                cells.append(
                    " / ".join(
                        f"{value:.1f}" if batch / ranks >= FITTED[0] else f"({value:.1f})"
                        for batch, value in fast.items()
                    )
                )
            rows.append((f"{name}: {net}", *cells, f"{_half(model, net, 8, wire):,}"))
    head = ("", *(f"{ranks} ranks" for ranks in PLANNED), "batch for half of 8")
    return table(head, rows)


def _half(model: Model, net: str, ranks: int, wire: tuple[float, float]) -> int:
    """The least batch, a power of 2, at which ranks are at least half as fast as they could be."""
    batch = ranks
    while model.seconds(net, batch, 1) < ranks / 2 * model.seconds(net, batch, ranks, wire):
        batch *= 2
        if batch > 1 << 30:
            return batch
    return batch


if __name__ == "__main__":
    main()
