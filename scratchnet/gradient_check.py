"""The old name of `scratchnet.inspection.gradient_check`, kept until version 0.3."""

from scratchnet.registry import renamed_module

renamed_module(__name__, "scratchnet.inspection.gradient_check")
