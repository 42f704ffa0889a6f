"""A network as a table of its layers."""

import math
from collections.abc import Sequence

from scratchnet.layers import Layer
from scratchnet.layers.layer import walk
from scratchnet.parameters import Array, Shape


def summarize(layers: Sequence[Layer], shapes: Sequence[Shape], vector: Array) -> str:
    """Name, output shape and number of parameters of each layer, and their total."""
    rows = [("Layer", "Output shape", "Parameters")]
    for k, (layer, shape) in enumerate(zip(layers, shapes, strict=True), 1):
        sizes = [shape for one in walk([layer]) for shape in one.shapes.values()]
        count = sum(map(math.prod, sizes))
        rows.append((f"{k} {layer!r}", f"(N, {', '.join(map(str, shape))})", f"{count:,}"))
    wide = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c:>{wide[2]}}" for a, b, c in rows]
    total = f"Total: {vector.size:,} parameters, {vector.dtype}, {_size(vector.nbytes)}"
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], "-" * len(lines[0]), total])


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1024:.1f} KiB" if n_bytes < 2**20 else f"{n_bytes / 2**20:.1f} MiB"
