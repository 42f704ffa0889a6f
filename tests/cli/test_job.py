"""Runs that are broken off and gone on with, through the command line, to the same bits."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from scratchnet import cli
from scratchnet.cli import interrupts
from scratchnet.cli import train as job
from scratchnet.cli.interrupts import Interrupted, Interrupts
from scratchnet.data import load
from scratchnet.runs import RunFolder
from scratchnet.training.resuming import Checkpoints, load_weights, state_digest

ROOT = Path(__file__).parents[2]
WITH_PAGE = ["--dataset", "./set.npz", "--batch-size", "10", "--epochs", "4", "--hidden", "5"]
BASE = [*WITH_PAGE, "--no-report"]
STEPS = 16  # of the whole run: 40 training samples are left of 50


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    """A folder to work in, with a small data set."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 6)).astype("float32")
    np.savez(
        tmp_path / "set.npz",
        x_train=x[:50],
        t_train=np.arange(50) % 3,
        x_test=x[50:],
        t_test=np.arange(10) % 3,
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    return tmp_path


def run(*arguments):
    return cli.main([*BASE, "--val-split", "0.2", *arguments])


def stop_at(monkeypatch, step):
    """Let the run be asked to end after that step, as by Ctrl-C."""
    after = job.Job._after_step

    def watched(self, number, loss):
        if number == step:
            self.interrupts.number = signal.SIGINT
        after(self, number, loss)

    monkeypatch.setattr(job.Job, "_after_step", watched)
    monkeypatch.setattr(job.Job, "_steps_ahead", lambda self, number: 1)  # it is seen at once


def outcome(folder):
    """What must not depend on where a run was broken off: state, weights, results, history."""
    latest, *_ = Checkpoints(Path(folder)).latest()
    with np.load(Path(folder) / "weights.npz") as members:
        weights = {name: members[name].tobytes() for name in members.files if name != "header"}
    rows = json.loads((Path(folder) / "history.json").read_text("utf-8"))
    timed = {"seconds", "samples_per_second"}
    results = json.loads((Path(folder) / "results.json").read_text("utf-8"))
    del results["verdict"]["command"]  # which names the folder
    return (
        state_digest(latest),
        weights,
        [{key: value for key, value in row.items() if key not in timed} for row in rows],
        {key: value for key, value in results.items() if key not in timed},
    )


@pytest.mark.parametrize("step", [1, 3, 4, 5, 10, 15, 16])
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--optimizer", "schedule-free-adamw", "--schedule", "one-cycle"],
        ["--ema", "0.9", "--schedule", "plateau", "--schedule-set", "patience=1,factor=0.5"],
        ["--patience", "1", "--monitor", "val_accuracy", "--dtype", "float64"],
    ],
    ids=["adam", "schedule-free", "ema and plateau", "patience"],
)
def test_a_run_broken_off_after_any_step_goes_on_to_the_same_bits(step, options, monkeypatch):
    assert run(*options, "--out", "whole", "-q") == 0
    steps = json.loads(Path("whole/results.json").read_text("utf-8"))["steps"]
    with monkeypatch.context() as patch:
        stop_at(patch, min(step, steps))
        assert run(*options, "--out", "parts", "-q") == 130
    assert not Path("parts/results.json").exists()
    assert cli.main(["--resume", "parts", "-q"]) == 0
    assert outcome("parts") == outcome("whole")


def test_the_line_of_an_interrupted_run_says_how_to_go_on(monkeypatch, capsys):
    stop_at(monkeypatch, 7)
    assert run("--out", "new") == 130
    error = capsys.readouterr().err
    assert error == "train.py: interrupted after step 7; resume with --resume new\n"


def test_a_finished_run_says_so_and_is_left_alone(capsys):
    assert cli.main([*WITH_PAGE, "--out", "new"]) == 0
    before = outcome("new")
    page = Path("new/report.html").stat().st_mtime_ns
    assert cli.main(["--resume", "new"]) == 0
    assert "new is finished: epoch 4 of 4; raise --epochs to resume it" in capsys.readouterr().out
    assert outcome("new") == before
    assert Path("new/report.html").stat().st_mtime_ns == page


def test_a_finished_run_that_was_killed_at_its_page_is_tidied_and_gets_it():
    assert cli.main([*WITH_PAGE, "--out", "new"]) == 0
    Path("new/report.html").unlink()
    Path("new/.report.html.tmp.1.d2f894e6").write_text("half", encoding="utf-8")
    assert cli.main(["--resume", "new"]) == 0
    assert Path("new/report.html").exists()
    assert not list(Path("new").glob(".report*"))


def test_more_epochs_go_on_as_if_there_had_been_no_end():
    long = [*BASE[:4], "--epochs", "6", *BASE[6:], "--val-split", "0.2", "-q"]
    assert cli.main([*long, "--out", "longer"]) == 0
    assert run("--out", "short", "-q") == 0
    assert cli.main(["--resume", "short", "--epochs", "6", "-q"]) == 0
    assert outcome("short") == outcome("longer")


def test_a_run_that_ended_before_its_results_were_written_writes_them():
    assert run("--out", "new", "-q") == 0
    before = outcome("new")
    os.remove("new/results.json")
    os.remove("new/weights.npz")
    assert cli.main(["--resume", "new", "-q"]) == 0
    assert outcome("new") == before


