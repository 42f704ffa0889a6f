"""The learning-rate finder: trains a copy while the rate grows, and sees where the loss falls.

It is one short test instead of a grid of runs. The rule that reads a rate off the curve was chosen
by the validation accuracy that it loses against the best rate of such a grid.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.checks import check_above_zero, check_integer
from scratchnet.errors import DivergenceError, ParameterError
from scratchnet.networks import Network
from scratchnet.optimizers import Optimizer, make_optimizer
from scratchnet.options import show_options
from scratchnet.storage.atomic import write_text
from scratchnet.training import Data
from scratchnet.training.trainer import TRAINER
from scratchnet.training.trials import make_trial

BELOW, ABOVE = 1e-3, 1e4
"""By default the rate grows from that times the optimizer's own rate to this times it."""
PER_TENFOLD = 30
"""Steps in which it grows tenfold, by default."""
FEWEST = 20
"""Steps that a test must have; the first half of so many must not diverge."""
SHARE = 0.7
"""The suggestion is where this share of the fall of the loss is done."""
BEYOND = 3.0
"""The test ends if the loss exceeds its lowest value by this times that value, or its fall."""
CHANCE = 6.0
"""A fall counts if it is above this times the spread of a smoothed loss; less may be chance."""
ROUNDING = 1e-6
"""A fall below this share of the loss is no more than rounding in float32."""
DECIDED = ("optimizer", "lr", "schedule")
"""Options of the Trainer that the range test decides, or has as an argument of its own."""
COLUMNS, ROWS = 60, 10


