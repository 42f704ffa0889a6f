"""Networks as scikit-learn's estimators: its own MLPs and more, of any layers, and for tables."""

from scratchnet.estimator.classifier import ConvClassifier, MLPClassifier, NetworkClassifier
from scratchnet.estimator.regressor import MLPRegressor, NetworkRegressor
from scratchnet.estimator.tabular import TableClassifier, TableRegressor

__all__ = [
    "ConvClassifier",
    "MLPClassifier",
    "MLPRegressor",
    "NetworkClassifier",
    "NetworkRegressor",
    "TableClassifier",
    "TableRegressor",
]
