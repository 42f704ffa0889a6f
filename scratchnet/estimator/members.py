"""Estimators that are several networks, members, of which each holds out other rows.

All are trained at once, on the same batches; what they give is averaged. A row that a member holds
out counts nothing in its training, and says how well it predicts. So nearly every row teaches, and
what is said of held-out rows comes from more of them than one network could spare.
"""

from typing import Any

import numpy as np

from scratchnet.data import Samples
from scratchnet.estimator.constraints import ArgumentError
from scratchnet.estimator.intake import Taken
from scratchnet.estimator.stacked import Stacked
from scratchnet.layers import Affine, Layer, Loss, MemberAffine, MemberLoss
from scratchnet.networks import MultiLayerNet
from scratchnet.parameters import Array
from scratchnet.randomness import permutation

GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, without their whole part, are spread evenly, however many there are."""


class OfMembers(Stacked):
    """An estimator of `members` networks side by side."""

    members: int
    _shares: Array | None = None
    """How much each member counts for the rows that are predicted (N, M); None for all alike."""

    def _side_by_side(self, n_in: int, hidden: list[int], options: dict[str, Any]) -> list[Layer]:
        """The layers of all members, in front of which all have the same n_in values."""
        if self.members > 1 and options["layer_norm"]:
            raise ArgumentError("layer_norm would join the members of a layer; give members=1")
        n_outputs = super()._n_network_outputs()
        # Its layers alone are taken: they move into the memory of another network.
        return list(_SideBySide(self.members, n_in, hidden, n_outputs, **options).layers)

    def _n_network_outputs(self) -> int:
        return self.members * super()._n_network_outputs()

    def _n_losses(self) -> int:
        return self.members

    # What each is trained on.

    def _take_in(self, *given: Any, **more: Any) -> Taken:
        """The samples, with targets that say in which member's training they count."""
        taken = super()._take_in(*given, **more)
        train, validation = taken.train.samples, taken.validation
        held = np.zeros((len(train), self.members), np.bool_)
        if validation is train:
            held = self._rows_held_out(train)
            rows = np.flatnonzero(held.any(axis=1))
            if held.any(axis=0).all() and len(rows) >= self._least_held_out:
                those = held[rows] * (self.members / held[rows].sum(axis=1, keepdims=True))
                validation = self._joined(_some_of(train, rows), those)
            else:  # too few: all are trained on
                held[:], validation = False, None
        elif validation is not None:
            validation = self._joined(validation, np.ones((len(validation), self.members)))
        shares = ~held / np.mean(~held, axis=0)
        merged = taken.train._replace(samples=self._joined(train, shares))
        return taken._replace(train=merged, validation=validation)

    def _split(self, samples: Samples) -> tuple[Samples, Samples]:
        """All samples twice: each is held out by some members, and trained on by the others."""
        return samples, samples

    def _rows_held_out(self, samples: Samples) -> Array:
        """Which rows each member holds out (N, M): of every class the same share."""
        n = len(samples)
        order = permutation(n, self._seed, "split")
        if samples.t.ndim == 1:
            order = order[np.argsort(samples.t[order], kind="stable")]
        place = np.empty(n)
        place[order] = np.arange(n) * GOLDEN % 1
        starts = np.arange(self.members) / self.members
        held = (place[:, np.newaxis] - starts) % 1 < self.validation_fraction
        if samples.t.ndim == 1:  # what a member is to know it must be shown
            for label in np.unique(samples.t):
                rows = np.flatnonzero(samples.t == label)
                held[rows[0], held[rows].all(axis=0)] = False
        return np.asarray(held & ~held.all(axis=0))

    def _joined(self, samples: Samples, shares: Array) -> Samples:
        """The samples with shares (N, M) of members in their targets."""
        t = MemberLoss(self._new_loss(), self.members).join(shares, samples.t)
        return Samples.checked(samples.x, t, samples.scale, samples.weights)

    def _targets_of(self, samples: Samples) -> Array:
        return self._loss_of_members.split(samples.t)[1]

    def _held_out(self, validation: Samples) -> tuple[Any, Array]:
        plain = self._for_prepared_rows()
        plain._shares, t = self._loss_of_members.split(validation.t)
        return plain, t

    # What they give.

    @property
    def _loss_of_members(self) -> MemberLoss:
        loss = self._network.loss_layer
        if not isinstance(loss, MemberLoss):
            raise ValueError(f"the loss of members must be a MemberLoss, got {loss!r}")
        return loss

    @property
    def _loss(self) -> Loss:
        return self._loss_of_members.loss

    def _outputs(self, X: Any) -> Array:
        """The mean of what the members give for X (N, D), (N, K)."""
        # A row alone would be summed up in another order, and differ in its last digits.
        rows = np.repeat(X, 2, axis=0) if X.shape[0] == 1 else X
        found = super()._outputs(rows)[: X.shape[0]]
        of_members = found.reshape(len(found), self._loss_of_members.members, -1)
        if self._shares is None:
            return np.asarray(of_members.mean(axis=1))
        weights = self._shares / self._shares.sum(axis=1, keepdims=True)
        return np.asarray(np.einsum("nmk,nm->nk", of_members, weights.astype(of_members.dtype)))


class _SideBySide(MultiLayerNet):
    """Members of these sizes; behind the first affine layer each has its own values."""

    def __init__(
        self, members: int, n_in: int, hidden: list[int], n_out: int, **options: Any
    ) -> None:
        self.members = members
        super().__init__(n_in, [members * n for n in hidden], members * n_out, **options)

    def _affine(self, k: int, n_in: int, n_out: int, **options: Any) -> Layer:
        if not k:
            return Affine(n_in, n_out, **options)
        return MemberAffine(self.members, n_in // self.members, n_out // self.members, **options)


def _some_of(samples: Samples, rows: Array) -> Samples:
    """Some of the samples, by their numbers."""
    weights = None if samples.weights is None else samples.weights[rows]
    return Samples.checked(samples.x[rows], samples.t[rows], samples.scale, weights)
