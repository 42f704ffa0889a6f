"""The user's own files and folders as data sets: what a path leads to, and how it is read."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from scratchnet.data.arrays import DELIMITERS, make_dataset
from scratchnet.data.idx import read_idx
from scratchnet.data.npz import NUMBERS, read_npz
from scratchnet.data.opening import looks_like, open_regular
from scratchnet.data.samples import Dataset
from scratchnet.errors import DataError, ParameterError
from scratchnet.parameters import Array

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
EMNIST = re.compile(r"(emnist-[a-z]+)-train-images[-.]idx3-ubyte(\.gz)?")
WANTED = (
    f"give a .csv, an .npz, a folder with the four files {', '.join(IDX_NAMES)}, or a folder of "
    "pictures with a folder for each class"
)
SUFFIXES = (".csv", ".tsv")
CONVERSIONS = {
    "an HDF5 file": "h5py.File(path) has its arrays",
    "a MATLAB file": "scipy.io.loadmat(path) has its arrays",
    "a NumPy .npy file": "np.load(path) is one array",
    "a Parquet file": "pandas.read_parquet(path).to_csv('data.csv', index=False) makes a .csv",
    "an Arrow file": "pandas.read_feather(path).to_csv('data.csv', index=False) makes a .csv",
    "an SQLite database": "pandas.read_sql(query, connection).to_csv('data.csv', index=False)",
    "an Excel file": "pandas.read_excel(path).to_csv('data.csv', index=False) makes a .csv",
    "a PyTorch file": "torch.load(path, weights_only=True) has its tensors",
    "a Python pickle": "pickle.load reads it, and runs what is in it: only if you trust its source",
    "an ARFF file": "scipy.io.arff.loadarff(path) has its rows",
    "JSON": "pandas.read_json(path).to_csv('data.csv', index=False) makes a .csv",
    "LIBSVM text": "sklearn.datasets.load_svmlight_file(path) has x, sparse, and t",
    "gzip": "unpack it first: gunzip",
    "bzip2": "unpack it first: bunzip2",
    "xz": "unpack it first: unxz",
    "a tar archive": "unpack it first: tar -xf",
    "a zip archive": "unpack it first",
}
"""How to bring what is not read into a form that is."""
SAVE = "; save it by np.savez('data.npz', x=x, t=t)"
ARRAYS = {"an HDF5 file", "a MATLAB file", "a NumPy .npy file", "a PyTorch file", "an ARFF file"}
ARRAYS |= {"LIBSVM text", "a Python pickle"}


def load_path(path: str, seed: int, label: str | None = None) -> Dataset:
    """The data set at a path: a CSV, an .npz, a folder of IDX files or of pictures.

    `label` names the column of the labels in a CSV. Raises DataError, which says what is there and
    how it becomes a form that can be read.
    """
    folder = Path(path)
    if folder.is_dir():
        return _load_folder(path, folder, seed)
    prefix = re.fullmatch(r"emnist-[a-z]+", folder.name)
    if prefix and _spelling(folder.parent, f"{folder.name}-train-images-idx3-ubyte"):
        return _load_emnist(path, folder.parent, folder.name, seed)
    try:
        with open_regular(path) as file:
            start = file.read(2**16)
    except DataError as error:
        raise DataError(f"{error}; {WANTED}") from error.__cause__
    kind = name_format(path, start)
    if kind == "CSV":
        from scratchnet.data.csv import load_csv  # only here, as few have any

        return load_csv(path, seed, label)
    if label is not None:
        raise ParameterError(f"label names a column of a CSV, {path!r} is {kind}; leave it out")
    if kind == "an .npz":
        return _load_npz(path, seed)
    cure = CONVERSIONS.get(kind)
    if cure is None:
        raise DataError(f"{path!r} looks like {kind}; {WANTED}")
    raise DataError(f"{path!r} looks like {kind}; {cure}{SAVE if kind in ARRAYS else ''}")


def name_format(path: str, start: bytes) -> str:
    """What a file is by its first bytes, and by its name if it is text."""
    kind = looks_like(start[:16])
    suffix = os.path.splitext(path)[1].lower()
    if kind.startswith("a zip"):
        return {".xlsx": "an Excel file", ".pt": "a PyTorch file", ".pth": "a PyTorch file"}.get(
            suffix, "an .npz" if b".npy" in start or suffix == ".npz" else "a zip archive"
        )
    if start[257:262] == b"ustar":
        return "a tar archive"
    if not kind.startswith(("nothing known", "an empty")):
        return kind
    if suffix in SUFFIXES and start:
        return "CSV"
    text = start.decode("utf-8-sig", "replace")
    line = text.splitlines()[0] if text.strip() else ""
    if text.lstrip().lower().startswith(("@relation", "% ")):
        return "an ARFF file"
    if text.lstrip().startswith(("{", "[")):
        return "JSON"
    if re.match(r"[-+\d.]+( \d+:[-+\d.e]+)+", line):
        return "LIBSVM text"
    return "CSV" if _has_columns(text) else kind


def _has_columns(text: str) -> bool:
    """Whether the first lines of a text have equally many cells, at least two."""
    lines = text.splitlines()[:2]
    counts = [[line.count(one) for line in lines] for one in DELIMITERS]
    return any(len(each) == 2 and each[0] == each[1] > 0 for each in counts) and "\0" not in text


def find_idx_files(
    name: str, folders: Sequence[Path], advice: str, stems: Sequence[str] = IDX_NAMES
) -> list[Path]:
    """Return the four files, in the order of `stems`, of the first folder that has all four."""
    looked = []
    for folder in folders:
        found = [_spelling(folder, stem) for stem in stems]
        if None not in found:
            return [path for path in found if path is not None]
        lacking = [stem for stem, path in zip(stems, found, strict=True) if path is None]
        what = "no such folder" if not folder.is_dir() else "no " + ", ".join(lacking)
        looked.append(f"{_full_path(folder)!r} ({what})")
    raise DataError(
        f"{name} needs the four files {', '.join(stems)} (or .gz) in one folder; "
        f"looked in {' and '.join(looked)}{advice}"
    )


def _load_folder(path: str, folder: Path, seed: int) -> Dataset:
    """Four IDX files, those of EMNIST, or pictures."""
    if all(_spelling(folder, stem) is None for stem in IDX_NAMES):
        found = sorted({m[1] for name in os.listdir(folder) if (m := EMNIST.fullmatch(name))})
        if len(found) > 1:
            names = ", ".join(str(folder / one) for one in found)
            raise DataError(f"{path!r} holds several data sets; give one of {names}")
        if found:
            return _load_emnist(path, folder, found[0], seed)
        from scratchnet.data.pictures import holds_pictures, load_pictures  # only here

        if holds_pictures(folder):
            return load_pictures(folder, seed)
    advice = "; or a folder of pictures needs one folder for each class in it"
    return _from_idx(path, path, find_idx_files(repr(path), [folder], advice), seed)


def _from_idx(name: str, where: str, paths: Sequence[Path], seed: int) -> Dataset:
    x, t, x_test, t_test = (
        read_idx(file, ndim=n) for n, file in zip((3, 1, 3, 1), paths, strict=True)
    )
    return make_dataset(name, where, [(x, t), (x_test, t_test)], seed=seed)


def _load_emnist(path: str, folder: Path, prefix: str, seed: int) -> Dataset:
    """A part of EMNIST (Cohen et al. 2017): pictures transposed, letters that count from 1."""
    stems = [f"{prefix}-{name.replace('t10k', 'test')}" for name in IDX_NAMES]
    paths = find_idx_files(prefix, [folder], "", stems)
    x, t, x_test, t_test = (
        read_idx(file, ndim=n) for n, file in zip((3, 1, 3, 1), paths, strict=True)
    )
    first = min(int(t.min()), int(t_test.min()))
    names = _read_mapping(folder / f"{prefix}-mapping.txt", first)
    upright = [np.ascontiguousarray(one.transpose(0, 2, 1)) for one in (x, x_test)]
    first = first if first == 1 else 0
    parts = [(upright[0], t - first), (upright[1], t_test - first)]
    return make_dataset(path, path, parts, seed=seed, class_names=names)


def _read_mapping(path: Path, first: int) -> list[str] | None:
    """The characters of the classes: lines of a label and the numbers of its characters."""
    try:
        with open_regular(path) as file:
            rows = [line.split() for line in file.read(2**16).decode("ascii").splitlines()]
        names = {int(row[0]): chr(int(row[1])) for row in rows if row}
    except (DataError, ValueError, IndexError, OverflowError):
        return None
    wanted = list(range(first, first + len(names)))
    return [names[k] for k in wanted] if sorted(names) == wanted else None


def _load_npz(path: str, seed: int) -> Dataset:
    members = read_npz(path, kinds=NUMBERS + "US")
    names = ("x_train", "t_train", "x_test", "t_test") if "x_train" in members else ("x", "t")
    arrays = [_member(path, members, name) for name in names]
    parts = list(zip(arrays[::2], arrays[1::2], strict=True))
    return make_dataset(path, path, parts, seed=seed)


def _member(path: str, members: Mapping[str, Array], name: str) -> Array:
    """Return the array called `name`, or y... for t..., as Keras spells it."""
    spellings = {name, name.replace("t", "y", 1)} if name[0] == "t" else {name}
    found = [members[key] for key in sorted(spellings) if key in members]
    if len(found) != 1:
        raise DataError(
            f"{path!r} must hold x_train, t_train, x_test and t_test, or x and t (or y for t), "
            f"each once; it holds {', '.join(map(repr, sorted(members))) or 'nothing'}"
        )
    return found[0]


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
