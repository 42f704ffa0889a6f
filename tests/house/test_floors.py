"""The house: every module imports only from the floors below it, and the tables are complete."""

import ast
import importlib.util
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
    POOLS,
    REGULARIZERS,
    Affine,
    Columns,
    Concat,
    Conv2D,
    Embedding,
    GlobalAvgPool,
    Layer,
    Loss,
    MemberAffine,
    MemberLoss,
    PiecewiseLinear,
    QuantileLoss,
    Residual,
    RobustScale,
    Scale,
    Standardize,
)
from scratchnet.optimizers import OPTIMIZERS, Optimizer

PACKAGE = Path(scratchnet.__file__).parent

ROOT = Path(__file__).parents[2]


def load(name):
    """A script of docs/ as a module: docs/ is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_rooms = load("make_rooms")
FLOORS = make_rooms.FLOORS
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
    tables = (ACTIVATIONS, NORMALIZATIONS, POOLS, REGULARIZERS)
    alone = {Affine, Conv2D, GlobalAvgPool, Residual, Standardize}
    alone |= {Columns, Concat, Embedding, MemberAffine, PiecewiseLinear, RobustScale, Scale}
    assert {c for table in tables for c in table.values()} == concrete(Layer, layers) - alone
    # Quantiles are of one target, and no name of the command line chooses them.
    assert set(LOSSES.values()) == concrete(Loss, layers) - {MemberLoss, QuantileLoss}


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
        if name == "loops.translation":  # it compiles formulas of classes that were imported
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                assert called not in forbidden, f"{name} calls {called}"
                for keyword in node.keywords:
                    loads = keyword.arg == "allow_pickle"
                    assert not (loads and getattr(keyword.value, "value", None) is not False), name
            # The book's weights are pickles, which are read by a reader that admits no names.
            if isinstance(node, ast.Import) and name != "formats.book":
                assert "pickle" not in {alias.name for alias in node.names}, name


EVENING = (
    *("parameters", "layers.layer", "layers.affine", "layers.elementary", "layers.softmax"),
    *("networks.network", "optimizers.optimizer", "optimizers.descent", "optimizers.adaptive"),
    "training.trainer",
)
"""The modules of one evening of reading, whole."""
GROUND = {"errors", "checks", "registry", "randomness", "functions", "initializers", "schedules"}
GROUND |= {"data", "data.batches", "data.border", "data.samples", "environment", "options"}
EXCEPTIONS = {
    *("layers", "layers.memory", "layers.labels", "optimizers", "optimizers.walk", "networks"),
    *("layers.image", "networks.border", "networks.naming", "networks.saving", "networks.shapes"),
    *("networks.trained", "networks.views", "optimizers.loops", "training.parts"),
    *("layers.elementwise", "loops", "loops.pages", "training.program"),
    *("parallel.ranks", "training.border", "training.divergence", "training.epoch"),
    *("training.evaluation", "training.options", "training.resuming", "training.sharing"),
    *("training.state", "training.stopping", "training.threads"),
}
"""What these import besides: `docs/architecture.md` says why for each."""


def test_the_core_is_read_in_one_evening():
    lines = sum(len(modules()[name].read_text("utf-8").splitlines()) for name in EVENING)
    assert lines <= 1600
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    for name in EVENING:
        assert f"`{name.replace('.', '/')}.py`" in page


@pytest.mark.parametrize("name", EVENING)
def test_what_is_read_in_one_evening_imports_only_itself_the_ground_and_the_exceptions(name):
    assert imports_of(modules()[name]) <= set(EVENING) | GROUND | EXCEPTIONS


def test_every_exception_of_the_evening_is_imported_and_has_its_reason():
    imported = set().union(*(imports_of(modules()[name]) for name in EVENING))
    assert imported >= EXCEPTIONS
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    for name in EXCEPTIONS:
        assert f"`{name}`" in page, name


def test_the_table_of_rooms_is_up_to_date():
    make_rooms.main(["--check"])
