"""What a run prints: into pipes, on terminals, to readers that go away."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import (
    EPOCH,
    RESULT,
    SPARK,
    TRAIN_PY,
    on_a_terminal,
    results,
    start,
    train,
    weights,
)

from scratchnet import Trainer, cli, load
from scratchnet.cli import console
from scratchnet.training.resuming import load_weights

pytestmark = pytest.mark.usefixtures("here")


def test_into_a_pipe_go_a_header_a_plain_line_for_each_epoch_and_the_result(bars):
    out, err = train("--dataset", bars, "--epochs", "12", "--hidden", "8,6")
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == f"data       {bars}: 360 train, 40 validation, 80 test; 4x5, 4 classes"
    assert lines[1] == "network    20-8-6-4 relu, 250 parameters, float32"
    assert lines[2] == (
        "optimizer  Adam(lr=0.001, beta1=0.9, beta2=0.999, eps=1e-08), batch 100, seed 0"
    )
    assert re.fullmatch(
        r"machine    Python 3\S+, NumPy \S+(, \S+ \S+ \(\S+, 1 thread\))?, loops: .+", lines[3]
    )
    assert len(lines) == 4 + 12 + 2
    for n, line in enumerate(lines[4:-2], 1):
        assert EPOCH.fullmatch(line)
        assert line.startswith(f"epoch {n:>2}/12 ")
    assert lines[-2].startswith("verdict    it learned")
    found = RESULT.fullmatch(lines[-1])
    assert found is not None
    assert found[1] == "runs/bars-adam-1/report.html"
    assert "\x1b" not in out
    assert "\r" not in out


def test_the_result_says_what_is_in_results_json(bars):
    out, _ = train("--dataset", bars, "--epochs", "1", "-q", "--optimizer", "sgd", "--lr", "0.5")
    found = results("runs/bars-sgd-1")
    assert out == (
        f"test accuracy {found['test_accuracy']:.4f}, loss {found['test_loss']:.4f} after 1 epoch "
        f"in {found['seconds']:.2f} s; see runs/bars-sgd-1/report.html\n"
    )


def test_json_on_stdout_is_one_document_equal_to_results_json(bars):
    out, err = train("--dataset", bars, "--epochs", "2", "--json")
    assert out == Path("runs/bars-adam-1/results.json").read_text(encoding="utf-8")
    assert json.loads(out)["epochs"] == 2
    assert err.startswith("data  ")
    assert err.count("\nepoch ") == 2


def test_json_and_quiet_leave_the_result_on_stderr_only(bars, capsys):
    assert cli.main(["--dataset", bars, "--epochs", "2", "--json", "-q"]) == 0
    seen = capsys.readouterr()
    json.loads(seen.out)
    assert RESULT.fullmatch(seen.err.strip())


def test_verbose_adds_the_layers(bars, capsys):
    assert cli.main(["--dataset", bars, "--epochs", "1", "-v", "--hidden", "7"]) == 0
    out = capsys.readouterr().out
    assert "1 Affine(20, 7)  (N, 7)               147" in out
    assert "Total: 179 parameters, float32" in out


def test_early_stopping_names_the_epoch_whose_weights_are_kept(bars, capsys):
    argv = ["--dataset", bars, "--epochs", "200", "--patience", "2", "--lr", "0.5"]
    assert cli.main([*argv, "--out", "new"]) == 0
    found = results("new")
    rows = json.loads(Path("new/history.json").read_text(encoding="utf-8"))
    assert len(rows) == found["epochs"] == found["kept_epoch"] + 2 < 200
    kept = rows[found["kept_epoch"] - 1]
    assert kept["val_loss"] == min(row["val_loss"] for row in rows) == found["val_loss"]
    assert kept["val_accuracy"] == found["val_accuracy"]
    assert f"with the weights of epoch {found['kept_epoch']}; see new" in capsys.readouterr().out
    network = load_weights("new/weights.npz")
    kept_part = load(bars).train.split(0.1, 0)[1]
    assert Trainer(network, kept_part).evaluate(kept_part)[0] == kept["val_loss"]


def test_a_validation_share_of_0_has_neither_columns_nor_values_of_it(bars, capsys):
    assert cli.main(["--dataset", bars, "--epochs", "1", "--val-split", "0", "--out", "new"]) == 0
    out = capsys.readouterr().out
    assert "400 train, 80 test" in out
    assert "val" not in out
    assert results("new")["val_loss"] is None


def test_without_a_command_line_the_digits_are_learned(capsys):
    assert cli.main([]) == 0
    assert results("runs/digits-adam-1")["test_accuracy"] > 0.95
    assert (
        "digits: 1,293 train, 144 validation, 360 test; 8x8, 10 classes" in capsys.readouterr().out
    )


# Terminals


def test_on_a_terminal_there_is_a_bar_and_the_lines_stay_whole(bars):
    _, shown = on_a_terminal("--dataset", bars, "--epochs", "3")
    assert re.search(r"0%\|.*\| 0/12 \[", shown)
    assert re.search(r"\| 4/12 \[.*loss=\d\.\d{4}", shown)
    remains = [line.split("\r")[-1] for line in shown.split("\r\n")]
    assert len(remains) == 4 + 3 + 2 + 1
    assert remains[0].startswith("data  ")
    assert [len(SPARK.fullmatch(line)[1]) for line in remains[4:7]] == [1, 2, 3]
    assert remains[7].startswith("verdict    it learned")
    assert RESULT.fullmatch(remains[8])
    assert remains[9] == ""


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_a_sparkline_is_drawn_only_where_the_terminal_can(term, monkeypatch):
    monkeypatch.setenv("TERM", term)
    for encoding, able in (("utf-8", term == "xterm"), ("ascii", False), ("latin-1", False)):
        file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        assert console.can_draw(file) is False  # no terminal
        monkeypatch.setattr(file, "isatty", lambda: True, raising=False)
        assert console.can_draw(file) is able


def test_a_sparkline_goes_from_the_lowest_to_the_highest_value():
    assert console.sparkline([3.0, 2.0, 1.5, 1.0]) == "█▅▃▁"
    assert console.sparkline([0.0, 7.0, 3.5]) == "▁█▅"
    assert console.sparkline([2.0, 2.0]) == "▁▁"


def test_the_bar_does_not_change_what_is_trained(bars, monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    argv = ["--dataset", bars, "--epochs", "2", "--out"]
    assert cli.main([*argv, "without"]) == 0
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert cli.main([*argv, "with"]) == 0
    assert "0/8 [" in capsys.readouterr().err
    assert weights("with") == weights("without")


def test_the_bar_goes_to_stderr_and_stdout_stays_plain(bars):
    out, shown = on_a_terminal("--dataset", bars, "--epochs", "3", stdout=subprocess.PIPE)
    assert re.search(r"0%\|.*\| 0/12 \[", shown)
    assert "accuracy" not in shown
    lines = out.splitlines()
    assert len(lines) == 4 + 3 + 2
    assert "\r" not in out
    assert "\x1b" not in out


def test_on_a_narrow_terminal_the_bar_is_narrow_and_the_lines_stay_whole(bars):
    _, shown = on_a_terminal("--dataset", bars, "--epochs", "3", columns=30)
    parts = [part for line in shown.splitlines() for part in line.split("\r")]
    bars = [part for part in parts if "|" in part]
    assert bars
    assert max(map(len, bars)) <= 30
    assert len([part for part in parts if SPARK.fullmatch(part)]) == 3


@pytest.mark.parametrize("argv", [["-q"], []], ids=["quiet", "dumb"])
def test_a_dumb_terminal_and_quiet_mean_no_bar(argv, bars):
    term = "xterm" if argv else "dumb"
    _, shown = on_a_terminal("--dataset", bars, "--epochs", "2", *argv, term=term)
    assert "%|" not in shown
    assert "\x1b" not in shown
    assert "\r" not in shown.replace("\r\n", "\n")
    assert len(shown.splitlines()) == (1 if argv else 4 + 2 + 2)


@pytest.mark.parametrize("n", [1, 3])
def test_a_reader_that_goes_away_ends_the_run_without_a_traceback(n, bars):
    process = start("--dataset", bars, "--epochs", "3000")
    assert process.stdout is not None
    assert process.stderr is not None
    lines = [process.stdout.readline() for _ in range(n)]
    process.stdout.close()
    assert lines[0].startswith("data  ")
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_the_head_of_the_output_through_a_shell_is_three_lines(bars):
    command = f"'{sys.executable}' '{TRAIN_PY}' --dataset '{bars}' | head -3"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("closing", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), (">/dev/full", 4)]
)
@pytest.mark.parametrize("json_flag", ["", "--json"])
def test_a_closed_or_full_output_is_no_crash(closing, code, json_flag, bars):
    command = f"'{sys.executable}' '{TRAIN_PY}' --dataset '{bars}' --epochs 1 {json_flag} {closing}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == code
    errors = [line for line in done.stderr.splitlines() if line.startswith("train.py: error")]
    assert len(errors) == (1 if code else 0)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    if closing == "2>&-" and json_flag:
        json.loads(done.stdout)


@pytest.mark.parametrize("end", [">/dev/full", ">&-", "| true"])
def test_help_that_nobody_can_read_is_no_crash(end):
    command = f"'{sys.executable}' '{TRAIN_PY}' --help {end}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
