"""The old name of `scratchnet.training.resuming`, kept until version 0.3."""

from scratchnet.registry import renamed_module

renamed_module(__name__, "scratchnet.training.resuming")
