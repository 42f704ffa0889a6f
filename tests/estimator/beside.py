"""Both classes side by side: what one has and the other has not, over settings and inputs.

The page docs/estimator.md is written from it, and a test holds it to that.
"""

import contextlib
import io
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn import datasets, neural_network
from sklearn.base import clone

from scratchnet import estimator

KINDS = ("MLPClassifier", "MLPRegressor")
X, Y = datasets.load_iris(return_X_y=True)
FRAME = pd.DataFrame(X, columns=list("abcd"))
SHORT: Mapping[str, Any] = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0}
SETTINGS: Mapping[str, dict[str, Any]] = {
    "as they are": {},
    "sgd": {"solver": "sgd"},
    "sgd, adaptive": {"solver": "sgd", "learning_rate": "adaptive"},
    "lbfgs": {"solver": "lbfgs"},
    "early_stopping": {"early_stopping": True},
    "sgd, early_stopping": {"solver": "sgd", "early_stopping": True},
    "warm_start": {"warm_start": True},
    "two layers": {"hidden_layer_sizes": (5, 4), "activation": "tanh"},
    "logistic": {"activation": "logistic", "batch_size": 20},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "in order": {"shuffle": False, "alpha": 0.0},
}
TARGETS: Mapping[str, Mapping[str, Any]] = {
    "MLPClassifier": {
        "three classes": Y,
        "two classes": Y == 1,
        "texts": np.array(["a", "bb", "c"])[Y],
        "labels": np.eye(3, dtype=int)[Y],
        "one class": np.zeros(150, int),
    },
    "MLPRegressor": {"values": Y * 1.5, "one column": Y[:, np.newaxis], "two": np.c_[Y, -Y]},
}


def make(module: Any, kind: str, **options: Any) -> Any:
    """An estimator of that module."""
    return getattr(module, kind)(**{**SHORT, **options})


def quietly(work: Callable[[], Any]) -> Any:
    """What `work` gives, or the error, with nothing on the screen."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            return work()
        except Exception as error:
            return error


def about(value: Any) -> str:
    """The type of a fitted attribute, and its shape, dtype or length."""
    if isinstance(value, np.ndarray):
        return f"array {value.shape} {value.dtype}"
    if isinstance(value, list):
        inner = {about(v) if isinstance(v, np.ndarray) else type(v).__name__ for v in value}
        arrays = any("array" in one for one in inner)
        listed = ", ".join(about(v) for v in value) if arrays else " ".join(sorted(inner))
        return f"list of {listed}"
    return type(value).__name__


def fitted(of: Any) -> dict[str, str]:
    """Every fitted attribute by name: public, with an underscore behind, as scikit-learn has it."""
    found = {}
    for name in dir(of):
        if name.endswith("_") and not name.startswith("_"):
            with contextlib.suppress(AttributeError):
                found[name] = about(getattr(of, name))
    return found


def attributes() -> Iterator[tuple[str, str, str, str, str]]:
    """Class, setting, attribute, and what it is here and there, where that differs."""
    for kind in KINDS:
        for (setting, options), (target, y) in (
            (one, other) for one in SETTINGS.items() for other in TARGETS[kind].items()
        ):
            for name, x in (("array", X), ("float32", X.astype("float32")), ("frame", FRAME)):
                fit = partial(_fitted_by, kind, options, x, y)
                ours, theirs = (quietly(partial(fit, m)) for m in (estimator, neural_network))
                if isinstance(ours, Exception) or isinstance(theirs, Exception):
                    if type(ours) is not type(theirs):
                        yield kind, f"{setting}, {target}, {name}", "fit", repr(ours), repr(theirs)
                    continue
                for attribute in sorted({*ours, *theirs}):
                    here, there = ours.get(attribute, "none"), theirs.get(attribute, "none")
                    if here != there:
                        yield kind, f"{setting}, {target}, {name}", attribute, here, there


def _fitted_by(kind: str, options: Any, x: Any, y: Any, module: Any) -> dict[str, str]:
    return fitted(make(module, kind, **options).fit(x, y))


def arguments(kind: str) -> Iterator[tuple[str, str, str]]:
    """Argument, and what its constraints are here and there, where they differ."""
    ours, theirs = (getattr(m, kind)._parameter_constraints for m in (estimator, neural_network))
    for name in theirs:
        here, there = (_words(each[name]) for each in (ours, theirs))
        if here != there:
            yield name, here, there


def _words(constraints: Any) -> str:
    from sklearn.utils._param_validation import make_constraint

    if isinstance(constraints, str):
        return constraints
    return " or ".join(sorted(_plain(str(make_constraint(one))) for one in constraints))


def _plain(text: str) -> str:
    """The words of a set in their order."""
    head, brace, rest = text.partition("{")
    inner, end, tail = rest.partition("}")
    return f"{head}{{{', '.join(sorted(inner.split(', ')))}}}{tail}" if brace and end else text


def more_arguments(kind: str) -> list[str]:
    """The arguments that scikit-learn's class does not have."""
    known = getattr(neural_network, kind)().get_params()
    return [name for name in getattr(estimator, kind)().get_params() if name not in known]


