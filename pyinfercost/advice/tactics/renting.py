"""Renting: another machine, another offer of the same one, other terms, another place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment import offers
from ...deployment.places import known_places, place
from ...errors import Error
from ...inputs.price import TERMS
from ...results.advice import MONEY
from ..tactic import Option, Options, Refusal, Tactic

if TYPE_CHECKING:
    from ...deployment import Deployment
    from ..case import Case
    from ..setups import Setup

_CLEANEST = 5
"""Number of regions that are tried, of the cleanest grids."""

_CONDITIONS = {
    "spot": "which may be taken away at any time",
    "reserved": "a commitment for a year or longer",
    "on-demand": "",
}


class Machine(Tactic):
    """Another machine, at the price that the catalog has on the same terms."""

    name = "machine"
    title = "another machine"
    buys = True
    effort = "code"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer the machines of the question; a plan may take one if money is the objective."""
        found, refused = [], []
        priced = setup.on.price is not None
        for name in case.machines:
            if name == setup.placed.machine.id:
                continue
            change = {"hardware": name, **({"price": case.terms} if priced else {})}
            try:
                changed = setup.on.replace(**change)
            except Error as error:
                refused.append(Refusal(text=name, why=str(error)))
                continue
            note = _rent(changed)[1]
            found.append(
                Option(
                    text=name,
                    phrase=f"on {name}",
                    change=change,
                    in_plan=case.objective in MONEY,
                    note=note if case.objective in MONEY else "the price of the machine is not part of the objective",
                )
            )
        return Options(found, refused)


class Terms(Tactic):
    """Spot and reserved prices of the same machine."""

    name = "terms"
    title = "terms of purchase"
    buys = True
    group = "price"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer the cheapest offers on other terms; they are listed and no part of a plan."""
        price, machine = setup.on.device_price, setup.placed.machine.id
        if price is None or case.objective not in MONEY:
            return Options()
        found, refused = [], []
        for terms in TERMS:
            if price.terms in (terms, "purchase"):
                continue
            known = [each for each in offers(device=machine) if terms in each.usd_per_h and each.host]
            if not known:
                refused.append(Refusal(text=terms, why=f"the catalog has no {terms} price of {machine}"))
                continue
            note = ", ".join(filter(None, (_rent(setup.on.replace(price=terms))[1], _CONDITIONS[terms])))
            found.append(
                Option(
                    text=f"the {terms} price",
                    phrase=f"at the {terms} price",
                    change={"price": terms},
                    in_plan=False,
                    note=note,
                )
            )
        return Options(found, refused)


class Offer(Tactic):
    """The cheapest offer of the same machine on the same terms."""

    name = "offer"
    title = "another provider"
    buys = True
    group = "price"
    effort = "code"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer the cheapest one of the catalog."""
        price = setup.on.device_price
        if price is None or case.objective not in MONEY:
            return Options()
        terms = price.terms if price.terms in TERMS else "on-demand"
        if setup.on.price == terms:
            return Options((), [Refusal(text="another offer", why=f"{price.text} is the cheapest known one")])
        try:
            cheapest = setup.on.replace(price=terms)
        except Error as error:
            return Options((), [Refusal(text="another offer", why=str(error))])
        (own, _), (least, _) = _rent(setup.on), _rent(cheapest)
        if cheapest.device_price is None or least >= own:
            return Options((), [Refusal(text="another offer", why="the catalog has no cheaper one on these terms")])
        note = f"{least:.4g} USD/h instead of {own:.4g}"
        text = cheapest.device_price.text
        return Options([Option(text=text, phrase=f"at {text}", change={"price": terms}, note=note)])


def _rent(on: Deployment) -> tuple[float, str]:
    """Return USD per hour that a deployment pays, and that in words with the source; empty without a price."""
    if on.rent is None or on.device_price is None:
        return 0.0, ""
    usd_per_h = on.rent.usd_per_h()
    return usd_per_h, f"{usd_per_h:.4g} USD/h, {on.device_price.text}"


class Region(Tactic):
    """A place with a cleaner grid."""

    name = "region"
    title = "another region"
    buys = True
    effort = "code"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer the regions of the same cloud, or all countries, if carbon is the objective."""
        if case.objective != "carbon_g":
            return Options()
        price, own = setup.on.device_price, setup.on.place
        cloud = price.cloud if price is not None else ""
        known = [name for name in known_places() if (name.startswith(f"{cloud}/") if cloud else "/" not in name)]
        cleanest = sorted(known, key=lambda name: place(name, cloud=cloud).grid_g_per_kwh)[:_CLEANEST]
        return Options(
            [
                Option(
                    text=name,
                    phrase=f"in {name}",
                    change={"region": name},
                    note="the price of the present region is kept" if price is not None else "",
                )
                for name in cleanest
                if own is None or name != own.name
            ]
        )
