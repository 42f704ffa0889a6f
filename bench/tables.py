"""Estimators of tables beside gradient boosting and other networks, on tables of three packages.

    python -m venv tables && tables/bin/pip install -e . -r bench/tables.txt
    tables/bin/python bench/tables.py [--seeds 5] [--realmlp-rows 3500] [--dry-run]

Everybody takes the same three quarters of the rows, with its own defaults, and predicts the rest:
the area under the curve of classes (the mean over classes, of more than two), R2 of values.
TableClassifier and TableRegressor, HistGradientBoosting, LightGBM and RealMLP (pytabkit) take the
frame as it comes; scikit-learn's MLP stands behind a median for gaps, a StandardScaler and a
OneHotEncoder. They are fitted in turn, split by split. RealMLP takes up to minutes a fit, so it is
fitted to the first split alone, of tables of up to 3,500 rows. Seconds of predicting are of 10,000
rows, those of the test rows repeated. The table goes into docs/measurements/tables.md.
"""

import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")

import pandas as pd
from lib.page import DOCS, page_parser, write_figures, write_section
from lib.report import machine, machine_lines, table
from lib.tables import CHOSEN_ON, OTHERS, Split, score, split
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

PREDICTED = 10_000
LARGEST = "lending_club"
"""The table that memory is measured with."""


def ours(classes: bool, seed: int) -> Any:
    from scratchnet.estimator import TableClassifier, TableRegressor

    return (TableClassifier if classes else TableRegressor)(random_state=seed)


def boosting(classes: bool, seed: int) -> Any:
    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    return kind(random_state=seed)


def mlp(classes: bool, seed: int) -> Any:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_include="category")),
    )
    return make_pipeline(columns, (MLPClassifier if classes else MLPRegressor)(random_state=seed))


def lightgbm(classes: bool, seed: int) -> Any:
    from lightgbm import LGBMClassifier, LGBMRegressor

    return (LGBMClassifier if classes else LGBMRegressor)(random_state=seed, verbose=-1)


def realmlp(classes: bool, seed: int) -> Any:
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    kind = RealMLP_TD_Classifier if classes else RealMLP_TD_Regressor
    return kind(random_state=seed, device="cpu", verbosity=0)


SYSTEMS: Mapping[str, Callable[[bool, int], Any]] = {
    "scratchnet": ours,
    "boosting": boosting,
    "MLP": mlp,
    "LightGBM": lightgbm,
    "RealMLP": realmlp,
}


