"""Long runs stay flat, killed comparisons end as if nothing had been: short forms of stress/."""

import importlib
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
sys.path.append(str(Path(__file__).parents[2] / "stress"))


def test_memory_files_and_threads_stay_flat():
    for figure in importlib.import_module("soak").measure(2000, 0):
        assert figure.kept or "seconds" in figure.promise, str(figure)


def test_killed_comparisons_are_resumed_to_the_same_end():
    for figure in importlib.import_module("kills_of_comparisons").measure(2, 0):
        assert figure.kept, str(figure)
