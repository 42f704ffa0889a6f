"""What every measurement says about itself: the machine, the table and, if asked, a JSON file."""

import argparse
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BLAS_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""They override the kernel that OpenBLAS chooses for the processor, and so every speed."""
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def parser(description: str) -> argparse.ArgumentParser:
    """An argument parser with the options that all measurements have."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument(
        "--data-dir", metavar="DIR", help="where the data sets are, as for scratchnet.load(home=)"
    )
    made.add_argument("--json", metavar="FILE", type=Path, help="also write all figures there")
    return made


def machine() -> dict[str, Any]:
    """Processor, cores, load, and what scratchnet.environment.describe() knows of this process."""
    from scratchnet import environment

    return {
        "cpu": _processor(),
        "cores": _cores(),
        "load": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else [],
        **environment.describe(),
        "variables": {name: os.environ.get(name) for name in BLAS_VARIABLES + THREAD_VARIABLES},
    }


def machine_lines(found: Mapping[str, Any]) -> str:
    """`machine()` as three lines of Markdown."""
    blas = "; ".join(
        f"{pool['internal_api']} {pool['version']}, kernel {pool['architecture']}, "
        f"{pool['threads']} threads"
        for pool in found["blas"]
    )
    variables = ", ".join(
        f"{name} {'not set' if value is None else '= ' + value}"
        for name, value in found["variables"].items()
    )
    load = " ".join(map(str, found["load"]))
    return (
        f"- Machine: {found['cpu']}, {found['cores']} cores, {found['system']}; load {load}\n"
        f"- Python {found['python']}, NumPy {found['numpy']}, BLAS: {blas}\n"
        f"- Environment: {variables}"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; all columns but the first are set flush right."""
    cells = [list(head), *([str(cell) for cell in row] for row in rows)]
    wide = [max(3, *(len(row[k]) for row in cells)) for k in range(len(head))]
    lines = [
        "| " + " | ".join(_justify(row[k], wide[k], k) for k in range(len(head))) + " |"
        for row in cells
    ]
    rules = ["-" * (w + 2) if k == 0 else "-" * (w + 1) + ":" for k, w in enumerate(wide)]
    return "\n".join([lines[0], f"|{'|'.join(rules)}|", *lines[1:]])


def write_json(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write the figures to `path`; do nothing where it is None."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def _justify(text: str, wide: int, column: int) -> str:
    return text.ljust(wide) if column == 0 else text.rjust(wide)


def _processor() -> str:
    """The model's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
