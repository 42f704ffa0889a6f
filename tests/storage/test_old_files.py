"""Files that version 0.1 wrote, kept in tests/files, are read and resumed without a warning."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from scratchnet import Affine, MultiLayerNet, Network, TwoLayerNet, load
from scratchnet.cli import main
from scratchnet.estimator import MLPClassifier, MLPRegressor
from scratchnet.storage.archive import read_archive
from scratchnet.training.resuming import load_weights

FILES = Path(__file__).parents[1] / "files"
CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # another processor rounds otherwise


@pytest.fixture
def expected():
    with np.load(FILES / "expected.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", ["weights", "classifier", "regressor", "run/checkpoint-00000013"])
def test_the_files_are_those_of_the_old_version(name):
    _, header = read_archive(FILES / f"{name}.npz")
    assert "weight_decay" in header["network"]
    assert "l2" not in header["network"]


def test_weights_give_the_same_logits(expected):
    network = load_weights(FILES / "weights.npz")
    assert network.l2 == 0.01
    np.testing.assert_allclose(network.predict(expected["x"]), expected["weights"], **CLOSE)


def test_a_run_is_resumed_to_the_same_logits(expected, tmp_path, capsys):
    run = shutil.copytree(FILES / "run", tmp_path / "run")
    assert main(["--resume", str(run), "--epochs", "2", "--quiet"]) == 0
    network = load_weights(run / "checkpoint-00000026.npz")
    assert network.l2 == 0.01
    np.testing.assert_allclose(network.predict(expected["x"]), expected["run"], **CLOSE)
    assert json.loads((run / "config.json").read_text())["network"]["l2"] == 0.01
    assert "warning" not in capsys.readouterr().err.lower()


def test_a_comparison_is_resumed_to_the_same_test_losses(expected, tmp_path, capsys):
    folder = shutil.copytree(FILES / "comparison", tmp_path / "comparison")
    done = (folder / "trials" / "sgd-final-lr-0.01-seed-0.json").read_bytes()
    assert main(["--resume", str(folder), "--quiet"]) == 0
    assert (folder / "trials" / "sgd-final-lr-0.01-seed-0.json").read_bytes() == done
    rows = json.loads((folder / "results.json").read_text())["optimizers"]
    assert [row["optimizer"] for row in rows] == ["sgd", "adam"]
    found = [row["test_loss"] for row in rows]
    np.testing.assert_allclose(found, expected["comparison"], **CLOSE)
    assert "warning" not in capsys.readouterr().err.lower()


def test_a_resumed_run_with_another_l2_is_refused(tmp_path, capsys):
    run = shutil.copytree(FILES / "run", tmp_path / "run")
    assert main(["--resume", str(run), "--l2", "0.5"]) == 2
    assert "--l2 was 0.01, now 0.5" in capsys.readouterr().err


def test_a_classifier_gives_the_same_probabilities_and_goes_on_training(expected):
    found = MLPClassifier.load(FILES / "classifier.npz")
    np.testing.assert_allclose(found.predict_proba(expected["x"]), expected["classifier"], **CLOSE)
    train, _ = load("digits")
    found.partial_fit(*train[:])
    assert len(found.loss_curve_) == 4


def test_a_regressor_gives_the_same_values(expected):
    found = MLPRegressor.load(FILES / "regressor.npz")
    np.testing.assert_allclose(found.predict(expected["x"]), expected["regressor"], **CLOSE)


MAKERS = {
    "MultiLayerNet": lambda **l2: MultiLayerNet(4, [3], 2, **l2),
    "TwoLayerNet": lambda **l2: TwoLayerNet(4, 3, 2, **l2),
    "Network": lambda **l2: Network([Affine(4, 2)], **l2),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_the_old_name_of_l2_works_with_one_warning_where_it_is_used(make):
    with pytest.warns(FutureWarning, match="weight_decay of a network is now l2") as warned:
        network = make(weight_decay=0.25)
    assert [Path(one.filename).name for one in warned] == [Path(__file__).name]
    assert network.l2 == 0.25
    with pytest.raises(TypeError, match="give l2 alone"):
        make(weight_decay=0.25, l2=0.5)


def test_l2_keeps_its_place_among_the_positional_arguments():
    assert TwoLayerNet(4, 3, 2, "relu", "he", 0.5).l2 == 0.5


def test_the_old_attribute_reads_and_writes_l2_with_a_warning():
    network = TwoLayerNet(4, 3, 2, l2=0.25)
    with pytest.warns(FutureWarning, match="is now l2"):
        assert network.weight_decay == 0.25
    with pytest.warns(FutureWarning, match="is now l2"):
        network.weight_decay = 0.5
    assert network.l2 == 0.5
    assert "weight_decay" not in network.config()
