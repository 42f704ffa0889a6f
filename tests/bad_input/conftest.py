"""A working folder for every test of bad input."""

import sys

import pytest
from desk import write_set


@pytest.fixture(autouse=True)
def desk(tmp_path, monkeypatch):
    """A working folder with a small data set, a file, and a folder that is in use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    for name in ("SCRATCHNET_DATA", "PYTHONUNBUFFERED"):
        monkeypatch.delenv(name, raising=False)
    write_set(tmp_path / "set")
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "results.json").write_text("{}", encoding="utf-8")
    return tmp_path
