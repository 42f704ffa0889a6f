"""Coverage of intervals and pinball loss of quantiles, beside scikit-learn's gradient boosting.

    python bench/estimator_intervals.py [--write]

Five sets, 20 seeds: another split, 70 % to train on, and other weights. --write puts the table into
docs/estimator.md.
"""

import os
import statistics
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from lib.page import write_section
from lib.report import machine, machine_lines, parser, table, write_json
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_pinball_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from scratchnet.estimator import MLPRegressor

PAGE = Path(__file__).resolve().parent.parent / "docs" / "estimator.md"
SEEDS, COVERAGE = 20, 0.9
QUANTILES = (0.05, 0.5, 0.95)
OPTIONS: dict[str, Any] = {
    **{"quantiles": QUANTILES, "hidden_layer_sizes": (64, 64), "learning_rate_init": 0.003},
    **{"early_stopping": True, "scoring": "loss", "n_iter_no_change": 20, "max_iter": 400},
    "alpha": 1e-3,
}


def main() -> None:
    made = parser(__doc__ or "")
    made.add_argument("--write", action="store_true", help=f"put the table into docs/{PAGE.name}")
    options = made.parse_args()
    warnings.simplefilter("ignore")
    found, rows, figures = machine(), [], {}
    for name, x, y in sets():
        each = [one_seed(x, y, seed) for seed in range(SEEDS)]
        covered, plain, ours, theirs = (
            statistics.fmean(column) for column in zip(*each, strict=True)
        )
        error = statistics.stdev(one[0] for one in each) / SEEDS**0.5
        figures[name] = each
        rows.append(
            [
                f"{name} ({len(x):,} x {x.shape[1]})",
                f"{covered:.4f} ± {error:.4f}",
                f"{plain:.4f}",
                f"{ours:.4g}",
                f"{theirs:.4g}",
                f"{ours / theirs:.3f}",
            ]
        )
        print(rows[-1], flush=True)
    head = ["data", "covered", "by quantiles alone", "pinball loss", "of boosting", "ratio"]
    text = (
        f"Intervals of 90 %: the share of test samples inside, mean of {SEEDS} seeds. Pinball loss:"
        f" mean over the quantiles {', '.join(map(str, QUANTILES))}.\n\n{machine_lines(found)}\n\n"
        f"{table(head, rows)}"
    )
    print(text)
    write_json(options.json, {"machine": found, "figures": figures})
    if options.write:
        write_section(PAGE, "intervals", text)


def sets() -> Iterator[tuple[str, Any, Any]]:
    """One real set, and four whose noise or shape makes intervals hard."""
    x, y = datasets.load_diabetes(return_X_y=True)
    yield "diabetes", x, y
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (3000, 3))
    noise = (0.2 + 0.3 * np.abs(x[:, 2])) * rng.normal(size=3000)
    yield "noise that grows", x, np.sin(2 * x[:, 0]) + x[:, 1] ** 2 + noise
    yield "friedman1", *datasets.make_friedman1(3000, 10, noise=1.0, random_state=0)
    yield "friedman2", *datasets.make_friedman2(2000, noise=100.0, random_state=0)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3000, 4))
    yield "skewed noise", x, np.exp(0.5 * x[:, 0]) * rng.gamma(2.0, 1.0, 3000) + x[:, 1]


def one_seed(x: Any, y: Any, seed: int) -> tuple[float, float, float, float]:
    """Coverage, that of the quantiles alone, and the pinball losses, ours and of boosting."""
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=seed)
    scaler = StandardScaler().fit(x_train)
    network = MLPRegressor("quantile", random_state=seed, **OPTIONS)
    network.fit(scaler.transform(x_train), y_train)
    q = network.predict_quantiles(scaler.transform(x_test))
    bounds = network.predict_interval(scaler.transform(x_test), COVERAGE)
    others = [
        HistGradientBoostingRegressor(loss="quantile", quantile=a, random_state=seed)
        .fit(x_train, y_train)
        .predict(x_test)
        for a in QUANTILES
    ]
    return (
        share_inside(y_test, bounds),
        share_inside(y_test, q[:, [0, 2]]),
        pinball(y_test, list(q.T)),
        pinball(y_test, others),
    )


def share_inside(y: Any, bounds: Any) -> float:
    """The share of y between two columns of bounds."""
    return float(((bounds[:, 0] <= y) & (y <= bounds[:, 1])).mean())


def pinball(y: Any, q: list[Any]) -> float:
    """The mean pinball loss over the quantiles."""
    losses = [mean_pinball_loss(y, q[k], alpha=a) for k, a in enumerate(QUANTILES)]
    return float(np.mean(losses))


if __name__ == "__main__":
    main()
