"""Write the loops of all rules in C: `python -m scratchnet.optimizers scratchnet/loops/rules.h`."""

import sys

from scratchnet.loops.translation import UntranslatableError, header, write_if_changed
from scratchnet.optimizers import OPTIMIZERS
from scratchnet.optimizers.loops import name_of, translate


def text() -> str:
    """The file: every loop, the table of all, and the optimizers that have none."""
    found, without = {}, {}
    for kind in OPTIMIZERS.values():
        try:
            found[name_of(kind)] = translate(kind)
        except UntranslatableError as error:
            without[kind.__name__] = str(error)
    return header("RULES", found, without)


if __name__ == "__main__":
    write_if_changed(sys.argv[1], text())
