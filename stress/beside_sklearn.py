"""The estimators beside scikit-learn's classes: random arguments, on random data of every kind.

    python stress/beside_sklearn.py --count 5000

Where scikit-learn's class fits, so does ours, unless the refusal is one that docs/estimator.md
lists; predictions and fitted attributes have the same types and shapes; where the order of samples
has no part, losses are the same; elsewhere the models are as good as those of other seeds.
"""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from figures import Figure, run, shout
from scipy import sparse
from sklearn import neural_network

from scratchnet import estimator

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "estimator"))

from beside import about, fitted

LISTED = (
    "The validation set is too small",  # a class of one sample counts as none
    "sample weights must be >= 0",
    "Sample weights must contain",
    "training diverged",
    "Solver produced non-finite",
)
"""Beginnings of refusals that docs/estimator.md lists: what is lost in them is nothing."""
MORE = {"stopped_", "validation_loss_curve_"}
NEAR = 1e-4
"""Losses of equal computations differ by less of themselves: rounding, over a few epochs."""
CLIPPED = 15.0
"""There a probability is held 2e-16 away from 0 and 1: larger losses are other ones."""
EPOCHS = 5
WORSE = 0.2
"""A score that is so much lower than the lowest of several of theirs is a worse model."""
SEEDS = 10

Draw = np.random.Generator


@dataclass
class Case:
    """A kind of estimator, its arguments, its data, and what is known of them."""

    kind: str
    options: dict[str, Any]
    x: Any
    y: Any
    weights: Any
    words: str
    plain: bool = field(default=False)
    """Whether all samples are in every batch, so that both compute the same."""
    repeats: bool = field(default=False)
    """Whether samples occur more than once."""


def pick(rng: Draw, *values: Any) -> Any:
    """One of the values."""
    return values[int(rng.integers(len(values)))]


def draw_x(rng: Draw) -> tuple[Any, np.ndarray, str]:
    """X in some form, the same as plain numbers, and words for it."""
    n, d = int(pick(rng, 5, 12, 20, 40, 80, 150, 250)), int(pick(rng, 1, 2, 5, 10, 30))
    x = rng.normal(size=(n, d))
    what = pick(rng, "normal", "normal", "scaled", "whole", "categories", "constant", "holes")
    if what == "scaled":
        x = x * 10.0 ** rng.integers(-4, 5, d) + 10.0 ** rng.integers(-3, 4)
    elif what == "whole":
        x = rng.integers(-3, 4, (n, d)).astype(float)
    elif what == "categories":
        x = np.eye(max(d, 2))[rng.integers(0, max(d, 2), n)]
    elif what == "constant":
        x[:, 0] = 1.5
    elif what == "holes":
        x = np.where(rng.random(x.shape) < 0.7, 0.0, x)
    forms: Mapping[str, Callable[[Any], Any]] = {
        "array": lambda a: a,
        "float32": lambda a: a.astype("float32"),
        "Fortran": np.asfortranarray,
        "list": lambda a: a.tolist(),
        "frame": pd.DataFrame,
        "named frame": lambda a: pd.DataFrame(a, columns=[f"c{k}" for k in range(a.shape[1])]),
        "csr_matrix": sparse.csr_matrix,
        "csr_array": sparse.csr_array,
        "csc_array": sparse.csc_array,
        "coo_array": sparse.coo_array,
        "csr float32": lambda a: sparse.csr_array(a.astype("float32")),
        "sparse frame": lambda a: pd.DataFrame.sparse.from_spmatrix(sparse.csr_matrix(a)),
        "int": lambda a: np.rint(a).astype(int),
        "memory view": lambda a: np.repeat(a, 2, axis=0)[::2],
    }
    form = pick(rng, *forms)
    return forms[form](x), x, f"{what} {n}x{d} as {form}"


