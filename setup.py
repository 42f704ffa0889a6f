"""The compiled loops, which are built where there is a C compiler; setup.cfg holds all else.

Without a compiler, with SCRATCHNET_LOOPS=0, and on free-threaded Python, which has no stable ABI
yet, the package is pure Python, and NumPy does what the loops would do.
"""

import os
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

UNIX = ["-O3", "-g0", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
"""No operation is fused with another or reordered: loops and NumPy give the same bits."""

wanted = os.environ.get("SCRATCHNET_LOOPS") != "0" and not sysconfig.get_config_var(
    "Py_GIL_DISABLED"
)
loops = Extension(
    "scratchnet.loops._loops",
    ["scratchnet/loops/loops.c"],
    depends=[f"scratchnet/loops/{name}.h" for name in ("kernels", "level", "rules")],
    extra_compile_args=["/O2", "/fp:precise"] if sys.platform == "win32" else UNIX,
    py_limited_api=True,
    optional=True,
)
if "editable_wheel" in sys.argv:  # an old module must not outlive a build that fails
    for old in Path(__file__).parent.glob("scratchnet/loops/_loops*"):
        old.unlink()
setup(
    ext_modules=[loops] if wanted else [],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if wanted else {},
)
