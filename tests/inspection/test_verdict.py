"""The verdict on a run: one sentence of what was seen, and what to type next."""

import math

import pytest

from scratchnet.inspection import Figures, judge
from scratchnet.training import Epoch


def history(losses, held=None):
    held = held or [None] * len(losses)
    return [
        Epoch(k, 10 * k, loss, 0.5, 0.0, val, None if val is None else 0.5, 0.1, 100.0, 0.01)
        for k, (loss, val) in enumerate(zip(losses, held, strict=True), 1)
    ]


COMMANDS = {"stuck": "look", "overfitting": "stop earlier"}


def verdict(losses, held=None, *, learned=True, kept=None, stopped=False):
    kept = len(losses) if kept is None else kept
    return judge(Figures(history(losses, held), learned, 0.1, kept, stopped), COMMANDS)


CHANCE = math.log(10)
CASES = {
    "learned": (([2.0, 1.0, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4],), {}, "learned"),
    "one epoch": (([2.0],), {}, "learned"),
    "falls": (([2.0, 1.0, 0.5, 0.4],), {}, "improving"),
    "validation falls": (([1, 0.5, 0.4, 0.3], [1, 0.6, 0.5, 0.4]), {}, "improving"),
    "stopped": (([1, 0.5, 0.4, 0.3], [1, 0.6, 0.5, 0.4]), {"stopped": True}, "learned"),
    "beyond floats": (([math.inf, math.inf, math.inf],), {}, "learned"),
    "validation level": (([1, 0.5, 0.4, 0.3], [1, 0.6, 0.5, 0.5]), {}, "learned"),
    "validation rises": (([1, 0.5, 0.2, 0.1], [1, 0.5, 0.6, 0.8]), {}, "overfitting"),
    "best kept": (([1, 0.5, 0.2, 0.1], [1, 0.5, 0.6, 0.8]), {"kept": 2}, "learned"),
    "both rise": (([1, 0.5, 0.7, 0.9], [1, 0.5, 0.6, 0.8]), {}, "learned"),
    "chance": (([CHANCE] * 5,), {"learned": False}, "stuck"),
    "by heart": (([2.3, 1.5, 0.9, 0.3],), {"learned": False}, "stuck"),
    "far": (([900.0, 500.0],), {"learned": False}, "diverging"),
    "rises": (([2.3, 30.0, 900.0],), {"learned": False}, "diverging"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_run_is_judged_by_its_losses_and_a_guess(name):
    given, more, expected = CASES[name]
    assert verdict(*given, **more).name == expected


def test_what_is_seen_stands_in_the_sentence_and_what_to_type_beside_it():
    found = verdict([1, 0.5, 0.2, 0.1], [1, 0.5, 0.6, 0.8])
    assert found.text == (
        "it learned, and overfits from epoch 2 on: the validation loss rose from 0.5 to 0.8 while "
        "the training loss fell"
    )
    assert found.command == "stop earlier"
    assert verdict([2.0, 1.0, 0.5, 0.4]).text == (
        "it learned, and still improves: the training loss fell from 0.5 to 0.4 over the last of "
        "4 epochs"
    )
    assert verdict([2.0, 1.0, 0.5, 0.4]).command == ""
    stuck = verdict([CHANCE] * 5, learned=False)
    assert stuck.text == "it did not learn: the training loss stayed at 2.3"
    assert stuck.command == "look"
    assert verdict([CHANCE], learned=False).text == "it did not learn: the training loss was 2.3"
    assert "no better than by their most frequent label (0.10)" in (
        verdict([2.3, 1.5, 0.9, 0.3], learned=False).text
    )