def test_other_arguments_are_named_and_taken_only_with_override(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        run("--out", "new")
    capsys.readouterr()
    argv = ["--resume", "new", "--optimizer", "sgd", "--hidden", "7", "--seed", "3"]
    assert cli.main(argv) == 2
    error = capsys.readouterr().err
    for clash in (
        "--optimizer was 'adam', now 'sgd'",
        "--hidden was [5], now [7]",
        "--seed was 0, now 3",
        "or add --override",
    ):
        assert clash in error
    assert cli.main(["--resume", "new", "--batch-size", "20", "--override"]) == 0
    assert "settings overridden: batch_size was 10, is 20" in capsys.readouterr().err


def test_the_run_s_own_arguments_may_be_given_again(monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        run("--out", "new", "-q")
    assert run("--resume", "new", "-q") == 0


def test_changed_data_are_refused(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        run("--out", "new")
    with np.load("set.npz") as members:
        arrays = dict(members)
    arrays["x_train"][0, 0] += 1
    np.savez("set.npz", **arrays)
    assert cli.main(["--resume", "new"]) == 2
    assert "saved with other settings: train was" in capsys.readouterr().err


def test_without_a_name_the_latest_run_is_gone_on_with(monkeypatch, capsys):
    for _ in range(2):
        with monkeypatch.context() as patch:
            stop_at(patch, 6)
            assert run("-q") == 130
    for path in Path("runs/set-adam-1").iterdir():
        os.utime(path, (1_000, 1_000))
    assert cli.main(["--resume", "-q"]) == 0
    assert Path("runs/set-adam-2/results.json").exists()
    assert not Path("runs/set-adam-1/results.json").exists()


@pytest.mark.parametrize("where", ["nofile", ""])
def test_where_there_is_nothing_to_go_on_with_the_runs_are_listed(where, capsys):
    assert cli.main(["--resume", *([where] if where else [])]) == 3
    assert "no resumable runs in 'runs'" in capsys.readouterr().err
    assert run("--out", "runs/mine", "-q") == 0
    capsys.readouterr()
    assert cli.main(["--resume", "nofile"]) == 3
    assert "resumable runs: runs/mine" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_passed_over_aloud(monkeypatch, capsys):
    assert run("--out", "whole", "-q") == 0
    with monkeypatch.context() as patch:
        stop_at(patch, 9)
        run("--out", "parts", "-q", "--save-every", "4")
    newest = Path("parts/checkpoint-00000009.npz")
    newest.write_bytes(newest.read_bytes()[:-50])
    capsys.readouterr()
    assert cli.main(["--resume", "parts", "-q"]) == 0
    error = capsys.readouterr().err
    assert error.startswith("note: 'parts/checkpoint-00000009.npz' is a damaged .npz")
    assert "going back to the one before" in error
    assert outcome("parts") == outcome("whole")


def test_where_no_checkpoint_can_be_read_nothing_is_deleted(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_at(patch, 9)
        run("--out", "new", "-q")
    names = sorted(path.name for path in Checkpoints(Path("new")).numbered())
    for name in names:
        (Path("new") / name).write_bytes(b"broken")
    assert cli.main(["--resume", "new"]) == 3
    assert "no checkpoint that can be read" in capsys.readouterr().err
    assert sorted(path.name for path in Checkpoints(Path("new")).numbered()) == names


def test_a_second_process_on_one_folder_is_refused_by_the_number_of_the_first(capsys):
    assert run("--out", "new", "-q") == 0
    capsys.readouterr()
    owner = RunFolder.reopen(Path("new"))
    assert cli.main(["--resume", "new"]) == 4
    assert f"'new' is in use by process {os.getpid()}" in capsys.readouterr().err
    owner.close()
    assert cli.main(["--resume", "new"]) == 0


def test_a_copied_folder_is_a_run_of_its_own(monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        run("--out", "new", "-q")
    shutil.copytree("new", "copy")
    assert cli.main(["--resume", "copy", "-q"]) == 0
    assert not Path("new/results.json").exists()


def test_checkpoints_are_saved_every_so_many_steps(monkeypatch):
    seen = []
    save = Checkpoints.save
    monkeypatch.setattr(
        Checkpoints,
        "save",
        lambda self, steps, *rest: seen.append(steps) or save(self, steps, *rest),
    )
    assert run("--out", "new", "--save-every", "6", "-q") == 0
    assert seen == [0, 6, 12, 16]


def test_the_best_weights_are_kept_apart():
    # A rate so large that validation loss is best long before the end.
    assert run("--out", "new", "--lr", "0.3", "-q") == 0
    rows = json.loads(Path("new/history.json").read_text("utf-8"))
    best = min(row["val_loss"] for row in rows)
    assert best < rows[-1]["val_loss"]
    _, validation = load("./set.npz").train.split(0.2, 0)
    found = load_weights("new/checkpoint-best.npz").loss(*validation[:])
    assert found == pytest.approx(best, rel=1e-6)


def test_a_disk_that_is_full_is_found_before_training(monkeypatch, capsys):
    def full(source, target):
        if "checkpoint" in str(target):
            raise OSError(28, "No space left on device")
        os.rename(source, target)

    monkeypatch.setattr("scratchnet.storage.atomic.os.replace", full)
    assert run("--out", "new") == 4
    captured = capsys.readouterr()
    assert "checkpoint-00000000.npz': No space left on device (ENOSPC)" in captured.err
    assert "epoch 1" not in captured.out


# Signals


def test_the_first_signal_is_noted_and_handlers_are_put_back():
    before = [signal.getsignal(number) for number in interrupts.SIGNALS]
    watch = Interrupts()
    with watch.watch():
        watch.check()
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted) as caught:
            watch.check()
    assert caught.value.code == 143
    assert [signal.getsignal(number) for number in interrupts.SIGNALS] == before


def test_in_another_thread_no_handler_is_touched():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def look():
        with Interrupts().watch():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_second_signal_ends_at_once(number):
    code = (
        "import os, signal, time\n"
        "from scratchnet.cli.interrupts import Interrupts\n"
        "with Interrupts().watch():\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    print('still here')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == -number
    assert ended.stdout == b""
