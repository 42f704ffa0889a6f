"""One measurement of training on ranks, in the processes that `ranks.py` starts.

    mpiexec -n 2 python bench/lib/ranks_worker.py '{"what": "step", ...}'

"step": seconds of a training step. "overlap": the same where the gradient of each layer is summed
while those below are computed. "sums": seconds of an Allreduce for each number of bytes. Rank 0
prints the result as JSON; without mpiexec it is one process without MPI.
"""

import json
import sys
import time
from typing import Any

import numpy as np

from scratchnet import MultiLayerNet, Trainer, load
from scratchnet.parallel import MPIGradients, launched
from scratchnet.training import Batch

STEPS = 20
"""Steps of an epoch; the first epoch is not counted."""


def main() -> None:
    job = json.loads(sys.argv[1])
    comm = None
    if launched() is not None:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    if job["what"] == "sums":
        found: Any = sums(comm, job["bytes"], job["repeats"])
    else:
        found = step(comm, job)
    if comm is None or comm.Get_rank() == 0:
        print(json.dumps(found))


def step(comm: Any, job: dict[str, Any]) -> float:
    """The best seconds per step of any epoch."""
    batch, first, *hidden, last = job["batch"], *map(int, job["net"].split("-"))
    train, _ = load("mnist", home=job["data_dir"])
    network = MultiLayerNet(first, hidden, last)
    kind = Overlapping if job["what"] == "overlap" else Trainer
    trainer = kind(
        network,
        train.first(min(STEPS * batch, len(train))),
        optimizer="adam",
        batch_size=batch,
        threads=1,
        parallel=None if comm is None else MPIGradients(comm),
    )
    steps = len(trainer.batches)
    seconds = [epoch.seconds / steps for epoch in trainer.run(1 + job["epochs"])]
    return min(seconds[1:])


class Overlapping(Trainer):
    """Sums the gradient of each layer's weights while those of the layers below are computed."""

    def _forward_backward(self, batch: Batch) -> tuple[float, int]:
        shard = batch.shard
        assert shard is not None
        assert isinstance(self.parallel, MPIGradients)
        from mpi4py import MPI

        comm, network = self.parallel.comm, self.network
        network._set_shard(shard)
        loss = network.forward(batch.x, batch.t, batch.w, train=True)
        sums = np.array([shard.share * loss, network.loss_layer.count_correct()])
        requests = [comm.Iallreduce(MPI.IN_PLACE, sums)]
        dout = network.loss_layer.backward(shard.share)
        for layer in reversed(network.layers):
            layer.param_grads(dout)
            MPI.Request.Testall(requests)  # without such a call MPI does nothing in between
            if "W" in layer.shapes:
                requests.append(comm.Iallreduce(MPI.IN_PLACE, layer.grads["W"]))
            if layer is not network.layers[0]:
                dout = layer.input_grad(dout)
        biases = network.gradient_vector[network._n_weights :]
        requests.append(comm.Iallreduce(MPI.IN_PLACE, biases))
        MPI.Request.Waitall(requests)
        network._set_shard(None)
        return float(sums[0]), int(sums[1])


def sums(comm: Any, sizes: list[int], repeats: int) -> list[float]:
    """The median seconds of an Allreduce in place, for each number of bytes."""
    from mpi4py import MPI

    found = []
    for size in sizes:
        array = np.zeros(size // 4, np.float32)
        seconds = []
        for _ in range(repeats):
            array[...] = 0.0  # in the cache of its rank, as a gradient that was just computed
            comm.Barrier()
            start = time.perf_counter()
            comm.Allreduce(MPI.IN_PLACE, array)
            seconds.append(time.perf_counter() - start)
        found.append(float(np.median(seconds)))
    return found


if __name__ == "__main__":
    main()
