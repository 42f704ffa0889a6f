"""Networks on disk: any network written to a file, and made again from it.

The parameters stand in the file by name, so a learner reads them with `np.load(path)["W1"]`. What
the network is made of stands in the header, as plain data. Nothing in a file is run as code.
"""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from inspect import isabstract
from pathlib import Path
from typing import Any

from scratchnet import layers
from scratchnet.data.preparation import Preparation
from scratchnet.errors import DataError, ScratchnetError
from scratchnet.layers import Layer, Loss, MemberLoss
from scratchnet.layers.layer import walk
from scratchnet.networks.convolutional import NETWORKS, ConvNet, plan
from scratchnet.networks.members import average_members
from scratchnet.networks.naming import old_names
from scratchnet.networks.network import Network
from scratchnet.networks.saving import arrays_of
from scratchnet.networks.shapes import hand_on
from scratchnet.parameters import Array
from scratchnet.registry import pick
from scratchnet.storage.checkpoint import CHECKPOINT, ESTIMATOR, UNFIT, WEIGHTS, read_file

CLASSES: Mapping[str, type[Any]] = {
    name: value
    for name, value in vars(layers).items()
    if isinstance(value, type) and issubclass(value, Layer | Loss) and not isabstract(value)
}
"""The layers and losses that a file may name."""
OF_RUN = "weights.npz"
"""The file of a network in the folder of a run."""
MOST_LAYERS = 10_000
MOST_VALUES = 2**27
"""Values of one row behind a layer of a network in a file."""


def load_network(
    path: str | Path, classes: Iterable[type[Any]] = (), *, follow: bool = True
) -> Any:
    """The network in a file of `Network.save`, in a checkpoint, or in the file of an estimator.

    A folder of a run stands for the file `weights.npz` in it.

    `classes` are layers and losses of your own that it is made of. With follow=False a link is
    refused, as in a folder that may be a stranger's. Raises DataError if the file is
    missing, damaged or something else, and, naming it, for a class that is not known.

    >>> from scratchnet import TwoLayerNet, load_network
    >>> TwoLayerNet(64, 100, 10).save("net.npz")  # doctest: +SKIP
    >>> load_network("net.npz").predict(x)  # doctest: +SKIP
    """
    if os.path.isdir(path):
        if not os.path.lexists(os.path.join(path, OF_RUN)):
            raise DataError(
                f"{str(path)!r} is a folder without {OF_RUN}; give a file, or the folder of a run "
                "that has ended"
            )
        path, follow = Path(path, OF_RUN), False
    arrays, header = read_file(path, (WEIGHTS, CHECKPOINT, ESTIMATOR), follow=follow)
    weights = weights_in(arrays)
    size = sum(array.size for array in weights.values())
    network = described_network(path, header, size, classes)
    place_weights(str(path), weights, network)
    if header.get("format") == ESTIMATOR and isinstance(network.loss_layer, MemberLoss):
        return _averaged(path, header, network)
    return network


def _averaged(path: str | Path, header: Mapping[str, Any], network: Network) -> Network:
    """The one network in the place of an estimator's members; raises DataError."""
    try:
        made = average_members(network, header["fitted"].get("_target_moments", (0.0, 1.0)))
        names = header.get("classes")
        if isinstance(names, list) and len(names) == max(made.output_sizes[-1], 2):
            of_classes = tuple(map(str, names))
            made.preparation = replace(made.preparation, class_names=of_classes)
    except UNFIT as error:
        raise DataError(f"{str(path)!r} does not fit: {error}; take another copy") from error
    return made


def described_network(
    path: str | Path, header: Mapping[str, Any], n_values: int, classes: Iterable[type[Any]] = ()
) -> Any:
    """The network that a header describes, if so many values can be its parameters.

    Raises DataError that names the file where it describes none.
    """
    known = {**CLASSES, **{kind.__name__: kind for kind in classes}}
    try:
        network = build_network(header["network"], n_values, known)
        network.preparation = read_preparation(header, network)
    except (*UNFIT, ScratchnetError) as error:
        raise DataError(f"{str(path)!r} has a header that describes no network: {error}") from error
    return network


def read_preparation(header: Mapping[str, Any], network: Network) -> Preparation:
    """How inputs are prepared, as the header says; files of version 0.1 say nothing of it.

    Estimators have names of classes there, and no scale.
    """
    found = header.get("preparation")
    if found is not None:
        made = Preparation.from_config(found)
        made.check_fits(network.input_size, network.output_sizes[-1])
        return made
    names = header.get("classes")
    if isinstance(names, list) and len(names) == max(network.output_sizes[-1], 2):
        return Preparation(class_names=tuple(map(str, names)))
    return Preparation()


