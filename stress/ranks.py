"""SIGKILL to one rank of a job at a random moment: it must be over, and can be resumed.

Jobs of two and three ranks under mpiexec save every few steps; one rank, any of them, is killed at
any time after the first epoch has begun. All processes must be gone within five seconds, every
checkpoint must be whole, and the job that goes on must end where an unbroken one does, to the bit.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from figures import Figure, folder, run, shout

from scratchnet.errors import DataError
from scratchnet.training.resuming import Checkpoints, state_digest

ROOT = Path(__file__).resolve().parents[1]
MPIEXEC = str(Path(sys.executable).with_name("mpiexec"))
RANKS = (2, 3)
SECONDS = 5.0
EPOCHS = 40
CASE = ("--hidden", "30", "--batch-size", "64", "--dropout", "0.2", "--batch-norm", "--no-report")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}


def command(ranks: int, *arguments: str) -> list[str]:
    """The command line of a job."""
    python = [sys.executable, "-m", "mpi4py", str(ROOT / "train.py"), "--parallel", "mpi"]
    return [MPIEXEC, "-n", str(ranks), *python, "--epochs", str(EPOCHS), *arguments]


def finish(ranks: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The job, at its end."""
    return subprocess.run(
        command(ranks, "--quiet", *arguments),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def ranks_of(launcher: int) -> dict[int, int]:
    """The process of every rank below the launcher."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/environ"):
        pid = int(path.parent.name)
        try:
            words = path.read_bytes().split(b"\0")
            rank = next((w[9:] for w in words if w.startswith(b"PMI_RANK=")), None)
            if rank is not None and launcher in ancestors(pid):
                found[int(rank)] = pid
        except (OSError, ValueError):  # it has gone
            continue
    return found


def ancestors(pid: int) -> list[int]:
    """The processes above one."""
    found = []
    while pid > 1:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        pid = int(status.rpartition(")")[2].split()[1])
        found.append(pid)
    return found


def kill_one(
    ranks: int, where: Path, rng: random.Random, duration: float
) -> tuple[float, int, list[str]] | None:
    """Seconds until all is gone after a rank was killed, status, and what the ranks said of it.

    None where the job was through before.
    """
    job: subprocess.Popen[Any] = subprocess.Popen(
        command(ranks, *CASE, "--save-every", str(rng.randint(3, 30)), "--out", str(where)),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert job.stdout is not None
    for line in job.stdout:
        if line.startswith("epoch"):
            break
    below = ranks_of(job.pid)
    time.sleep(rng.uniform(0, duration))
    victim = rng.randrange(ranks)
    try:
        os.kill(below[victim], signal.SIGKILL)
    except (KeyError, ProcessLookupError):
        job.communicate()
        return None
    begin = time.perf_counter()
    said = ""
    try:
        _, said = job.communicate(timeout=10 * SECONDS)
    except subprocess.TimeoutExpired:
        job.kill()
    while any(alive(pid) for pid in below.values()) and time.perf_counter() - begin < 60:
        time.sleep(0.01)
    own = [line for line in said.splitlines() if "train.py" in line or "Traceback" in line]
    return time.perf_counter() - begin, job.returncode, own


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def measure(count: int, seed: int) -> list[Figure]:
    """As many jobs with a rank that is killed."""
    rng = random.Random(seed)
    kills = slow = loud = hurt = wrong = 0
    slowest = 0.0
    with folder() as top:
        wholes, durations = {}, {}
        for ranks in RANKS:
            begin = time.perf_counter()
            done = finish(ranks, *CASE, "--out", str(top / f"whole-{ranks}"))
            durations[ranks] = time.perf_counter() - begin
            if done.returncode:
                raise SystemExit(done.stderr)
            wholes[ranks] = state_digest(Checkpoints(top / f"whole-{ranks}").latest()[0])
        while kills < count:
            ranks, where = rng.choice(RANKS), top / "run"
            found = kill_one(ranks, where, rng, durations[ranks] / 2)
            if found is not None and not (found[1] == 0 and (where / "results.json").exists()):
                kills += 1
                seconds, _, said = found
                loud += bool(said)
                slowest = max(slowest, seconds)
                slow += seconds > SECONDS
                try:
                    for path in Checkpoints(where).numbered():
                        state_digest(path)
                    done = finish(ranks, "--resume", str(where))
                    if done.returncode:
                        raise DataError(done.stderr)
                    if state_digest(Checkpoints(where).latest()[0]) != wholes[ranks]:
                        wrong += 1
                        shout(f"{ranks} ranks, kill {kills}: another end")
                except DataError as error:
                    hurt += 1
                    shout(f"{ranks} ranks, kill {kills}: {error}")
            shutil.rmtree(where, ignore_errors=True)
    return [
        Figure("a rank was killed: all over within 5 s", slow, kills, f"slowest {slowest:.2f} s"),
        Figure("nobody but the launcher said anything", loud, kills),
        Figure("its checkpoints were whole, and the job was resumed", hurt, kills),
        Figure("it ended where an unbroken job does, to the bit", wrong, kills),
    ]


if __name__ == "__main__":
    sys.exit(run(measure, 50, __doc__))
