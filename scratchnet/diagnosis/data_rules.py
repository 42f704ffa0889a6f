"""Faults in the samples: named by what the references make of them."""

from __future__ import annotations

import numpy as np

from scratchnet.diagnosis.case import Case, aligned_validation, balanced, dense
from scratchnet.diagnosis.evidence import Evidence
from scratchnet.diagnosis.noise import MOSTLY
from scratchnet.diagnosis.outcome import recalls, skill
from scratchnet.diagnosis.rule import Finding, Picture, Rule, Words
from scratchnet.diagnosis.signals import SHIFTED
from scratchnet.networks import Network


class ConstantInputs(Rule):
    """Columns that say nothing, since all samples have the same value there."""

    name = "inputs constant"
    share, perfect = 0.4, 0.97
    signal = (
        f"of the columns {100 * share:g} % are the same for all samples, and no reference reaches "
        f"{perfect}"
    )
    source = "Guyon and Elisseeff 2003"

    def investigate(self, evidence: Evidence) -> Finding | None:
        """Count such columns."""
        if evidence.takes_categories:
            return None
        share = float(evidence.constant.mean())
        if share < self.share or evidence.reference.best > self.perfect:
            return None
        return Finding(
            self.name,
            f"{100 * share:.0f} % of the {len(evidence.constant)} columns are the same for all "
            "samples",
            evidence.reference_name,
            f"{evidence.measure} {evidence.reference.best:.3f}, a guess {evidence.chance:.3f}",
            Words("", "look at x.std(axis=0) where x is read and prepared", ""),
            self.source,
            pictures=(
                Picture(
                    "Spreads of the columns, the largest first",
                    list(range(1, len(evidence.spreads) + 1)),
                    [1.0] * len(evidence.spreads),
                    [float(each) for each in np.sort(evidence.spreads)[::-1]],
                    "column",
                    "standard deviation",
                ),
            ),
        )


class MissingClass(Rule):
    """A class without samples to learn it from."""

    name = "class missing"
    share, of_two = 0.1, 0.005
    signal = f"a class has no training samples, or less than {share} times the median of classes"
    source = "He and Garcia 2009"

    def investigate(self, evidence: Evidence) -> Finding | None:
        """Count the classes."""
        if not evidence.classes:
            return None
        counts = evidence.counts
        usual = float(np.median(counts))
        few = np.flatnonzero(counts < self.share * usual)
        if len(counts) == 2:  # a class that is merely rare is one that the other dominates
            few = np.flatnonzero(counts <= max(2, self.of_two * counts.sum()))
        if not len(few) or len(few) > len(counts) / 2:
            return None
        which = ", ".join(map(str, few[:5]))
        return Finding(
            self.name,
            f"class {which} has {counts[few].max()} of {counts.sum()} training samples, others "
            f"have {usual:.0f}",
            "a count of the labels",
            "a class that is not in the training samples is never predicted",
            Words("", "look at np.bincount(t) where the samples are read and split", ""),
            self.source,
            pictures=(_counts(evidence),),
        )


def _counts(evidence: Evidence) -> Picture:
    counts = evidence.counts
    return Picture(
        "Training samples of each class",
        list(range(len(counts))),
        [float(counts.mean())] * len(counts),
        [float(count) for count in counts],
        "class",
        "samples",
    )


class DominantClass(Rule):
    """A class that has nearly all of the samples."""

    name = "class dominant"
    ratio, lacking = 5.0, 0.05
    signal = (
        f"a class has {ratio:g} times the median of the others, which are recognized less often by "
        f"{lacking}"
    )
    source = "He and Garcia 2009"

    def investigate(self, evidence: Evidence) -> Finding | None:
        """Compare the recalls, and train on balanced samples."""
        if not evidence.classes:
            return None
        counts = evidence.counts
        top = int(counts.argmax())
        others = np.delete(counts, top)
        usual = float(np.median(others)) if len(others) else 0.0
        if len(counts) < 2 or usual == 0 or counts[top] < self.ratio * usual:
            return None
        found = recalls(evidence.base.last, evidence.measured)
        mean = float(np.nanmean(np.delete(found, top)))
        if not found[top] - mean > self.lacking:
            return None
        outcome = evidence.trial("the run with balanced samples", balanced(evidence.case))
        return Finding(
            self.name,
            f"class {top} has {counts[top]} of {counts.sum()} training samples; {found[top]:.2f} "
            f"of it are recognized, of the other classes {mean:.2f}",
            "the classes balanced by repetition",
            f"{evidence.measure} {evidence.base.score:.3f} became {outcome.score:.3f}",
            Words("--class-weight balanced", 'class_weight="balanced"', 'class_weight="balanced"'),
            self.source,
            pictures=(_counts(evidence),),
        )


