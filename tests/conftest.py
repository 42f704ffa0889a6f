"""For every test: one thread for BLAS, before NumPy is imported.

On a machine that is busy with anything else a second one makes the small products of tests many
times slower.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
