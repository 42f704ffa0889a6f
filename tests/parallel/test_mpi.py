"""Training on the ranks of a real MPI, from the command line and as a library."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scratchnet.optimizers import OPTIMIZERS
from scratchnet.parallel import launched
from scratchnet.training.resuming import state_digest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
BESIDE = Path(sys.executable).parent / "mpiexec"
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")
SET = "./set.npz"
"""Small images in the folder that all of these commands run in: quicker to load than digits."""
SECONDS = 60
"""A job with a rank that is gone must be over by then, on a machine that is busy too."""

pytest.importorskip("mpi4py")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MPIEXEC is None, reason="mpiexec is not installed"),
    pytest.mark.xdist_group("mpi"),  # one after the other: each takes all processors
]


@pytest.fixture(scope="module", autouse=True)
def desk(tmp_path_factory):
    """The working folder, with the data set in it."""
    folder = tmp_path_factory.mktemp("desk")
    write_set(folder, 0)
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def write_set(folder, seed, n=1500):
    rng = np.random.default_rng(seed)
    t = rng.integers(0, 10, n)
    x = rng.integers(0, 128, (n, 8, 8), np.uint8)
    x.reshape(n, 64)[np.arange(n), 6 * t] = 255
    np.savez(folder / "set.npz", x_train=x, t_train=t, x_test=x[:200], t_test=t[:200])


def command(ranks, *arguments, program="train.py"):
    return [
        MPIEXEC,
        "-n",
        str(ranks),
        sys.executable,
        "-m",
        "mpi4py",
        str(ROOT / program),
        *arguments,
    ]


def mpi(ranks, *arguments, **options):
    """The finished command line on so many ranks."""
    return subprocess.run(
        command(ranks, "--parallel", "mpi", *map(str, arguments)),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        **options,
    )


def script_on_two_ranks(path):
    """A finished script of its own, under `-m mpi4py`."""
    return subprocess.run(
        command(2, program=path),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def alone(*arguments):
    """The finished command line by itself."""
    return subprocess.run(
        [sys.executable, ROOT / "train.py", *map(str, arguments)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )


def last_digest(folder):
    return state_digest(max(folder.glob("checkpoint-0*.npz")))


def files_in(folder):
    """The names of the files, but for numbered checkpoints: a slow run saves more of them."""
    return {path.name for path in folder.iterdir() if not path.name.startswith("checkpoint-0")}


def weights(folder):
    with np.load(folder / "weights.npz") as file:
        return {name: file[name] for name in file.files if file[name].dtype.kind == "f"}


def close(one, other, bound=1e-4):
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    for name in a:
        assert np.abs(a[name] - b[name]).max() < bound * max(1.0, np.abs(a[name]).max()), name


LESSON = (
    "--dataset", SET, "--epochs", 3, "--hidden", "50", "--batch-size", 32, "--dropout", 0.2,
    "--batch-norm", "--augment", "shift=1", "--patience", 10, "--no-report", "--threads", 1,
)  # fmt: skip


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A run on two ranks."""
    folder = tmp_path_factory.mktemp("two") / "run"
    return mpi(2, *LESSON, "--out", folder), folder


def test_two_ranks_train_what_one_process_does_and_only_the_first_speaks(two, tmp_path):
    done, folder = two
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    serial = alone(*LESSON, "--out", tmp_path / "one")
    assert serial.returncode == 0, serial.stderr
    close(folder, tmp_path / "one")

    def shape(text):
        return [line.split()[0] for line in text.splitlines()]

    assert shape(done.stdout) == shape(serial.stdout)
    assert ", 2 ranks" in done.stdout
    assert files_in(folder) == files_in(tmp_path / "one")


