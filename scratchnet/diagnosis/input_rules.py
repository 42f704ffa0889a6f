"""Faults in the inputs and targets that a network is trained on: scales and outliers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scratchnet.diagnosis.case import (
    map_inputs,
    shrunk,
    standardized,
    with_standard_targets,
)
from scratchnet.diagnosis.evidence import FREE, Evidence
from scratchnet.diagnosis.rule import Cure, CureRule, Picture, Words
from scratchnet.diagnosis.signals import FAR, FAR_SHARE, OUTSIZE, OUTSIZE_SHARE

STANDARD = "make_pipeline(StandardScaler(), estimator)"


class OutsizeColumn(CureRule):
    """One column, or a few, far larger than all others."""

    name = "outsize column"
    signal = (
        f"up to {100 * OUTSIZE_SHARE:g} % of the columns are over {OUTSIZE:g} times as large as "
        "the largest of the others"
    )
    source = "LeCun et al. 1998, Efficient BackProp, section 4.3 (inputs of one scale)"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether the sizes of columns have a gap at their top."""
        columns = evidence.outsize
        if evidence.takes_categories or not len(columns):
            return None
        rest = np.delete(evidence.sizes, columns).max()
        which = ", ".join(map(str, sorted(columns.tolist())[:5]))
        return (
            f"column {which} has a root mean square of {evidence.sizes[columns].max():.3g}, the "
            f"largest of the others {rest:.3g}"
        )

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """Divide these columns alone."""
        columns = evidence.outsize
        usual = np.median(np.delete(evidence.sizes, columns)) or 1.0
        yield Cure(
            "these columns brought to the size of the others",
            shrunk(evidence.case, columns, evidence.sizes[columns] / usual),
            Words("--standardize features", 'MultiLayerNet(..., standardize="features")', STANDARD),
        )

    def pictures(self, evidence: Evidence) -> tuple[Picture, ...]:
        """The sizes of columns."""
        return (_sizes(evidence),)


class OutlierSamples(CureRule):
    """A few samples whose inputs are far larger than those of all others."""

    name = "outlier samples"
    signal = (
        f"up to {100 * FAR_SHARE:g} % of the samples reach {FAR:g} times as far as the median one"
    )
    source = "Hastie, Tibshirani and Friedman 2009, section 10.6"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether there are such samples."""
        if evidence.takes_categories:
            return None
        reach, far = evidence.reach, evidence.far
        if not far.any():
            return None
        usual = float(np.median(reach))
        return (
            f"{far.sum()} of {len(reach)} samples reach up to {reach.max():.3g}, the median one "
            f"{usual:.3g}"
        )

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """Clip the inputs where all others are."""
        most = float(np.abs(evidence.x[~evidence.far]).max())
        yield Cure(
            f"inputs clipped to {most:.3g}",
            map_inputs(evidence.case, lambda x: np.clip(x, -most, most)),
            Words("", f"x = np.clip(x, -{most:.3g}, {most:.3g})", "RobustScaler before it"),
        )


class UnscaledInputs(CureRule):
    """Inputs that are far too large, too small, off 0, or of many scales."""

    name = "inputs unscaled"
    largest, smallest, spread = 1.5, 0.03, 100.0
    signal = (
        f"the root mean square of the inputs is above {largest} or below {smallest}, or the sizes "
        f"of columns differ by a factor of {spread:g}"
    )
    source = "LeCun et al. 1998, Efficient BackProp, section 4.3"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether the scale is out of the range."""
        if evidence.takes_categories:
            return None
        usual = ~evidence.constant
        usual[evidence.outsize] = False  # they have a rule of their own, as far samples have
        sizes = np.sqrt(np.square(evidence.x[~evidence.far]).mean(axis=0))[usual]
        size = float(np.sqrt(np.square(sizes).mean())) if len(sizes) else 1.0
        if not self.smallest <= size <= self.largest:
            return f"the root mean square of the inputs is {size:.3g}"
        low, high = np.quantile(sizes, [0.1, 0.9]) if len(sizes) else (1.0, 1.0)
        if high > self.spread * low and not evidence.case.network.takes_images:
            return f"the sizes of columns go from {low:.3g} to {high:.3g}"
        return None

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """Standardize, all together and each column by itself."""
        for over in ("all", "features"):
            yield Cure(
                f"inputs standardized over {over}",
                standardized(evidence.case, over=over, clip=np.inf),
                Words(
                    f"--standardize {over}",
                    f'MultiLayerNet(..., standardize="{over}")',
                    STANDARD,
                ),
            )

    def pictures(self, evidence: Evidence) -> tuple[Picture, ...]:
        """The sizes of columns."""
        return (_sizes(evidence),)


class UnscaledTargets(CureRule):
    """Target values far from mean 0 and variance 1."""

    name = "targets unscaled"
    largest, smallest = 10.0, 0.1
    signal = (
        f"the mean or the spread of target values is above {largest:g}, or their spread below "
        f"{smallest}"
    )
    source = "LeCun et al. 1998, Efficient BackProp, section 4.5"

    def suspect(self, evidence: Evidence) -> str | None:
        """Whether values of a mean squared error are out of the range."""
        t, loss = evidence.case.train.t, evidence.case.network.loss_layer
        if evidence.classes or t.dtype.kind != "f" or type(loss) not in FREE:
            return None
        mean, std = float(np.abs(t.mean(axis=0)).max()), float(t.std(axis=0).max())
        if max(mean, std) <= self.largest and std >= self.smallest:
            return None
        return f"target values have a mean of {mean:.3g} and a standard deviation of {std:.3g}"

    def cures(self, evidence: Evidence) -> Iterator[Cure]:
        """Standardize them."""
        yield Cure(
            "targets brought to mean 0 and variance 1",
            with_standard_targets(evidence.case),
            Words("", "t = (t - t.mean()) / t.std()", "TransformedTargetRegressor"),
        )


def _sizes(evidence: Evidence) -> Picture:
    sizes = np.sort(evidence.sizes)[::-1]
    if len(sizes) > 200:
        sizes = sizes[np.linspace(0, len(sizes) - 1, 200).astype(int)]
    return Picture(
        "Sizes of the columns, the largest first",
        list(range(1, len(sizes) + 1)),
        [1.0] * len(sizes),
        [max(float(size), 1e-12) for size in sizes],
        "column",
        "root mean square",
        log=True,
    )
