"""Alternatives to the best point of a sweep: the points that follow it, and other offers of its machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..deployment.prices import offers
from ..inputs.price import TERMS
from ..results.figures import FIGURES, PRICE
from ..results.units import significant
from ..sweeps.columns import EMULATED_BY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..inputs.price import Price
    from ..sweeps.result import Sweep
    from ..sweeps.storage import StoredSweep
    from .choice import Choice

_MOST = 4
_KEYS = ("hardware", "precision", "engine", "execution")
"""The first of these that varies tells the points apart: another batch of the same machine is no alternative to it."""


def runners_up(choice: Choice, matching: Sweep | StoredSweep) -> Sweep | None:
    """Return the best points of different machines, the best ones first; None if there is only one.

    On one machine, points that differ in precision, engine or execution. Points whose precision is emulated and those
    with an engine for it are told apart, so that both are there.

    Args:
        choice: An objective without `per`.
        matching: The points that satisfy the condition.
    """
    for key in _KEYS:
        if key in matching.columns:
            ranked = choice.ranked(matching, (key, EMULATED_BY))
            if len(set(ranked[key].tolist())) > 1 or len(set(ranked[EMULATED_BY].tolist())) > 1:
                return ranked.stretch(0, min(_MOST, len(ranked)))
    return None


def other_offer(choice: Choice, hardware: str, prices: Mapping[str, Price]) -> list[tuple[str, str]]:
    """Return a line about the next cheapest price of a machine that another provider asks on the same terms.

    There is none if the objective does not depend on the price, or if the caller gave it.

    Args:
        choice: An objective.
        hardware: Id of the machine.
        prices: Prices of a device-hour by machine.
    """
    price = prices.get(hardware)
    figure = FIGURES.get(choice.best or "")
    of_cost = figure is not None and PRICE in figure.needs
    if not of_cost or price is None or not price.cloud or price.terms not in TERMS:
        return []
    others = [
        (offer.usd_per_h[price.terms] / max(1.0, offer.devices), offer)
        for offer in offers(device=hardware)
        if offer.cloud != price.cloud and price.terms in offer.usd_per_h and offer.host
    ]
    if not others:
        return [("other offers", f"none with an {price.terms} price: the cost rests on this one")]
    usd_per_h, offer = min(others, key=lambda each: each[0])
    factor = "" if not price.usd_per_h else f", {significant(usd_per_h / price.usd_per_h)} times this price"
    return [
        ("other offers", f"from {significant(usd_per_h)} USD/h for a device, {offer.name}, of {offer.dated}{factor}")
    ]
