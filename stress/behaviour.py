"""The record of behaviour: what commands and calls come to, in an old version and in this one.

`compare` runs the same entries with the package of the commit COMMIT and with this one, on this
machine, and compares to the bit. `record` writes down what the package that is imported does.
"""

import argparse
import contextlib
import csv
import fnmatch
import hashlib
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

# Before NumPy is imported, as the number of threads moves the last bits.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from behaviour_calls import calls
from behaviour_facts import differences, facts, find, without_digests
from behaviour_grid import Line, commands
from figures import Figure, folder, say, shout

ROOT = Path(__file__).resolve().parents[1]
COMMIT = "cb1c1fdf9c1ad129b3c8c822a6b892c23a4940fc"
"""The version that this one is compared with."""
EXPECTED: Mapping[str, str] = {
    "call/network/*/names/*": "the number of a parameter counts the layers with a weight W",
    "call/gradients/*/arrays/*/0": "the number of a parameter counts the layers with a weight W",
    "estimator/*": (
        "the estimators have scikit-learn's dtype, starting weights and counts, and weigh samples "
        "by ratios alone"
    ),
    "resume/signal*at step 7/run/tables/layers.csv/*": (
        "a run stopped behind the last step of an epoch wrote down a gradient of 0"
    ),
}
"""Changes that were asked for: the name of an entry, or of a place in it, and the reason.

Stars are allowed, as in "ranks/*" or "*/results/epochs".
"""
QUICK = (
    *("optimizer/adam/float64", "optimizer/rprop/float64", "optimizer/lookahead/float64"),
    *("option/batch-norm/float64", "option/layer-norm/float64", "option/all layers/float64"),
    *("option/ema/float64", "option/clip-norm/float64", "option/patience/float64"),
    *("option/augment/all/float64", "schedule/plateau/float64", "resume/adam", "resume/clash"),
    *("compare/grid/two", "find-lr/two", "surface/beale", "wrong/--l*", "wrong/--dataset n*"),
    *("wrong/--batch-norm --layer-norm", "harmless/--dry-run", "call/optimizer/*/float64"),
    *("call/layer/[bps]*/train", "call/loss/*/float64", "call/network/layer norm"),
    *("call/gradients/plain", "call/initializer/*", "call/schedule/*", "call/find_lr/adam"),
    *("estimator/*/float64", "estimator/*/poisson", "estimator/*/wrong solver"),
)
"""The entries of the quick test: in float64, or a single step, or without arithmetic."""
CONTROL = ("optimizer/adam/*", "resume/adam", "call/optimizer/adam/*")
"""Entries that have to change where Adam does."""
PARTS: Mapping[str, Sequence[str]] = {"all": ("*",), "quick": QUICK, "control": CONTROL}
TIMES = ("seconds", "per_second")
SECONDS = 120
RAISED = "raised"
RUN = "import sys; from scratchnet.cli import main; sys.exit(main())"

Entry = Callable[[], Any]
NEW = {"history.log", "learned", "guess_accuracy", "verdict"}
"""Files and results that the old commit did not write."""


def entries(part: str = "all") -> dict[str, Entry]:
    """What is run for each name of a part."""
    found: dict[str, Entry] = {name: partial(run, lines) for name, lines in commands().items()}
    found |= calls()
    if part == "all":
        return found
    return {
        name: entry
        for name, entry in found.items()
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in PARTS[part])
    }


def run(lines: Sequence[Line]) -> dict[str, Any]:
    """The exit status of each line, and what stands in the folder after the last of them."""
    codes = [shared(line) if line.ranks > 1 else alone(line) for line in lines]
    folders = sorted(path.parent for path in Path().rglob("config.json"))
    return {"codes": codes, **{str(path): look_into(path) for path in folders}}


def alone(line: Line) -> Any:
    """The exit status of a line that is run in this process."""
    try:
        with broken_off(line.signal, line.step):
            return find("main")(shlex.split(line.words))
    except SystemExit as error:
        return error.code
    except Exception as error:  # a bug, which a fresh process would end with 1
        return type(error).__name__


def shared(line: Line) -> int:
    """The exit status of a line that ranks share."""
    mpiexec = str(Path(sys.executable).with_name("mpiexec"))
    python = [sys.executable, "-m", "mpi4py", "-c", RUN]
    return subprocess.run(
        [mpiexec, "-n", str(line.ranks), *python, *shlex.split(line.words)],
        capture_output=True,
        check=False,
        timeout=SECONDS,
    ).returncode


