"""Planted faults: each is a slip that people make, and each must turn a test red.

A mutant is a copy of the package with one piece of text replaced; the named tests run on it in a
process of their own. A mutant that survives means that a test cannot fail.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import scratchnet

TESTS = Path(__file__).parent
PACKAGE = Path(scratchnet.__file__).parent


class Mutation(NamedTuple):
    what: str
    module: str
    old: str
    new: str
    tests: str  # the file, and which of its tests


MUTATIONS = [
    Mutation(
        "a08 softmax over the whole batch",
        "functions.py",
        "return np.asarray(y / y.sum(axis=-1, keepdims=True))",
        "return np.asarray(y / y.sum())",
        "test_functions.py",
    ),
    Mutation(
        "b08 a small number inside the logarithm",
        "layers/losses.py",
        "np.log1p(rest)",
        "np.log(1 + rest + 1e-7)",
        "test_losses.py",
    ),
    Mutation(
        "b25 the incoming gradient is ignored",
        "layers/losses.py",
        "np.multiply(dy, dout / len(t), out=dy)",
        "np.multiply(dy, 1 / len(t), out=dy)",
        "test_contracts.py -k b25",
    ),
    Mutation(
        "the loss gradient is a sum, the loss a mean",
        "layers/losses.py",
        "dout / len(t)",
        "dout",
        "test_losses.py",
    ),
    Mutation(
        "b09 negative labels are let through",
        "layers/losses.py",
        "t.min() < 0 or t.max()",
        "t.max()",
        "test_losses.py",
    ),
    Mutation(
        "b17 relu passes gradient at 0",
        "layers/activations.py",
        "np.greater(y, 0,",
        "np.greater_equal(y, 0,",
        "test_layers.py",
    ),
    Mutation(
        "b17 relu writes into the caller's gradient",
        "layers/activations.py",
        "return np.multiply(dout, mask, out=dx)",
        "return np.multiply(dout, mask, out=dout)",
        "test_contracts.py -k never_writes",
    ),
    Mutation(
        "the bias gradient is a mean",
        "layers/affine.py",
        "np.sum(dout, axis=0,",
        "np.mean(dout, axis=0,",
        "test_layers.py",
    ),
    Mutation(
        "b20 assigning replaces the array",
        "parameters.py",
        'np.copyto(view, source, casting="same_kind")',
        "self._views[name] = source",
        "test_parameters.py",
    ),
    Mutation(
        "weight decay shrinks biases too",
        "networks.py",
        "weights = slice(self.n_weights)",
        "weights = slice(None)",
        "test_networks.py",
    ),
    Mutation(
        "b10 accuracy leaves out the last short batch",
        "networks.py",
        "for start in range(0, n, size))",
        "for start in range(0, n - n % size, size))",
        "test_networks.py",
    ),
    Mutation(
        "predict returns kept memory",
        "networks.py",
        "y[rows] = self.logits(x[rows])",
        "y = self.logits(x[rows])",
        "test_networks.py",
    ),
    Mutation(
        "b21 no correction of the first moment",
        "optimizers/adaptive.py",
        "(self.lr / (1 - self.beta1**t)) * m / (np.sqrt(v_hat)",
        "self.lr * m / (np.sqrt(v_hat)",
        "test_optimizers.py",
    ),
    Mutation(
        "b22 nesterov in the old order",
        "optimizers/descent.py",
        "w += self.momentum * v - self.lr * g",
        "w += self.momentum**2 * v - (1 + self.momentum) * self.lr * g",
        "test_optimizers.py",
    ),
    Mutation(
        "a05 adagrad with eps inside the root",
        "optimizers/adaptive.py",
        "h += g * g\n        w -= self.lr * g / (np.sqrt(h) + self.eps)",
        "h += g * g\n        w -= self.lr * g / np.sqrt(h + self.eps)",
        "test_optimizers.py",
    ),
    Mutation(
        "weight decay reaches biases",
        "optimizers/optimizer.py",
        "return w.size if w.ndim > 1 else 0",
        "return w.size",
        "test_contracts.py -k spares_vectors",
    ),
    Mutation(
        "a network's biases decay with its weights",
        "optimizers/optimizer.py",
        "for array in params.values() if array.ndim > 1)",
        "for array in params.values())",
        "test_contracts.py -k equals_the_vector",
    ),
    Mutation(
        "weight decay without lr",
        "optimizers/optimizer.py",
        "w *= 1 - self.lr * self.weight_decay",
        "w *= 1 - self.weight_decay",
        "test_references.py",
    ),
    Mutation(
        "clipping scales small gradients up",
        "optimizers/optimizer.py",
        "return self.clip_norm / norm if norm > self.clip_norm else 1.0",
        "return self.clip_norm / norm if norm else 1.0",
        "test_references.py",
    ),
    Mutation(
        "a late parameter shares the count of steps",
        "optimizers/optimizer.py",
        "self.step = self.steps.get(name, 0) + 1",
        "self.step = max(self.steps.values(), default=0) + 1",
        "test_contracts.py -k b20",
    ),
    Mutation(
        "training goes on from the averaged weights",
        "optimizers/optimizer.py",
        "w[...] = self._training.pop(name)",
        "self._training.pop(name)",
        "test_contracts.py -k without_a_trace",
    ),
    Mutation(
        "b03 the last epoch's order is used again",
        "trainer.py",
        '"shuffle", self.epochs)',
        '"shuffle", 0)',
        "test_trainer.py",
    ),
    Mutation(
        "b04 batches of every size weigh the same",
        "trainer.py",
        "self._loss_sum += loss * len(t)",
        "self._loss_sum += loss * self.batches.batch_size",
        "test_trainer.py",
    ),
    Mutation(
        "b06 gradients that are all 0 pass",
        "gradient_check.py",
        "elif not largest:",
        "elif False:",
        "test_gradient_check.py",
    ),
    Mutation(
        "b06 kinks are not looked for",
        "gradient_check.py",
        "smooth[i] &= _pattern(problem.layers) == sides",
        "smooth[i] &= True",
        "test_gradient_check.py",
    ),
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.what)
def test_a_planted_fault_is_caught(mutation, tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "scratchnet", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "scratchnet" / mutation.module
    source = path.read_text(encoding="utf-8")
    assert source.count(mutation.old) == 1, "the text to replace must stand in the module once"
    path.write_text(source.replace(mutation.old, mutation.new), encoding="utf-8")
    file, *options = mutation.tests.split()
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-xq", "-pno:cacheprovider", TESTS / file, *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, f"no test noticed: {mutation.what}\n{run.stdout}{run.stderr}"
    assert "1 failed" in run.stdout
