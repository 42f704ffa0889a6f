"""Checkpoints of a Trainer: all that training continues from, and what may differ when it does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scratchnet import environment
from scratchnet.errors import DivergenceError, ParameterError, ScratchnetError
from scratchnet.networks.saving import arrays_of, header_of
from scratchnet.networks.saving import save_network as save_weights
from scratchnet.networks.weights import load_network as load_weights
from scratchnet.networks.weights import names_before, place_weights, weights_in
from scratchnet.parameters import Array, first_not_finite
from scratchnet.storage.archive import pack, unpack
from scratchnet.storage.checkpoint import (
    UNFIT,
    Checkpoints,
    Saved,
    read_checkpoint,
    state_digest,
    unfit,
    write_checkpoint,
)
from scratchnet.training.epoch import Epoch
from scratchnet.training.state import (
    Training,
    batch_stats_of,
    restore_state,
    settings_of,
    state_of,
)

__all__ = [
    "Checkpoints",
    "Saved",
    "Stateful",
    "checkpoint_of",
    "load_weights",
    "restore_checkpoint",
    "save_checkpoint",
    "save_weights",
    "state_digest",
]


class Stateful(Protocol):
    """Anything with a state to save and restore, for example early stopping."""

    def state(self) -> dict[str, Any]:
        """All that is remembered, as plain data and arrays."""

    def restore(self, state: Mapping[str, Any], /) -> None:
        """Continue from what `state` returned."""


def checkpoint_of(
    trainer: Training,
    stopping: Stateful | None = None,
    run: Mapping[str, Any] | None = None,
    *,
    history: bool = True,
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and header of a checkpoint, as plain data; `run` is the caller's own.

    With history=False the caller keeps the history, so that every checkpoint has the same size.
    Raises DivergenceError if a value is not finite.
    """
    arrays = arrays_of(trainer.network)
    state = state_of(trainer, history=history)
    past = _columns(state["history"], trainer.history) if history else {}
    header = {
        **header_of(trainer.network),
        "settings": settings_of(trainer),
        "environment": {**_environment(trainer), "batch_stats": batch_stats_of(trainer)},
        "run": dict(run or {}),
        "trainer": pack({**state, "history": past}, "trainer", arrays),
        "stopping": None if stopping is None else pack(stopping.state(), "stopping", arrays),
    }
    faulty = first_not_finite(arrays)
    if faulty is not None:
        raise DivergenceError(
            f"training diverged by step {trainer.steps}: {faulty} is not finite, and was not "
            f"saved; try an lr below {trainer.lr:g}"
        )
    return arrays, header


def save_checkpoint(
    path: str | Path,
    trainer: Training,
    stopping: Stateful | None = None,
    run: Mapping[str, Any] | None = None,
) -> None:
    """Write all that training continues from to `path`, atomically; `run` is the caller's own.

    Raises OutputError if it cannot be written, and DivergenceError if a value is not finite; the
    file that was there then stays as it is.
    """
    write_checkpoint(path, *checkpoint_of(trainer, stopping, run))


def restore_checkpoint(
    path: str | Path | Saved,
    trainer: Training,
    stopping: Stateful | None = None,
    *,
    override: bool = False,
) -> list[str]:
    """Put `trainer`, made with the same options and data, where the checkpoint left off.

    `path` is that of the file, or what `Checkpoints.latest` has read. Returns a line for each thing
    that differs: overridden settings, and versions and machine, which may change the last bits of
    results. Another kind of optimizer or schedule starts with an empty state.

    Raises DataError if the file is missing, damaged or of another network, ParameterError if an
    option or the data differ from those it was saved with, unless `override`.
    """
    saved = path if isinstance(path, Saved) else read_checkpoint(path)
    try:
        return _restore(saved, trainer, stopping, override)
    except ScratchnetError:
        raise
    except UNFIT as error:
        raise unfit(saved.path, error) from error


