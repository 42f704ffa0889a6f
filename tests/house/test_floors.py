"""The house: every module imports only from the floors below it, and the tables are complete."""

import ast
import inspect
import subprocess
import sys
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

FLOORS = (
    ("errors", "environment", "tables"),
    ("checks", "parameters", "registry"),
    ("functions", "initializers", "options", "optimizers", "parallel", "randomness", "schedules"),
    ("data",),
    ("layers", "storage"),
    ("networks",),
    ("training",),
    ("estimator", "inspection", "runs"),
    ("compare",),
    ("report",),
    ("cli",),
)
"""The rooms, floor by floor. A room is a folder or a module of the root; it imports from below."""
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
OLD_NAMES = {"checkpoint", "finder", "gradient_check", "surfaces", "trainer"}
"""Modules that only lead to where their content is now."""


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    del found[""]  # scratchnet/__init__.py: the public names
    return {name: path for name, path in found.items() if name not in OLD_NAMES}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("scratchnet"):
            module = (node.module or "").removeprefix("scratchnet").lstrip(".")
            found |= {module} if module else {alias.name for alias in node.names}
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"relative import in {path}"
    return found - {"__version__"}


def room(module: str) -> str:
    return module.partition(".")[0]


def test_every_room_stands_on_a_floor():
    assert {room(name) for name in modules()} == set(FLOOR)


def test_the_house_has_few_rooms_and_floors():
    entries = {path.name for path in PACKAGE.iterdir()}
    entries -= {f"{name}.py" for name in OLD_NAMES} | {"py.typed", "__main__.py", "__pycache__"}
    assert len(entries) <= 28
    assert len(FLOORS) <= 12


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_from_floors_below_or_its_own_room(module):
    for other in imports_of(modules()[module]):
        assert room(other) == room(module) or FLOOR[room(other)] < FLOOR[room(module)], (
            f"{module} imports {other}"
        )


def test_no_modules_import_each_other_in_a_circle():
    inside = {
        name: {other for other in imports_of(path) if other in modules()}
        for name, path in modules().items()
    }
    while leaves := {name for name, others in inside.items() if not others}:
        inside = {name: others - leaves for name, others in inside.items() if others}
    assert not inside, f"a circle of imports in {sorted(inside)}"


@pytest.mark.parametrize("name", sorted(OLD_NAMES))
def test_a_module_of_an_old_name_leads_to_the_new_one_with_one_warning(name):
    code = f"import scratchnet.{name} as m, scratchnet.{name}, sys; print(m.__name__)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0
    new = result.stdout.strip()
    assert new.startswith("scratchnet.")
    assert new.count(".") == 2
    assert result.stderr.count("FutureWarning") == 1
    assert new in result.stderr


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