def measure(system: str, part: Split, seed: int, predict: bool) -> dict[str, Any]:
    """Score, cross-entropy, and seconds of a fit and of predicting, if asked for."""
    fitted = SYSTEMS[system](part.classes, seed)
    start = time.perf_counter()
    fitted.fit(part.X, part.y)
    found: dict[str, Any] = {"fit": time.perf_counter() - start}
    found["score"], found["entropy"] = score(fitted, part)
    if predict:
        times = -(-PREDICTED // len(part.X_test))
        rows = pd.concat([part.X_test] * times, ignore_index=True)[:PREDICTED]
        start = time.perf_counter()
        fitted.predict(rows)
        found["predict"] = time.perf_counter() - start
    return found


def memory(system: str) -> float:
    """MB that the whole process of one fit has at most."""
    import resource

    found = split(OTHERS[LARGEST](), 0)
    fitted = SYSTEMS[system](found.classes, 0)
    fitted.fit(found.X, found.y)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    made = page_parser(__doc__ or "")
    made.set_defaults(page=DOCS / "tables.md", json=DOCS / "tables.json")
    made.add_argument("--seeds", type=int, default=5, help="splits of each table")
    made.add_argument("--realmlp-seeds", type=int, default=1, help="splits for RealMLP")
    made.add_argument("--realmlp-rows", type=int, default=3500, help="rows of its largest table")
    made.add_argument("--only", nargs="+", metavar="TABLE", help="some tables alone")
    made.add_argument("--memory-of", help="print the memory of a fit of one system, and end")
    options = made.parse_args()
    warnings.simplefilter("ignore")
    if options.memory_of:
        print(memory(options.memory_of))
        return
    about = machine()
    figures: dict[str, Any] = {}
    for name, load in {**CHOSEN_ON, **OTHERS}.items():
        if options.only and name not in options.only:
            continue
        data = load()
        figures[name] = {"rows": len(data.y), "columns": data.X.shape[1], "runs": {}}
        for seed in range(options.seeds):
            part = split(data, seed)
            for system in SYSTEMS:
                few = seed < options.realmlp_seeds and len(data.y) <= options.realmlp_rows
                if system == "RealMLP" and not few:
                    continue
                runs = figures[name]["runs"].setdefault(system, [])
                runs.append(measure(system, part, seed, predict=seed == 0))
                print(
                    name,
                    seed,
                    system,
                    {k: v and round(v, 4) for k, v in runs[-1].items()},
                    flush=True,
                )
        if not options.dry_run:
            write_figures(options.json, "tables", {"machine": about, "figures": figures})
    used = {
        system: float(
            subprocess.run(
                [sys.executable, __file__, "--memory-of", system],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()[-1]
        )
        for system in SYSTEMS
    }
    text = f"{machine_lines(about)}\n\n{report(figures, used)}"
    print(text)
    if not options.dry_run:
        write_figures(
            options.json, "tables", {"machine": about, "figures": figures, "memory": used}
        )
        write_section(options.page, "tables", text)


def report(figures: Mapping[str, Any], used: Mapping[str, float]) -> str:
    """The table of scores, and what is said of them in the issue's own words."""
    rows, gaps = [], {system: dict[str, float]() for system in SYSTEMS}
    against_real, ratios = {}, {"fit": {}, "predict": {}}
    for name, found in figures.items():
        runs = found["runs"]
        base = [run["score"] for run in runs["boosting"]]
        cells = []
        for system, each in runs.items():
            scores = [run["score"] for run in each]
            gap = statistics.fmean(a - b for a, b in zip(scores, base, strict=False))
            gaps[system][name] = gap
            cells.append(
                f"{statistics.fmean(scores):.3f}" if system == "boosting" else f"{gap:+.4f}"
            )
        if runs.get("RealMLP"):
            against_real[name] = statistics.fmean(
                a["score"] - b["score"]
                for a, b in zip(runs["scratchnet"], runs["RealMLP"], strict=False)
            )
        seconds = [
            statistics.median(run["fit"] for run in runs[s]) for s in ("scratchnet", "boosting")
        ]
        of_rows = [runs[s][0]["predict"] for s in ("scratchnet", "boosting")]
        ratios["fit"][name] = seconds[0] / seconds[1]
        ratios["predict"][name] = of_rows[0] / of_rows[1]
        star = " *" if name in CHOSEN_ON else ""
        order = ["boosting", *(s for s in runs if s != "boosting")]
        cells = [cells[list(runs).index(s)] for s in order]
        cells += [""] * (len(SYSTEMS) - len(cells))
        rows.append(
            [
                f"{name}{star} ({found['rows']:,} x {found['columns']})",
                *cells,
                f"{seconds[0]:.1f} / {seconds[1]:.2f}",
                f"{of_rows[0]:.2f} / {of_rows[1]:.2f}",
            ]
        )
    head = [
        "table",
        "boosting",
        "scratchnet",
        "MLP",
        "LightGBM",
        "RealMLP",
        "s/fit",
        "s/10,000 rows",
    ]
    lines = [table(head, rows), ""]
    for title, some in (
        ("All tables", list(figures)),
        ("Tables that no default was chosen on", [n for n in figures if n not in CHOSEN_ON]),
    ):
        own = [gaps["scratchnet"][n] for n in some]
        before_mlp = [gaps["scratchnet"][n] > gaps["MLP"][n] for n in some]
        lines.append(
            f"- {title}: median gap to boosting {statistics.median(own):+.4f}, ahead on "
            f"{sum(g > 0 for g in own)} of {len(own)}, lowest {min(own):+.4f}; ahead of the MLP on "
            f"{sum(before_mlp)} of {len(own)}; LightGBM's median gap "
            f"{statistics.median(gaps['LightGBM'][n] for n in some):+.4f}."
        )
    if against_real:
        real = [gaps["RealMLP"][n] for n in against_real]
        lines.append(
            f"- RealMLP ({len(real)} tables): median gap to boosting "
            f"{statistics.median(real):+.4f}; scratchnet is ahead of it by "
            f"{statistics.median(against_real.values()):+.4f} in the median of the same "
            f"splits, and on {sum(g > 0 for g in against_real.values())} of them."
        )
    for what, words in (("fit", "A fit"), ("predict", "Predicting")):
        each = ratios[what].values()
        lines.append(
            f"- {words} takes {statistics.median(each):.1f} times boosting's seconds in the "
            f"median, {min(each):.1f} to {max(each):.1f}."
        )
    entropies = {
        name: [
            statistics.fmean(run["entropy"] for run in found["runs"][s])
            for s in ("scratchnet", "boosting")
        ]
        for name, found in figures.items()
        if found["runs"]["boosting"][0]["entropy"] is not None
    }
    lower = sum(a < b for a, b in entropies.values())
    lines.append(
        f"- Cross-entropy of the probabilities: lower than boosting's on {lower} of "
        f"{len(entropies)} tables; "
        + ", ".join(f"{name} {a:.3f} / {b:.3f}" for name, (a, b) in entropies.items())
        + "."
    )
    if used:
        lines.append(
            f"- Memory of the whole process of a fit of {LARGEST}, MB: "
            + ", ".join(f"{system} {mb:.0f}" for system, mb in used.items())
            + "."
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
