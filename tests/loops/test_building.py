"""The package is built with and without a C compiler, and says which it was."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRAIN = """
import scratchnet
from scratchnet.environment import describe
network = scratchnet.TwoLayerNet(64, 20, 10)
train, test = scratchnet.load("digits")
last = list(scratchnet.Trainer(network, train, test).run(epochs=20))[-1]
assert "target" in scratchnet.__file__, scratchnet.__file__
print(describe()["loops"], last.val_accuracy > 0.5)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What a package is built from, in a folder of its own."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    without = shutil.ignore_patterns("__pycache__", "_loops*")
    shutil.copytree(ROOT / "scratchnet", folder / "scratchnet", ignore=without)
    return folder


def wheel_of(source, out, **variables):
    """The wheel that is built there, and what the build said."""
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(source)]
    env = {**os.environ, **variables}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(source / "build", ignore_errors=True)
    (wheel,) = out.iterdir()
    return wheel, done.stdout + done.stderr


def trained(wheel, folder):
    """What a process prints that trains with the package of this wheel."""
    target = folder / "target"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(target)
    env = {**os.environ, "PYTHONPATH": str(target)}
    command = [sys.executable, "-c", TRAIN]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def has_loops(wheel):
    return any("_loops." in name for name in zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_with_a_compiler_the_wheel_is_for_this_platform_and_every_later_python(source, tmp_path):
    if not shutil.which("cc"):
        pytest.skip("there is no compiler")
    wheel, _ = wheel_of(source, tmp_path / "out")
    assert "-cp311-abi3-" in wheel.name
    assert has_loops(wheel)
    assert trained(wheel, tmp_path) in {f"{level} True" for level in ("baseline", "avx2", "avx512")}


@pytest.mark.slow
def test_without_a_compiler_it_is_built_all_the_same_and_numpy_does_the_work(source, tmp_path):
    wheel, said = wheel_of(source, tmp_path / "out", CC="/no/such/compiler")
    assert not has_loops(wheel)
    assert said.count("there is no C compiler that works; NumPy does all the work") == 1
    assert trained(wheel, tmp_path) == "none (not built) True"


@pytest.mark.slow
def test_switched_off_it_is_a_pure_wheel_for_every_platform(source, tmp_path):
    wheel, _ = wheel_of(source, tmp_path / "out", SCRATCHNET_LOOPS="0")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not has_loops(wheel)
    assert trained(wheel, tmp_path) == "none (not built) True"
