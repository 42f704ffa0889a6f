"""Whether a fit has learnt anything, and if not, why, in the words of the estimator's arguments."""

from typing import Any

import numpy as np

from scratchnet.checks import is_sparse
from scratchnet.data import Samples
from scratchnet.errors import DivergenceError
from scratchnet.layers import Loss
from scratchnet.layers.guess import best_constant
from scratchnet.parameters import Array

ROWS = 1000
"""So many samples are looked at, at most: a fit is not made longer by more."""
STILL = 1e-6
"""A loss that falls by less of itself has not moved."""
LEARNT = 0.01
"""A training loss below that of a guess by so much of it is no accident."""
LARGE = 1e3
"""Values beyond are worth a word when a fit has failed."""


class FitError(DivergenceError, ValueError):
    """A fit that produced values that are not finite; a ValueError, as scikit-learn raises."""


def describe_divergence(of: Any, error: DivergenceError, train: Samples) -> FitError:
    """The error that names data and arguments as the user of an estimator knows them."""
    found = error.found
    x, y = reach(train.x), reach(train.t) if train.t.dtype.kind == "f" else 0.0
    if max(x, y) > LARGE:
        return FitError(
            "Solver produced non-finite parameter weights. The input data may contain large values "
            f"and need to be preprocessed: X reaches {x:g}{f' and y {y:g}' if y else ''}, beyond "
            f"what {of._network.dtype} can compute with; put a StandardScaler before the network "
            f"({found})"
        )
    return FitError(
        f"{found}; lower learning_rate_init, which is {of._rate:g}, for example to "
        f"{min(of._rate / 10, 0.001):g}"
    )


def describe_failure(of: Any, train: Samples) -> str | None:
    """Why the network is no better than a guess that knows nothing of X; None if it is better.

    Both are compared on some of the training samples, as they are evaluated, without the penalty.
    """
    loss: Loss = of._loss
    step, t = -(-len(train) // ROWS), of._targets_of(train)
    outputs = of._outputs(train.x[::step])
    guess = best_constant(loss, t, outputs.shape[1])
    if guess is None or (t == t[0]).all():  # there is nothing to learn
        return None
    t, w = t[::step], None if train.weights is None else train.weights[::step]
    with np.errstate(all="ignore"):
        own = loss.compute(outputs, t, w)
        of_guess = loss.compute(np.broadcast_to(guess, outputs.shape).astype(outputs.dtype), t, w)
    curve = getattr(of, "loss_curve_", [])
    if of._best_state is not None and curve and np.nanmin(curve) < of_guess * (1 - LEARNT):
        return None  # it could learn these samples, but nothing of it held for others
    still = len(curve) == of.n_iter_ > 1 and curve[0] - min(curve) <= STILL * abs(curve[0])
    if not (still or 0 < of_guess * (1 - STILL) <= own):
        return None
    x, y = reach(train.x), reach(train.t) if train.t.dtype.kind == "f" else 0.0
    cures = ["raise max_iter or learning_rate_init"]
    if y > LARGE:
        cures.insert(0, f"y reaches {y:g}: bring it to variance 1 (TransformedTargetRegressor)")
    if x > LARGE:
        cures.insert(0, f"X reaches {x:g}: put a StandardScaler before the network")
    what = (
        f"its loss has stayed at {curve[0]:.6g} from the first epoch on"
        if still
        else f"its loss of {own:.6g} on the training samples is no lower than {of_guess:.6g}, that "
        "of one guess for all of them"
    )
    return f"the fit ended without having learnt: {what}; {'; '.join(cures)}"


def reach(x: Any) -> float:
    """The largest absolute value of x, which may be sparse."""
    values: Array = x.data if is_sparse(x) else x
    return max(abs(float(values.max(initial=0))), abs(float(values.min(initial=0))))
