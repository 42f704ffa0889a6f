"""Write the files beside this one with version 0.1, and what that version computes from them.

    PYTHONPATH=CHECKOUT python tests/files/make_files.py

CHECKOUT is a checkout of scratchnet 0.1, before `weight_decay` of a network became `l2`.
`tests/storage/test_old_files.py` reads the files with the present version.
"""

import json
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np

from scratchnet import MultiLayerNet, Trainer, load
from scratchnet.checkpoint import load_weights, save_weights
from scratchnet.cli import main
from scratchnet.estimator import MLPClassifier, MLPRegressor

FILES = Path(__file__).parent
COMPARISON = (
    "--optimizer sgd adam --hidden 3 --epochs 1 --batch-size 500 --jobs 1 --no-report --quiet"
)
NOT_KEPT = (".lock", "checkpoint-00000000.npz", "checkpoint-best.npz", "weights.npz")
RUN = "--hidden 5 --l2 0.01 --batch-norm --optimizer momentum --epochs 1 --no-report --quiet"


def make_network(x, train):
    """A network of several options, trained for an epoch; its logits for x."""
    options = {"dropout": 0.1, "layer_norm": True, "standardize": "features"}
    network = MultiLayerNet(64, [6, 5], 10, ["relu", "tanh"], "xavier", 0.01, **options)
    for _ in Trainer(network, train).run(1):
        pass
    save_weights(network, FILES / "weights.npz")
    return network.predict(x)


def make_run(x):
    """A run of an epoch; the logits for x that it has after the second epoch."""
    run = FILES / "run"
    shutil.rmtree(run, ignore_errors=True)
    assert main([*RUN.split(), "--out", str(run.relative_to(Path.cwd()))]) == 0
    for name in NOT_KEPT:
        (run / name).unlink()
    with tempfile.TemporaryDirectory() as folder:
        whole = shutil.copytree(run, Path(folder) / "run")
        assert main(["--resume", str(whole), "--epochs", "2", "--quiet"]) == 0
        return load_weights(whole / "checkpoint-00000026.npz").predict(x)


def make_comparison():
    """A comparison of which one trial is done; the test losses that it has after the other."""
    folder = FILES / "comparison"
    shutil.rmtree(folder, ignore_errors=True)
    assert main([*COMPARISON.split(), "--out", str(folder.relative_to(Path.cwd()))]) == 0
    results = json.loads((folder / "results.json").read_text())
    shutil.rmtree(folder / "adam")
    done = [f"sgd/{name}" for name in (*NOT_KEPT, "checkpoint-00000003.npz")]
    for name in (".lock", "results.json", *done):
        (folder / name).unlink()
    config = folder / "sgd" / "config.json"
    config.write_text(config.read_text().replace(f"{Path.cwd()}/", ""))
    (trial,) = (folder / "trials").glob("adam-*")
    trial.unlink()
    table = folder / "trials.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    return [row["test_loss"] for row in results["optimizers"]]


def make_estimators(x, train):
    """A classifier and a regressor; their probabilities and values for x."""
    options = {"hidden_layer_sizes": (5,), "max_iter": 3, "alpha": 0.1, "random_state": 0}
    classifier, regressor = MLPClassifier(**options), MLPRegressor(**options)
    inputs, targets = train[:]
    with warnings.catch_warnings(action="ignore"):  # three epochs are too few, as it says
        classifier.fit(inputs, targets)
        regressor.fit(inputs, targets)
    classifier.save(FILES / "classifier.npz")
    regressor.save(FILES / "regressor.npz")
    return classifier.predict_proba(x), regressor.predict(x)


if __name__ == "__main__":
    train, test = load("digits")
    x, _ = test[:5]
    weights, run = make_network(x, train), make_run(x)
    classifier, regressor = make_estimators(x, train)
    comparison = make_comparison()
    np.savez_compressed(
        FILES / "expected.npz",
        x=x,
        weights=weights,
        run=run,
        comparison=comparison,
        classifier=classifier,
        regressor=regressor,
    )
