"""Compiled loops do what NumPy does: the same bits, but for what has an exp in it."""

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scratchnet import loops
from scratchnet.environment import describe
from scratchnet.layers import ACTIVATIONS, Affine
from scratchnet.layers import __main__ as activations
from scratchnet.layers.elementwise import Elementwise, find_formula
from scratchnet.loops.translation import UntranslatableError
from scratchnet.networks import Network
from scratchnet.optimizers import OPTIMIZERS, Adam, Momentum
from scratchnet.optimizers import __main__ as rules
from scratchnet.optimizers import loops as of_optimizers
from scratchnet.optimizers.optimizer import Optimizer

PACKAGE = Path(loops.__file__).parent
DTYPES = ("float32", "float64")
WITHOUT = {
    "adafactor": "needs whole arrays",
    "lamb": "needs whole arrays",
    "lars": "needs whole arrays",
    "muon": "needs whole arrays",
    "rprop": "computes in float64",
    "sam": "has no loop for: self.inner.rule",
    "lookahead": "does not name its slots",
    "ema": "does not name its slots",
    "lbfgs": "has no loop for: raise",
}
"""The optimizers that have no loop, and the reason that is given."""
FUSED = sorted(set(OPTIMIZERS) - set(WITHOUT))
SMOOTH = sorted(name for name, kind in ACTIVATIONS.items() if issubclass(kind, Elementwise))
compiled = pytest.mark.skipif(loops.compiled() is None, reason=f"loops: {loops.describe()}")


def test_loops_are_there_where_they_can_be_built():
    can = shutil.which("cc") and getattr(sys, "_is_gil_enabled", lambda: True)()
    if not can or os.environ.get("SCRATCHNET_LOOPS") == "0":
        pytest.skip("no compiler, or switched off")
    assert loops.describe() in {"baseline", "avx2", "avx512"}


@pytest.mark.parametrize(("made", "file"), [(rules, "rules.h"), (activations, "activations.h")])
def test_the_loops_in_c_are_those_that_the_formulas_give(made, file):
    assert (PACKAGE / file).read_text("utf-8") == made.text(), "run `make loops`"


@compiled
@pytest.mark.parametrize("name", FUSED)
def test_every_rule_that_can_be_a_loop_has_been_compiled(name):
    loop = of_optimizers.find_rule(OPTIMIZERS[name]())
    assert loop is not None
    for dtype in DTYPES:
        assert loops.code_of(loop.digest, np.dtype(dtype)) is not None


@pytest.mark.parametrize("name", WITHOUT)
def test_a_rule_that_is_no_loop_is_named_with_the_reason(name):
    kind = OPTIMIZERS[name]
    with pytest.raises(UntranslatableError, match=WITHOUT[name]):
        of_optimizers.translate(kind)
    assert f"{kind.__name__}: {WITHOUT[name]}" in rules.text()
    assert of_optimizers.find_rule(kind()) is None


def path_of(kind, dtype, n, **options):
    """Parameters and slots after 30 steps, with gradients from 0 to 10."""
    rng = np.random.default_rng(3)
    optimizer = kind(**options)
    w = {
        "W": rng.standard_normal((n, 3)).astype(dtype),
        "b": rng.standard_normal(n).astype(dtype),
    }
    for _ in range(30):
        sizes = rng.choice([0, 1e-4, 1.0, 10.0], (n, 4))
        g = (rng.standard_normal((n, 4)) * sizes).astype(dtype)
        optimizer.update(w, {"W": np.ascontiguousarray(g[:, :3]), "b": g[:, 3].copy()})
    kept = [a for slots in optimizer.slot_values.values() for a in slots.values()]
    return [*w.values(), *kept]


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "options",
    [{}, {"weight_decay": 0.03}, {"clip_value": 0.5}, {"clip_norm": 2.0, "weight_decay": 0.1}],
    ids=["plain", "decay", "clip-value", "clip-norm-and-decay"],
)
@pytest.mark.parametrize("name", FUSED)
def test_an_optimizer_goes_the_same_way_to_the_bit(name, options, dtype):
    ours = path_of(OPTIMIZERS[name], dtype, 1001, **options)
    with loops.without():
        numpys = path_of(OPTIMIZERS[name], dtype, 1001, **options)
    for a, b in zip(ours, numpys, strict=True):
        np.testing.assert_array_equal(a, b)


