"""The old name of `scratchnet.inspection.surfaces`, kept until version 0.3."""

from scratchnet.registry import renamed_module

renamed_module(__name__, "scratchnet.inspection.surfaces")
