"""The command line."""

from scratchnet.cli.entry import main

__all__ = ["main"]
