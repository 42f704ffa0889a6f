"""The library calls of the record: small functions by name, each of which gives arrays and numbers.

Arguments that were renamed from one version to the next are given by their place.
"""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from behaviour_estimators import estimators
from behaviour_facts import find
from behaviour_grid import (
    ACTIVATIONS,
    DTYPES,
    FULL_BATCH,
    INITIALIZERS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    SURFACES,
)

N, N_IN, N_OUT = 60, 12, 4


def numbers(seed: int = 0, rows: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (N, D) and labels (N,) that a network can learn."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, N_IN))
    return x, (x @ rng.standard_normal((N_IN, N_OUT))).argmax(axis=1)


def network(dtype: str = "float64", hidden: Any = (8, 6), **options: Any) -> Any:
    """A small network, with an L2 penalty."""
    names = ("tanh", "xavier")
    return find("MultiLayerNet")(N_IN, list(hidden), N_OUT, *names, 1e-3, 1, dtype, **options)


def train(made: Any, epochs: int = 2, **options: Any) -> dict[str, Any]:
    """What training comes to: state, history."""
    x, t = numbers()
    samples = options.pop("samples", (x[:48], t[:48]))
    options = {"batch_size": 16, "seed": 3, **options}
    stopping = options.pop("stopping", None)
    trainer = find("Trainer")(made, samples, (x[48:], t[48:]), **options)
    history = []
    for epoch in trainer.run(epochs):
        history.append([epoch.loss, epoch.accuracy, epoch.val_loss, epoch.val_accuracy, epoch.lr])
        if stopping is not None and stopping.should_stop(epoch):
            stopping.restore_best()
            break
    return {
        "state": made.state_vector,
        "gradient": made.gradient_vector,
        "history": history,
        "steps": trainer.steps,
        "evaluated": list(trainer.evaluate((x, t))),
    }


def optimizer(name: str, dtype: str) -> Any:
    """Training with an optimizer under a schedule."""
    size = None if name in FULL_BATCH else 16
    return train(network(dtype), optimizer=name, batch_size=size, schedule="cosine")


def book_loop(name: str) -> Any:
    """The loop of the book: gradients and updates of plain arrays by hand."""
    made, rule = network(), find("make_optimizer")(name)
    x, t = numbers()
    for _ in range(4):
        made.gradient(x, t)
        if name in ("sam", "lbfgs"):
            rule.update(made.params, made.grads, lambda: made.loss_and_gradient(x, t))
        else:
            rule.update(made.params, made.grads)
    return dict(made.params)


def layer(make: Callable[[], Any], train: bool = True) -> Any:
    """A layer alone: outputs, gradients, statistics."""
    made = make()
    x, _ = numbers(2)
    y = made.forward(x.astype("float32"), train=train).copy()
    dx = made.backward(np.cos(np.arange(y.size)).reshape(y.shape).astype("float32"))
    return {"y": y, "dx": dx, "grads": dict(made.grads), "statistics": dict(made.statistics)}


def activation(name: str) -> Any:
    """The activation of that name."""
    return find("ACTIVATIONS")[name]()


def build(kind: str, values: Any, options: Mapping[str, Any]) -> Any:
    """An object of the class of that name."""
    return find(kind)(*values, **options)


def layers() -> dict[str, Callable[[], Any]]:
    """Every layer, with options."""
    made: dict[str, Callable[[], Any]] = {}
    for name in ACTIVATIONS:
        made[name] = partial(activation, name)
    options: Mapping[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
        "affine": ("Affine", (N_IN, 5), {}),
        "affine/no bias": ("Affine", (N_IN, 5), {"bias": False, "initializer": "orthogonal"}),
        "affine/max norm": ("Affine", (N_IN, 5), {"max_norm": 0.5, "rng": 4}),
        "prelu/each": ("PReLU", (N_IN,), {}),
        "leaky-relu/slope": ("LeakyReLU", (0.2,), {}),
        "batch-norm": ("BatchNorm", (N_IN,), {}),
        "batch-norm/no scale": ("BatchNorm", (N_IN,), {"scale": False}),
        "layer-norm": ("LayerNorm", (N_IN,), {}),
        "layer-norm/no scale": ("LayerNorm", (N_IN,), {"scale": False}),
        "standardize": ("Standardize", (N_IN,), {}),
        "standardize/all": ("Standardize", (N_IN, "all"), {}),
        "dropout": ("Dropout", (0.4,), {"rng": 3}),
        "noise": ("GaussianNoise", (0.3,), {"rng": 3}),
    }
    for name, (kind, values, named) in options.items():
        made[name] = partial(build, kind, values, named)
    return made


def loss(name: str, dtype: str, **options: Any) -> Any:
    """A loss alone: its value, its gradient, how sure it is."""
    made = find("LOSSES")[name](**options)
    x, t = numbers(3)
    y = x[:, :N_OUT].astype(dtype)
    of_integers = name == "softmax" and options.get("labels", "integer") == "integer"
    targets = t if of_integers else np.eye(N_OUT, dtype=dtype)[t]
    value = made.forward(y, targets)
    return {"value": value, "dy": made.backward(), "sure": made.confidences(y)}


def called(made: Any, name: str, old: str) -> Any:
    """The method `name`, which had another name in the old version."""
    return getattr(made, name, None) or getattr(made, old)


def used(**options: Any) -> Any:
    """A network in all that a caller asks of it."""
    made = network(**options)
    x, t = numbers(4)
    called(made, "adapt", "observe")(x, t)
    found: dict[str, Any] = {"loss and gradient": made.loss_and_gradient(x, t)}
    found |= {"gradient": dict(made.gradient(x, t)), "statistics": dict(made.statistics)}
    found |= {"predict": made.predict(x), "loss": made.loss(x, t), "penalty": made.penalty()}
    found |= {"accuracy": made.accuracy(x, t), "copy": made.copy("float32").predict(x)}
    called(made, "_apply_constraints", "constrain")()
    return {**found, "state": made.state_vector, "names": list(made.params)}


NETWORKS: Mapping[str, dict[str, Any]] = {
    "plain": {},
    "float32": {"dtype": "float32"},
    "linear": {"hidden": ()},
    "batch norm": {"batch_norm": True},
    "layer norm": {"layer_norm": True, "gamma": False},
    "disturbed": {"noise": [0.1, 0.2], "dropout": 0.2, "input_noise": 0.1, "input_dropout": 0.1},
    "max norm": {"max_norm": 0.5},
    "standardized": {"standardize": "features"},
    "smoothed": {"label_smoothing": 0.2, "class_weight": [1, 2, 3, 4]},
    "balanced": {"class_weight": "balanced"},
    "all layers": {
        **{"batch_norm": True, "noise": 0.1, "dropout": 0.1, "input_noise": 0.1},
        **{"input_dropout": 0.1, "max_norm": 1.0, "standardize": "all", "label_smoothing": 0.1},
    },
}
TRAININGS: Mapping[str, dict[str, Any]] = {
    "in order": {"shuffle": False},
    "one batch": {"batch_size": 48},
    "lr": {"lr": 0.05, "optimizer": "momentum", "momentum": 0.7},
    "remeasured": {"remeasure": 20, "made": {"batch_norm": True, "dropout": 0.2}},
    "seed": {"seed": 9},
    "planned": {"schedule": "one-cycle", "epochs": 3},
    "clipped": {"clip_norm": 0.1, "weight_decay": 0.1, "optimizer": "adamw"},
}


def training(made: Mapping[str, Any] = {}, **options: Any) -> Any:
    """Training with options of the Trainer's."""
    return train(network(**made), **options)


def two_layers() -> Any:
    """The first network of the book."""
    made = find("TwoLayerNet")(N_IN, 7, N_OUT, "relu", 0.01, 0.1, 5, "float64")
    return train(made, optimizer="sgd")


def own_layers() -> Any:
    """A network of layers that were put together by hand."""
    parts = {"Affine": (N_IN, 9), "Mish": (), "LayerNorm": (9,)}
    inner = [build(kind, sizes, {}) for kind, sizes in parts.items()]
    made = find("Network")([*inner, build("Affine", (9, N_OUT), {})])
    return train(made, optimizer="nadam")


def weighted() -> Any:
    """Training with a weight for each sample."""
    x, t = numbers(5)
    samples = find("Samples")(x.astype("float32"), t, 0.5, np.linspace(0, 2, N))
    return train(network(), samples=samples)


def augmented() -> Any:
    """Training on images that are distorted."""
    distort = find("make_augmentation")((3, 4), shift=1, rotate=10, scale=0.1, shear=5)
    return train(network(), augment=distort)


def stopped() -> Any:
    """Training that patience ends, and the best weights."""
    made = network()
    stopping = find("EarlyStopping")(made, 1, "val_accuracy")
    found = train(made, 8, optimizer="adam", lr=0.3, stopping=stopping)
    return {**found, "best": stopping.best, "epoch": stopping.best_epoch}


def gone_on_with(name: str, step: int) -> Any:
    """Training that is saved after a step and resumed by another Trainer."""
    x, t = numbers()

    def make() -> Any:
        options = {"optimizer": name, "schedule": "plateau", "batch_size": 16}
        made = network(dropout=0.2, batch_norm=True)
        return find("Trainer")(made, (x[:48], t[:48]), (x[48:], t[48:]), **options)

    first = make()
    first.on_step = lambda k, loss: first.save("saved.npz") if k == step else None
    list(first.run(3))
    second = make()
    second.resume("saved.npz")
    list(second.run(3 - second.epochs))
    return {"first": first.network.state_vector, "second": second.network.state_vector}


def stored() -> Any:
    """Weights that were written and read."""
    made = network(batch_norm=True)
    find("save_weights")(made, "weights.npz")
    read = find("load_weights")(Path("weights.npz"))
    return {"state": read.state_vector, "predictions": read.predict(numbers()[0])}


def gradients(options: Mapping[str, Any]) -> Any:
    """A gradient check: its status and the arrays that it looked at; errors are rounding."""
    x, t = numbers(6, 5)
    report = find("check_gradients")(network(**options), x, t, raises=False)
    return {"status": report.status, "arrays": [[a.name, a.elements] for a in report.arrays]}


def found_rate(name: str) -> Any:
    """The learning-rate finder."""
    x, t = numbers()
    found = find("find_lr")(network(), (x, t), name, batch_size=16, steps=60, seed=1)
    curves = [np.array(each) for each in (found.rates, found.losses, found.smoothed)]
    return {"suggestion": found.suggestion, "curves": curves}


def compared(**options: Any) -> Any:
    """A comparison of two optimizers."""
    digits = find("load")("digits")
    small = find("Dataset")("digits", digits.train.first(300), digits.test.first(100), 10, (8, 8))
    made = find("MultiLayerNet")(64, [10], 10, dtype="float64")
    options = {"epochs": 2, "seeds": 2, **options}
    found = find("compare")(["sgd", "adam"], small, made, **options)
    rows = [
        {key: each for key, each in row.items() if "seconds" not in key}
        for row in (*found.summary(), *found.differences())
    ]
    return {"rows": rows, "target": found.target, "notes": len(found.notes())}


def path(name: str, surface: str, **options: Any) -> Any:
    """A path on a surface."""
    return find("trace")(name, surface, steps=30, **options)


def scheduled(name: str, options: str) -> Any:
    """A schedule over all of training."""
    named: dict[str, Any] = {}
    for item in filter(None, options.split(",")):
        key, _, text = item.partition("=")
        values = [int(v) if v.isdigit() else float(v) for v in text.split(":")]
        named[key] = values if len(values) > 1 else values[0]
    made = find("make_schedule")(name, 0.1, **named)
    levels = []
    for k, p in enumerate(np.linspace(0, 1, 50)):
        levels.append(made(float(p)))
        made.observe(abs(k - 20.0))
    return np.array(levels)


def drawn(name: Any) -> Any:
    """Starting weights."""
    rng = np.random.default_rng(1)
    return [find("find_initializer")(name)(rng, shape) for shape in ((7, 5), (5, 7))]


def looked_at() -> Any:
    """What inspection says of a trained network."""
    made = network(hidden=(8,), batch_norm=True)
    train(made)
    x, t = numbers(7)
    samples = find("Samples")(x.astype("float32"), t)
    layers = [
        {key: value for key, value in row.items() if key != "layer"}
        for row in find("inspect_layers")(made, samples)
    ]
    return {"layers": layers, "predictions": find("inspect_predictions")(made, samples, N_OUT)}


def data() -> Any:
    """The digits, their parts, and batches."""
    digits = find("load")("digits")
    one, other = digits.train.split(0.2, 3)
    batches = find("Batches")(one, 50)
    order = [np.asarray(rows) for rows in batches.epoch(1, 2)]
    x, t = batches.gather(order[0])
    return {"digests": [digits.digest, one.digest(), other.digest()], "order": order, "xt": [x, t]}


def distorted(amounts: Mapping[str, Any]) -> Any:
    """Images after an augmentation."""
    x, _ = find("load")("digits").train[:20]
    return find("make_augmentation")((8, 8), **amounts)(x, np.random.default_rng(2)).copy()


def functions() -> Any:
    """Sigmoid, softmax, cross-entropy."""
    x, t = numbers(8)
    y = x[:, :N_OUT]
    plain = [find(name)(y) for name in ("sigmoid", "softmax", "log_softmax")]
    return [*plain, find("cross_entropy")(y, t)]


def calls() -> dict[str, Callable[[], Any]]:
    """Every call of the library and of the estimators by name."""
    made: dict[str, Callable[[], Any]] = {}
    for name, dtype in product(OPTIMIZERS, DTYPES):
        made[f"optimizer/{name}/{dtype}"] = partial(optimizer, name, dtype)
    made |= {f"book/{name}": partial(book_loop, name) for name in OPTIMIZERS}
    for (name, make), way in product(layers().items(), (True, False)):
        made[f"layer/{name}/{'train' if way else 'evaluate'}"] = partial(layer, make, way)
    for name, dtype in product(LOSSES, DTYPES):
        made[f"loss/{name}/{dtype}"] = partial(loss, name, dtype)
    soft = {"labels": "onehot", "label_smoothing": 0.1}
    made["loss/smoothed"] = partial(loss, "softmax", "float64", **soft)
    made |= {f"network/{name}": partial(used, **each) for name, each in NETWORKS.items()}
    made |= {f"trained/{name}": partial(training, made=each) for name, each in NETWORKS.items()}
    made |= {f"trainer/{name}": partial(training, **each) for name, each in TRAININGS.items()}
    for name in ("plain", "batch norm", "layer norm", "smoothed"):
        made[f"gradients/{name}"] = partial(gradients, NETWORKS[name])
    for name, step in product(("adam", "sam", "schedule-free-adamw", "lookahead"), (2, 6)):
        made[f"resume/{name} after {step}"] = partial(gone_on_with, name, step)
    made |= {f"find_lr/{n}": partial(found_rate, n) for n in ("sgd", "adam", "muon", "sam")}
    for name in SURFACES:
        made[f"surface/{name}"] = partial(path, "momentum", name)
    made |= {f"path/{name}": partial(path, name, "rosenbrock") for name in OPTIMIZERS}
    for name, options in SCHEDULES.items():
        made[f"schedule/{name}"] = partial(scheduled, name, options)
    made |= {f"initializer/{name}": partial(drawn, name) for name in (*INITIALIZERS, 0.1)}
    amounts: Mapping[str, Any] = {"shift": 1, "rotate": 10, "scale": 0.1, "shear": 5, "erase": 0.5}
    for name, amount in {**amounts, "elastic": [4, 2]}.items():
        made[f"augment/{name}"] = partial(distorted, {name: amount})
    made |= {
        **{"two layers": two_layers, "own layers": own_layers, "weighted": weighted},
        **{"augmented": augmented, "stopped": stopped, "stored": stored, "data": data},
        **{"looked at": looked_at, "functions": functions},
        "compare/plain": compared,
        "compare/grid": partial(compared, lr_grid=[0.01, 0.1], seeds=[3, 4]),
        "surface/noisy in training": partial(path, "ema", "noisy-quadratic", training=True, seed=2),
        "surface/tuned": lambda: find("tuned_rate")("adam", "beale", None, 20),
    }
    return {**{f"call/{name}": each for name, each in made.items()}, **estimators()}