def _fit(of: Any, x: Any, y: Any, **more: Any) -> Any:
    return of.fit(x, y, **more)


def _partly(of: Any, x: Any, y: Any, **more: Any) -> Any:
    if type(of).__name__ == "MLPClassifier":
        more = {"classes": np.unique(Y), **more}
    return of.partial_fit(x, y, **more)


RNG = np.random.default_rng(0)
HOLES = np.where(RNG.random(X.shape) < 0.5, 0.0, X)
WEIGHTS = RNG.random(150)
INPUTS: Mapping[str, Any] = {
    "float64": X,
    "float32": X.astype("float32"),
    "float16": X.astype("float16"),
    "longdouble": X.astype("longdouble"),
    "int64": (X * 5).astype(int),
    "uint8": (X * 5).astype("uint8"),
    "bool": X > 3,
    "big-endian": X.astype(">f8"),
    "Fortran order": np.asfortranarray(X),
    "every second row": np.repeat(X, 2, axis=0)[::2],
    "list": X.tolist(),
    "objects": X.astype(object),
    "texts of numbers": X.astype(str),
    "texts": np.full(X.shape, "a"),
    "complex": X * 1j,
    "NaN": np.where(X > 7, np.nan, X),
    "infinity": np.where(X > 7, np.inf, X),
    "one column": X[:, :1],
    "one-dimensional": X[:, 0],
    "three-dimensional": X[:, :, np.newaxis],
    "no rows": X[:0],
    "frame": FRAME,
    "frame of float32": FRAME.astype("float32"),
    "frame of Int64": (FRAME * 5).astype(int).astype("Int64"),
    "frame with a column of texts": FRAME.assign(e="a"),
    "frame without names": pd.DataFrame(X),
    "csr_matrix": sparse.csr_matrix(HOLES),
    "csr_array": sparse.csr_array(HOLES),
    "csc_matrix": sparse.csc_matrix(HOLES),
    "coo_array": sparse.coo_array(HOLES),
    "lil_matrix": sparse.lil_matrix(HOLES),
    "sparse of int": sparse.csr_array((HOLES * 5).astype(int)),
    "sparse of float32": sparse.csr_array(HOLES.astype("float32")),
    "sparse frame": pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(HOLES)),
    "values of 1e30": X * 1e30,
    "values of 1e200": X * 1e200,
    "values of 1e-30": X * 1e-30,
    "the same row": np.ones_like(X),
}
LABELS: Mapping[str, Any] = {
    "int": Y,
    "float": Y.astype(float),
    "broken floats": Y + 0.5,
    "bool": Y == 1,
    "text": np.array(["a", "b", "c"])[Y],
    "objects": np.array(["a", "b", "c"], object)[Y],
    "list": Y.tolist(),
    "series": pd.Series(Y),
    "series of texts": pd.Series(np.array(["a", "b", "c"])[Y]),
    "category": pd.Series(np.array(["a", "b", "c"])[Y], dtype="category"),
    "column": Y[:, np.newaxis],
    "labels": np.eye(3, dtype=int)[Y],
    "sparse labels": sparse.csr_matrix(np.eye(3, dtype=int)[Y]),
    "several outputs": np.c_[Y, Y],
    "one class": np.zeros(150, int),
    "dates": np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "datetime64[D]")[Y],
    "NaN": np.where(Y > 1, np.nan, Y),
    "None": np.array([None, 1, 2], object)[Y],
    "mixed": np.array(["a", 1, 2.5], object)[Y],
    "too few": Y[:100],
    "complex": Y * 1j,
    "huge": Y * 1e300,
}
SAMPLE_WEIGHTS: Mapping[str, Any] = {
    "random": WEIGHTS,
    "whole": np.arange(150),
    "a number": 3.0,
    "all 0": np.zeros(150),
    "below 0": WEIGHTS - 0.5,
    "NaN": np.where(Y > 1, np.nan, 1.0),
    "too few": WEIGHTS[:9],
    "a column": WEIGHTS[:, np.newaxis],
    "texts": np.full(150, "a"),
    "0 for a class": np.where(Y == 1, 0.0, 1.0),
    "1e300": WEIGHTS * 1e300,
}


