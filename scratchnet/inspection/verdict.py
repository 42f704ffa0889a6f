"""What a run came to: judged by the figures that it has anyway, with what to try next.

A rule looks at these figures and says nothing, or a verdict; the first of RULES that says one is
heard. Another rule is a function and a line there.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from scratchnet.training.epoch import Epoch

RISE = 1.25
"""A loss above the lowest by this factor has risen: less is the noise of a few hundred samples."""
FALL = 0.01
"""A loss that falls by so much of itself in the last quarter of the epochs is still falling."""
FAR = 10.0
"""A loss that no guess by shares of classes has, unless there are 20,000 of them."""
STILL = 0.01
"""A loss that never falls by more than this share has not moved."""


class Figures(NamedTuple):
    """What is known of a run at its end."""

    history: Sequence[Epoch]
    learned: bool
    """Whether it is better than a guess on test samples (`compare_with_guess`)."""
    guess: float
    """The accuracy of the most frequent label."""
    optimizer: str
    kept: int
    """The epoch whose weights are kept."""


class Verdict(NamedTuple):
    """What a run came to."""

    name: str
    """"learned", "improving", "overfitting", "diverging" or "stuck"."""
    text: str
    """A sentence of what was seen."""
    flags: str
    """What to type besides the flags of the run, or in their place; empty where nothing helps."""


def judge(figures: Figures) -> Verdict:
    """The verdict on a run of one epoch or more."""
    return next(verdict for rule in RULES if (verdict := rule(figures)) is not None)


def _diverging(of: Figures) -> Verdict | None:
    """Nothing learnt, and a loss far above the lowest that there was."""
    losses = [epoch.loss for epoch in of.history]
    if of.learned or losses[-1] <= min(RISE * min(losses), FAR):
        return None
    text = f"it did not learn: the training loss ended at {losses[-1]:.3g}, steps are too long"
    return Verdict("diverging", text, f"find-lr {of.optimizer}")


def _stuck(of: Figures) -> Verdict | None:
    """Nothing learnt."""
    if of.learned:
        return None
    losses = [epoch.loss for epoch in of.history]
    moved = losses[0] - min(losses) > STILL * losses[0]
    what = (
        f"the training loss fell from {losses[0]:.3g} to {min(losses):.3g}, and test samples are "
        f"predicted no better than by their most frequent label ({of.guess:.2f})"
        if moved
        else f"the training loss stayed at {losses[-1]:.3g}"
    )
    return Verdict("stuck", f"it did not learn: {what}", f"find-lr {of.optimizer}")


def _overfitting(of: Figures) -> Verdict | None:
    """The validation loss has risen from its lowest, and the training loss has not."""
    held = [epoch.val_loss for epoch in of.history if epoch.val_loss is not None]
    if len(held) < len(of.history) or of.kept != of.history[-1].number:
        return None  # there is none, or its best weights are kept
    best = min(range(len(held)), key=held.__getitem__)
    falls = of.history[-1].loss <= of.history[best].loss
    if held[-1] <= RISE * held[best] or not falls:
        return None
    text = (
        f"it learned, and overfits from epoch {of.history[best].number} on: the validation loss "
        f"rose from {held[best]:.3g} to {held[-1]:.3g} while the training loss fell"
    )
    return Verdict("overfitting", text, "--patience 5")


def _improving(of: Figures) -> Verdict | None:
    """What is watched has fallen in the last quarter of the epochs."""
    n = len(of.history)
    before = n - 1 - max(1, n // 4)
    if before < 0:
        return None
    kind, pair = "training", (of.history[before].loss, of.history[-1].loss)
    held = of.history[before].val_loss, of.history[-1].val_loss
    if held[0] is not None and held[1] is not None:
        kind, pair = "validation", (held[0], held[1])
    if pair[0] - pair[1] <= FALL * pair[0]:
        return None
    text = (
        f"it learned, and still improves: the {kind} loss fell from {pair[0]:.3g} to "
        f"{pair[1]:.3g} over the last {n - 1 - before} of {n} epochs"
    )
    return Verdict("improving", text, f"--epochs {2 * of.history[-1].number}")


def _learned(of: Figures) -> Verdict:
    """Anything else."""
    more = "" if len(of.history) == 1 else "; more epochs would change little"
    return Verdict("learned", f"it learned{more}", "")


RULES: tuple[Callable[[Figures], Verdict | None], ...] = (
    _diverging,
    _stuck,
    _overfitting,
    _improving,
    _learned,
)
"""In the order in which they are asked."""
