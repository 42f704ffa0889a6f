"""Weights from elsewhere, read without running anything."""
