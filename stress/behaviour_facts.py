"""What an entry of the record comes to: plain data, how two of them differ, where names are found.

Modules move from one version to the next, names do not. So a name is looked for among the public
ones first, then in every module that it has ever been in.
"""

import hashlib
import importlib
import math
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

PUBLIC = (
    *("scratchnet", "scratchnet.optimizers", "scratchnet.layers", "scratchnet.networks"),
    *("scratchnet.data", "scratchnet.schedules", "scratchnet.initializers"),
    *("scratchnet.functions", "scratchnet.inspection", "scratchnet.estimator"),
    *("scratchnet.compare", "scratchnet.training"),
)
"""The modules in which every name is looked for."""

PLACES: Mapping[str, tuple[str, ...]] = {
    "main": ("scratchnet.cli",),
    "EarlyStopping": ("scratchnet.trainer",),
    "find_lr": ("scratchnet.inspection.lr_finder", "scratchnet.finder"),
    "trace": ("scratchnet.inspection.surfaces", "scratchnet.surfaces"),
    "tuned_rate": ("scratchnet.inspection.surfaces", "scratchnet.surfaces"),
    "SURFACES": ("scratchnet.inspection.surfaces", "scratchnet.surfaces"),
    "save_weights": ("scratchnet.storage.checkpoint", "scratchnet.checkpoint"),
    "load_weights": ("scratchnet.storage.checkpoint", "scratchnet.checkpoint"),
    "merge_equal": ("scratchnet.repetitions",),
}
"""The modules of a name that is in none of PUBLIC, the newest first."""

DIGEST = "sha256"
"""The key of what is compared on one machine only."""


def find(*names: str) -> Any:
    """The function, class or table of the first of these names that there is.

    Raises LookupError if there is none.
    """
    for name in names:
        for module in (*PUBLIC, *PLACES.get(name, ())):
            try:
                found = getattr(importlib.import_module(module), name)
            except (AttributeError, ModuleNotFoundError):
                continue
            if not isinstance(found, ModuleType):
                return found
    raise LookupError(f"{names[0]} has moved; add its new module to PLACES")


def facts(value: Any) -> Any:
    """`value` as JSON can hold it; an array becomes its shape, sum, norm, samples and digest."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return _of_array(value)
    if isinstance(value, np.ndarray | np.generic):
        return facts(value.tolist())
    if isinstance(value, Mapping):
        return {key: facts(each) for key, each in zip(_keys(value), value.values(), strict=True)}
    if isinstance(value, list | tuple):
        return [facts(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _keys(value: Mapping[Any, Any]) -> list[str]:
    """The keys; those of arrays of parameters without their number, which the order replaces.

    "b1" of an old version may be "b3" of a new one: the same array at the same place.
    """
    keys = [str(key) for key in value]
    if keys and all(isinstance(each, np.ndarray) for each in value.values()):
        return [f"{k} {key.rstrip('0123456789')}" for k, key in enumerate(keys)]
    return keys


def _of_array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The facts about an array of numbers."""
    flat = np.ascontiguousarray(array).reshape(-1)
    wide = flat.astype(np.float64)
    digest = hashlib.sha256(flat.tobytes()).hexdigest()
    some = wide[[0, len(wide) // 3, len(wide) // 2, len(wide) - 1]] if len(wide) else wide
    return {
        "array": f"{array.dtype} {'x'.join(map(str, array.shape))}",
        "sum": facts(float(wide.sum())),
        "norm": facts(float(np.sqrt((wide**2).sum()))),
        "some": facts(some.tolist()),
        DIGEST: digest,
    }


def without_digests(tree: Any) -> Any:
    """The facts that hold on every machine, numbers to nine digits."""
    if isinstance(tree, dict):
        return {key: without_digests(each) for key, each in tree.items() if key != DIGEST}
    if isinstance(tree, list):
        return [without_digests(each) for each in tree]
    return float(f"{tree:.9g}") if isinstance(tree, float) else tree


def differences(
    old: Any, new: Any, tolerance: float = 0.0, place: str = "", scale: float = 1e-6
) -> Iterator[str]:
    """The places at which two trees of facts differ.

    A `tolerance` of 0 compares to the bit. Any other one lets digests be, and lets numbers be off
    by that share of themselves or of `scale`, which for the values of an array is its norm.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        norm = old.get("norm")
        if isinstance(norm, float):
            scale = max(scale, norm)
        for key in [*old, *(key for key in new if key not in old)]:
            if tolerance and key == DIGEST:
                continue
            if key in old and key in new:
                yield from differences(old[key], new[key], tolerance, f"{place}/{key}", scale)
            else:
                yield f"{place}/{key}"
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for k, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, tolerance, f"{place}/{k}", scale)
    elif tolerance and isinstance(old, float) and isinstance(new, float):
        if abs(old - new) > tolerance * max(abs(old), abs(new), scale):
            yield place
    elif repr(old) != repr(new):  # which tells -0.0 from 0.0, and 1 from 1.0 and True
        yield place
