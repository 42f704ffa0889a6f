"""The verdict on a run: one sentence of what was seen, and what to type next."""

import json
import math
from pathlib import Path

import pytest

from scratchnet import cli
from scratchnet.inspection import Figures, judge
from scratchnet.training import Epoch


def history(losses, held=None):
    held = held or [None] * len(losses)
    return [
        Epoch(k, 10 * k, loss, 0.5, 0.0, val, None if val is None else 0.5, 0.1, 100.0, 0.01)
        for k, (loss, val) in enumerate(zip(losses, held, strict=True), 1)
    ]


def verdict(losses, held=None, *, learned=True, kept=None):
    kept = len(losses) if kept is None else kept
    return judge(Figures(history(losses, held), learned, 0.1, "adam", kept))


CHANCE = math.log(10)
CASES = {
    "learned": (([2.0, 1.0, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4],), {}, "learned"),
    "one epoch": (([2.0],), {}, "learned"),
    "falls": (([2.0, 1.0, 0.5, 0.4],), {}, "improving"),
    "validation falls": (([1, 0.5, 0.4, 0.3], [1, 0.6, 0.5, 0.4]), {}, "improving"),
    "validation level": (([1, 0.5, 0.4, 0.3], [1, 0.6, 0.5, 0.5]), {}, "learned"),
    "validation rises": (([1, 0.5, 0.2, 0.1], [1, 0.5, 0.6, 0.8]), {}, "overfitting"),
    "best kept": (([1, 0.5, 0.2, 0.1], [1, 0.5, 0.6, 0.8]), {"kept": 2}, "learned"),
    "both rise": (([1, 0.5, 0.7, 0.9], [1, 0.5, 0.6, 0.8]), {}, "learned"),
    "chance": (([CHANCE] * 5,), {"learned": False}, "stuck"),
    "by heart": (([2.3, 1.5, 0.9, 0.3],), {"learned": False}, "stuck"),
    "far": (([900.0, 500.0],), {"learned": False}, "diverging"),
    "rises": (([2.3, 30.0, 900.0],), {"learned": False}, "diverging"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_run_is_judged_by_its_losses_and_a_guess(name):
    given, more, expected = CASES[name]
    assert verdict(*given, **more).name == expected


def test_what_is_seen_stands_in_the_sentence_and_what_to_type_beside_it():
    found = verdict([1, 0.5, 0.2, 0.1], [1, 0.5, 0.6, 0.8])
    assert found.text == (
        "it learned, and overfits from epoch 2 on: the validation loss rose from 0.5 to 0.8 while "
        "the training loss fell"
    )
    assert found.flags == "--patience 5"
    assert verdict([2.0, 1.0, 0.5, 0.4]).flags == "--epochs 8"
    stuck = verdict([CHANCE] * 5, learned=False)
    assert stuck.text == "it did not learn: the training loss stayed at 2.3"
    assert stuck.flags == "find-lr adam"
    assert "no better than by their most frequent label (0.10)" in (
        verdict([2.3, 1.5, 0.9, 0.3], learned=False).text
    )


def run(capsys, *words):
    assert cli.main([*words, "--dataset", "digits", "--no-report", "--out", "run"]) == 0
    kept = json.loads(Path("run/results.json").read_bytes())["verdict"]
    return capsys.readouterr().out.splitlines()[-2], kept


def test_a_run_says_its_verdict_before_its_last_line_and_keeps_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line, kept = run(capsys, "--epochs", "20")
    assert kept["name"] == "improving"
    assert line == f"verdict    {kept['text']}; try --epochs 40"


def test_a_run_at_a_tiny_rate_is_told_to_look_for_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line, kept = run(capsys, "--epochs", "5", "--lr", "1e-7")
    assert kept["name"] == "stuck"
    assert line.endswith("; try find-lr adam")


def test_a_quiet_run_is_as_quiet_as_before(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["--dataset", "digits", "--no-report", "--out", "run", "--epochs", "2", "--quiet"]
    assert cli.main(words) == 0
    assert "verdict" not in capsys.readouterr().out
