"""A trial: training by a copy of an optimizer, which leaves everything it was given as it is."""

import warnings
from copy import deepcopy
from typing import Any

from scratchnet.errors import DataWarning
from scratchnet.networks import Network
from scratchnet.optimizers import Optimizer
from scratchnet.training.border import Data
from scratchnet.training.trainer import Trainer


def make_trial(
    network: Network,
    train: Data,
    validation: Data | None,
    optimizer: Optimizer,
    lr: float,
    *,
    batch_size: int | None = None,
    **training: Any,
) -> Trainer:
    """A Trainer of `network` with copies of `optimizer`, at the rate `lr`, and of `training`.

    `training` are further options of the Trainer. An optimizer that needs all samples gets them
    whatever `batch_size` is. Raises what the Trainer raises.
    """
    optimizer = deepcopy(optimizer)
    optimizer.lr = lr
    if optimizer.full_batch:
        batch_size = None
    own = deepcopy(training)
    own |= {"optimizer": optimizer, "batch_size": batch_size}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # of the same data, at each trial
        return Trainer(network, train, validation, **own)