def probes(kind: str) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """What is tried with both classes: words, and a function of the module."""
    for name, x in INPUTS.items():
        y = Y[: np.shape(x)[0]]
        yield f"fit, X: {name}", lambda m, x=x, y=y: _fit(make(m, kind), x, y).predict(x)
        yield f"partial_fit, X: {name}", lambda m, x=x, y=y: _partly(make(m, kind), x, y).predict(x)
        yield f"predict, X: {name}", lambda m, x=x: make(m, kind).fit(X, Y).predict(x)
        if kind == "MLPClassifier":
            yield (
                f"predict_proba, X: {name}",
                lambda m, x=x: make(m, kind).fit(X, Y).predict_proba(x),
            )
    for name, y in LABELS.items():
        yield f"fit, y: {name}", lambda m, y=y: _fit(make(m, kind), X, y).predict(X)
        yield (
            f"fit with lbfgs, y: {name}",
            lambda m, y=y: _fit(make(m, kind, solver="lbfgs"), X, y).predict(X),
        )
        yield (
            f"fit with early_stopping, y: {name}",
            lambda m, y=y: _fit(make(m, kind, early_stopping=True), X, y).predict(X),
        )
    for name, w in SAMPLE_WEIGHTS.items():
        yield f"sample_weight: {name}", lambda m, w=w: make(m, kind).fit(X, Y, w).predict(X)
    yield "predict before fit", lambda m: make(m, kind).predict(X)
    yield "partial_fit with lbfgs", lambda m: make(m, kind, solver="lbfgs").partial_fit(X, Y)
    yield (
        "partial_fit with early_stopping",
        lambda m: _partly(make(m, kind, early_stopping=True), X, Y).predict(X),
    )
    for n in (1, 2, 3, 10, 19, 20, 30):
        yield (
            f"early_stopping, {n} samples",
            lambda m, n=n: make(m, kind, early_stopping=True).fit(X[:: 150 // n], Y[:: 150 // n]),
        )
        yield f"{n} samples", lambda m, n=n: make(m, kind).fit(X[:: 150 // n], Y[:: 150 // n])
    yield "other columns", lambda m: make(m, kind).fit(X, Y).predict(X[:, :3])
    yield "other names", lambda m: make(m, kind).fit(FRAME, Y).predict(FRAME[list("dcba")])
    yield "warm_start, a subset of y", lambda m: _again(make(m, kind, warm_start=True), Y % 2)
    yield "warm_start, other columns", lambda m: _again(make(m, kind, warm_start=True), Y, X[:, :2])
    yield "clone", lambda m: clone(make(m, kind).fit(X, Y)).predict(X)
    yield "pickle", lambda m: pickle.loads(pickle.dumps(make(m, kind).fit(X, Y))).predict(X)
    yield "score", lambda m: make(m, kind).fit(X, Y).score(X, Y, sample_weight=WEIGHTS)
    for name, values in WRONG.items():
        for value in values:
            yield (
                f"{name}={value!r}",
                lambda m, name=name, value=value: make(m, kind, **{name: value}).fit(X, Y),
            )


def _again(of: Any, y: Any, x: Any = X) -> Any:
    return of.fit(X, Y).fit(x, y).predict(x)


WRONG: Mapping[str, tuple[Any, ...]] = {
    "hidden_layer_sizes": ((0,), 0, -3, (5.5,), "100", (5, "a"), None, [[5]], (), 7, [4, 3]),
    "activation": ("foo", None, 3, "identity"),
    "solver": ("newton", None),
    "alpha": (-1, "a", np.nan, np.inf, None, 1),
    "batch_size": (0, -1, 2.5, "all", None, 1000, 1),
    "learning_rate": ("fast", None),
    "learning_rate_init": (0, -1, np.nan, "a"),
    "power_t": (-1, "a"),
    "max_iter": (0, 2.5, "a", None),
    "shuffle": ("yes", None, 1),
    "random_state": ("a", -1, 1.5, None, np.random.RandomState(0)),
    "tol": (-1, "a", None, 0),
    "verbose": ("a", -1, 2, True),
    "warm_start": ("no", None),
    "momentum": (-0.1, 1.1, 1.0, 0, "a"),
    "nesterovs_momentum": ("a", None),
    "early_stopping": ("no", None),
    "validation_fraction": (-0.1, 1.0, 0, "a"),
    "beta_1": (1, -1, 0, "a"),
    "beta_2": (1, -1, 0, "a"),
    "epsilon": (0, -1, "a"),
    "n_iter_no_change": (0, 1.5, np.inf, "a"),
    "max_fun": (0, 1.5, "a"),
}


def outcome(found: Any) -> str:
    """What a probe came to: the error, or the kind of what it gave."""
    if isinstance(found, Exception):
        known = (NotImplementedError, AttributeError, ValueError, TypeError, ArithmeticError)
        return next((f"refused ({k.__name__})" for k in known if isinstance(found, k)), "refused")
    if sparse.issparse(found):
        return f"sparse {found.shape}"
    return about(found) if isinstance(found, np.ndarray) else "fitted"


def differences(kind: str) -> Iterator[tuple[str, str, str]]:
    """Probe, and what it came to here and there, where that differs."""
    for name, probe in probes(kind):
        here, there = (
            outcome(quietly(lambda m=m, p=probe: p(m))) for m in (estimator, neural_network)
        )
        both = here.startswith("refused") and there.startswith("refused")
        if here != there and not (both and _related(here, there)):
            yield name, here, there


def _related(here: str, there: str) -> bool:
    """Whether both refusals are caught by the same `except`, as far as users write one."""
    same = {"refused (ValueError)", "refused (TypeError)"}
    return here == there or {here, there} <= same
