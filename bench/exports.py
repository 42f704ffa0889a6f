"""Exported networks beside scratchnet: classes of all test images, and the time of one row.

    python bench/exports.py MODEL [MODEL ...] --data-dir DIR [--dataset mnist] [--write]

MODEL is a file of `network.save`, or the folder of a run. Each is written as ONNX, which
onnxruntime computes from the raw images, and as scikit-learn's class, if that holds it. One thread.
Of one row the smallest of many times counts; all systems take turns. --write puts the tables into
docs/formats.md.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import onnxruntime
from lib.page import write_section
from lib.report import machine, machine_lines, parser, table, write_json

import scratchnet
from scratchnet.errors import ParameterError
from scratchnet.formats.onnx import to_onnx
from scratchnet.formats.sklearn import to_sklearn

PAGE = Path(__file__).resolve().parent.parent / "docs" / "formats.md"
TIMES = 2000


def main() -> None:
    """Compare and measure, and write the section of the page."""
    made = parser(__doc__ or "")
    made.add_argument("models", nargs="+", metavar="MODEL", type=Path)
    made.add_argument("--dataset", default="mnist", help="whose test images (default: mnist)")
    made.add_argument("--write", action="store_true", help=f"put the tables into docs/{PAGE.name}")
    options = made.parse_args()
    data = scratchnet.load(options.dataset, home=options.data_dir)
    raw = data.test.x
    found: dict[str, Any] = {"machine": machine(), "models": {}}
    for path in options.models:
        network = scratchnet.load_network(path)
        found["models"][name_of(network)] = compared(network, raw) | times(network, raw[0])
    text = section(found, options.dataset)
    print(text)
    write_json(options.json, found)
    if options.write:
        write_section(PAGE, "exports", text)


def name_of(network: Any) -> str:
    """The network in a few words."""
    shape = "x".join(map(str, network.input_shape))
    outline = getattr(network, "outline", f"{shape}, {len(network.layers)} layers")
    kinds = {type(layer).__name__ for layer in network.all_layers}
    known = ("Conv2D", "BatchNorm", "LayerNorm", "PReLU", "Residual", "Standardize")
    return ", ".join([outline, *(kind for kind in known if kind in kinds)])


def session_of(network: Any) -> onnxruntime.InferenceSession:
    """What computes the network, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = to_onnx(network).SerializeToString()
    return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])


def compared(network: Any, raw: Any) -> dict[str, Any]:
    """How many classes of the raw images are equal, and how far probabilities are apart."""
    session, p = session_of(network), network.predict_proba(network.preparation.rows(raw))
    images = raw.reshape(-1, *network.input_shape).astype(np.float32)
    theirs = np.concatenate(
        [
            session.run(["probabilities"], {"x": images[at : at + 500]})[0]
            for at in range(0, len(images), 500)
        ]
    )
    equal = int(np.count_nonzero(theirs.argmax(axis=1) == p.argmax(axis=1)))
    return {"rows": len(raw), "equal": equal, "apart": float(np.abs(theirs - p).max())}


def times(network: Any, row: Any) -> dict[str, Any]:
    """Microseconds of one row, which is raw for all: scaling it is part of the time."""
    session, classes = session_of(network), network.predict_classes
    flat = row.reshape(1, -1)
    image = row.reshape(1, *network.input_shape).astype(np.float32)
    x = network.preparation.rows(flat)
    work: dict[str, Callable[[], Any]] = {
        "predict": lambda: network.predict(x),
        "raw": lambda: classes(network.preparation.rows(flat)),
        "onnxruntime": lambda: session.run(["probabilities"], {"x": image}),
    }
    try:
        other = to_sklearn(network)
        given = flat.astype(np.float32)
        work["sklearn"] = lambda: other.predict(given)
    except ParameterError:
        pass
    taken: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(TIMES):
        for name, one in work.items():
            start = time.perf_counter()
            one()
            taken[name].append(time.perf_counter() - start)
    return {"microseconds": {name: 1e6 * min(each) for name, each in taken.items()}}


def section(found: dict[str, Any], dataset: str) -> str:
    """The tables."""
    models = found["models"]
    equal = [
        [name, f"{one['equal']:,} of {one['rows']:,}", f"{one['apart']:.1e}"]
        for name, one in models.items()
    ]
    columns = {
        "predict": "`network.predict`",
        "raw": "`predict_classes` of raw values",
        "sklearn": "scikit-learn `predict`",
        "onnxruntime": "onnxruntime",
    }
    rows = [
        [name, *(_shown(one["microseconds"].get(column)) for column in columns)]
        for name, one in models.items()
    ]
    return "\n\n".join(
        [
            machine_lines(found["machine"])
            + f"; onnxruntime {onnxruntime.__version__}, one thread each",
            f"Test images of {dataset}, as onnxruntime computes them from raw values: classes that "
            "are those of scratchnet, and the largest difference of a probability.",
            table(["network", "equal classes", "difference"], equal),
            f"Microseconds of one row, the smallest of {TIMES:,}.",
            table(["network", *columns.values()], rows) + "\n",
        ]
    )


def _shown(value: float | None) -> str:
    return "cannot hold it" if value is None else f"{value:.0f}"


if __name__ == "__main__":
    main()
