"""Ctrl-C and SIGTERM lose nothing, and divergence is caught before it is saved. See stress/."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
if Path("/dev/shm").is_dir():
    ENVIRONMENT["TMPDIR"] = "/dev/shm"


def test_runs_signalled_at_random_moments_say_so_and_go_on_to_the_same_end():
    # How soon they are gone is a matter of the machine: `make stress` judges that.
    found = subprocess.run(
        [sys.executable, ROOT / "stress/signals.py", "--count", "16", "--seed", "2"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "status 130 or 143: 0 of 16 failed" in found.stdout, found.stdout + found.stderr
    assert "resumed to the same end: 0 of 16 failed" in found.stdout, found.stderr


def test_what_is_not_finite_stops_training_with_status_5_and_is_not_saved():
    # The share of a step that the check takes is a matter of the machine: see docs/reliability.md.
    program = "import diverge; print(diverge.injections(30, 0))"
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**ENVIRONMENT, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'stress'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "exit 5: 0 of 30 failed" in found.stdout, found.stdout + found.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_real_process_ends_after_its_step_and_says_how_to_go_on(number, tmp_path):
    arguments = ["--epochs", "100000", "--out", str(tmp_path / "run"), "--hidden", "none"]
    with subprocess.Popen(
        [sys.executable, ROOT / "train.py", *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if line.startswith("epoch"):
                break
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    message = r"train.py: interrupted after step \d+; resume with --resume \S+run\n"
    assert re.fullmatch(message, said)
