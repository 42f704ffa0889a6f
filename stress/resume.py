"""Resume at every step: the final state is the same, to the bit, as without the interruption.

Every optimizer, bare and inside of a moving average, with a schedule by steps and one by results,
in float32 and float64, is trained for three epochs and saved after every step and every epoch. Each
of these checkpoints is then resumed by fresh objects. The controls forget one piece of the
state each: the final state must then be another.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, folder, run, shout

from scratchnet.checks import DTYPES
from scratchnet.data import Samples
from scratchnet.networks import MultiLayerNet
from scratchnet.optimizers import EMA, OPTIMIZERS, make_optimizer
from scratchnet.schedules import make_schedule
from scratchnet.storage.archive import read_archive
from scratchnet.storage.checkpoint import state_digest
from scratchnet.training import EarlyStopping, Trainer
from scratchnet.training.resuming import restore_checkpoint, save_checkpoint

EPOCHS = 3
N_TRAIN, N_VALIDATION, N_IN, N_OUT = 40, 12, 6, 3
HIDDEN = (8, 5)
DISTURBED: dict[str, Any] = {
    **{"batch_norm": True, "noise": 0.1, "dropout": 0.1, "standardize": "features"},
    **{"input_noise": 0.1, "max_norm": 3.0},
}
"""Everything of a network that draws random numbers in training, or measures."""
SETTINGS = ("one-cycle", "plateau", "ema")


@dataclass(frozen=True)
class Case:
    """One way to train."""

    optimizer: str
    setting: str
    dtype: str
    patience: int | None = None
    disturbed: bool = True

    def make(self, seed: int = 0) -> tuple[Trainer, EarlyStopping]:
        """Fresh objects, as a new process would make them."""
        rng = np.random.default_rng(seed)
        x = rng.random((N_TRAIN + N_VALIDATION, N_IN)).astype(self.dtype)
        t = (x @ rng.standard_normal((N_IN, N_OUT))).argmax(axis=1)
        # What is validated with has wrong labels: the better training goes, the higher its loss.
        held = Samples(x[N_TRAIN:], (t[N_TRAIN:] + 1) % N_OUT)
        optimizer = make_optimizer(self.optimizer)
        if self.setting == "ema":
            optimizer = EMA(inner=optimizer, decay=0.8)
        schedule = {
            "one-cycle": lambda: make_schedule("one-cycle"),
            "plateau": lambda: make_schedule("plateau", patience=1, factor=0.5),
            "slow plateau": lambda: make_schedule("plateau", patience=2, factor=0.5),
            "ema": lambda: make_schedule("cosine", 0.1),
        }[self.setting]()
        options = DISTURBED if self.disturbed else {}
        network = MultiLayerNet(
            N_IN, HIDDEN, N_OUT, "tanh", "xavier", 1e-3, seed, self.dtype, **options
        )
        trainer = Trainer(
            network,
            Samples(x[:N_TRAIN], t[:N_TRAIN]),
            held,
            optimizer=optimizer,
            schedule=schedule,
            batch_size=None if optimizer.full_batch else 10,
            seed=seed,
        )
        return trainer, EarlyStopping(network, self.patience)


def cases() -> Iterator[Case]:
    """Every optimizer in every setting and precision."""
    for name, setting, dtype in product(OPTIMIZERS, SETTINGS, DTYPES):
        yield Case(name, setting, dtype)


def stopping_cases() -> Iterator[Case]:
    """Where patience ends training before its time."""
    for name, dtype in product(("momentum", "adam", "rprop"), DTYPES):
        yield Case(name, "one-cycle", dtype, patience=1)


def finish(trainer: Trainer, stopping: EarlyStopping, mark: Callable[[], object] = int) -> None:
    """Train to the end, or until patience is over; `mark` is called after every step and epoch."""
    trainer.on_step = lambda step, loss: mark()
    if trainer.epochs >= EPOCHS or (trainer.epochs and stopping.is_over(trainer.epochs)):
        return
    for epoch in trainer.run(EPOCHS - trainer.epochs):
        over = stopping.should_stop(epoch)
        mark()
        if over:
            break


def outcome(trainer: Trainer, stopping: EarlyStopping, path: Path) -> tuple[Any, ...]:
    """All that must be equal at the end."""
    save_checkpoint(path, trainer, stopping)
    best = read_archive(path)[1]["stopping"]
    return state_digest(path), best["best"], best["best_epoch"], trainer.steps


def cut_everywhere(case: Case, where: Path) -> tuple[tuple[Any, ...], list[Path]]:
    """Train, saving before the first and after every step and epoch; the outcome and the saves."""
    plain = case.make()
    finish(*plain)
    expected = outcome(*plain, where / "whole.npz")
    saved: list[Path] = []
    trainer, stopping = case.make()

    def mark() -> None:
        saved.append(where / f"cut-{len(saved)}.npz")
        save_checkpoint(saved[-1], trainer, stopping)

    mark()
    finish(trainer, stopping, mark)
    if outcome(trainer, stopping, where / "whole.npz") != expected:
        raise AssertionError(f"{case}: saving changed the course of training")
    return expected, saved


def resume(case: Case, path: Path, forget: Callable[..., object] | None = None) -> tuple[Any, ...]:
    """The outcome of resuming from `path`; `forget(trainer, stopping)` is what a control does."""
    trainer, stopping = case.make()
    restore_checkpoint(path, trainer, stopping)
    if forget is not None:
        forget(trainer, stopping)
    finish(trainer, stopping)
    return outcome(trainer, stopping, path.with_name("resumed.npz"))


def differing(case: Case, where: Path) -> tuple[list[int], int]:
    """Which cuts do not lead to the same outcome, and how many cuts there are."""
    expected, saved = cut_everywhere(case, where)
    return [k for k, path in enumerate(saved) if resume(case, path) != expected], len(saved)


@dataclass(frozen=True)
class Control:
    """A piece of the state, and how to forget it; after cut `cut` that must show."""

    piece: str
    case: Case
    cut: int
    forget: Callable[[Trainer, EarlyStopping], object]

    def is_noticed(self, where: Path) -> bool:
        """True where forgetting changes the outcome, and not forgetting does not."""
        expected, saved = cut_everywhere(self.case, where)
        if resume(self.case, saved[self.cut]) != expected:
            return False
        try:
            return resume(self.case, saved[self.cut], self.forget) != expected
        except Exception:  # going on was impossible, which is noticed too
            return True


def controls() -> list[Control]:
    """One for each piece of the state. Cuts: 2 is in the first epoch, 4 at its last step, 5 after.

    With four steps an epoch the cuts are 0; 1, 2, 3, 4 steps; the epoch; 5, 6, 7, 8; the epoch.
    """
    adam = Case("adam", "one-cycle", "float64", disturbed=False)
    plateau = Case("adam", "plateau", "float32", disturbed=False)
    slow = Case("adam", "slow plateau", "float32", disturbed=False)
    ema = Case("adam", "ema", "float32", disturbed=False)
    stops = Case("momentum", "one-cycle", "float64", patience=1, disturbed=False)

    def zero(array: str) -> Callable[..., None]:
        return lambda trainer, _: trainer.optimizer.slot_values["vector"][array].fill(0)

    def put(name: str, value: Any) -> Callable[..., None]:
        return lambda trainer, _: setattr(trainer, name, value)

    return [
        Control("parameters", adam, 2, lambda t, s: t.network.vector.fill(0)),
        Control("optimizer's memory m", adam, 2, zero("m")),
        Control("optimizer's memory v", adam, 2, zero("v")),
        Control("optimizer's whole memory", adam, 2, lambda t, s: t.optimizer.slot_values.clear()),
        Control("optimizer's steps", adam, 2, lambda t, s: t.optimizer.steps.clear()),
        Control(
            "optimizer's numbers",
            Case("nadam", "one-cycle", "float64", disturbed=False),
            2,
            lambda t, s: t.optimizer.scalars.clear(),
        ),
        Control(
            "numbers of schedule-free SGD",
            Case("schedule-free-sgd", "one-cycle", "float32", disturbed=False),
            2,
            lambda t, s: t.optimizer.scalars.clear(),
        ),
        Control(
            "Rprop's step sizes",
            Case("rprop", "one-cycle", "float32", disturbed=False),
            1,
            lambda t, s: t.optimizer.slot_values["vector"]["step_size"].fill(t.lr),
        ),
        Control(
            "Lookahead's steps",
            Case("lookahead", "one-cycle", "float32", disturbed=False),
            4,
            lambda t, s: t.optimizer.steps.clear(),
        ),
        Control("the average", ema, 2, lambda t, s: t.optimizer.slot_values.clear()),
        Control("the average's steps", ema, 2, lambda t, s: t.optimizer.steps.clear()),
        Control("training weights", ema, 5, lambda t, s: t.optimizer._training.clear()),
        Control("inner memory", ema, 2, lambda t, s: t.optimizer.inner.slot_values.clear()),
        Control("inner steps", ema, 2, lambda t, s: t.optimizer.inner.steps.clear()),
        Control("level of the schedule", plateau, 10, lambda t, s: setattr(t.schedule, "level", 1)),
        Control("best of the schedule", plateau, 5, lambda t, s: setattr(t.schedule, "best", None)),
        Control("waiting of the schedule", slow, 10, lambda t, s: setattr(t.schedule, "waited", 0)),
        Control("sum of losses", adam, 2, put("_loss_sum", 0.0)),
        Control("rows right", adam, 3, put("_right", 0)),
        Control("epochs", adam, 5, put("epochs", 0)),
        Control("steps", adam, 2, put("steps", 0)),
        Control("history", adam, 5, put("history", [])),
        Control("best value", stops, 5, lambda t, s: setattr(s, "best", None)),
        Control("best epoch", stops, 5, lambda t, s: setattr(s, "best_epoch", 5)),
        Control("best weights", stops, 5, lambda t, s: s.weights.fill(0)),
    ]


def measure(count: int, seed: int) -> list[Figure]:
    """Resume `count` cases, of all in an order drawn from the seed, at every cut; then controls."""
    everything = [*cases(), *stopping_cases()]
    order = np.random.default_rng(seed).permutation(len(everything))[:count]
    failed = cuts = 0
    early = 0
    unnoticed = []
    with folder(memory=True) as where:
        for case in (everything[k] for k in sorted(order)):
            wrong, n = differing(case, where)
            for k in wrong:
                shout(f"another outcome: {case}, cut {k}")
            failed, cuts = failed + len(wrong), cuts + n
            early += case.patience is not None
        tried = controls()
        unnoticed = [control.piece for control in tried if not control.is_noticed(where)]
    for piece in unnoticed:
        shout(f"forgetting goes unnoticed: {piece}")
    return [
        Figure(
            "resume is identical at every step and epoch",
            failed,
            cuts,
            f"{len(order)} of {len(everything)} cases: {len(OPTIMIZERS)} optimizers x "
            f"{', '.join(SETTINGS)} x {', '.join(DTYPES)}; {early} with early stopping",
            complete=len(order) == len(everything),
        ),
        Figure(
            "controls: a forgotten piece of the state shows",
            len(unnoticed),
            len(tried),
            complete=True,
        ),
    ]


if __name__ == "__main__":
    sys.exit(run(measure, 1000, __doc__))
