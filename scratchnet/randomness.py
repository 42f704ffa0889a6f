"""Every random number comes from the run's seed, through one stream for each purpose.

A stream depends on nothing but (seed, purpose, index): drawing more in one place, or in another
order, changes nothing elsewhere, and there is no state that a resumed run could have lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from scratchnet.checks import check_integer

PURPOSES: Mapping[str, int] = MappingProxyType(
    {"initialize": 0, "shuffle": 1, "split": 2, "noise": 3, "augment": 4, "doctor": 5}
)
"""The purposes of streams; the numbers are part of every result, so they never change."""


def generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """The Generator of `seed` for one of PURPOSES, and where there are several, their `index`.

    Raises ParameterError unless seed is an integer >= 0; it may be larger than 64 bits.
    """
    return np.random.Generator(_bits(seed, purpose, *index))


def permutation(n: int, seed: int, purpose: str, *index: int) -> npt.NDArray[np.intp]:
    """0..n-1 in an order drawn for (seed, purpose, index): n raw 64-bit words, ranked.

    Raw words, because NumPy promises to keep those of PCG64 the same in every version, and does
    not promise it of the methods of Generator. Raises ParameterError as `generator` does.
    """
    return _rank(_bits(seed, purpose, *index).random_raw(n))


MANY = 4096
"""From so many words on, four passes by 16 bits are quicker than one sort."""


def _rank(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """The order that sorts `words`: by their last 16 bits, then stably by the 16 before, and so on.

    NumPy sorts 16 bits by counting, in a time that grows with n alone. It is the order of argsort.
    """
    if len(words) < MANY:
        return np.argsort(words)
    order = np.argsort(words.astype(np.uint16), kind="stable")
    for shift in (16, 32, 48):
        digits = (words >> np.uint64(shift)).astype(np.uint16)
        order = order[np.argsort(digits[order], kind="stable")]
    return order


def _bits(seed: int, purpose: str, *index: int) -> np.random.PCG64:
    key = (PURPOSES[purpose], *index)
    return np.random.PCG64(np.random.SeedSequence(check_integer("seed", seed, 0), spawn_key=key))
