"""The house: every module imports only from the floors below it, and the tables are complete."""

import ast
import inspect
from pathlib import Path

import pytest

import scratchnet
from scratchnet import initializers, layers
from scratchnet.layers import (
    ACTIVATIONS,
    LOSSES,
    NORMALIZATIONS,
    REGULARIZERS,
    Affine,
    Layer,
    Loss,
    Standardize,
)
from scratchnet.optimizers import OPTIMIZERS, Optimizer

PACKAGE = Path(scratchnet.__file__).parent

FLOORS = {
    "errors": 0,
    "checks": 1,
    "environment": 1,
    "files": 1,
    "parameters": 1,
    "registry": 1,
    "parallel": 2,
    "functions": 2,
    "randomness": 2,
    "initializers": 3,
    "schedules": 3,
    "data.idx": 2,
    "data.mapped": 3,
    "data.download": 3,
    "layers.layer": 4,
    "layers.activations": 5,
    "layers.affine": 5,
    "layers.losses": 5,
    "layers.normalization": 5,
    "layers.regularization": 5,
    "layers": 6,
    "optimizers.optimizer": 3,
    "optimizers.descent": 4,
    "optimizers.adaptive": 4,
    "optimizers.averaged": 4,
    "optimizers.layerwise": 5,
    "optimizers.wrappers": 5,
    "optimizers": 6,
    "data.samples": 4,
    "data.augment": 4,
    "data.sets": 5,
    "data": 6,
    "data.__main__": 7,
    "networks": 7,
    "surfaces": 7,
    "archive": 4,
    "inspection": 8,
    "report": 1,
    "report.page": 2,
    "report.run": 11,
    "report.comparison": 12,
    "report.surface": 8,
    "report.finder": 13,
    "finder": 10,
    "tables": 1,
    "surface_job": 14,
    "finder_job": 14,
    "compare_job": 14,
    "parallel_job": 14,
    "curves": 10,
    "gradient_check": 8,
    "checkpoint": 8,
    "trainer": 9,
    "interrupts": 3,
    "repetitions": 2,
    "compare": 11,
    "fitting": 10,
    "estimator": 11,
    "runs": 10,
    "arguments": 10,
    "screen": 12,
    "job": 13,
    "cli": 15,
}
"""A module may import what has a smaller number; `scratchnet` itself, for its version, is 8."""


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    del found[""]  # scratchnet/__init__.py: the public names
    return found


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("scratchnet"):
            module = (node.module or "").removeprefix("scratchnet").lstrip(".")
            found |= {module} if module else {alias.name for alias in node.names}
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"relative import in {path}"
    return found - {"__version__"}


def test_every_module_stands_on_a_floor():
    assert set(modules()) == set(FLOORS)


@pytest.mark.parametrize("module", FLOORS)
def test_a_module_imports_only_from_floors_below(module):
    for other in imports_of(modules()[module]):
        assert FLOORS[other] < FLOORS[module], f"{module} imports {other}"


def test_no_module_is_a_drawer_for_anything():
    assert not {"utils", "common", "helpers", "base", "manager", "misc"} & {
        part for name in modules() for part in name.split(".")
    }


def concrete(kind: type, module: object) -> set[type]:
    return {
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, kind) and not inspect.isabstract(value)
    }


def descendants(kind: type) -> set[type]:
    """Every class of the package below `kind` that can be made."""
    below = {kind} | {c for child in kind.__subclasses__() for c in descendants(child)}
    return {
        c for c in below if c.__module__.startswith("scratchnet.") and not inspect.isabstract(c)
    }


def test_the_tables_hold_every_class():
    assert set(OPTIMIZERS.values()) == descendants(Optimizer)
    tables = (ACTIVATIONS, NORMALIZATIONS, REGULARIZERS)
    assert {c for table in tables for c in table.values()} == concrete(Layer, layers) - {
        Affine,
        Standardize,
    }
    assert set(LOSSES.values()) == concrete(Loss, layers)


def test_the_tables_cannot_be_changed():
    for table in (OPTIMIZERS, ACTIVATIONS, LOSSES, initializers.INITIALIZERS):
        with pytest.raises(TypeError):
            table["mine"] = None  # type: ignore[index]


def test_public_names_are_exported_and_described():
    for name in scratchnet.__all__:
        assert (getattr(scratchnet, name).__doc__ or "").strip(), name


def test_the_package_never_runs_code_from_a_file():
    forbidden = {"eval", "exec", "extractall", "__import__"}
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                assert called not in forbidden, f"{name} calls {called}"
                for keyword in node.keywords:
                    loads = keyword.arg == "allow_pickle"
                    assert not (loads and getattr(keyword.value, "value", None) is not False), name
            if isinstance(node, ast.Import):
                assert "pickle" not in {alias.name for alias in node.names}, name
