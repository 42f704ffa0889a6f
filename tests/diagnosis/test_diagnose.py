"""The doctor names a planted fault after an experiment, and finds nothing in a healthy run."""

import json
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, make_moons
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import scratchnet as sn
from scratchnet.data import Samples
from scratchnet.diagnosis import RULES, diagnose
from scratchnet.errors import ParameterError, ShapeError
from scratchnet.estimator import MLPClassifier, MLPRegressor, TableClassifier
from scratchnet.layers import Affine, Layer, SoftmaxWithLoss
from scratchnet.networks import Network
from scratchnet.schedules import make_schedule


class Run:
    """A healthy run on digits, to be made worse."""

    def __init__(self):
        data = sn.load("digits")
        x = np.concatenate([part.x * part.scale for part in data]).astype(np.float32)
        train, test = Samples(x, np.concatenate([part.t for part in data])).split(0.3, 0)
        self.x, self.t = train.x.copy(), train.t.copy()
        self.x_test, self.t_test = test.x.copy(), test.t.copy()
        self.network = sn.MultiLayerNet(64, [64], 10)
        self.options = {"optimizer": "momentum", "lr": 0.1, "batch_size": 50, "epochs": 15}
        self.rng = np.random.default_rng(0)

    def examined(self):
        train, validation = (self.x, self.t), (self.x_test, self.t_test)
        return diagnose(self.network, train, validation, **self.options)


def scale_weights(run, by):
    for name, w in run.network.params.items():
        if name.startswith("W"):
            w *= by


def lower_biases(run):
    run.network.params["b1"][...] = -8


def keep(run, rows):
    run.x, run.t = run.x[rows], run.t[rows]


def make_noisy(run, share):
    rows = run.rng.random(len(run.t)) < share
    run.t[rows] = run.rng.integers(0, 10, rows.sum())


class Wrong(Layer):
    def forward(self, x, *, train=False):
        self.x = x
        return np.maximum(x, 0)

    def input_grad(self, dout):
        return -dout * (self.x > 0)


def use_layer(run):
    layers = [Affine(64, 64), Wrong(), Affine(64, 10)]
    run.network = Network(layers, SoftmaxWithLoss())


def widen(run, column=20):
    run.x[:, column] *= 300
    run.x_test[:, column] *= 300


def whiten(run):
    run.x[:, run.rng.random(64) < 0.9] = 0.5
    run.x_test[:, (run.x == run.x[0]).all(axis=0)] = 0.5


def scale(run, by):
    run.x *= by
    run.x_test *= by


def sort(run):
    order = np.argsort(run.t, kind="stable")
    keep(run, order)
    run.options |= {"shuffle": False, "epochs": 4}


def add_outliers(run):
    run.x[::40] *= 300


def use_moons(run):
    x, t = make_moons(600, noise=0.1, random_state=0)
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    run.x, run.t, run.x_test, run.t_test = x[:400], t[:400], x[400:], t[400:]
    run.network = sn.MultiLayerNet(2, [32, 32], 2, activation="identity")
    run.options["epochs"] = 60


def set_network(run, *hidden, **options):
    run.network = sn.MultiLayerNet(64, list(hidden), 10, **options)


