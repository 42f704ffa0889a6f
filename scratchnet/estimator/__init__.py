"""`MLPClassifier` and `MLPRegressor` with scikit-learn's arguments, and more."""

from scratchnet.estimator.classifier import MLPClassifier
from scratchnet.estimator.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
