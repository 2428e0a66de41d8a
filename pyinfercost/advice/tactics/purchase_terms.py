"""Terms of a purchase: spot machines, which may be taken away, and hours that are reserved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment.prices import TERMS
from ...errors import InputError
from ..tactic import Option, Options, Refusal
from ..traffic_case import is_of_traffic
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup


class PurchaseTerms(TrafficTactic):
    """Spot and reserved machines of the same instance."""

    name = "purchase_terms"
    title = "spot or reserved machines"
    group = "purchase"
    effort = "setting"
    buys = True

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer the other terms of the same price."""
        price = setup.on.price
        if not isinstance(price, str) or setup.on.device_price is None or not setup.on.device_price.terms:
            return Options(
                (), [Refusal(text="spot", why="the price is given as a number, so no other terms are known")]
            )
        base, _, own = price.partition(":")
        own = base if base in TERMS else own or "on-demand"
        found, refused = [], []
        simulated = is_of_traffic(case) and case.of_fleet
        for terms in TERMS:
            if terms == own:
                continue
            value = terms if base in TERMS else f"{base}:{terms}"
            try:
                setup.on.replace(price=value)
            except InputError as error:
                refused.append(Refusal(text=terms, why=str(error)))
                continue
            taken = (
                "may be taken away: their interruptions are simulated, at a rate that is assumed"
                if simulated
                else "may be taken away at any time, which is not simulated"
            )
            note = taken if terms == "spot" else "paid in every hour of a term of a year or more"
            # Machines that may vanish are no equal of others, unless a simulation counts what that costs.
            allowed = terms == "reserved" or simulated
            found.append(Option(text=f"{terms} machines", change={"price": value}, note=note, in_plan=allowed))
        return Options(found, refused)
