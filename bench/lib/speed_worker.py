"""One system trains one net, in a process of its own: `python speed_worker.py JOB`, JSON out.

JOB is a `nets.Job` as JSON. The data are read, the system is built, one epoch warms it up, and
`epochs` more are timed together: shuffling counts, imports, loading and evaluation do not. What the
first epoch took longer than the others is called compiling. Then the weights are taken out and
checked. Nothing but NumPy and the system itself is imported.
"""

import json
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nets
import numpy as np


class System(ABC):
    """Something that trains: made from a job, the data and the starting weights."""

    about = f"NumPy {np.__version__}"

    @abstractmethod
    def __init__(self, job: nets.Job, data: nets.Data, start: nets.Weights) -> None: ...

    @abstractmethod
    def train(self, epochs: int) -> None:
        """Visit all samples once an epoch, in a new order; back when all is computed."""

    @abstractmethod
    def weights(self) -> nets.Weights:
        """What it has learnt so far."""


class Scratchnet(System):
    """The Trainer on bytes, as `load` gives them: each batch becomes float32 as it is gathered."""

    def __init__(self, job: nets.Job, data: nets.Data, start: nets.Weights) -> None:
        import scratchnet
        from scratchnet.environment import describe

        loops = describe()["loops"]
        self.about = f"scratchnet {scratchnet.__version__}, loops: {loops}, NumPy {np.__version__}"
        first, *hidden, last = nets.sizes(job.net)
        self.network = scratchnet.MultiLayerNet(first, hidden, last)
        for k, (W, b) in enumerate(start, 1):
            self.network.params[f"W{k}"], self.network.params[f"b{k}"] = W, b
        self.trainer = scratchnet.Trainer(
            self.network,
            scratchnet.Samples(data.pixels, data.t, scale=data.scale),
            optimizer="adam",
            lr=nets.LR,
            batch_size=job.batch,
            seed=job.seed,
            threads=job.threads,
        )

    def train(self, epochs: int) -> None:
        """So many epochs of the Trainer."""
        for _ in self.trainer.run(epochs):
            pass

    def weights(self) -> nets.Weights:
        """Copies of the parameters."""
        params = self.network.params
        layers = range(1, len(params) // 2 + 1)
        return [(params[f"W{k}"].copy(), params[f"b{k}"].copy()) for k in layers]


class ScratchnetNumPy(Scratchnet):
    """The same without compiled loops: NumPy does all the work."""

    def __init__(self, job: nets.Job, data: nets.Data, start: nets.Weights) -> None:
        from scratchnet import loops

        self._without = loops.without()
        self._without.__enter__()  # to the end of this process
        super().__init__(job, data, start)


class Products(System):
    """The matrix products of every step and nothing else: what no system on this BLAS can beat."""

    def __init__(self, job: nets.Job, data: nets.Data, start: nets.Weights) -> None:
        rng = np.random.default_rng(job.seed)
        rows = min(job.batch, len(data.t))
        self.lengths = [s.stop - s.start for s in nets.slices(len(data.t), job.batch)]
        self.W = [W for W, _ in start]
        self.dW = [np.empty_like(W) for W in self.W]
        wide = nets.sizes(job.net)
        self.x = [rng.random((rows, n), dtype=np.float32) for n in wide]
        self.dx = [rng.random((rows, n), dtype=np.float32) for n in wide]

    def train(self, epochs: int) -> None:
        """The products of so many epochs; nothing is learnt."""
        for _ in range(epochs):
            for n in self.lengths:
                self._step(n)

    def _step(self, n: int) -> None:
        """y = x W for all layers, then dW = x^T dy and dx = dy W^T, but for the lowest dx."""
        for k, W in enumerate(self.W):
            np.matmul(self.x[k][:n], W, out=self.x[k + 1][:n])
        for k in reversed(range(len(self.W))):
            np.matmul(self.x[k][:n].T, self.dx[k + 1][:n], out=self.dW[k])
            if k:
                np.matmul(self.dx[k + 1][:n], self.W[k].T, out=self.dx[k][:n])

    def weights(self) -> nets.Weights:
        """None: it does not learn."""
        return []


class ScikitLearn(System):
    """MLPClassifier on float32: its one `fit`, with none of its ways to stop early.

    It goes on from weights that were put into it, which `warm_start` is for. Its check of the data
    for NaN, once a fit, is switched off.
    """

    def __init__(self, job: nets.Job, data: nets.Data, start: nets.Weights) -> None:
        import sklearn
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        warnings.simplefilter("ignore", ConvergenceWarning)  # what max_iter is there for
        sklearn.set_config(assume_finite=True)
        self.about = f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}"
        self.x, self.t = data.x(), data.t
        self.model = MLPClassifier(
            tuple(nets.sizes(job.net)[1:-1]),
            batch_size=min(job.batch, len(data.t)),
            learning_rate_init=nets.LR,
            beta_1=nets.BETA1,
            beta_2=nets.BETA2,
            epsilon=nets.EPS,
            alpha=0.0,
            tol=0.0,
            n_iter_no_change=1_000_000,
            random_state=job.seed,
            warm_start=True,
            max_iter=1,
        )
        self.model.fit(self.x[:1000], self.t[:1000])  # what makes its arrays
        self.model.coefs_ = [W.copy() for W, _ in start]
        self.model.intercepts_ = [b.copy() for _, b in start]

    def train(self, epochs: int) -> None:
        """One fit of so many epochs, from the weights that there are."""
        self.model.set_params(max_iter=epochs).fit(self.x, self.t)

    def weights(self) -> nets.Weights:
        """Its coefs_ and intercepts_."""
        return list(zip(self.model.coefs_, self.model.intercepts_, strict=True))


