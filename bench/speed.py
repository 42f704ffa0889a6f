"""How fast scratchnet trains beside other systems: seconds per epoch, and whole processes.

    python bench/speed.py --data-dir DIR [--peers PYTHON]

Every measurement is a process of its own (`speed_worker.py`) with equal starting weights, batches,
Adam and number of samples, at 1 and at 2 threads. Each repeat goes through all settings, and within
a setting through all systems, from another one on. What was found goes to performance.json and
performance.md in docs/measurements, and what is not installed is listed as absent. torch, JAX and
Keras are looked for in the environment of `--peers`.
"""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lib import children, nets, processes
from lib.page import page_parser, read_figures, write_figures, write_section
from lib.report import BLAS_VARIABLES, machine_lines, table

WORKER = Path(__file__).parent / "lib" / "speed_worker.py"
OURS, PRODUCTS = "scratchnet", "products"
SYSTEMS = {
    OURS: "scratchnet",
    "scratchnet-numpy": "scratchnet",
    PRODUCTS: "numpy",
    "scikit-learn": "sklearn",
    "torch": "torch",
    "torch-fused": "torch",
    "torch-compile": "torch",
    "jax-step": "jax",
    "jax-epoch": "jax",
    "keras": "keras",
}
"""The systems of `speed_worker`, and the module that each needs."""
THREADS = (1, 2)
BEHIND = 0.02
"""A system whose accuracy lies this far below the best of its setting did not learn."""


@dataclass(frozen=True)
class Setting:
    """A data set, a net and a batch size."""

    data: str
    net: str
    batch: int

    def __str__(self) -> str:
        return f"{self.data} {self.net} batch {self.batch}"


SETTINGS = (
    Setting("mnist", "784-100-10", 128),
    Setting("mnist", "784-100-100-100-100-10", 128),
    Setting("mnist", "784-512-512-10", 128),
    Setting("mnist", "784-100-10", 32),
    Setting("mnist", "784-100-10", 1024),
    Setting("mnist", "784-512-512-10", 32),
    Setting("mnist", "784-512-512-10", 1024),
    Setting("digits", "64-100-10", 32),
    Setting("digits", "64-100-10", 128),
    Setting("digits", "64-100-10", 1024),
)
EPOCHS = {"mnist": 3, "digits": 100}
"""How many epochs are timed together."""
QUICK_EPOCHS = {"mnist": 1, "digits": 30}

GOALS = (("scikit-learn", 0.5), ("torch-fused", 0.6), ("jax-epoch", 1.0))
"""scratchnet's seconds at most, as a share of theirs, each at its better number of threads."""
IN_SMALL_BATCHES = {"scikit-learn": 0.35}
"""Goals of batches of 32 that are others."""
WITH_GOALS = (*SETTINGS[:5], *SETTINGS[7:9])
PRODUCT_GOALS = {"784-100-10": 1.3, "784-512-512-10": 1.25}
"""scratchnet's seconds at most, as a multiple of those of the products, at one thread."""


def main() -> None:
    options = _arguments()
    if options.page_only:
        _write_page(options)
        return
    writes = not (options.dry_run or options.quick or options.only)
    found = children.machine_of_children()
    print(f"{machine_lines(found)}\n- In the children: {', '.join(BLAS_VARIABLES)} removed\n")
    absent = _absent(options.peers)
    for name, reason in absent.items():
        print(f"- {name}: absent, {reason}")
    if "epochs" in options.parts:
        figures = {"machine": found, "absent": absent, **_measure(options, absent, writes, found)}
        _finish("speed", figures, options, writes)
    if "processes" in options.parts:
        figures = {"machine": found, **processes.measure(options, set(absent))}
        _finish("processes", figures, options, writes)


