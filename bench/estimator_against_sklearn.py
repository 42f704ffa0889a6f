"""Five data sets by our classes and by scikit-learn's: 10-fold scores and times of a fit.

    python bench/estimator_against_sklearn.py [--write]

Equal arguments, the same folds, standardised features, one thread; both are fitted in turn, fold by
fold. --write puts the table into docs/estimator.md.
"""

import os
import statistics
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from lib.page import write_section
from lib.report import machine, machine_lines, parser, table, write_json
from sklearn import datasets, neural_network
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import StandardScaler

from scratchnet import estimator

PAGE = Path(__file__).resolve().parent.parent / "docs" / "estimator.md"
OPTIONS = {"max_iter": 100, "tol": 0.0, "n_iter_no_change": 100}
"""So that both make 100 epochs, and times compare the same work."""
FOLDS = 10


def main() -> None:
    made = parser(__doc__ or "")
    made.add_argument("--write", action="store_true", help=f"put the table into docs/{PAGE.name}")
    options = made.parse_args()
    warnings.simplefilter("ignore")
    found = machine()
    rows, figures = [], {}
    for name, x, y, kind in _sets():
        ours, theirs = _compare(x, y, kind)
        gaps = [a - b for (a, _), (b, _) in zip(ours, theirs, strict=True)]
        error = statistics.stdev(gaps) / FOLDS**0.5
        times = [statistics.median(seconds for _, seconds in each) for each in (ours, theirs)]
        figures[name] = {"ours": ours, "theirs": theirs}
        rows.append(
            [
                f"{name} ({len(x):,} x {x.shape[1]})",
                *(f"{statistics.fmean(score for score, _ in each):.4f}" for each in (ours, theirs)),
                f"{statistics.fmean(gaps):+.4f} ± {error:.4f}",
                *(f"{seconds:.3f}" for seconds in times),
                f"{times[0] / times[1]:.2f}",
            ]
        )
        print(rows[-1], flush=True)
    head = ["data", "scratchnet", "scikit-learn", "gap ± s.e.", "s/fit", "s/fit there", "ratio"]
    text = (
        f"Accuracy, or R2 for the regression, over {FOLDS} folds; median seconds of a fit of 100 "
        f"epochs, one thread.\n\n{machine_lines(found)}\n\n{table(head, rows)}"
    )
    print(text)
    write_json(options.json, {"machine": found, "figures": figures})
    if options.write:
        write_section(PAGE, "figures", text)


def _sets() -> Iterator[tuple[str, Any, Any, str]]:
    for name in ("digits", "breast_cancer", "wine", "iris"):
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        yield name.replace("_", " "), x, y, "MLPClassifier"
    x, y = datasets.make_friedman1(4000, 8, noise=0.5, random_state=0)
    yield "synthetic regression", x, (y - y.mean()) / y.std(), "MLPRegressor"


def _compare(x: Any, y: Any, kind: str) -> tuple[list[Any], list[Any]]:
    """(score, seconds) of each fold, by our class and by scikit-learn's."""
    folds = KFold if kind == "MLPRegressor" else StratifiedKFold
    results: tuple[list[Any], list[Any]] = ([], [])
    for seed, (train, test) in enumerate(folds(FOLDS, shuffle=True, random_state=0).split(x, y)):
        scaler = StandardScaler().fit(x[train])
        x_train, x_test = (scaler.transform(x[part]).astype(np.float32) for part in (train, test))
        for module, kept in zip((estimator, neural_network), results, strict=True):
            fitted = getattr(module, kind)(**OPTIONS, random_state=seed)
            start = time.perf_counter()
            fitted.fit(x_train, y[train])
            seconds = time.perf_counter() - start
            kept.append((float(fitted.score(x_test, y[test])), seconds))
    return results


if __name__ == "__main__":
    main()
