"""Train a network on handwritten digits: `python train.py --optimizer adam`, or `--help`."""

import sys

try:
    from scratchnet.cli import main
except ModuleNotFoundError as error:
    sys.stderr.write(
        f"train.py: error: {error.name} is not installed; run `make train`, or see README.md\n"
    )
    sys.exit(2)
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    sys.exit(main())