def test_what_ranks_are_told_to_type_next_can_be_typed(tmp_path):
    place = tmp_path / "run"
    done = mpi(2, "--dataset", "digits", "--epochs", 3, "--no-report", "--out", place)
    verdict = json.loads((place / "results.json").read_bytes())["verdict"]
    assert done.stdout.splitlines()[-2].endswith(f"; next: {verdict['command']}")
    words = verdict["command"].split()
    start = ["mpiexec", "-n", "2", "python", "-m", "mpi4py", "train.py", "--parallel", "mpi"]
    assert words[:9] == start
    more = mpi(2, *words[9:])
    assert more.returncode == 0, more.stderr
    assert json.loads((place / "results.json").read_bytes())["epochs"] == 6


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_same_ranks_give_the_same_bits_and_others_the_same_to_rounding(ranks, two, tmp_path):
    done = mpi(ranks, *LESSON, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    close(two[1], tmp_path / "run")
    if ranks == 2:
        assert last_digest(two[1]) == last_digest(tmp_path / "run")


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_ranks_are_one_process_to_rounding_with_every_optimizer(ranks):
    folder = str(Path(__file__).parent)
    done = subprocess.run(
        command(ranks, program="tests/parallel/ranks_of_mpi.py"),
        env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(ROOT), folder])},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 2 * len(OPTIMIZERS)
    bounds = {"float32": 1e-5, "float64": 1e-12}
    assert not {name: far for name, far in found.items() if far > bounds[name.split()[0]]}


def test_one_rank_and_no_launcher_are_one_process_to_the_bit(tmp_path):
    assert mpi(1, *LESSON, "--out", tmp_path / "mpi").returncode == 0
    assert alone(*LESSON, "--parallel", "mpi", "--out", tmp_path / "no").returncode == 0
    assert alone(*LESSON, "--out", tmp_path / "one").returncode == 0
    assert last_digest(tmp_path / "mpi") == last_digest(tmp_path / "one")
    assert last_digest(tmp_path / "no") == last_digest(tmp_path / "one")