def build_network(
    config: Mapping[str, Any], n_values: int, classes: Mapping[str, type[Any]] = CLASSES
) -> Network:
    """The network that `config` describes, if `n_values`, what the file holds, can be enough."""
    options = dict(config)
    if "weight_decay" in options:  # its name in files of version 0.1
        options["l2"] = options.pop("weight_decay")
    if options.get("kind") == "layers":
        options.pop("kind")
        if len(options["layers"]) > MOST_LAYERS:
            raise DataError(
                f"it has {len(options['layers']):,} layers, at most {MOST_LAYERS:,} may"
            )
        made, loss = (_build(options.pop(name), n_values, classes) for name in ("layers", "loss"))
        if not isinstance(loss, Loss):
            raise DataError(f"the loss of a network must be a Loss, the file names {loss!r}")
        shape = options.get("input_shape")
        _, shapes = hand_on(made, None if shape is None else tuple(shape))
        needed = sum(
            math.prod(shape)
            for layer in walk(made)
            for shape in (*layer.shapes.values(), *layer.statistic_shapes.values())
        )
        if needed > n_values:
            raise DataError(f"the network has {needed} parameters, the file holds {n_values}")
        _check_rows(map(math.prod, shapes))
        return Network(made, loss, **options)
    kind = pick(NETWORKS, options.pop("kind"), "network")
    if isinstance(options.get("loss"), dict):
        options["loss"] = _build(options["loss"], n_values, classes)
    image = options["image"] if kind is ConvNet else (options["input_size"],)
    ends = options["hidden_sizes"], options["output_size"]
    needed, sizes = plan(tuple(image), options.get("conv", ()), *ends)
    if needed > n_values:  # before anything of that size is allocated
        raise DataError(f"the network has {needed} weights, the file holds {n_values} values")
    _check_rows(sizes)
    return kind(**options)


def _check_rows(sizes: Iterable[int]) -> None:
    """Raise DataError where a layer would give more values for one row than any network does."""
    largest = max(sizes)
    if largest > MOST_VALUES:
        raise DataError(
            f"a layer gives {largest:,} values for one row, at most {MOST_VALUES:,} may"
        )


def _build(value: Any, n_values: int, classes: Mapping[str, type[Any]]) -> Any:
    """The value that `describe` was given; raises DataError for an unknown or huge layer."""
    if isinstance(value, list):
        return [_build(one, n_values, classes) for one in value]
    if not isinstance(value, dict):
        return value
    options = {name: _build(one, n_values, classes) for name, one in value.items()}
    name = options.pop("class")
    if name not in classes:
        raise DataError(
            f"the network has a layer of the class {name!r}, which is not known here; give it to "
            f"load_network(path, classes=[{name}])"
        )
    sizes = [one for one in options.values() if type(one) is int and one > 1]
    if math.prod(sizes) > max(n_values, 1):  # before anything of that size is allocated
        raise DataError(f"{name} with {options} is larger than the {n_values} values of the file")
    return classes[name](**options)


def place_weights(path: str, weights: Mapping[str, Array], network: Network) -> None:
    """Copy `weights` into the network; raises DataError naming all that does not fit."""
    faults = []
    own = arrays_of(network)
    old = names_before(weights, network)
    weights = {old.get(name, name): array for name, array in weights.items()}
    for name, array in own.items():
        found = weights.get(name)
        if found is None or found.shape != array.shape or found.dtype != array.dtype:
            came = "nothing" if found is None else f"{found.shape} {found.dtype}"
            faults.append(
                f"must hold {name} with shape and dtype {array.shape} {array.dtype}, got {came}"
            )
    extra = [name for name in weights if name not in own]
    if extra:
        faults.append(f"holds {', '.join(extra)}, which the network does not have")
    if faults:
        raise DataError(f"{path!r} {'; '.join(faults)}; make the network that it was saved from")
    for name, array in own.items():
        array[...] = weights[name]


def names_before(weights: Mapping[str, Array], network: Network) -> dict[str, str]:
    """The names of today by those of version 0.1, if the arrays have these; else nothing."""
    before = {old: new for new, old in old_names(network.layers).items()}
    return before if set(before) == set(weights) != set(before.values()) else {}


def weights_in(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of the network: what else a checkpoint holds has a dot in its name."""
    return {name: array for name, array in arrays.items() if "." not in name}
