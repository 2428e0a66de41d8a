"""Arrivals of requests at a constant rate: Poisson, gamma, bursts, all at once, and closed loops of clients.

A kind of arrivals is a value; `begin` returns its `ArrivalRun`, which has the state of the process. Arrivals are
equal to the last bit, whether they are taken together or in parts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from .. import _checks
from .._checks import COUNT, Range, shown
from ..errors import InputError
from ..inputs.settings import Parsed, Settings, converted, flag, number, whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Times: TypeAlias = NDArray[np.float64]

RATE = Range(1e-9, 1e9, "requests/s")
VARIATION = Range(1e-3, 1e3)
_SECONDS = Range(1e-9, 1e10, "s", zero=True)
_PER = {"s": 1.0, "min": 60.0, "h": 3600.0}
_RATE_TEXT = re.compile(r"([0-9.eE+-]+)(?:/(s|min|h))?")


class ArrivalsError(InputError):
    """Arrivals that are out of range or contradict each other."""


def parse_rate(value: float | str, name: str = "") -> float:
    """Return requests per second of a number, or of a text: `"4"`, `"4/s"`, `"90/min"`, `"5000/h"`.

    Raises:
        ArrivalsError: It is none of these, or out of range.
    """
    if not isinstance(value, str):
        return _checks.number(value, name or "rate_per_s", RATE, ArrivalsError)
    match = _RATE_TEXT.fullmatch(value.strip())
    try:
        found = float(match[1]) / _PER[match[2] or "s"]  # type: ignore[index]  # None raises TypeError
    except (TypeError, ValueError):
        raise ArrivalsError(
            f"{name or 'mean'} is {shown(value)}; expected a number per s, min or h, such as 4/s or 90/min"
        ) from None
    return _checks.number(found, name or "mean", RATE, ArrivalsError)


class ArrivalRun(Protocol):
    """A run of a process, which makes its arrivals in order."""

    def take(self, rng: np.random.Generator, count: int) -> Times:
        """Return the next `count` arrivals, in seconds from the start, ascending, float64."""
        ...


class _AtZero:
    """A run of arrivals that all are at time 0."""

    def take(self, rng: np.random.Generator, count: int) -> Times:
        import numpy as np

        return np.zeros(count)


class UnitGaps:
    """Arrival times of a renewal process of rate 1 whose intervals have a gamma distribution.

    Args:
        variation: Coefficient of variation of the intervals.
    """

    def __init__(self, variation: float) -> None:
        self._shape = variation**-2
        self._at = 0.0

    def take(self, rng: np.random.Generator, count: int) -> Times:
        """Return the next `count` times."""
        import numpy as np

        # numpy adds one after another, so that the sums do not depend on where chunks end.
        times = rng.standard_exponential(count) if self._shape == 1 else rng.standard_gamma(self._shape, count)
        if self._shape != 1:
            times /= self._shape
        if count:
            times[0] += self._at
            np.cumsum(times, out=times)
            self._at = float(times[-1])
        return times


class GammaArrivals(Settings):
    """Intervals with a gamma distribution of mean 1 / rate."""

    kind = "arrivals"
    unnamed = "rate_per_s"
    error = ArrivalsError
    rate_per_s: Parsed[float | str, float] = converted(parse_rate, "Mean rate.", short="mean")
    variation: float = number(
        VARIATION,
        "Coefficient of variation of the intervals: 1 is a Poisson process, 0.5 is more regular, 4 is bursty.",
        default=1.0,
        short="cv",
    )
    clients: ClassVar[int] = 0

    def begin(self, states: np.random.Generator) -> ArrivalRun:
        """Return a run of the process; `states` are random numbers of states, of which it has none."""
        return _ConstantRate(UnitGaps(self.variation), self.rate_per_s)

    def at_rate(self, rate_per_s: float) -> GammaArrivals:
        """Return the same process at another mean rate."""
        return self.replace(rate_per_s=rate_per_s)


class _ConstantRate:
    def __init__(self, gaps: UnitGaps, rate_per_s: float) -> None:
        self._gaps, self._rate_per_s = gaps, rate_per_s

    def take(self, rng: np.random.Generator, count: int) -> Times:
        return self._gaps.take(rng, count) / self._rate_per_s


class BurstArrivals(Settings):
    """Bursts that begin at the times of a Poisson process, of requests that follow each other at equal distances."""

    kind = "bursts"
    unnamed = "rate_per_s"
    error = ArrivalsError
    rate_per_s: Parsed[float | str, float] = converted(parse_rate, "Mean rate of requests.", short="mean")
    size: int = whole(COUNT, "Requests of a burst.", default=1)
    spacing_s: float = number(
        _SECONDS,
        "Seconds from one request of a burst to the next. A burst that begins before another one has ended waits for "
        "its end, so that times ascend.",
        default=0.0,
    )
    clients: ClassVar[int] = 0

    def _check(self) -> None:
        if self.rate_per_s * self.spacing_s >= 1:
            raise ArrivalsError(
                f"bursts have a request every {self.spacing_s:.6g} s, and {self.rate_per_s:.6g} requests/s are asked "
                "for; pass spacing_s below 1 / rate_per_s"
            )

    def begin(self, states: np.random.Generator) -> ArrivalRun:
        """Return a run of the process; `states` are random numbers of states, of which it has none."""
        return _BurstRun(self)

    def at_rate(self, rate_per_s: float) -> BurstArrivals:
        """Return the same bursts at another mean rate."""
        return self.replace(rate_per_s=rate_per_s)


class _BurstRun:
    def __init__(self, arrivals: BurstArrivals) -> None:
        import numpy as np

        self._size, self._spacing_s = arrivals.size, arrivals.spacing_s
        self._mean_s = arrivals.size / arrivals.rate_per_s
        self._drawn_s = 0.0  # the last burst of the Poisson process, which may have waited
        self._bursts, self._free_s = 0, 0.0
        self._left: Times = np.zeros(0)  # requests of the last burst that were not taken yet

    def take(self, rng: np.random.Generator, count: int) -> Times:
        import numpy as np

        bursts = -(-(count - self._left.size) // self._size)
        if bursts > 0:
            starts: Times = rng.standard_exponential(bursts) * self._mean_s
            starts[0] += self._drawn_s
            np.cumsum(starts, out=starts)
            self._drawn_s = float(starts[-1])
            if self._spacing_s > 0:
                starts = self._waited(starts)
            times = starts[:, None] + np.arange(self._size) * self._spacing_s
            self._left = np.concatenate([self._left, times.reshape(-1)])
        found, self._left = self._left[:count], self._left[count:]
        return found

    def _waited(self, starts: Times) -> Times:
        """Return the starts of bursts of which each waits for the end of the one before it.

        As in a queue with a fixed time of service d: less i x d, the start of burst i is the maximum of these numbers
        so far. i counts from the first burst of the run, so that rounding does not depend on chunks.
        """
        import numpy as np

        numbers = np.arange(self._bursts, self._bursts + starts.size, dtype=np.float64)
        ends: Times = numbers * (self._size * self._spacing_s)
        free: Times = np.maximum.accumulate(np.maximum(starts - ends, self._free_s))
        self._bursts += starts.size
        self._free_s = float(free[-1])
        return ends + free


class AtOnce(Settings):
    """All requests at time 0, as benchmarks of throughput send them."""

    kind = "at-once"
    error = ArrivalsError
    clients: ClassVar[int] = 0
    rate_per_s: ClassVar[float] = float("inf")

    def begin(self, states: np.random.Generator) -> ArrivalRun:
        """Return a run of zeros."""
        return _AtZero()


class ClosedLoop(Settings):
    """Clients that each send a request, wait for its answer, think, and send the next one.

    Times are decided by the server: a simulation sends the requests of a workload in their order, one for each client
    that is ready.
    """

    kind = "closed loop"
    unnamed = "clients"
    error = ArrivalsError
    clients: int = whole(COUNT, "Number of clients.")
    think_s: float = number(_SECONDS, "Mean time from an answer to the next request of a client.", default=0.0)
    exponential: bool = flag("Whether these times are exponential; else all are equal.", default=False)

    @property
    def rate_per_s(self) -> float:
        """Not a number: the server decides it."""
        return float("nan")

    def begin(self, states: np.random.Generator) -> ArrivalRun:
        """Return a run of zeros."""
        return _AtZero()

    def thinks(self, rng: np.random.Generator, count: int) -> Times:
        """Return the time before each of `count` requests, after the answer before it."""
        import numpy as np

        if self.exponential:
            return rng.standard_exponential(count) * self.think_s
        return np.full(count, self.think_s)
