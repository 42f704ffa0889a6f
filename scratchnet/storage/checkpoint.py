"""Weights and checkpoints on disk: a network, and a network with all that training continues from.

Both are files of `scratchnet.storage.archive`. The parameters stand in them by name, so a
learner reads them with `np.load(path)["W1"]`. A checkpoint is plain arrays and JSON values;
`scratchnet.training.resuming` makes them of a Trainer.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from scratchnet import __version__
from scratchnet.errors import (
    DataError,
    DivergenceError,
    OutputError,
    ScratchnetError,
)
from scratchnet.networks import NETWORKS, MultiLayerNet, Network, count_weights, layer_sizes
from scratchnet.parameters import Array, first_not_finite
from scratchnet.registry import pick
from scratchnet.storage.archive import digest, read_archive, write_archive

WEIGHTS, CHECKPOINT = "scratchnet weights", "scratchnet checkpoint"
VERSION = 1
KEPT = 2  # numbered checkpoints of a run; the best one is kept apart
NUMBERED = re.compile(r"checkpoint-(\d{8,})\.npz")
STRAY = re.compile(r"\..+\.tmp\.\d+\.[0-9a-f]+")


def save_weights(network: MultiLayerNet, path: str | Path) -> None:
    """Write the parameters by name, and what rebuilds the network; atomic.

    Raises OutputError where it cannot be written, DivergenceError where a value is not finite.
    """
    arrays = network_arrays(network)
    faulty = first_not_finite(arrays)
    if faulty is not None:
        raise DivergenceError(f"{faulty} is not finite, and was not saved; train anew")
    write_archive(path, arrays, {**_mark(WEIGHTS), "network": network.config()})


def load_weights(path: str | Path) -> MultiLayerNet:
    """The network whose weights are in a file of `save_weights`, or in a checkpoint.

    Nothing in the file is ever run as code. Raises DataError where the file is missing, damaged or
    something else.
    """
    arrays, header = _read(path, (WEIGHTS, CHECKPOINT))
    weights = network_weights(arrays)
    try:
        network = build_network(header["network"], sum(array.size for array in weights.values()))
    except (KeyError, TypeError, ValueError, AttributeError, ScratchnetError) as error:
        raise DataError(f"{str(path)!r} has a header that describes no network: {error}") from error
    place_weights(str(path), weights, network)
    return network


def write_checkpoint(
    path: str | Path, arrays: Mapping[str, Array], header: Mapping[str, Any]
) -> None:
    """Write a checkpoint of plain arrays and JSON values, atomically.

    Raises OutputError if it cannot be written.
    """
    write_archive(path, arrays, {**_mark(CHECKPOINT), **header})


def read_checkpoint(path: str | Path) -> "Saved":
    """The checkpoint in a file; raises DataError if it is missing, damaged or something else."""
    arrays, header = _read(path, (CHECKPOINT,))
    return Saved(Path(path), header, [], arrays)


def state_digest(path: str | Path) -> str:
    """SHA-256 (hex) of what a checkpoint says of training: all but wall times and environment."""
    arrays, header = _read(path, (CHECKPOINT,))
    try:
        return digest(arrays, {key: header[key] for key in ("network", "settings", "trainer")})
    except KeyError as error:
        raise unfit(path, error) from error


class Saved(NamedTuple):
    """A checkpoint that was read."""

    path: Path
    header: dict[str, Any]
    passed_over: list[str]
    """Why later ones were passed over."""
    arrays: dict[str, Array]


class Checkpoints:
    """The checkpoints in the folder of a run: numbered by step the last KEPT, and the best.

    `checkpoint-00001230.npz` is what training goes on from after step 1230; the one with the
    highest number that can be read is the latest. `checkpoint-best.npz` has the weights of the
    epoch with the best validation result.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def best(self) -> Path:
        """Where the best weights are kept."""
        return self.folder / "checkpoint-best.npz"

    def save(self, steps: int, arrays: Mapping[str, Array], header: Mapping[str, Any]) -> None:
        """Write and read back the checkpoint of that step, then remove those older than KEPT.

        Raises OutputError, with the earlier ones still there.
        """
        path = self.folder / f"checkpoint-{steps:08d}.npz"
        write_checkpoint(path, arrays, header)
        try:
            read_archive(path)
        except DataError as error:
            raise OutputError(f"what was just saved cannot be read back: {error}") from error
        numbered = self.numbered()
        older = numbered[: numbered.index(path)]
        for other in older[: -(KEPT - 1)]:
            with suppress(OSError):
                other.unlink()

    def latest(self) -> Saved:
        """The latest checkpoint that can be read, and why later ones were passed over.

        Raises DataError where there is none; nothing is deleted.
        """
        reasons: list[str] = []
        for path in reversed(self.numbered()):
            try:
                arrays, header = _read(path, (CHECKPOINT,))
            except DataError as error:
                reasons.append(str(error))
            else:
                back = f"going back to the one before, {path.name!r}"
                return Saved(path, header, [f"{r}; {back}" for r in reasons], arrays)
        why = f": {reasons[0]}; nothing was deleted, start anew" if reasons else ""
        raise DataError(f"there is no checkpoint that can be read in {str(self.folder)!r}{why}")

    def numbered(self) -> list[Path]:
        """The numbered checkpoints, whole or not, by the number of their step."""
        try:
            names = os.listdir(self.folder)
        except OSError as error:
            raise DataError(
                f"cannot read {str(self.folder)!r}: {error.strerror}; name the folder of a run"
            ) from error
        found = [(int(match[1]), name) for name in names if (match := NUMBERED.fullmatch(name))]
        return [self.folder / name for _, name in sorted(found)]

    def clear_strays(self) -> None:
        """Remove what a run that was killed had begun to write; only while the folder is locked."""
        for name in os.listdir(self.folder) if self.folder.exists() else ():
            if STRAY.fullmatch(name):
                with suppress(OSError):
                    (self.folder / name).unlink()


