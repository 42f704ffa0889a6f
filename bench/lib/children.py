"""Run a command in a fresh process, and say how long it took and how much memory it had at most.

A process counts its parent's memory at the moment of its birth into its own peak. So a small
launcher, `launcher.py`, stands between: it starts the command and nothing else.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lib.launcher import Finished
from lib.report import BLAS_VARIABLES, THREAD_VARIABLES

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = str(Path(__file__).with_name("launcher.py"))
PEERS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "jax"),
}
"""No graphics processor, no messages about there being none, and the faster backend of Keras."""


def run(
    command: Sequence[str], threads: int | None = None, extra: Mapping[str, str] | None = None
) -> Finished:
    """Run it to its end, whatever that is.

    With `threads` it may use so many processors, and BLAS and the like are told to use so many
    threads; without, all is as a user finds it. Variables that change the kernel of BLAS are
    removed either way.
    """
    variables = _variables(threads) | dict(extra or {})
    spec = {"command": list(command), "variables": variables, "processors": threads}
    launcher = [sys.executable, "-S", LAUNCHER]
    done = subprocess.run(
        launcher, input=json.dumps(spec), stdout=subprocess.PIPE, text=True, check=True
    )
    return Finished(**json.loads(done.stdout))


def run_json(command: Sequence[str], threads: int | None = None, **extra: str) -> Any:
    """What the command printed, as JSON; raises SystemExit with its last words where it fails."""
    done = run(command, threads, extra)
    if done.status:
        raise SystemExit(f"{Path(command[1]).name} failed: {done.reason}")
    return json.loads(done.output)


def machine_of_children(threads: int | None = None) -> dict[str, Any]:
    """`report.machine()` as a child sees it: the kernel of BLAS that is measured with."""
    code = "import json, report; print(json.dumps(report.machine()))"
    home = str(Path(__file__).parent)
    paths = os.pathsep.join([home, *_paths()])
    found: dict[str, Any] = run_json([sys.executable, "-c", code], threads, PYTHONPATH=paths)
    return found


def without_blas_variables() -> None:
    """Begin this process anew without the variables that change the kernel of BLAS, if set."""
    if any(name in os.environ for name in BLAS_VARIABLES):
        kept = {name: value for name, value in os.environ.items() if name not in BLAS_VARIABLES}
        os.execve(sys.executable, [sys.executable, *sys.argv], kept)


def _paths() -> list[str]:
    """Where children look for modules: in this checkout, then where this process was told to."""
    return [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]


def _variables(threads: int | None) -> dict[str, str]:
    """The environment of a child."""
    hidden = BLAS_VARIABLES + THREAD_VARIABLES
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    told = {} if threads is None else dict.fromkeys(THREAD_VARIABLES, str(threads))
    return kept | PEERS | told | {"PYTHONPATH": os.pathsep.join(_paths())}
