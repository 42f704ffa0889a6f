"""An option is declared once: a layer with an option, added on the fly, is found at every door."""

import ast
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import scratchnet
from scratchnet.cli.options import KNOWN, OWNERS
from scratchnet.options import options_of

ROOT = Path(__file__).parents[2]
PACKAGE = Path(scratchnet.__file__).parent

LAYER = '''

class Scaled(Layer):
    """y = factor x, dL/dx = factor dout."""

    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Array, *, train: bool = False) -> Array:
        """Return factor x."""
        return self.factor * x

    def input_grad(self, dout: Array) -> Array:
        """Return factor dout."""
        return self.factor * dout
'''
FIELD = """    scaled: float | Sequence[float] = option(
        0.0,
        STRENGTH,
        "factor of what each activation gives",
        metavar="FACTOR",
        each=True,
        place=HIDDEN,
        make=lambda factor, unit: Scaled(factor),
    )
    loss: str ="""
PROGRAM = """
import io, json, os
from contextlib import redirect_stderr, redirect_stdout
from scratchnet import MultiLayerNet, Trainer, load
from scratchnet.cli import main
from scratchnet.cli.parser import complete, parse
from scratchnet.compare import compare
from scratchnet.estimator import MLPClassifier, MLPRegressor
from scratchnet.networks.weights import load_network

text = io.StringIO()
try:
    with redirect_stdout(text):
        main(["--help"])
except SystemExit:
    pass
out = io.StringIO()
with redirect_stdout(out):
    code = main("--epochs 1 --scaled 0.5 --out run".split())
open("run.toml", "w").write("scaled = [0.5, 1.5]\\nhidden = [4, 4]")
network = MultiLayerNet(4, [3, 3], 2, scaled=[0.5, 2.0])
network.save("net.npz")
X, y = load("digits").train[:]
model = MLPClassifier((5,), scaled=0.5, max_iter=400, tol=0.1, random_state=0).fit(X / 16, y)
refused = ""
try:
    MultiLayerNet(4, [3], 2, scaled=-1)
except ValueError as error:
    refused = str(error)
err = io.StringIO()
with redirect_stderr(err):
    resumed = main(["--resume", "run", "--scaled", "0.7"])
print(json.dumps({
    "help": "--scaled FACTOR" in text.getvalue(),
    "run": code,
    "header": "scaled 0.5" in out.getvalue(),
    "config": json.load(open("run/config.json"))["arguments"]["scaled"],
    "page": "Scaled" in open("run/report.html").read(),
    "toml": complete(parse(["--config", "run.toml"])).scaled,
    "network": [repr(layer) for layer in network.layers],
    "loaded": load_network("net.npz").config()["scaled"],
    "classifier": [MLPClassifier().get_params()["scaled"], "Scaled()" in repr(model._network)],
    "regressor": MLPRegressor(scaled=3).get_params()["scaled"],
    "refused": refused,
    "resume": [resumed, err.getvalue()],
}))
"""


@pytest.mark.slow
def test_a_layer_with_an_option_is_two_files_and_is_found_at_every_door(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "scratchnet")
    layers = tmp_path / "scratchnet/layers/regularization.py"
    text = layers.read_text("utf-8")
    layers.write_text(text.replace("\n\nREGULARIZERS", LAYER + "\n\nREGULARIZERS"), "utf-8")
    table = tmp_path / "scratchnet/networks/options.py"
    text = table.read_text("utf-8")
    assert text.count("    loss: str | Loss =") == 1
    text = text.replace("    loss: str | Loss =", FIELD)
    added = "from scratchnet.layers.regularization import Scaled"
    text = text.replace("\n@dataclass", f"\n{added}\n\n@dataclass", 1)
    table.write_text(text, "utf-8")
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert found == {
        "help": True,
        "run": 0,
        "header": True,
        "config": 0.5,
        "page": True,
        "toml": [0.5, 1.5],
        "network": [
            *("Affine(4, 3)", "ReLU()", "Scaled()"),
            *("Affine(3, 3)", "ReLU()", "Scaled()", "Affine(3, 2)"),
        ],
        "loaded": [0.5, 2.0],
        "classifier": [0.0, True],
        "regressor": 3,
        "refused": "scaled must be a finite number >= 0, got -1",
        "resume": [2, found["resume"][1]],
    }
    assert "--scaled was 0.5, now 0.7" in found["resume"][1]
    generator = tmp_path / "make_options.py"
    generator.write_text((ROOT / "docs/make_options.py").read_text("utf-8"), "utf-8")
    (tmp_path / "options.md").write_text((ROOT / "docs/options.md").read_text("utf-8"), "utf-8")
    docs = subprocess.run(
        [sys.executable, str(generator), "--check"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert docs.returncode == 1
    assert "docs/options.md is out of date" in docs.stderr


def test_the_page_of_options_is_up_to_date():
    spec = importlib.util.spec_from_file_location("make_options", ROOT / "docs/make_options.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs/options.md").read_text("utf-8") == module.page()


DOORS = ("MultiLayerNet", "TwoLayerNet", "Trainer", "NetworkEstimator", "MLPClassifier")
DOORS += ("MLPRegressor", "compare", "find_lr", "EarlyStopping")
MAKERS = ("option", "_hyper")
OTHERS = {"dataset", "steps", "parallel", "optimizer"}
"""Arguments of these doors that are data or objects, and no options of that name."""


def declarations() -> dict[str, list[str]]:
    """Where each option's name is declared: fields of options, and arguments of the doors."""
    found = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = getattr(getattr(node, "value", None), "func", None)
            if isinstance(node, ast.AnnAssign) and getattr(called, "id", "") in MAKERS:
                found[node.target.id].append(path.name)
            for name in arguments_of(node):
                found[name].append(f"{path.name}:{node.name}")
    return found


def arguments_of(node: ast.AST) -> list[str]:
    """The arguments of a door that are named like options."""
    if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name not in DOORS:
        return []
    calls = [node] if isinstance(node, ast.FunctionDef) else node.body
    names = (set(KNOWN) | set(options_of(*OWNERS))) - OTHERS
    return [
        each.arg
        for call in calls
        if getattr(call, "name", "") in ("__init__", node.name)
        for each in (*call.args.args, *call.args.kwonlyargs)
        if each.arg in names
    ]


def test_no_option_is_declared_twice():
    twice = {name: places for name, places in declarations().items() if len(places) > 1}
    # What early stopping is made with has its default and range from the table. The word --network
    # chooses other options; the `network` of a call is a Network. The JSON of predictions, and the
    # file of a page or an export, are other things than results.json and the folder of a run.
    assert set(twice) <= {"patience", "monitor", "network", "json", "out"}, twice


if __name__ == "__main__":
    every = declarations()
    print(f"{sum(map(len, every.values()))} declarations of {len(every)} options")
