"""Damaged files end in DataError, or hold what was saved. See stress/."""

import importlib
import sys
from pathlib import Path

import pytest

from scratchnet.errors import DataError
from scratchnet.storage import archive

pytestmark = pytest.mark.slow

sys.path.append(str(Path(__file__).parents[2] / "stress"))
fuzz = importlib.import_module("fuzz")
fuzz_doors = importlib.import_module("fuzz_doors")


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("kind", [fuzz.archives, fuzz.idxs])
def test_mutants_are_refused_or_harmless(kind):
    for figure in kind(2000, 1):
        assert figure.kept, str(figure)


def test_every_flipped_bit_of_a_packed_idx_file_is_found_or_harmless():
    found = fuzz.idxs(0, 0)[1]
    assert found.failures == 0
    assert found.trials > 1000


def test_control_without_the_digest_there_are_flips_that_pass(tmp_path, monkeypatch):
    """A bit of the header's digest alone, and CRCs made to fit: only the SHA-256 finds those."""
    saved = fuzz.Archives(tmp_path)
    data = saved.files[1]
    other = fuzz.io.BytesIO()
    arrays = dict(saved.raw[1])
    arrays["W1"] = arrays["W1"] + 1
    fuzz.np.savez(other, **arrays)
    assert saved.read(data, 1) == "harmless"
    assert saved.read(other.getvalue(), 1) == "refused"
    said = fuzz.json.loads(str(arrays["header"]))["sha256"]
    monkeypatch.setattr(archive, "digest", lambda *_: said)
    assert saved.read(other.getvalue(), 1) == "other content"


def test_only_the_error_for_data_comes_of_nothing_at_all(tmp_path):
    (tmp_path / "empty.npz").touch()
    with pytest.raises(DataError):
        archive.read_archive(tmp_path / "empty.npz")


def test_an_array_where_a_table_belongs_is_refused(tmp_path):
    case = fuzz.Case("adam", "one-cycle", "float32")
    trainer, stopping = case.make()
    path = tmp_path / "checkpoint.npz"
    fuzz.save_checkpoint(path, trainer, stopping)
    arrays, header = archive.read_archive(path)
    archive.write_archive(path, arrays, {**header, "trainer": {"array": "W1"}})
    with pytest.raises(DataError):
        fuzz.restore_checkpoint(path, *case.make())


def test_mutants_at_the_other_doors_are_refused_or_read():
    found = fuzz_doors.measure(3000, 2)
    assert len(found) == len(fuzz_doors.SHARES)
    for figure in found:
        assert figure.kept, str(figure)