@contextlib.contextmanager
def broken_off(number: int, step: int) -> Iterator[None]:
    """Send this process a signal after a step of Adam, where there is to be one."""
    adam, left = find("Adam"), [step]
    update = adam.update

    def counted(*arguments: Any, **options: Any) -> Any:
        found = update(*arguments, **options)
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(number)
        return found

    if step:
        adam.update = counted
    try:
        yield
    finally:
        adam.update = update


def look_into(path: Path) -> dict[str, Any]:
    """Weights, results and tables of a run, times apart."""
    names = sorted(p.name for p in path.iterdir() if p.is_file() and p.name not in NEW)
    found: dict[str, Any] = {"files": names}
    for name in ("weights.npz", "checkpoint-best.npz"):
        if (path / name).exists():
            with np.load(path / name) as arrays:
                found[name] = {key: arrays[key] for key in arrays.files if key != "header"}
    if (path / "results.json").exists():
        results = json.loads((path / "results.json").read_text(encoding="utf-8"))
        found["results"] = timeless({k: v for k, v in results.items() if k not in NEW})
    found["tables"] = {}
    for place in sorted(path.glob("*.csv")):
        with open(place, newline="", encoding="utf-8") as file:
            rows = json.dumps([timeless(row) for row in csv.DictReader(file)])
        found["tables"][place.name] = {"sha256": hashlib.sha256(rows.encode()).hexdigest()}
    return found


def timeless(tree: Any) -> Any:
    """The tree without what a clock said."""
    if isinstance(tree, dict):
        kept = {key: each for key, each in tree.items() if not any(t in key for t in TIMES)}
        return {key: timeless(each) for key, each in kept.items()}
    return [timeless(each) for each in tree] if isinstance(tree, list) else tree


def result_of(entry: Entry) -> Any:
    """What an entry comes to, in an empty folder, with nothing on the screen."""
    before = Path.cwd()
    os.environ.pop("SCRATCHNET_DATA", None)
    with folder(memory=True) as where, warnings.catch_warnings(), np.errstate():
        warnings.simplefilter("ignore")
        screen = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        os.chdir(where)
        try:
            with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
                return json.loads(json.dumps(facts(entry())))
        except Exception as error:  # a call that is no longer possible; the others go on
            return {RAISED: f"{type(error).__name__}: {error}"}
        finally:
            os.chdir(before)


def chosen(part: str, count: int | None = None, seed: int = 0) -> dict[str, Entry]:
    """The entries of a part, or so many of them, drawn by the seed."""
    found = entries(part)
    drawn = np.random.default_rng(seed).permutation(len(found))[:count]
    names = list(found)
    return {names[k]: found[names[k]] for k in sorted(drawn)}


def record(part: str, count: int | None = None, seed: int = 0) -> dict[str, Any]:
    """What the package that is imported makes of the entries."""
    return {name: result_of(entry) for name, entry in chosen(part, count, seed).items()}


def plant_fault() -> None:
    """Let Adam forget faster than it should: a change that the comparison has to find."""
    adam = find("Adam")
    begin = adam.__post_init__

    def faulty(self: Any) -> None:
        begin(self)
        if self.beta1 == 0.9:
            self.beta1 = 0.91

    adam.__post_init__ = faulty


