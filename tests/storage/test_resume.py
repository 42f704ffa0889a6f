"""Resuming equals the uninterrupted run; what the controls forget must show. See stress/."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scratchnet import cli
from scratchnet.errors import OutputError
from scratchnet.optimizers import OPTIMIZERS
from scratchnet.storage.checkpoint import Checkpoints
from scratchnet.training.resuming import checkpoint_of

pytestmark = pytest.mark.slow

STRESS = Path(__file__).parents[2] / "stress"
sys.path.append(str(STRESS))
resume = importlib.import_module("resume")
worker = importlib.import_module("worker")
MEMORY = {"OPENBLAS_NUM_THREADS": "1"}
if Path("/dev/shm").is_dir():
    MEMORY["TMPDIR"] = "/dev/shm"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_cut_at_any_step_or_epoch_ends_in_the_same_state(optimizer, tmp_path):
    k = list(OPTIMIZERS).index(optimizer)
    setting, dtype = resume.SETTINGS[k % 3], ("float32", "float64")[k % 2]
    wrong, cuts = resume.differing(resume.Case(optimizer, setting, dtype), tmp_path)
    assert cuts == (7 if OPTIMIZERS[optimizer].full_batch else 16)
    assert wrong == []


@pytest.mark.parametrize("optimizer", ["nadam", "schedule-free-sgd", "sam"])
def test_an_average_with_a_schedule_is_gone_on_with_too(optimizer, tmp_path):
    assert resume.differing(resume.Case(optimizer, "ema", "float32"), tmp_path)[0] == []


@pytest.mark.parametrize("optimizer", ["momentum", "rprop"])
def test_patience_ends_a_resumed_run_at_the_same_epoch(optimizer, tmp_path):
    case = resume.Case(optimizer, "one-cycle", "float64", patience=1, disturbed=False)
    trainer, stopping = case.make()
    resume.finish(trainer, stopping)
    assert trainer.epochs < resume.EPOCHS
    assert resume.differing(case, tmp_path)[0] == []


@pytest.mark.parametrize("control", resume.controls(), ids=lambda control: control.piece)
def test_each_piece_of_the_state_is_needed(control, tmp_path):
    assert control.is_noticed(tmp_path)


def test_a_checkpoint_is_numbered_by_its_step_and_two_are_kept(tmp_path):
    trainer, stopping = resume.Case("adam", "one-cycle", "float32").make()
    checkpoints = Checkpoints(tmp_path)
    resume.finish(
        trainer,
        stopping,
        lambda: checkpoints.save(trainer.steps, *checkpoint_of(trainer, stopping)),
    )
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-00000011.npz", "checkpoint-00000012.npz"]


def test_the_best_weights_are_there_though_the_run_ended_just_before_saving_them(
    tmp_path, monkeypatch
):
    def refuse(*_: object, **options: object) -> None:
        raise OutputError("the run ends here")

    worker.prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    assert cli.main([*worker.COMMON, "--out", "whole", "--quiet"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr("scratchnet.cli.train.save_weights", refuse)
        assert cli.main([*worker.COMMON, "--out", "run", "--quiet"]) == 4
    assert not (tmp_path / "run" / "checkpoint-best.npz").exists()
    assert cli.main(["--resume", "run", "--quiet"]) == 0
    assert worker.ending(tmp_path / "run") == worker.ending(tmp_path / "whole")


def test_runs_killed_at_random_moments_end_as_if_nothing_had_been():
    found = subprocess.run(
        [sys.executable, STRESS / "kills.py", "--count", "40", "--seed", "3"],
        env={**os.environ, **MEMORY, "PYTHONPATH": str(STRESS.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "can be read: 0 of 4" in found.stdout
