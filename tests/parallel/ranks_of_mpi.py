"""Every optimizer on the ranks of a real MPI beside one process; test_mpi.py runs it by mpiexec.

Rank 0 prints how far apart they are after an epoch, by precision and optimizer, as JSON.
"""

import json

from mpi4py import MPI
from test_parallel import BOUNDS, difference, network, train

from scratchnet.optimizers import OPTIMIZERS, make_optimizer


def main():
    found = {}
    for dtype in BOUNDS:
        for name in OPTIMIZERS:
            full = make_optimizer(name).full_batch
            options = {"optimizer": name, "lr": None, "batch_size": None if full else 20}

            def make(dtype=dtype):
                return network(dtype, dropout=0.2)

            serial = train(make, **options)
            shared = train(make, MPI.COMM_WORLD, **options)
            far = MPI.COMM_WORLD.allgather(difference(serial, shared))
            found[f"{dtype} {name}"] = max(far)
    if MPI.COMM_WORLD.Get_rank() == 0:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
