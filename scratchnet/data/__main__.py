"""Fetch a published data set: `python -m scratchnet.data mnist --to datasets/mnist`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scratchnet.data.download import RemoteFile, fetch
from scratchnet.data.sets import DATASETS, Published, home_folder
from scratchnet.errors import DownloadError, OutputError, ParameterError
from scratchnet.registry import canonical


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch a data set: `python -m scratchnet.data NAME [--to FOLDER]`; returns the exit code.

    0 done, 2 wrong usage, 4 the folder cannot be written, 6 no mirror delivered, 130 Ctrl-C.
    """
    published = {name: set_ for name, set_ in DATASETS.items() if isinstance(set_, Published)}
    parser = argparse.ArgumentParser(
        prog="python -m scratchnet.data",
        description="Fetch a data set and check its SHA-256. Files that are there are kept.",
        epilog="exit codes: 0 done, 2 wrong usage, 4 cannot write, 6 network, 130 Ctrl-C",
        allow_abbrev=False,
    )
    parser.add_argument("name", help=f"one of {', '.join(published)}")
    parser.add_argument(
        "--to", metavar="FOLDER", help="where to (default: $SCRATCHNET_DATA/NAME or datasets/NAME)"
    )
    args = parser.parse_args(argv)
    try:
        name = canonical(published, args.name, "data set to fetch")
        if args.to is not None and not args.to.strip():
            raise ParameterError("--to must name a folder, got ''")
        _fetch_all(
            published[name], Path(args.to).expanduser() if args.to else home_folder(None) / name
        )
    except ParameterError as error:
        parser.error(str(error))
    except (OutputError, DownloadError) as error:
        sys.stderr.write(f"{parser.prog}: error: {error}\n")
        return 4 if isinstance(error, OutputError) else 6
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the next try resumes from here\n")
        return 130
    except BrokenPipeError:  # whoever read our lines has gone; let the exit find nothing to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def _fetch_all(published: Published, folder: Path) -> None:
    """Fetch what is missing; a line for each file on stdout."""
    for file in published.source.files:
        new = _fetch_with_bar(file, published.source.mirrors, folder)
        state = "fetched" if new else "already there"
        sys.stdout.write(f"{folder / file.name}: {state}, SHA-256 right\n")
        sys.stdout.flush()


def _fetch_with_bar(file: RemoteFile, mirrors: Sequence[str], folder: Path) -> bool:
    """Fetch one file with a bar on stderr, if that is a terminal."""
    from tqdm import tqdm

    with tqdm(
        total=file.size, desc=file.name, unit="B", unit_scale=True, disable=None, leave=False
    ) as bar:
        return fetch(file, mirrors, folder, report=lambda done: bar.update(done - bar.n))


if __name__ == "__main__":
    sys.exit(main())
