"""The estimators of the record, with every argument, in every way of fitting."""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from itertools import product
from typing import Any

import numpy as np
from behaviour_facts import find

ROWS = 150
SMALL: Mapping[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0}
FITTED = (
    *("loss_", "loss_curve_", "best_loss_", "n_iter_", "t_", "n_layers_", "n_outputs_"),
    *("out_activation_", "n_features_in_", "validation_scores_", "best_validation_score_"),
    *("validation_loss_curve_", "stopped_", "classes_", "coefs_", "intercepts_"),
)
OPTIONS: Mapping[str, dict[str, Any]] = {
    "plain": {},
    "sgd": {"solver": "sgd"},
    "sgd/plain": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.05},
    "sgd/momentum": {"solver": "sgd", "momentum": 0.5, "nesterovs_momentum": False},
    "sgd/invscaling": {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3},
    "sgd/adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "max_iter": 12},
    "lbfgs": {"solver": "lbfgs", "max_iter": 8},
    "lbfgs/max_fun": {"solver": "lbfgs", "max_fun": 5},
    "adam": {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-6, "learning_rate_init": 0.01},
    "two layers": {"hidden_layer_sizes": (8, 6), "activation": ["tanh", "relu"]},
    "identity": {"activation": "identity"},
    "logistic": {"activation": "logistic"},
    "alpha": {"alpha": 0.5},
    "batch_size": {"batch_size": 20},
    "in order": {"shuffle": False},
    "random_state": {"random_state": 5},
    "tol": {"tol": 1.0, "n_iter_no_change": 2, "max_iter": 9},
    "early_stopping": {"early_stopping": True, "max_iter": 8, "n_iter_no_change": 2},
    "early_stopping/loss": {"early_stopping": True, "scoring": "loss", "max_iter": 6},
    "early_stopping/more": {"early_stopping": True, "validation_fraction": 0.3},
    "optimizer": {"optimizer": "muon"},
    "optimizer/sam": {"optimizer": "sam", "learning_rate_init": 0.05},
    "optimizer/rprop": {"optimizer": "rprop"},
    "schedule": {"schedule": "cosine"},
    "schedule/one-cycle": {"schedule": "one-cycle"},
    "schedule/plateau": {"schedule": "plateau", "early_stopping": True, "max_iter": 6},
    "clip_norm": {"clip_norm": 0.1},
    "clip_value": {"clip_value": 0.01},
    "ema": {"ema": 0.9},
    "initializer": {"initializer": "orthogonal"},
    "initializer/std": {"initializer": 0.01},
    "batch_norm": {"batch_norm": True},
    "remeasure": {"batch_norm": True, "dropout": 0.1, "remeasure": 50},
    "layer_norm": {"layer_norm": True, "gamma": False},
    "dropout": {"dropout": 0.3, "input_dropout": 0.1},
    "noise": {"noise": 0.2, "input_noise": 0.1},
    "max_norm": {"max_norm": 0.5},
    "standardize": {"standardize": "features"},
    "float64": {"dtype": "float64"},
    "threads": {"n_threads": None},
    "wrong solver": {"solver": "newton"},
    "wrong activation": {"activation": "foo"},
    "wrong size": {"hidden_layer_sizes": (0,)},
    "wrong alpha": {"alpha": -1},
    "wrong dropout": {"dropout": 1.5},
}
OF_CLASSIFIER: Mapping[str, dict[str, Any]] = {
    "label_smoothing": {"label_smoothing": 0.1},
    "class_weight": {"class_weight": {0: 2.0, 3: 0.5}},
    "class_weight/balanced": {"class_weight": "balanced"},
    "wrong label_smoothing": {"label_smoothing": 1.0},
}
OF_REGRESSOR: Mapping[str, dict[str, Any]] = {
    "poisson": {"loss": "poisson"},
    "wrong loss": {"loss": "absolute"},
}
KINDS = {"classifier": "MLPClassifier", "regressor": "MLPRegressor"}


@lru_cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Some of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x[:ROWS] / 16, y[:ROWS]


def state(made: Any) -> dict[str, Any]:
    """What was fitted, and what it predicts."""
    x, _ = digits()
    found = {name: getattr(made, name) for name in FITTED if hasattr(made, name)}
    found["predict"] = made.predict(x)
    if hasattr(made, "predict_proba"):
        found["proba"] = made.predict_proba(x)
        found["log proba"] = made.predict_log_proba(x[:20])
    return found


def fitted(kind: str, options: Mapping[str, Any]) -> Any:
    """An estimator with these arguments, or the kind of its refusal."""
    try:
        made = find(kind)(**{**SMALL, **options}).fit(*digits())
    except ValueError as error:
        return {"refused": isinstance(error, ValueError)}
    return {**state(made), "score": made.score(*digits())}


