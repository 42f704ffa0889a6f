"""Trained networks taken elsewhere, and weights from elsewhere, read without running anything."""

from scratchnet.formats.exports import EXPORTS, Export

__all__ = ["EXPORTS", "Export"]
