"""Seconds for one epoch of MNIST with 784-100-10, ReLU and Adam: scratchnet and others.

Every measurement is a process of its own: it holds the training images in memory as float32, warms
up on ten batches, trains a new network for some epochs, and divides the time by their number;
shuffling counts, loading, evaluation and imports do not. The repeats of all systems are
interleaved and their order rotates, so that a busy moment of the machine falls on all of them.
OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are taken out of the children's environment.

The systems that need torch run under `--torch-python`, whose environment needs torch and NumPy
only; without torch there they are left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from lib.report import (
    BLAS_VARIABLES,
    THREAD_VARIABLES,
    machine,
    machine_lines,
    parser,
    table,
    write_json,
)

HIDDEN = 100
LR = 0.001  # Adam's default in all of them
OURS = "scratchnet"
GOAL = 0.975  # mean test accuracy of scratchnet after the default epochs at batches of 64

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Job:
    """What one child does; its fields are the child's command line."""

    system: str
    epochs: int
    batch_size: int
    threads: int
    seed: int
    lr: float


@dataclass(frozen=True)
class Outcome:
    """What a child found: wall seconds of all epochs, test accuracy, versions."""

    seconds: float
    accuracy: float
    about: str


Train = Callable[[Job, Arrays], Outcome]


def train_scratchnet(job: Job, data: Arrays) -> Outcome:
    """Train from float32 images in memory."""
    return _train_scratchnet(job, data, (data["x_train"], data["t_train"]))


def train_scratchnet_bytes(job: Job, data: Arrays) -> Outcome:
    """Train from bytes in memory, as `load` gives them, each batch scaled by 1/255."""
    from scratchnet import Samples

    pixels = np.rint(data["x_train"] * 255).astype(np.uint8)
    return _train_scratchnet(job, data, Samples(pixels, data["t_train"], scale=1 / 255))


def _train_scratchnet(job: Job, data: Arrays, samples: Any) -> Outcome:
    import scratchnet
    from scratchnet import MultiLayerNet, Trainer, environment

    def trainer(part: Any) -> Trainer:
        network = MultiLayerNet(784, [HIDDEN], 10, seed=job.seed)
        return Trainer(
            network,
            part,
            optimizer="adam",
            lr=job.lr,
            batch_size=job.batch_size,
            seed=job.seed,
            threads=job.threads,
        )

    few = 10 * job.batch_size
    for _ in trainer((data["x_train"][:few], data["t_train"][:few])).run(1):
        pass
    trained = trainer(samples)
    start = time.perf_counter()
    for _ in trained.run(job.epochs):
        pass
    seconds = time.perf_counter() - start
    accuracy = trained.network.accuracy(data["x_test"], data["t_test"])
    blas = environment.describe()["blas"][0]
    about = (
        f"{scratchnet.__version__}, NumPy {np.__version__}, {blas['internal_api']} "
        f"{blas['version']} {blas['architecture']}"
    )
    return Outcome(seconds, accuracy, about)


def train_sklearn(job: Job, data: Arrays) -> Outcome:
    """scikit-learn's MLPClassifier, one `fit`, kept from stopping before its last epoch."""
    import sklearn
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    def model(epochs: int) -> MLPClassifier:
        return MLPClassifier(
            (HIDDEN,),
            batch_size=job.batch_size,
            learning_rate_init=job.lr,
            alpha=0.0,
            max_iter=epochs,
            tol=0.0,
            n_iter_no_change=epochs + 1,
            random_state=job.seed,
        )

    warnings.simplefilter("ignore", ConvergenceWarning)  # what max_iter is there for
    few = 10 * job.batch_size
    model(1).fit(data["x_train"][:few], data["t_train"][:few])
    trained = model(job.epochs)
    start = time.perf_counter()
    trained.fit(data["x_train"], data["t_train"])
    seconds = time.perf_counter() - start
    right = trained.predict(data["x_test"]) == data["t_test"]
    return Outcome(seconds, float(np.mean(right)), sklearn.__version__)


def train_torch(job: Job, data: Arrays) -> Outcome:
    """torch, eager, with Adam as tutorials write it."""
    return _train_torch(job, data, fused=None)


