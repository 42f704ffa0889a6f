"""Ctrl-C and other ends of a run on the command line, and going on with it."""

import csv
import json
import os
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
from command_line import (
    FILES,
    RESULT,
    UNFINISHED,
    begin,
    files_in,
    interrupt_at,
    on_a_terminal,
    read_until_epoch,
    results,
    start,
)

from scratchnet import Trainer, cli
from scratchnet.training import trainer
from scratchnet.training.resuming import Checkpoints, load_weights

pytestmark = pytest.mark.usefixtures("here")


def test_ctrl_c_is_one_line_exit_130_and_the_history_is_whole(bars):
    process = start("--dataset", bars, "--epochs", "1000000", "--out", "new")
    read_until_epoch(process, 3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(r"train\.py: interrupted after step \d+; resume with --resume new\n", err)
    rows = json.loads(Path("new/history.json").read_text(encoding="utf-8"))
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 3
    with open("new/history.csv", newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) in {len(rows), len(rows) + 1}
    assert files_in("new") == UNFINISHED


@pytest.mark.parametrize(
    ("out", "shown"),
    [
        ("ein ü 数", "'ein ü 数'"),
        ("a\nb", "'a\\nb'"),
        ("it's", "'it'\"'\"'s'"),
        ("-x", "./-x"),
        ("deep/er", "deep/er"),
    ],
)
def test_the_line_of_an_interrupt_can_be_typed_again(out, shown, bars, monkeypatch, capsys):
    interrupt_at(monkeypatch, 5)
    assert cli.main(["--dataset", bars, f"--out={out}", "-q"]) == 130
    line = f"train.py: interrupted after step 5; resume with --resume {shown}\n"
    assert capsys.readouterr().err == line
    if "\n" not in out:
        (again,) = shlex.split(shown)
        assert cli.main(["--resume", again, "-q", "--dry-run"]) == 0


def test_a_run_that_is_gone_on_with_says_from_where(bars, monkeypatch, capsys):
    begin(bars, monkeypatch)
    capsys.readouterr()
    assert cli.main(["--resume", "new"]) == 0
    seen = capsys.readouterr()
    lines = seen.out.splitlines()
    assert lines[4] == "resume     new after step 5, 1 of 3 epochs"
    assert [line.split()[1] for line in lines[5:-2]] == ["2/3", "3/3"]
    assert lines[-2].startswith("verdict    it ")
    assert RESULT.fullmatch(lines[-1])
    assert seen.err == ""


def test_a_dry_run_of_going_on_changes_nothing(bars, here, monkeypatch, capsys):
    begin(bars, monkeypatch)
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert cli.main(["--resume", "new", "--dry-run", "--epochs", "9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[4:] == [
        "resume     new after step 5, 1 of 9 epochs",
        "dry run    nothing was trained or written",
    ]
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_on_a_terminal_the_bar_goes_on_where_the_run_had_ended(bars, monkeypatch):
    begin(bars, monkeypatch)
    _, shown = on_a_terminal("--resume", "new")
    assert re.search(r"42%\|.*\| 5/12 \[", shown)
    assert "0/12" not in shown


def test_going_on_keeps_every_argument_and_writes_down_what_is_other(bars, monkeypatch):
    options = ["--hidden", "7", "--lr", "0.01", "--l2", "0.001", "--activation", "tanh"]
    options += ["--patience", "50", "--save-every", "2", "--initializer", "0.1"]
    begin(bars, monkeypatch, *options, "--optimizer", "lookahead", "--set", "k=3")
    before = json.loads(Path("new/config.json").read_text(encoding="utf-8"))
    argv = ["--resume", "new", "--out", "./new/", "--epochs", "5", "--patience", "60", "--json"]
    assert cli.main([*argv, "--data-dir", "."]) == 0
    after = json.loads(Path("new/config.json").read_text(encoding="utf-8"))
    other = {"epochs", "patience", "data_dir", "resume", "json", "quiet"}
    assert {name for name, v in after["arguments"].items() if before["arguments"][name] != v} == (
        other
    )
    assert after["arguments"]["out"] == "new"
    assert (after["optimizer"], after["data"]) == (before["optimizer"], before["data"])
    assert results("new")["epochs"] == 5


def test_results_of_an_earlier_end_are_not_taken_for_those_of_a_later_one(bars, monkeypatch):
    assert cli.main(["--dataset", bars, "--epochs", "2", "--out", "new", "-q"]) == 0
    evaluate = trainer.evaluate

    def interrupt(
        *arguments: Any,
    ) -> tuple[float, float]:  # in the epoch that comes next, the third
        os.kill(os.getpid(), signal.SIGINT)
        return evaluate(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "evaluate", interrupt)
        assert cli.main(["--resume", "new", "--epochs", "4", "-q"]) == 130
    latest = Checkpoints(Path("new")).latest()[1]
    assert (results("new")["epochs"], latest["trainer"]["epochs"]) == (2, 3)
    assert cli.main(["--resume", "new", "--epochs", "3", "-q"]) == 0
    assert (results("new")["epochs"], results("new")["steps"]) == (3, 12)
    one = load_weights("new/weights.npz").vector.tobytes()
    assert cli.main(["--dataset", bars, "--epochs", "3", "--out", "whole", "-q"]) == 0
    assert load_weights("whole/weights.npz").vector.tobytes() == one


def test_a_value_in_a_config_file_is_as_good_as_typed_when_going_on(bars, monkeypatch, capsys):
    Path("run.toml").write_text("epochs = 3\nhidden = [8]\nout = 'new'\n", encoding="utf-8")
    interrupt_at(monkeypatch, 5)
    argv = ["--dataset", bars, "--config", "run.toml", "-q"]
    assert cli.main(argv) == 130
    assert cli.main([*argv, "--resume", "new"]) == 0
    assert results("new")["epochs"] == 3
    Path("go.toml").write_text("resume = 'new'\nepochs = 4\n", encoding="utf-8")
    assert cli.main(["--config", "go.toml", "-q"]) == 0
    assert results("new")["epochs"] == 4


def test_ctrl_c_before_training_is_one_line_and_leaves_nothing(here, monkeypatch, capsys):
    def interrupt(*args: object, **options: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("scratchnet.cli.setup.load", interrupt)
    # A shell lets what it starts in the background ignore Ctrl-C, this test perhaps among it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert cli.main(["--out", "new"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "train.py: interrupted\n"
    assert os.listdir(here) == []


def test_ctrl_c_while_the_results_are_written_lets_them_be_written(bars, monkeypatch):
    evaluate = Trainer.evaluate

    def slow(self: Trainer, samples: Any) -> tuple[float, float]:
        os.kill(os.getpid(), signal.SIGINT)
        return evaluate(self, samples)

    argv = ["--dataset", bars, "--epochs", "1", "--val-split", "0", "-q", "--out", "new"]
    monkeypatch.setattr(Trainer, "evaluate", slow)
    assert cli.main(argv) == 0
    assert files_in("new") == FILES


def test_a_request_to_end_is_143_for_the_shell_and_the_history_is_kept(bars):
    process = start("--dataset", bars, "--epochs", "1000000", "--out", "new")
    read_until_epoch(process, 50)
    process.terminate()
    assert process.stdout is not None
    rest = process.stdout.read().splitlines()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert re.fullmatch(r"train\.py: interrupted after step \d+; resume with --resume new\n", err)
    with open("new/history.csv", newline="", encoding="utf-8") as file:
        rows = [int(row["epoch"]) for row in csv.DictReader(file)]
    assert rows == list(range(1, len(rows) + 1))
    # Every line was printed at once, none waited in a buffer.
    assert 50 + len(rest) >= rows[-1] - 1


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            FileNotFoundError(2, "No such file", "x"),
            4,
            "[Errno 2] No such file: 'x'; --debug shows where",
        ),
        (BrokenPipeError(32, "Broken pipe"), 141, None),
        (KeyboardInterrupt(), 130, None),
        (MemoryError(), 2, "out of memory: there is no more; choose smaller layers or batches"),
    ],
)
def test_what_goes_wrong_while_loading_is_a_line_too(error, code, line, monkeypatch, capsys):
    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("scratchnet.cli.setup.load", fail)
    assert cli.main([]) == code
    err = capsys.readouterr().err
    interrupted = "train.py: interrupted\n" if code == 130 else ""
    assert err == (f"train.py: error: {line}\n" if line else interrupted)


def test_a_bug_is_the_only_error_with_a_traceback_and_exit_1(monkeypatch):
    monkeypatch.setattr("scratchnet.cli.setup.load", lambda *args, **options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main([])


def test_debug_shows_the_traceback_and_still_the_line(capsys):
    assert cli.main(["--dataset", "./none", "--debug"]) == 3
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("train.py: error: cannot read './none'")
