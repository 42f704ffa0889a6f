"""A fitted estimator as a file of arrays and JSON, in the place of a pickle."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.errors import DataError
from scratchnet.estimator.constraints import check_arguments
from scratchnet.layers import LOSSES, QuantileLoss
from scratchnet.networks import Network
from scratchnet.networks.saving import arrays_of, header_of
from scratchnet.networks.weights import (
    CLASSES,
    build_network,
    place_weights,
    read_preparation,
)
from scratchnet.parameters import Array
from scratchnet.storage.archive import write_archive
from scratchnet.storage.checkpoint import ESTIMATOR, UNFIT, mark, read_file

FITTED = frozenset(
    {
        *("_best", "_came", "_conformity", "_count", "_epochs", "_flat", "_frozen", "_multilabel"),
        *("_no_improvement_count", "_offset", "_rate", "_seed", "_sparse_labels"),
        "_target_moments",
        *("_validated_with", "_waited", "best_loss_", "best_validation_score_"),
        *("feature_names_in_", "loss_", "loss_curve_", "n_features_in_", "n_iter_", "n_layers_"),
        *("n_outputs_", "out_activation_", "stopped_", "t_", "validation_loss_curve_"),
        "validation_scores_",
    }
)
"""What of a fitted estimator a file may set: anything else could take the place of a method."""
KINDS: Mapping[str, Any] = {
    **dict.fromkeys(("n_features_in_", "n_iter_", "n_layers_", "n_outputs_"), int),
    **dict.fromkeys(("t_", "_epochs", "_seed"), int),
    **dict.fromkeys(("_rate", "loss_"), int | float),
    **dict.fromkeys(("_frozen", "stopped_", "_sparse_labels"), bool),
    "validation_loss_curve_": list,
    "_best": Sequence,
}
"""What these must be."""
PERHAPS: Mapping[str, Any] = {
    **{"loss_curve_": list, "validation_scores_": list | None},
    **{"_conformity": list, "_no_improvement_count": int, "_validated_with": str | None},
}
"""What these must be where there are any."""
NOT_SAVED = frozenset({"classes_", "_best_state", "_made_with", "_trained_on", "_counts"})


def is_plain(value: Any) -> bool:
    """Whether JSON can hold it once `to_plain`: numbers, words, None, lists and tables of them."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    if isinstance(value, Mapping):
        return all(is_plain(v) for pair in value.items() for v in pair)
    if isinstance(value, np.ndarray):
        return is_plain(value.tolist())
    return value is None or isinstance(value, str | bool | int | float | np.generic)


