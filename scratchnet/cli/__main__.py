"""`python -m scratchnet.cli`: the command line."""

import sys

from scratchnet.cli import main

if __name__ == "__main__":
    sys.exit(main())
