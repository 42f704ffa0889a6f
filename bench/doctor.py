"""The doctor at work on planted faults and on healthy runs.

    python bench/doctor.py --data-dir DIR [--seeds 20] [--healthy 600] [--out FILE]

Each of the faults in lib/faults.py is planted in three doses, in runs on digits, MNIST's first
10,000 and breast cancer, with three optimizers in turn and as many seeds. The weakest dose is the
first that costs 5 points of mean recall on test samples, in the mean of three other seeds; the
strongest is the last of the list; the middle one is between. Each diagnosis is a line of FILE, and
a broken-off run goes on from there. The table goes into docs/measurements/doctor.md.
"""

import itertools
import json
import multiprocessing
import os
import resource
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from lib.faults import (
    FAULTS,
    NEAR,
    OPTIMIZERS,
    Setup,
    followed,
    healthy,
    planted,
    some_run,
)
from lib.page import DOCS, page_parser, write_section
from lib.report import machine, machine_lines, table

from scratchnet.diagnosis import diagnose
from scratchnet.inspection import wilson_interval

SETS_IN = ("digits", "mnist", "cancer")
COST = 0.05
HEALTHY = 100_000
"""The seed of the first healthy run."""
DOSES = ("weak", "middle", "strong")


def doses_of(of: str, fault: str, seed: int, home: str) -> dict[str, float] | None:
    """The three doses by name; None where not even the strongest costs so much."""
    optimizer = OPTIMIZERS[seed % 3]
    warnings.simplefilter("ignore")
    before = healthy(of, optimizer, seed, home).accuracy()
    doses = FAULTS[fault].doses
    for k, dose in enumerate(doses):
        if before - planted(of, fault, dose, optimizer, seed, home).accuracy() >= COST:
            return {
                "weak": dose,
                "middle": doses[(k + len(doses) - 1) // 2],
                "strong": doses[-1],
            }
    return None


def examined(setup: Setup) -> tuple[list[Any], float, Any]:
    """The findings, the seconds, the diagnosis."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = diagnose(
            setup.build(),
            *setup.given,
            setup.optimizer,
            lr=setup.lr,
            epochs=setup.epochs,
            seed=setup.seed,
            **setup.options,
        )
    return list(found.findings), time.perf_counter() - start, found


def one(task: tuple[Any, ...]) -> dict[str, Any]:
    """A planted fault: what was named, and what became of the cure."""
    of, fault, named, dose, seed, home = task
    optimizer = OPTIMIZERS[seed % 3]
    setup = planted(of, fault, dose, optimizer, seed, home)
    findings, seconds, found = examined(setup)
    row = {
        "set": of, "fault": fault, "dose": named, "value": dose, "optimizer": optimizer,
        "seed": seed, "names": [each.name for each in findings], "seconds": seconds,
        "score": found.score, "reference": found.reference,
        "flags": findings[0].words.flags if findings else "",
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }  # fmt: skip
    if named == "strong" and FAULTS[fault].curable:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row["healthy"] = healthy(of, optimizer, seed, home).accuracy()
            row["ill"] = setup.accuracy()
            row["cured"] = followed(setup, row["flags"]).accuracy() if row["flags"] else row["ill"]
    return row


def well(task: tuple[int, str]) -> dict[str, Any] | None:
    """A healthy run: whether anything was found; None for a run that is not healthy."""
    seed, home = task
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        words, run, others = some_run(seed, home)
        reached = run.accuracy()
        if reached < max(other.accuracy() for other in others) - NEAR:
            return {"healthy-run": seed, "words": words, "kept": False}
    findings, seconds, found = examined(run)
    return {
        "healthy-run": seed, "words": words, "kept": True, "seconds": seconds,
        "names": [each.name for each in findings], "score": found.score,
        "reference": found.reference, "reached": reached,
    }  # fmt: skip


def main() -> None:
    """Run what is missing in the file, and print the tables."""
    parser = page_parser(__doc__ or "")
    parser.set_defaults(page=DOCS / "doctor.md")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--healthy", type=int, default=600, help="healthy runs to be drawn")
    parser.add_argument("--sets", nargs="*", default=list(SETS_IN))
    parser.add_argument("--faults", nargs="*", default=list(FAULTS))
    parser.add_argument("--out", default="doctor.jsonl")
    asked = parser.parse_args()
    path, kept = Path(asked.out), Path(asked.out).with_suffix(".doses.json")
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    known = {(row["set"], row["fault"], row["dose"], row["seed"]) for row in rows if "set" in row}
    seen = {row["healthy-run"] for row in rows if "healthy-run" in row}
    doses = json.loads(kept.read_text()) if kept.exists() else {}
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    home = asked.data_dir
    with multiprocessing.get_context("fork").Pool(2) as pool, path.open("a") as file:

        def note(made: Iterable[dict[str, Any]]) -> None:
            for row in made:
                rows.append(row)
                file.write(json.dumps(row) + "\n")
                file.flush()

        for of in asked.sets:
            wanted = [
                each
                for each in itertools.product([of], asked.faults, seeds)
                if " ".join(map(str, each)) not in doses
            ]
            found = pool.starmap(doses_of, [(*each, home) for each in wanted], 1)
            doses |= {" ".join(map(str, k)): v for k, v in zip(wanted, found, strict=True)}
            kept.write_text(json.dumps(doses, indent=1) + "\n")
            tasks = [
                (of, fault, named, chosen[named], seed, home)
                for fault, named, seed in itertools.product(asked.faults, DOSES, seeds)
                if (chosen := doses[f"{of} {fault} {seed}"])
                and (of, fault, named, seed) not in known
            ]
            note(pool.imap_unordered(one, tasks))
        left = [n for n in range(HEALTHY, HEALTHY + asked.healthy) if n not in seen]
        note(pool.imap_unordered(well, [(seed, home) for seed in left]))
    own = [" ".join(map(str, k)) for k in itertools.product(asked.sets, asked.faults, seeds)]
    unplanted = sum(doses[key] is None for key in own)
    text = f"{machine_lines(machine())}\n\n{report(rows, unplanted, len(own))}"
    print(text)
    if not asked.dry_run:
        write_section(asked.page, "doctor", text)


def report(rows: list[dict[str, Any]], unplanted: int, of: int) -> str:
    """What was named by fault and dose, the confusions, alarms, cures, seconds, memory."""
    planted_rows = [row for row in rows if "set" in row]
    groups = defaultdict(list)
    for row in planted_rows:
        groups[row["fault"], row["dose"]].append(row)
        groups["all", row["dose"]].append(row)
        groups[f"all on {row['set']}", row["dose"]].append(row)
    heads = [*FAULTS, "all", *(f"all on {of}" for of in SETS_IN)]
    lines = [counts(head, dose, groups[head, dose]) for head in heads for dose in DOSES]
    named = table(
        ("fault", "dose", "cases", "right", "silent", "wrong", "two names"),
        [line for line in lines if line],
    )
    confusions = Counter(
        (row["fault"], row["names"][0])
        for row in planted_rows
        if row["names"] and row["names"][0] != FAULTS[row["fault"]].name
    )
    wrong = table(
        ("planted", "named first", "cases"), [(*pair, n) for pair, n in confusions.most_common()]
    )
    cured = [row for row in planted_rows if "cured" in row]
    half = sum(row["cured"] - row["ill"] >= 0.5 * (row["healthy"] - row["ill"]) for row in cured)
    wells = [row for row in rows if row.get("kept")]
    alarms = [row for row in wells if row["names"]]
    upper = wilson_interval(len(alarms), len(wells))[1] if wells else 1.0
    false = "\n".join(f"- {row['words']}: {', '.join(row['names'])}" for row in alarms)
    seconds = {
        of: float(np.median([row["seconds"] for row in planted_rows if row["set"] == of]))
        for of in SETS_IN
        if any(row["set"] == of for row in planted_rows)
    }
    took = ", ".join(f"{of} {value:.1f}" for of, value in seconds.items())
    peak = max(row["peak"] for row in planted_rows) / 1024
    return f"""{named}

{unplanted} of {of} cannot be planted: the strongest dose costs less than 5 points there.

Wrong names, over all doses:

{wrong}

- Cures: of {len(cured)} curable cases at the strong dose the flags bring back half of what was lost
  in {half} ({100 * half / max(1, len(cured)):.1f} %).
- Healthy runs: {len(alarms)} alarms in {len(wells)} runs
  ({100 * len(alarms) / max(1, len(wells)):.2f} %; the 95 % interval ends at {100 * upper:.2f} %).
- Seconds of a diagnosis in the median, one thread, two at a time: {took}; most memory of a process
  that made many of them: {peak:.0f} MB.

{"Alarms in healthy runs:" if alarms else ""}

{false}
"""


def counts(head: str, dose: str, of: list[dict[str, Any]]) -> tuple[object, ...] | None:
    """A line of the table: shares of cases."""
    if not of:
        return None
    right = [row["names"][:1] == [FAULTS[row["fault"]].name] for row in of]
    silent = [not row["names"] for row in of]
    two = [len(row["names"]) > 1 for row in of]
    wrong = [not (hit or none) for hit, none in zip(right, silent, strict=True)]
    shares = [f"{100 * np.mean(each):.1f} %" for each in (right, silent, wrong, two)]
    return (head, dose, len(of), *shares)


if __name__ == "__main__":
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name) != "1":
            os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            os.execv(sys.executable, [sys.executable, *sys.argv])
    main()
