"""Milliseconds of a step of three convolutional networks: scratchnet, bare products, and others.

    python bench/convolution.py [--peers PYTHON] [--repeats N] [--dry-run]

A step is the forward and backward pass of a batch of 100 images of 28x28: SimpleConvNet and
DeepConvNet of the book, and 32 and 64 filters as in Keras' example. Each measurement is a process
of its own; all systems take turns, and the best of all repeats counts: CPU time on one thread, wall
time on two. "im2col" is the book's arithmetic, in float64 as there, written in
`lib/convolution_worker.py`: a matrix of all windows. `--peers` is a Python with torch and JAX
(`bench/peers.txt`); without it they are left out. OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are taken
out of the environment of the children.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib.children import PEERS, machine_of_children, run, run_json, without_blas_variables
from lib.page import DOCS, page_parser, write_section
from lib.report import machine_lines, table, write_json

WORKER = str(Path(__file__).parent / "lib" / "convolution_worker.py")
NETWORKS = {"simple": "SimpleConvNet", "keras": "32/64", "deep": "DeepConvNet"}
OWN = {
    "scratchnet": "scratchnet",
    "products": "the bare products",
    "im2col": "plain im2col, float64 as in the book",
    "im2col32": "plain im2col, float32",
}
OTHERS = {"torch": "torch eager", "channels_last": "torch, channels_last", "jax": "JAX, compiled"}
STEPS = 8


def main() -> None:
    """Measure, and write the section of the page."""
    without_blas_variables()
    made = page_parser(__doc__ or "")
    made.add_argument("--peers", metavar="PYTHON", help="a Python with torch and JAX")
    made.add_argument("--repeats", type=int, default=5, help="processes of each (default: 5)")
    made.set_defaults(page=DOCS / "convolution.md", json=DOCS / "convolution.json")
    options = made.parse_args()
    found: dict[str, Any] = {"machine": machine_of_children(1), "one": {}, "two": {}}
    systems = [*OWN, *(name for name in OTHERS if has(options.peers, name))]
    for repeat in range(options.repeats):
        for k in range(len(systems)):
            system = systems[(k + repeat) % len(systems)]
            for name in NETWORKS:
                measure(found, system, name, 1, options.peers)
                if system in ("scratchnet", "torch", "channels_last"):
                    measure(found, system, name, 2, options.peers)
        print(f"repeat {repeat + 1} of {options.repeats}", flush=True)
    found["memory"] = {
        name: {
            what: run_json([sys.executable, WORKER, "memory", name, threads, "1"], 1)["added"]
            for what, threads in (("training", "1"), ("evaluation", "0"))
        }
        for name in NETWORKS
    }
    found["load"] = machine_of_children(1)["load"]
    text = section(found)
    print(text)
    if not options.dry_run:
        write_section(options.page, "convolution", text)
        write_json(options.json, found)


def has(python: str | None, system: str) -> bool:
    """Whether that Python can run the system."""
    if python is None:
        return False
    module = "jax" if system == "jax" else "torch"
    return not run([python, "-c", f"import {module}"]).status


def measure(found: dict[str, Any], system: str, name: str, threads: int, peers: str | None) -> None:
    """Run a child, and keep the best of what it found and what was found before."""
    python = sys.executable if system in OWN else peers
    assert python is not None
    command = [python, WORKER, system, name, str(threads), str(STEPS)]
    result = run_json(command, threads, **PEERS)
    place = found["one" if threads == 1 else "two"].setdefault(name, {})
    best = place.setdefault(system, result)
    place[system] = {kind: min(best[kind], result[kind]) for kind in result}


def section(found: dict[str, Any]) -> str:
    """The tables."""
    return (
        "\n\n".join(
            [
                machine_lines(found["machine"]) + f"\n- Load at the end: {found['load']}",
                "**One thread**: CPU ms of a step, the best of all processes.",
                one_thread(found["one"]),
                "**Two threads**: wall ms of a step; CPU ms in brackets. Speed-up is that of "
                "scratchnet's wall time.",
                two_threads(found),
                "**Memory**: MB that steps of training with a batch of 100 add to the process, and "
                "an evaluation of 10,000 images.",
                table(
                    ["", *NETWORKS.values()],
                    [
                        [what, *(f"{found['memory'][name][what]:.0f}" for name in NETWORKS)]
                        for what in ("training", "evaluation")
                    ],
                ),
            ]
        )
        + "\n"
    )


def one_thread(found: dict[str, Any]) -> str:
    """Milliseconds, and how they stand to others'."""
    rows: list[Sequence[object]] = [
        [title, *(f"{found[name][system]['cpu']:.1f}" for name in NETWORKS)]
        for system, title in (OWN | OTHERS).items()
        if system in found["simple"]
    ]
    ratios = (
        ("scratchnet / torch eager", "scratchnet", "torch"),
        ("scratchnet / channels_last", "scratchnet", "channels_last"),
        ("scratchnet / JAX", "scratchnet", "jax"),
        ("scratchnet / bare products", "scratchnet", "products"),
        ("plain im2col, float64 / scratchnet", "im2col", "scratchnet"),
        ("plain im2col, float32 / scratchnet", "im2col32", "scratchnet"),
    )
    for title, a, b in ratios:
        if a in found["simple"] and b in found["simple"]:
            each = (found[name][a]["cpu"] / found[name][b]["cpu"] for name in NETWORKS)
            rows.append([f"**{title}**", *(f"{ratio:.2f}" for ratio in each)])
    return table(["", *NETWORKS.values()], rows)


def two_threads(found: dict[str, Any]) -> str:
    """Wall and CPU milliseconds with two threads, and the gain over one."""
    two, one = found["two"], found["one"]
    rows: list[Sequence[object]] = [
        [title, *(f"{two[name][s]['wall']:.1f} ({two[name][s]['cpu']:.1f})" for name in NETWORKS)]
        for s, title in (OWN | OTHERS).items()
        if s in two["simple"]
    ]
    gains = (one[name]["scratchnet"]["wall"] / two[name]["scratchnet"]["wall"] for name in NETWORKS)
    rows.append(["**speed-up by two threads**", *(f"{gain:.2f}" for gain in gains)])
    return table(["", *NETWORKS.values()], rows)


if __name__ == "__main__":
    main()
