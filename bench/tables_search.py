"""The search for the defaults of TableClassifier and TableRegressor, on six tables and no others.

    tables/bin/python bench/tables_search.py [--seeds 3] [--jobs 2] [--dry-run]

Each line changes one argument of where the search began, the last lines two. The figure is the mean
over splits of the score (area under the curve, or R2) minus that of HistGradientBoosting with its
defaults, for each table; then their median and mean. Seconds are of all fits of a line, made beside
each other by `--jobs` processes: they compare lines, no more. The environment is that of
bench/tables.py.
"""

import statistics
import time
import warnings
from collections.abc import Mapping
from typing import Any

from joblib import Parallel, delayed
from lib.page import DOCS, page_parser, write_figures, write_section
from lib.report import machine, machine_lines, table
from lib.tables import CHOSEN_ON, score, split

START: dict[str, Any] = {"batch_norm": False}
"""How the arguments where the search began differ from the defaults, which it found."""
VARIANTS: Mapping[str, dict[str, Any]] = {
    "where it began": {},
    "members=1": {"members": 1},
    "members=8": {"members": 8},
    "hidden_layer_sizes=(64, 64)": {"hidden_layer_sizes": (64, 64)},
    "hidden_layer_sizes=(128, 128)": {"hidden_layer_sizes": (128, 128)},
    "hidden_layer_sizes=(96, 96, 96)": {"hidden_layer_sizes": (96, 96, 96)},
    "activation='mish'": {"activation": "mish"},
    "activation='relu'": {"activation": "relu"},
    "bins=48": {"bins": 48},
    "dropout=0": {"dropout": 0.0},
    "dropout=0.3": {"dropout": 0.3},
    "learning_rate_init=0.0015": {"learning_rate_init": 0.0015},
    "learning_rate_init=0.006": {"learning_rate_init": 0.006},
    "beta_2=0.999": {"beta_2": 0.999},
    "ema=None": {"ema": None},
    "label_smoothing=0": {"label_smoothing": 0.0},
    "validation_fraction=0.1": {"validation_fraction": 0.1},
    "max_iter=25": {"max_iter": 25},
    "schedule='constant'": {"schedule": "constant"},
    "batch_norm=True": {"batch_norm": True},
    "batch_norm=True, dropout=0": {"batch_norm": True, "dropout": 0.0},
    "batch_norm=True, (64, 64)": {"batch_norm": True, "hidden_layer_sizes": (64, 64)},
    "batch_norm=True, schedule='constant'": {"batch_norm": True, "schedule": "constant"},
    "batch_norm=True, (96, 96, 96)": {"batch_norm": True, "hidden_layer_sizes": (96, 96, 96)},
    "(96, 96, 96), dropout=0": {"hidden_layer_sizes": (96, 96, 96), "dropout": 0.0},
}


def gap(name: str, seed: int, variant: str | None) -> tuple[float, float]:
    """Score and seconds of a fit with one variant, or with boosting if it is None."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    from scratchnet.estimator import TableClassifier, TableRegressor

    warnings.simplefilter("ignore")
    part = split(CHOSEN_ON[name](), seed)
    options = {} if variant is None else {**START, **VARIANTS[variant]}
    if not part.classes:
        options.pop("label_smoothing", None)
    kinds: tuple[type[Any], type[Any]] = (TableClassifier, TableRegressor)
    if variant is None:
        kinds = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
    fitted = kinds[0 if part.classes else 1](random_state=seed, **options)
    start = time.perf_counter()
    fitted.fit(part.X, part.y)
    seconds = time.perf_counter() - start
    return score(fitted, part)[0], seconds


def main() -> None:
    made = page_parser(__doc__ or "")
    made.set_defaults(page=DOCS / "tables.md", json=DOCS / "tables.json")
    made.add_argument("--seeds", type=int, default=3, help="splits of each table")
    made.add_argument("--jobs", type=int, default=2, help="fits at a time")
    options = made.parse_args()
    about = machine()
    every = [(name, seed) for name in CHOSEN_ON for seed in range(options.seeds)]
    figures: dict[str, Any] = {}
    rows = []
    with Parallel(n_jobs=options.jobs) as pool:
        base = pool(delayed(gap)(name, seed, None) for name, seed in every)
        for variant in VARIANTS:
            found = pool(delayed(gap)(name, seed, variant) for name, seed in every)
            gaps = [a - b for (a, _), (b, _) in zip(found, base, strict=True)]
            each = {
                name: statistics.fmean(
                    g for g, (n, _) in zip(gaps, every, strict=True) if n == name
                )
                for name in CHOSEN_ON
            }
            seconds = sum(s for _, s in found)
            figures[variant] = {"gaps": each, "seconds": seconds}
            rows.append(
                [
                    variant,
                    *(f"{g:+.4f}" for g in each.values()),
                    f"{statistics.median(each.values()):+.4f}",
                    f"{statistics.fmean(each.values()):+.4f}",
                    f"{seconds:.0f}",
                ]
            )
            print(rows[-1], flush=True)
    text = f"{machine_lines(about)}\n\n{table(['', *CHOSEN_ON, 'median', 'mean', 'seconds'], rows)}"
    print(text)
    if not options.dry_run:
        write_figures(options.json, "search", {"machine": about, "figures": figures})
        write_section(options.page, "search", text)


if __name__ == "__main__":
    main()
