"""Mutants: the package with one small change each, every one of which a test must catch.

mutmut (https://mutmut.readthedocs.io) makes them: a sign, a bound, an argument, a name. A mutant
that every test passes survives. Some change nothing that anybody could see; `survivors.toml`
lists each kind with its reason. Whatever survives and is not listed there is a hole in the tests.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from figures import Figure, folder, run, shout

ROOT = Path(__file__).resolve().parents[1]
SURVIVORS = Path(__file__).with_name("survivors.toml")
LEAST = 0.95
"""The share of mutants that tests must catch."""
MUTATED = (
    *("functions.py", "layers/*.py", "optimizers/*.py", "inspection/gradient_check.py"),
    *("training/resuming.py", "training/state.py", "cli/resume.py"),
)
"""The mathematics, its check, and what a resumed run relies on."""
TESTS = (
    *(
        "layers",
        "networks",
        "optimizers",
        "ground",
        "training",
        "inspection/test_gradient_check.py",
    ),
    *("storage/test_resume.py", "storage/test_checkpoint.py", "storage/test_old_files.py"),
    *("parallel/test_parallel.py", "parallel/test_parallel_job.py", "parallel/test_one_loop.py"),
    *("cli/test_resume_options.py", "cli/test_cli_networks.py"),
)
NOT_HERE = (
    "optimizers/test_new_optimizer.py",  # its process does not know the mutant
    "storage/test_resume.py::test_runs_killed_at_random_moments_end_as_if_nothing_had_been",
    "training/test_trainer.py::test_a04_a10_every_named_optimizer_learns_digits_by_backpropagation",
    "optimizers/test_optimizer_mutations.py",  # they read the source of the rules,
    "optimizers/test_optimizer_docs.py",  # which is another here
)
CAUGHT = {"killed", "timeout", "segfault"}


def measure(count: int, seed: int) -> Sequence[Figure]:
    """How many mutants live, of all or of `count` drawn ones, and how many nobody explained."""
    with folder() as where:
        copy = _copy(where)
        _mutmut(copy, "run", "none of them", may_fail=True)  # it makes them, and finds none to run
        names = list(_statuses(copy))
        if count < len(names):
            names = sorted(random.Random(seed).sample(names, count))
        _mutmut(copy, "run", *names)
        statuses = _statuses(copy)
        alive = {name: _change(copy, name) for name in names if statuses[name] not in CAUGHT}
    reasons = [(re.compile(one["change"]), one["reason"]) for one in _explained()]
    strange = {
        name: change
        for name, change in alive.items()
        if not any(pattern.search(f"{name}\n{change}") for pattern, _ in reasons)
    }
    for name, change in strange.items():
        shout(f"{name}: {statuses[name]}\n{change}")
    share = 1 - len(alive) / len(names)
    return [
        Figure(f"tests catch {LEAST:.0%} of mutants", int(share < LEAST), 1, f"{share:.1%}"),
        Figure("each survivor is explained", len(strange), len(names), f"{len(alive)} survive"),
    ]


def _copy(where: Path) -> Path:
    """The files of the project in a folder of their own, with the settings of mutmut."""
    copy = where / "copy"
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True)
    for name in listed.stdout.decode().splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    options = {
        "source_paths": ["scratchnet"],
        "only_mutate": [f"scratchnet/{name}" for name in MUTATED],
        "also_copy": sorted(path.name for path in copy.iterdir()),
        "pytest_add_cli_args_test_selection": [f"tests/{name}" for name in TESTS],
        "pytest_add_cli_args": [f"--deselect=tests/{name}" for name in NOT_HERE],
    }
    with open(copy / "setup.cfg", "a", encoding="utf-8") as settings:
        settings.write("\n[mutmut]\n")
        for name, values in options.items():
            settings.write("\n    ".join([f"{name} =", *values]) + "\n")
    return copy


def _mutmut(copy: Path, *words: str, may_fail: bool = False) -> str:
    """The output of a command of mutmut; raises CalledProcessError if it fails and may not."""
    environment = {name: os.environ[name] for name in os.environ if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "mutmut", *words]
    done = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    if done.returncode and not may_fail:
        shout(done.stdout[-5000:] + done.stderr[-5000:])
        done.check_returncode()
    return done.stdout


def _statuses(copy: Path) -> dict[str, str]:
    """What became of each mutant, by its name."""
    lines = (line.strip() for line in _mutmut(copy, "results", "--all", "true").splitlines())
    return dict(line.rsplit(": ", 1) for line in lines if ": " in line)


def _change(copy: Path, name: str) -> str:
    """The lines that a mutant has another way, without their indent."""
    lines = _mutmut(copy, "show", name).splitlines()
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return "\n".join(line[0] + line[1:].strip() for line in changed)


def _explained() -> list[dict[str, str]]:
    found: list[dict[str, str]] = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))["survivor"]
    return found


if __name__ == "__main__":
    raise SystemExit(run(measure, 100_000, __doc__))
