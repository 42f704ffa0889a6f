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

pytestmark = pytest.mark.slow

TESTS = {path.name: path for path in Path(__file__).parents[1].rglob("test_*.py")}
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
        "loops/kernels.py",
        "np.log1p(rest)",
        "np.log(1 + rest + 1e-7)",
        "test_losses.py",
    ),
    Mutation(
        "b25 the incoming gradient is ignored",
        "layers/softmax.py",
        "np.multiply(dy, dout / max(len(dy), 1), out=dy)",
        "np.multiply(dy, 1 / len(dy), out=dy)",
        "test_loss_contracts.py -k b25",
    ),
    Mutation(
        "the loss gradient is a sum, the loss a mean",
        "layers/softmax.py",
        "dout / max(len(dy), 1)",
        "dout",
        "test_losses.py -k a07",
    ),
    Mutation(
        "b09 negative labels are let through",
        "layers/labels.py",
        "t.min() < 0 or t.max()",
        "t.max()",
        "test_losses.py",
    ),
    Mutation(
        "b17 relu passes gradient at 0",
        "layers/elementary.py",
        "dout * (x > 0)",
        "dout * (x >= 0)",
        "test_layers.py -k b17",
    ),
    Mutation(
        "b17 relu writes into the caller's gradient",
        "layers/elementary.py",
        "dx[...] = dout * (x > 0)",
        "dx[...] = np.multiply(dout, x > 0, out=dout)",
        "test_layer_contracts.py -k never_writes",
    ),
    Mutation(
        "the bias gradient is a mean",
        "loops/kernels.py",
        "np.sum(x, axis=0,",
        "np.mean(x, axis=0,",
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
        "networks/network.py",
        "weights = slice(self._n_weights)",
        "weights = slice(None)",
        "test_networks.py",
    ),
    Mutation(
        "b10 accuracy leaves out the last short batch",
        "networks/shapes.py",
        "for start in range(0, n, size))",
        "for start in range(0, n - n % size, size))",
        "test_networks.py",
    ),
    Mutation(
        "predict returns kept memory",
        "networks/network.py",
        "y[rows] = network.logits(x[rows])",
        "y = network.logits(x[rows])",
        "test_networks.py",
    ),
    Mutation(
        "b21 no correction of the first moment",
        "optimizers/adaptive.py",
        "(self.lr * c / (1 - self.beta1**t)) * m / (np.sqrt(v)",
        "self.lr * c * m / (np.sqrt(v)",
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
        "optimizers/walk.py",
        "return w.size if is_weight(w.shape) else 0",
        "return w.size",
        "test_optimizer_contracts.py -k spares_vectors",
    ),
    Mutation(
        "a network's biases decay with its weights",
        "optimizers/walk.py",
        "for array in params.values() if is_weight(array.shape))",
        "for array in params.values())",
        "test_optimizer_contracts.py -k equals_the_vector",
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
        "test_optimizer_contracts.py -k b20",
    ),
    Mutation(
        "training goes on from the averaged weights",
        "optimizers/optimizer.py",
        "w[...] = self._training.pop(name)",
        "self._training.pop(name)",
        "test_optimizer_contracts.py -k without_a_trace",
    ),
    Mutation(
        "b03 the last epoch's order is used again",
        "training/trainer.py",
        "self.batches.epoch(seed, self.epochs, done)",
        "self.batches.epoch(seed, 0, done)",
        "test_trainer.py",
    ),
    Mutation(
        "b04 batches of every size weigh the same",
        "training/trainer.py",
        "self._loss_sum += loss * len(index)",
        "self._loss_sum += loss * self.batches.batch_size",
        "test_trainer.py",
    ),
    Mutation(
        "b06 gradients that are all 0 pass",
        "inspection/gradient_check.py",
        "elif not largest:",
        "elif False:",
        "test_gradient_check.py",
    ),
    Mutation(
        "b06 kinks are not looked for",
        "inspection/gradient_check.py",
        "smooth[i] &= _pattern(problem.layers) == sides",
        "smooth[i] &= True",
        "test_gradient_check.py",
    ),
    Mutation(
        "batch norm remembers the biased variance",
        "layers/normalization.py",
        "self._follow(mean, var * (self.rows / (self.rows - 1)))",
        "self._follow(mean, var)",
        "test_layer_references.py -k batch_norm",
    ),
    Mutation(
        "batch norm's gradient forgets that the mean moves",
        "layers/normalization.py",
        "np.subtract(dx, self._wide(of_dout / self.rows), out=dx)",
        "np.subtract(dx, 0, out=dx)",
        "test_layer_references.py -k batch_norm",
    ),
    Mutation(
        "batch norm evaluates with the statistics of the batch",
        "layers/normalization.py",
        "self.own_batch = train and self.rows > 1",
        "self.own_batch = len(x) > 1",
        "test_normalization.py -k moves_nothing",
    ),
    Mutation(
        "batch norm of one row divides by its variance of 0",
        "layers/normalization.py",
        "self.own_batch = train and self.rows > 1",
        "self.own_batch = train",
        "test_normalization.py -k batch_of_one_row",
    ),
    Mutation(
        "b15 the running variance starts at 0",
        "layers/normalization.py",
        'self.statistics["running_var"] += 1',
        "pass",
        "test_normalization.py -k b15_before",
    ),
    Mutation(
        "layer norm's gradient forgets the variance",
        "layers/normalization.py",
        "np.subtract(dx, along, out=dx)",
        "np.subtract(dx, 0, out=dx)",
        "test_layer_references.py -k layer_norm",
    ),
    Mutation(
        "standardize looks again whenever it is shown samples",
        "layers/per_column.py",
        'if not self.statistics["input_rows"][0]:',
        "if True:",
        "test_normalization.py -k looks_once",
    ),
    Mutation(
        "standardize looks at the samples held out",
        "training/border.py",
        "network.adapt(samples.x, samples.t, samples.scale, samples.weights)",
        'seen = fit_data(network, "seen", validation or train)\n'
        "    network.adapt(seen.x, seen.t, seen.scale)",
        "test_normalization.py -k standard_scaler",
    ),
    Mutation(
        "dropout is not inverted",
        "layers/regularization.py",
        "LEVELS / (LEVELS - self.dropped)",
        "1.0",
        "test_regularization.py -k many_masks",
    ),
    Mutation(
        "dropout drops in evaluation",
        "layers/regularization.py",
        "self.disturbed = train and self.noisy and self.dropped > 0",
        "self.disturbed = self.noisy and self.dropped > 0",
        "test_regularization.py -k dropout_in_evaluation",
    ),
    Mutation(
        "dropout draws another mask for the gradient",
        "layers/regularization.py",
        "return np.multiply(dout, remembered(self.factor), out=dx)",
        "return self.forward(dout, train=True)",
        "test_regularization.py -k gradient_passes_where",
    ),
    Mutation(
        "a second look draws other masks",
        "training/trainer.py",
        "kept = measured.copy()",
        "kept, self._draws = measured.copy(), False",
        "test_regularization.py -k second_look",
    ),
    Mutation(
        "a second look moves the running statistics",
        "training/trainer.py",
        "measured[:] = kept",
        "kept[:] = measured",
        "test_regularization.py -k second_look",
    ),
    Mutation(
        "masks depend on all that was drawn before, which no checkpoint holds",
        "training/trainer.py",
        'noise = partial(generator, self.seed, "noise", self.steps) if self._draws else None',
        "noise = None",
        "test_regularization.py -k broken_off",
    ),
    Mutation(
        "a convolution does not turn its kernel round for the gradient",
        "layers/convolution.py",
        'turned = self.params["W"][::-1, ::-1]',
        'turned = self.params["W"]',
        "test_image_references.py",
    ),
    Mutation(
        "the derivative of a convolution is not added up over blocks",
        "layers/convolution.py",
        "piece += each.sum(axis=0)",
        "piece[...] = each.sum(axis=0)",
        "test_images.py -k blocks",
    ),
    Mutation(
        "an odd number of zeros is put in front",
        "layers/windows.py",
        "(total // 2, total - total // 2)",
        "(total - total // 2, total // 2)",
        "test_image_references.py -k same",
    ),
    Mutation(
        "every largest value gets the gradient",
        "layers/pooling.py",
        "dout = np.subtract(dout, dpart, out=dparts[-1])",
        "np.multiply(dout, parts[-1] == y, out=dparts[-1])",
        "test_images.py -k reading_order",
    ),
    Mutation(
        "channels are normalized pixel by pixel",
        "layers/normalization.py",
        "columns = size if image is None else image[2]",
        "columns = size",
        "test_images.py -k batch_normalization",
    ),
    Mutation(
        "b15 channel statistics count images, not pixels",
        "layers/normalization.py",
        "self.rows *= x.shape[1] // remembered(self.n)",
        "pass",
        "test_images.py -k batch_normalization",
    ),
    Mutation(
        "a residual block forgets its input",
        "layers/residual.py",
        "np.add(past, through, out=",
        "np.add(0, through, out=",
        "test_layer_contracts.py -k residual",
    ),
    Mutation(
        "parts are added in the order in which they end",
        "training/parts.py",
        "array[...] = sum(found[1:], found[0])",
        "array[...] = sum(found[:k], found[k]) + sum(found[k + 1 :])",
        "test_parts.py -k meeting",
    ),
    Mutation(
        "parts add up gradients without their share of the batch",
        "training/parts.py",
        "network.backward(batch.share)",
        "network.backward()",
        "test_parts.py -k every_option",
    ),
    Mutation(
        "parts begin without the statistics of the network",
        "networks/views.py",
        "np.copyto(measured, network.state_vector[network.vector.size :])",
        "pass",
        "test_parts.py -k every_option",
    ),
    Mutation(
        "early stopping brings back the weights without their statistics",
        "training/stopping.py",
        "self.network.state_vector[:] = self.weights",
        "self.network.vector[:] = self.weights[: self.network.vector.size]",
        "test_regularization.py -k early_stopping",
    ),
    Mutation(
        "label smoothing is missing in the gradient",
        "layers/softmax.py",
        "dy -= e / dy.shape[1]",
        "dy -= 0.0",
        "test_layer_references.py -k smoothed",
    ),
    Mutation(
        "class weights are divided by their mean over the batch",
        "layers/softmax.py",
        "losses *= self.w[:, 0]",
        "losses *= self.w[:, 0] / self.w.mean()",
        "test_layer_references.py -k weighted",
    ),
    Mutation(
        "gelu's slope without x N(x)",
        "layers/activations.py",
        "dx[...] = (density * x + p) * dout",
        "dx[...] = p * dout",
        "test_layer_references.py -k gelu",
    ),
    Mutation(
        "prelu learns its slope in the wrong direction",
        "layers/activations.py",
        "np.multiply(product, dout, out=product)",
        "np.multiply(product, -dout, out=product)",
        "test_layer_references.py -k prelu",
    ),
    Mutation(
        "b06 one row through batch norm passes",
        "layers/normalization.py",
        "if n_rows > 1:",
        "if n_rows > 0:",
        "test_gradient_check.py -k single_sample_is",
    ),
    Mutation(
        "ranks add up gradients without their share of the batch",
        "training/parts.py",
        "network.backward(batch.share)",
        "network.backward()",
        "test_parallel.py -k with_every_layer_and_loss",
    ),
    Mutation(
        "ranks add up losses without their share of the batch",
        "training/sharing.py",
        "shard.share * loss",
        "loss",
        "test_parallel.py -k with_every_layer_and_loss",
    ),
    Mutation(
        "every rank adds the whole penalty",
        "networks/network.py",
        "+= share * self.l2",
        "+= self.l2",
        "test_parallel.py -k L2",
    ),
    Mutation(
        "every rank drops what the first drops",
        "layers/regularization.py",
        ".reshape(shard.total, -1)[shard.rows]",
        ".reshape(shard.total, -1)[: shard.stop - shard.start]",
        "test_parallel.py -k dropout",
    ),
    Mutation(
        "batch norm on ranks sums up its own rows",
        "layers/normalization.py",
        "self._all_reduce(sums)",
        "sums",
        "test_parallel.py -k batch",
    ),
    Mutation(
        "ranks distort as if they were the first",
        "data/augment.py",
        "A[shard.rows] for A",
        "A[: shard.stop - shard.start] for A",
        "test_parallel.py -k augmented",
    ),
    Mutation(
        "ranks validate on the same samples",
        "training/evaluation.py",
        "first = ranks.rank * threads + thread",
        "first = thread",
        "test_parallel.py -k plateau",
    ),
    Mutation(
        "ranks are not compared at the start",
        "parallel/mpi.py",
        "if theirs.get(name) != everyone[0].get(name):",
        "if False:",
        "test_parallel.py -k differ_are_refused",
    ),
    Mutation(
        "robust scaling forgets the slope of its bound",
        "layers/numbers.py",
        "np.divide(dout, root * root * root, out=dx)",
        "np.divide(dout, root, out=dx)",
        "test_layer_contracts.py -k robust",
    ),
    Mutation(
        "a value beyond a bin goes on",
        "layers/numbers.py",
        "self.codes = np.clip(codes, 0, 1, out=codes)",
        "self.codes = np.clip(codes, 0, 2, out=codes)",
        "test_layers_of_tables.py -k how_far",
    ),
    Mutation(
        "a category that occurs twice is learnt from once",
        "layers/embedding.py",
        "dE[found] = np.add.reduceat(dout.reshape(-1, self.width)[order], starts, axis=0)",
        "dE[rows] = dout.reshape(-1, self.width)",
        "test_layers_of_tables.py -k embedding",
    ),
    Mutation(
        "a member learns from rows that it holds out",
        "layers/members.py",
        "np.multiply(dy, (s / self.members).reshape(-1, 1), out=dy)",
        "np.multiply(dy, 1 / self.members, out=dy)",
        "test_member_layers.py -k holds_out",
    ),
    Mutation(
        "members hold out the same rows",
        "estimator/members.py",
        "starts = np.arange(self.members) / self.members",
        "starts = np.zeros(self.members)",
        "test_members_of_tables.py -k other_rows",
    ),
    Mutation(
        "held-out rows are predicted by members that know them",
        "estimator/members.py",
        "if self._shares is None:",
        "if True:",
        "test_members_of_tables.py -k held_out_rows",
    ),
    Mutation(
        "tables are prepared by what is predicted",
        "estimator/frames.py",
        "inside = np.clip(values, self.lowest, self.highest)",
        "inside = np.clip(values, values.min(), values.max())",
        "test_tables.py -k stay_in_the_range",
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
        [sys.executable, "-m", "pytest", "-xq", "-pno:cacheprovider", TESTS[file], *options],
        cwd=tmp_path,
        env={
            **os.environ,
            "SCRATCHNET_LOOPS": "0",  # what is changed are the lines for NumPy
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, f"no test noticed: {mutation.what}\n{run.stdout}{run.stderr}"
    assert "1 failed" in run.stdout