def _arguments() -> argparse.Namespace:
    made = page_parser("How fast scratchnet trains beside other systems.")
    made.add_argument(
        "--peers",
        metavar="PYTHON",
        default=sys.executable,
        help="the Python of the environment of bench/peers.txt (default: this one)",
    )
    made.add_argument("--repeats", type=int, default=5, help="of each epoch (default 5)")
    made.add_argument(
        "--go-on",
        action="store_true",
        help="add to the repeats of each epoch that are in the file, up to --repeats",
    )
    made.add_argument(
        "--process-repeats", type=int, default=10, help="of each whole process (default 10)"
    )
    made.add_argument("--threads", type=int, nargs="+", default=list(THREADS))
    made.add_argument("--parts", nargs="+", choices=("epochs", "processes"), metavar="PART")
    made.add_argument(
        "--only", metavar="PATTERN", help="what matches, as 'digits.*torch'; writes nothing"
    )
    made.add_argument(
        "--quick", action="store_true", help="everything once and briefly; writes nothing"
    )
    made.add_argument(
        "--page-only", action="store_true", help="measure nothing, write the page from the figures"
    )
    options = made.parse_args()
    if min(options.repeats, options.process_repeats, *options.threads) < 1:
        made.error("repeats and threads must be 1 or more")
    if options.quick:
        options.repeats = options.process_repeats = 1
    options.parts = options.parts or ("epochs", "processes")
    try:
        options.pattern = re.compile(options.only or "")
    except re.error as error:
        made.error(f"--only {options.only!r} is not a regular expression: {error}")
    return options


def _finish(
    name: str, figures: Mapping[str, Any], options: argparse.Namespace, writes: bool
) -> None:
    """Print the sections, and unless it is only a trial write them and the figures."""
    texts = SECTIONS[name](figures)
    print("\n" + "\n\n".join(texts.values()), flush=True)
    if writes:
        write_figures(options.json, name, figures)
        for section, text in texts.items():
            write_section(options.page, section, text)


def _write_page(options: argparse.Namespace) -> None:
    """Write the sections from figures that were measured before."""
    figures = read_figures(options.json)
    for name in set(SECTIONS) & set(figures):
        for section, text in SECTIONS[name](figures[name]).items():
            write_section(options.page, section, text)


def _absent(peers: str) -> dict[str, str]:
    """Systems that cannot be imported, and why."""
    reasons = {}
    for module in dict.fromkeys(SYSTEMS.values()):
        done = children.run([python_of(module, peers), "-c", f"import {module}"])
        if done.status:
            reasons[module] = done.reason
    if OURS in reasons:
        raise SystemExit(f"scratchnet cannot be imported: {reasons[OURS]}")
    return {name: reasons[module] for name, module in SYSTEMS.items() if module in reasons}


def python_of(system: str, peers: str) -> str:
    """The Python that a system runs in: torch, JAX and Keras have an environment of their own."""
    return peers if system.partition("-")[0] in ("torch", "jax", "keras") else sys.executable


# Seconds per epoch.


def _measure(
    options: argparse.Namespace, absent: Mapping[str, str], writes: bool, found: Mapping[str, Any]
) -> dict[str, Any]:
    """All runs; what there is so far is written down after every repeat."""
    figures: dict[str, Any] = {"epochs": EPOCHS, "rows": [], "about": {}, "failed": {}}
    if options.go_on:
        before = read_figures(options.json).get("speed", {})
        figures |= {name: before[name] for name in figures.keys() & before.keys()}
    rows = {_key(_setting_of(row), row["system"], row["threads"]): row for row in figures["rows"]}
    done = min((len(row["seconds"]) for row in rows.values()), default=0)
    with tempfile.TemporaryDirectory() as folder:
        _save_data(Path(folder), options)
        for repeat in range(done, options.repeats):
            for setting in SETTINGS:
                for system, threads in _order(setting, options, absent, repeat):
                    result = _run(setting, system, threads, repeat, options, folder, figures)
                    if result is not None:
                        _add(rows, setting, system, threads, result)
            _say(f"repeat {repeat + 1} of {options.repeats} is done")
            figures["rows"] = list(rows.values())
            if writes:
                write_figures(
                    options.json, "speed", {"machine": found, "absent": absent, **figures}
                )
    return figures