def train_torch_fused(job: Job, data: Arrays) -> Outcome:
    """torch, eager, with Adam(fused=True)."""
    return _train_torch(job, data, fused=True)


def _train_torch(job: Job, data: Arrays, *, fused: bool | None) -> Outcome:
    import torch  # type: ignore[import-not-found,unused-ignore]
    from torch import nn  # type: ignore[import-not-found,unused-ignore]

    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    x, t = torch.from_numpy(data["x_train"]), torch.from_numpy(data["t_train"])

    def train(rows: int, epochs: int) -> nn.Module:
        net = nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
        optimizer = torch.optim.Adam(net.parameters(), lr=job.lr, fused=fused)
        loss_of = nn.CrossEntropyLoss()
        for _ in range(epochs):
            for index in torch.randperm(rows).split(job.batch_size):
                optimizer.zero_grad()
                loss_of(net(x[index]), t[index]).backward()
                optimizer.step()
        return net

    train(10 * job.batch_size, 1)
    start = time.perf_counter()
    net = train(len(x), job.epochs)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        best = net(torch.from_numpy(data["x_test"])).argmax(dim=1).numpy()
    return Outcome(seconds, float(np.mean(best == data["t_test"])), torch.__version__)


SYSTEMS: Mapping[str, Train] = MappingProxyType(
    {
        OURS: train_scratchnet,
        "scratchnet-bytes": train_scratchnet_bytes,
        "scikit-learn": train_sklearn,
        "torch": train_torch,
        "torch-fused": train_torch_fused,
    }
)
"""The systems by name; what needs torch is called torch-something."""


