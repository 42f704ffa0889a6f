"""All rules, in the order in which they are asked: another one is a class and a line here."""

from collections.abc import Mapping
from types import MappingProxyType

from scratchnet.diagnosis.data_rules import (
    ConstantInputs,
    DominantClass,
    FewSamples,
    MissingClass,
    NoisyLabels,
    PreparedDifferently,
    ShuffledLabels,
    WrongValidationLabels,
)
from scratchnet.diagnosis.input_rules import (
    OutlierSamples,
    OutsizeColumn,
    UnscaledInputs,
    UnscaledTargets,
)
from scratchnet.diagnosis.network_rules import (
    DeadUnits,
    LargeWeights,
    NoActivation,
    Saturated,
    SmallNetwork,
    SmallWeights,
    WrongBackward,
)
from scratchnet.diagnosis.rule import Rule
from scratchnet.diagnosis.training_rules import (
    EarlySchedule,
    FewSteps,
    HighRate,
    LowRate,
    OptimizerOptions,
    Overfitting,
    ShortTraining,
    SortedSamples,
    StrongAugmentation,
    StrongNoise,
    StrongPenalty,
)

FIRST: tuple[Rule, ...] = (
    WrongBackward(),
    ConstantInputs(),
    MissingClass(),
    DominantClass(),
    FewSamples(only_tiny=True),
    PreparedDifferently(),
    ShuffledLabels(),
    NoisyLabels(),
    WrongValidationLabels(),
)
"""Proved by looking, or by what the references make of the samples: the first is heard."""
OF_TRAINING: tuple[Rule, ...] = (
    OutsizeColumn(),
    OutlierSamples(),
    UnscaledInputs(),
    UnscaledTargets(),
    DeadUnits(),
    Saturated(),
    SmallWeights(),
    LargeWeights(),
    StrongPenalty(),
    StrongNoise(),
    SortedSamples(),
    StrongAugmentation(),
    OptimizerOptions(),
    EarlySchedule(),
    NoActivation(),
    SmallNetwork(),
    HighRate(),
    LowRate(),
    ShortTraining(),
)
"""Told apart by whose cure brings back the most, if a run lacks anything."""
LAST: tuple[Rule, ...] = (FewSamples(), FewSteps(), Overfitting())
"""Asked if nothing else was found."""
RULES: Mapping[str, Rule] = MappingProxyType(
    {rule.name: rule for rule in (*FIRST, *OF_TRAINING, *LAST)}
)
"""All of them, by the name of their fault."""
