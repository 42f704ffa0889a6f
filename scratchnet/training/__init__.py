"""The training loop."""

from scratchnet.training.border import Data
from scratchnet.training.epoch import MONITORS, Epoch
from scratchnet.training.sharing import Batch
from scratchnet.training.stopping import EarlyStopping
from scratchnet.training.trainer import Trainer

__all__ = ["MONITORS", "Batch", "Data", "EarlyStopping", "Epoch", "Trainer"]
