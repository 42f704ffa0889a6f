"""How many threads BLAS uses in training."""

import math

from scratchnet.checks import check_integer, check_word
from scratchnet.environment import processors
from scratchnet.networks import Network

PRODUCTS_A_THREAD = 1 << 25
"""Multiplications of one matrix product that a further thread of BLAS must have to pay."""


def choose_threads(
    threads: int | str | None, network: Network, batch_size: int, ranks: int
) -> int | None:
    """The number of threads that the Trainer's option `threads` means; None sets no number.

    "auto" is what `suggest_threads` says, or 1 if ranks share the processors. Raises
    ParameterError for another word, or a number below 1.
    """
    if isinstance(threads, str):
        check_word("threads", threads, ("auto",))
        return suggest_threads(network, batch_size) if ranks == 1 else 1
    return None if threads is None else check_integer("threads", threads, 1)


def suggest_threads(network: Network, batch_size: int) -> int:
    """One thread for each 2^25 multiplications of the largest matrix product of a batch.

    A product of x (B, n) and W (n, m) takes B n m multiplications. A thread with fewer than 2^25
    of them spends much of its time waiting for the others. The result is at least 1, and at most
    the number of processors. It depends on sizes and not on timings, because the last bits of
    results depend on the number of threads.
    """
    largest = max(
        (math.prod(shape) for layer in network.all_layers for shape in layer.shapes.values()),
        default=0,
    )
    return max(1, min(batch_size * largest // PRODUCTS_A_THREAD, processors()))
