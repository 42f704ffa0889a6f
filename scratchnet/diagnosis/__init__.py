"""Why is it not learning? Signals, experiments, and a name only where an experiment agrees."""

from scratchnet.diagnosis.doctor import Diagnosis, case_of, diagnose, examine
from scratchnet.diagnosis.rule import Finding
from scratchnet.diagnosis.rules import RULES

__all__ = ["RULES", "Diagnosis", "Finding", "case_of", "diagnose", "examine"]
