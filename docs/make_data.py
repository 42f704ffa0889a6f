"""Write the table of forms in docs/data.md by loading each, as tests/data/test_forms.py makes it.

python docs/make_data.py
"""

import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from scratchnet import Trainer, TwoLayerNet, load
from scratchnet.data import Dataset
from scratchnet.errors import DataWarning, ScratchnetError

PAGE = Path(__file__).with_name("data.md")
BEGIN, END = "<!-- forms -->\n", "<!-- end of forms -->\n"
sys.path.append(str(PAGE.parents[1] / "tests" / "data"))

import test_forms  # noqa: E402


def outcome(found: Dataset) -> str:
    """What a data set came to, in a few words."""
    shape = "x".join(map(str, found.image_shape or found.train.x.shape[1:]))
    names = f" ({', '.join(found.class_names)})" if found.class_names else ""
    return f"{len(found.train)} + {len(found.test)} of {shape}, {found.classes} classes{names}"


def rows() -> Iterator[tuple[str, str]]:
    """Each form, and what comes of it."""
    for form, make in test_forms.READ.items():
        with tempfile.TemporaryDirectory() as folder:
            yield form, outcome(load(make(Path(folder))))
    for form, (make, _) in test_forms.REFUSED.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                load(make(Path(folder)))
            except ScratchnetError as error:
                said = str(error).replace(f"{folder}/", "").replace(folder, ".")
                yield form, f"refused: {said}"
    for form, (x, t, _) in test_forms.DOUBTFUL.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", DataWarning)
            Trainer(TwoLayerNet(x[0].size, 5, int(t.max()) + 1), (x, t))
        yield form, "; ".join(f"a warning: {one.message}" for one in caught)


def main() -> None:
    """Write the table into the page."""
    warnings.simplefilter("ignore")
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    lines = ["| form | what comes of it |", "|---|---|"]
    lines += [f"| {form} | {said.replace('|', chr(92) + '|')} |" for form, said in rows()]
    table = "\n".join(lines) + "\n"
    PAGE.write_text(before + BEGIN + table + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
