"""What contract tests share: number types, ways to copy, inputs, both modes of a layer."""

import copy
import pickle

import numpy as np
import pytest

DTYPES = ("float32", "float64")
COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda o: pickle.loads(pickle.dumps(o))}
MODES = pytest.mark.parametrize("train", [True, False], ids=["train", "evaluation"])
CLASSES = np.arange(7) % 5


def inputs(rows=7, columns=5, dtype="float32", seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns)).astype(dtype)