def started(ranks, *arguments):
    """A command line that has begun to train."""
    process = subprocess.Popen(
        command(ranks, "--parallel", "mpi", *map(str, arguments)),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("epoch"):
            return process
    raise AssertionError(process.communicate())


def ranks_of(process):
    """The process ids of the ranks, as the system knows them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = dict(
                entry.split("=", 1) for entry in path.read_text().split("\0") if "=" in entry
            )
            parents = _ancestors(int(path.parent.name))
        except (OSError, ValueError):
            continue
        if process.pid in parents and "PMI_RANK" in variables:
            found.append((int(variables["PMI_RANK"]), int(path.parent.name)))
    return [pid for _, pid in sorted(found)]


def _ancestors(pid):
    while pid > 1:
        status = Path(f"/proc/{pid}/stat").read_text()
        pid = int(status.rpartition(")")[2].split()[1])
        yield pid


LONG = ("--dataset", SET, "--dtype", "float64", "--hidden", "20", "--batch-size", 64, "--no-report")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_launcher_saves_and_says_once_how_to_go_on(number, tmp_path):
    folder = tmp_path / "run"
    process = started(2, *LONG, "--epochs", 100_000, "--out", folder)
    process.send_signal(number)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + number
    ours = [line for line in said.splitlines() if line.startswith("train.py")]
    assert len(ours) == 1
    assert re.fullmatch(
        r"train.py: interrupted after step \d+; resume with --parallel mpi --resume \S+", ours[0]
    )
    assert "Abort(" not in said
    # To the step where it was interrupted, and there is nothing more to do than a few epochs.
    steps = int(re.search(r"step (\d+)", said)[1])
    epochs = steps // 22 + 3
    for ranks, where in ((2, "same"), (1, "one")):
        shutil.copytree(folder, tmp_path / where)
        again = mpi(ranks, "--resume", tmp_path / where, "--epochs", epochs)
        assert again.returncode == 0, again.stderr
        assert ("ranks was 2, is 1" in again.stderr) == (ranks == 1)
    unbroken = mpi(2, *LONG, "--epochs", epochs, "--out", tmp_path / "unbroken")
    assert unbroken.returncode == 0, unbroken.stderr
    assert last_digest(tmp_path / "same") == last_digest(tmp_path / "unbroken")
    close(tmp_path / "one", tmp_path / "unbroken", 1e-2)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_is_killed_ends_the_job_and_the_checkpoint_is_good(victim, tmp_path):
    folder = tmp_path / "run"
    process = started(2, *LONG, "--epochs", 100_000, "--save-every", 50, "--out", folder)
    ranks = ranks_of(process)
    os.kill(ranks[victim], signal.SIGKILL)
    process.communicate(timeout=SECONDS)
    assert process.returncode not in (0, None)
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks)
    steps = int(max(folder.glob("checkpoint-0*.npz")).stem.split("-")[1])
    again = mpi(2, "--resume", folder, "--epochs", steps // 22 + 3)
    assert again.returncode == 0, again.stderr


# What is refused, in one line.


def one_line(done, code, *parts):
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    (line,) = [line for line in done.stderr.splitlines() if line]
    assert line.startswith("train.py: ")
    for part in parts:
        assert part in line, line


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["--batch-size", 1], 2, ["each rank needs a row of a batch, got 2 ranks"]),
        (["--epoch", 3], 2, ["unknown argument '--epoch'"]),
        (["--dataset", "nowhere"], 2, ["'nowhere'"]),
        (["--seeds", 3], 2, ["shares the batches of one run"]),
        (["--resume", "nowhere"], 3, ["--resume needs a run"]),
        (["--lr", 1e30, "--optimizer", "sgd"], 5, ["training diverged at step"]),
        (["--out", str(ROOT / "setup.cfg")], 4, ["setup.cfg"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_all_ranks_refuse_is_one_line_and_a_status(arguments, code, parts, tmp_path):
    where = [] if "--out" in arguments or "--resume" in arguments else ["--out", tmp_path / "run"]
    data = [] if "--dataset" in arguments or "--resume" in arguments else ["--dataset", SET]
    one_line(mpi(2, *arguments, *data, *where), code, *parts)


UNEQUAL = """
import os, sys
sys.path.insert(0, {root!r})
from scratchnet.cli import main
sys.argv[0] = "train.py"
rank = int(os.environ["PMI_RANK"])
sys.exit(main(["--parallel", "mpi", "--out", {out!r}, *({first!r} if rank == 0 else {other!r})]))
"""


def unequal(tmp_path, first, other):
    script = tmp_path / "unequal.py"
    script.write_text(
        UNEQUAL.format(root=str(ROOT), out=str(tmp_path / "run"), first=first, other=other)
    )
    return script_on_two_ranks(script)


def test_ranks_with_other_arguments_are_found_at_the_start(tmp_path):
    done = unequal(tmp_path, ["--dataset", SET, "--seed", "1"], ["--dataset", SET, "--seed", "2"])
    one_line(done, 2, "all ranks must have the same --seed, rank 1 has 2, rank 0 1")
    assert not (tmp_path / "run").exists()


def test_ranks_with_other_data_are_found_at_the_start(tmp_path):
    for rank in range(2):
        (tmp_path / f"{rank}").mkdir()
        write_set(tmp_path / f"{rank}", rank)
    script = tmp_path / "moved.py"
    move = f"os.chdir(os.path.join({str(tmp_path)!r}, os.environ['PMI_RANK']))"
    script.write_text(
        UNEQUAL.replace("rank = int", f"{move}\nrank = int").format(
            root=str(ROOT),
            out=str(tmp_path / "run"),
            first=["--dataset", SET],
            other=["--dataset", SET],
        )
    )
    done = script_on_two_ranks(script)
    one_line(done, 2, "all ranks must have the same train, rank 1 has")
    assert not (tmp_path / "run").exists()


def test_a_rank_that_fails_alone_says_why_and_ends_the_job(tmp_path):
    done = unequal(tmp_path, [], ["--optimizer", "nonsense"])
    assert done.returncode == 2
    ours = [line for line in done.stderr.splitlines() if "error:" in line]
    assert len(ours) == 1
    assert "train.py: rank 1: error: argument --optimizer: unknown optimizer" in ours[0]


def test_what_cannot_be_saved_on_the_first_rank_alone_ends_the_job(tmp_path):
    folder = tmp_path / "run"
    huge = ("--lr", "1e39", "--optimizer", "sgd", "--save-every", 1)
    done = mpi(2, "--dataset", SET, "--epochs", 5, *huge, "--out", folder)
    assert done.returncode == 5
    ours = [line for line in done.stderr.splitlines() if line.startswith("train.py")]
    assert len(ours) == 1
    assert "is not finite, and was not saved" in ours[0]


def test_a_bug_on_one_rank_ends_the_job_with_its_traceback(tmp_path):
    script = tmp_path / "bug.py"
    script.write_text(
        f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from scratchnet import MPIGradients, Trainer, TwoLayerNet, load
from mpi4py import MPI
train, test = load({SET!r})
trainer = Trainer(TwoLayerNet(64, 20, 10), train, test, parallel=MPIGradients(MPI.COMM_WORLD))
def on_step(step, loss):
    if step == 5 and MPI.COMM_WORLD.Get_rank() == 1:
        raise RuntimeError("a bug")
trainer.on_step = on_step
for epoch in trainer.run(3):
    pass
"""
    )
    done = script_on_two_ranks(script)
    assert done.returncode == 1
    assert "RuntimeError: a bug" in done.stderr