@compiled
@pytest.mark.parametrize("name", ["adam", "amsgrad", "lion"])
def test_values_that_are_not_finite_go_the_same_way(name):
    def end():
        optimizer = OPTIMIZERS[name](lr=0.1, clip_value=3.0)
        w = {"w": np.array([1.0, np.nan, np.inf, -np.inf, 2.0, 0.0] * 11)}
        for _ in range(3):
            optimizer.update(w, {"w": np.array([np.nan, 1.0, 1.0, 1.0, np.inf, -np.inf] * 11)})
        return w["w"]

    with np.errstate(all="ignore"):
        ours = end()
        with loops.without():
            np.testing.assert_array_equal(ours, end())


@compiled
def test_every_instruction_set_gives_the_same_bits():
    module, best = loops.compiled(), loops.describe()
    found = {}
    try:
        for level in ("baseline", "avx2", "avx512"):
            try:
                module.level(level)
            except ValueError:
                continue
            network = network_of(list(ACTIVATIONS), "float32")
            x = np.random.default_rng(0).standard_normal((33, 7)).astype("float32")
            network.loss_and_gradient(x, np.arange(33) % 3)
            path = path_of(Adam, "float32", 1001)
            found[level] = [network.predict(x), network.gradient_vector.copy(), *path]
    finally:
        module.level(best)
    assert best in found
    for arrays in found.values():
        for a, b in zip(arrays, found["baseline"], strict=True):
            np.testing.assert_array_equal(a, b)


def network_of(names, dtype):
    layers = [part for name in names for part in (Affine(7, 7, dtype=dtype), ACTIVATIONS[name]())]
    return Network([*layers, Affine(7, 3, dtype=dtype)], dtype=dtype)


@compiled
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-14)])
@pytest.mark.parametrize("name", SMOOTH)
def test_an_activation_is_the_same_within_the_last_digits(name, dtype, tolerance):
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.standard_normal(3000) * 3, np.linspace(-120, 120, 777)]).astype(dtype)
    edges = [0, -0.0, 1e-30, -1e-30, 1e-6, -1e-6, 500, -500, -86.5, -707.5, 1e30, -1e30, np.nan]
    x = np.concatenate([x, np.array(edges, dtype)]).reshape(-1, 10)
    dout = rng.standard_normal(x.shape).astype(dtype)

    def both():
        layer = ACTIVATIONS[name]()
        assert (find_formula(layer, "value") is None) == (loops.compiled() is None)
        with np.errstate(all="ignore"):
            return layer.forward(x), layer.backward(dout)

    ours = both()
    with loops.without():
        numpys = both()
    for a, b in zip(ours, numpys, strict=True):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=2 * tolerance, atol=2 * tolerance)
        if name in {"relu", "leaky-relu"}:
            np.testing.assert_array_equal(a, b)


@dataclass(repr=False)
class Mine(Momentum):
    def rule(self, w, g, v):
        v *= self.momentum
        v += g
        w -= self.lr * v


@dataclass(repr=False)
class Same(Adam):
    """Adam by another name."""


@dataclass(repr=False)
class Slower(Adam):
    def decay_weights(self, w, *slots, **none):
        w *= 1 - 0.5 * self.lr * self.weight_decay


class Cube(Elementwise):
    def value(self, x, y):
        y[...] = x**3

    def derivative(self, dx, dout, x, y):
        dx[...] = 3 * x * x * dout


def has_loop(optimizer: Optimizer) -> bool:
    loop = of_optimizers.find_rule(optimizer)
    return loop is not None and loops.code_of(loop.digest, np.dtype("float32")) is not None