class PreparedDifferently(Rule):
    """Validation samples that went through another preparation."""

    name = "train and test prepared differently"
    loses = 0.05
    signal = (
        f"held-out training samples are predicted better by {loses}, and inputs differ by "
        f"{SHIFTED:g} standard errors"
    )
    source = "Sculley et al. 2015; Rabanser et al. 2019 (arXiv:1810.11953)"

    def investigate(self, evidence: Evidence) -> Finding | None:
        """Compare both kinds of held-out samples, and bring the inputs to the same moments."""
        case = evidence.case
        if case.validation is None or not evidence.is_shifted:
            return None
        both = ((evidence.base, case), (evidence.reference, evidence.reference_case))
        drops = [self._drop(outcome.network, of) for outcome, of in both]
        inside, outside, after = max(drops, key=lambda drop: drop[0] - drop[1])
        if inside - outside < self.loses:
            return None
        distance, what = evidence.shift
        return Finding(
            self.name,
            f"{what} differ by {distance:.0f} standard errors between training and validation "
            f"inputs; held-out training samples reach {inside:.3f}, validation samples "
            f"{outside:.3f}",
            "validation inputs brought to the mean and spread of the training inputs",
            f"{evidence.measure} {outside:.3f} became {after:.3f}",
            Words("", "prepare both with one Preparation, fitted on training samples", ""),
            self.source,
            pictures=(
                Picture(
                    "Mean of each column",
                    list(range(1, evidence.x.shape[1] + 1)),
                    evidence.x.mean(axis=0).tolist(),
                    dense(case.validation).mean(axis=0).tolist(),
                    "column",
                    "mean",
                ),
            ),
        )

    def _drop(self, network: Network, case: Case) -> tuple[float, float, float]:
        """The skill on samples held out of both parts, and on aligned validation samples."""
        held_out = (case.held, case.validation, aligned_validation(case))
        inside, outside, after = (skill(network, one) for one in held_out if one is not None)
        return inside, outside, after


class WrongValidationLabels(Rule):
    """Validation labels that do not belong to their inputs."""

    name = "validation labels do not fit"
    loses = 0.15
    signal = f"inputs are alike, and held-out training samples are predicted better by {loses}"
    source = "Northcutt et al. 2021 (arXiv:2103.14749)"

    def investigate(self, evidence: Evidence) -> Finding | None:
        """Compare both kinds of held-out samples."""
        case = evidence.case
        if case.validation is None or evidence.is_shifted or not has_enough(evidence):
            return None
        if not evidence.classes:  # R^2 of a few hundred values differs by as much
            return None
        network, prepared = evidence.reference.network, evidence.reference_case
        if prepared.validation is None:
            return None
        inside, outside = skill(network, prepared.held), skill(network, prepared.validation)
        if inside - outside < self.loses:
            return None
        return Finding(
            self.name,
            f"held-out training samples reach {inside:.3f}, validation samples {outside:.3f}, "
            "while their inputs are alike",
            evidence.reference_name,
            "the labels of validation samples do not go with their inputs",
            Words("", "look at validation pictures beside their labels", ""),
            self.source,
            pictures=(
                Picture(
                    "Recall of each class on validation samples",
                    list(range(len(evidence.counts))),
                    np.nan_to_num(recalls(network, prepared.held)).tolist(),
                    np.nan_to_num(recalls(network, prepared.validation)).tolist(),
                    "class",
                    "recall",
                ),
            ),
        )


def has_enough(evidence: Evidence) -> bool:
    """Whether there are enough samples to tell what their labels are like."""
    n = len(evidence.case.train)
    return n >= 15 * len(evidence.counts) and n >= 80


