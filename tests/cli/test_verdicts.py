"""The verdict of a run on the command line: its line, results.json, and the command in it."""

import json
import shlex
from pathlib import Path

import pytest
from command_line import interrupt_at

from scratchnet import cli
from scratchnet.cli.console import Console

pytestmark = pytest.mark.usefixtures("here")


def run(capsys, *words, out="run"):
    """The line of the verdict, and what results.json has of it."""
    assert cli.main(list(words)) == 0
    kept = json.loads(Path(out, "results.json").read_bytes())["verdict"]
    line = capsys.readouterr().out.splitlines()[-2]
    after = f"; next: {kept['command']}" if kept["command"] else ""
    assert line == f"verdict    {kept['text']}{after}"
    return kept


NEW = ("--dataset", "digits", "--no-report", "--out", "run")


def test_a_run_that_still_improves_is_gone_on_with_as_it_says(capsys):
    found = run(capsys, *NEW, "--epochs", "10")
    assert found["name"] == "improving"
    assert found["command"] == "python train.py --resume run --epochs 20"
    again = run(capsys, *shlex.split(found["command"])[2:])
    assert again["text"].endswith("over the last 5 of 20 epochs")
    assert again["command"] == "python train.py --resume run --epochs 40"


def test_a_run_that_overfits_is_made_again_with_patience_as_it_says(capsys):
    words = ["--train-samples", "100", "--hidden", "400", "--epochs", "40", "--lr", "0.02"]
    found = run(capsys, *NEW, *words)
    assert found["name"] == "overfitting"
    assert "--epochs 40 --patience 5" in found["command"]
    again = run(capsys, *shlex.split(found["command"])[2:], out="runs/digits-adam-1")
    assert again["name"] == "learned"
    assert again["command"] == ""


@pytest.mark.parametrize(("out", "shown"), [("run", "run"), ("a b", "'a b'"), ("-x", "./-x")])
def test_a_run_that_did_not_learn_is_sent_to_the_doctor(out, shown, capsys):
    words = ["--dataset", "digits", "--no-report", f"--out={out}", "--epochs", "5", "--lr", "1e-7"]
    found = run(capsys, *words, out=out)
    assert found["name"] == "stuck"
    assert found["command"] == f"python train.py doctor {shown}"


def test_an_installed_program_is_named_as_it_is_called(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["/bin/scratchnet"])
    found = run(capsys, *NEW, "--epochs", "3")
    assert found["command"] == "scratchnet --resume run --epochs 6"


def test_a_command_that_would_break_the_line_is_quoted(capsys):
    results = {
        **{"epochs": 1, "kept_epoch": 1, "learned": True, "seconds": 1.0},
        **{"test_accuracy": 0.5, "test_loss": 0.5},
        "verdict": {"text": "it learned", "command": "python train.py --dataset 'a\nb'"},
    }
    Console(1, quiet=False, verbose=False, json=False).result(results, "run")
    first, _ = capsys.readouterr().out.splitlines()
    assert first == "verdict    it learned; next: \"python train.py --dataset 'a\\nb'\""


def test_a_quiet_run_is_as_quiet_as_before(capsys):
    assert cli.main([*NEW, "--epochs", "2", "--quiet"]) == 0
    assert "verdict" not in capsys.readouterr().out


def test_an_interrupted_run_has_no_verdict_before_it_is_gone_on_with(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 20)
        assert cli.main([*NEW, "--epochs", "3"]) == 130
    assert "verdict" not in capsys.readouterr().out
    assert run(capsys, "--resume", "run")["name"] == "improving"
