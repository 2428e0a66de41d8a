"""Arrivals whose rate changes over time: seasons of a day and a week, growth, and Markov-modulated bursts.

The rate at a time is the mean rate times factors: a `Season`, exponential growth, and a `Modulation`, whose states
change at random. Arrivals of a renewal process of rate 1 are mapped through the inverse of the integral of the rate
(Cinlar, Introduction to Stochastic Processes, 1975, chapter 4). With exponential intervals this is exactly the
Poisson process with that rate; other intervals have their variation in units of the current mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import exp, isclose, lcm
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from .. import _checks
from .._checks import Range, number_in, shown
from ..inputs.settings import Parsed, Settings, converted, number, numbers
from .arrivals import VARIATION, ArrivalRun, ArrivalsError, UnitGaps, parse_rate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from .arrivals import Times

DAY_S = 86_400.0
DAYS = 7
"""Periods of a week."""

_WEIGHT = Range(0.0, 1e12)
_PERIOD = Range(1e-3, 1e10, "s")
_PEAK = Range(1.0, 40.0)
_SOJOURN = Range(1e-6, 1e10, "s")
_BURST = Range(1.0, 1e6)
_SHARE = Range(1e-6, 1.0 - 1e-6)
_GROWTH = Range(-0.9, 10.0)
_GROWTH_TEXT = re.compile(r"([0-9.eE+-]+)%/(day|week|month|year)")
_DAYS_OF = {"day": 1.0, "week": 7.0, "month": 365 / 12, "year": 365.0}
_HOURS = 168
_INTERVALS = 96  # of the default profile: quarters of an hour
_PIECES = 4096  # about as many pieces of constant factors are made together
_MOST_CHANGES = 1e4  # of the rate, for a request
_DOUBLINGS = 60
_LEAST = 1e-9  # share of the first rate below which a decline has ended


# ---- factors of the rate ---------------------------------------------------------------------------------------------


def peaked_profile(peak: float | str) -> tuple[float, ...]:
    """Return a profile of 96 intervals with one smooth maximum in the middle of the period.

    Weights are exp(k cos(2 pi t / period - pi)), the density of von Mises; k is found such that the maximum is `peak`
    times the mean. For small peaks this is a sine.

    Raises:
        ArrivalsError: `peak` is below 1 or above 40.
    """
    import numpy as np

    wanted = number_in(peak, "peak", _PEAK, ArrivalsError)
    height = -np.cos(2 * np.pi * (np.arange(_INTERVALS) + 0.5) / _INTERVALS)

    def weights(k: float) -> Times:
        found = np.exp(k * (height - height.max()))
        scaled: Times = found / found.mean()
        return scaled

    low, high = 0.0, 1.0
    while weights(high).max() < wanted:
        low, high = high, 2 * high
    for _ in range(_DOUBLINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if weights(middle).max() < wanted else (low, middle)
    return tuple(weights(high).tolist())


def _week_of(weekend: float | str) -> tuple[float, ...]:
    """Return the weights of a week whose last two days have another one."""
    return (1.0,) * (DAYS - 2) + (number_in(weekend, "weekend", _WEIGHT, ArrivalsError),) * 2


class Season(Settings):
    """A profile that is repeated, such as each day, and the weights of the seven days of a week.

    A text may have `peak` in place of the profile, which then comes from `peaked_profile`, and `weekend`, the
    weight of the last two days, in the place of the week.
    """

    kind = "season"
    error = ArrivalsError
    profile: tuple[float, ...] = numbers(
        _WEIGHT,
        "Weights of equal intervals of a period; one interval by default, so that the week alone decides.",
        default=(1.0,),
    )
    week: tuple[float, ...] = numbers(
        _WEIGHT,
        "Weights of seven periods, or of 168 hours of them, which multiply the profile.",
        default=(),
    )
    period_s: float = number(
        _PERIOD,
        "Seconds of a period. The first one begins at time 0; of a week it is the Monday.",
        default=DAY_S,
    )
    instead: ClassVar[Mapping[str, tuple[str, Any]]] = {
        "peak": ("profile", peaked_profile),
        "weekend": ("week", _week_of),
    }
    """Name in texts -> the setting that it stands for, and what makes this."""

    def _check(self) -> None:
        for name, weights in (("profile", self.profile), ("week", self.week or (1.0,))):
            if not sum(weights) > 0:
                raise ArrivalsError(f"{name} is {shown(weights)}; expected at least one weight above 0")
        if self.week and len(self.week) not in (DAYS, _HOURS):
            raise ArrivalsError(f"week has {len(self.week)} weights; expected {DAYS} of days, or {_HOURS} of hours")
        if not self.pieces()[1].max() > 0:
            raise ArrivalsError("profile and week have no time at which both are above 0; expected one")

    @classmethod
    def _of_mapping(cls, values: Mapping[str, Any]) -> Self:
        given = dict(values)
        for name, (setting, made) in cls.instead.items():
            if name in given and setting in given:
                raise ArrivalsError(f"season has {name} and {setting}; pass one of them")
            if name in given:
                given[setting] = made(given.pop(name))
        return super()._of_mapping(given)

    @property
    def cycle_s(self) -> float:
        """Seconds after which the season repeats itself: a period, or seven with a week."""
        return self.period_s * (DAYS if self.week else 1)

    def pieces(self) -> tuple[Times, Times]:
        """Return the starts of intervals in a cycle, in seconds, and their weights, whose mean over time is 1."""
        import numpy as np

        periods = DAYS if self.week else 1
        of_profile, of_week = len(self.profile) * periods, len(self.week) or 1
        units = lcm(of_profile, of_week)
        starts = np.union1d(np.arange(of_profile) * (units // of_profile), np.arange(of_week) * (units // of_week))
        weights: Times = np.asarray(self.profile)[starts // (units // of_profile) % len(self.profile)]
        if self.week:
            weights = weights * np.asarray(self.week)[starts // (units // of_week)]
        mean = float(weights @ np.diff(np.append(starts, units))) / units
        if mean > 0:
            weights = weights / mean
        seconds: Times = starts.astype(np.float64) * (self.cycle_s / units)
        return seconds, weights


class Modulation(Settings):
    """States of a Markov chain in continuous time, each with a rate: with Poisson arrivals, an MMPP.

    A sojourn in a state is exponential. The next state is any other one, each equally likely. The chain is stationary
    from time 0 on. A text may have the arguments of `of_bursts` instead.
    """

    kind = "modulation"
    error = ArrivalsError
    rates: tuple[float, ...] = numbers(
        _WEIGHT, "Rates of the states, in any unit: the mean rate of arrivals is a setting of its own."
    )
    sojourns_s: tuple[float, ...] = numbers(_SOJOURN, "Mean sojourn in each state, in seconds.")
    instead: ClassVar[tuple[str, ...]] = ("burst", "share", "length_s")
    """Names in texts that stand for others."""

    def _check(self) -> None:
        if len(self.rates) != len(self.sojourns_s) or len(self.rates) < 2:  # noqa: PLR2004 - a change needs two states
            raise ArrivalsError(
                f"rates has {len(self.rates)} states and sojourns_s {len(self.sojourns_s)}; expected as many of both, "
                "at least 2"
            )
        if not max(self.rates) > 0:
            raise ArrivalsError(f"rates is {shown(self.rates)}; expected at least one above 0")

    @classmethod
    def _of_mapping(cls, values: Mapping[str, Any]) -> Self:
        if set(values) == set(cls.instead):
            return cls.of_bursts(**values)
        if not values or set(values) & set(cls.instead):
            raise ArrivalsError(f"modulation has {', '.join(values) or 'no states'}; {cls._expected()}")
        return super()._of_mapping(values)

    @classmethod
    def _expected(cls) -> str:
        return f"{super()._expected()}; or of {', '.join(cls.instead)}"

    @classmethod
    def of_bursts(cls, burst: float | str, share: float | str, length_s: float | str) -> Self:
        """Return the two states of quiet and burst.

        With the mean rate m, the rate of a burst is burst x m, and between bursts m (1 - share x burst) / (1 - share).

        Args:
            burst: Rate of a burst / mean rate.
            share: Share of the time in bursts.
            length_s: Mean length of a burst, in seconds.

        Raises:
            ArrivalsError: A value is out of range, or bursts alone would have more than the mean rate.
        """
        factor = number_in(burst, "burst", _BURST, ArrivalsError)
        part = number_in(share, "share", _SHARE, ArrivalsError)
        length = number_in(length_s, "length_s", _SOJOURN, ArrivalsError)
        quiet = 1 - factor * part
        if quiet < 0 and not isclose(factor * part, 1):
            raise ArrivalsError(
                f"bursts of {factor:.6g} x the mean rate in {part:.6g} of the time have more than all requests; pass "
                f"burst up to {1 / part:.6g}, or a smaller share"
            )
        return cls(rates=(max(0.0, quiet) / (1 - part), factor), sojourns_s=(length * (1 - part) / part, length))

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of the time in each state: sojourn / sum of sojourns, because each state follows as often."""
        total = sum(self.sojourns_s)
        return tuple(sojourn / total for sojourn in self.sojourns_s)

    @property
    def mean_rate(self) -> float:
        """Mean of the rates over time."""
        return sum(share * rate for share, rate in zip(self.shares, self.rates, strict=True))