def _save_data(folder: Path, options: argparse.Namespace) -> None:
    """Write the data sets that are asked for where the children find them."""
    asked = [setting for setting in SETTINGS if _order(setting, options, {}, 0)]
    for name in dict.fromkeys(setting.data for setting in asked):
        nets.save_set(name, options.data_dir, folder)


def _order(
    setting: Setting, options: argparse.Namespace, absent: Mapping[str, str], repeat: int
) -> list[tuple[str, int]]:
    """Systems and threads of a setting; each repeat begins with another of them."""
    every = [
        (system, threads)
        for system in SYSTEMS
        for threads in options.threads
        if system not in absent and options.pattern.search(f"{setting} {system}")
    ]
    shift = repeat * len(every) // options.repeats
    return every[shift:] + every[:shift]


def _run(
    setting: Setting,
    system: str,
    threads: int,
    repeat: int,
    options: argparse.Namespace,
    folder: str,
    figures: dict[str, Any],
) -> dict[str, Any] | None:
    """One process; None, and a note of the reason, where it fails."""
    epochs = (QUICK_EPOCHS if options.quick else EPOCHS)[setting.data]
    home = str(Path(folder) / setting.data)
    job = nets.Job(system, setting.net, setting.batch, threads, epochs, repeat, home)
    command = [python_of(system, options.peers), str(WORKER), json.dumps(asdict(job))]
    cache = {"TORCHINDUCTOR_CACHE_DIR": str(Path(folder) / "inductor")}  # empty at first
    done = children.run(command, threads, cache)
    if done.status:
        figures["failed"][f"{setting}, {system}, {threads} threads"] = done.reason
        _say(f"{setting}, {system}: failed, {done.reason}")
        return None
    result: dict[str, Any] = json.loads(done.output) | {"peak": done.peak}
    figures["about"][system] = result.pop("about")
    _say(f"{setting}, {system}, {threads} threads: {result['seconds']:.4f} s per epoch")
    return result


def _say(text: str) -> None:
    load = f"; load {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    print(text + load, file=sys.stderr, flush=True)


def _add(
    rows: dict[str, dict[str, Any]],
    setting: Setting,
    system: str,
    threads: int,
    result: Mapping[str, Any],
) -> None:
    """Append the figures of a run to those of its setting, system and threads."""
    fresh = {**asdict(setting), "system": system, "threads": threads}
    row = rows.setdefault(_key(setting, system, threads), fresh)
    for name, value in result.items():
        row.setdefault(name, []).append(None if value is None else float(f"{value:.4g}"))


def _key(setting: Setting, system: str, threads: int) -> str:
    return f"{setting} {system} {threads}"


# The tables, from the figures alone.


