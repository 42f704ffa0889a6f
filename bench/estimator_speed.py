"""Times of the estimators beside scikit-learn's classes, in pairs: fits, predictions, and text.

    python bench/estimator_speed.py [--write]

One thread. Of each pair the smallest of several times; ours and theirs take turns. Fits are of 100
epochs; the text is made here, each fit in a process of its own, whose memory is measured. --write
puts the tables into docs/estimator.md.
"""

import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from lib.page import write_section
from lib.report import machine, machine_lines, parser, table, write_json
from scipy import sparse
from sklearn import datasets, neural_network
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import StandardScaler

from scratchnet import estimator

PAGE = Path(__file__).resolve().parent.parent / "docs" / "estimator.md"
EPOCHS = {"max_iter": 100, "tol": 0.0, "n_iter_no_change": 1000, "random_state": 0}
ROWS = (1, 10, 50, 1000, 50_000)
DOCUMENTS, WORDS, TRAIN = 11_000, 20_000, 9000
MODULES = {"ours": estimator, "theirs": neural_network}


def main() -> None:
    made = parser(__doc__ or "")
    made.add_argument("--write", action="store_true", help=f"put the tables into docs/{PAGE.name}")
    made.add_argument("--text", nargs=2, metavar=("WHOSE", "DTYPE"), help="one fit of the text")
    options = made.parse_args()
    warnings.simplefilter("ignore")
    if options.text:
        print(json.dumps(fit_text(*options.text)))
        return
    found = machine()
    fits = [row for name, x, y, kind in sets() for row in fit_rows(name, x, y, kind)]
    predictions = [row for name, x, y, kind in sets() for row in predict_rows(name, x, y, kind)]
    texts = list(text_rows())
    head = ["", "dtype", "scratchnet", "scikit-learn", "ratio"]
    text = "\n\n".join(
        [
            machine_lines(found),
            "Seconds of a fit of 100 epochs (of 3 where there are 100,000 rows):",
            table(["data", *head[1:]], fits),
            "Microseconds of `predict`, X of float64:",
            table(["data", "rows", *head[2:]], predictions),
            f"{DOCUMENTS:,} documents of {WORDS:,} words as TF-IDF, {TRAIN:,} to train on, 10 "
            "epochs: seconds and MiB (the highest memory of the process) of a fit, and accuracy:",
            table(["", "dtype", "seconds", "MiB", "accuracy"], texts),
        ]
    )
    print(text)
    write_json(options.json, {"machine": found, "fits": fits, "predictions": predictions})
    if options.write:
        write_section(PAGE, "times", text)


def sets() -> Iterator[tuple[str, Any, Any, str]]:
    """Name, X, y, and the class for them."""
    for name in ("iris", "wine", "digits", "breast_cancer"):
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        yield name.replace("_", " "), StandardScaler().fit_transform(x), y, "MLPClassifier"
    x, y = datasets.load_diabetes(return_X_y=True)
    yield "diabetes", StandardScaler().fit_transform(x), (y - y.mean()) / y.std(), "MLPRegressor"
    x, y = datasets.make_regression(100_000, 50, random_state=0)
    yield "100,000 x 50", x, y / y.std(), "MLPRegressor"


def smallest(work: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """The smallest time of each, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, one in work.items():
            start = time.perf_counter()
            one()
            times[name].append(time.perf_counter() - start)
    return {name: min(each) for name, each in times.items()}


def fit_rows(name: str, x: Any, y: Any, kind: str) -> Iterator[list[str]]:
    """A fit in both dtypes."""
    many = len(x) > 10_000
    options = {**EPOCHS, "max_iter": 3 if many else 100}
    for dtype in ("float64", "float32"):
        given = x.astype(dtype)
        work = {
            whose: lambda m=module: getattr(m, kind)(**options).fit(given, y)  # noqa: B023
            for whose, module in MODULES.items()
        }
        found = smallest(work, 3 if many else 9)
        yield [name, dtype, *(f"{found[w]:.4f}" for w in MODULES), _ratio(found)]
        print(name, dtype, found, file=sys.stderr, flush=True)


def predict_rows(name: str, x: Any, y: Any, kind: str) -> Iterator[list[str]]:
    """Predictions of so many rows."""
    fitted = {
        whose: getattr(module, kind)(**{**EPOCHS, "max_iter": 2}).fit(x, y)
        for whose, module in MODULES.items()
    }
    every = np.resize(x, (max(ROWS), x.shape[1]))
    for rows in ROWS:
        part = every[:rows]
        work = {whose: lambda of=of: of.predict(part) for whose, of in fitted.items()}  # noqa: B023
        found = smallest(work, 300 if rows < 1000 else 20)
        yield [name, f"{rows:,}", *(f"{found[w] * 1e6:.0f}" for w in MODULES), _ratio(found)]


def _ratio(found: dict[str, float]) -> str:
    return f"{found['ours'] / found['theirs']:.2f}"


def made_text(dtype: str) -> tuple[Any, Any]:
    """Documents of 100 words each, of which a quarter are of one of 20 topics, as TF-IDF."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 20, DOCUMENTS)
    often = np.cumsum(1 / np.arange(1, WORDS + 1) ** 1.1)
    rows = np.repeat(np.arange(DOCUMENTS), 100)
    words = np.searchsorted(often / often[-1], rng.random(len(rows)))
    of_topic = rng.random(len(rows)) < 0.25
    words = np.where(of_topic, words * 7 + rng.integers(0, WORDS, 20)[y[rows]], words) % WORDS
    counts = sparse.csr_array((np.ones(len(rows)), (rows, words)), shape=(DOCUMENTS, WORDS))
    counts.sum_duplicates()
    return sparse.csr_array(TfidfTransformer().fit_transform(counts)).astype(dtype), y


def fit_text(whose: str, dtype: str) -> list[float]:
    """Seconds and MiB of a fit in this process, and its accuracy."""
    x, y = made_text(dtype)
    network = MODULES[whose].MLPClassifier(max_iter=10, random_state=0)
    start = time.perf_counter()
    network.fit(x[:TRAIN], y[:TRAIN])
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [seconds, peak, float(network.score(x[TRAIN:], y[TRAIN:]))]


def text_rows() -> Iterator[list[str]]:
    """The text by both, in processes of their own, the quicker of two."""
    for dtype in ("float64", "float32"):
        found: dict[str, list[list[float]]] = {whose: [] for whose in MODULES}
        for _ in range(2):
            for whose in MODULES:
                run = [sys.executable, __file__, "--text", whose, dtype]
                ended = subprocess.run(run, capture_output=True, text=True, check=True)
                found[whose].append(json.loads(ended.stdout))
        for whose, name in zip(MODULES, ("scratchnet", "scikit-learn"), strict=True):
            seconds, peak, accuracy = min(found[whose])
            yield [name, dtype, f"{seconds:.2f}", f"{peak:.0f}", f"{accuracy:.4f}"]


if __name__ == "__main__":
    main()
