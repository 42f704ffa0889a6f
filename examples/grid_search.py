"""A Pipeline with a StandardScaler, searched over what scikit-learn's own network does not have."""

from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scratchnet.estimator import MLPClassifier

X, y = load_breast_cancer(return_X_y=True)
network = MLPClassifier(max_iter=500, tol=1e-3, n_iter_no_change=5, random_state=0)
pipeline = make_pipeline(StandardScaler(), network)
print(f"as it is: {cross_val_score(pipeline, X, y, cv=5).mean():.4f}")

grid = {
    "mlpclassifier__dropout": [0.0, 0.3],
    "mlpclassifier__optimizer": ["adam", "lion", "muon"],
    "mlpclassifier__class_weight": [None, "balanced"],
}
search = GridSearchCV(pipeline, grid, cv=5, n_jobs=2).fit(X, y)
print(f"the best of {len(search.cv_results_['params'])}: {search.best_score_:.4f}")
for name, value in search.best_params_.items():
    print(f"  {name.removeprefix('mlpclassifier__')} = {value!r}")
