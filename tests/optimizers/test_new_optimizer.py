"""Another optimizer is a class and its name in the table: everything else finds it there."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from browser import Opened, needs_chromium

import scratchnet
from scratchnet import MultiLayerNet, Trainer
from scratchnet.errors import DivergenceError, ParameterError
from scratchnet.optimizers import EMA, SGD, Momentum, Optimizer
from scratchnet.optimizers.optimizer import hyper
from scratchnet.parameters import Array

ROOT = Path(__file__).parents[2]
CONTRACTS = Path(__file__).with_name("test_optimizer_contracts.py")
PACKAGE = Path(scratchnet.__file__).parent
NAME = "quasi-hyperbolic"

CLASS = '''

@dataclass(repr=False)
class QuasiHyperbolic(Optimizer):
    """Quasi-hyperbolic momentum: between gradient descent and momentum.

    m <- beta m + (1 - beta) g;  w <- w - lr ((1 - nu) g + nu m). Use it where Momentum overshoots.
    Ma and Yarats 2018, eq. 3-4.
    """

    beta: float = hyper(0.9, at_least=0, below=1)
    nu: float = hyper(0.7, at_least=0, at_most=1)
    slots = ("m",)

    def rule(self, w: Array, g: Array, m: Array) -> None:
        m *= self.beta
        m += (1 - self.beta) * g
        w -= self.lr * ((1 - self.nu) * g + self.nu * m)
'''
"""What is added at the end of a module of rules."""

LINE = f'        "{NAME}": QuasiHyperbolic,\n'
"""What is added to the table."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A folder with a copy of the package in which there is one optimizer more."""
    folder = tmp_path_factory.mktemp("copy")
    package = folder / "scratchnet"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    rules, table = (package / "optimizers" / name for name in ("descent.py", "__init__.py"))
    rules.write_text(rules.read_text("utf-8") + CLASS, "utf-8")
    text = table.read_text("utf-8")
    for old, new in {
        "import SGD, ": "import SGD, QuasiHyperbolic, ",
        "    }\n)": LINE + "    }\n)",
    }.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    table.write_text(text, "utf-8")
    return folder


def run(copy, *argv, cwd=None):
    """What a Python process that imports the copy prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *map(str, argv)],
        cwd=cwd or copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_make_optimizer_the_trainer_and_a_restored_state_know_it(copy):
    code = f"""
import numpy as np
from scratchnet import MultiLayerNet, Trainer
from scratchnet.optimizers import OPTIMIZERS, make_optimizer

optimizer = make_optimizer("Quasi_Hyperbolic", lr=0.5, nu=0.25)
assert repr(optimizer) == "QuasiHyperbolic(lr=0.5, beta=0.9, nu=0.25)", optimizer
assert make_optimizer("ema", inner="{NAME}").inner.nu == 0.7

x = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")
network = MultiLayerNet(3, [5], 2)
trainer = Trainer(network, (x, (x[:, 0] > 0).astype(int)), optimizer="{NAME}", lr=0.5, beta=0.5)
epochs = list(trainer.run(20))
assert epochs[-1].loss < epochs[0].loss, epochs

other = make_optimizer("{NAME}", lr=0.5, beta=0.5)
other.restore(trainer.optimizer.state())
w, v = network.vector.copy(), network.vector.copy()
for optimizer, array in ((trainer.optimizer, w), (other, v)):
    for _ in range(3):
        optimizer.update({{"vector": array}}, {{"vector": np.ones_like(array)}})