def growth_per_day(text: str) -> float:
    """Return the growth per day, compounded, of a text such as `"10%/month"`: (1 + share)^(1 / days) - 1.

    Raises:
        ArrivalsError: It is none, or out of range.
    """
    match = _GROWTH_TEXT.fullmatch(text)
    try:
        share = float(match[1]) / 100  # type: ignore[index]  # None raises TypeError
    except (TypeError, ValueError):
        raise ArrivalsError(
            f"growth is {shown(text)}; expected percent a day, week, month or year, such as 10%/month"
        ) from None
    days = _DAYS_OF[match[2]]  # type: ignore[index]
    return float((1 + _checks.number(share, "growth", _GROWTH, ArrivalsError)) ** (1 / days) - 1)


# ---- the process -----------------------------------------------------------------------------------------------------


SeasonLike: TypeAlias = "Season | str | Mapping[str, Any]"
"""A season as `Season.parse` accepts it."""

ModulationLike: TypeAlias = "Modulation | str | Mapping[str, Any]"
"""A modulation as `Modulation.parse` accepts it."""


class VaryingArrivals(Settings):
    """Arrivals with a mean rate and factors of it that change over time.

    A text may have the settings of the season and of the modulation, its own ones, and `growth`, such as `10%/month`.
    """

    kind = "arrivals"
    unnamed = "rate_per_s"
    error = ArrivalsError
    rate_per_s: Parsed[float | str, float] = converted(
        parse_rate,
        "Mean rate over a cycle of the season and over the states of the modulation; with growth, at time 0.",
        short="mean",
    )
    season: Parsed[SeasonLike | None, Season | None] = converted(
        Season.parse, "Profile of the day and of the week.", default=None
    )
    modulation: Parsed[ModulationLike | None, Modulation | None] = converted(
        Modulation.parse, "Rates that change at random.", default=None
    )
    growth_per_day: float = number(
        _GROWTH, "Growth of the rate per day, continuous and compounded: 0.01 for 1 % each day.", default=0.0
    )
    variation: float = number(
        VARIATION,
        "Coefficient of variation of intervals, in units of the current mean; 1 for a Poisson process.",
        default=1.0,
        short="cv",
    )
    clients: ClassVar[int] = 0

    def _check(self) -> None:
        if self.changes_per_s > _MOST_CHANGES * self.rate_per_s:
            raise ArrivalsError(
                f"the rate changes {self.changes_per_s:.6g} times a second, and {self.rate_per_s:.6g} requests come; "
                f"pass longer sojourns or intervals: at most {_MOST_CHANGES:g} changes for a request"
            )

    @classmethod
    def _of_mapping(cls, values: Mapping[str, Any]) -> Self:
        given = dict(values)
        parts: tuple[tuple[str, type[Season | Modulation]], ...] = (("season", Season), ("modulation", Modulation))
        for name, part in parts:
            names = (*(each.name for each in part.fields), *part.instead)
            own = {each: given.pop(each) for each in names if each in given}
            if own and name in given:
                raise ArrivalsError(f"arrivals has {name} and {', '.join(own)}; pass one of them")
            if own:
                given[name] = part.parse(own)
        if "rates" in values:  # a modulation with rates has a mean of its own
            given = {"rate_per_s": given["modulation"].mean_rate, **given}
        if "growth" in given:
            given["growth_per_day"] = growth_per_day(given.pop("growth"))
        return super()._of_mapping(given)

    @property
    def changes_per_s(self) -> float:
        """Mean number of changes of the season and of the state in a second."""
        found = 0.0
        if self.season is not None:
            found += self.season.pieces()[0].size / self.season.cycle_s
        if self.modulation is not None:
            found += len(self.modulation.sojourns_s) / sum(self.modulation.sojourns_s)
        return found

    def begin(self, states: np.random.Generator) -> ArrivalRun:
        """Return a run of the process; `states` are the random numbers of the modulation."""
        return _VaryingRun(self, states)

    def at_rate(self, rate_per_s: float) -> VaryingArrivals:
        """Return the same factors at another mean rate."""
        return self.replace(rate_per_s=rate_per_s)


