"""What a rule is: it looks for one fault, and names it only when an experiment agrees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from scratchnet.diagnosis.case import Case
from scratchnet.diagnosis.evidence import Evidence
from scratchnet.diagnosis.outcome import Outcome

RECOVERED = 0.5
"""A cure counts if it brings back so much of what is lacking."""
PLENTY = 0.9
"""After a cure that brings back so much no other one of the rule is tried."""
UNSPECIFIC = 4 / 3
"""Without a signal of its own a cure must bring back so many times the least."""


class Words(NamedTuple):
    """A cure as each door spells it; empty where a door has no words for it."""

    flags: str = ""
    """Of the command line."""
    python: str = ""
    """Of the library."""
    argument: str = ""
    """Of the estimators."""


class Cure(NamedTuple):
    """Something to try: the case with one thing changed."""

    what: str
    case: Case
    words: Words


@dataclass(frozen=True)
class Picture:
    """What a rule saw, beside what is healthy: two rows of numbers over the same places."""

    title: str
    places: list[Any]
    healthy: list[float]
    here: list[float]
    x: str = ""
    y: str = ""
    log: bool = False


@dataclass(frozen=True)
class Finding:
    """A fault with a name: what was seen, what was tried, what changed, what to do."""

    name: str
    seen: str
    tried: str
    changed: str
    words: Words
    source: str
    recovery: float = 1.0
    """How much of the skill that was lacking came back; 1 where nothing had to be tried."""
    specific: bool = True
    """Whether a signal of its own speaks for it, beside the experiment."""
    pictures: tuple[Picture, ...] = ()


class Rule(ABC):
    """Looks for one fault.

    A rule about samples writes `investigate`. One about training is a `CureRule`: it says what is
    suspicious, and which cures to try.
    """

    name: ClassVar[str]
    """What the fault is called."""
    signal: ClassVar[str]
    """What is looked at, with its threshold."""
    source: ClassVar[str]
    """Where it is described."""

    rivals: ClassVar[tuple[str, ...]] = ()
    """Faults that are named besides, where they are found, too."""

    @abstractmethod
    def investigate(self, evidence: Evidence) -> Finding | None:
        """The finding, if the fault is there."""


class CureRule(Rule):
    """A fault in how the network is trained: its cure must bring back what is lacking."""

    specific: ClassVar[bool] = True

    @abstractmethod
    def suspect(self, evidence: Evidence) -> str | None:
        """What is suspicious, in a sentence; None if nothing is."""

    @abstractmethod
    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """Cures to try one after the other, until one brings back nearly all."""

    def pictures(self, evidence: Evidence) -> tuple[Picture, ...]:
        """Of the signal; the curves of the experiment come by themselves."""
        return ()

    def investigate(self, evidence: Evidence) -> Finding | None:
        """Try the cures, and report the best if it brings back half of what is lacking."""
        seen = self.suspect(evidence)
        if seen is None:
            return None
        found: tuple[float, Cure, Outcome] | None = None
        for cure in self.cures(evidence):
            outcome = evidence.trial(cure.what, cure.case)
            recovery = (outcome.score - evidence.base.score) / evidence.gap
            if found is None or recovery > found[0]:
                found = recovery, cure, outcome
            if recovery > PLENTY:
                break
        if found is None or found[0] < RECOVERED:
            return None
        least = evidence.margin * (1.0 if self.specific else UNSPECIFIC)
        if found[2].score - evidence.base.score < least:
            return None
        recovery, cure, outcome = found
        return Finding(
            self.name,
            seen,
            cure.what,
            f"{evidence.measure} {evidence.base.score:.3f} became {outcome.score:.3f}",
            cure.words,
            self.source,
            recovery,
            self.specific,
            (*self.pictures(evidence), curves(evidence.base, outcome)),
        )


def curves(base: Outcome, cured: Outcome) -> Picture:
    """The training losses of the run and of the cured one."""
    n = max(len(base.losses), len(cured.losses))
    return Picture(
        "Training loss",
        list(range(1, n + 1)),
        list(cured.losses),
        list(base.losses),
        "epoch",
        "loss",
        log=True,
    )
