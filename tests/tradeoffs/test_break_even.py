"""Break-even of a training: numbers by hand, reasons in words."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinfercost.results.tradeoff import TradeoffRow
from pyinfercost.tradeoffs import TradeoffError
from pyinfercost.tradeoffs.break_even import break_even, measured_break_even, predicted_break_even


def test_a_training_is_paid_for_by_its_savings() -> None:
    found = break_even(30.0, 0.004, 0.001, "USD")  # 30 / 0.003
    assert found.inferences == pytest.approx(10_000)
    assert (found.unit, found.text) == ("USD", "10,000 inferences")
    assert found.days_at(10_000 / 86400) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("training", "before", "after", "inferences", "text"),
    [
        (5.0, 2.0, 2.0, None, "never: an inference costs as much afterwards"),
        (5.0, 2.0, 3.0, None, "never: an inference costs more afterwards"),
        (0.0, 2.0, 3.0, 0.0, "at once: the training costs nothing"),
        (1e30, 1e-30, 0.0, 1e60, None),
        (None, 2.0, 1.0, None, "unknown: the cost of the training is not known in s"),
        (5.0, None, 1.0, None, "unknown: the cost of the unchanged model is not known in s"),
        (5.0, 2.0, None, None, "unknown: the cost of the candidate is not known in s"),
        (0.5, 2.0, 1.0, 0.5, "1 inference"),
        (2.5e6, 2.0, 1.0, 2.5e6, "2.500 M inferences"),
    ],
)
def test_cases_without_a_number_say_why(
    training: float | None, before: float | None, after: float | None, inferences: float | None, text: str | None
) -> None:
    found = break_even(training, before, after, "s")
    assert found.inferences == (None if inferences is None else pytest.approx(inferences))
    assert text is None or found.text == text
    if inferences is None:
        assert found.days_at(5.0) is None


def test_a_saving_of_a_last_bit_is_no_infinity() -> None:
    found = break_even(1e30, 5e-324, 0.0, "s")
    assert (found.inferences, found.text) == (None, "never: an inference costs as much afterwards")


@given(
    st.floats(1e-6, 1e6),
    st.floats(1e-6, 1e6),
    st.floats(1e-6, 1e6),
)
def test_after_that_many_inferences_both_have_cost_the_same(training: float, before: float, after: float) -> None:
    found = break_even(training, before, after, "s").inferences
    if found is None:
        assert after >= before
    else:
        assert training + found * after == pytest.approx(found * before, rel=1e-6, abs=1e-6 * training)


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf])
def test_costs_are_checked(wrong: float) -> None:
    for values in ((wrong, 2.0, 1.0), (5.0, wrong, 1.0), (5.0, 2.0, wrong)):
        with pytest.raises(TradeoffError, match="expected a number"):
            break_even(*values, "s")
    with pytest.raises(TradeoffError, match=re.escape("per_s is 0; expected a number from 1e-12")):
        break_even(5.0, 2.0, 1.0, "s").days_at(0)


def test_rows_compare_money_where_it_is_known_and_else_seconds_of_one_machine() -> None:
    original = TradeoffRow(name="original", latency_s=0.3, cost_usd=3e-6, measured_s=0.4)
    row = TradeoffRow(
        name="student",
        latency_s=0.1,
        cost_usd=1e-6,
        measured_s=0.2,
        training_steps=7,
        training_hardware="l4",
        training_s=20.0,
        training_usd=6e-5,
        measured_training_s=10.0,
    )
    assert predicted_break_even(row, original, "t4").inferences == pytest.approx(30)  # 6e-5 / 2e-6
    assert measured_break_even(row, original).inferences == pytest.approx(50)  # 10 / 0.2
    unpriced = replace(row, training_usd=None)
    assert predicted_break_even(unpriced, original, "l4").inferences == pytest.approx(100)  # 20 / 0.2
    other = predicted_break_even(unpriced, original, "t4")
    assert (other.inferences, other.text) == (
        None,
        "unknown: seconds of l4 and of t4 do not compare; give prices",
    )
    failed = replace(row, training_s=None, training_usd=None, training_why_not="no such op")
    assert predicted_break_even(failed, original, "l4").text == (
        "unknown: the training cannot be predicted (no such op)"
    )
    assert measured_break_even(replace(row, measured_s=None), original).text == (
        "unknown: the cost of the candidate is not known in s"
    )
