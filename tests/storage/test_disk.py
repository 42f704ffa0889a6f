"""Full disks, refused calls and power cuts lose no checkpoint. See stress/."""

import errno
import importlib
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

sys.path.append(str(Path(__file__).parents[2] / "stress"))
disk = importlib.import_module("disk")
power = importlib.import_module("power")
worker = importlib.import_module("worker")

CALLS = ["open", "write", "flush", "os.fsync", "close"]
CALLS += ["os.replace", "os.open", "os.fsync", "os.close"]


def test_these_are_the_calls_of_a_save(tmp_path):
    assert disk.save_failing(tmp_path / "run", 0, 0) == (None, CALLS)


@pytest.mark.parametrize("error", disk.ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("number", range(1, len(CALLS) + 1))
def test_a_save_whose_call_fails_loses_nothing_and_says_so(number, error, tmp_path):
    assert disk.save_failing(tmp_path / "run", number, error)[0] is None


@pytest.mark.parametrize("number", range(1, len(CALLS) + 1))
def test_weights_are_the_old_or_the_new_ones_whatever_fails(number, tmp_path):
    assert disk.overwrite_failing(tmp_path / "run", number, errno.ENOSPC) is None


def test_control_a_writer_in_place_loses_the_old_weights(tmp_path):
    with disk.in_place():
        assert disk.overwrite_failing(tmp_path / "run", 2, errno.ENOSPC) is not None


def test_a_run_whose_call_fails_exits_with_4_and_names_path_and_error(tmp_path):
    worker.prepare(tmp_path)
    failed, tried, _ = disk.try_all(lambda k, error: disk.run_failing(tmp_path, k, error), 13)
    assert failed == []
    assert tried > 20


def test_every_legal_state_after_a_power_cut_holds_what_was_saved(tmp_path):
    (tmp_path / "run").mkdir()
    recorder = power.record(tmp_path / "run")
    assert len(recorder.states) > 300
    assert power.count_faults(recorder, tmp_path / "after") == (0, 0)


@pytest.mark.parametrize("missing", ["sync_files", "sync_folders"])
def test_control_without_a_sync_there_are_states_that_lose(missing, tmp_path):
    (tmp_path / "run").mkdir()
    recorder = power.shortened(tmp_path / "run", {missing: False})
    states = recorder.states.values()
    assert any(any(power.faults(*state[:2], tmp_path / "after")) for state in states)
