"""One network in the place of members that are averaged: for files, exports and other languages."""

import numpy as np
import numpy.typing as npt

from scratchnet.layers import Affine, MemberAffine, MemberLoss, QuantileLoss
from scratchnet.networks.network import Network


def average_members(
    network: Network, moments: tuple[npt.ArrayLike, npt.ArrayLike] = (0.0, 1.0)
) -> Network:
    """The network of plain layers that predicts what the members of another predict on average.

    The mean of affine maps is affine: the last layer becomes an `Affine` of all members' values,
    and everything before it stays. `moments` are mean and standard deviation (K,) of the targets
    that the members were trained on (t - mean) / std of: so predictions have the units of t.
    A network without a `MemberLoss` is copied as it is.
    """
    copied = network.copy()
    loss, last = copied.loss_layer, copied.layers[-1]
    if not isinstance(loss, MemberLoss):
        return copied
    if isinstance(last, MemberAffine):
        W, b = last.mean()
    elif isinstance(last, Affine):  # of networks without hidden layers
        W = last.params["W"].reshape(len(last.params["W"]), loss.members, -1).mean(axis=1)
        b = last.params["b"].reshape(loss.members, -1).mean(axis=0)
    else:
        raise TypeError(f"the last layer of members must be affine, got {last!r}")
    mean, std = np.asarray(moments[0]), np.asarray(moments[1])
    own = loss.loss
    if isinstance(own, QuantileLoss):
        own.center = float(mean.item() + (own.center or 0.0) * std.item())
        own.scale = float((own.scale or 1.0) * std.item())
        mean, std = np.zeros(1), np.ones(1)
    affine = Affine(*W.shape, dtype=network.dtype)
    affine.params["W"], affine.params["b"] = W * std, b * std + mean
    made = Network(
        [*copied.layers[:-1], affine],
        own,
        l2=network.l2,
        dtype=network.dtype,
        input_shape=network.input_shape,
    )
    made.preparation = network.preparation
    return made