class _VaryingRun:
    """A run: pieces of time with constant factors, made window by window, and arrivals that are mapped to them.

    Windows have one length whatever is taken, so that sums are rounded alike. After a decline to a 10^9th of the first
    rate, arrivals are infinite.
    """

    def __init__(self, arrivals: VaryingArrivals, states: np.random.Generator) -> None:
        import numpy as np

        self._gaps = UnitGaps(arrivals.variation)
        self._growth_per_s = float(np.log1p(arrivals.growth_per_day)) / DAY_S
        self._chain = None if arrivals.modulation is None else _Chain(arrivals.modulation, states)
        self._season = arrivals.season
        self._rate_per_s = arrivals.rate_per_s
        if arrivals.season is not None:
            self._starts, self._weights = arrivals.season.pieces()
        # Over a window, growth changes the rate by a factor of e at most.
        self._window_s = 1 / max(arrivals.changes_per_s / _PIECES, abs(self._growth_per_s), 1e-12)
        self._windows = 0
        self._edges, self._rates, self._expected = np.zeros(1), np.zeros(0), np.zeros(1)

    def take(self, rng: np.random.Generator, count: int) -> Times:
        import numpy as np

        units = self._gaps.take(rng, count)
        parts = []
        while True:
            ready = int(np.searchsorted(units, self._expected[-1]))
            if ready:
                parts.append(self._mapped(units[:ready]))
            units = units[ready:]
            if units.size and self._ended():
                parts.append(np.full(units.size, np.inf))
                units = units[:0]
            if not units.size:
                return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0), *parts])
            self._next_window()

    def _ended(self) -> bool:
        """Whether the rate has declined to nothing: no request comes later."""
        return self._growth_per_s < 0 and exp(self._growth_per_s * self._windows * self._window_s) < _LEAST

    def _mapped(self, units: Times) -> Times:
        """Return the times at which the integral of the rate has these values, which lie in the window."""
        import numpy as np

        # Pieces from the first one to the last one. A piece of rate 0 has none.
        low = int(np.searchsorted(self._expected, units[0], side="right")) - 1
        high = int(np.searchsorted(self._expected, units[-1], side="right"))
        expected, edges = self._expected[low : high + 1], self._edges[low : high + 1]
        counts = np.diff(np.searchsorted(units, expected))
        rates = np.repeat(self._rates[low:high], counts)
        left = units - np.repeat(expected[:-1], counts)
        if self._growth_per_s:
            passed = np.log1p(left * (self._growth_per_s / rates)) / self._growth_per_s
        else:
            passed = left / rates
        found: Times = np.minimum(np.repeat(edges[:-1], counts) + passed, np.repeat(edges[1:], counts))
        return found

    def _next_window(self) -> None:
        """Make the pieces of the next window: where they begin, their rates, and the arrivals expected until each."""
        import numpy as np

        begin, end = self._windows * self._window_s, (self._windows + 1) * self._window_s
        growth = self._growth_per_s
        starts, weights = np.asarray([begin]), np.ones(1)
        if self._season is not None:
            starts, weights = self._of_season(self._season.cycle_s, begin, end)
        if self._chain is not None:
            changes, rates = self._chain.between(begin, end)
            both = np.union1d(starts, changes)
            weights = weights[np.searchsorted(starts, both, side="right") - 1]
            weights = weights * rates[np.searchsorted(changes, both, side="right") - 1]
            starts = both
        self._edges = np.append(starts, end)
        lengths = np.diff(self._edges)
        self._rates = self._rate_per_s * weights * np.exp(growth * starts)
        amounts = self._rates * (np.expm1(growth * lengths) / growth if growth else lengths)
        self._expected = np.cumsum(np.concatenate([self._expected[-1:], amounts]))
        self._windows += 1

    def _of_season(self, cycle_s: float, begin: float, end: float) -> tuple[Times, Times]:
        """Return the pieces of the season from one time to another."""
        import numpy as np

        first = int(begin // cycle_s)
        cycles = np.arange(first, int(end // cycle_s) + 1)
        starts = (cycles[:, None] * cycle_s + self._starts).reshape(-1)
        low, high = int(np.searchsorted(starts, begin, side="right")) - 1, int(np.searchsorted(starts, end))
        starts = starts[max(0, low) : high]
        starts[0] = begin
        return starts, np.tile(self._weights, cycles.size)[max(0, low) : high]


class _Chain:
    """The path of the states of a modulation, made when it is needed."""

    def __init__(self, modulation: Modulation, rng: np.random.Generator) -> None:
        import numpy as np

        self._rng = rng
        self._sojourns_s = np.asarray(modulation.sojourns_s)
        self._rates = np.asarray(modulation.rates) / modulation.mean_rate
        # A sojourn that has begun before time 0 goes on for an exponential time.
        first = int(np.searchsorted(np.cumsum(modulation.shares)[:-1], rng.random(), side="right"))
        self._states: NDArray[np.int64] = np.asarray([first])
        self._ends: Times = rng.standard_exponential(1) * self._sojourns_s[first]

    def between(self, begin: float, end: float) -> tuple[Times, Times]:
        """Return the starts and the rates of the sojourns from one time to a later one; the first begins at `begin`."""
        import numpy as np

        kept = int(np.searchsorted(self._ends, begin, side="right"))
        states, ends = [self._states[kept:]], [self._ends[kept:]]
        last_state, last = int(self._states[-1]), float(self._ends[-1])
        while last < end:
            jumps = self._rng.integers(1, self._sojourns_s.size, _PIECES)
            made = (last_state + np.cumsum(jumps)) % self._sojourns_s.size
            times = self._rng.standard_exponential(_PIECES) * self._sojourns_s[made]
            times[0] += last
            np.cumsum(times, out=times)
            states.append(made)
            ends.append(times)
            last_state, last = int(made[-1]), float(times[-1])
        self._states, self._ends = np.concatenate(states), np.concatenate(ends)
        inside = int(np.searchsorted(self._ends, end))
        starts = np.concatenate([[begin], self._ends[:inside]])
        return starts, self._rates[self._states[: inside + 1]]
