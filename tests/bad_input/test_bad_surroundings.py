"""Divergence, full disks, no memory, missing packages, other systems: one line, no loss."""

import errno
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from desk import (
    BEGIN,
    GOOD,
    RIGHT,
    TRAIN_PY,
    TWO,
    begun,
    look,
    net,
    outcome,
    refuse_to_replace,
    run,
)

from scratchnet import (
    Trainer,
)
from scratchnet.cli.interrupts import SIGNALS
from scratchnet.training import trainer
from scratchnet.training.resuming import Checkpoints


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam"])
def test_a_huge_lr_diverges_with_step_place_and_a_usual_lr(optimizer, desk, capsys):
    argv = ["--dataset", "./set", "--batch-size", "9", "--lr", "1e20", "--optimizer", optimizer]
    assert run([*argv, "--out", "new"]) == 5
    error = capsys.readouterr().err
    assert re.fullmatch("train.py: error: training diverged at step [0-9]+: the .+\n", error)
    assert re.search("the (output of layer [1-3], .*|parameter [Wb][12]) is not finite", error)
    assert re.search("try an lr below 1e.20, such as 0.0?01", error)
    assert (desk / "new" / "history.json").read_text(encoding="utf-8") == "[]\n"
    assert not (desk / "new" / "weights.npz").exists()


@pytest.mark.parametrize("split", ["0", "0.2"])
def test_a_divergence_that_only_the_evaluation_sees_is_one_too(split, desk, capsys):
    argv = ["--batch-size", "160", "--epochs", "1", "--lr", "1e30", "--val-split", split]
    assert run(["--dataset", "./set", "--out", "new", *argv]) == 5
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.search("diverged by step 1: the loss is (nan|inf)", error)
    assert "try an lr below 1e+30, such as 0.001" in error
    assert not (desk / "new" / "weights.npz").exists()
    assert not (desk / "new" / "results.json").exists()


def test_no_memory_is_one_line_with_what_to_do(monkeypatch, capsys):
    def refuse(*args: object, **options: object) -> None:
        np.empty(2**50, dtype=np.float64)

    monkeypatch.setattr("scratchnet.cli.setup.load", refuse)
    assert run([]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(
        "train.py: error: out of memory: Unable to allocate .*; choose smaller layers or batches\n",
        error,
    )


@pytest.mark.parametrize("file", ["config.json", "history.json", "weights.npz", "results.json"])
def test_a_disk_that_fills_during_the_run_is_one_line_and_exit_4(file, desk, monkeypatch, capsys):
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).name == file:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("scratchnet.storage.atomic.os.replace", full)
    assert run(["--dataset", "./set", "--epochs", "2", "--out", "new"]) == 4
    error = capsys.readouterr().err
    assert re.fullmatch(f"train.py: error: cannot write '.*{file}': No space left.*; .+\n", error)
    assert [path.name for path in (desk / "new").glob(".*")] == [".lock"]
    assert file not in os.listdir(desk / "new")
    lines = (desk / "new" / "history.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == (1 if file == "config.json" else 3)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_place_that_cannot_be_written_to_is_found_before_training(
    number, desk, monkeypatch, capsys
):
    refuse_to_replace(monkeypatch, "checkpoint", number)
    assert run([*BEGIN, "--out", "new", "--verbose"]) == 4
    seen = capsys.readouterr()
    reason = re.escape(f"{os.strerror(number)} ({errno.errorcode[number]})")
    assert re.fullmatch(f"train.py: error: cannot write 'new/check.*': {reason}; .+\n", seen.err)
    assert "epoch" not in seen.out
    assert len((desk / "new" / "history.csv").read_text(encoding="utf-8").splitlines()) == 1


def test_a_disk_that_fills_between_two_saves_keeps_what_was_saved(monkeypatch, capsys):
    begun("whole")(Path())
    with monkeypatch.context() as patch:
        refuse_to_replace(patch, "checkpoint-00000006", errno.ENOSPC)
        assert run([*BEGIN, "--epochs", "3", "--out", "new"]) == 4
    error = capsys.readouterr().err
    assert re.fullmatch(r"train.py: error: cannot write 'new/.*6.npz': No space .*; .+\n", error)
    assert Checkpoints(Path("new")).latest()[0].name == "checkpoint-00000003.npz"
    assert run(["--resume", "new", "-q"]) == 0
    assert outcome("new") == outcome("whole")


