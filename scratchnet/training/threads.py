"""How many threads train, and whether they are those of BLAS or share each batch."""

import os

from scratchnet.checks import check_integer, check_word
from scratchnet.environment import processors
from scratchnet.networks import Network

PRODUCTS_A_THREAD = 1 << 25
"""Multiplications of one matrix product that a further thread of BLAS must have to pay."""


PART = 1 << 24
"""Multiplications of a pass through a network that a thread must have to share its batches."""

STEP = 1 << 21
"""Multiplications of a step that a thread of a program must have, as each waits for the others."""


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
    """The number of threads that pay for batches of this size.

    A dense network has one thread of BLAS for each 2^25 multiplications of the largest matrix
    product of a batch: x (B, n) times W (n, m) takes B n m. A thread with fewer than that spends
    much of its time waiting for the others. A network of images has one for each 2^24
    multiplications of a pass, and two rows. The result is at least 1, and at most the number of
    processors. It depends on sizes and not on timings, because the last bits of results depend on
    the number of threads.
    """
    sizes = [layer.multiplications() for layer in network.all_layers]
    if network.takes_images:
        most = min(batch_size * sum(sizes) // PART, batch_size // 2)
    else:
        most = batch_size * max(sizes, default=0) // PRODUCTS_A_THREAD
    return max(1, min(most, processors()))


def count_parts(threads: int | None, network: Network, ranks: int) -> int:
    """In how many parts each batch is trained with: threads of BLAS lose on small products."""
    if threads is None or ranks > 1 or not network.takes_images:
        return 1
    return min(threads, os.cpu_count() or 1)  # as `limit_threads` has it


def share_program(threads: int | None, network: Network, batch_size: int) -> int:
    """How many of so many threads share the steps that are made many in one call."""
    step = 3 * batch_size * sum(layer.multiplications() for layer in network.all_layers)
    return 1 if threads is None else max(1, min(threads, step // STEP, os.cpu_count() or 1))