assert w.tobytes() == v.tobytes()
print(len(OPTIMIZERS))
"""
    assert int(run(copy, "-c", code)) == len(scratchnet.optimizers.OPTIMIZERS) + 1


def test_the_command_line_takes_it_with_its_options_and_lists_it(copy, tmp_path):
    program = "import sys; from scratchnet.cli import main; sys.exit(main())"
    argv = ["--optimizer", NAME, "--set", "nu=0.5,beta=0.8", "--epochs", "5", "--lr", "0.5"]
    out = run(copy, "-c", program, *argv, "--json", cwd=tmp_path)
    found = json.loads(out)
    assert found["optimizer"] == NAME
    assert found["test_accuracy"] > 0.8
    config = json.loads((tmp_path / f"runs/digits-{NAME}-1/config.json").read_text("utf-8"))
    asked = {name: config["optimizer"][name] for name in ("lr", "nu", "beta")}
    assert asked == {"lr": 0.5, "nu": 0.5, "beta": 0.8}
    assert NAME in " ".join(run(copy, "-c", program, "--help").split())


@needs_chromium
def test_its_surface_page_opens_without_an_error_and_shows_its_path(copy, tmp_path, chromium):
    code = "import sys; from scratchnet.cli import main; sys.exit(main())"
    words = ["--surface", "rosenbrock", "--optimizer", "sgd", NAME, "--out", tmp_path / "new"]
    run(copy, "-c", code, *words, cwd=tmp_path)
    opened = Opened(chromium, tmp_path / "new/report.html")
    opened.require_drawn()
    opened.require_clean()
    page = opened.page
    assert f"no formula of {NAME}. This path is shown as it was recorded" in page.content()
    assert page.is_disabled("#rate-1")
    assert page.is_enabled("#rate-0")
    results = json.loads((tmp_path / "new/results.json").read_text("utf-8"))
    shown = float(page.inner_text("#f-1"))
    assert shown == pytest.approx(results["optimizers"][1]["f"], rel=5e-3)
    opened.context.close()


def test_the_contract_tests_run_over_it_and_pass(copy):
    out = run(copy, "-m", "pytest", "-q", "-pno:cacheprovider", "-k", NAME, CONTRACTS)
    passed = int(out.split(" passed")[0].split()[-1])
    assert passed >= 20
    assert "failed" not in out


def test_a_wrong_rule_would_not_pass_the_contract_tests(copy, tmp_path):
    shutil.copytree(copy, tmp_path / "copy")
    path = tmp_path / "copy/scratchnet/optimizers/descent.py"
    source = path.read_text("utf-8")
    assert source.count("m += (1 - self.beta) * g\n        w -= self.lr * ((1") == 1
    path.write_text(source.replace("w -= self.lr * ((1 -", "w += self.lr * ((1 -"), "utf-8")
    with pytest.raises(AssertionError, match="descends_a_bowl"):
        run(
            tmp_path / "copy",
            "-m",
            "pytest",
            "-q",
            "-pno:cacheprovider",
            "-k",
            NAME,
            CONTRACTS,
        )


def test_the_document_gets_a_row_and_a_section(copy):
    generator = ROOT / "docs/make_optimizers.py"
    out = run(copy, "-c", f"import runpy; print(runpy.run_path({str(generator)!r})['page']())")
    assert f"| 2018 | [{NAME}](#{NAME})<br>`QuasiHyperbolic` |" in out
    assert f"\n### {NAME}\n" in out


# Without touching the package


@dataclass(repr=False)
class Polite(Optimizer):
    """A step of lr at most in each direction: w <- w - lr g / (1 + |g| / softness)."""

    softness: float = hyper(1.0, above=0)

    def rule(self, w, g):
        w -= self.lr * g / (1 + np.abs(g) / self.softness)


def data():
    x = np.random.default_rng(0).normal(size=(80, 3)).astype("float32")
    return x, (x[:, 0] > 0).astype(int)


def test_an_optimizer_of_one_s_own_is_handed_to_the_trainer():
    network = MultiLayerNet(3, [5], 2)
    optimizer = Polite(0.5, softness=2.0, weight_decay=0.001, clip_norm=10.0)
    trainer = Trainer(network, data(), optimizer=optimizer, schedule="cosine", batch_size=10)
    assert trainer.optimizer is optimizer
    epochs = list(trainer.run(10))
    assert epochs[-1].accuracy > 0.95
    assert epochs[-1].lr < 0.5
    assert repr(optimizer).startswith("Polite(lr=")


def test_an_optimizer_of_one_s_own_can_be_wrapped_and_is_checked():
    network = MultiLayerNet(3, [5], 2)
    trainer = Trainer(network, data(), optimizer=EMA(inner=Polite(0.5), decay=0.9))
    assert list(trainer.run(30))[-1].accuracy > 0.9
    with pytest.raises(ParameterError, match="softness must be a finite number > 0, got 0"):
        Polite(softness=0)
    with pytest.raises(TypeError, match="abstract"):
        Optimizer()


def test_a_subclass_inherits_rule_and_memory():
    class Slower(Momentum):
        def rule(self, w, g, v):
            super().rule(w, g / 2, v)

    slower, momentum = Slower(0.1), Momentum(0.1)
    one, other = {"w": np.ones(3)}, {"w": np.ones(3)}
    for _ in range(4):
        slower.update(one, {"w": np.ones(3)})
        momentum.update(other, {"w": np.full(3, 0.5)})
    np.testing.assert_array_equal(one["w"], other["w"])
    assert one["w"][0] < 1 - 4 * 0.05


@dataclass(repr=False)
class Strict(Optimizer):
    """One that cannot be made without an argument, as a user's own may be."""

    factor: float = field(kw_only=True)

    def rule(self, w: Array, g: Array) -> None:
        w -= self.factor * self.lr * g


@pytest.mark.parametrize("optimizer", [Strict(1e30, factor=1.0), EMA(inner=SGD(1e30))], ids=str)
def test_the_advice_of_a_run_that_diverged_needs_no_other_optimizer(optimizer):
    x = np.random.default_rng(0).normal(size=(20, 3))
    trainer = Trainer(MultiLayerNet(3, [4], 2), (x, np.arange(20) % 2), optimizer=optimizer)
    with pytest.raises(DivergenceError, match=r"try an lr below 1e\+30, such as "):
        list(trainer.run(3))