def _mark(kind: str) -> dict[str, Any]:
    """How the header of a file begins: what it is, and who wrote it."""
    return {"format": kind, "version": VERSION, "scratchnet": __version__}


def _read(path: str | Path, formats: tuple[str, ...]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and header of one of our files of these formats, in the version that we know."""
    arrays, header = read_archive(path)
    kind, version = header.get("format"), header.get("version")
    if kind not in formats:
        hint = "; it has weights, but nothing to go on from" if kind == WEIGHTS else ""
        raise DataError(
            f"{str(path)!r} must be a file of {' or '.join(formats)}, its header says "
            f"{kind!r}{hint}"
        )
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise DataError(
            f"{str(path)!r} has version {version!r} of its format, this scratchnet {__version__} "
            f"reads up to version {VERSION}; it needs scratchnet >= {header.get('scratchnet')}"
        )
    faulty = first_not_finite(arrays)
    if faulty is not None:
        raise DataError(f"{str(path)!r} holds {faulty} with values that are not finite")
    return arrays, header


def unfit(path: str | Path, error: Exception) -> DataError:
    """What to raise where a header that is whole does not say what it should."""
    what = f"lacks {error}" if isinstance(error, KeyError) else f"does not fit: {error}"
    return DataError(f"{str(path)!r} has a header that {what}; take another copy")


def network_arrays(network: Network) -> dict[str, Array]:
    """All that changes in the network in training: parameters, and what its layers measure."""
    return {**network.params, **network.statistics}


def network_weights(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of the network: what else a checkpoint holds has a dot in its name."""
    return {name: array for name, array in arrays.items() if "." not in name}


def network_config(network: Network) -> dict[str, Any]:
    """What rebuilds the network, or for one made of a list of layers what it is made of."""
    if isinstance(network, MultiLayerNet):
        return network.config()
    return {"layers": [repr(layer) for layer in network.layers], "dtype": network.dtype}


def place_weights(path: str, weights: Mapping[str, Array], network: Network) -> None:
    """Copy `weights` into the network; raises DataError naming all that does not fit."""
    faults = []
    own = network_arrays(network)
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


def build_network(config: Mapping[str, Any], n_values: int) -> MultiLayerNet:
    """The network that `config` describes, if `n_values`, what the file holds, can be enough."""
    options = dict(config)
    if "weight_decay" in options:  # its name in files of version 0.1
        options["l2"] = options.pop("weight_decay")
    kind = pick(NETWORKS, options.pop("kind"), "network")
    sizes = layer_sizes(options["input_size"], options["hidden_sizes"], options["output_size"])
    needed = count_weights(sizes)
    if needed > n_values:  # before anything of that size is allocated
        raise DataError(
            f"{'-'.join(map(str, sizes))} has {needed} weights, the file holds {n_values} values"
        )
    return kind(**options)
