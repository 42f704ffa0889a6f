"""How ranks share a batch: the rows that each takes, and the sums over all of them.

One process is a special case, `Alone`: rank 0 of 1.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scratchnet.data import Batches
from scratchnet.environment import describe
from scratchnet.errors import ParameterError
from scratchnet.layers import Layer
from scratchnet.networks import Network
from scratchnet.parallel.ranks import Alone, Parallel, Shard, fingerprint
from scratchnet.parameters import Array

__all__ = [
    "Alone",
    "Batch",
    "check_alike",
    "check_start",
    "gather",
    "sum_ranks",
    "tracks_statistics",
]


class Batch(NamedTuple):
    """The rows of one step that this process handles."""

    x: Array
    """Inputs (n, D), already scaled."""
    t: Array
    """Targets: labels (n,), or values (n, K)."""
    w: Array | None = None
    """How much each row counts in the loss (n,); None if all count alike."""
    shard: Shard | None = None
    """Which rows of a shared batch these are; None if they are all of it."""

    @property
    def share(self) -> float:
        """The share of the rows of the batch that these are, 1 for all of them."""
        return 1.0 if self.shard is None else self.shard.share


def gather(batches: Batches, index: npt.NDArray[np.intp], ranks: Parallel) -> Batch:
    """The samples `index` of a batch, or those of them that are this rank's."""
    shard = ranks.shard(len(index))
    if shard is None:
        return Batch(*batches.gather(index), batches.weights(index))
    own = index[shard.rows]
    x, t = batches.gather(own if len(own) else index[:1])
    return Batch(x[: len(own)], t[: len(own)], batches.weights(own), shard)


def sum_ranks(
    network: Network, batch: Batch, loss: float, right: int, ranks: Parallel
) -> tuple[float, int]:
    """Mean loss and correct rows of the whole batch; its gradient is in the network then.

    Before, `loss`, `right` and the gradient are those of this rank's rows.
    """
    shard = batch.shard
    if shard is None:
        return loss, right
    ranks.all_reduce(network.gradient_vector)
    sums = np.array([shard.share * loss, right])
    ranks.all_reduce(sums)
    if shard.all_reduce is None and tracks_statistics(network):
        _average_statistics(network, len(batch.x), ranks)
    return float(sums[0]), int(sums[1])


def _average_statistics(network: Network, n: int, ranks: Parallel) -> None:
    """The mean over all rows of the statistics that each rank has measured on its own n.

    A single row has no variance: a rank with one row has measured nothing.
    """
    weight = n if n > 1 else 0
    total = np.array([float(weight)])
    ranks.all_reduce(total)
    for layer in network.all_layers if total[0] else ():
        for array in layer.statistics.values() if layer.tracks_statistics else ():
            array *= weight
            ranks.all_reduce(array)
            array /= total[0]


def tracks_statistics(network: Network) -> bool:
    """Whether any layer measures batches, as batch normalization does."""
    return any(layer.tracks_statistics for layer in network.all_layers)


def check_start(
    ranks: Parallel, network: Network, batch_size: int, settings: dict[str, Any]
) -> None:
    """Raise ParameterError if the ranks cannot share batches, or do not start alike."""
    if ranks.size > batch_size:
        raise ParameterError(
            f"each rank needs a row of a batch, got {ranks.size} ranks for batches of "
            f"{batch_size}; start fewer ranks, or take larger batches"
        )
    if tracks_statistics(network) and ranks.batch_stats == "rank" and batch_size < 2 * ranks.size:
        raise ParameterError(
            "statistics of each rank's rows need two rows a rank, got batches of "
            f"{batch_size} for {ranks.size} ranks; take larger batches, or batch_stats='all'"
        )
    about = describe()
    ranks.check_equal(
        {
            **settings,
            "layers": [_options(layer) for layer in network.all_layers],
            "loss": repr(network.loss_layer),
            "l2": network.l2,
            "dtype": network.dtype,
            "starting weights": fingerprint(network.state_vector),
            "version of NumPy": about["numpy"],
            # Other kernels round differently, and so would clipping and penalties.
            "BLAS": [(pool["version"], pool["architecture"]) for pool in about["blas"]],
        }
    )


def check_alike(ranks: Parallel, network: Network, name: str, *values: int) -> None:
    """Raise ParameterError unless weights and `values` are the same on all ranks."""
    if ranks.size > 1:
        found: Any = fingerprint(network.state_vector)
        ranks.check_equal({name: [*values, found] if values else found})


def _options(layer: Layer) -> dict[str, Any]:
    """The kind of the layer, and those of its options that are plain values."""
    plain = {k: v for k, v in vars(layer).items() if isinstance(v, bool | int | float | str)}
    return {"class": type(layer).__name__, **plain}