FULL = """
import os, resource, signal, sys
sys.path.insert(0, {root!r})
from scratchnet.cli import entry as cli
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
start = cli.mpi_world

def limited():
    world = start()  # which has files of its own, that must not be limited
    if world.rank == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    return world

cli.mpi_world = limited
sys.argv[0] = "train.py"
sys.exit(cli.main(["--parallel", "mpi", "--dataset", {set!r}, "--out", {out!r}]))
"""


def test_a_disk_that_is_full_on_the_first_rank_ends_the_job_with_status_4(tmp_path):
    script = tmp_path / "full.py"
    script.write_text(FULL.format(root=str(ROOT), out=str(tmp_path / "run"), set=SET))
    done = script_on_two_ranks(script)
    assert done.returncode == 4
    assert done.stderr.count("train.py: error: cannot write") == 1


# Without an MPI, or with another one's.


def without(code, *arguments, **variables):
    return subprocess.run(
        [sys.executable, "-c", code, "--parallel", "mpi", *arguments],
        env={**ENVIRONMENT, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


NO_MPI4PY = """
import sys
sys.modules["mpi4py"] = None
sys.argv[0] = "train.py"
from scratchnet.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_without_mpi4py_one_sentence_says_what_to_install():
    one_line(without(NO_MPI4PY), 2, "--parallel mpi needs mpi4py", "pip install mpi4py mpich")
    second = without(NO_MPI4PY, PMI_RANK="1", PMI_SIZE="2")
    assert (second.returncode, second.stderr) == (2, "")


NO_LIBRARY = """
import sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "mpi4py.MPI":
            raise RuntimeError("cannot load MPI library")
sys.meta_path.insert(0, Broken())
sys.argv[0] = "train.py"
from scratchnet.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_without_an_mpi_one_sentence_says_so():
    one_line(without(NO_LIBRARY), 2, "found mpi4py, but no MPI", "cannot load MPI library")


OTHER = 'import sys; sys.argv[0] = "train.py"; from scratchnet.cli import main; sys.exit(main())'


def test_the_launcher_of_another_mpi_is_found_out():
    done = without(OTHER, OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_SIZE="4")
    one_line(done, 2, "4 processes were started together, but mpi4py runs on MPICH", "the mpiexec")
    behind = without(OTHER, OMPI_COMM_WORLD_RANK="3", OMPI_COMM_WORLD_SIZE="4")
    assert (behind.returncode, behind.stderr) == (2, "")


def test_processes_that_were_not_told_to_share_are_told_so(tmp_path):
    done = subprocess.run(
        [MPIEXEC, "-n", "2", sys.executable, ROOT / "train.py", "--dry-run", "--dataset", SET],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr.count("2 processes were started together") == 2  # each is by itself
    assert "--parallel mpi" in done.stderr


def test_a_launcher_is_known_by_its_variables(monkeypatch):
    for name in ("PMI_RANK", "PMI_SIZE", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert launched() is None
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "8")
    assert launched() == (3, 8)
    monkeypatch.setenv("PMI_RANK", "1")
    monkeypatch.setenv("PMI_SIZE", "2")
    assert launched() == (1, 2)