def main() -> None:
    options = _arguments()
    if options.job is not None:
        _child(Job(**json.loads(options.job)), Path(options.data_dir))
        return
    found = machine()
    print(machine_lines(found))
    print(f"- In the children: {', '.join(BLAS_VARIABLES)} removed, threads as given\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        _save_arrays(Path(folder), options.data_dir)
        times = _time(options, Path(folder))
        accuracies = [
            _measure(
                Job(OURS, options.epochs, 64, 1, seed, options.lr), options, Path(folder)
            ).accuracy
            for seed in range(options.accuracy_seeds)
        ]
    _print_results(times, accuracies, options)
    runs = [
        {**vars(job), **vars(outcome)}
        for jobs in times.values()
        for job, outcome in jobs or ()  # None: not installed
    ]
    write_json(options.json, {"machine": found, "runs": runs, "accuracies": accuracies})


def _arguments() -> argparse.Namespace:
    made = parser("Seconds for one epoch of MNIST, 784-100-10, and accuracy after some epochs.")
    made.add_argument("--epochs", type=int, default=5, help="of each run (default 5)")
    made.add_argument("--repeats", type=int, default=5, help="runs of each system (default 5)")
    made.add_argument("--batch-sizes", type=int, nargs="+", default=[64, 128])
    made.add_argument("--lr", type=float, default=LR, help=f"of Adam (default {LR})")
    made.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    made.add_argument(
        "--accuracy-seeds", type=int, default=10, help="runs at batch 64 (default 10)"
    )
    made.add_argument("--torch-python", default=sys.executable, help="a Python that has torch")
    made.add_argument("--only", nargs="+", choices=tuple(SYSTEMS), default=list(SYSTEMS))
    made.add_argument("--job", help=argparse.SUPPRESS)  # what makes this process a child
    return made.parse_args()


def _save_arrays(folder: Path, home: str | None) -> None:
    """Write MNIST as the children read it: float32 images, intp labels."""
    from scratchnet import load

    for part, samples in zip(("train", "test"), load("mnist", home=home), strict=True):
        x, t = samples[:]
        np.save(folder / f"x_{part}.npy", x)
        np.save(folder / f"t_{part}.npy", t)


Settings = tuple[int, int, str]  # batch size, threads, system
Runs = list[tuple[Job, Outcome]]


def _time(options: argparse.Namespace, folder: Path) -> dict[Settings, Runs | None]:
    """All runs, interleaved: each repeat goes through all settings, from another one on."""
    settings = [
        (b, n, s) for b in options.batch_sizes for n in options.threads for s in options.only
    ]
    has_torch = _has_torch(options.torch_python)
    times: dict[Settings, Runs | None] = {
        one: [] if has_torch or not one[2].startswith("torch") else None for one in settings
    }
    for repeat in range(options.repeats):
        shift = repeat * len(settings) // options.repeats
        for one in settings[shift:] + settings[:shift]:
            runs = times[one]
            if runs is not None:
                job = Job(one[2], options.epochs, one[0], one[1], repeat, options.lr)
                runs.append((job, _measure(job, options, folder)))
        print(f"repeat {repeat + 1} of {options.repeats} done, {_load()}", file=sys.stderr)
    return times


def _has_torch(python: str) -> bool:
    return subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0


def _load() -> str:
    return f"load {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "load unknown"


def _measure(job: Job, options: argparse.Namespace, folder: Path) -> Outcome:
    """Run one job in a fresh process; raises CalledProcessError where it fails."""
    python = options.torch_python if job.system.startswith("torch") else sys.executable
    variables = {name: value for name, value in os.environ.items() if name not in BLAS_VARIABLES}
    variables |= dict.fromkeys(THREAD_VARIABLES, str(job.threads))
    command = [python, __file__, "--data-dir", str(folder), "--job", json.dumps(vars(job))]
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    return Outcome(**json.loads(done.stdout))


def _child(job: Job, folder: Path) -> None:
    """Do the job and print its outcome."""
    names = ("x_train", "t_train", "x_test", "t_test")
    data = {name: np.load(folder / f"{name}.npy") for name in names}
    print(json.dumps(vars(SYSTEMS[job.system](job, data))))


def _print_results(
    times: Mapping[Settings, Runs | None], accuracies: Sequence[float], options: argparse.Namespace
) -> None:
    """A table for each batch size, the versions, and the accuracy over many seeds."""
    print(f"{options.repeats} repeats of {options.epochs} epochs.")
    for batch_size in options.batch_sizes:
        print(f"\nBatches of {batch_size}:\n\n{_table(times, batch_size)}")
    about = {job.system: out.about for runs in times.values() for job, out in runs or ()}
    print("\nVersions: " + "; ".join(f"{name} {text}" for name, text in about.items()) + ".")
    if accuracies:
        print(f"\n{_accuracy_line(accuracies, options)}")


def _accuracy_line(accuracies: Sequence[float], options: argparse.Namespace) -> str:
    """The mean accuracy over many seeds, and whether it is what it should be."""
    mean, low, high = statistics.fmean(accuracies), min(accuracies), max(accuracies)
    what = f"batches of 64, Adam {options.lr:g}, {options.epochs} epochs, {len(accuracies)} seeds"
    return (
        f"{OURS}, {what}: mean test accuracy {mean:.4f} (min {low:.4f}, max {high:.4f}); "
        f"goal {GOAL}: {'reached' if mean >= GOAL else 'missed'}."
    )


def _table(times: Mapping[Settings, Runs | None], batch_size: int) -> str:
    """A row for each thread count and system; the ratio is that of the best times."""
    rows: list[tuple[object, ...]] = []
    for (batch, threads, system), runs in times.items():
        if batch != batch_size:
            continue
        if runs is None:
            rows.append((system, threads, "not installed", "–", "–", "–"))
            continue
        seconds = [outcome.seconds / job.epochs for job, outcome in runs]
        ours = [out.seconds / job.epochs for job, out in times.get((batch, threads, OURS)) or ()]
        ratio = f"{min(seconds) / min(ours):.2f}" if ours else "–"
        accuracy = f"{statistics.fmean(outcome.accuracy for _, outcome in runs):.4f}"
        median = statistics.median(seconds)
        rows.append((system, threads, f"{min(seconds):.3f}", f"{median:.3f}", ratio, accuracy))
    head = ("system", "threads", "best s/epoch", "median", "ratio to scratchnet", "accuracy (mean)")
    return table(head, rows)


if __name__ == "__main__":
    main()
