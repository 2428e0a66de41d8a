"""Arrivals of requests: Poisson, gamma, bursts, diurnal, all at once, and closed loops of clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from .._checks import COUNT, Range, number, number_in, shown, whole
from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Times: TypeAlias = NDArray[np.float64]

DAY_S = 86_400.0
RATE = Range(1e-9, 1e9, "requests/s")
_VARIATION = Range(1e-3, 1e3)
_SECONDS = Range(1e-9, 1e10, "s", zero=True)
_PERIOD = Range(1e-3, 1e10, "s")
_SHARE = Range(0.0, 1.0)
_WEIGHT = Range(0.0, 1e12)


class ArrivalsError(InputError):
    """Arrivals that are out of range or contradict each other."""


@dataclass(frozen=True)
class GammaArrivals:
    """Intervals with a gamma distribution of mean 1 / rate.

    Attributes:
        rate_per_s: Mean rate.
        variation: Coefficient of variation of the intervals: 1 is a Poisson process, 0.5 is more regular, 4 is bursty.
    """

    rate_per_s: float
    variation: float = 1.0
    clients: ClassVar[int] = 0

    def __post_init__(self) -> None:
        self.__dict__.update(
            rate_per_s=number(self.rate_per_s, "rate_per_s", RATE, ArrivalsError),
            variation=number(self.variation, "variation", _VARIATION, ArrivalsError),
        )

    def times(self, rng: np.random.Generator, count: int, after_s: float, first: int = 0) -> Times:
        """Return `count` arrivals, in seconds: those of number `first` on, where the one before was at `after_s`."""
        import numpy as np

        gaps = _unit_gaps(rng, count, self.variation) / self.rate_per_s
        found: Times = after_s + np.cumsum(gaps)
        return found


def _unit_gaps(rng: np.random.Generator, count: int, variation: float) -> Times:
    if variation == 1:
        return rng.standard_exponential(count)
    shape = variation**-2
    return rng.standard_gamma(shape, count) / shape


@dataclass(frozen=True)
class BurstArrivals:
    """Bursts that begin at the times of a Poisson process, of requests that follow each other at equal distances.

    Attributes:
        rate_per_s: Mean rate of requests.
        size: Requests of a burst.
        spacing_s: Seconds from one request of a burst to the next. A burst that begins before another one has ended
            waits for its end, so that times ascend.
    """

    rate_per_s: float
    size: int
    spacing_s: float = 0.0
    clients: ClassVar[int] = 0

    def __post_init__(self) -> None:
        rate = number(self.rate_per_s, "rate_per_s", RATE, ArrivalsError)
        spacing = number(self.spacing_s, "spacing_s", _SECONDS, ArrivalsError)
        if rate * spacing >= 1:
            raise ArrivalsError(
                f"bursts have a request every {spacing:.6g} s, and {rate:.6g} requests/s are asked for; pass "
                "spacing_s below 1 / rate_per_s"
            )
        self.__dict__.update(rate_per_s=rate, size=whole(self.size, "size", COUNT, ArrivalsError), spacing_s=spacing)

    def times(self, rng: np.random.Generator, count: int, after_s: float, first: int = 0) -> Times:
        """Return `count` arrivals, in seconds: those of number `first` on, where the one before was at `after_s`."""
        import numpy as np

        done = first % self.size  # of the burst that goes on
        bursts = -(-(done + count) // self.size)
        means = np.full(bursts, self.size / self.rate_per_s)
        begun_s = after_s
        if first:
            begun_s -= ((first - 1) % self.size) * self.spacing_s
            means[0] *= done == 0
        starts = begun_s + np.cumsum(rng.standard_exponential(bursts) * means)
        length = self.size * self.spacing_s
        if length > 0:  # waits as in a queue with a fixed time of service
            earliest = begun_s + length if first and not done else begun_s
            places = np.arange(bursts) * length
            starts = np.asarray(places + np.maximum.accumulate(np.maximum(starts - places, earliest)), dtype=np.float64)
        times = starts[:, None] + np.arange(self.size) * self.spacing_s
        return times.reshape(-1)[done : done + count]


@dataclass(frozen=True)
class DiurnalArrivals:
    """A rate that repeats a profile of equal intervals, such as the 24 hours of a day.

    Arrivals of a process with rate 1 are mapped through the inverse of the integral of the rate, so that intervals have
    the given variation in units of the current mean.

    Attributes:
        rate_per_s: Mean rate over a period.
        profile: Weights of the intervals of a period; the default is a sine with `depth`, least at the start.
        period_s: Seconds of a period.
        depth: Of the sine: (most - least) / (most + least) of the rate, 0 to 1.
        variation: Coefficient of variation of intervals; 1 for a Poisson process.
    """

    rate_per_s: float
    profile: tuple[float, ...] = ()
    period_s: float = DAY_S
    depth: float = 0.5
    variation: float = 1.0
    clients: ClassVar[int] = 0

    def __post_init__(self) -> None:
        import numpy as np

        depth = number(self.depth, "depth", _SHARE, ArrivalsError)
        profile = tuple(number(weight, "a weight of profile", _WEIGHT, ArrivalsError) for weight in self.profile)
        if not profile:
            middle = 2 * np.pi * (np.arange(_SINE_INTERVALS) + 0.5) / _SINE_INTERVALS
            profile = tuple((1 - depth * np.cos(middle)).tolist())
        if not sum(profile) > 0:
            raise ArrivalsError(f"profile is {shown(self.profile)}; expected at least one weight above 0")
        self.__dict__.update(
            rate_per_s=number(self.rate_per_s, "rate_per_s", RATE, ArrivalsError),
            profile=profile,
            period_s=number(self.period_s, "period_s", _PERIOD, ArrivalsError),
            depth=depth,
            variation=number(self.variation, "variation", _VARIATION, ArrivalsError),
        )

    def _cumulative(self) -> tuple[Times, Times]:
        """Return ends of intervals in seconds, and the arrivals expected until each."""
        import numpy as np

        weights = np.asarray(self.profile)
        expected = np.concatenate([[0.0], np.cumsum(weights)]) / weights.sum() * self.rate_per_s * self.period_s
        ends = np.linspace(0.0, self.period_s, weights.size + 1)
        return ends, expected

    def times(self, rng: np.random.Generator, count: int, after_s: float, first: int = 0) -> Times:
        """Return `count` arrivals, in seconds: those of number `first` on, where the one before was at `after_s`."""
        import numpy as np

        ends, expected = self._cumulative()
        whole_period = self.rate_per_s * self.period_s
        periods, within = divmod(after_s, self.period_s)
        begun = periods * whole_period + float(np.interp(within, ends, expected))
        at = begun + np.cumsum(_unit_gaps(rng, count, self.variation))
        period, rest = np.divmod(at, whole_period)
        # An interval without arrivals is a step of the inverse, which begins where the interval ends.
        place = np.clip(np.searchsorted(expected, rest, side="right") - 1, 0, ends.size - 2)
        share = (rest - expected[place]) / np.maximum(expected[place + 1] - expected[place], 1e-300)
        found: Times = period * self.period_s + ends[place] + np.minimum(share, 1.0) * (ends[place + 1] - ends[place])
        return found


_SINE_INTERVALS = 96


@dataclass(frozen=True)
class AtOnce:
    """All requests at time 0, as benchmarks of throughput send them."""

    clients: ClassVar[int] = 0
    rate_per_s: ClassVar[float] = float("inf")

    def times(self, rng: np.random.Generator, count: int, after_s: float, first: int = 0) -> Times:
        """Return zeros."""
        import numpy as np

        return np.zeros(count)


@dataclass(frozen=True)
class ClosedLoop:
    """Clients that each send a request, wait for its answer, think, and send the next one.

    Times are decided by the server: a simulation sends the requests of a workload in their order, one for each client
    that is ready.

    Attributes:
        clients: Number of clients.
        think_s: Mean time from an answer to the next request of a client.
        exponential: Whether these times are exponential; else all are equal.
    """

    clients: int
    think_s: float = 0.0
    exponential: bool = False

    def __post_init__(self) -> None:
        self.__dict__.update(
            clients=whole(self.clients, "clients", COUNT, ArrivalsError),
            think_s=number(self.think_s, "think_s", _SECONDS, ArrivalsError),
        )

    @property
    def rate_per_s(self) -> float:
        """Not a number: the server decides it."""
        return float("nan")

    def times(self, rng: np.random.Generator, count: int, after_s: float, first: int = 0) -> Times:
        """Return zeros."""
        import numpy as np

        return np.zeros(count)

    def thinks(self, rng: np.random.Generator, count: int) -> Times:
        """Return the time before each of `count` requests, after the answer before it."""
        import numpy as np

        if self.exponential:
            return rng.standard_exponential(count) * self.think_s
        return np.full(count, self.think_s)


Arrivals: TypeAlias = "GammaArrivals | BurstArrivals | DiurnalArrivals | AtOnce | ClosedLoop"
ArrivalsLike: TypeAlias = "Arrivals | str"
"""Arrivals: a process, or text such as `"gamma:cv=4"`, whose rate is given apart."""

_NAMES = ("poisson", "gamma", "bursts", "diurnal", "at-once", "closed")
_EXPECTED = (
    "expected 'poisson', 'gamma:cv=4', 'bursts:size=8,spacing_s=0.01', "
    "'diurnal:depth=0.8,period_s=86400,cv=1' or 'diurnal:profile=1:2:4:2', 'at-once', or 'closed:think_s=1'"
)


def parse_arrivals(
    value: ArrivalsLike | None, *, rate_per_s: float | None = None, clients: int | None = None
) -> Arrivals:
    """Return the arrivals that a value, a rate and a number of clients describe.

    Args:
        value: Arrivals, or text; without one, Poisson arrivals at `rate_per_s`, a closed loop of `clients`, or all
            requests at once if neither is given.
        rate_per_s: Mean rate of an open loop.
        clients: Clients of a closed loop.

    Raises:
        ArrivalsError: The value is unknown, or contradicts the rate or the clients.
    """
    if rate_per_s is not None and clients is not None:
        raise ArrivalsError(
            f"rate_per_s is {shown(rate_per_s)} and clients is {shown(clients)}; pass one: a rate for requests that do "
            "not wait for answers, or clients that do"
        )
    if value is None:
        kind = "poisson" if rate_per_s is not None else "at-once" if clients is None else "closed"
        return _of_kind(kind, {}, rate_per_s, clients)
    if isinstance(value, str):
        kind, _, rest = value.strip().partition(":")
        return _of_kind(kind, _settings(rest, value), rate_per_s, clients)
    if not isinstance(value, (GammaArrivals, BurstArrivals, DiurnalArrivals, AtOnce, ClosedLoop)):
        raise ArrivalsError(f"arrivals is {shown(value)}; {_EXPECTED}")
    own = value.clients or None, None if isinstance(value, (AtOnce, ClosedLoop)) else value.rate_per_s
    if (clients is not None and clients != own[0]) or (rate_per_s is not None and rate_per_s != own[1]):
        raise ArrivalsError(f"arrivals is {shown(value)}, with rate_per_s or clients beside it; pass them once")
    return value


def _settings(text: str, whole_text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, setting = part.partition("=")
        if not equals or name in found:
            raise ArrivalsError(f"arrivals is {shown(whole_text)}; {_EXPECTED}")
        found[name] = setting
    return found


def _float(within: Range) -> Callable[[str, str], Any]:
    return lambda name, text: number_in(text, name, within, ArrivalsError)


def _whole(name: str, text: str) -> int:
    if not text.isdigit():
        raise ArrivalsError(f"{name} is {shown(text)}; expected a whole number")
    return whole(int(text), name, COUNT, ArrivalsError)


def _weights(name: str, text: str) -> tuple[float, ...]:
    return tuple(number_in(part, name, _WEIGHT, ArrivalsError) for part in text.split(":"))


_READERS: Mapping[str, Mapping[str, tuple[str, Callable[[str, str], Any]]]] = {
    "poisson": {},
    "gamma": {"cv": ("variation", _float(_VARIATION))},
    "bursts": {"size": ("size", _whole), "spacing_s": ("spacing_s", _float(_SECONDS))},
    "diurnal": {
        "depth": ("depth", _float(_SHARE)),
        "period_s": ("period_s", _float(_PERIOD)),
        "cv": ("variation", _float(_VARIATION)),
        "profile": ("profile", _weights),
    },
    "at-once": {},
    "closed": {"think_s": ("think_s", _float(_SECONDS)), "exponential": ("exponential", lambda _, text: text == "1")},
}
"""Kind -> setting of its text -> the field, and what reads it."""


def _of_kind(kind: str, settings: Mapping[str, str], rate_per_s: float | None, clients: int | None) -> Arrivals:
    if kind not in _READERS:
        raise ArrivalsError(f"arrivals is {shown(kind)}; {_EXPECTED}")
    readers = _READERS[kind]
    for name in settings:
        if name not in readers:
            raise ArrivalsError(f"arrivals {kind!r} has no {shown(name)}; {_EXPECTED}")
    given: dict[str, Any] = {readers[name][0]: readers[name][1](name, text) for name, text in settings.items()}
    if kind == "closed":
        if clients is None:
            raise ArrivalsError("arrivals are of a closed loop; pass its number of clients")
        return ClosedLoop(clients, **given)
    if clients is not None:
        raise ArrivalsError(f"arrivals are {kind!r} and clients is {shown(clients)}; clients go with 'closed'")
    if kind == "at-once":
        if rate_per_s is not None:
            raise ArrivalsError(f"arrivals are 'at-once' and rate_per_s is {shown(rate_per_s)}; pass one of them")
        return AtOnce()
    if rate_per_s is None:
        raise ArrivalsError(f"arrivals are {kind!r}; pass rate_per_s, too")
    if kind == "bursts":
        given.setdefault("size", 1)
        return BurstArrivals(rate_per_s, **given)
    return DiurnalArrivals(rate_per_s, **given) if kind == "diurnal" else GammaArrivals(rate_per_s, **given)
