"""Damaged files at every other door: estimators, run folders, data sets, pictures, TOML.

Only documented errors may come of them; what loads all the same must be usable, and memory stays
within bounds of what the file declares.
"""

import contextlib
import io
import json
import random
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from figures import Figure, folder, run
from fuzz import Tally, _arrays, _change, mutate
from PIL import Image

from scratchnet import cli, load
from scratchnet.cli.compare import read_trial
from scratchnet.cli.config_file import read_config
from scratchnet.compare import Trial
from scratchnet.errors import DataError, ParameterError, ScratchnetError
from scratchnet.estimator import MLPClassifier, MLPRegressor
from scratchnet.runs import RunFolder
from scratchnet.storage.archive import digest
from scratchnet.storage.log import Log
from scratchnet.training import Epoch

FINE = {"refused", "read"}
LONGEST = 5.0
"""Seconds that reading one file may take."""
TABLES = ("history.csv", "steps.csv", "layers.csv")
JSON = ("config.json", "results.json", "history.json")
RUN = ["--train-samples", "60", "--hidden", "5", "--no-report", "-q", "--epochs", "2"]
TOML = b'epochs = 3\nlr = 0.5\noptimizer = ["sgd", "adam"]\nhidden = [5, 4]\nset = "beta1=0.9"\n'
CSV = b"label,x,y,z\n" + b"".join(b"%d,%d,%d.5,7\n" % (k % 3, k, k) for k in range(30))