def test_memory_that_runs_out_in_training_leaves_the_last_checkpoint(monkeypatch, capsys):
    begun("whole")(Path())
    step = Trainer.step

    def hungry(self: Trainer, *batch: np.ndarray | None) -> tuple[float, int]:
        if self.steps == 4:
            np.empty(2**50, dtype=np.float64)
        return step(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", hungry)
        assert run([*BEGIN, "--epochs", "3", "--out", "new"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch("train.py: error: out of memory: .*; choose smaller .*batches\n", error)
    assert run(["--resume", "new", "-q"]) == 0
    assert outcome("new") == outcome("whole")


def test_no_name_and_no_decision_comes_from_the_clock_on_the_wall(monkeypatch):
    begun("whole")(Path())

    def no_clock() -> float:
        raise AssertionError("the wall clock was asked")

    monkeypatch.setattr("time.time", no_clock)
    for n in (1, 2):
        assert run([*BEGIN, "--epochs", "3"]) == 0
        assert outcome(f"runs/set-adam-{n}") == outcome("whole")


def test_a_second_process_is_refused_by_the_pid_of_the_first_whose_death_frees_the_folder(capsys):
    argv = [sys.executable, TRAIN_PY, *BEGIN, "--epochs", "1000000", "--out", "new"]
    with subprocess.Popen(argv) as first:
        while not list(Path("new").glob("checkpoint-*")):
            assert first.poll() is None
            time.sleep(0.01)
        before = sorted(os.listdir("set"))
        assert run(["--resume", "new"]) == 4
        lock = f"train.py: error: 'new' is in use by process {first.pid}; wait until it ends, .+\n"
        assert re.fullmatch(lock, capsys.readouterr().err)
        assert run([*BEGIN, "--out", "new"]) == 4
        assert "'new' already holds files; choose another" in capsys.readouterr().err
        assert sorted(os.listdir("set")) == before
        first.kill()
    assert run(["--resume", "new", "--epochs", "1", "-q"]) == 0


def test_a_numpy_that_is_too_old_is_named_with_both_versions(monkeypatch, capsys):
    monkeypatch.setattr(np, "__version__", "1.26.4")
    assert run(["--dataset", "./set", "--out", "new"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch("train.py: error: NumPy 1.26.4 is installed, .* 2.0 or newer; .+\n", error)
    assert not Path("new").exists()


def test_a_package_that_is_missing_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert run([]) == 2
    error = capsys.readouterr().err
    assert error.startswith("train.py: error: sklearn.datasets is not installed; run `make train`")
    assert error.count("\n") == 1


def test_without_numpy_train_py_says_so():
    done = subprocess.run(
        [sys.executable, "-S", TRAIN_PY], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert re.fullmatch("train.py: error: numpy is not installed; run `make .+\n", done.stderr)


def test_no_home_and_no_temporary_folder_have_no_effect(desk):
    env = {k: v for k, v in os.environ.items() if k != "HOME"} | {"TMPDIR": "/nowhere"}
    argv = [sys.executable, TRAIN_PY, "--dataset", "./set", "--epochs", "1", "--out", "new"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (desk / "new" / "results.json").exists()


def test_a_working_folder_that_is_gone_is_one_line(desk):
    (desk / "gone").mkdir()
    train = f"'{sys.executable}' '{TRAIN_PY}' --dataset '{desk}/set'"
    done = subprocess.run(
        f"cd gone && rmdir ../gone && {train}",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert re.fullmatch("train.py: error: cannot write 'runs/set-adam-1': .+\n", done.stderr)


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_file_system_without_rename_or_fsync_is_named(call, number, desk, monkeypatch, capsys):
    begun("new")(desk)
    before = look(desk)

    def refuse(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"scratchnet.storage.atomic.os.{call}", refuse)
    capsys.readouterr()
    assert run(["--resume", "new", "--epochs", "4", "-q"]) == 4
    error = capsys.readouterr().err
    reason = re.escape(f"{os.strerror(number)} ({errno.errorcode[number]})")
    assert re.fullmatch(f"train.py: error: cannot write 'new/.+': {reason}; choose .+\n", error)
    assert look(desk) == before


# Notebooks and other systems


def test_only_the_command_line_has_signal_handlers_and_only_while_it_trains(monkeypatch):
    before = [signal.getsignal(number) for number in SIGNALS]
    seen = []
    monkeypatch.setattr(trainer, "evaluate", lambda *_: seen.append(handlers()) or (1.0, 0.5))

    def handlers() -> list[Any]:
        return [signal.getsignal(number) for number in SIGNALS]

    list(Trainer(net(), (GOOD, RIGHT), (GOOD, RIGHT), batch_size=4).run(1))
    assert seen == [before]
    assert run([*BEGIN, "--epochs", "1"]) == 0
    assert seen[1] != before
    thread = threading.Thread(target=run, args=([*BEGIN, "--epochs", "1"],))
    thread.start()
    thread.join()
    assert before in seen[-2:]
    assert handlers() == before


def test_training_that_ctrl_c_broke_off_in_a_cell_goes_on_in_the_next():
    def interrupt(step: int, loss: float) -> None:
        if step == 3:
            raise KeyboardInterrupt

    network, other = net(), net()
    trainer = Trainer(network, (GOOD, RIGHT), batch_size=4, on_step=interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(trainer.run(3))
    trainer.on_step = None
    assert [epoch.number for epoch in trainer.run(2)] == [2, 3]
    list(Trainer(other, (GOOD, RIGHT), batch_size=4).run(3))
    np.testing.assert_array_equal(network.vector, other.vector)


def train_here(seed: int) -> bytes:
    network = net(seed=seed)
    list(Trainer(network, (GOOD, RIGHT), batch_size=4).run(2))
    return network.vector.tobytes()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_workers_train_as_their_parent_does():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(train_here, range(4)) == [train_here(seed) for seed in range(4)]


def test_a_system_without_such_locks_or_folders_that_can_be_synced_trains_as_well(
    desk, monkeypatch, capsys
):
    begun("whole")(desk)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(
        "scratchnet.storage.atomic.os", SimpleNamespace(**vars(os) | {"name": "nt"})
    )
    assert run([*BEGIN, "--epochs", "3", "--out", "new"]) == 0
    assert outcome("new") == outcome("whole")


def test_a_file_that_another_program_holds_open_is_named(desk, monkeypatch, capsys):
    begun("new")(desk)
    refuse_to_replace(monkeypatch, "history.csv", errno.EACCES)  # what Windows says
    capsys.readouterr()
    assert run(["--resume", "new", "--epochs", "4", "-q"]) == 4
    error = capsys.readouterr().err
    assert re.fullmatch("train.py: error: cannot write 'new/history.csv': Permission .+\n", error)
    assert Checkpoints(desk / "new").latest()[0].name == TWO[1]
