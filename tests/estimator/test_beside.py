"""The page lists all that differs from scikit-learn's classes: the comparison writes it."""

import sys
from pathlib import Path

import pytest
import sklearn

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(sklearn.__version__ != "1.9.1", reason="the page is of scikit-learn 1.9.1")
def test_the_page_has_every_difference(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "docs")])
    import make_estimator

    make_estimator.main(["--check"])
