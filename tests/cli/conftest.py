"""A data set of IDX files for the tests of the command line."""

import gzip

import numpy as np
import pytest

from scratchnet.data.idx import header


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    """A folder of four IDX files that a network learns at once: a bright row for each class."""
    folder = tmp_path_factory.mktemp("data") / "bars"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, n in {"train": 400, "t10k": 80}.items():
        labels = (np.arange(n) % 4).astype(np.uint8)
        images = rng.integers(0, 80, (n, 4, 5), dtype=np.uint8)
        images[np.arange(n), labels] += 120
        for name, array in {"images-idx3": images, "labels-idx1": labels}.items():
            content = header(array.shape) + array.tobytes()
            (folder / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
    return str(folder)
