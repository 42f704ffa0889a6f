"""Does twice the work take twice the time? Seconds per epoch against arithmetic.

    python bench/scaling.py --data-dir DIR

Samples, width and depth, each times 1, 2, 4 and 8, MNIST, Adam, one thread. Every run is a process
of its own (`speed_worker.py`), the repeats are interleaved and the best counts. The operations are
those of the matrix products and of Adam; what else is done, the activations among it, grows no
faster. Writes docs/measurements/scaling.svg besides the figures and the table.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lib import children, nets
from lib.chart import Series, log_log
from lib.page import DOCS, page_parser, write_figures, write_section
from lib.report import table

WORKER = Path(__file__).parent / "lib" / "speed_worker.py"
CHART = DOCS / "scaling.svg"
FACTORS = (1, 2, 4, 8)
BATCH = 128
ROWS = 15_000
EPOCHS = 5
ALLOWED = 1.15
"""How much more than the operations the seconds may grow with a doubling."""


@dataclass(frozen=True)
class Point:
    """A net and a number of samples, `factor` times the first of its `series`."""

    series: str
    factor: int
    net: str
    rows: int

    @property
    def flop(self) -> int:
        """Operations of an epoch."""
        return nets.epoch_flop(self.net, self.rows, BATCH)


POINTS = (
    *(Point("samples", k, "784-100-10", 7500 * k) for k in FACTORS),
    *(Point("width", k, f"784-{64 * k}-{64 * k}-10", ROWS) for k in FACTORS),
    *(Point("depth", k, "784" + "-100" * k + "-10", ROWS) for k in FACTORS),
)


def main() -> None:
    options = _arguments()
    found = children.machine_of_children(options.threads)
    figures = {
        "machine": found,
        "threads": options.threads,
        "batch": BATCH,
        "rows": _measure(options),
    }
    text = section(figures)
    print(text)
    if not (options.dry_run or options.quick):
        write_figures(options.json, "scaling", figures)
        CHART.write_text(chart(figures["rows"]), encoding="utf-8")
        write_section(options.page, "scaling", text)


def _arguments() -> argparse.Namespace:
    made = page_parser("Does twice the work take twice the time?")
    made.add_argument("--repeats", type=int, default=5, help="runs of each point (default 5)")
    made.add_argument("--threads", type=int, default=1, help="default 1")
    made.add_argument("--quick", action="store_true", help="every point once; writes nothing")
    options = made.parse_args()
    if options.quick:
        options.repeats = 1
    if options.repeats < 1 or options.threads < 1:
        made.error("--repeats and --threads must be 1 or more")
    return options


def _measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each point, with the seconds per epoch of all repeats."""
    seconds: dict[Point, list[float]] = {point: [] for point in POINTS}
    with tempfile.TemporaryDirectory() as folder:
        nets.save_set("mnist", options.data_dir, Path(folder))
        for repeat in range(options.repeats):
            shift = repeat * len(POINTS) // options.repeats
            for point in POINTS[shift:] + POINTS[:shift]:
                job = nets.Job(
                    "scratchnet",
                    point.net,
                    BATCH,
                    options.threads,
                    EPOCHS,
                    repeat,
                    str(Path(folder) / "mnist"),
                    point.rows,
                )
                command = [sys.executable, str(WORKER), json.dumps(asdict(job))]
                seconds[point].append(children.run_json(command, options.threads)["seconds"])
            print(f"repeat {repeat + 1} of {options.repeats} is done", file=sys.stderr, flush=True)
    return [
        {**asdict(point), "flop": point.flop, "seconds": [round(s, 5) for s in found]}
        for point, found in seconds.items()
    ]


def section(figures: Mapping[str, Any]) -> str:
    """The figure, the table, and whether the goal is reached."""
    rows, worst = [], 0.0
    before: Mapping[str, Any] | None = None
    for row in figures["rows"]:
        growth = ["–"] * 3
        if before is not None and before["series"] == row["series"]:
            of_seconds = min(row["seconds"]) / min(before["seconds"])
            of_flop = row["flop"] / before["flop"]
            worst = max(worst, of_seconds / of_flop)
            growth = [f"{x:.2f}" for x in (of_flop, of_seconds, of_seconds / of_flop)]
        best = min(row["seconds"])
        rate = f"{row['flop'] / best / 1e9:.0f}"
        cells = (f"{row['flop'] / 1e9:.2f}", f"{best:.3f}", rate)
        name = f"{row['series']} x{row['factor']}"
        rows.append((name, _short(row["net"]), f"{row['rows']:,}", *cells, *growth))
        before = row
    head = ("", "net", "samples", "GFLOP", "seconds", "GFLOP/s")
    grown = ("GFLOP, times", "seconds, times", "quotient")
    verdict = "reached" if worst <= ALLOWED else "missed"
    return (
        f"![Seconds per epoch against operations]({CHART.name})\n\n"
        f"{table((*head, *grown), rows)}\n\nThe goal for the quotient was at most {ALLOWED:g} at "
        f"every doubling; the largest is {worst:.2f}: {verdict}."
    )


def _short(net: str) -> str:
    """784-100-100-100-100-10 as 784-4x100-10."""
    first, *hidden, last = nets.sizes(net)
    inner = f"{len(hidden)}x{hidden[0]}" if len(hidden) > 2 else "-".join(map(str, hidden))
    return f"{first}-{inner}-{last}"


def chart(rows: Sequence[Mapping[str, Any]]) -> str:
    """The best seconds of every point against its operations, as SVG."""
    names = dict.fromkeys(row["series"] for row in rows)
    every = [
        Series(
            name,
            [(row["flop"], min(row["seconds"])) for row in rows if row["series"] == name],
            [f"x{row['factor']}" for row in rows if row["series"] == name],
        )
        for name in names
    ]
    return log_log(every, "operations of an epoch", "seconds per epoch")


if __name__ == "__main__":
    main()
