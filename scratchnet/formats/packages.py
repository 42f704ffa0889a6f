"""Packages that only some formats need: imported when used, named when they are missing."""

from importlib import import_module
from typing import Any

HINT = "pip install 'scratchnet[export]'"


class MissingPackageError(ModuleNotFoundError):
    """A package that a format needs is not installed."""

    def __init__(self, what: str, package: str) -> None:
        super().__init__(f"{what} needs the package {package}: {HINT}", name=package)


def need(what: str, module: str) -> Any:
    """The module, imported; raises MissingPackageError, which says what needs its package."""
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise MissingPackageError(what, package) from error
