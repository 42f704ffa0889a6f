"""How far the probabilities can be believed: of those near p, is a share of p right?"""

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.datasets import make_classification
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scratchnet.estimator import MLPClassifier

X, y = make_classification(4000, 20, n_informative=6, flip_y=0.1, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

for dropout in (0.0, 0.5):
    network = MLPClassifier(dropout=dropout, max_iter=500, tol=1e-3, random_state=0)
    fitted = make_pipeline(StandardScaler(), network)
    p = fitted.fit(X_train, y_train).predict_proba(X_test)[:, 1]
    share, mean = calibration_curve(y_test, p, n_bins=5, strategy="quantile")
    print(f"dropout {dropout}: Brier score {brier_score_loss(y_test, p):.4f}")
    print("  predicted", np.round(mean, 2))
    print("  observed ", np.round(share, 2))
