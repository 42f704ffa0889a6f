"""The arguments of the estimators: scikit-learn's, and the options of networks and training."""

from dataclasses import field, make_dataclass
from inspect import cleandoc
from typing import Any

from scratchnet.networks import NetworkOptions
from scratchnet.options import options_of
from scratchnet.training.options import TrainingOptions

POSITIONAL = ("hidden_layer_sizes", "activation")
SCIKIT_LEARN = {
    "hidden_layer_sizes": ((100,), "units of each hidden layer, integers >= 1"),
    "activation": ("relu", "a name of ACTIVATIONS or 'logistic', or a list: one a hidden layer"),
    "solver": ("adam", "'adam', 'sgd' or 'lbfgs'; `optimizer` overrules it"),
    "alpha": (0.0001, "strength of the L2 penalty, >= 0"),
    "batch_size": ("auto", "samples of an update, >= 1; 'auto' is min(200, N)"),
    "learning_rate": ("constant", "of 'sgd': 'constant', 'invscaling' or 'adaptive'"),
    "learning_rate_init": (0.001, "the rate of the first update, > 0"),
    "power_t": (0.5, "the exponent of 'invscaling'"),
    "max_iter": (200, "epochs at most, >= 1; iterations of 'lbfgs'"),
    "shuffle": (True, "another order of the samples in each epoch"),
    "random_state": (None, "the seed of all randomness, or a RandomState"),
    "tol": (1e-4, "the least improvement that counts, >= 0"),
    "verbose": (False, "print the loss of each epoch"),
    "warm_start": (False, "`fit` continues an earlier fit"),
    "momentum": (0.9, "of 'sgd', 0 to 1"),
    "nesterovs_momentum": (True, "Nesterov's form of the momentum of 'sgd'"),
    "early_stopping": (False, "hold out samples, stop by their score, and keep the best weights"),
    "validation_fraction": (0.1, "the share that early stopping holds out, between 0 and 1"),
    "beta_1": (0.9, "of 'adam': decay of the mean of gradients, 0 to below 1"),
    "beta_2": (0.999, "of 'adam': decay of the mean of their squares, 0 to below 1"),
    "epsilon": (1e-8, "of 'adam': added to the root, > 0"),
    "n_iter_no_change": (10, "epochs without an improvement that end the training, >= 1"),
    "max_fun": (15000, "of 'lbfgs': calls of the loss at most, >= 1"),
}
"""scikit-learn's arguments: default and meaning; they overrule the tables of options."""
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
    "clip_norm": (None, "the norm of all gradients at most, > 0"),
    "clip_value": (None, "the absolute value of each derivative at most, > 0"),
    "ema": (None, "decay of an average of the weights that predicts, 0 to below 1"),
    "optimizer": (None, "a name of OPTIMIZERS or an Optimizer; None for what `solver` says"),
    "initializer": (None, "a name of INITIALIZERS, or a standard deviation; None as scikit-learn"),
    "scoring": (None, "'loss' or a scorer of scikit-learn's, for early stopping"),
    "callbacks": (None, "functions of the estimator and the Epoch; one that gives True ends a fit"),
    "progress_bar": (False, "show a bar of the epochs"),
    "n_threads": (1, "threads of BLAS, or None to leave them"),
}
"""The arguments that neither scikit-learn nor the tables of options have as they are here."""
CLIPS = ("clip_norm", "clip_value")


def _defaults(kind: type) -> dict[str, Any]:
    """The options of a table that the estimators have under their own names."""
    return {n: default for n, (default, _) in options_of(kind).items() if n not in NAMED_OTHERWISE}


OF_NETWORK = tuple(_defaults(NetworkOptions))
"""The arguments that are options of the network."""
OF_TRAINING = tuple(n for n in _defaults(TrainingOptions) if n not in ("optimizer", "batch_size"))
"""The arguments that are options of the Trainer as they are."""
ARGUMENTS: dict[str, tuple[Any, str]] = {
    **SCIKIT_LEARN,
    **{
        name: (default, about.help)
        for name, (default, about) in options_of(NetworkOptions, TrainingOptions).items()
        if name not in SCIKIT_LEARN and name not in NAMED_OTHERWISE
    },
    **OWN,
}
"""Default and meaning of every argument."""
MAKES = (
    *("hidden_layer_sizes", "solver", "learning_rate_init", "momentum", "nesterovs_momentum"),
    *("beta_1", "beta_2", "epsilon", "optimizer", "ema", *CLIPS, *OF_NETWORK),
)
"""The arguments that the network and its optimizer are made with."""

Arguments: Any = make_dataclass(
    "Arguments",
    [(n, Any, field(default=v, kw_only=n not in POSITIONAL)) for n, (v, _) in ARGUMENTS.items()],
    eq=False,
    repr=False,
)
"""The base that stores all arguments, as scikit-learn wants it: unchecked, until `fit`."""


def list_arguments(kind: type) -> None:
    """Add every argument, its default and its meaning to the docstring of an estimator."""
    lines = [f"- `{name}` ({default!r}): {help}" for name, (default, help) in ARGUMENTS.items()]
    kind.__doc__ = f"{cleandoc(kind.__doc__ or '')}\n\nArguments, with their defaults:\n\n"
    kind.__doc__ += "\n".join(lines) + "\n"
