"""Searches and comparisons spread their fits with joblib, over processes or a cluster of dask."""

from contextlib import contextmanager

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scratchnet import MultiLayerNet, load
from scratchnet.compare import compare
from scratchnet.estimator import MLPClassifier

pytestmark = pytest.mark.slow

X, Y = load_iris(return_X_y=True)
GRID = {
    "mlpclassifier__dropout": [0.0, 0.2],
    "mlpclassifier__optimizer": ["adam", "momentum"],
}


def pipeline():
    network = MLPClassifier((10,), max_iter=10, tol=0, n_threads=1, random_state=0)
    return make_pipeline(StandardScaler(), network)


@contextmanager
def cluster():
    """Two workers of dask on this machine, for joblib."""
    distributed = pytest.importorskip("dask.distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.Client(**options), joblib.parallel_config(backend="dask"):
        yield


@contextmanager
def processes():
    """Two processes of joblib itself."""
    with joblib.parallel_config(n_jobs=2):
        yield


@pytest.mark.filterwarnings("ignore")  # what dask and scikit-learn say to each other
@pytest.mark.parametrize("where", [processes, cluster])
def test_searches_find_the_same_wherever_their_fits_run(where):
    searches = [
        lambda: GridSearchCV(pipeline(), GRID, cv=2),
        lambda: RandomizedSearchCV(pipeline(), GRID, n_iter=3, cv=2, random_state=0),
    ]
    here = [make().fit(X, Y) for make in searches]
    with where():
        there = [make().fit(X, Y) for make in searches]
    for one, other in zip(here, there, strict=True):
        assert one.best_params_ == other.best_params_
        for name in ("mean_test_score", "std_test_score"):
            np.testing.assert_array_equal(one.cv_results_[name], other.cv_results_[name])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("where", [processes, cluster])
def test_comparisons_come_to_the_same_wherever_their_trials_run(where):
    def found(jobs):
        return compare(
            ["adam", "sgd"],
            load("digits"),
            MultiLayerNet(64, [10], 10),
            epochs=2,
            seeds=2,
            jobs=jobs,
        )

    with where():
        there = found(2)
    here = found(1)
    for one, other in zip(here.trials, there.trials, strict=True):
        assert (one.optimizer, one.seed) == (other.optimizer, other.seed)
        assert one.test_accuracy == other.test_accuracy
        assert [e.loss for e in one.history] == [e.loss for e in other.history]