def _restore(
    saved: Saved, trainer: Training, stopping: Stateful | None, override: bool
) -> list[str]:
    name, header, arrays = str(saved.path), saved.header, saved.arrays
    before, now = header["settings"], settings_of(trainer)
    changed = _differences(before, now)
    if changed and not override:
        raise ParameterError(
            f"{name!r} was saved with other settings: {'; '.join(changed)}; use the same, or "
            "override"
        )
    notes = [f"settings overridden: {text}" for text in changed]
    state = unpack(header["trainer"], arrays)
    names = names_before(weights_in(arrays), trainer.network)
    state["optimizer"] = _rename(state["optimizer"], names)
    for part, own in (("optimizer", trainer.optimizer), ("schedule", trainer.schedule)):
        if _kinds(before[part]) != _kinds(now[part]):
            state[part] = own.state()
            notes.append(f"the {part} is another, and starts with an empty state")
    notes += _compare_environments({"ranks": 1, "parts": 1, **header["environment"]}, trainer)
    place_weights(name, weights_in(arrays), trainer.network)
    if isinstance(state["history"], dict):  # a list in files of version 0.1
        state["history"], times = _rows(state["history"])
    else:
        times = header["times"]
    restore_state(trainer, state, times)
    if stopping is not None and header["stopping"] is not None:
        stopping.restore(unpack(header["stopping"], arrays))
    return notes


def _columns(rows: list[dict[str, Any]], history: Sequence[Epoch]) -> dict[str, Array]:
    """The history as an array for each value, without its times, and these."""
    if not rows:
        return {}
    missing = {name: [row[name] is None for row in rows] for name in ("val_loss", "val_accuracy")}
    return {
        **{name: np.array([row[name] or 0 for row in rows]) for name in rows[0]},
        **{f"no_{name}": np.array(each) for name, each in missing.items()},
        "times": np.array([epoch.seconds for epoch in history]),
    }


def _rows(columns: Mapping[str, Array]) -> tuple[list[dict[str, Any]], list[float]]:
    """The history that `_columns` was given, and its times."""
    lists = {name: column.tolist() for name, column in columns.items()}
    times = lists.pop("times", [])
    for name in ("val_loss", "val_accuracy"):
        for k, missing in enumerate(lists.pop(f"no_{name}", [])):
            if missing:
                lists[name][k] = None
    rows = [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
    return rows, times


def _rename(value: Any, names: Mapping[str, str]) -> Any:
    """The plain data with these keys renamed, at every depth."""
    if not (names and isinstance(value, dict)):
        return value
    return {names.get(key, key): _rename(each, names) for key, each in value.items()}


def _compare_environments(before: dict[str, Any], trainer: Training) -> list[str]:
    """A line for each thing in which the machine, the libraries or the ranks differ."""
    measured = before.pop("batch_stats", "all")
    notes = [
        f"environment: {text}; the last bits of results may differ"
        for text in _differences(before, _environment(trainer))
    ]
    now = batch_stats_of(trainer)
    if (measured, before["ranks"]) != (now, trainer.ranks) and "rank" in (measured, now):
        notes.append(
            "batch normalization now measures other rows than before, which makes this another "
            "network"
        )
    return notes


def _environment(trainer: Training) -> dict[str, Any]:
    """The facts that the last bits of results depend on."""
    return {**environment.describe(), "ranks": trainer.ranks, "parts": trainer.parts}


def _kinds(config: Mapping[str, Any]) -> list[Any]:
    """Which optimizer or schedule a configuration is of, and which are within it."""
    within = [_kinds(value) for value in config.values() if isinstance(value, dict)]
    return [config.get("class"), config.get("name"), *within]


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """The differences between two JSON values, each as "name: was this, is that"."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            text
            for key in dict.fromkeys((*before, *now))
            for text in _differences(before.get(key), now.get(key), f"{name} {key}".strip())
        ]
    return [] if before == now else [f"{name} was {before!r}, is {now!r}"]
