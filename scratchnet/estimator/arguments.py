"""The arguments of the estimators: scikit-learn's, and the options of networks and training."""

from collections.abc import Iterable, Mapping
from dataclasses import field, make_dataclass
from inspect import cleandoc
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils._param_validation import Options, StrOptions

from scratchnet.checks import DTYPES
from scratchnet.estimator.constraints import constraints_of, interval, names
from scratchnet.initializers import INITIALIZERS
from scratchnet.layers import ACTIVATIONS
from scratchnet.networks import NetworkOptions
from scratchnet.optimizers import OPTIMIZERS, Optimizer
from scratchnet.options import options_of
from scratchnet.training.options import TrainingOptions


class Argument(NamedTuple):
    """One argument of the estimators."""

    default: Any
    help: str
    constraints: list[Any] | str
    """What it may be, in scikit-learn's terms."""


COUNT = interval(Integral, 1, None, "left")
NOT_NEGATIVE = interval(Real, 0, None, "left")
ABOVE_ZERO = interval(Real, 0, None, "neither")
DECAY = interval(Real, 0, 1, "left")
POSITIONAL = ("hidden_layer_sizes", "activation")
SCIKIT_LEARN = {
    "hidden_layer_sizes": Argument(
        (100,), "units of each hidden layer, integers >= 1", ["array-like", COUNT]
    ),
    "activation": Argument(
        "relu",
        "a name of ACTIVATIONS or 'logistic', or a list: one a hidden layer",
        [names((*ACTIVATIONS, "logistic")), "array-like"],
    ),
    "solver": Argument(
        "adam",
        "'adam', 'sgd' or 'lbfgs'; `optimizer` overrules it",
        [StrOptions({"lbfgs", "sgd", "adam"})],
    ),
    "alpha": Argument(0.0001, "strength of the L2 penalty, >= 0", [NOT_NEGATIVE]),
    "batch_size": Argument(
        "auto", "samples of an update, >= 1; 'auto' is min(200, N)", [StrOptions({"auto"}), COUNT]
    ),
    "learning_rate": Argument(
        "constant",
        "of 'sgd': 'constant', 'invscaling' or 'adaptive'",
        [StrOptions({"constant", "invscaling", "adaptive"})],
    ),
    "learning_rate_init": Argument(0.001, "the rate of the first update, > 0", [ABOVE_ZERO]),
    "power_t": Argument(0.5, "the exponent of 'invscaling', >= 0", [NOT_NEGATIVE]),
    "max_iter": Argument(200, "epochs at most, >= 1; iterations of 'lbfgs'", [COUNT]),
    "shuffle": Argument(True, "another order of the samples in each epoch", ["boolean"]),
    "random_state": Argument(
        None, "the seed of all randomness, or a RandomState", ["random_state"]
    ),
    "tol": Argument(1e-4, "the least improvement that counts, >= 0", [NOT_NEGATIVE]),
    "verbose": Argument(False, "print the loss of each epoch", ["verbose"]),
    "warm_start": Argument(False, "`fit` continues an earlier fit", ["boolean"]),
    "momentum": Argument(0.9, "of 'sgd', 0 to 1", [interval(Real, 0, 1, "both")]),
    "nesterovs_momentum": Argument(True, "Nesterov's form of the momentum of 'sgd'", ["boolean"]),
    "early_stopping": Argument(
        False, "hold out samples, stop by their score, and keep the best weights", ["boolean"]
    ),
    "validation_fraction": Argument(
        0.1, "the share that early stopping holds out, 0 to below 1", [DECAY]
    ),
    "beta_1": Argument(0.9, "of 'adam': decay of the mean of gradients, 0 to below 1", [DECAY]),
    "beta_2": Argument(
        0.999, "of 'adam': decay of the mean of their squares, 0 to below 1", [DECAY]
    ),
    "epsilon": Argument(1e-8, "of 'adam': added to the root, > 0", [ABOVE_ZERO]),
    "n_iter_no_change": Argument(
        10,
        "epochs without an improvement that end the training, >= 1 or infinity",
        [COUNT, Options(Real, {np.inf})],
    ),
    "max_fun": Argument(15000, "of 'lbfgs': calls of the loss at most, >= 1", [COUNT]),
}
"""scikit-learn's arguments; they overrule the tables of options."""
NAMED_OTHERWISE = frozenset(
    {
        *("l2", "lr", "seed", "threads"),  # alpha, learning_rate_init, random_state, n_threads
        "augment",  # rows of a table are no images
        *("loss", "labels"),  # the class decides, or its own `loss`
        *("label_smoothing", "class_weight"),  # of the classifiers alone
    }
)
"""Options that the estimators have under another name, or not all of them."""
OWN = {
    "dtype": Argument(
        "auto",
        "'float32', 'float64', or 'auto': that of X, float64 for lbfgs and all other numbers",
        [StrOptions({"auto", *DTYPES}), type, np.dtype],
    ),
    "clip_norm": Argument(None, "the norm of all gradients at most, > 0", [ABOVE_ZERO, None]),
    "clip_value": Argument(
        None, "the absolute value of each derivative at most, > 0", [ABOVE_ZERO, None]
    ),
    "ema": Argument(
        None, "decay of an average of the weights that predicts, 0 to below 1", [DECAY, None]
    ),
    "optimizer": Argument(
        None,
        "a name of OPTIMIZERS or an Optimizer; None for what `solver` says",
        [names(OPTIMIZERS), Optimizer, None],
    ),
    "initializer": Argument(
        None,
        "a name of INITIALIZERS, or a standard deviation; None as scikit-learn",
        [names(INITIALIZERS), ABOVE_ZERO, callable, None],
    ),
    "scoring": Argument(
        None, "'loss' or a scorer of scikit-learn's, for early stopping", [str, callable, None]
    ),
    "callbacks": Argument(
        None,
        "functions of the estimator and the Epoch; one that gives True ends a fit",
        ["array-like", None],
    ),
    "progress_bar": Argument(False, "show a bar of the epochs", ["boolean"]),
    "n_threads": Argument(1, "threads of BLAS, or None to leave them", [COUNT, None]),
}
"""The arguments that neither scikit-learn nor the tables of options have as they are here."""
CLIPS = ("clip_norm", "clip_value")