class Doors:
    """Files as they should be, and for each kind what reads its mutants."""

    def __init__(self, where: Path) -> None:
        self.where, self.slowest = where, 0.0
        self.estimators = {cls: self._estimator(cls) for cls in (MLPClassifier, MLPRegressor)}
        self.run = where / "run"
        if cli.main([*RUN, "--out", str(self.run), "--save-every", "1"]) != 0:
            raise RuntimeError("the run to damage did not end")
        rows = json.loads((self.run / "history.json").read_bytes())
        epochs = tuple(Epoch(**{"number": row.pop("epoch"), **row}) for row in rows)
        trial = Trial("sgd", 0.1, 0, epochs, ((1, 0.5),), 0.1, 0.9, final=True)
        self.trial = json.dumps(asdict(trial)).encode()
        rng = np.random.default_rng(0)
        npz = io.BytesIO()
        x = rng.integers(0, 255, (30, 4, 3), dtype=np.uint8)
        np.savez_compressed(npz, x=x, t=np.array(["a", "b", "c"])[np.arange(30) % 3])
        self.npz = npz.getvalue()
        self.pictures = where / "pictures"
        for k in range(12):
            (self.pictures / "ab"[k % 2]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(x[k]).save(self.pictures / "ab"[k % 2] / f"{k}.png")
        self.picture = self.pictures / "a" / "0.png"
        self.png = self.picture.read_bytes()

    def _estimator(self, cls: Any) -> bytes:
        y = np.arange(40) % 3 if cls is MLPClassifier else np.linspace(0, 1, 40)
        x = np.random.default_rng(1).normal(size=(40, 3))
        path = self.where / "estimator.npz"
        cls(hidden_layer_sizes=(4,), max_iter=2, random_state=0, early_stopping=True).fit(
            x, y
        ).save(path)
        return path.read_bytes()

    def attempt(self, read: Callable[[], object], *also: type[Exception]) -> str:
        """Whether it is "read", "refused" by an error that is documented, or what is wrong."""
        start = time.perf_counter()
        try:
            read()
        except (DataError, ParameterError, *also):
            return "refused"
        except Exception as error:
            return f"{read.__name__}: {type(error).__name__}: {error}"
        finally:
            took = time.perf_counter() - start
            self.slowest = max(self.slowest, took)
        return "read" if took < LONGEST else f"{read.__name__}: {took:.1f} s"

    def estimator(self, rng: random.Random) -> str:
        """An estimator's file, damaged, or with another header and the right digest."""
        cls = rng.choice(list(self.estimators))
        data = self.estimators[cls]
        sealed = rng.random() < 0.4
        path = self.where / "mutant.npz"
        path.write_bytes(_sealed(rng, data) if sealed else mutate(rng, data))

        def estimator() -> None:
            made = cls.load(path)
            made.predict(np.zeros((2, made.n_features_in_)))

        return self.attempt(estimator, *([ScratchnetError, ValueError] if sealed else []))

    def json(self, rng: random.Random) -> str:
        """A file of JSON in the folder of a run."""
        name = rng.choice(JSON)
        data = (self.run / name).read_bytes()
        where = RunFolder.__new__(RunFolder)
        where.path = self.where / "mutant"
        where.path.mkdir(exist_ok=True)
        (where.path / name).write_bytes(_other_json(rng, data))

        def json() -> None:
            where.read_config(), where.read_results(), where.has_history()

        return self.attempt(json)

    def trial_file(self, rng: random.Random) -> str:
        """A trial that a comparison has kept."""
        path = self.where / "trial.json"
        path.write_bytes(_other_json(rng, self.trial))

        def trial() -> None:
            made = read_trial(path)
            made.seconds, made.val_loss, made.until(0.5), made.key

        return self.attempt(trial)

    def log(self, rng: random.Random) -> str:
        """The log of a run, cut and read."""
        log = Log(self.where / "mutant.log")
        data = (self.run / "history.log").read_bytes()
        log.path.write_bytes(mutate(rng, data))

        def log_of_run() -> None:
            log.expect({"bytes": rng.choice((len(data), 2**40, 10)), "digest": "0" * 16})
            log.cut()
            list(log.records())

        return self.attempt(log_of_run)

    def table(self, rng: random.Random) -> str:
        """A table of a run, as a run of version 0.1 is resumed from it."""
        from scratchnet.runs import OF_STEPS, Table

        path = self.where / "mutant.csv"
        path.write_bytes(mutate(rng, (self.run / rng.choice(TABLES)).read_bytes()))
        return self.attempt(Table(path, OF_STEPS).read)

    def toml(self, rng: random.Random) -> str:
        """A file of --config."""
        path = self.where / "mutant.toml"
        path.write_bytes(mutate(rng, TOML))

        def toml() -> None:
            read_config(str(path))

        return self.attempt(toml)

    def csv(self, rng: random.Random) -> str:
        """A data set as a CSV."""
        path = self.where / "mutant_set.csv"
        path.write_bytes(mutate(rng, CSV))

        def csv() -> None:
            load(path)

        return self.attempt(csv)

    def data(self, rng: random.Random) -> str:
        """A data set as an .npz."""
        path = self.where / "mutant_set.npz"
        path.write_bytes(mutate(rng, self.npz))

        def npz() -> None:
            load(path)

        return self.attempt(npz)

    def pixels(self, rng: random.Random) -> str:
        """A folder of pictures, one of them damaged."""
        self.picture.write_bytes(mutate(rng, self.png))

        def pictures() -> None:
            load(self.pictures)

        return self.attempt(pictures)

    def resume(self, rng: random.Random) -> str:
        """A whole run folder with a file or two damaged, resumed: exit 0, or one line."""
        other = self.where / "other"
        shutil.rmtree(other, ignore_errors=True)
        shutil.copytree(self.run, other)
        names = [p.name for p in other.iterdir() if p.is_file()]
        for name in rng.sample(names, rng.choice((1, 1, 2))):
            data = (other / name).read_bytes()
            is_json = name.endswith(".json") and rng.random() < 0.6
            (other / name).write_bytes(_other_json(rng, data) if is_json else mutate(rng, data))
        said = io.StringIO()

        def resume() -> None:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
                code = cli.main(["--resume", str(other), "-q", "--epochs", rng.choice(("2", "3"))])
            if code not in (0, 3, 4):
                raise AssertionError(f"exit {code}: {said.getvalue()[-300:]}")
            if code and said.getvalue().count("error:") != 1:
                raise AssertionError(f"exit {code} and said {said.getvalue()!r}")

        return self.attempt(resume)


def _other_json(rng: random.Random, data: bytes) -> bytes:
    """Damaged, or whole with another value somewhere."""
    if rng.random() < 0.5:
        return mutate(rng, data)
    tree = json.loads(data)
    for _ in range(rng.choice((1, 1, 2))):
        _change(rng, tree)
    if rng.random() < 0.1:
        return b"[" * rng.choice((70, 900, 10**5))
    text = json.dumps(tree)
    if rng.random() < 0.1:
        text = text.replace("0.", "9" * rng.choice((50, 400, 9999)), 1)
    return text.encode()


def _sealed(rng: random.Random, data: bytes) -> bytes:
    """A file of ours with something else in its header or arrays, and the right digest."""
    with np.load(io.BytesIO(data)) as members:
        arrays = {name: members[name] for name in members.files}
    header = json.loads(str(arrays.pop("header")))
    del header["sha256"]
    for _ in range(rng.choice((1, 1, 2))):
        if rng.random() < 0.8:
            _change(rng, header)
        else:
            name = rng.choice(list(arrays))
            arrays[name] = rng.choice(_arrays(arrays[name]))
    try:
        header["sha256"] = digest(arrays, header)
    except ValueError:  # NaN has no digest of ours
        header["sha256"] = ""
    whole = io.BytesIO()
    np.savez(whole, header=np.array(json.dumps(header)), **arrays)
    return whole.getvalue()


SHARES: dict[str, float] = {
    "estimator": 0.1,
    "json": 0.2,
    "trial_file": 0.1,
    "log": 0.1,
    "table": 0.1,
    "toml": 0.2,
    "csv": 0.1,
    "data": 0.08,
    "pixels": 0.019,
    "resume": 0.001,
}
WORDS = {
    "estimator": "files of estimators, damaged or sealed anew",
    "json": "JSON in the folder of a run",
    "trial_file": "trials of a comparison",
    "log": "logs of a run, cut and read",
    "table": "tables of a run",
    "toml": "TOML of --config",
    "csv": "data sets as CSV",
    "data": "data sets as .npz",
    "pixels": "folders of pictures",
    "resume": "run folders, resumed",
}


def measure(count: int, seed: int) -> list[Figure]:
    """So many mutants in all, over every kind of file."""
    rng = random.Random(seed)
    found = []
    with folder(memory=True) as where, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        doors = Doors(where)
        for name, share in SHARES.items():
            tally, one = Tally(set(FINE)), getattr(doors, name)
            for k in range(max(1, round(share * count))):
                tally.add(lambda one=one: one(rng), k % 1000 == 0 and name != "resume")
            note = f"the slowest took {doors.slowest:.2f} s"
            found.append(tally.figure(f"{WORDS[name]}: only documented errors", note))
            doors.slowest = 0.0
    return found


if __name__ == "__main__":
    sys.exit(run(measure, 1_000_000, __doc__))
