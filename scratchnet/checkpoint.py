"""The old name of `scratchnet.storage.checkpoint`, kept until version 0.3."""

from scratchnet.registry import renamed_module

renamed_module(__name__, "scratchnet.storage.checkpoint")