class Torch(System):
    """torch, eager, Adam as tutorials write it; float32 in a tensor, batches by a random index.

    Without a DataLoader, which would make it much slower.
    """

    fused: bool | None = None

    def __init__(self, job: nets.Job, data: nets.Data, start: nets.Weights) -> None:
        import torch
        from torch import nn

        torch.set_num_threads(job.threads)
        torch.manual_seed(job.seed)
        self.torch, self.batch = torch, job.batch
        self.about = f"torch {torch.__version__}"
        self.x, self.t = torch.from_numpy(data.x()), torch.from_numpy(data.t)
        self.linear = [nn.Linear(*W.shape) for W, _ in start]
        with torch.no_grad():
            for layer, (W, b) in zip(self.linear, start, strict=True):
                layer.weight.copy_(torch.from_numpy(W.T))
                layer.bias.copy_(torch.from_numpy(b))
        between = [part for layer in self.linear for part in (layer, nn.ReLU())]
        self.net = nn.Sequential(*between[:-1])
        self.criterion = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(
            self.net.parameters(), nets.LR, (nets.BETA1, nets.BETA2), nets.EPS, fused=self.fused
        )

    def loss(self, x: Any, t: Any) -> Any:
        """The mean loss over a batch."""
        return self.criterion(self.net(x), t)

    def train(self, epochs: int) -> None:
        """The loop that everybody writes."""
        for _ in range(epochs):
            for index in self.torch.randperm(len(self.t)).split(self.batch):
                self.optimizer.zero_grad()
                self.loss(self.x[index], self.t[index]).backward()
                self.optimizer.step()

    def weights(self) -> nets.Weights:
        """Of every linear layer, W as (n_in, n_out)."""
        return [
            (layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy().copy())
            for layer in self.linear
        ]


class TorchFused(Torch):
    """The same with Adam(fused=True)."""

    fused = True


class TorchCompiled(TorchFused):
    """The same with net and loss through torch.compile, once for each length of a batch."""

    def __init__(self, job: nets.Job, data: nets.Data, start: nets.Weights) -> None:
        super().__init__(job, data, start)
        self.loss = self.torch.compile(super().loss, dynamic=False)


class JaxStep(System):
    """JAX with a compiled step, called in a loop: float32 on the device, batches by an index.

    Adam is written out, as there is none in JAX; the step's old state is given up for its new one.
    """

    def __init__(self, job: nets.Job, data: nets.Data, start: nets.Weights) -> None:
        import jax
        import jax.numpy as jnp

        self.jax, self.jnp, self.batch = jax, jnp, job.batch
        self.about = f"jax {jax.__version__}"
        self.rng = np.random.default_rng(job.seed)
        self.x, self.t = jnp.asarray(data.x()), jnp.asarray(data.t.astype(np.int32))
        params = [(jnp.asarray(W), jnp.asarray(b)) for W, b in start]
        zeros = jax.tree.map(jnp.zeros_like, params)
        self.state = (params, zeros, jax.tree.map(jnp.zeros_like, params), jnp.float32(0))
        self.compiled = jax.jit(self.prepare(), donate_argnums=0)

    def prepare(self) -> Any:
        """What is compiled: here a step."""
        return self.step

    def train(self, epochs: int) -> None:
        """A call for every batch."""
        for _ in range(epochs):
            order = self.rng.permutation(len(self.t)).astype(np.int32)
            for rows in nets.slices(len(order), self.batch):
                self.state = self.compiled(self.state, self.x, self.t, order[rows])
        self.jax.block_until_ready(self.state)

    def step(self, state: Any, x: Any, t: Any, index: Any) -> Any:
        """The state after a batch: parameters, Adam's two memories, and the number of steps."""
        params, m, v, count = state
        tree_map, jnp = self.jax.tree.map, self.jnp
        grads = self.jax.grad(self.loss)(params, x[index], t[index])
        count = count + 1
        m = tree_map(lambda m, g: nets.BETA1 * m + (1 - nets.BETA1) * g, m, grads)
        v = tree_map(lambda v, g: nets.BETA2 * v + (1 - nets.BETA2) * g * g, v, grads)
        rate, correction = nets.LR / (1 - nets.BETA1**count), 1 / (1 - nets.BETA2**count)
        params = tree_map(
            lambda w, m, v: w - rate * m / (jnp.sqrt(correction * v) + nets.EPS), params, m, v
        )
        return params, m, v, count

    def loss(self, params: Any, x: Any, t: Any) -> Any:
        """The mean loss over a batch."""
        for W, b in params[:-1]:
            x = self.jax.nn.relu(x @ W + b)
        W, b = params[-1]
        log_p = self.jax.nn.log_softmax(x @ W + b)
        return -self.jnp.take_along_axis(log_p, t[:, None], axis=1).mean()

    def weights(self) -> nets.Weights:
        """The parameters as NumPy arrays."""
        return [(np.array(W), np.array(b)) for W, b in self.state[0]]


