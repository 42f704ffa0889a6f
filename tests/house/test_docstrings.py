"""The examples in docstrings run as they stand there, with the names that they take for granted."""

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

import scratchnet

ROOT = Path(__file__).parents[2]
MODULES = [
    importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for path in sorted((ROOT / "scratchnet").rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]
FINDER = doctest.DocTestFinder(exclude_empty=True)
EXAMPLES = {
    test.name: test
    for module in MODULES
    for test in FINDER.find(module, module.__name__)
    if test.examples
}


class Checker(doctest.OutputChecker):
    """Compares what is printed where the docstring says what that is."""

    def check_output(self, want, got, optionflags):
        return not want or super().check_output(want, got, optionflags)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What an example may use: the public names, and a small training with its files."""
    folder = tmp_path_factory.mktemp("examples")
    train, validation = scratchnet.load("digits").train.split(0.8, 0)
    network = scratchnet.MultiLayerNet(64, [10], 10)
    trainer = scratchnet.Trainer(network, train, validation, optimizer="adam")
    list(trainer.run(2))
    trainer.save(folder / "checkpoint-00001230.npz")
    np.save(folder / "images.npy", np.zeros((4, 3), np.uint8))
    np.save(folder / "labels.npy", np.array([0, 1, 1, 0]))
    x_batch = np.zeros((5, 28 * 28), np.float32)
    public = {name: getattr(scratchnet, name) for name in scratchnet.__all__}
    return public | {
        "folder": folder,
        "np": np,
        "train": train,
        "validation": validation,
        "network": network,
        "trainer": trainer,
        "x_batch": x_batch,
    }


def test_there_are_examples():
    assert len(EXAMPLES) >= 15


@pytest.mark.parametrize("test", EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_does_what_it_says(test, names, monkeypatch):
    monkeypatch.chdir(names["folder"])
    test.globs = names | test.globs
    lines = []
    failed, _ = doctest.DocTestRunner(Checker(), verbose=False).run(test, out=lines.append)
    assert failed == 0, "".join(lines)