def draw_y(rng: Draw, kind: str, x: np.ndarray) -> tuple[Any, str]:
    """Targets that depend on x, in some form."""
    n = len(x)
    with np.errstate(all="ignore"):
        z = (x - x.mean(axis=0)) / np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
    signal = z @ rng.normal(size=x.shape[1]) + 0.3 * rng.normal(size=n)
    if kind == "MLPRegressor":
        form = pick(rng, "one", "one", "scaled", "column", "two", "whole", "constant", "list")
        values: Mapping[str, Any] = {
            "one": signal,
            "scaled": signal * 10.0 ** rng.integers(-3, 4) + 10.0 ** rng.integers(0, 4),
            "column": signal[:, np.newaxis],
            "two": np.c_[signal, -signal],
            "whole": np.rint(signal).astype(int),
            "constant": np.full(n, 2.5),
            "list": signal.tolist(),
        }
        return values[form], form
    classes = int(pick(rng, 2, 2, 3, 5))
    t = np.clip(np.searchsorted(np.sort(signal), signal) * classes // n, 0, classes - 1)
    form = pick(rng, "int", "int", "bool", "text", "objects", "labels", "series", "float", "one")
    named = np.array([f"class {k}" for k in range(classes)])
    forms = {
        "int": t + 3,
        "bool": t > 0,
        "text": named[t],
        "objects": named.astype(object)[t],
        "labels": (np.eye(classes, dtype=int)[t] | (rng.random((n, classes)) < 0.1)),
        "series": pd.Series(named[t]),
        "float": t * 1.0,
        "one": np.zeros(n, int),
    }
    return forms[form], f"{classes} classes as {form}"


def draw_options(rng: Draw) -> dict[str, Any]:
    """Arguments, each of them one that scikit-learn's class takes."""
    solver = pick(rng, "adam", "adam", "sgd", "lbfgs")
    every: dict[str, Any] = {
        "hidden_layer_sizes": pick(rng, (10,), (5, 4), (), 7, [8], (30,), np.array([6, 3])),
        "activation": pick(rng, "relu", "relu", "tanh", "logistic", "identity"),
        "alpha": pick(rng, 0, 0, 1e-4, 0.01, 1.0),
        "batch_size": pick(rng, "auto", "auto", 1, 5, 32, 1000),
        "learning_rate": pick(rng, "constant", "invscaling", "adaptive"),
        "learning_rate_init": float(10 ** rng.uniform(-3.5, -1.0)),
        "power_t": float(rng.random()),
        "max_iter": int(pick(rng, 1, 2, 5, 20, 60)),
        "shuffle": bool(rng.random() < 0.8),
        "tol": pick(rng, 1e-4, 0.0, 0.01),
        "warm_start": bool(rng.random() < 0.3),
        "momentum": pick(rng, 0.9, 0.0, 0.5, 1.0),
        "nesterovs_momentum": bool(rng.random() < 0.5),
        "early_stopping": bool(rng.random() < 0.25),
        "validation_fraction": pick(rng, 0.1, 0.3),
        "beta_1": pick(rng, 0.9, 0.0, 0.5),
        "beta_2": pick(rng, 0.999, 0.9),
        "epsilon": pick(rng, 1e-8, 1e-4),
        "n_iter_no_change": pick(rng, 10, 2, np.inf),
        "max_fun": int(pick(rng, 15000, 5, 60)),
    }
    chosen = {name: value for name, value in every.items() if rng.random() < 0.4}
    return {**chosen, "solver": solver, "max_iter": every["max_iter"], "random_state": 0}


def draw(rng: Draw) -> Case:
    """A case."""
    kind = pick(rng, "MLPClassifier", "MLPRegressor")
    x, plain, words = draw_x(rng)
    y, of_y = draw_y(rng, kind, plain)
    options = draw_options(rng)
    weights, of_w = None, "no weights"
    if rng.random() < 0.3:
        of_w = pick(rng, "weights", "whole weights", "huge weights", "some 0")
        w = rng.random(len(plain)) + 0.1
        weights = {
            "weights": w,
            "whole weights": rng.integers(1, 5, len(plain)),
            "huge weights": w * 1e6,
            "some 0": w * (rng.random(len(plain)) < 0.7),
        }[of_w]
        if not np.any(weights):
            weights = w
    seen = np.rint(plain) if " as int" in words else plain
    targets = pd.factorize(pd.Series(list(map(str, y))))[0]
    rows = np.unique(np.c_[seen, targets], axis=0)
    batch = options.get("batch_size", "auto")
    whole = options["solver"] == "lbfgs" or len(plain) <= (200 if batch == "auto" else batch)
    same = (
        whole
        and weights is None
        and len(rows) == len(plain)
        and not options.get("early_stopping")
        and "float32" not in words
        and options.get("learning_rate") != "adaptive"
        and options.get("momentum") != 1.0
        # The penalty is that of the end of an epoch, a probability is never held away from 0.
        and (options.get("alpha") == 0 or options.get("learning_rate_init", 0.001) < 0.02)
        and options.get("alpha", 0.0) < 0.1
        and (
            options["solver"] != "adam" or options.get("alpha") == 0
        )  # of which small steps are all
        and not ("scaled" in words and kind == "MLPClassifier")
        and options.get("epsilon", 1e-8) == 1e-8  # which is added elsewhere there
        and of_y != "two"  # whose loss is a mean there, and its gradient that of the sum
    )
    return Case(
        kind, options, x, y, weights, f"{words}, {of_y}, {of_w}", same, len(rows) < len(plain)
    )


def quietly(work: Callable[[], Any]) -> Any:
    """What `work` gives, or its error, with nothing said."""
    screen = io.StringIO()
    with warnings.catch_warnings(), np.errstate(all="ignore"), contextlib.redirect_stdout(screen):
        warnings.simplefilter("ignore")
        try:
            return work()
        except Exception as error:
            return error


def made(module: Any, case: Case, seed: int = 0) -> Any:
    """The fitted estimator of a module, or an error."""
    options = {**case.options, "random_state": seed}
    return quietly(lambda: getattr(module, case.kind)(**options).fit(case.x, case.y, case.weights))


def score(of: Any, case: Case) -> float:
    """Accuracy or R2 on the training samples, held between -1 and 1; -1 where there is none."""
    found = quietly(lambda: of.score(case.x, case.y, case.weights))
    return -1.0 if isinstance(found, Exception) or not np.isfinite(found) else max(-1.0, found)


def faults(case: Case) -> str | None:
    """What is wrong in a case, in words; None if nothing is."""
    ours, theirs = made(estimator, case), made(neural_network, case)
    if isinstance(ours, Exception):
        if isinstance(theirs, Exception):
            return None if isinstance(ours, ValueError | TypeError) else f"refused by {ours!r}"
        listed = any(str(ours).startswith(words) for words in LISTED)
        finite = np.isfinite(getattr(theirs, "loss_", np.nan)) and score(theirs, case) > -1.0
        if listed and not (finite and "diverged" in str(ours)):
            return None
        return f"refused where scikit-learn fits: {ours!r}"
    if isinstance(theirs, Exception):
        return None  # works here, and is refused there
    here, there = fitted(ours), fitted(theirs)
    for name in sorted({*here, *there} - MORE):
        if here.get(name) != there.get(name) and not name.startswith("loss_curve"):
            return f"{name} is {here.get(name)}, there {there.get(name)}"
    for method in ("predict", "predict_proba"):
        found = [quietly(lambda of=of, m=method: getattr(of, m)(case.x)) for of in (ours, theirs)]
        if method == "predict_proba" and len(getattr(ours, "classes_", [])) == 1:
            continue  # one column, as docs/estimator.md says
        if about(found[0]) != about(found[1]) and not isinstance(found[1], Exception):
            return f"{method} gives {about(found[0])}, there {about(found[1])}"
    if case.plain:
        return other_losses(ours, theirs)
    return worse(ours, theirs, case)


def other_losses(ours: Any, theirs: Any) -> str | None:
    """Whether losses differ that come of the same computation."""
    curves = [getattr(of, "loss_curve_", [])[:EPOCHS] for of in (ours, theirs)]
    n = min(map(len, curves))
    if max([*curves[0][:n], ours.loss_, theirs.loss_]) > CLIPPED:
        return None
    if not np.allclose(curves[0][:n], curves[1][:n], rtol=10 * NEAR, atol=1e-7):
        return f"losses {curves[0]}, there {curves[1]}"
    ended = ours.solver == "lbfgs" and ours.n_iter_ == theirs.n_iter_ <= EPOCHS
    if ended and not np.isclose(ours.loss_, theirs.loss_, rtol=10 * NEAR, atol=1e-7):
        return f"loss {ours.loss_} after {ours.n_iter_}, there {theirs.loss_}"
    return None


def worse(ours: Any, theirs: Any, case: Case) -> str | None:
    """Whether ours is worse than all of several of theirs, and not by the luck of a seed."""
    # Samples left out make fewer batches. So do equal ones, of which a batch has but one; they have
    # a larger penalty as well, and early stopping never holds out what it trains on.
    listed = case.options.get("alpha") == 1.0 or case.options.get("early_stopping")
    batches = case.options["solver"] != "lbfgs" and case.options.get("batch_size", "auto") != "auto"
    if "some 0" in case.words or (case.repeats and (listed or batches)):
        return None
    if score(ours, case) >= score(theirs, case) - WORSE:
        return None
    here = [score(made(estimator, case, seed), case) for seed in range(SEEDS)]
    there = [score(made(neural_network, case, seed), case) for seed in range(SEEDS)]
    error = np.sqrt((np.var(here) + np.var(there)) / SEEDS)
    if np.mean(here) + 2 * error < np.mean(there) - WORSE:
        return f"scores {np.round(here, 3)}, there {np.round(there, 3)}"
    return None


def measure(count: int, seed: int) -> list[Figure]:
    """Try `count` cases."""
    bad = refused = same = 0
    for k in range(count):
        case = draw(np.random.default_rng([seed, k]))
        same += case.plain
        found = faults(case)
        if found is not None:
            bad += 1
            refused += "refused" in found
            shout(f"case {k}: {case.kind}({case.options}) on {case.words}: {found}")
    note = f"{refused} refusals that it has not; {same} with equal computations"
    return [Figure("as scikit-learn's class, but for what is listed", bad, count, note)]


if __name__ == "__main__":
    raise SystemExit(run(measure, 5000, __doc__))
