"""The compiled loops, which are built where there is a C compiler; setup.cfg holds all else.

Without a compiler, with SCRATCHNET_LOOPS=0, and on free-threaded Python, which has no stable ABI
yet, the package is pure Python, and NumPy does what the loops would do.
"""

import os
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

UNIX = ["-O3", "-g0", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
"""No operation is fused with another or reordered: loops and NumPy give the same bits."""


class BuildLoops(build_ext):
    """Builds them if it can, and says in one line if it cannot."""

    def build_extension(self, ext: Extension) -> None:
        """Build the module, or go on without it."""
        try:
            super().build_extension(ext)
        except (CCompilerError, ExecError, PlatformError):
            print("scratchnet: there is no C compiler that works; NumPy does all the work")

    def copy_extensions_to_source(self) -> None:
        """Of an editable install: what was built before goes, and would outlive a failure."""
        for old in Path("scratchnet/loops").glob("_loops*"):
            old.unlink()
        names = [self.get_ext_filename(self.get_ext_fullname(ext.name)) for ext in self.extensions]
        if all(Path(self.build_lib, name).exists() for name in names):
            super().copy_extensions_to_source()


wanted = os.environ.get("SCRATCHNET_LOOPS") != "0" and not sysconfig.get_config_var(
    "Py_GIL_DISABLED"
)
loops = Extension(
    "scratchnet.loops._loops",
    ["scratchnet/loops/loops.c"],
    depends=[str(path) for path in sorted(Path("scratchnet/loops").glob("*.h"))],
    extra_compile_args=["/O2", "/fp:precise"] if sys.platform == "win32" else UNIX,
    py_limited_api=True,
)
setup(
    ext_modules=[loops] if wanted else [],
    cmdclass={"build_ext": BuildLoops},
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if wanted else {},
)