@dataclass(frozen=True)
class RangeTest:
    """The result of `find_lr`, as plain data; printed, it is the suggestion and the curve."""

    rates: tuple[float, ...]
    """The rate of each step made."""
    losses: tuple[float, ...]
    """The loss of each batch before its step, penalty left out, as the Trainer measures it."""
    smoothed: tuple[float, ...]
    """Their exponential mean, free of its start at 0: s / (1 - beta^k), s <- beta s + (1 - beta) l.

    beta = 1 - 1 / window, the window being the steps in which the rate doubles, or so.
    """
    suggestion: float | None
    """A rate to train with; None if the loss never fell by more than may be chance."""

    def to_csv(self, path: str | Path) -> None:
        """Write a row for each step: rate, loss, smoothed. Raises OutputError if it cannot."""
        rows = zip(self.rates, self.losses, self.smoothed, strict=True)
        write_text(path, "rate,loss,smoothed\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))

    def __str__(self) -> str:
        said = (
            "no suggestion: the loss never fell by more than it differs between batches;\n"
            "lower `lowest` if the loss moves at once, raise `highest` if it stays flat,\n"
            "take more steps or a larger batch_size if it only flickers"
        )
        if self.suggestion is not None:
            said = f"suggested lr {self.suggestion:.3g}"
            if self.smoothed[-1] == min(self.smoothed):
                said += "\nthe loss still fell at the last rate: raise `highest`"
        return f"{said}\n\n{self._curve()}"

    def _curve(self) -> str:
        """Smoothed loss over the logarithm of the rate; a rise far above the start is cut off."""
        low, top = min(self.smoothed), max(self.smoothed)
        if self.suggestion is not None:
            before = self.smoothed[: self.smoothed.index(low) + 1]
            top = min(top, low + 1.2 * (max(before) - low))
        grid = [[" "] * COLUMNS for _ in range(ROWS)]
        for rate, y in zip(self.rates, self.smoothed, strict=True):
            depth = (top - min(y, top)) / ((top - low) or 1.0)
            grid[round((ROWS - 1) * depth)][self._column(rate)] = "*"
        labels = [f"{top:.3g}", *[""] * (ROWS - 2), f"{low:.3g}"]
        lines = [f"{a:>9} |{''.join(b)}".rstrip() for a, b in zip(labels, grid, strict=True)]
        axis = ["-"] * COLUMNS
        if self.suggestion is not None:
            axis[self._column(self.suggestion)] = "^"
        first, last = f"{self.rates[0]:.3g}", f"{self.rates[-1]:.3g}"
        under = f"{'loss':>9}  {first}{'lr':^{COLUMNS - len(first) - len(last)}}{last}"
        return "\n".join([*lines, f"{'':>9} +{''.join(axis)}", under])

    def _column(self, rate: float) -> int:
        share = math.log(rate / self.rates[0]) / math.log(self.rates[-1] / self.rates[0])
        return round((COLUMNS - 1) * share)


def find_lr(
    network: Network,
    train: Data,
    optimizer: str | Optimizer = "sgd",
    *,
    lowest: float | None = None,
    highest: float | None = None,
    steps: int | None = None,
    **options: Any,
) -> RangeTest:
    """The learning-rate range test: training in which the rate grows from step to step.

    lr_k = lowest (highest / lowest)^(k / (steps - 1)), k = 0, 1, ... The suggestion is the first
    rate at which 0.7 of the fall of the smoothed loss to its lowest value is done. The test ends
    early if the loss is not finite, or far above its lowest value.

    optimizer: a name or an Optimizer.
    lowest, highest, steps: rates above 0 and a number from 20; by default those of `plan_rates`.
    options: those of a Trainer, whose first batches these are, epoch after epoch, and the
        optimizer's.

    Copies of `network` and `optimizer` are trained, from where both are; they stay as they are. The
    same arguments give the same bits.

    The suggestion is a place to start from, for training that is not much longer than the test. The
    test cannot see what diverges only after many steps: for lars and lamb, whose steps grow with
    the weights, take a tenth of the suggestion.

    >>> found = find_lr(network, train, "adam")
    >>> print(found)
    >>> trainer = Trainer(network, train, optimizer="adam", lr=found.suggestion)

    Raises ParameterError for an option out of its range, for an optimizer that needs all samples at
    once, and if training diverges within 10 steps; DivergenceError if the loss is not finite before
    the first step; and what the Trainer raises. Smith 2015 (arXiv:1506.01186), section 3.3, where
    the rate grows linearly and is read off by eye. Growth by a factor, smoothing and the early end
    are those of the library fastai.
    """
    training = {name: options.pop(name) for name in TRAINER if name in options}
    for name in DECIDED:
        if name in training:
            raise ParameterError(f"find_lr chooses the rate of every step; leave {name} out")
    chosen = make_optimizer(optimizer, **options)
    rates = plan_rates(chosen, lowest, highest, steps)
    window = _window(rates)
    losses: list[float] = []
    smoothed: list[float] = []

    def record(step: int, loss: float) -> None:
        losses.append(loss)
        share = 1 / window / (1 - (1 - 1 / window) ** step)  # 1 at first, 1 / window in the end
        smoothed.append((1 - share) * (smoothed or [0.0])[-1] + share * loss)
        if step == len(rates) or _is_beyond(losses, smoothed, window):
            raise _Over
        trainer.lr = rates[step]

    trainer = make_trial(
        network.copy(),
        train,
        None,
        chosen,
        rates[0],
        on_step=record,
        **training,
    )
    try:
        list(trainer.run(-(-len(rates) // len(trainer.batches))))
    except _Over:
        pass
    except DivergenceError as error:
        if not losses:  # no rate has been tried yet, so none is to blame
            raise
        if len(losses) < FEWEST // 2:
            raise ParameterError(
                f"lowest must be a rate at which training survives {FEWEST // 2} steps, with "
                f"{rates[0]:.3g} it diverged at step {len(losses) + 1}; lower it"
            ) from error
    made = rates[: len(losses)]
    return RangeTest(made, tuple(losses), tuple(smoothed), _suggest(made, losses, smoothed, window))


show_options(find_lr, {name: TRAINER[name] for name in TRAINER if name not in DECIDED})


def plan_rates(
    optimizer: str | Optimizer,
    lowest: float | None = None,
    highest: float | None = None,
    steps: int | None = None,
) -> tuple[float, ...]:
    """The rates that `find_lr` goes through, from lowest to highest, growing by one factor.

    By default from a thousandth of the optimizer's own rate to 10,000 times that, in 30 steps for
    each power of ten, at least 20. Raises ParameterError as `find_lr` does.
    """
    chosen = make_optimizer(optimizer)
    if chosen.full_batch:
        raise ParameterError(
            "optimizer must be one that steps at a rate by the gradient of a batch, got "
            f"{chosen!r}, which means all samples and finds its own steps; it needs no range test"
        )
    low = check_above_zero("lowest", BELOW * chosen.lr if lowest is None else lowest)
    high = check_above_zero("highest", ABOVE * chosen.lr if highest is None else highest)
    if not low < high:
        raise ParameterError(f"highest must be above lowest, {low:g}, got {high:g}; choose others")
    if steps is None:
        steps = max(FEWEST, round(PER_TENFOLD * math.log10(high / low)))
    return tuple(np.geomspace(low, high, check_integer("steps", steps, FEWEST)).tolist())


class _Over(Exception):
    """Leaves the Trainer's loop: the test is over."""


def _window(rates: Sequence[float]) -> int:
    """Over how many steps to smooth: a third of a power of ten, at most a quarter of all."""
    tenfold = (len(rates) - 1) / math.log10(rates[-1] / rates[0])
    return max(1, round(min(tenfold / 3, len(rates) / 4)))


def _is_beyond(losses: Sequence[float], smoothed: Sequence[float], window: int) -> bool:
    """Whether the loss is far above its lowest value, measured by this and by the fall to it."""
    if len(smoothed) <= window:  # the means of a few batches say little
        return False
    start, lowest = sum(losses[:window]) / window, min(smoothed)
    return smoothed[-1] - lowest > BEYOND * max(abs(lowest), start - lowest)


def _suggest(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], window: int
) -> float | None:
    """The first rate with SHARE of the fall behind it; None where that may be chance.

    The fall counts from the lowest of the first means, which is no higher where the loss shoots up
    at once. A smoothed loss varies by that of a batch / sqrt(2 window - 1).
    """
    if len(smoothed) <= window:
        return None
    start, lowest = min(smoothed[:window]), min(smoothed)
    spread = float(np.median(np.abs(np.diff(losses)))) / math.sqrt(2 * window - 1)
    if start - lowest <= max(CHANCE * spread, ROUNDING * abs(start)):
        return None
    wanted = start - SHARE * (start - lowest)
    return next(rate for rate, y in zip(rates, smoothed, strict=True) if y <= wanted)
