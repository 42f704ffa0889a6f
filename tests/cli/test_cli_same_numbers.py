"""The same command line gives the same bits, in any surroundings and from the library."""

import os
import sys
from typing import Any

import pytest
from command_line import results, train, weights

from scratchnet import MultiLayerNet, Trainer, cli, environment, load
from scratchnet.cli.parser import program
from scratchnet.optimizers import OPTIMIZERS
from scratchnet.training.resuming import load_weights

pytestmark = pytest.mark.usefixtures("here")


RUN = ["--hidden", "12,9", "--optimizer", "momentum", "--epochs", "3", "--batch-size", "48"]
RUN += ["--no-report"]


@pytest.fixture
def reference(bars):
    cli.main(["--dataset", bars, *RUN, "--seed", "5", "-q", "--out", "reference"])
    return weights("reference")


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(bars, reference):
    for seed, out in {"5": "same", "6": "other"}.items():
        assert cli.main(["--dataset", bars, *RUN, "--seed", seed, "--out", out]) == 0
    assert weights("same") == reference
    other = weights("other")
    assert all(other[name] != reference[name] for name in reference)
    for name in ("test_loss", "test_accuracy", "val_loss", "steps"):
        assert results("same")[name] == results("reference")[name]
    assert results("other")["test_loss"] != results("reference")["test_loss"]


SURROUNDINGS: dict[str, tuple[list[str], dict[str, str]]] = {
    "python -O": (["-O"], {}),
    "warnings are errors": (["-W", "error"], {}),
    "another hash seed": ([], {"PYTHONHASHSEED": "77"}),
    "another locale": ([], {"LC_ALL": "de_DE.ISO-8859-1", "LANG": "C", "PYTHONUTF8": "0"}),
    "no coercion": ([], {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
    "more BLAS threads": ([], {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}),
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_surroundings_do_not_change_a_bit(name, bars, here, reference):
    options, env = SURROUNDINGS[name]
    (here / "anders wo ü").mkdir()
    argv = ["--dataset", bars, *RUN, "--seed", "5", "--out", str(here / "new")]
    _, err = train(*argv, options=options, env=os.environ | env, cwd=here / "anders wo ü")
    assert err == ""
    assert weights("new") == reference
    assert os.listdir(here / "anders wo ü") == []


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_library_gives_the_weights_of_the_command_line_to_the_bit(optimizer, dtype, bars):
    argv = ["--optimizer", optimizer, "--dtype", dtype, "--seed", "3", "--l2", "0.001"]
    argv += ["--no-report"]
    assert cli.main(["--dataset", bars, "--hidden", "12,9", *argv, "--epochs", "2", "-q"]) == 0

    dataset = load(bars)
    network = MultiLayerNet(20, [12, 9], 4, l2=0.001, seed=3, dtype=dtype)
    train, validation = dataset.train.split(0.1, 3)
    trainer = Trainer(network, train, validation, optimizer=optimizer, seed=3)
    with environment.limit_threads(1):
        epochs = list(trainer.run(2))
        loss, accuracy = trainer.evaluate(dataset.test)

    found = results(f"runs/bars-{optimizer}-1")
    saved = load_weights(f"runs/bars-{optimizer}-1/weights.npz")
    assert saved.vector.tobytes() == network.vector.tobytes()
    assert (found["test_loss"], found["test_accuracy"]) == (loss, accuracy)
    assert found["val_loss"] == epochs[-1].val_loss


def test_the_library_run_of_the_digits_is_the_one_of_a_real_process():
    train("--dataset", "digits", "--epochs", "2", "--hidden", "50,20", "--out", "new")
    dataset = load("digits")
    network = MultiLayerNet(64, [50, 20], 10)
    kept, held = dataset.train.split(0.1, 0)
    list(Trainer(network, kept, held).run(2))
    assert load_weights("new/weights.npz").vector.tobytes() == network.vector.tobytes()


def test_threads_beyond_the_processors_are_not_asked_for():
    with environment.limit_threads(10**30):
        assert all(pool["threads"] <= (os.cpu_count() or 1) for pool in blas())
    with environment.limit_threads(1):
        assert all(pool["threads"] == 1 for pool in blas())
    with environment.limit_threads(None):
        pass


def blas() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = environment.describe()["blas"]
    return found


def test_only_the_blas_of_numpy_is_named():
    import scipy.linalg  # which brings one of its own  # noqa: F401

    environment._controller.cache_clear()
    assert len(blas()) <= 1


def test_free_memory_is_a_number_or_unknown(monkeypatch):
    free = environment.available_memory()
    assert free is None or free > 2**20

    def refuse(*args: object, **options: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("scratchnet.environment.open", refuse, raising=False)
    assert environment.available_memory() is None


def test_the_program_is_called_what_the_user_called(monkeypatch):
    for argv0, name in {
        "/x/y/train.py": "train.py",
        "C:\\bin\\scratchnet": "scratchnet",
        "/x/__main__.py": "scratchnet",
        "-c": "scratchnet",
        "": "scratchnet",
    }.items():
        monkeypatch.setattr(sys, "argv", [argv0])
        assert program() == name
