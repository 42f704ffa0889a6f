"""The loss of quantiles: several at once, which never cross, in units that the targets give."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from scratchnet.errors import DtypeError, ParameterError, ShapeError
from scratchnet.functions import sigmoid
from scratchnet.layers.layer import remembered
from scratchnet.layers.softmax import Loss
from scratchnet.parameters import Array


class QuantileLoss(Loss):
    """The pinball loss of `quantiles` a_1 < ... < a_K, each above 0 and below 1, of one target.

    A network has an output y_k for each. The one whose a is nearest to 1/2, number m, is the middle
    q_m = y_m; the others stand at distances from their neighbours that are never negative, so that
    quantiles cannot cross:

        q_k = q_{k-1} + log(1 + exp(y_k)) for k > m,   q_k = q_{k+1} - log(1 + exp(y_k)) for k < m.

    With z = (t - center) / scale: L_n = sum_k max(a_k (z_n - q_nk), (a_k - 1) (z_n - q_nk)), which
    is least where q_k is the a_k-quantile of z (Koenker and Bassett 1978). dL/dq_k = -a_k below z,
    1 - a_k above it; by the chain rule dL/dy_m = sum_k dL/dq_k, and dL/dy_k = s(y_k) times the sum
    of dL/dq_j over j >= k for k > m, -s(y_k) times that over j <= k for k < m, s being the sigmoid.

    `center` and `scale` are the median of the training targets and their mean absolute distance
    from it, taken once by `adapt` unless they are given: so any unit of t is learnt alike, and the
    loss has none. Raises ParameterError for quantiles that do not rise, or a scale not above 0.
    """

    known_labels = ("values",)
    y: Array | None = None  # (N, K)
    d: Array | None = None  # z - q (N, K)

    def __init__(
        self,
        quantiles: Sequence[float] = (0.05, 0.5, 0.95),
        labels: str = "values",
        *,
        center: float | None = None,
        scale: float | None = None,
    ) -> None:
        super().__init__(labels)
        self.quantiles = check_quantiles(quantiles)
        self.middle = int(np.abs(np.array(self.quantiles) - 0.5).argmin())
        if scale is not None and not 0 < scale < np.inf:
            raise ParameterError(f"scale must be a finite number > 0 or None, got {scale!r}")
        self.center, self.scale = center, scale

    def adapt(self, t: Array, n_outputs: int) -> None:
        """Take center and scale from the targets t (N, 1), unless they have been taken before."""
        if self.center is None:
            self.center = float(np.median(t))
        if self.scale is None:
            self.scale = float(np.abs(t - self.center).mean()) or 1.0

    def check_targets(self, t: npt.ArrayLike, n_rows: int, n_outputs: int) -> Array:
        """`t` (N, 1) checked; raises ShapeError or DtypeError where it or K do not fit."""
        t = np.asarray(t)
        if t.dtype.kind not in "biuf":
            raise DtypeError(f"targets must be numbers, got dtype {t.dtype}")
        if n_outputs != len(self.quantiles) or t.shape != (n_rows, 1):
            raise ShapeError(
                f"{len(self.quantiles)} quantiles need as many outputs and targets of the shape "
                f"({n_rows}, 1), got {n_outputs} outputs and targets {t.shape}"
            )
        if not np.isfinite(t).all():
            raise ShapeError("targets must be finite numbers; drop the rows of those that are not")
        return t

    def _ordered(self, y: Array) -> Array:
        """q (N, K) for the outputs y (N, K)."""
        m = self.middle
        q = np.logaddexp(0, y)  # log(1 + exp(y)), which cannot overflow
        q[:, :m] *= -1
        q[:, m] = y[:, m]
        np.cumsum(q[:, m:], axis=1, out=q[:, m:])
        q[:, m::-1] = np.cumsum(q[:, m::-1], axis=1)
        return np.asarray(q)

    def predictions(self, y: Array) -> Array:
        """The quantiles (N, K) in the unit of the targets, rising along each row."""
        q = self._ordered(y)
        q *= self.scale or 1.0
        q += self.center or 0.0
        return q

    def per_sample_loss(self, y: Array, t: Array) -> Array:
        """sum_k max(a_k (z - q_k), (a_k - 1) (z - q_k)) (N,)."""
        z = ((t - (self.center or 0.0)) / (self.scale or 1.0)).astype(y.dtype)
        a = np.array(self.quantiles)
        self.y, self.d = y, z - self._ordered(y)
        return np.asarray(np.maximum(a * self.d, (a - 1) * self.d).sum(axis=1, dtype=np.float64))

    def per_sample_gradient(self) -> Array:
        """dL_n/dy (N, K)."""
        y, m = remembered(self.y), self.middle
        g = ((remembered(self.d) < 0) - np.array(self.quantiles)).astype(y.dtype)  # dL/dq
        dy = sigmoid(y)
        above = np.cumsum(g[:, ::-1], axis=1)[:, ::-1]  # of j >= k
        below = np.cumsum(g, axis=1)  # of j <= k
        dy[:, m + 1 :] *= above[:, m + 1 :]
        dy[:, :m] *= -below[:, :m]
        dy[:, m] = below[:, -1]
        return dy

    def count_correct(self) -> int:
        """How many targets of the last `forward` lie between the lowest and highest quantile."""
        d = remembered(self.d)
        return int(np.count_nonzero((d[:, 0] >= 0) & (d[:, -1] <= 0)))

    def config(self) -> dict[str, Any]:
        """The options that make a loss like this one, center and scale as they were measured."""
        return {
            **super().config(),
            "quantiles": list(self.quantiles),
            "center": self.center,
            "scale": self.scale,
        }


def check_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    """The quantiles as a tuple; raises ParameterError unless they rise from above 0 to below 1."""
    try:
        given = tuple(float(a) for a in quantiles)
    except (TypeError, ValueError):
        given = ()
    edges = (0.0, *given, 1.0)
    if not given or not all(a < b for a, b in pairwise(edges)):
        raise ParameterError(
            "quantiles must be numbers that rise from above 0 to below 1, for example "
            f"(0.05, 0.5, 0.95), got {quantiles!r}"
        )
    return given