def to_plain(value: Any) -> Any:
    """As JSON can hold it: a table as pairs, a number that is not finite as its name."""
    if isinstance(value, np.generic | np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {"pairs": [[to_plain(k), to_plain(v)] for k, v in value.items()]}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value


def from_plain(value: Any) -> Any:
    """The value that `to_plain` was given; tuples come back as lists."""
    if isinstance(value, list):
        return [from_plain(v) for v in value]
    if isinstance(value, dict) and set(value) == {"pairs"}:
        return {from_plain(k): from_plain(v) for k, v in value["pairs"]}
    if isinstance(value, dict) and set(value) == {"float"}:
        return float(value["float"])
    return {k: from_plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def save_estimator(estimator: Any, path: str | Path) -> None:
    """Write the fitted estimator; raises OutputError if it cannot be written, or DataError."""
    params = estimator.get_params(deep=False)
    if not isinstance(params["dtype"], str):
        params["dtype"] = np.dtype(params["dtype"]).name
    classes = getattr(estimator, "classes_", np.empty(0))
    plain = classes.view(np.int64) if classes.dtype.kind in "mM" else classes
    if not is_plain(plain):
        kinds = sorted({type(one).__name__ for one in classes})
        raise DataError(
            f"classes_ must be numbers, texts, truth values or dates to be saved, they are of "
            f"{', '.join(kinds)}; convert the labels before fit"
        )
    fitted = {n: v for n, v in vars(estimator).items() if n not in params and n not in NOT_SAVED}
    network = estimator._network
    if len(classes) == max(network.output_sizes[-1], 2):
        names = tuple(map(str, classes))
        network.preparation = replace(network.preparation, class_names=names)
    header = {
        **mark(ESTIMATOR),
        "class": type(estimator).__name__,
        "params": {name: to_plain(v) for name, v in params.items() if is_plain(v)},
        **header_of(network),
        "fitted": {name: to_plain(v) for name, v in fitted.items() if is_plain(v)},
        "classes": to_plain(plain) if hasattr(estimator, "classes_") else None,
        "dtype of classes": classes.dtype.str,
    }
    write_archive(path, arrays_of(network), header)


def load_estimator(cls: type[Any], path: str | Path, classes: Iterable[type[Any]] = ()) -> Any:
    """The estimator of class `cls` in the file; raises DataError if it is damaged or another's.

    `classes` are layers and losses that only its user knows.
    """
    arrays, header = read_file(path, (ESTIMATOR,))
    if header.get("class") != cls.__name__:
        raise DataError(
            f"{str(path)!r} must be a file of {cls.__name__}.save, its header says "
            f"{header.get('class')!r}"
        )
    try:
        made = cls(**from_plain(header["params"]))
        known = {**CLASSES, **{kind.__name__: kind for kind in classes}}
        network = build_network(header["network"], sum(a.size for a in arrays.values()), known)
        network.preparation = read_preparation(header, network)
        place_weights(str(path), arrays, network)
        if getattr(made, "layers", made) is None:
            made.layers = list(network.layers)
        made._network = network
        if type(made._loss) not in {*LOSSES.values(), QuantileLoss}:
            made.loss = made._loss
        check_arguments(made, {})
        made._resume()
        made.__dict__.update(_fitted_of(header, made))
        if header["classes"] is not None:
            made.classes_ = _classes(header["classes"], header["dtype of classes"])
        _check_fits(made, network)
        made._best = (made._best[0], made._best[1])
        if np.isfinite(made._best[0]):
            made._best_state = network.state_vector.copy()
    except UNFIT as error:
        raise DataError(f"{str(path)!r} does not fit: {error}; take another copy") from error
    return made


def _fitted_of(header: Mapping[str, Any], made: Any) -> dict[str, Any]:
    """The fitted attributes in a header, and those that files of version 0.1 lack."""
    fitted = from_plain(header["fitted"])
    unknown = [name for name in fitted if name not in FITTED]
    if unknown:
        raise ValueError(f"it has {', '.join(map(repr, unknown))}, which no estimator has")
    if "_waited" in fitted:  # its name in such a file
        fitted["_no_improvement_count"] = fitted.pop("_waited")
    if "feature_names_in_" in fitted:
        fitted["feature_names_in_"] = np.array(fitted["feature_names_in_"], dtype=object)
    if fitted.get("_offset") is not None:
        fitted["_offset"] = np.array(fitted["_offset"], dtype=np.float64)
    lacking: dict[str, Any] = {"_sparse_labels": False, "_offset": None}
    if not made._classifies:
        lacking["_conformity"] = []
    return {**lacking, **fitted}


def _check_fits(made: Any, network: Network) -> None:
    """Raise TypeError, ValueError or AttributeError where what the file set is not of this kind."""
    perhaps = {name: kind for name, kind in PERHAPS.items() if hasattr(made, name)}
    for name, kind in {**KINDS, **perhaps}.items():
        value = getattr(made, name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"{name} must be of {kind}, got {value!r}")
    sizes = made._n_network_inputs(), made._n_network_outputs()
    if sizes != (network.input_size, network.output_sizes[-1]):
        raise ValueError(f"{sizes} features and outputs are not those of its network")
    if made._offset is not None and made._offset.shape != (network.input_size,):
        raise ValueError(f"_offset has the shape {made._offset.shape}")
    made._decide(made._outputs(np.zeros((1, network.input_size), network.dtype)))
    if hasattr(made, "_multilabel"):
        several = made.n_outputs_ > 1 or made._multilabel
        if len(made.classes_) not in ((made.n_outputs_,) if several else (1, 2)):
            raise ValueError(f"{len(made.classes_)} classes for {made.n_outputs_} outputs")


def _classes(values: Any, dtype: str) -> Array:
    """The classes as an array of the dtype that they had; raises ValueError for a strange one."""
    found, kind = np.array(values), np.dtype(dtype)
    if found.ndim != 1 or kind.kind not in "biufUSOmM" or kind.itemsize > max(16, found.itemsize):
        raise ValueError(f"classes of {found.shape} and dtype {dtype!r}")
    return found.astype(kind)
