"""The arguments of the estimators: scikit-learn's, and the options of networks and training."""

from dataclasses import field, fields, make_dataclass
from typing import Any

from scratchnet.networks import NetworkOptions
from scratchnet.optimizers import Optimizer
from scratchnet.options import options_of
from scratchnet.training.options import TrainingOptions

POSITIONAL = ("hidden_layer_sizes", "activation")
SCIKIT_LEARN = {
    "hidden_layer_sizes": (100,),
    "activation": "relu",
    "solver": "adam",
    "alpha": 0.0001,
    "batch_size": "auto",
    "learning_rate": "constant",
    "learning_rate_init": 0.001,
    "power_t": 0.5,
    "max_iter": 200,
    "shuffle": True,
    "random_state": None,
    "tol": 1e-4,
    "verbose": False,
    "warm_start": False,
    "momentum": 0.9,
    "nesterovs_momentum": True,
    "early_stopping": False,
    "validation_fraction": 0.1,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-8,
    "n_iter_no_change": 10,
    "max_fun": 15000,
}
"""scikit-learn's names and defaults; they go before those of the tables of options."""
NAMED_OTHERWISE = {
    "l2": "alpha",
    "lr": "learning_rate_init",
    "seed": "random_state",
    "threads": "n_threads",
    "augment": None,  # rows of a table are no images
    "loss": None,  # the class decides, or the regressor's own `loss`
    "labels": None,
    "label_smoothing": None,  # of the classifier alone
    "class_weight": None,
}
"""Options that the estimators have under another name, or not all of them."""
OWN = {
    "optimizer": None,  # None for what `solver` says
    "initializer": None,  # None for scikit-learn's
    "scoring": None,
    "callbacks": None,
    "progress_bar": False,
    "n_threads": 1,
}


def _defaults(kind: type) -> dict[str, Any]:
    """The options of a table that the estimators have under their own names."""
    return {n: default for n, (default, _) in options_of(kind).items() if n not in NAMED_OTHERWISE}


OF_NETWORK = tuple(_defaults(NetworkOptions))
"""The arguments that are options of the network."""
OF_TRAINING = tuple(n for n in _defaults(TrainingOptions) if n not in ("optimizer", "batch_size"))
"""The arguments that are options of the Trainer as they are."""
OF_OPTIMIZERS = {f.name: f.default for f in fields(Optimizer) if f.name.startswith("clip")}
DEFAULTS: dict[str, Any] = {
    **SCIKIT_LEARN,
    **{
        name: value
        for table in (_defaults(NetworkOptions), _defaults(TrainingOptions))
        for name, value in table.items()
        if name not in SCIKIT_LEARN
    },
    **OF_OPTIMIZERS,
    "ema": None,
    **OWN,
}
MAKES = (
    *("hidden_layer_sizes", "solver", "learning_rate_init", "momentum", "nesterovs_momentum"),
    *("beta_1", "beta_2", "epsilon", "optimizer", "ema", *OF_OPTIMIZERS, *OF_NETWORK),
)
"""The arguments that the network and its optimizer are made with."""

Arguments: Any = make_dataclass(
    "Arguments",
    [(n, Any, field(default=v, kw_only=n not in POSITIONAL)) for n, v in DEFAULTS.items()],
    eq=False,
    repr=False,
)
"""The base that stores all arguments, as scikit-learn wants it: unchecked, until `fit`."""
