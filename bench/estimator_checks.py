"""scikit-learn's own estimator checks over a grid of settings, for our class and for theirs.

    SCIPY_ARRAY_API=1 python bench/estimator_checks.py [--write]

With pandas installed and SCIPY_ARRAY_API set no check is skipped for want of them. --write puts the
table into docs/estimator.md.
"""

import os
import sys
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["SCIPY_ARRAY_API"] = "1"

import pandas as pd
import sklearn
from lib.page import write_section
from lib.report import parser, table
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.utils.estimator_checks import check_estimator

from scratchnet.estimator import MLPClassifier, MLPRegressor
from scratchnet.optimizers import OPTIMIZERS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "estimator.md"
SHARED: list[dict[str, Any]] = [
    {"max_iter": 100},
    {"max_iter": 100, "solver": "sgd"},
    {"max_iter": 100, "solver": "lbfgs"},
    {"max_iter": 100, "shuffle": False},
    {"max_iter": 100, "early_stopping": True},
    {
        **{"max_iter": 1000, "warm_start": True, "hidden_layer_sizes": ()},
        **{"alpha": 1.0, "learning_rate_init": 0.05},
    },
    {"max_iter": 100, "random_state": 0, "batch_size": 8},
    {"max_iter": 30, "batch_size": 1},
    {"max_iter": 100, "hidden_layer_sizes": (), "learning_rate_init": 0.05},
    {"max_iter": 100, "hidden_layer_sizes": (20, 10), "activation": "tanh"},
    {"max_iter": 100, "solver": "sgd", "activation": "logistic", "learning_rate": "adaptive"},
]
OURS: list[dict[str, Any]] = [
    {"max_iter": 100, "dtype": "float64"},
    {"max_iter": 100, "batch_norm": True},
    {"max_iter": 100, "layer_norm": True, "activation": "gelu"},
    {"max_iter": 100, "dropout": 0.2, "input_dropout": 0.1},
    {"max_iter": 100, "ema": 0.9, "clip_norm": 1.0},
    {"max_iter": 100, "early_stopping": True, "scoring": "loss"},
    {"max_iter": 100, "standardize": "features", "schedule": "cosine"},
    *(
        {"max_iter": 200, "optimizer": name, "learning_rate_init": kind().lr}
        for name, kind in OPTIMIZERS.items()
    ),
]
CONTRADICTED: dict[str, Any] = {"max_iter": 100, "warm_start": True}
"""Two checks fit one estimator twice and expect what warm_start rules out: a forgotten fit."""
REGRESSORS: list[dict[str, Any]] = [
    {"max_iter": 100},
    {"max_iter": 100, "solver": "lbfgs"},
    {"max_iter": 100, "early_stopping": True},
    {"max_iter": 100, "early_stopping": True, "validation_fraction": 0.3},
    {"max_iter": 100, "batch_size": 8},
]
OUR_REGRESSORS: list[dict[str, Any]] = [
    {"max_iter": 100, "dtype": "float64", "batch_norm": True},
    {"max_iter": 100, "dropout": 0.1, "optimizer": "lion"},
]


def main() -> None:
    made = parser(__doc__ or "")
    made.add_argument("--write", action="store_true", help=f"put the table into docs/{PAGE.name}")
    options = made.parse_args()
    warnings.simplefilter("ignore")
    rows = [_row("classifier", each, MLPClassifier, TheirClassifier) for each in SHARED]
    rows += [_row("classifier", each, MLPClassifier, None) for each in OURS]
    rows += [_row("regressor", each, MLPRegressor, TheirRegressor) for each in REGRESSORS]
    rows += [_row("regressor", each, MLPRegressor, None) for each in OUR_REGRESSORS]
    text = (
        f"{len(rows)} settings; passed / failed / skipped checks of scikit-learn "
        f"{sklearn.__version__} (pandas {pd.__version__}, SCIPY_ARRAY_API=1). The check that a "
        "classifier skips wants a `decision_function`, which neither class has.\n\n"
        + table(["setting", "scratchnet", "scikit-learn"], [row[:3] for row in rows])
        + "\n\nWhat fails here, by the names of the checks:\n\n"
        + "\n".join(f"- {row[0]}: {row[4]}" for row in rows if row[4])
        + "\n\nWhat fails there:\n\n"
        + "\n".join(f"- {row[0]}: {row[3]}" for row in rows if row[3])
        + "\n\nTwo checks fit one estimator twice and compare. With `warm_start` the second fit "
        "continues the first, so they can only pass where the first has found the one optimum, "
        "as in the setting above. With a hidden layer they contradict what the argument is for, in "
        "both classes:\n\n"
        + table(
            ["setting", "scratchnet", "scikit-learn", "what fails there"],
            [_row("classifier", CONTRADICTED, MLPClassifier, TheirClassifier)[:4]],
        )
    )
    print(text)
    if options.write:
        write_section(PAGE, "checks", text)
    sys.exit(any(" / 0 / " not in row[1] for row in rows))


def _row(kind: str, options: Mapping[str, Any], ours: Any, theirs: Any) -> list[str]:
    """A setting, and what each class came to."""
    told = ", ".join(f"{name}={value!r}" for name, value in options.items())
    print(kind, told, file=sys.stderr, flush=True)
    mine, faults = _count(ours(**options))
    if faults:
        print(f"   FAILED {faults}", file=sys.stderr, flush=True)
    if theirs is None:
        return [f"{kind}: {told}", mine, "", "", ", ".join(sorted(faults))]
    other, failing = _count(theirs(**options))
    return [f"{kind}: {told}", mine, other, *(", ".join(sorted(f)) for f in (failing, faults))]


def _count(estimator: Any) -> tuple[str, set[str]]:
    """passed / failed / skipped, and the names of those that failed."""
    checks = check_estimator(estimator, on_skip=None, on_fail=None)
    counts = Counter(check["status"] for check in checks)
    passed, skipped = counts.pop("passed", 0), counts.pop("skipped", 0)
    failing = {c["check_name"] for c in checks if c["status"] not in ("passed", "skipped")}
    names = {name.removeprefix("check_") for name in failing}
    return f"{passed} / {counts.total()} / {skipped}", names


if __name__ == "__main__":
    main()
