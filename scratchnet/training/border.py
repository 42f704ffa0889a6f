"""The Trainer's arguments: checked, and with their defaults filled in."""

import numpy.typing as npt

from scratchnet.checks import check_integer
from scratchnet.data import Samples
from scratchnet.data.look import look_at, look_at_both, warn_of_data
from scratchnet.data.preparation import Preparation
from scratchnet.errors import ParameterError, ShapeError
from scratchnet.networks import Network
from scratchnet.optimizers import Optimizer
from scratchnet.schedules import Plateau, Schedule, make_schedule

Data = Samples | tuple[npt.ArrayLike, npt.ArrayLike]
BATCH_SIZE = 100


def prepare(
    network: Network, train: Data, validation: Data | None
) -> tuple[Samples, Samples | None]:
    """Both as Samples that fit the network; its layers have seen those to train on, once."""
    samples = fit_data(network, "train", train)
    network.adapt(samples.x, samples.t, samples.scale, samples.weights)
    if network.preparation.scale != samples.scale or network.preparation == Preparation():
        network.preparation = Preparation.of(samples, network.input_shape)
    if not samples.vouched:
        normalized = network.layers[0].normalizes
        warn_of_data(*look_at(samples, network.output_sizes[-1], normalized=normalized))
    if validation is None:
        return samples, None
    held_out = fit_data(network, "validation", validation)
    if not samples.vouched:
        warn_of_data(*look_at_both(samples, held_out, "validation samples"))
    return samples, held_out


def fit_data(network: Network, name: str, data: Data) -> Samples:
    """`data` as Samples; raises ShapeError unless their shape and labels fit the network."""
    if not isinstance(data, Samples) and not (
        isinstance(data, tuple | list) and 2 <= len(data) <= 4
    ):
        raise ParameterError(
            f"{name} must be Samples or a pair (x, t), got {type(data).__name__}; give Trainer("
            "network, (x, t)), and validation samples the same way"
        )
    samples = data if isinstance(data, Samples) else Samples(*data)
    n_in, n_out = network.input_size, network.output_sizes[-1]
    if samples.x.shape[1] != n_in:
        raise ShapeError(
            f"{name} must have the {n_in} columns that the network takes, got {samples.x.shape[1]}"
        )
    network.loss_layer.check_targets(samples.t, len(samples), n_out)
    return samples


def choose_batch_size(given: int | None, optimizer: Optimizer, n: int) -> int:
    """The batch size: by default 100, or n for an optimizer that needs all n samples."""
    if not optimizer.full_batch:
        return BATCH_SIZE if given is None else given
    if given is not None and check_integer("batch_size", given, 1) < n:
        raise ParameterError(
            f"{type(optimizer).__name__} means the gradient of all samples: batch_size must be at "
            f"least {n}, got {given}; leave it out"
        )
    return n


def choose_schedule(schedule: str | Schedule, validation: Samples | None) -> Schedule:
    """The schedule, by name or as it is; raises ParameterError if it lacks validation samples."""
    made = make_schedule(schedule)
    if isinstance(made, Plateau) and validation is None:
        raise ParameterError("the schedule plateau needs validation samples, there are none")
    return made
