"""Checkpoints: all that training continues from, in files of `scratchnet.storage.archive`."""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from scratchnet import environment
from scratchnet.errors import (
    DataError,
    DivergenceError,
    OutputError,
    ParameterError,
    ScratchnetError,
)
from scratchnet.networks import Network
from scratchnet.networks.saving import CHECKPOINT, arrays_of, mark, not_finite
from scratchnet.networks.saving import save_network as save_weights
from scratchnet.networks.weights import load_network as load_weights
from scratchnet.networks.weights import names_before, place_weights, read_file, weights_in
from scratchnet.optimizers import Optimizer
from scratchnet.parameters import Array
from scratchnet.schedules import Schedule
from scratchnet.storage.archive import digest, pack, read_archive, unpack, write_archive

__all__ = [
    "Checkpoints",
    "Saved",
    "check_checkpoint",
    "load_weights",
    "restore_checkpoint",
    "save_checkpoint",
    "save_weights",
    "state_digest",
]


class Stateful(Protocol):
    """What has a state that can be kept and gone on from: an optimizer, a schedule, a monitor."""

    def state(self) -> dict[str, Any]:
        """All that is remembered, as plain data and arrays."""

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Remember what `state` gave."""


class Training(Protocol):
    """What a checkpoint needs of the Trainer."""

    network: Network
    optimizer: Optimizer
    schedule: Schedule
    history: list[Any]
    steps: int
    lr: float

    @property
    def ranks(self) -> int:
        """How many processes share each batch."""

    @property
    def batch_stats(self) -> str:
        """Whether layers measure whole batches, "all", or each rank its own rows, "rank"."""

    def settings(self) -> dict[str, Any]:
        """All that the course of training depends on besides the network."""

    def state(self) -> dict[str, Any]:
        """All that training goes on from, besides the parameters."""

    def restore(self, state: Mapping[str, Any], times: Sequence[float], /) -> None:
        """Go on from what `state` gave."""


KEPT = 2  # numbered checkpoints of a run; the best one is kept apart
NUMBERED = re.compile(r"checkpoint-(\d{8,})\.npz")
STRAY = re.compile(r"\..+\.tmp\.\d+\.[0-9a-f]+")


def save_checkpoint(
    path: str | Path,
    trainer: Training,
    stopping: Stateful | None = None,
    run: Mapping[str, Any] | None = None,
) -> None:
    """Write all that training goes on from to `path`, atomically; `run` is the caller's own.

    Raises OutputError where it cannot be written, and DivergenceError, with the file that was there
    left as it is, where a value is not finite.
    """
    arrays = arrays_of(trainer.network)
    header = {
        **mark(CHECKPOINT),
        "network": trainer.network.config(),
        "settings": trainer.settings(),
        "environment": {**_environment(trainer), "batch_stats": trainer.batch_stats},
        "run": dict(run or {}),
        "trainer": pack(trainer.state(), "trainer", arrays),
        "stopping": None if stopping is None else pack(stopping.state(), "stopping", arrays),
        "times": [epoch.seconds for epoch in trainer.history],
    }
    faulty = not_finite(arrays)
    if faulty is not None:
        raise DivergenceError(
            f"training diverged by step {trainer.steps}: {faulty} is not finite, and was not "
            f"saved; try an lr below {trainer.lr:g}"
        )
    write_archive(path, arrays, header)


def restore_checkpoint(
    path: "str | Path | Saved",
    trainer: Training,
    stopping: Stateful | None = None,
    *,
    override: bool = False,
) -> list[str]:
    """Put `trainer`, made with the same options and data, where the checkpoint left off.

    `path` is that of the file, or what `Checkpoints.latest` has read.

    Returns a line for each thing that is not as it was: overridden settings, and versions and
    machine, which may change the last bits of results. Another kind of optimizer or schedule
    begins with nothing remembered.

    Raises DataError where the file is missing, damaged or of another network, ParameterError where
    an option or the data are others than it was saved with, unless `override`.
    """
    if isinstance(path, Saved):
        path, header, _, arrays = path
    else:
        arrays, header = read_file(path, (CHECKPOINT,))
    try:
        before, now = header["settings"], trainer.settings()
        changed = _differences(before, now)
        if changed and not override:
            raise ParameterError(
                f"{str(path)!r} was saved with other settings: {'; '.join(changed)}; use the same, "
                "or override"
            )
        state = unpack(header["trainer"], arrays)
        names = names_before(weights_in(arrays), trainer.network)
        state["optimizer"] = _rename(state["optimizer"], names)
        environment_before = {"ranks": 1, **header["environment"]}
        measures = environment_before.pop("batch_stats", "all"), environment_before["ranks"]
        notes = [f"settings overridden: {text}" for text in changed]
        for part, own in (("optimizer", trainer.optimizer), ("schedule", trainer.schedule)):
            if _kinds(before[part]) != _kinds(now[part]):
                state[part] = own.state()
                notes.append(f"the {part} is another, and begins with nothing remembered")
        notes += [
            f"environment: {text}; the last bits of results may differ"
            for text in _differences(environment_before, _environment(trainer))
        ]
        if measures != (trainer.batch_stats, trainer.ranks) and "rank" in (
            measures[0],
            trainer.batch_stats,
        ):
            notes.append(
                "batch normalization now measures other rows than before, which makes this another "
                "network"
            )
        place_weights(str(path), weights_in(arrays), trainer.network)
        trainer.restore(state, header["times"])
        if stopping is not None and header["stopping"] is not None:
            stopping.restore(unpack(header["stopping"], arrays))
    except ScratchnetError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise _unfit(path, error) from error
    return notes


def state_digest(path: str | Path) -> str:
    """SHA-256 (hex) of what a checkpoint says of training: all but wall times and environment."""
    arrays, header = read_file(path, (CHECKPOINT,))
    try:
        return digest(arrays, {key: header[key] for key in ("network", "settings", "trainer")})
    except KeyError as error:
        raise _unfit(path, error) from error


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

    def save(
        self,
        trainer: Training,
        stopping: Stateful | None,
        run: Mapping[str, Any],
    ) -> None:
        """Write and read back the checkpoint of this step, then let go of those older than KEPT.

        Raises OutputError or DivergenceError, with the earlier ones still there.
        """
        path = self.folder / f"checkpoint-{trainer.steps:08d}.npz"
        save_checkpoint(path, trainer, stopping, run)
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
                arrays, header = read_file(path, (CHECKPOINT,))
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


def check_checkpoint(path: str | Path) -> None:
    """Raise DataError unless the file is a checkpoint that can be read."""
    read_file(path, (CHECKPOINT,))


def _environment(trainer: Training) -> dict[str, Any]:
    """What the last bits of results depend on."""
    return {**environment.describe(), "ranks": trainer.ranks}


def _unfit(path: str | Path, error: Exception) -> DataError:
    """What to raise where a header that is whole does not say what it should."""
    what = f"lacks {error}" if isinstance(error, KeyError) else f"does not fit: {error}"
    return DataError(f"{str(path)!r} has a header that {what}; take another copy")


def _kinds(config: Mapping[str, Any]) -> list[Any]:
    """Which optimizer or schedule a configuration is of, and which are within it."""
    within = [_kinds(value) for value in config.values() if isinstance(value, dict)]
    return [config.get("class"), config.get("name"), *within]


def _rename(value: Any, names: Mapping[str, str]) -> Any:
    """The plain data with these keys renamed, at every depth."""
    if not (names and isinstance(value, dict)):
        return value
    return {names.get(key, key): _rename(each, names) for key, each in value.items()}


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """What is not the same in two JSON values, each as "name: was this, is that"."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            text
            for key in dict.fromkeys((*before, *now))
            for text in _differences(before.get(key), now.get(key), f"{name} {key}".strip())
        ]
    return [] if before == now else [f"{name} was {before!r}, is {now!r}"]
