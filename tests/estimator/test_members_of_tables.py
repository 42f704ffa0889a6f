"""Members of an estimator: each holds out other rows, and a file or export is one network."""

import json

import numpy as np
import pandas as pd
import pytest

from scratchnet import load_network
from scratchnet.errors import DataError
from scratchnet.estimator import TableClassifier, TableRegressor
from scratchnet.estimator.frames import TablePreparation
from scratchnet.estimator.members import OfMembers
from scratchnet.formats.exports import EXPORTS
from scratchnet.layers import MemberLoss
from scratchnet.storage.archive import write_archive
from scratchnet.storage.checkpoint import read_file

N = 150
QUICK = {
    "max_iter": 20,
    "learning_rate_init": 0.02,
    "hidden_layer_sizes": (8, 6),
    "bins": 4,
    "random_state": 0,
}


def table(n=N):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": rng.lognormal(3, 1, n),
            "town": rng.choice([f"t{k}" for k in range(40)], n),
            "flag": rng.choice(["yes", "no", None], n),
        }
    )


X = table()
Y = np.log(X["size"]).to_numpy() * 1000 + 5e4
LABELS = np.where(np.median(Y) < Y, "high", "low")


def holding(members, fraction, labels=None, n=N):
    """Which rows members hold out, (n, members)."""
    network = TableClassifier(members=members, validation_fraction=fraction, **QUICK)
    network._seed = 3
    from scratchnet.data import Samples

    t = np.zeros((n, 1)) if labels is None else labels
    return OfMembers._rows_held_out(network, Samples.checked(np.zeros((n, 1)), t))


@pytest.mark.parametrize("members", [1, 3, 6])
@pytest.mark.parametrize("fraction", [0.1, 0.15, 0.5])
def test_each_member_holds_out_the_fraction_and_others_hold_out_other_rows(members, fraction):
    held = holding(members, fraction, n=1000)
    np.testing.assert_allclose(held.mean(axis=0), fraction, atol=0.01)
    if members * fraction <= 1:
        assert held.sum(axis=1).max() == 1
    covered = min(1, members * fraction)
    assert held.any(axis=1).mean() == pytest.approx(covered, abs=0.02)


def test_every_class_is_held_out_alike_and_trained_on_by_every_member():
    labels = np.repeat([0, 1, 2, 3], [900, 96, 3, 1])
    held = holding(6, 0.15, labels, 1000)
    for label, n in ((0, 900), (1, 96)):
        shares = held[labels == label].mean(axis=0)
        np.testing.assert_allclose(shares, 0.15, atol=2 / n)
    for label in range(4):
        assert (~held[labels == label]).any(axis=0).all()
    assert not held[labels == 3].any()


def test_a_row_counts_in_the_training_of_those_members_alone_that_do_not_hold_it_out():
    network = TableRegressor(members=3, **QUICK)
    taken = network._take_in(X, Y, None, None, None, True)
    loss = MemberLoss(network._new_loss(), 3)
    shares, _ = loss.split(taken.train.samples.t)
    held, _ = loss.split(taken.validation.t)
    np.testing.assert_allclose(shares.mean(axis=0), 1)
    rows = np.flatnonzero((shares == 0).any(axis=1))
    assert len(rows) == len(held)
    np.testing.assert_array_equal(shares[rows] == 0, held > 0)
    np.testing.assert_allclose(held.mean(axis=1), 1)


def test_held_out_rows_are_predicted_by_the_members_that_hold_them_out():
    network = TableRegressor(members=3, **QUICK).fit(X, Y)
    taken = TableRegressor(members=3, **QUICK)._take_in(X, Y, None, None, None, True)
    plain, t = network._held_out(taken.validation)
    found = plain._outputs(taken.validation.x)
    each = network._network.predict(taken.validation.x).reshape(len(found), 3, 1)
    held = network._loss_of_members.split(taken.validation.t)[0]
    np.testing.assert_allclose(found[:, 0], each[held > 0][:, 0], rtol=1e-6)
    assert t.shape == found.shape


