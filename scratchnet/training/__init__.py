"""The training loop."""

from scratchnet.training.trainer import MONITORS, Data, EarlyStopping, Epoch, Trainer

__all__ = ["MONITORS", "Data", "EarlyStopping", "Epoch", "Trainer"]
