"""The compiled loops under the sanitizers of the compiler, which tell faults of memory and threads.

    python stress/sanitizers.py

AddressSanitizer and UndefinedBehaviorSanitizer watch the tests of loops, layers, optimizers and
training; ThreadSanitizer watches threads that share batches. Each builds the loops anew, in a copy
of the package. Needs gcc, on Linux; prints what was reported and ends with 1 if anything was.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from figures import Figure, run, say

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["-O1", "-g", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-shared"]
QUICK = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not slow"]
TESTS = ["tests/loops", "tests/layers", "tests/optimizers", "tests/training"]
THREADS = ["tests/training/test_program.py", "-k", "threads or thread"]
REPORT = re.compile(r"(ERROR: AddressSanitizer|runtime error:|WARNING: ThreadSanitizer).*")
KINDS = {
    "address,undefined": ("libasan.so", TESTS, {"ASAN_OPTIONS": "detect_leaks=0"}),
    "thread": ("libtsan.so", THREADS, {"TSAN_OPTIONS": "exitcode=66"}),
}
"""What to watch for, the library that is loaded first, the tests, and how it is told what to do."""


def measure(count: int, seed: int) -> Sequence[Figure]:
    """Every kind once; count and seed have no part in it."""
    return [
        Figure(f"no report of {kind} sanitizers", watch(kind, *about), 1, complete=True)
        for kind, about in KINDS.items()
    ]


def watch(kind: str, library: str, tests: list[str], options: dict[str, str]) -> int:
    """Build, run, and say what came; the number of reports, or 1 if the tests fail."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "scratchnet"
        shutil.copytree(ROOT / "scratchnet", copy, ignore=shutil.ignore_patterns("_loops*"))
        build(kind, copy / "loops")
        where = ["gcc", f"-print-file-name={library}"]
        first = subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip()
        env = {**os.environ, **options, "LD_PRELOAD": first, "PYTHONPATH": folder}
        env |= {"OPENBLAS_NUM_THREADS": "1", "PYTHONMALLOC": "malloc"}
        command = [sys.executable, "-P", "-m", "pytest", *QUICK, *tests]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    said = done.stdout + done.stderr
    reports = [match.group(0) for match in REPORT.finditer(said)]
    last = [line for line in done.stdout.splitlines() if line.strip()][-1:]
    say(f"{kind}: {len(reports)} reports; {' '.join(last)}")
    for report in reports[:20]:
        say(f"  {report}")
    if done.returncode and not reports:
        say(said[-3000:])
    return len(reports) or int(done.returncode != 0)


def build(kind: str, folder: Path) -> None:
    """Compile the loops for one kind of sanitizer."""
    include = sysconfig.get_paths()["include"]
    out = folder / "_loops.abi3.so"
    command = [
        "gcc",
        *FLAGS,
        f"-fsanitize={kind}",
        f"-I{include}",
        "loops.c",
        "-o",
        str(out),
        "-lm",
    ]
    subprocess.run(command, cwd=folder, check=True)


if __name__ == "__main__":
    sys.exit(run(measure, 1, __doc__))
