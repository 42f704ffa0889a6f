"""What report.html costs: seconds to make and write it, and its size; goals 2 s and 6 MB.

    python bench/page_cost.py --data-dir DIR

Runs are made in a temporary folder without their pages, then every page is made and written in a
process of its own, imports included, as `--resume` does for a run that lacks its page.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lib.report import parser, table

TRAIN = Path(__file__).parents[1] / "train.py"
RUNS = {
    "digits, 20 epochs": ["--optimizer", "adam"],
    "MNIST, 784-512-512-10, 10 epochs": [
        *("--dataset", "mnist", "--hidden", "512,512", "--epochs", "10"),
    ],
    "digits, 4 optimizers, 5 seeds, grid": [
        *("--optimizer", "sgd", "momentum", "adagrad", "adam", "--seeds", "5"),
        *("--lr-grid", "auto", "--jobs", "1"),
    ],
}


def main() -> None:
    """Make the runs, then their pages, and print the table."""
    arguments = parser(__doc__.splitlines()[0]).parse_args()
    home = [] if arguments.data_dir is None else ["--data-dir", arguments.data_dir]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for k, (name, options) in enumerate(RUNS.items()):
            out = Path(folder) / str(k)
            train([*options, *home, "--no-report", "--out", str(out)])
            without = min(train(["--resume", str(out)]) for _ in range(3))
            seconds = []
            for _ in range(3):
                seconds.append(train(["--resume", str(out), "--report"]))
                page = out / "report.html"
                size = page.stat().st_size
                page.unlink()
            rows.append([name, f"{min(seconds) - without:.2f}", f"{size / 1e6:.2f}"])
    print(table(["page of", "seconds", "MB"], rows))


def train(options: list[str]) -> float:
    """Seconds that the command line takes."""
    start = time.perf_counter()
    subprocess.run([sys.executable, TRAIN, "--quiet", *options], check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
