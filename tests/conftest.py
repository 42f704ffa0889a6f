"""For every test one thread of BLAS; for those of the command line data and a place to be.

The thread is set before NumPy is imported: on a machine that is busy with anything else a second
one makes the small products of tests many times slower.
"""

import gc
import os
import shutil
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from browser import browser

from scratchnet.errors import DataWarning

# Thousands of files are written through to the disk: in memory that takes no time.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_finish():
    """Thousands of collected tests stay: the garbage collector need not visit them in each."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def quiet_about_data():
    """Data of tests are what they are; those that are about such warnings expect them."""
    warnings.filterwarnings("ignore", category=DataWarning)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An .npz of images that a network learns at once: a bright row for each class."""
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    rng, arrays = np.random.default_rng(0), {}
    for part, n in {"train": 201, "test": 40}.items():
        labels = (np.arange(n) % 4).astype(np.uint8)
        images = rng.integers(0, 80, (n, 4, 5), dtype=np.uint8)
        images[np.arange(n), labels] += 120
        arrays |= {f"x_{part}": images, f"t_{part}": labels}
    np.savez(path, **arrays)
    return str(path)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to be in, as a user of train.py."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    for name in ("SCRATCHNET_DATA", "PYTHONUNBUFFERED"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def chromium():
    """Headless Chromium, started by the first test that needs it."""
    with browser() as started:
        yield started
