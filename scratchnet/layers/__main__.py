"""Write the loops of all activations in C, into the file that is named: see `make loops`."""

import sys

from scratchnet.layers import ACTIVATIONS
from scratchnet.layers.elementwise import Elementwise, translate
from scratchnet.loops.translation import Loop, UntranslatableError, header, write_if_changed


def text() -> str:
    """The file: the loops of values and derivatives, two tables, and the layers that have none."""
    found: dict[str, dict[str, Loop]] = {"value": {}, "derivative": {}}
    without: dict[str, str] = {}
    for kind in ACTIVATIONS.values():
        if issubclass(kind, Elementwise):
            try:
                for name, loops in found.items():
                    loops[kind.__name__] = translate(kind, name)
            except UntranslatableError as error:
                without[kind.__name__] = str(error)
        else:
            without[kind.__name__] = "is no function of single values alone"
    value, derivative = (header(f"{name.upper()}S", loops, {}) for name, loops in found.items())
    return value + derivative


if __name__ == "__main__":
    write_if_changed(sys.argv[1], text())
