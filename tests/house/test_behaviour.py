"""Commands and calls come to what was written down of them. See stress/behaviour.py.

To the bit they are compared with an old version on one machine, by `make stress`; here with stored
numbers, of which the last bits may be those of another processor.
"""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from scratchnet.optimizers import OPTIMIZERS, Adam

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "stress"))
behaviour = importlib.import_module("behaviour")
grid = importlib.import_module("behaviour_grid")
STORED = json.loads((ROOT / "tests/reference/behaviour.json").read_bytes())
QUICK = behaviour.entries("quick")
NEAR = 1e-6


@pytest.mark.parametrize("name", QUICK)
def test_an_entry_comes_to_what_was_stored(name):
    found = behaviour.result_of(QUICK[name])
    assert list(behaviour.differences(STORED[name], found, NEAR)) == []


def test_the_stored_record_is_of_these_entries():
    assert list(STORED) == list(QUICK)
    assert len(grid.commands()) >= 120
    assert len(behaviour.calls()) >= 60
    assert set(OPTIMIZERS) >= set(grid.OPTIMIZERS)


def test_a_planted_fault_is_noticed(monkeypatch):
    monkeypatch.setattr(Adam, "__post_init__", Adam.__post_init__)  # puts it back afterwards
    behaviour.plant_fault()
    for name in ("call/optimizer/adam/float64", "optimizer/adam/float64"):
        found = behaviour.result_of(QUICK[name])
        assert list(behaviour.differences(STORED[name], found, NEAR))


@pytest.mark.parametrize(
    ("old", "new", "tolerance", "places"),
    [
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.0]}, 0, []),
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.0 + 4e-16]}, 0, ["/a/1"]),
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.0 + 1e-7]}, NEAR, []),
        ({"a": [1.0, 2.0]}, {"a": [1.0, 2.0 + 1e-5]}, NEAR, ["/a/1"]),
        ({"a": 0.0}, {"a": -0.0}, 0, ["/a"]),
        ({"a": 1}, {"a": 1.0}, 0, ["/a"]),
        ({"a": 1}, {"a": 2}, NEAR, ["/a"]),
        ({"a": 1}, {"b": 1}, NEAR, ["/a", "/b"]),
        ({"a": [1]}, {"a": [1, 2]}, NEAR, ["/a"]),
        ({"sha256": "x"}, {"sha256": "y"}, 0, ["/sha256"]),
        ({"sha256": "x"}, {}, NEAR, []),
    ],
)
def test_differences_are_named_by_their_place(old, new, tolerance, places):
    assert list(behaviour.differences(old, new, tolerance)) == places


def test_a_change_is_expected_where_a_pattern_has_it(monkeypatch):
    monkeypatch.setattr(behaviour, "EXPECTED", {"ranks/*": "asked", "*/results/lr": "a name"})
    old = {name: {"run": {"results": {"lr": 1, "loss": 1}}} for name in ("plain", "ranks/a", "b")}
    new = json.loads(json.dumps(old))
    new["plain"]["run"]["results"]["lr"] = new["ranks/a"]["run"]["results"]["loss"] = 2
    new["b"]["run"]["results"] = {"lr": 2, "loss": 2}
    found = {change.name: change.reason for change in behaviour.changes(old, new)}
    assert found == {"plain": "a name", "ranks/a": "asked", "b": None}


def test_an_entry_that_is_missing_or_cannot_be_run_is_a_change():
    found = behaviour.changes({"a": {}, "b": {"raised": "x"}}, {"b": {"raised": "x"}, "c": {}})
    assert [change.name for change in found] == ["a", "b", "c"]
    assert not any(change.reason for change in found)


def test_some_entries_are_those_of_the_old_version_to_the_bit():
    known = ["git", "-C", str(ROOT), "cat-file", "-e", behaviour.COMMIT]
    if subprocess.run(known, capture_output=True, check=False).returncode:
        pytest.skip("the old version is not in this copy of the history")
    found, ran = behaviour.compare(ROOT, ["--count", "10", "--seed", "1"])
    assert ran == 10
    assert [str(change) for change in found if change.reason is None] == []