def partly(kind: str, **options: Any) -> Any:
    """Several calls of partial_fit."""
    x, y = digits()
    made = find(kind)(**{**SMALL, **options})
    first: dict[str, Any] = {"classes": np.arange(10)} if kind == KINDS["classifier"] else {}
    made.partial_fit(x[:50], y[:50], **first)
    made.partial_fit(x[50:100], y[50:100]).partial_fit(x[100:], y[100:])
    return state(made)


def warm(kind: str, **options: Any) -> Any:
    """A fit that is resumed."""
    made = find(kind)(**{**SMALL, "warm_start": True, **options}).fit(*digits())
    return state(made.fit(*digits()))


def weighted(kind: str, weights: Any) -> Any:
    """A fit with a weight for each sample."""
    made = find(kind)(**SMALL).fit(*digits(), sample_weight=weights)
    return {**state(made), "score": made.score(*digits(), sample_weight=weights)}


def validated(kind: str) -> Any:
    """A fit with validation data of one's own."""
    x, y = digits()
    options = {**SMALL, "early_stopping": True, "max_iter": 8, "n_iter_no_change": 2}
    return state(find(kind)(**options).fit(x[:100], y[:100], X_val=x[100:], y_val=y[100:]))


def called_back(kind: str) -> Any:
    """A fit that a callback ends."""
    seen: list[float] = []

    def call(estimator: Any, epoch: Any) -> bool:
        seen.append(epoch.loss)
        return len(seen) == 2

    return {**state(find(kind)(**SMALL, callbacks=[call]).fit(*digits())), "seen": seen}


def saved(kind: str, **options: Any) -> Any:
    """An estimator that was written, read, and trained on."""
    made = find(kind)(**{**SMALL, **options}).fit(*digits())
    made.save("estimator.npz")
    read = find(kind).load("estimator.npz")
    found = state(read)
    x, y = digits()
    return {"read": found, "resumed": state(read.partial_fit(x, y))}


def several_outputs(kind: str) -> Any:
    """A fit to several targets a sample: labels that are there or not, or values."""
    x, y = digits()
    targets = (y[:, None] >> np.arange(3)) & 1
    if kind == KINDS["regressor"]:
        targets = targets + x[:, :3]
    return state(find(kind)(**SMALL).fit(x, targets))


def words() -> Any:
    """Classes that are words, and two of them."""
    x, y = digits()
    made = find("MLPClassifier")(**SMALL).fit(x, np.where(y > 4, "many", "few"))
    return {"proba": made.predict_proba(x), "predict": made.predict(x), "classes": made.classes_}


def searched() -> Any:
    """A grid search in a pipeline."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    made = make_pipeline(StandardScaler(), find("MLPClassifier")(**SMALL))
    search = GridSearchCV(made, {"mlpclassifier__alpha": [1e-4, 1.0]}, cv=2).fit(*digits())
    return {"scores": search.cv_results_["mean_test_score"], "best": search.best_params_}


def parameters(kind: str) -> Any:
    """The names of all arguments, and their defaults."""
    return {name: repr(value) for name, value in find(kind)().get_params().items()}


def estimators() -> dict[str, Callable[[], Any]]:
    """Every call of an estimator by name."""
    made: dict[str, Callable[[], Any]] = {}
    for short, kind in KINDS.items():
        own = OF_CLASSIFIER if short == "classifier" else OF_REGRESSOR
        for name, options in {**OPTIONS, **own}.items():
            made[f"{short}/{name}"] = partial(fitted, kind, options)
        calls: dict[str, Callable[[], Any]] = {
            "partial_fit": partial(partly, kind),
            "partial_fit/schedule": partial(partly, kind, schedule="cosine", ema=0.5),
            "partial_fit/early_stopping": partial(partly, kind, early_stopping=True),
            "warm_start": partial(warm, kind),
            "warm_start/sgd": partial(warm, kind, solver="sgd", dropout=0.1),
            "warm_start/lbfgs": partial(warm, kind, solver="lbfgs"),
            "sample_weight": partial(weighted, kind, np.linspace(0, 2, ROWS)),
            "sample_weight/counts": partial(weighted, kind, np.arange(ROWS) % 3),
            "validation data": partial(validated, kind),
            "callbacks": partial(called_back, kind),
            "save": partial(saved, kind),
            "save/layers": partial(saved, kind, batch_norm=True, standardize="all", ema=0.9),
            "several outputs": partial(several_outputs, kind),
            "parameters": partial(parameters, kind),
        }
        made |= {f"{short}/{name}": each for name, each in calls.items()}
    for name, solver in product(("relu", "tanh"), ("adam", "sgd", "lbfgs")):
        options = {"activation": name, "solver": solver, "dtype": "float64"}
        made[f"classifier/{solver} with {name}"] = partial(fitted, KINDS["classifier"], options)
    made |= {"classifier/words": words, "classifier/search": searched}
    return {f"estimator/{name}": each for name, each in made.items()}
