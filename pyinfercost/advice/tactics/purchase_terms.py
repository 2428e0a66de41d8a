"""Terms of a purchase: spot machines, which may be taken away, and hours that are reserved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import InputError
from ...inputs.price import TERMS
from ..setup_words import first_clause
from ..tactic import Option, Options, Refusal
from ..traffic_case import OF_FUNCTION, is_of_traffic
from ..traffic_setups import PURCHASE, terms_of
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup


_SPOT = {
    "stated": "may be taken away: their interruptions are simulated at the rate that was given",
    "fleet": "may be taken away: their interruptions are simulated at an assumed rate; plans use them if you state it: "
    "interruptions='interruptions_per_h=0.05,notice_s=120'",
    "server": "may be taken away at any time, which is not simulated: no plan uses them",
}
"""Requirement of spot machines."""


class PurchaseTerms(TrafficTactic):
    """Spot and reserved machines of the same instance."""

    name = "purchase_terms"
    title = "spot or reserved machines"
    group = "purchase"
    effort = "setting"
    buys = True

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer the other terms of the same price; spot in plans of fleets whose interruptions were stated."""
        if setup.terms.get("serverless"):
            return Options((), [Refusal(text="spot", why=OF_FUNCTION)])
        price = setup.on.price
        if not isinstance(price, str) or setup.on.device_price is None or not setup.on.device_price.terms:
            why = "the price is given as a number, so no other terms are known"
            return Options((), [Refusal(text="spot", why=why)])
        own = terms_of(price)
        of_fleet = is_of_traffic(case) and case.of_fleet
        found, refused = [], []
        for terms in TERMS:
            if terms == own:
                continue
            if terms == "reserved" and of_fleet:
                refused.append(Refusal(text=terms, why="hours that are paid ahead are a commitment of replicas"))
                continue
            try:
                setup.changed({PURCHASE: terms})
            except InputError as error:
                refused.append(Refusal(text=terms, why=first_clause(str(error))))
                continue
            stated = of_fleet and setup.terms.get("interruptions") is not None
            note, allowed = "", terms != "spot" or stated
            if terms == "reserved":
                note = "paid in every hour of a term of a year or more"
            elif terms == "spot":
                note = _SPOT["stated" if stated else "fleet" if of_fleet else "server"]
            apply = f"request {terms} capacity of the same instance"
            change = {PURCHASE: terms}
            found.append(Option(text=f"{terms} machines", change=change, note=note, in_plan=allowed, apply=apply))
        return Options(found, refused)