@compiled
def test_a_subclass_has_a_loop_if_it_changes_no_formula():
    assert has_loop(Same())
    assert not has_loop(Mine())
    assert not has_loop(Slower())
    for kind in (Same, Mine, Slower):
        ours = path_of(kind, "float32", 101, weight_decay=0.1)
        with loops.without():
            for a, b in zip(ours, path_of(kind, "float32", 101, weight_decay=0.1), strict=True):
                np.testing.assert_array_equal(a, b)


@compiled
def test_a_formula_that_is_changed_while_the_program_runs_loses_its_loop(monkeypatch):
    def rule(self, w, g, m, v):
        w -= 0.5 * g

    monkeypatch.setattr(Adam, "rule", rule)
    w = {"w": np.ones(4)}
    Adam().update(w, {"w": np.ones(4)})
    np.testing.assert_array_equal(w["w"], 0.5)


def test_an_activation_of_ones_own_works_without_a_loop():
    layer = Cube()
    np.testing.assert_array_equal(layer.forward(np.array([[2.0, -1.0]])), [[8.0, -1.0]])
    np.testing.assert_array_equal(layer.backward(np.array([[1.0, 2.0]])), [[12.0, 6.0]])


def arrays_of(kind):
    """Parameters and a gradient of an unusual kind, which the loops leave to NumPy."""
    plain = np.linspace(-1, 1, 12)
    if kind == "half":
        return plain.astype("float16"), plain.astype("float16")
    if kind == "in pieces":
        return np.linspace(-1, 1, 24)[::2], plain.copy()
    if kind == "gradient in pieces":
        return plain.copy(), np.linspace(-1, 1, 24)[::2]
    if kind == "gradient of another precision":
        return plain.astype("float32"), plain.copy()
    if kind == "one array":
        return plain, plain
    if kind == "overlapping":
        shared = np.linspace(-1, 1, 13)
        return shared[1:], shared[:-1]
    if kind == "of foreign byte order":
        return plain.astype(plain.dtype.newbyteorder()), plain.copy()
    return plain.reshape(3, 4).T, plain.reshape(3, 4).T.copy()


@pytest.mark.parametrize(
    "kind",
    [
        *("half", "in pieces", "gradient in pieces", "gradient of another precision"),
        *("one array", "overlapping", "of foreign byte order", "turned"),
    ],
)
def test_arrays_that_no_loop_takes_are_left_to_numpy(kind):
    def end():
        w, g = arrays_of(kind)
        optimizer = Adam(lr=0.1, weight_decay=0.1)
        for _ in range(3):
            optimizer.update({"w": w}, {"w": g})
        return w

    ours = end()
    with loops.without():
        np.testing.assert_array_equal(ours, end())


def test_parameters_that_cannot_be_written_to_are_refused_as_by_numpy():
    w = np.ones(3)
    w.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        Adam().update({"w": w}, {"w": np.ones(3)})


def ask(code, **variables):
    env = {**os.environ, **variables}
    found = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_the_environment_switches_loops_off_and_a_run_says_so():
    code = "from scratchnet.environment import describe; print(describe()['loops'])"
    assert ask(code, SCRATCHNET_LOOPS="0") == "none (off)"
    assert ask(code, SCRATCHNET_LOOPS="1") == describe()["loops"] or "off" in describe()["loops"]


def test_inside_of_without_there_are_none_here_and_in_children():
    before, variable = loops.describe(), os.environ.get("SCRATCHNET_LOOPS")
    with loops.without():
        assert loops.describe() == "none (off)"
        assert ask("from scratchnet import loops; print(loops.describe())") == "none (off)"
    assert loops.describe() == before
    assert os.environ.get("SCRATCHNET_LOOPS") == variable


@compiled
@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (10**9, 1, 1, np.ones(1)),
        (-1, 1, 1, np.ones(1)),
        (0, 1, 1, *[np.ones(1)] * 9),
        ("a", 1, 1, np.ones(1)),
        (0, "a", 1, np.ones(1)),
    ],
)
def test_a_call_of_no_loop_is_an_error_and_no_crash(arguments):
    with pytest.raises((TypeError, ValueError)):
        loops.compiled().call(*arguments)


