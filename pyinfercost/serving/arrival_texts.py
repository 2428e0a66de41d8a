"""Texts of arrivals, such as `"poisson:20"` or `"diurnal:mean=20,peak=3,weekend=0.5,growth=10%/month"`.

A text is a kind and settings: `KIND[:RATE][,NAME=VALUE...]`. RATE is short for `mean=RATE`, the mean rate in requests
per second, or with a unit: `90/min`. A text with a rate is a whole traffic; without one, the rate is given apart.

A new kind is a settings type with `begin` and `at_rate`, and its row in `_TYPES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from .._checks import shown
from .arrivals import ArrivalsError, AtOnce, BurstArrivals, ClosedLoop, GammaArrivals
from .varying_arrivals import DAYS, VaryingArrivals

Arrivals: TypeAlias = "GammaArrivals | BurstArrivals | VaryingArrivals | AtOnce | ClosedLoop"
ArrivalsLike: TypeAlias = "Arrivals | str"
"""Arrivals: a process, or text such as `"gamma:20,cv=4"`."""

_EXPECTED = (
    "expected 'poisson:20', 'gamma:20,cv=4', 'bursts:20,size=8,spacing_s=0.01', 'diurnal:mean=20,peak=3,weekend=0.5', "
    "'diurnal:20,profile=1:2:4:2', 'mmpp:mean=20,burst=5,share=0.1,length_s=60', 'at-once', or "
    "'closed:clients=8,think_s=1'"
)
_PEAK = 1.5  # of a day without a profile
_BURSTS = ("burst", "share", "length_s")
_TYPES: Mapping[str, tuple[type[VaryingArrivals | BurstArrivals | AtOnce | ClosedLoop], tuple[str, ...]]] = {
    "poisson": (VaryingArrivals, ("mean", "growth")),
    "gamma": (VaryingArrivals, ("mean", "cv", "growth")),
    "bursts": (BurstArrivals, ("mean", "size", "spacing_s")),
    "diurnal": (
        VaryingArrivals,
        ("mean", "peak", "profile", "period_s", "week", "weekend", "cv", "growth", *_BURSTS),
    ),
    "mmpp": (VaryingArrivals, ("mean", "rates", "sojourns_s", "cv", "growth", *_BURSTS)),
    "at-once": (AtOnce, ()),
    "closed": (ClosedLoop, ("clients", "think_s", "exponential")),
}
"""Kind -> type of its arrivals, and the settings of its texts."""

KINDS = tuple(_TYPES)
"""Kinds of arrivals that have a text."""


def parse_arrivals(
    value: ArrivalsLike | None, *, rate_per_s: float | None = None, clients: int | None = None
) -> Arrivals:
    """Return the arrivals that a value, a rate and a number of clients describe.

    Args:
        value: Arrivals, or text; without one, Poisson arrivals at `rate_per_s`, a closed loop of `clients`, or all
            requests at once if neither is given.
        rate_per_s: Mean rate of an open loop, if the value has none.
        clients: Clients of a closed loop, likewise.

    Raises:
        ArrivalsError: The value is unknown, or contradicts the rate or the clients.
    """
    if rate_per_s is not None and clients is not None:
        raise ArrivalsError(
            f"rate_per_s is {shown(rate_per_s)} and clients is {shown(clients)}; pass one: a rate for requests that do "
            "not wait for answers, or clients that do"
        )
    if value is None:
        value = "poisson" if rate_per_s is not None else "at-once" if clients is None else "closed"
    if isinstance(value, str):
        return _of_text(value, rate_per_s, clients)
    if not isinstance(value, (GammaArrivals, BurstArrivals, VaryingArrivals, AtOnce, ClosedLoop)):
        raise ArrivalsError(f"arrivals is {shown(value)}; {_EXPECTED}")
    own = value.clients or None, None if isinstance(value, (AtOnce, ClosedLoop)) else value.rate_per_s
    if (clients is not None and clients != own[0]) or (rate_per_s is not None and rate_per_s != own[1]):
        raise ArrivalsError(f"arrivals is {shown(value)}, with rate_per_s or clients beside it; pass them once")
    return value


def _of_text(text: str, rate_per_s: float | None, clients: int | None) -> Arrivals:
    kind, _, rest = (each.strip() for each in text.partition(":"))
    if "," in kind:  # the kind of 'mmpp,mean=20' has no rate behind it
        raise ArrivalsError(f"arrivals is {shown(text)}; write a colon after the kind: {_EXPECTED}")
    if kind not in _TYPES:
        raise ArrivalsError(f"arrivals is {shown(kind)}; {_EXPECTED}")
    made, names = _TYPES[kind]
    given = made.texts_of(rest)
    short = {each.name: each.short or each.name for each in made.fields}
    for name in given:
        if short.get(name, name) not in names:
            raise ArrivalsError(f"arrivals {kind!r} has no {shown(name)}; it has {', '.join(names)}")
    for name, value in (("rate_per_s", rate_per_s), ("clients", clients)):
        if value is None:
            continue
        if name not in short:
            raise ArrivalsError(f"arrivals are {kind!r} and {name} is {shown(value)}; pass one of them")
        if name in given:
            raise ArrivalsError(
                f"arrivals is {shown(text)} and {name} is {shown(value)}; give the {short[name]} once, in the text or "
                "apart"
            )
        given[name] = value
    if "rate_per_s" in short and not {"rate_per_s", "rates"} & set(given):
        raise ArrivalsError(f"arrivals are {kind!r} without a rate; write it, as in '{kind}:20', or pass rate_per_s")
    if kind == "diurnal" and not {"peak", "profile"} & set(given) and given.get("week", "").count(":") < DAYS:
        given["peak"] = _PEAK  # with the hours of a week, each day has the same profile
    if kind == "mmpp" and not {"rates", "sojourns_s", *_BURSTS} & set(given):
        given["modulation"] = {}  # which is an error that names the settings of states
    found = made.parse(given)
    if (
        isinstance(found, VaryingArrivals)
        and found.season is None
        and found.modulation is None
        and not found.growth_per_day
    ):
        return GammaArrivals(rate_per_s=found.rate_per_s, variation=found.variation)
    return found
