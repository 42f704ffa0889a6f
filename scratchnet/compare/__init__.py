"""Several optimizers side by side, from equal starts, with tested differences."""

from scratchnet.compare.run import (
    AUTOMATIC,
    VERDICTS,
    Common,
    Comparison,
    Task,
    Trial,
    compare,
    half_interval,
    holm,
    make_trainer,
    paired_p,
    run_trial,
)

__all__ = [
    "AUTOMATIC",
    "VERDICTS",
    "Common",
    "Comparison",
    "Task",
    "Trial",
    "compare",
    "half_interval",
    "holm",
    "make_trainer",
    "paired_p",
    "run_trial",
]