@dataclass(frozen=True)
class Change:
    """An entry that came out in another way, the first places that differ, and the reason."""

    name: str
    places: Sequence[str]
    reason: str | None

    def __str__(self) -> str:
        more = f" and {len(self.places) - 3} more" if len(self.places) > 3 else ""
        return f"{self.name}: {self.reason or 'NOT EXPECTED'} ({', '.join(self.places[:3])}{more})"


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Every entry that is not the same to the bit."""
    found = []
    for name in [*old, *(name for name in new if name not in old)]:
        if name not in old or name not in new:
            found.append(Change(name, ["missing"], reason_for(name, [])))
            continue
        places = list(differences(old[name], new[name]))
        if isinstance(new[name], dict) and RAISED in new[name]:
            places = [f"/{RAISED}: {new[name][RAISED]}"]  # proves nothing, even where both do it
        if places:
            found.append(Change(name, places, reason_for(name, places)))
    return found


def reason_for(name: str, places: Sequence[str]) -> str | None:
    """Why this change is expected; None unless a pattern has the entry, or one each its places."""
    reasons: dict[str, None] = {}
    for place in places or [""]:
        for pattern, reason in EXPECTED.items():
            if any(fnmatch.fnmatchcase(text, pattern) for text in (name, name + place)):
                reasons[reason] = None
                break
        else:
            return None
    return "; ".join(reasons)


def start(tree: Path, out: Path, words: Sequence[str]) -> subprocess.Popen[bytes]:
    """A process that records what the package in the folder `tree` does."""
    command = [sys.executable, str(Path(__file__).resolve()), "record", "--tree", str(tree)]
    path = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0", "SCRATCHNET_LOOPS": "0"}
    return subprocess.Popen([*command, "--out", str(out), *words], env=path)


def unpack(commit: str, where: Path) -> Path:
    """The package of an old commit, in a new folder; raises SystemExit where there is none."""
    where.mkdir()
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit, "scratchnet"], capture_output=True, check=False
    )
    if packed.returncode:
        raise SystemExit(f"commit {commit[:12]} is not here; fetch the whole history with git")
    subprocess.run(["tar", "-x", "-C", str(where)], input=packed.stdout, check=True)
    return where


def compare(
    tree: Path, words: Sequence[str], fault: Sequence[str] = ()
) -> tuple[list[Change], int]:
    """The entries that changed from COMMIT to the package in `tree`, and how many were run."""
    with folder() as top:
        old, new = top / "old.json", top / "new.json"
        before = start(unpack(COMMIT, top / "old"), old, words)
        after = start(tree, new, [*words, *fault])
        if before.wait() + after.wait():  # both, before the folder goes
            raise SystemExit("the entries could not be run")
        found = json.loads(old.read_bytes())
        return changes(found, json.loads(new.read_bytes())), len(found)


def measure(count: int, seed: int) -> list[Figure]:
    """Compare `count` entries, drawn by the seed; then those that a planted fault has to change."""
    found, ran = compare(ROOT, ["--count", str(count), "--seed", str(seed)])
    for change in found:
        shout(str(change))
    noticed, faulty = compare(ROOT, ["--part", "control"], ["--fault"])
    bad = [change for change in found if change.reason is None]
    note = f"{ran - len(found)} of {ran} entries equal to the bit"
    note += f", {len(found) - len(bad)} changed as asked" if len(found) > len(bad) else ""
    complete = ran == len(entries())
    return [
        Figure(f"behaves as commit {COMMIT[:7]}", len(bad), ran, note, complete=complete),
        Figure("control: another beta1 shows", faulty - len(noticed), faulty, complete=True),
    ]


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Write a record as JSON, one entry a line."""
    lines = [f"{json.dumps(name)}: {json.dumps(each)}" for name, each in found.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read_arguments() -> argparse.Namespace:
    """What to do, with which entries."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("do", choices=("compare", "record"))
    parser.add_argument("--part", choices=tuple(PARTS), default="all", help="which entries")
    parser.add_argument("--count", type=int, help="so many entries, drawn by --seed (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tree", type=Path, help="folder of the package (default: this checkout)")
    parser.add_argument("--out", type=Path, help="file of the record")
    parser.add_argument("--fault", action="store_true", help="plant a fault, as a control")
    return parser.parse_args()


def main() -> int:
    """Compare or record; the exit status is 1 where a change was not expected."""
    options = read_arguments()
    begin = time.perf_counter()
    if options.do == "record":
        place = Path(find("main").__code__.co_filename)
        if options.tree is not None and options.tree.resolve() not in place.resolve().parents:
            raise SystemExit(f"scratchnet was imported from {place}, not from {options.tree}")
        if options.fault:
            plant_fault()
        found = record(options.part, options.count, options.seed)
        stored = without_digests(found) if options.part == "quick" else found
        write(options.out or Path("behaviour.json"), stored)
        return 0
    words = ["--part", options.part, "--seed", str(options.seed)]
    words += [] if options.count is None else ["--count", str(options.count)]
    changed, ran = compare(options.tree or ROOT, words, ["--fault"] * options.fault)
    for change in changed:
        say(str(change))
    say(f"{ran - len(changed)} of {ran} entries equal to the bit")
    say(f"{time.perf_counter() - begin:.0f} s")
    return 1 if any(change.reason is None for change in changed) else 0


if __name__ == "__main__":
    sys.exit(main())