class Results:
    """The rows of one setting, by system and threads."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], setting: Setting) -> None:
        self.setting = setting
        chosen = [row for row in rows if _setting_of(row) == setting]
        self.rows = {(row["system"], row["threads"]): row for row in chosen}
        self.systems = [name for name in SYSTEMS if any(key[0] == name for key in self.rows)]

    def values(self, system: str, name: str) -> list[float]:
        """All figures of that name, whatever the threads."""
        rows = (row for key, row in self.rows.items() if key[0] == system)
        return [value for row in rows for value in row[name] if value is not None]

    def best(self, system: str, threads: int | None = None) -> float | None:
        """The best seconds per epoch, by default at the better number of threads."""
        if threads is None:
            return min(self.values(system, "seconds"), default=None)
        row = self.rows.get((system, threads))
        return None if row is None else min(row["seconds"])

    def learnt(self, system: str) -> bool:
        """Whether it is about as accurate as the best; the products learn nothing and may."""
        highest = max(map(self.accuracy, self.systems))
        return system == PRODUCTS or self.accuracy(system) >= highest - BEHIND

    def accuracy(self, system: str) -> float:
        """The mean test accuracy; 0 of what does not learn."""
        return statistics.fmean(self.values(system, "accuracy") or [0.0])

    def ratio(self, system: str, threads: int | None = None) -> float | None:
        """Seconds of scratchnet over those of another system; None without one of them."""
        ours, theirs = self.best(OURS, threads), self.best(system, threads)
        if ours is None or theirs is None or not (self.learnt(OURS) and self.learnt(system)):
            return None
        return ours / theirs


def _setting_of(row: Mapping[str, Any]) -> Setting:
    return Setting(row["data"], row["net"], row["batch"])


def _results(figures: Mapping[str, Any]) -> Iterator[Results]:
    """Every setting that has rows."""
    for setting in SETTINGS:
        results = Results(figures["rows"], setting)
        if results.rows:
            yield results


def sections(figures: Mapping[str, Any]) -> dict[str, str]:
    """The sections of the page that the figures fill, by name."""
    return {"machine": _about(figures), "goals": _goals(figures), "epochs": _tables(figures)}


def _about(figures: Mapping[str, Any]) -> str:
    """Machine, versions, what is absent and what failed."""
    lines = [
        machine_lines(figures["machine"]),
        f"- In the children: {', '.join(BLAS_VARIABLES)} removed; threads and processors as given",
        *(f"- {name}: {text}" for name, text in figures["about"].items()),
        *(f"- {name}: absent ({reason})" for name, reason in figures["absent"].items()),
        *(f"- {what}: failed ({reason})" for what, reason in figures["failed"].items()),
    ]
    return "\n".join(lines)


def _goals(figures: Mapping[str, Any]) -> str:
    """What was to be reached, and what was."""
    rows: list[tuple[str, str, str, str]] = []
    for results in _results(figures):
        setting = results.setting
        if setting not in WITH_GOALS:
            continue
        for system, goal in GOALS:
            goal = IN_SMALL_BATCHES.get(system, goal) if setting.batch == 32 else goal
            found = processes.judged(results.ratio(system), goal)
            rows.append((f"{setting}: of {system}", *found))
        if setting.net in PRODUCT_GOALS and setting.batch == 128:
            found = processes.judged(results.ratio(PRODUCTS, 1), PRODUCT_GOALS[setting.net])
            rows.append((f"{setting}: of the products, 1 thread", *found))
    if not rows:
        return "Not measured."
    return table(("seconds per epoch of scratchnet, as a share", "goal", "measured", "is"), rows)


def _tables(figures: Mapping[str, Any]) -> str:
    """A table for each setting."""
    parts = []
    for results in _results(figures):
        threads = sorted({key[1] for key in results.rows})
        head = ["", *(f"{t} thread{'s' * (t > 1)}: best (median)" for t in threads)]
        head += ["best / scratchnet", "compiling", "loss", "accuracy", "peak MiB"]
        rows = [_row(results, system, threads) for system in results.systems]
        setting = results.setting
        parts.append(
            f"### {setting.data}, {setting.net}, batches of {setting.batch}\n\n{table(head, rows)}"
        )
    return "\n\n".join(parts)


def _row(results: Results, system: str, threads: Sequence[int]) -> list[str]:
    """The cells of one system."""
    ratio = results.ratio(system)
    losses = results.values(system, "loss")
    compiling = max(results.values(system, "compile"))
    unlearnt = "–" if results.learnt(system) else "did not learn"
    return [
        system,
        *(_seconds(results.rows.get((system, t))) for t in threads),
        unlearnt if ratio is None else f"{1 / ratio:.2f}",
        f"{compiling:.1f}" if compiling >= 0.1 else "–",
        f"{statistics.fmean(losses):.4f}" if losses else "–",
        f"{100 * results.accuracy(system):.2f} %" if losses else "–",
        f"{max(results.values(system, 'peak')):.0f}",
    ]


def _seconds(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "–"
    return f"{min(row['seconds']):.3g} ({statistics.median(row['seconds']):.3g})"


SECTIONS = {"speed": sections, "processes": processes.sections}
"""What makes the sections of the page from each part's figures."""


if __name__ == "__main__":
    main()