def _own_names(kind: type) -> tuple[str, ...]:
    """The options of a table that the estimators have under their own names."""
    return tuple(name for name in options_of(kind) if name not in NAMED_OTHERWISE)


OF_NETWORK = _own_names(NetworkOptions)
"""The arguments that are options of the network."""
OF_TRAINING = tuple(
    name for name in _own_names(TrainingOptions) if name not in ("optimizer", "batch_size")
)
"""The arguments that are options of the Trainer as they are."""
ARGUMENTS: Mapping[str, Argument] = {
    **SCIKIT_LEARN,
    **{
        name: Argument(default, about.help, constraints_of(about))
        for name, (default, about) in options_of(NetworkOptions, TrainingOptions).items()
        if name not in SCIKIT_LEARN and name not in NAMED_OTHERWISE
    },
    **OWN,
}
"""Every argument of an MLP."""
NOT_OF_LAYERS = frozenset({*POSITIONAL, *OF_NETWORK} - {"dtype"})
"""What says how to stack layers, which an estimator of given layers has no use for."""
OF_IMAGES = {
    "image_shape": Argument(
        None,
        "(height, width) or (height, width, channels) of a row; None for a square where the "
        "columns are one, else (1, columns)",
        ["array-like", None],
    ),
    "conv": Argument(
        None,
        "the layers of images in the words of ConvNet, for example ['16x5/2', '32x3', 'pool2']; "
        "None for two of 16 and 32 filters with pooling",
        ["array-like", None],
    ),
    **ARGUMENTS,
    "augment": Argument(
        None,
        "distortions of the training images by name, for example {'shift': 1, 'rotate': 10}",
        [dict, None],
    ),
}
"""Every argument of an estimator of images."""
OF_LAYERS = {
    "layers": Argument(
        None,
        "a list of layers, which start as they are, or a function of the numbers of features and "
        "outputs and of a random Generator that makes them",
        [list, tuple, callable],
    ),
    **{name: one for name, one in ARGUMENTS.items() if name not in NOT_OF_LAYERS},
}
"""Every argument of an estimator of given layers."""
TABLE_DEFAULTS: Mapping[str, Any] = {
    **{"hidden_layer_sizes": (96, 96), "activation": "silu", "initializer": "he"},
    "batch_norm": True,
    **{"dropout": 0.15, "optimizer": "adamw", "learning_rate_init": 0.003, "schedule": "cosine"},
    **{"max_iter": 40, "early_stopping": True, "validation_fraction": 0.15},
    "label_smoothing": 0.1,
    **{"beta_2": 0.9, "ema": 0.97, "scoring": "loss", "n_iter_no_change": 8, "tol": 0.0},
}
"""The defaults of estimators of tables that others do not have."""
OF_TABLES = {
    **{
        name: one._replace(default=TABLE_DEFAULTS.get(name, one.default))
        for name, one in ARGUMENTS.items()
        if name != "standardize"  # numbers come scaled to it
    },
    "batch_size": ARGUMENTS["batch_size"]._replace(
        help="samples of an update, >= 1; 'auto' is N / 32, but 16 to 128, and of many samples "
        "N / 128 up to 256"
    ),
    "beta_2": ARGUMENTS["beta_2"]._replace(
        default=TABLE_DEFAULTS["beta_2"],
        help="of 'adam' and 'adamw': decay of the mean of squared gradients, 0 to below 1",
    ),
    "n_threads": ARGUMENTS["n_threads"]._replace(
        default=None,
        help="threads that share the rows of a prediction, and of BLAS in training; None for one "
        "in training, and all processors for predictions",
    ),
    "members": Argument(6, "networks that are trained together and averaged, >= 1", [COUNT]),
    "bins": Argument(24, "bins of each column of numbers, >= 1", [COUNT]),
    "embedding": Argument(8, "numbers in the vector of a category of many, >= 1", [COUNT]),
}
"""Every argument of an estimator of tables."""
MAKES = (
    *("image_shape", "conv", "augment", "bins", "embedding", "members"),
    *("layers", "hidden_layer_sizes", "solver", "learning_rate_init", "momentum"),
    *("nesterovs_momentum", "beta_1", "beta_2", "epsilon", "optimizer", "ema", "loss"),
    *(*CLIPS, *OF_NETWORK),
)
"""The arguments that the network and its optimizer are made with, of those there are."""


