"""A search whose fits run on several machines: scikit-learn's own, on joblib, on dask.

    python examples/search_dask.py                             # workers on this machine
    python examples/search_dask.py --scheduler tcp://HOST:8786 # those of a cluster

A cluster is `dask scheduler` on one machine and `dask worker tcp://HOST:8786 --nworkers N
--nthreads 1` on each, all with the same versions of Python, NumPy, scikit-learn and scratchnet.
"""

import argparse

import joblib
from dask.distributed import Client
from scipy.stats import loguniform
from sklearn.datasets import load_digits
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from scratchnet.estimator import MLPClassifier


def main() -> None:
    """Search, and print what was found."""
    parser = argparse.ArgumentParser(description="Search on a cluster.")
    parser.add_argument("--scheduler", help="address of a dask scheduler (default: this machine)")
    parser.add_argument("--trials", type=int, default=8)
    options = parser.parse_args()

    X, y = load_digits(return_X_y=True)
    # n_threads=1: a core for each fit.
    network = MLPClassifier(max_iter=500, tol=1e-3, n_iter_no_change=5, n_threads=1, random_state=0)
    found = {
        "mlpclassifier__learning_rate_init": loguniform(1e-3, 1e-1),
        "mlpclassifier__hidden_layer_sizes": [(50,), (100,), (100, 50)],
        "mlpclassifier__dropout": [0.0, 0.2],
    }
    search = RandomizedSearchCV(
        make_pipeline(MinMaxScaler(), network), found, n_iter=options.trials, cv=3, random_state=0
    )
    where = {"address": options.scheduler} if options.scheduler else {"n_workers": 2}
    here = {} if options.scheduler else {"threads_per_worker": 1, "dashboard_address": None}
    with Client(**where, **here) as client, joblib.parallel_config(backend="dask"):
        print(f"{len(client.scheduler_info()['workers'])} workers")
        search.fit(X, y)
    print(f"the best of {options.trials}: {search.best_score_:.4f}")
    for name, value in search.best_params_.items():
        print(f"  {name.removeprefix('mlpclassifier__')} = {value}")


if __name__ == "__main__":  # workers on this machine import this file
    main()