FAULTS = {
    "rate too high": lambda run: run.options.update(lr=50.0),
    "rate too low": lambda run: run.options.update(lr=1e-5),
    "labels shuffled": lambda run: run.rng.shuffle(run.t),
    "labels noisy": lambda run: make_noisy(run, 0.4),
    "inputs unscaled": lambda run: scale(run, 255),
    "inputs constant": whiten,
    "outsize column": widen,
    "weights too small": lambda run: (scale_weights(run, 1e-4), run.options.update(lr=0.01)),
    "weights too large": lambda run: scale_weights(run, 100),
    "dead ReLU": lower_biases,
    "saturated activations": lambda run: set_network(run, *[32] * 6, activation="sigmoid"),
    "L2 too strong": lambda run: set_network(run, 64, l2=1.0),
    "dropout too strong": lambda run: set_network(run, 16, dropout=0.9),
    "class missing": lambda run: keep(run, run.t != 3),
    "class dominant": lambda run: keep(run, (run.t == 3) | (run.rng.random(len(run.t)) < 0.05)),
    "too few samples": lambda run: (keep(run, slice(60)), run.options.update(epochs=100)),
    "train and test prepared differently": lambda run: run.x_test.__imul__(20),
    "validation labels do not fit": lambda run: run.rng.shuffle(run.t_test),
    "wrong backward pass": use_layer,
    "samples not shuffled": sort,
    "optimizer options": lambda run: run.options.update(optimizer="momentum", momentum=0.9999),
    "schedule": lambda run: run.options.update(schedule=make_schedule("step", every=0.01)),
    "outlier samples": add_outliers,
    "no activation": use_moons,
    "network too small": lambda run: set_network(run, 2),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named_first(name):
    run = Run()
    FAULTS[name](run)
    found = run.examined()
    assert [finding.name for finding in found.findings][:1] == [name], str(found)
    finding = found.findings[0]
    assert finding.seen
    assert finding.tried
    assert finding.changed
    assert finding.words.python or finding.words.flags
    assert finding.pictures
    for picture in finding.pictures:
        assert len(picture.places) >= max(len(picture.healthy), len(picture.here)) > 0
    assert name in str(found)


def test_a_healthy_run_is_left_alone():
    found = Run().examined()
    assert found.findings == ()
    assert str(found).startswith("nothing found: mean recall of the run 0.9")
    assert "a linear model" in str(found)
    assert not found.lacks


def test_the_curable_faults_are_cured_by_what_is_said():
    run = Run()
    run.options["lr"] = 1e-5
    lr = float(run.examined().findings[0].words.flags.split()[-1])
    run.options["lr"] = lr
    assert run.examined().findings == ()


def test_one_layer_of_several_of_one_shape_is_enough():
    run = Run()
    run.network = sn.MultiLayerNet(64, [64, 64, 64], 10)
    run.network.params["W2"][...] *= 300
    found = run.examined()
    assert found.findings[0].name == "weights too large"
    assert "Affine(64, 64)" in found.findings[0].seen


def test_the_wrong_layer_is_named():
    run = Run()
    use_layer(run)
    assert run.examined().findings[0].changed == "wrong: Wrong()"


def test_the_network_stays_as_it_is_and_the_bits_are_the_same():
    run = Run()
    run.options["lr"] = 50.0
    before = run.network.state_vector.copy()
    first, second = run.examined(), run.examined()
    assert run.network.state_vector.tobytes() == before.tobytes()
    assert first.to_dict() == second.to_dict()


def test_the_result_is_plain_data():
    run = Run()
    run.options["lr"] = 1e6
    found = run.examined()
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["findings"][0]["name"] == "rate too high"
    assert plain["tried"][0]["what"]


def test_without_validation_samples_a_part_of_the_training_samples_is_enough():
    run = Run()
    found = diagnose(run.network, (run.x, run.t), optimizer="sgd", lr=1e-6, epochs=5)
    assert found.findings[0].name == "rate too low"


def test_a_network_of_images():
    data = sn.load("digits")
    network = sn.SimpleConvNet((1, 8, 8), {"filter_num": 8, "filter_size": 3, "pad": 0})
    found = diagnose(network, data.train, data.test, "adam", lr=1e-7, epochs=3)
    assert found.findings[0].name == "rate too low"
    assert diagnose(network, data.train, data.test, "adam", lr=0.003, epochs=40).findings == ()


def values():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    return x, np.sin(x[:, 0]) + x[:, 1] * x[:, 2] + 0.1 * rng.normal(size=400)


def test_a_network_of_values():
    x, y = values()
    loss = {"loss": "mean-squared-error", "labels": "values"}
    network = sn.MultiLayerNet(6, [64], 1, **loss)
    t = y[:, None].astype(np.float32)
    good = diagnose(network, (x, t), optimizer="adam", lr=0.01, epochs=60)
    assert good.findings == ()
    assert good.measure == "R^2"
    slow = diagnose(network, (x, t), optimizer="adam", lr=1e-6, epochs=60)
    assert slow.findings[0].name == "rate too low"
    far = diagnose(network, (x, 1e3 + 100 * t), optimizer="adam", lr=0.01, epochs=60)
    assert far.findings[0].name == "targets unscaled"


def test_an_estimator_alone_and_in_a_pipeline():
    x, y = load_breast_cancer(return_X_y=True)
    estimator = MLPClassifier(learning_rate_init=0.01, max_iter=40, random_state=0)
    assert diagnose(estimator, x, y).findings[0].name == "inputs unscaled"
    assert diagnose(make_pipeline(StandardScaler(), estimator), x, y).findings == ()
    assert not hasattr(estimator, "coefs_")


def test_an_estimator_of_values_and_one_of_tables():
    x, y = values()
    slow = MLPRegressor(learning_rate_init=1e-7, max_iter=30, random_state=0)
    assert diagnose(slow, x, y).findings[0].name == "rate too low"
    x, y = load_breast_cancer(return_X_y=True)
    assert diagnose(TableClassifier(random_state=0), x, y).findings == ()


def test_frames_of_pandas():
    pandas = pytest.importorskip("pandas")
    run = Run()
    train = pandas.DataFrame(run.x), pandas.Series(run.t)
    found = diagnose(run.network, train, optimizer="sgd", lr=1e-6, epochs=5)
    assert found.findings[0].name == "rate too low"


def test_what_cannot_be_diagnosed_is_refused():
    run = Run()
    with pytest.raises(ParameterError, match="5 training samples at least, got 4"):
        diagnose(run.network, (run.x[:4], run.t[:4]))
    with pytest.raises(ParameterError, match="Network, or an estimator of scratchnet"):
        diagnose(StandardScaler(), run.x, run.t)
    with pytest.raises(ParameterError, match="estimator has its own options, got optimizer, lr"):
        diagnose(MLPClassifier(), run.x, run.t, optimizer="sgd", lr=1)
    with pytest.raises(ShapeError):
        diagnose(run.network, (run.x[:, :9], run.t))
    with pytest.raises(ParameterError, match="epochs"):
        diagnose(run.network, (run.x, run.t), epochs=0)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_says_what_it_looks_at_and_where_it_is_described(name):
    rule = RULES[name]
    assert rule.signal[0].islower()
    assert not rule.signal.endswith(".")
    assert len(rule.source) > 10
    assert type(rule).__doc__


def test_a_diagnosis_warns_of_nothing_that_its_findings_say():
    run = Run()
    scale(run, 255)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run.examined().findings[0].name == "inputs unscaled"
