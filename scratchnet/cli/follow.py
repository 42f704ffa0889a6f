"""What ranks of the command line do together: begin where the first is, and end."""

from collections.abc import Callable
from typing import Any

from scratchnet.cli.interrupts import Interrupts
from scratchnet.parallel import MPIGradients
from scratchnet.training import EarlyStopping, Trainer


def share_state(
    parallel: MPIGradients,
    trainer: Trainer,
    stopping: EarlyStopping | None,
    restore: Callable[[], None] = lambda: None,
) -> None:
    """Let rank 0 `restore` a checkpoint, and put all others where training is then.

    Only rank 0 has to see the files. Raises on every rank what `restore` raises.
    """

    def state() -> tuple[Any, ...]:
        restore()
        return (
            trainer.network.state_vector,
            trainer.state(),
            [epoch.seconds for epoch in trainer.history],
            None if stopping is None else stopping.state(),
        )

    vector, found, times, best = parallel.from_first(state)
    if parallel.rank > 0:
        trainer.network.state_vector[:] = vector
        trainer.restore(found, times)
        if stopping is not None:
            stopping.restore(best)


def leave(parallel: MPIGradients, code: int, hurry: bool, tell: Callable[[], None]) -> None:
    """Come to the end together; in a `hurry` end all of them, where the others do not come.

    `tell` says why on stderr. Rank 0 has spoken already, for all that fail alike.
    """
    with Interrupts().watch():  # or a signal would end rank 0, while it writes, with the others
        together = parallel.all_leave(hurry)
    if not together:
        if parallel.rank > 0:
            tell()
        parallel.abort(code)
    if code:
        parallel.finalize()
