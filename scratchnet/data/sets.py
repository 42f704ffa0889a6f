"""The data sets by name, and the user's own folders and files: where they are, what they hold."""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from scratchnet.data.border import transposed
from scratchnet.data.download import FASHION_MNIST, KMNIST, MNIST, Source, sha256
from scratchnet.data.idx import header as idx_header
from scratchnet.data.idx import looks_like, open_regular, read_idx, read_npz
from scratchnet.data.samples import Dataset, Samples
from scratchnet.errors import DataError, ParameterError, ScratchnetError, ShapeError
from scratchnet.parameters import Array
from scratchnet.registry import pick

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


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
        paths = _find_idx_files(self.name, [home / self.name, home], advice)
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
        return _from_arrays(self.name, str(paths[0].parent), *arrays, classes=self.classes)


def _digits(home: Path, seed: int) -> Dataset:
    """1,797 images of handwritten digits, 8x8, values 0..16, from scikit-learn; 80/20 by `seed`."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    train, test = Samples(pixels.astype(np.uint8), labels, scale=1 / 16).split(0.2, seed)
    return Dataset("digits", train, test, classes=10, image_shape=(8, 8))


def _find_idx_files(name: str, folders: Sequence[Path], advice: str) -> list[Path]:
    """Return the four files, in the order of IDX_NAMES, of the first folder that has all four."""
    looked = []
    for folder in folders:
        found = [_spelling(folder, stem) for stem in IDX_NAMES]
        if None not in found:
            return [path for path in found if path is not None]
        lacking = [stem for stem, path in zip(IDX_NAMES, found, strict=True) if path is None]
        what = "no such folder" if not folder.is_dir() else "no " + ", ".join(lacking)
        looked.append(f"{_full_path(folder)!r} ({what})")
    raise DataError(
        f"{name} needs the four files {', '.join(IDX_NAMES)} (or .gz) in one folder; "
        f"looked in {' and '.join(looked)}{advice}"
    )


def _full_path(folder: Path) -> str:
    """The absolute path, or the one given where the working folder has been deleted."""
    try:
        return os.path.abspath(folder)
    except OSError:
        return str(folder)


def _spelling(folder: Path, stem: str) -> Path | None:
    """Return the file under one of its four usual names: packed or not, dash or dot before idx."""
    for name in (stem, stem.replace("-idx", ".idx")):
        for path in (folder / f"{name}.gz", folder / name):
            if os.path.lexists(path):  # a dangling link is found, so that the reader can name it
                return path
    return None


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


def _load_path(path: str, seed: int) -> Dataset:
    """Load a folder of four IDX files, or an .npz, of which no SHA-256 is known."""
    if os.path.isdir(path):
        paths = _find_idx_files(repr(path), [Path(path)], "")
        arrays = [read_idx(file, ndim=n) for n, file in zip((3, 1, 3, 1), paths, strict=True)]
        return _from_arrays(path, path, *arrays)
    wanted = f"give an .npz or the folder of the four files {', '.join(IDX_NAMES)}"
    try:
        with open_regular(path) as file:
            kind = looks_like(file.read(16))
    except DataError as error:
        raise DataError(f"{error}; {wanted}") from error.__cause__
    if not kind.startswith("a zip"):
        raise DataError(f"{path!r} looks like {kind}; {wanted}")
    members = read_npz(path)
    names = ("x_train", "t_train", "x_test", "t_test") if "x_train" in members else ("x", "t")
    arrays = [_member(path, members, name) for name in names]
    if len(arrays) == 4:
        return _from_arrays(path, path, *arrays)
    samples = _samples(path, *arrays)
    train, test = samples.split(0.2, seed)
    classes = int(samples.t.max()) + 1
    return Dataset(path, train, test, classes, arrays[0].shape[1:] if arrays[0].ndim > 2 else None)


def _member(path: str, members: Mapping[str, Array], name: str) -> Array:
    """Return the array called `name`, or y... for t..., as Keras spells it."""
    spellings = {name, name.replace("t", "y", 1)} if name[0] == "t" else {name}
    found = [members[key] for key in sorted(spellings) if key in members]
    if len(found) != 1:
        raise DataError(
            f"{path!r} must hold x_train, t_train, x_test and t_test, or x and t (or y for t), "
            f"each once; it holds {', '.join(sorted(members)) or 'nothing'}"
        )
    return found[0]


def _samples(where: str, x: Array, t: Array) -> Samples:
    """Make Samples of arrays from a file; bytes are taken for pixels, so 0..255 becomes 0..1."""
    if x.ndim and t.ndim and len(x) != len(t):
        why = transposed(x.shape, len(t)) or "files of different sets?"
        raise DataError(f"{where!r}: {len(x)} images, {len(t)} labels: {why}")
    try:
        return Samples(x, t, 1 / 255 if x.dtype == np.uint8 else 1.0)
    except ScratchnetError as error:
        raise DataError(f"{where!r}: {error}") from error


def _from_arrays(
    name: str,
    where: str,
    x_train: Array,
    t_train: Array,
    x_test: Array,
    t_test: Array,
    *,
    classes: int | None = None,
) -> Dataset:
    """Put the four arrays of files in `where` together, as DataError when they do not fit."""
    train, test = _samples(where, x_train, t_train), _samples(where, x_test, t_test)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(
            f"{where!r}: train images are {x_train.shape[1:]}, test images {x_test.shape[1:]}: "
            "files of different sets?"
        )
    count = classes or int(max(train.t.max(), test.t.max())) + 1
    try:
        return Dataset(name, train, test, count, x_train.shape[1:] if x_train.ndim > 2 else None)
    except ShapeError as error:
        raise DataError(f"{where!r}: {error}") from error


def load(
    name: str | os.PathLike[str], *, home: str | os.PathLike[str] | None = None, seed: int = 0
) -> Dataset:
    """Load a data set by a name of DATASETS, in any case, or by the path of a folder or .npz.

    The files of a named set are looked for in HOME/NAME, then in HOME; HOME is `home`, else
    $SCRATCHNET_DATA, else ./datasets. A path holds the four files of IDX_NAMES, or is an .npz with
    x_train, t_train, x_test, t_test, or with x and t, of which `seed` then holds out a fifth (as it
    does for "digits"; see `Samples.split`). In an .npz y may stand for t, and bytes are scaled by
    1/255.

    Raises ParameterError for an unknown name; DataError for files that are missing, damaged, not
    the published ones or do not fit together.

    >>> train, test = load("digits")
    >>> len(train), len(test)
    (1437, 360)
    """
    if isinstance(name, os.PathLike):
        return _load_path(os.path.expanduser(name), seed)
    try:
        loader = pick(DATASETS, name, "data set")
    except ParameterError as error:
        if not isinstance(name, str) or not name.strip():
            raise
        if not _is_path(name):
            raise ParameterError(
                f"{error}; or the path of a file or folder, and there is none called {name!r}"
            ) from None
        return _load_path(os.path.expanduser(name), seed)
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
