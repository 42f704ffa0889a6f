"""Several optimizers side by side, from equal starts, with tested differences."""

from scratchnet.compare.comparison import VERDICTS, Comparison
from scratchnet.compare.run import AUTOMATIC, compare
from scratchnet.compare.statistics import half_interval, holm, paired_p
from scratchnet.compare.trials import Common, Task, Trial, make_trainer, run_trial

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
