"""Intervals of means, and paired tests corrected for how many there are."""

import math
from collections.abc import Sequence

import numpy as np

FEWEST_SEEDS = 3
"""Below it a test of a difference says nothing: two gaps may be alike by chance."""
LEVEL = 0.05
"""A difference is shown if its p, corrected for how many there are, is below this."""


def half_interval(values: Sequence[float]) -> float | None:
    """Half the width of the 95 % interval of the mean, by Student's t; None for fewer than two."""
    if len(values) < 2:
        return None
    from scipy.stats import t

    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return float(t.ppf(0.975, len(values) - 1)) * error


def paired_p(gaps: Sequence[float], resolution: float = 0.0) -> float:
    """p of the paired t-test that the mean gap is 0; 1 below three gaps, or if all are 0.

    Gaps are differences of two values rounded to multiples of `resolution`, so their variance is
    at least resolution^2 / 6: a few equal gaps must not count as certainty.
    """
    if len(gaps) < FEWEST_SEEDS or not np.any(gaps):
        return 1.0
    from scipy.stats import t

    variance = max(float(np.var(gaps, ddof=1)), resolution**2 / 6)
    error = math.sqrt(variance / len(gaps))
    if not error:
        return 0.0
    return 2.0 * float(t.sf(abs(float(np.mean(gaps))) / error, len(gaps) - 1))


def holm(p: Sequence[float]) -> list[float]:
    """Each p corrected for how many there are: the k-th smallest of m times m - k + 1, rising."""
    corrected, largest = [1.0] * len(p), 0.0
    for rank, k in enumerate(sorted(range(len(p)), key=lambda k: p[k])):
        largest = max(largest, min(1.0, p[k] * (len(p) - rank)))
        corrected[k] = largest
    return corrected