class ShuffledLabels(Rule):
    """Labels that have nothing to do with their inputs."""

    name = "labels shuffled"
    signal = f"of held-out samples {100 * MOSTLY:g} % have random labels, by their ranks"
    source = "Zhang et al. 2017 (arXiv:1611.03530)"
    rivals = ("labels noisy",)
    learnt, of_values = 0.12, 0.03

    def investigate(self, evidence: Evidence) -> Finding | None:
        """Whether anything can be learnt."""
        reached, guess = evidence.reference.score, evidence.chance
        error = 2 * (guess * (1 - guess) / len(evidence.measured)) ** 0.5
        most = guess + max(self.learnt * (1 - guess), error) if evidence.classes else self.of_values
        if evidence.constant.all() or not has_enough(evidence):
            return None
        if evidence.classes:
            if evidence.noise.share < evidence.noise.random:
                return None
        elif reached > most:
            return None
        return Finding(
            self.name,
            f"on held-out samples every reference stays at a guess: {reached:.3f} beside "
            f"{guess:.3f}, while training samples can be learnt by heart "
            f"({evidence.reference.fit:.3f})",
            ", ".join(evidence.references),
            "none of them learns what holds for other samples",
            Words(
                "",
                "look at some samples beside their labels: rows of x and t may be out of step",
                "",
            ),
            self.source,
            recovery=evidence.noise.share if reached > most else 2 * MOSTLY,
            pictures=(_reached(evidence),),
        )


def _reached(evidence: Evidence) -> Picture:
    names = list(evidence.references)
    return Picture(
        "Skill of the references on held-out samples",
        names,
        [0.95] * len(names),
        [evidence.references[name].best for name in names],
        "",
        "skill",
    )


class NoisyLabels(Rule):
    """Some of the labels are those of other samples."""

    name = "labels noisy"
    share, wrong, auc = 0.08, 0.08, 0.64
    many, auc_of_many = 6, 0.8
    signal = (
        f"of held-out samples {100 * share:g} % have random labels, by their ranks among the "
        "predictions"
    )
    source = "Northcutt et al. 2021 (arXiv:1911.00068)"

    def investigate(self, evidence: Evidence) -> Finding | None:
        """Rank the labels."""
        if not evidence.classes or evidence.constant.all() or not has_enough(evidence):
            return None
        noise = evidence.noise
        if noise.wrong < self.wrong or noise.share > noise.partly:
            return None
        classes = len(noise.ranks)
        most = self.auc_of_many if classes >= self.many else self.auc
        if noise.share < self.share or noise.auc > most:
            return None
        return Finding(
            self.name,
            f"of held-out training samples {100 * noise.wrong:.0f} % are predicted otherwise, and "
            "their labels are spread over all classes, unlike mistakes of a network",
            evidence.reference_name,
            f"about {100 * noise.share:.0f} % of the labels are random",
            Words("", "look at the most confident mistakes on training samples", ""),
            self.source,
            recovery=2 * MOSTLY - noise.share,
            pictures=(
                Picture(
                    "Place of the label among the classes, by probability",
                    list(range(1, len(noise.ranks) + 1)),
                    [1.0] + [0.0] * (len(noise.ranks) - 1),
                    noise.ranks.tolist(),
                    "place",
                    "share",
                ),
            ),
        )


class FewSamples(Rule):
    """Too few samples for what there is to be learnt."""

    name = "too few samples"
    by_heart, good, slope, each = 0.97, 0.93, 0.02, 200
    perfect, tiny_each = 0.97, 10
    signal = (
        f"training samples are learnt by heart, held-out ones are not, and half of the samples "
        f"lose {slope} more"
    )
    source = "Hestness et al. 2017 (arXiv:1712.00409)"

    def __init__(self, *, only_tiny: bool = False) -> None:
        self.only_tiny = only_tiny

    def investigate(self, evidence: Evidence) -> Finding | None:
        """Train on half of them; with ten of a class the count is enough."""
        reference = evidence.reference
        n, classes = evidence.case.samples, len(evidence.counts)
        tiny = n < self.tiny_each * classes and reference.best < self.perfect
        if self.only_tiny and not tiny:
            return None
        if not tiny:
            if reference.fit < self.by_heart or reference.best > self.good:
                return None
            slope = reference.best - evidence.halved.best
            if n > self.each * classes or slope < self.slope:
                return None
        return Finding(
            self.name,
            f"the {n} training samples are learnt by heart ({reference.fit:.3f}), held-out ones "
            f"reach {reference.best:.3f}",
            "half of the samples",
            f"{evidence.measure} {reference.best:.3f} became {evidence.halved.best:.3f}: it still "
            "rises with the number of samples",
            Words(
                "--augment shift=2,rotate=10",
                "more samples, or for images make_augmentation",
                "more samples",
            ),
            self.source,
            pictures=(
                Picture(
                    f"{evidence.measure.capitalize()} on held-out samples",
                    ["half of the samples", "all of them"],
                    [0.95, 0.95],
                    [evidence.halved.best, reference.best],
                    "",
                    evidence.measure,
                ),
            ),
        )
