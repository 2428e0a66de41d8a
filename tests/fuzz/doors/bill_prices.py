"""Prices of a bill beside machines, and interruptions: untrusted texts, mappings and amounts."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from random import Random
from typing import Any

from pyinfercost import deployment as money

from ..door import Door, Figure, require
from ..mutate import mutated_text, real
from ..mutate import value as any_value
from ..values import Value

_PARSERS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "serverless": (
        money.Serverless.parse,
        ("aws-lambda", "modal-l4", "usd_per_gb_s=2e-5,billed_step_s=0.1", "max_gb=1"),
    ),
    "egress": (money.Egress.parse, ("aws", "inter-az", "0.09", "free=100,0.09:10000,0.085:50000,0.05")),
    "commitment": (money.Commitment.parse, ("discount=0.4,term_years=1", "usd_per_h=1.2,term_years=3")),
    "fixed": (money.FixedCosts.parse, ("staff_usd_per_month=4000", "storage_gb=5,storage_usd_per_gb_month=0.02")),
    "interruptions": (money.Interruptions.parse, ("aws", "cloud=gcp,failures_per_h=0", "interruptions_per_h=0.5")),
}
_WORDS = ("=", ",", ":", "1e999", "nan", "inf", "-", "9" * 400, "\0", "free", "1e-320")


class BillPrices(Door):
    """The parsers of prices of a bill, and amounts under what they return."""

    share = 10_000

    def draw(self, random: Random) -> Value:
        """Return a parser, its value and an amount."""
        kind = random.choice(list(_PARSERS))
        text = random.choice(_PARSERS[kind][1])
        value: Value = mutated_text(random, text, _WORDS) if random.random() < 0.7 else text
        if random.random() < 0.2:
            names = [part.partition("=")[0] for part in text.split(",")]
            value = {name: real(random) for name in names}
        if random.random() < 0.05:
            value = any_value(random)
        return {"kind": kind, "value": value, "amount": random.choice((0, 1.5, real(random)))}

    def run(self, value: Value) -> Iterator[Figure]:
        """Parse the value, and pay for the amount."""
        kind, amount = value["kind"], value["amount"]
        found = _PARSERS[kind][0](value["value"])
        hash(found)
        if kind == "serverless":
            usd = money.invocation_usd(found, amount, gb=0.5, vcpus=1, devices=1)
        elif kind == "egress":
            usd = money.egress_usd(found, amount)
        elif kind == "commitment":
            usd = money.committed(money.Price(usd_per_h=2.0, text="a door"), found).usd_per_h
        elif kind == "fixed":
            usd = found.usd(amount)
        else:
            usd = found.interruptions_per_h + found.failures_per_h
        require(isfinite(usd) and usd >= 0, "an amount is paid with a number from 0", usd)
        yield from ()