def _base(name: str, table: Mapping[str, Argument], positional: Iterable[str]) -> Any:
    """A dataclass that stores all arguments, as scikit-learn wants it: unchecked, until `fit`."""
    made = make_dataclass(
        name,
        [(n, Any, field(default=a.default, kw_only=n not in positional)) for n, a in table.items()],
        eq=False,
        repr=False,
        namespace={"_parameter_constraints": {n: a.constraints for n, a in table.items()}},
    )
    made.__module__ = __name__
    return made


Arguments = _base("Arguments", ARGUMENTS, POSITIONAL)
ImageArguments = _base("ImageArguments", OF_IMAGES, ("image_shape", "conv", "hidden_layer_sizes"))
TableArguments = _base("TableArguments", OF_TABLES, POSITIONAL)
LayerArguments = _base("LayerArguments", OF_LAYERS, ("layers",))


BESIDE_SCIKIT_LEARN = """
All arguments of scikit-learn's class have its meaning and default. Where that one has a known
fault, here

- `alpha` is the strength of alpha / 2N times the squared weights, N being all training samples:
  divided by N and not by the batch size, so that batches can change and the penalty does not;
- `learning_rate="adaptive"` forgets the best loss when it lowers the rate, so that one lucky
  epoch lowers it but once; it and "invscaling" are for `solver="sgd"`, as there;
- `warm_start` continues with everything, the optimizer's memory and the order of epochs too:
  `fit` with max_iter 10 twice is `fit` with 20, to the bit;
- of epochs with the highest validation score early stopping keeps the one with the lowest
  validation loss, and waits while that still falls by `tol`;
- a sample of weight k is trained on exactly as k samples: equal samples are merged before, unless
  they stand for four and more on average.

`fit` takes validation data of your own, `X_val` and `y_val`.

Fitted: `coefs_`, `intercepts_`, `loss_`, `loss_curve_`, `best_loss_`, `n_iter_`, `t_`,
`n_layers_`, `n_outputs_`, `out_activation_`, `n_features_in_`, `feature_names_in_`,
`validation_scores_`, `best_validation_score_`, `validation_loss_curve_`, `stopped_`,
of classifiers `classes_`.
`save` and `load` write and read a file without pickle; `to_sklearn` and `from_sklearn` exchange
fitted networks with scikit-learn's class.
"""
"""What is said of every class that has a namesake in scikit-learn."""


def list_arguments(kind: type, table: Mapping[str, Argument], also: str = "") -> None:
    """Add what is said of others `also`, and every argument, to the docstring of an estimator."""
    lines = [f"- `{name}` ({one.default!r}): {one.help}" for name, one in table.items()]
    head = f"{cleandoc(kind.__doc__ or '')}\n{also}"
    kind.__doc__ = f"{head}\nArguments, with their defaults:\n\n" + "\n".join(lines) + "\n"
