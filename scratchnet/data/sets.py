"""The data sets by name: where their files are, and whether they are the published ones."""

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from scratchnet.data.arrays import make_dataset
from scratchnet.data.download import Source, sha256
from scratchnet.data.idx import header as idx_header
from scratchnet.data.idx import read_idx
from scratchnet.data.opening import open_regular
from scratchnet.data.paths import find_idx_files, load_path
from scratchnet.data.samples import Dataset, Samples
from scratchnet.data.sources import FASHION_MNIST, KMNIST, MNIST
from scratchnet.errors import DataError, ParameterError
from scratchnet.registry import pick


@dataclass(frozen=True)
class Published:
    """A loader of four published IDX files; `classes` is how many labels there may be.

    The files are looked for in HOME/NAME, then in HOME. Where the SHA-256 of the unpacked bytes is
    published it is checked at every load; otherwise that of the .gz, if the file is one.
    """

    name: str
    source: Source
    classes: int = 10

    def __call__(self, home: Path, seed: int) -> Dataset:
        """Load the set; `seed` has no part in it. Raises DataError."""
        target = shlex.quote(str(home / self.name))
        advice = f"; fetch it with python -m scratchnet.data {self.name} --to {target}"
        paths = find_idx_files(self.name, [home / self.name, home], advice)
        arrays = []
        for file, path, ndim in zip(self.source.files, paths, (3, 1, 3, 1), strict=True):
            if file.unpacked is None and path.suffix == ".gz":
                with open_regular(path) as packed:
                    found = sha256(packed)
                _check_sum(path, file.sha256, found, advice)
            array = read_idx(path, ndim=ndim)
            import hashlib

            total = hashlib.sha256(idx_header(array.shape))
            total.update(array.data)
            _check_sum(path, file.unpacked, total.hexdigest(), advice)
            arrays.append(array)
        return make_dataset(
            self.name,
            str(paths[0].parent),
            [(arrays[0], arrays[1]), (arrays[2], arrays[3])],
            seed=seed,
            classes=self.classes,
            published=True,
        )


def _digits(home: Path, seed: int) -> Dataset:
    """1,797 images of handwritten digits, 8x8, values 0..16, from scikit-learn; 80/20 by `seed`."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    train, test = Samples(pixels.astype(np.uint8), labels, scale=1 / 16).split(0.2, seed)
    return Dataset("digits", train, test, classes=10, image_shape=(8, 8))


def _check_sum(path: Path, expected: str | None, found: str, advice: str) -> None:
    """Refuse wrong content, and where nothing is `expected`, content known to be another set's."""
    owner = f" (a file of {KNOWN_SUMS[found]})" if found in KNOWN_SUMS else ""
    if expected is not None and found != expected:
        raise DataError(
            f"{str(path)!r} has the wrong content: expected SHA-256 {expected}, found {found}"
            f"{owner}{advice}"
        )
    if expected is None and owner:
        raise DataError(f"{str(path)!r} has the wrong content{owner}{advice}")


def load(
    name: str | os.PathLike[str],
    *,
    home: str | os.PathLike[str] | None = None,
    seed: int = 0,
    label: str | None = None,
) -> Dataset:
    """Load a data set by a name of DATASETS, in any case, or by the path of a file or folder.

    The files of a named set are looked for in HOME/NAME, then in HOME; HOME is `home`, else
    $SCRATCHNET_DATA, else ./datasets. A path is one of

    * a folder with the four files of IDX_NAMES, or with those of one part of EMNIST;
    * a folder with a folder of pictures for each class, or with the folders train and test of such;
    * an .npz with x_train, t_train, x_test, t_test, or with x and t; y may stand for t;
    * a CSV whose first line names the columns, `label` that of the classes (by default "label",
      else the last).

    Of what has no test part `seed` holds out a fifth (see `Samples.split`). Bytes are scaled by
    1/255, those of at most 127 by their largest value. Labels may be words, or one-hot.

    Raises ParameterError for an unknown name; DataError for files that are missing, damaged, not
    the published ones or do not fit together. Warns by DataWarning of what is doubtful.

    >>> train, test = load("digits")
    >>> len(train), len(test)
    (1437, 360)
    """
    if label is not None and not os.path.isfile(os.path.expanduser(name)):
        raise ParameterError(f"label names a column of a CSV file, {name!r} is none; leave it out")
    if isinstance(name, os.PathLike):
        return load_path(os.path.expanduser(name), seed, label)
    try:
        loader = pick(DATASETS, name, "data set")
    except ParameterError as error:
        if not isinstance(name, str) or not name.strip():
            raise
        if not _is_path(name):
            raise ParameterError(
                f"{error}; or the path of a file or folder, and there is none called {name!r}"
            ) from None
        return load_path(os.path.expanduser(name), seed, label)
    return loader(home_folder(home), seed)


def _is_path(name: str) -> bool:
    """Tell whether a text that is no data set's name was meant as a path."""
    return (
        name.startswith((".", "~"))
        or os.path.splitext(name)[1] != ""
        or any(mark in name for mark in (os.sep, os.altsep) if mark)
        or os.path.lexists(name)
    )


def home_folder(home: str | os.PathLike[str] | None) -> Path:
    """Where the data sets lie: `home`, else $SCRATCHNET_DATA, else ./datasets."""
    return Path(os.path.expanduser(home or os.environ.get("SCRATCHNET_DATA") or "datasets"))


Loader = Callable[[Path, int], Dataset]

DATASETS: Mapping[str, Loader] = MappingProxyType(
    {
        "digits": _digits,
        "mnist": Published("mnist", MNIST),
        "fashion-mnist": Published("fashion-mnist", FASHION_MNIST),
        "kmnist": Published("kmnist", KMNIST),
    }
)
"""The data sets by name; a new one is a function (home, seed) -> Dataset and a line here."""

KNOWN_SUMS: Mapping[str, str] = MappingProxyType(
    {
        total: name
        for name, loader in DATASETS.items()
        if isinstance(loader, Published)
        for file in loader.source.files
        for total in (file.sha256, file.unpacked)
        if total is not None
    }
)
"""Which data set a file with this SHA-256, packed or unpacked, belongs to."""
