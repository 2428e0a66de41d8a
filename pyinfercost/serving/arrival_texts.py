"""Texts of arrivals, such as `"poisson:20"` or `"diurnal:mean=20,peak=3,weekend=0.5,growth=10%/month"`.

A text is a kind and settings: `KIND[:RATE][,NAME=VALUE...]`. RATE is short for `mean=RATE`, the mean rate in requests
per second, or with a unit: `90/min`. A text with a rate is a whole traffic; without one, the rate is given apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from .._checks import COUNT, Range, number, number_in, shown, whole_in
from .arrivals import (
    RATE,
    SECONDS,
    VARIATION,
    ArrivalsError,
    AtOnce,
    BurstArrivals,
    ClosedLoop,
    GammaArrivals,
)
from .varying_arrivals import (
    BURST,
    DAYS,
    GROWTH,
    PEAK,
    PERIOD,
    SHARE,
    SOJOURN,
    WEIGHT,
    Modulation,
    Season,
    VaryingArrivals,
    growth_per_day,
    peaked_profile,
)

Arrivals: TypeAlias = "GammaArrivals | BurstArrivals | VaryingArrivals | AtOnce | ClosedLoop"
ArrivalsLike: TypeAlias = "Arrivals | str"
"""Arrivals: a process, or text such as `"gamma:20,cv=4"`."""

_EXPECTED = (
    "expected 'poisson:20', 'gamma:20,cv=4', 'bursts:20,size=8,spacing_s=0.01', 'diurnal:mean=20,peak=3,weekend=0.5', "
    "'diurnal:20,profile=1:2:4:2', 'mmpp:mean=20,burst=5,share=0.1,length_s=60', 'at-once', or "
    "'closed:clients=8,think_s=1'"
)
_PER = {"s": 1.0, "min": 60.0, "h": 3600.0}
_RATE_TEXT = re.compile(r"([0-9.eE+-]+)(?:/(s|min|h))?")
_GROWTH_TEXT = re.compile(r"([0-9.eE+-]+)%/(day|week|month|year)")
_DAYS_OF = {"day": 1.0, "week": 7.0, "month": 365 / 12, "year": 365.0}
_PEAK = 1.5  # of a day without a profile


def parse_rate(text: str, name: str = "rate") -> float:
    """Return requests per second of a text: `"4"`, `"4/s"`, `"90/min"`, `"5000/h"`.

    Raises:
        ArrivalsError: It is none of these, or out of range.
    """
    match = _RATE_TEXT.fullmatch(text.strip())
    try:
        value = float(match[1]) / _PER[match[2] or "s"]  # type: ignore[index]  # None raises TypeError
    except (TypeError, ValueError):
        raise ArrivalsError(
            f"{name} is {shown(text)}; expected a number per s, min or h, such as 4/s or 90/min"
        ) from None
    return number(value, name, RATE, ArrivalsError)


# ---- settings of a text ----------------------------------------------------------------------------------------------


def _float(within: Range) -> Callable[[str, str], float]:
    return lambda name, text: number_in(text, name, within, ArrivalsError)


def _whole(name: str, text: str) -> int:
    return whole_in(text, name, COUNT, ArrivalsError)


def _floats(within: Range) -> Callable[[str, str], tuple[float, ...]]:
    return lambda name, text: tuple(number_in(part, name, within, ArrivalsError) for part in text.split(":"))


def _flag(name: str, text: str) -> bool:
    if text not in ("0", "1"):
        raise ArrivalsError(f"{name} is {shown(text)}; expected 0 or 1")
    return text == "1"


def _growth(name: str, text: str) -> float:
    match = _GROWTH_TEXT.fullmatch(text)
    try:
        share = float(match[1]) / 100  # type: ignore[index]  # None raises TypeError
    except (TypeError, ValueError):
        raise ArrivalsError(
            f"{name} is {shown(text)}; expected percent a day, week, month or year, such as 10%/month"
        ) from None
    return growth_per_day(number(share, name, GROWTH, ArrivalsError), _DAYS_OF[match[2]])  # type: ignore[index]


_CHANGES: Mapping[str, Callable[[str, str], Any]] = {"cv": _float(VARIATION), "growth": _growth}
_BURSTS: Mapping[str, Callable[[str, str], Any]] = {
    "burst": _float(BURST),
    "share": _float(SHARE),
    "length_s": _float(SOJOURN),
}
_READERS: Mapping[str, Mapping[str, Callable[[str, str], Any]]] = {
    "poisson": {"mean": lambda name, text: parse_rate(text, name), "growth": _growth},
    "gamma": {"mean": lambda name, text: parse_rate(text, name), **_CHANGES},
    "bursts": {
        "mean": lambda name, text: parse_rate(text, name),
        "size": _whole,
        "spacing_s": _float(SECONDS),
    },
    "diurnal": {
        "mean": lambda name, text: parse_rate(text, name),
        "peak": _float(PEAK),
        "profile": _floats(WEIGHT),
        "period_s": _float(PERIOD),
        "week": _floats(WEIGHT),
        "weekend": _float(WEIGHT),
        **_CHANGES,
        **_BURSTS,
    },
    "mmpp": {
        "mean": lambda name, text: parse_rate(text, name),
        "rates": _floats(WEIGHT),
        "sojourns_s": _floats(SOJOURN),
        **_CHANGES,
        **_BURSTS,
    },
    "at-once": {},
    "closed": {"clients": _whole, "think_s": _float(SECONDS), "exponential": _flag},
}
"""Kind -> setting of its text -> what reads it. The first one may be given without its name."""

KINDS = tuple(_READERS)
"""Kinds of arrivals that have a text."""


def _settings(kind: str, text: str, whole_text: str) -> dict[str, Any]:
    readers = _READERS[kind]
    found: dict[str, Any] = {}
    for place, part in enumerate(filter(None, (each.strip() for each in text.split(",")))):
        name, equals, setting = (each.strip() for each in part.partition("="))
        if not equals and place == 0 and readers:
            name, setting = next(iter(readers)), name
        elif not equals:
            raise ArrivalsError(f"arrivals is {shown(whole_text)}, in which {shown(part)} has no '='; {_EXPECTED}")
        if name not in readers:
            raise ArrivalsError(
                f"arrivals {kind!r} has no {shown(name)}; " + (f"it has {', '.join(readers)}" if readers else _EXPECTED)
            )
        if name in found:
            raise ArrivalsError(f"arrivals is {shown(whole_text)}, which has {name} twice; give it once")
        found[name] = readers[name](name, setting)
    return found


# ---- from settings to arrivals ---------------------------------------------------------------------------------------


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
    if kind not in _READERS:
        raise ArrivalsError(f"arrivals is {shown(kind)}; {_EXPECTED}")
    given = _settings(kind, rest, text)
    for name, setting, argument in (("mean", rate_per_s, "rate_per_s"), ("clients", clients, "clients")):
        if name in given and setting is not None:
            raise ArrivalsError(
                f"arrivals is {shown(text)} and {argument} is {shown(setting)}; give the {name} once, in the text or "
                "apart"
            )
    if kind == "closed":
        if rate_per_s is not None:
            raise ArrivalsError(f"arrivals are 'closed' and rate_per_s is {shown(rate_per_s)}; pass clients")
        count = given.pop("clients", clients)
        if count is None:
            raise ArrivalsError("arrivals are of a closed loop; pass its number of clients, such as closed:8")
        return ClosedLoop(count, **given)
    if clients is not None:
        raise ArrivalsError(f"arrivals are {kind!r} and clients is {shown(clients)}; clients go with 'closed'")
    if kind == "at-once":
        if rate_per_s is not None:
            raise ArrivalsError(f"arrivals are 'at-once' and rate_per_s is {shown(rate_per_s)}; pass one of them")
        return AtOnce()
    modulation = _modulation(kind, given)
    rate = given.pop("mean", rate_per_s)
    if rate is None and kind == "mmpp" and modulation is not None and "rates" in given:
        rate = modulation.mean_rate
    if rate is None:
        raise ArrivalsError(f"arrivals are {kind!r} without a rate; write it, as in '{kind}:20', or pass rate_per_s")
    if kind == "bursts":
        return BurstArrivals(rate, given.get("size", 1), given.get("spacing_s", 0.0))
    season = _season(given) if kind == "diurnal" else None
    growth, variation = given.get("growth", 0.0), given.get("cv", 1.0)
    if season is None and modulation is None and not growth:
        return GammaArrivals(rate, variation)
    return VaryingArrivals(rate, season, modulation, growth, variation)


def _modulation(kind: str, given: Mapping[str, Any]) -> Modulation | None:
    """Return the states that settings describe; None without any, where the kind needs none."""
    states, bursts = ("rates", "sojourns_s"), tuple(_BURSTS)
    named = [name for name in (*states, *bursts) if name in given]
    if not named and kind != "mmpp":
        return None
    for names in (states, bursts):
        if sorted(named) == sorted(names):
            found = [given[name] for name in names]
            return Modulation(*found) if names == states else Modulation.of_bursts(*found)
    raise ArrivalsError(
        f"arrivals {kind!r} has {', '.join(named) or 'no states'}; expected {', '.join(bursts)}"
        + (f", or {' and '.join(states)}" if kind == "mmpp" else ", or none of them")
    )


def _season(given: Mapping[str, Any]) -> Season:
    if "peak" in given and "profile" in given:
        raise ArrivalsError("arrivals 'diurnal' has peak and profile; give one: a profile has its own peak")
    if "week" in given and "weekend" in given:
        raise ArrivalsError("arrivals 'diurnal' has week and weekend; give one of them")
    week = given.get("week", ())
    if "weekend" in given:
        week = (1.0,) * (DAYS - 2) + (given["weekend"],) * 2
    if "profile" in given:
        profile = given["profile"]
    elif "peak" not in given and len(week) > DAYS:  # the hours of a week have the profile of each day
        profile = (1.0,)
    else:
        profile = peaked_profile(given.get("peak", _PEAK))
    return Season(profile, week, **({"period_s": given["period_s"]} if "period_s" in given else {}))
