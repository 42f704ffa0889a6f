"""What a run came to: judged by the figures that it has anyway, with what to try next.

A rule looks at these figures and says nothing, or a sentence; the first of RULES that says one is
heard. Another rule is a function and a line there.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
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
    kept: int
    """The epoch whose weights are kept."""
    stopped: bool
    """Whether early stopping ended it: more epochs would not be made."""


class Verdict(NamedTuple):
    """What a run came to."""

    name: str
    """"learned", "improving", "overfitting", "diverging" or "stuck"."""
    text: str
    """A sentence of what was seen."""
    command: str
    """What to type next; empty where nothing helps."""


def judge(figures: Figures, commands: Mapping[str, str]) -> Verdict:
    """The verdict on a run of one epoch or more.

    commands: what to type next, by the name of the verdict that it helps with.
    """
    said = ((name, rule(figures)) for name, rule in RULES.items())
    name, text = next((name, text) for name, text in said if text is not None)
    return Verdict(name, text, commands.get(name, ""))


def _diverging(of: Figures) -> str | None:
    """Nothing learnt, and a loss far above the lowest that there was."""
    losses = [epoch.loss for epoch in of.history]
    if of.learned or losses[-1] <= min(RISE * min(losses), FAR):
        return None
    return f"it did not learn: the training loss ended at {losses[-1]:.3g}, steps are too long"


def _stuck(of: Figures) -> str | None:
    """Nothing learnt."""
    if of.learned:
        return None
    losses = [epoch.loss for epoch in of.history]
    moved = losses[0] - min(losses) > STILL * losses[0]
    what = (
        f"the training loss fell from {losses[0]:.3g} to {min(losses):.3g}, and test samples are "
        f"predicted no better than by their most frequent label ({of.guess:.2f})"
        if moved
        else f"the training loss {'stayed at' if len(losses) > 1 else 'was'} {losses[-1]:.3g}"
    )
    return f"it did not learn: {what}"


def _overfitting(of: Figures) -> str | None:
    """The validation loss has risen from its lowest, and the training loss has not."""
    held = [epoch.val_loss for epoch in of.history if epoch.val_loss is not None]
    if len(held) < len(of.history) or of.kept != of.history[-1].number:
        return None  # there is none, or its best weights are kept
    best = min(range(len(held)), key=held.__getitem__)
    falls = of.history[-1].loss <= of.history[best].loss
    if held[-1] <= RISE * held[best] or not falls:
        return None
    return (
        f"it learned, and overfits from epoch {of.history[best].number} on: the validation loss "
        f"rose from {held[best]:.3g} to {held[-1]:.3g} while the training loss fell"
    )


def _improving(of: Figures) -> str | None:
    """What is watched has fallen in the last quarter of the epochs."""
    n = len(of.history)
    before = n - 1 - max(1, n // 4)
    if before < 0 or of.stopped:
        return None
    kind, pair = "training", (of.history[before].loss, of.history[-1].loss)
    held = of.history[before].val_loss, of.history[-1].val_loss
    if held[0] is not None and held[1] is not None:
        kind, pair = "validation", (held[0], held[1])
    if not pair[0] - pair[1] > FALL * pair[0]:  # also where both are infinite
        return None
    last = "last" if n - 1 - before == 1 else f"last {n - 1 - before}"
    return (
        f"it learned, and still improves: the {kind} loss fell from {pair[0]:.3g} to "
        f"{pair[1]:.3g} over the {last} of {n} epochs"
    )


def _learned(of: Figures) -> str:
    """Anything else."""
    return "it learned" if len(of.history) == 1 else "it learned; more epochs would change little"


RULES: Mapping[str, Callable[[Figures], str | None]] = MappingProxyType(
    {
        "diverging": _diverging,
        "stuck": _stuck,
        "overfitting": _overfitting,
        "improving": _improving,
        "learned": _learned,
    }
)
"""In the order in which they are asked."""
