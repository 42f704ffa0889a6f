"""The loop of a rule where there is one: its formula, compiled, in one pass over memory."""

from typing import Any

import numpy as np

from scratchnet import loops
from scratchnet.loops.translation import (
    Loop,
    Translator,
    UntranslatableError,
    source_of,
    translated,
)
from scratchnet.parameters import Array


def run_loop(optimizer: Any, scale: float, n_decayed: int, *arrays: Array) -> bool:
    """Do the rule of `optimizer` to w, g and the slots, and say whether there is a loop for it.

    g is multiplied by `scale` and clipped to +- `clip_value`; the first `n_decayed` values of w
    decay. It does the same as the rule, to the same bits.
    """
    loop, dtype = find_rule(optimizer), arrays[0].dtype
    if loop is None or loops.code_of(loop.digest, dtype) is None:
        return False
    limits = np.array(limits_of(optimizer, scale), dtype)
    numbers = np.array(loop.numbers(optimizer), dtype)
    return loops.run(loop.digest, arrays[0].size, n_decayed, dtype, numbers, limits, *arrays)


def limits_of(optimizer: Any, scale: float) -> tuple[float, float]:
    """What gradients are multiplied with, and the largest value they may have then."""
    return scale, np.inf if optimizer.clip_value is None else optimizer.clip_value


def find_rule(optimizer: Any) -> Loop | None:
    """The loop of the optimizer's very rule; None for a rule that is no loop.

    Rules are translated anew, and by its digest the loop found that was compiled from this text: so
    one that somebody changed, in a subclass or in its file, has none until that is built.
    """
    kind: Any = type(optimizer)
    if loops.compiled() is None or "rule" in vars(optimizer):
        return None
    return translated(translate, (kind,), (kind.rule, kind.decay_weights))


def translate(kind: type[Any]) -> Loop:
    """The loop of the rule of a class of optimizers, and of its weight decay.

    Raises UntranslatableError, with the reason, for a rule that cannot be one.
    """
    if not kind.elementwise:
        raise UntranslatableError("needs whole arrays")
    arrays = [argument.arg for argument in source_of(kind.rule).args.args[1:]]
    if len(arrays) != 2 + len(kind.slots):
        raise UntranslatableError("does not name its slots")
    translator = Translator(kind, arrays)
    decay = translator.translate(kind.decay_weights, [arrays[0], *arrays[2:]])
    rule = translator.translate(kind.rule, arrays)
    g, written = arrays[1], [arrays[0], *arrays[2:]]
    lines = [
        f"RULE({name_of(kind)})",
        "{",
        "    const REAL *S = p[0], *limits = p[1];",
        *translator.declarations(),
        f"    REAL {', '.join(f'*{name}_ = p[{i + 2}]' for i, name in enumerate(arrays))};",
        "    INDEPENDENT",
        "    for (ptrdiff_t i = from; i < to; i++) {",
        f"        REAL {', '.join(f'{name} = {name}_[i]' for name in arrays)};",
        f"        {g} = CLIP(limits[0] * {g}, -limits[1], limits[1]);",
        "        if (decays) {",
        *(f"            {line}" for line in decay),
        "        }",
        *(f"        {line}" for line in rule),
        *(f"        {name}_[i] = {name};" for name in written),
        "    }",
        "}",
    ]
    return Loop("\n".join(lines) + "\n", translator.compute_numbers(), len(translator.numbers))


def name_of(kind: type[Any]) -> str:
    """The class that wrote the rule, as several may share one."""
    decays = "decay_weights" in vars(kind)
    owner = next(base for base in kind.__mro__ if "rule" in vars(base))
    return kind.__name__ if decays else owner.__name__