@compiled
@pytest.mark.parametrize("phases", [[], [[]], [[[]], []], [[1]], [1], 1, [[[]] * 255]], ids=repr)
def test_a_program_of_other_lists_is_refused(phases):
    with pytest.raises((TypeError, ValueError)):
        loops.compiled().program(phases)


@compiled
@pytest.mark.parametrize(
    "instruction",
    [
        *((), ("jump",), "wait", ("loop", 0), ("call", len), ("stop",), None),
        ("loop", 10**6, 1, 1, (np.ones(1), 0)),
        ("loop", 0, 1, 1, (np.ones(1), 0)),
        ("loop", 0, 1, 1, np.ones(1)),
        ("stop", (np.ones(1), 8)),
        ("product", np.ones((2, 3)), np.ones((4, 5)), np.ones((2, 5))),
        ("product", np.ones((2, 3)), np.ones((3, 5)), np.ones((5, 2))),
        ("product", np.ones((2, 3)), np.ones((3, 5), "float32"), np.ones((2, 5))),
        ("product", np.ones((2, 3)), np.ones(3), np.ones((2, 5))),
        ("product", np.ones((2, 3), int), np.ones((3, 5), int), np.ones((2, 5), int)),
        ("product", np.ones((2, 3)), np.ones((3, 5)), np.broadcast_to(0.0, (2, 5))),
        ("product", 1, 2, 3),
    ],
    ids=range(18),
)
def test_a_program_of_no_instructions_is_refused(instruction):
    with pytest.raises((TypeError, ValueError)):
        loops.compiled().program([[[instruction]]])


@compiled
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (5, 0, 3), (0, 2, 3), (7, 1, 30), (33, 100, 17)])
def test_products_of_a_program_are_those_of_numpy(sizes, dtype):
    assert loops.has_products()
    n, k, d = sizes
    rng = np.random.default_rng(n)
    x, w = rng.standard_normal((n, k)).astype(dtype), rng.standard_normal((k, d)).astype(dtype)
    for left in (x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        for right in (w, w.T.copy().T, np.repeat(w, 2, axis=1)[:, ::2]):
            out = np.full((n, 2 * d), 7, dtype)
            code = loops.compiled().program([[[("product", left, right, out[:, :d])]]])
            loops.compiled().run(code, 0, 1, 1)
            np.testing.assert_array_equal(out[:, :d], np.matmul(left, right))
            np.testing.assert_array_equal(out[:, d:], 7)


@compiled
def test_a_ufunc_of_other_numbers_is_not_taken_for_matmul():
    assert not loops.compiled().use_matmul(np.negative)
    assert loops.compiled().use_matmul(np.matmul)


@compiled
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, (1, 3), (3, 2), (5, 7)], ids=str)
@pytest.mark.parametrize("channels", [1, 3, 37])
def test_pooling_by_a_loop_is_that_of_numpy(size, channels, dtype):
    from scratchnet.layers import MaxPool

    rng = np.random.default_rng(1)
    x = rng.integers(-2, 3, (4, 7 * 8 * channels)).astype(dtype)  # many are as large as others
    found = []
    for context in (contextlib.nullcontext, loops.without):
        with context():
            layer = MaxPool(size, image=(7, 8, channels))
            y = layer.forward(x).copy()
            dout = np.random.default_rng(2).standard_normal(y.shape).astype(dtype)
            found.append((y, layer.input_grad(dout).copy(), layer.kink_pattern().copy()))
    for ours, numpys in zip(*found, strict=True):
        assert ours.dtype == numpys.dtype
        np.testing.assert_array_equal(ours, numpys)
    with loops.without():  # a loop forward, none back
        layer.across = None
        np.testing.assert_array_equal(layer.input_grad(dout), found[0][1])