class JaxEpoch(JaxStep):
    """JAX with the whole epoch compiled: `lax.scan` over the full batches, then the short one."""

    def prepare(self) -> Any:
        """What is compiled: here an epoch."""
        return self.epoch

    def epoch(self, state: Any, x: Any, t: Any, order: Any) -> Any:
        """The state after all samples, in this order."""
        full = len(order) // self.batch * self.batch
        batches = order[:full].reshape(-1, self.batch)

        def one(state: Any, index: Any) -> tuple[Any, None]:
            return self.step(state, x, t, index), None

        state, _ = self.jax.lax.scan(one, state, batches)
        return self.step(state, x, t, order[full:]) if full < len(order) else state

    def train(self, epochs: int) -> None:
        """A call for every epoch."""
        for _ in range(epochs):
            order = self.rng.permutation(len(self.t)).astype(np.int32)
            self.state = self.compiled(self.state, self.x, self.t, order)
        self.jax.block_until_ready(self.state)


class Keras(System):
    """Keras's `fit` on float32 arrays, on the backend that KERAS_BACKEND names."""

    def __init__(self, job: nets.Job, data: nets.Data, start: nets.Weights) -> None:
        import keras

        if keras.backend.backend() == "torch":
            import torch

            torch.set_num_threads(job.threads)
        self.about = f"keras {keras.__version__}, backend {keras.backend.backend()}"
        keras.utils.set_random_seed(job.seed)
        self.x, self.t, self.batch = data.x(), data.t, job.batch
        first, *hidden, last = nets.sizes(job.net)
        dense = keras.layers.Dense
        self.model = keras.Sequential(
            [keras.Input((first,)), *(dense(n, "relu") for n in hidden), dense(last)]
        )
        self.model.set_weights([array for layer in start for array in layer])
        self.model.compile(
            keras.optimizers.Adam(nets.LR, nets.BETA1, nets.BETA2, nets.EPS),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )

    def train(self, epochs: int) -> None:
        """One fit, silent."""
        self.model.fit(self.x, self.t, batch_size=self.batch, epochs=epochs, verbose=0)

    def weights(self) -> nets.Weights:
        """The arrays of every layer."""
        found = [np.asarray(array) for array in self.model.get_weights()]
        return list(zip(found[::2], found[1::2], strict=True))


SYSTEMS: Mapping[str, type[System]] = MappingProxyType(
    {
        "scratchnet": Scratchnet,
        "scratchnet-numpy": ScratchnetNumPy,
        "products": Products,
        "scikit-learn": ScikitLearn,
        "torch": Torch,
        "torch-fused": TorchFused,
        "torch-compile": TorchCompiled,
        "jax-step": JaxStep,
        "jax-epoch": JaxEpoch,
        "keras": Keras,
    }
)


def measure(job: nets.Job) -> dict[str, Any]:
    """Build, warm up, time, and check."""
    data = nets.read(Path(job.folder), job.rows)
    system = SYSTEMS[job.system](job, data, nets.start_weights(job.net, job.seed))
    first, later = _time(system, 1), _time(system, job.epochs) / job.epochs
    weights = system.weights()
    loss, accuracy = nets.check(weights, data) if weights else (None, None)
    return {
        "seconds": later,
        "compile": max(first - later, 0.0),
        "loss": loss,
        "accuracy": accuracy,
        "about": system.about,
    }


def _time(system: System, epochs: int) -> float:
    start = time.perf_counter()
    system.train(epochs)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(json.dumps(measure(nets.Job(**json.loads(sys.argv[1])))))
