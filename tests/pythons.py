"""The quick tests on every Python that scratchnet is for and that this machine has.

    python tests/pythons.py [3.12 3.13]

Each gets an environment of its own, which goes afterwards. That of this process is left out: its
tests have run. On Python 3.12 NumPy does all the work, without compiled loops. Says which were
found; ends with 1 if one of them failed.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
WITHOUT_LOOPS = "3.12"
ASK = "import sys; print('.'.join(map(str, sys.version_info[:2])))"


def main() -> int:
    """Run the tests, and say which Pythons there are."""
    wanted = sys.argv[1:] or [v for v in VERSIONS if v != version_of(sys.executable)]
    found = {version: python for version in wanted for python in candidates(version)}
    print(f"Python {', '.join(found) or 'alone'} found, of {', '.join(wanted)}", flush=True)
    failed = [version for version, python in found.items() if not passes(version, python)]
    if failed:
        print(f"the tests failed on Python {', '.join(failed)}", file=sys.stderr)
    return len(failed) > 0


def candidates(version: str) -> Iterator[str]:
    """A Python of this version, if one answers: on the path, or one that pyenv has installed."""
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = [p for p in home.glob(f"{version}.*") if re.fullmatch(r"[\d.]+", p.name)]
    places = [shutil.which(f"python{version}"), *(str(p / "bin" / "python") for p in installed)]
    for python in places:
        if python is not None and version_of(python) == version:
            yield python
            return


def version_of(python: str) -> str:
    """The version that a program says it has, or nothing."""
    try:
        asked = subprocess.run([python, "-c", ASK], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return asked.stdout.strip()


def passes(version: str, python: str) -> bool:
    """Whether the quick tests pass in a new environment of that Python."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run = [str(Path(folder) / "bin" / "python"), "-m"]
        subprocess.run([python, "-m", "venv", folder], check=True)
        editable = ["--config-settings", "editable_mode=compat", "--editable", ".[quick]"]
        loops = "0" if version == WITHOUT_LOOPS else "1"
        env = {**os.environ, "SCRATCHNET_LOOPS": loops}
        install = [*run, "pip", "install", "--quiet", *editable]
        subprocess.run(install, cwd=ROOT, env=env, check=True)
        tests = ["pytest", "-q", "-n", "auto", "--dist", "loadgroup", "-m", "not slow"]
        command = [*run, *tests, "-p", "no:cacheprovider"]
        ended = subprocess.run(command, cwd=ROOT, env=env, check=False)
    seconds = time.perf_counter() - start
    print(f"Python {version}: exit {ended.returncode} after {seconds:.0f} s", flush=True)
    return ended.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
