"""The old name of `scratchnet.inspection.lr_finder`, kept until version 0.3."""

from scratchnet.registry import renamed_module

renamed_module(__name__, "scratchnet.inspection.lr_finder")
