"""Limits of a comparison and budgets: texts and numbers that say how much a figure may change or be."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.predict.limits import LIMITED, limit_of

from ..door import Door, Figure
from ..mutate import integer, mutated_text, real, text
from ..mutate import value as any_value
from ..values import Value

_STEPS = (
    "+5%",
    "-5%",
    "+0",
    "-0.001",
    "any",
    "+1e6",
    "+1e400",
    "-100%",
    "+1e-400",
    "+.5",
    "+5.%",
    "+ 5 %",
    "5",
    "-99.999%",
)
_WORDS = ("%", ":", "+", "-", "e", "1e999", "9" * 400, "any", " ", "\u0663", "inf", "nan", "\0", "_")
_BUDGETS = ("latency_s", "energy_per_item_j", "cost_usd", "carbon_g", "flops", "parameters", "peak_memory_bytes")


def limit_text(random: Random) -> str:
    """Draw the text of a limit."""
    limit = f"{random.choice(LIMITED)}:{random.choice(_STEPS)}"
    return mutated_text(random, limit, _WORDS) if random.random() < 0.5 else limit


class Limits(Door):
    """`limit_of` a text and `CostBudget` of numbers."""

    share = 3_000

    def draw(self, random: Random) -> Value:
        """Return a limit, or none and a budget."""
        numbers = {
            name: random.choice((real, integer, any_value))(random) for name in _BUDGETS if random.random() < 0.3
        }
        if random.random() < 0.1:
            numbers[random.choice(("sizes", "at", "action", "price", "devices"))] = any_value(random)
        limit = random.choice((None, None, None, limit_text(random), limit_text(random), text(random)))
        return {"limit": limit, "budget": numbers}

    def run(self, value: Value) -> Iterator[Figure]:
        """Read the limit and check the budget."""
        if value["limit"] is not None:
            yield "amount", limit_of(value["limit"]).amount
            return
        try:
            budget = ic.CostBudget(**{"hardware": "l4", "price": 0.5, "region": "deu", **value["budget"]})
            ic.assert_cost(_MODEL, budget)
        except ic.CostBudgetExceededError as error:
            str(error)


_MODEL = blocks(fixed_batch=2)