def test_predictions_are_the_mean_of_what_the_members_give():
    network = TableRegressor(members=4, **QUICK).fit(X, Y)
    x = network._preparation.apply(X, "float32")
    mean, std = (np.array(value) for value in network._target_moments)
    each = network._network.predict(x).astype(np.float64) * std + mean
    np.testing.assert_allclose(network.predict(X), each.mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("hidden", [(), (8, 6)])
def test_a_file_is_read_as_one_network_that_predicts_in_the_units_of_y(tmp_path, members, hidden):
    own = {**QUICK, "members": members, "hidden_layer_sizes": hidden}
    network = TableRegressor(**own).fit(X, Y)
    network.save(tmp_path / "net.npz")
    read = load_network(tmp_path / "net.npz")
    assert read.output_sizes[-1] == 1
    x = network._preparation.apply(X, "float32")
    np.testing.assert_allclose(read.predict(x)[:, 0], network.predict(X), rtol=1e-6)


def test_a_file_of_quantiles_predicts_them_in_the_units_of_y(tmp_path):
    network = TableRegressor(loss="quantile", **QUICK).fit(X, Y)
    network.save(tmp_path / "net.npz")
    read = load_network(tmp_path / "net.npz")
    x = network._preparation.apply(X, "float32")
    q = read.loss_layer.predictions(read.predict(x))
    np.testing.assert_allclose(q, network.predict_quantiles(X), rtol=1e-5)


def test_a_file_of_classes_knows_their_names_and_probabilities(tmp_path):
    network = TableClassifier(**QUICK).fit(X, LABELS)
    network.save(tmp_path / "net.npz")
    read = load_network(tmp_path / "net.npz")
    assert read.preparation.class_names == ("high", "low")
    x = network._preparation.apply(X, "float32")
    p = read.loss_layer.confidences(read.predict(x))[:, 0]
    np.testing.assert_allclose(p, network.predict_proba(X)[:, 1], rtol=1e-4)


@pytest.mark.parametrize("name", ["json", "onnx", "safetensors", "torch"])
def test_what_is_exported_is_the_one_network(tmp_path, name):
    pytest.importorskip("onnx" if name == "onnx" else "safetensors")
    network = TableClassifier(**QUICK).fit(X, LABELS)
    network.save(tmp_path / "net.npz")
    path = tmp_path / f"net{EXPORTS[name].suffix}"
    read = load_network(tmp_path / "net.npz")
    assert path in EXPORTS[name].write(read, path)
    assert read.preparation.class_names == ("high", "low")
    again = TablePreparation.from_config(json.loads(json.dumps(read.preparation.table)))
    np.testing.assert_array_equal(
        again.apply(X, "float32"), network._preparation.apply(X, "float32")
    )
    if name in ("json", "safetensors"):
        assert '"table": [' in path.read_bytes().decode("utf-8", "ignore").replace("\\", "")


def test_members_that_a_file_cannot_have_are_refused(tmp_path):
    network = TableRegressor(**QUICK).fit(X, Y)
    network.save(tmp_path / "net.npz")
    arrays, header = read_file(tmp_path / "net.npz", ("scratchnet estimator",))
    header["fitted"]["_target_moments"] = "none"
    write_archive(tmp_path / "bad.npz", arrays, header)
    with pytest.raises(DataError, match=r"bad\.npz"):
        load_network(tmp_path / "bad.npz")


def test_layer_norm_would_join_members():
    with pytest.raises(ValueError, match="members=1"):
        TableRegressor(layer_norm=True, batch_norm=False, **QUICK).fit(X, Y)
    TableRegressor(layer_norm=True, batch_norm=False, members=1, **QUICK).fit(X, Y)


def test_the_weights_of_members_are_drawn_apart():
    network = TableRegressor(members=3, **{**QUICK, "max_iter": 9}).fit(X, Y)
    W = network.coefs_[1]
    assert W.shape == (3, 8, 6)
    assert not np.allclose(W[0], W[1])
    drawn = TableRegressor(members=3, initializer=None, **QUICK).fit(X, Y)
    assert np.abs(drawn.coefs_[1]).max() > 0


def test_own_validation_rows_are_judged_by_all_members():
    network = TableClassifier(**QUICK).fit(X[:100], LABELS[:100], X_val=X[100:], y_val=LABELS[100:])
    assert len(network.validation_scores_) == network.n_iter_


@pytest.mark.filterwarnings("ignore:the fit ended")
@pytest.mark.parametrize("n", [2, 3, 8])
def test_few_rows_are_trained_on_all(n):
    network = TableRegressor(**QUICK).fit(X[:n], Y[:n])
    assert np.isfinite(network.predict(X)).all()
