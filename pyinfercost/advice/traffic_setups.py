"""Setups under traffic: one replica, its scheduler or its autoscaler, and the command that reproduces their figures."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from ..inputs.price import TERMS as PRICE_TERMS
from .questions import Question, option_words
from .setups import TERMS, Setup, Variant, deployment_settings, is_plain

if TYPE_CHECKING:
    from typing_extensions import Self

REPLICAS = "replicas"
"""Term with the number of replicas of a server."""

PURCHASE = "purchase"
"""Key of a change that sets the terms of the price, of whatever machine it has then: `{"purchase": "spot"}`."""

SCHEDULER = (
    "max_num_seqs",
    "max_num_batched_tokens",
    "num_gpu_blocks",
    "max_model_len",
    "enable_prefix_caching",
)
"""Terms that are settings of the scheduler of an engine."""


BILL = (
    "committed",
    "commitment",
    "fixed",
    "egress",
    "response_bytes",
    "serverless",
    "memory_gb",
    "interruptions",
    "start_hour",
)
"""Terms that are fields of `fleets.Terms`."""


class Sizer(Protocol):
    """Finds how many replicas a changed setup needs."""

    def sized(self, setup: TrafficSetup, *, spare: bool) -> TrafficSetup:
        """Return a setup with as many replicas as it needs; with `spare`, as many times more as the baseline has.

        Raises:
            InputError: It cannot serve the requests; the message has the reason.
        """
        ...


def terms_of(price: str) -> str:
    """Return the terms of a price that is given as text: the terms in its name, or on demand."""
    base, _, named = price.partition(":")
    return base if base in PRICE_TERMS else named or "on-demand"


@dataclass(frozen=True)
class TrafficSetup(Setup):
    """A setup of a server or a fleet. Its terms are options of `pyinfercost serve` or `pyinfercost fleet`, by name.

    Attributes:
        question: The requests and the objective, equal for all setups.
        sizer: Finds the replicas of a server after a change; None for a fleet, whose autoscaler does.
    """

    question: Question | None = None
    sizer: Sizer | None = field(default=None, compare=False, repr=False)

    def changed(self, change: Mapping[str, Any]) -> Self:
        """Return the setup with a change, and with the replicas that it then needs.

        Spare replicas of the baseline stay, unless the change is of their number.

        Args:
            change: As in `Setup.changed`, and `PURCHASE` for the terms of the price that the setup then has.
        """
        made = super().changed({name: value for name, value in change.items() if name != PURCHASE})
        if PURCHASE in change and isinstance(made.on.price, str):
            base = made.on.price.partition(":")[0]
            wanted = change[PURCHASE]
            made = replace(made, on=made.on.replace(price=wanted if base in PRICE_TERMS else f"{base}:{wanted}"))
        if self.sizer is None or not change:
            return made
        sized = self.sizer.sized(made, spare=f"{TERMS}{REPLICAS}" not in change)
        return made.resized(sized)

    def resized(self, other: TrafficSetup) -> Self:
        """Return the setup with the deployment and the terms of another one."""
        return replace(self, on=other.on, terms=other.terms)

    def arguments(self) -> list[str]:
        """Return the options of the command line that describe the setup, its terms among them."""
        words: list[str] = []
        for name, value in deployment_settings(self.on).items():
            words += ["--sustained"] if name == "sustained" else option_words(name, value)
        given = Variant()
        for name in ("quantize", "prune", "kv_cache", "width"):
            value = getattr(self.variant, name)
            if value != getattr(given, name):
                words += option_words(name, value)
        for name, value in self.terms.items():
            if value is not None:
                words += option_words(name, value)
        return words

    def command(self, model: str) -> str:
        """Return the command that predicts the figures of the setup; empty if it cannot be written as one."""
        spec, asked = self.variant.model or model, self.question
        if not spec or asked is None or asked.words is None or not is_plain(self.on):
            return ""
        return shlex.join(["pyinfercost", asked.command, spec, *self.arguments(), *asked.words])

    def code(self, model: str) -> str:
        """Return lines of Python that predict the figures; empty for formats that the model does not have."""
        spec, asked = self.variant.model or model, self.question
        changed = self.variant != Variant(model=self.variant.model)
        if not spec or asked is None or changed:
            return ""
        fields = ", ".join(f"{name}={value!r}" for name, value in deployment_settings(self.on).items())
        known = {name: value for name, value in self.terms.items() if value is not None}
        bill = ", ".join(f"{name}={value!r}" for name, value in known.items() if name in BILL)
        terms = "".join(f", {name}={value!r}" for name, value in known.items() if name not in BILL)
        lines = ["import pyinfercost as ic", f"on = ic.Deployment({fields})", *asked.lines]
        if bill:
            lines.insert(1, "from pyinfercost.fleets import Terms")
            terms += f", terms=Terms({bill})"
        return "\n".join([*lines, f"result = ic.{asked.command}({spec!r}, on=on, {asked.arguments}{terms})"])
