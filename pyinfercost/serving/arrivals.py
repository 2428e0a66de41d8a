"""Arrivals of requests at a constant rate: Poisson, gamma, bursts, all at once, and closed loops of clients.

A kind of arrivals is a value; `begin` returns its `ArrivalRun`, which has the state of the process. Arrivals are
equal to the last bit, whether they are taken together or in parts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from .._checks import COUNT, Range, number, whole
from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Times: TypeAlias = NDArray[np.float64]

RATE = Range(1e-9, 1e9, "requests/s")
VARIATION = Range(1e-3, 1e3)
SECONDS = Range(1e-9, 1e10, "s", zero=True)


class ArrivalsError(InputError):
    """Arrivals that are out of range or contradict each other."""


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
            variation=number(self.variation, "variation", VARIATION, ArrivalsError),
        )

    def begin(self, states: np.random.Generator) -> ArrivalRun:
        """Return a run of the process; `states` are random numbers of states, of which it has none."""
        return _ConstantRate(UnitGaps(self.variation), self.rate_per_s)

    def at_rate(self, rate_per_s: float) -> GammaArrivals:
        """Return the same process at another mean rate."""
        return replace(self, rate_per_s=rate_per_s)


class _ConstantRate:
    def __init__(self, gaps: UnitGaps, rate_per_s: float) -> None:
        self._gaps, self._rate_per_s = gaps, rate_per_s

    def take(self, rng: np.random.Generator, count: int) -> Times:
        return self._gaps.take(rng, count) / self._rate_per_s


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
        spacing = number(self.spacing_s, "spacing_s", SECONDS, ArrivalsError)
        if rate * spacing >= 1:
            raise ArrivalsError(
                f"bursts have a request every {spacing:.6g} s, and {rate:.6g} requests/s are asked for; pass "
                "spacing_s below 1 / rate_per_s"
            )
        self.__dict__.update(rate_per_s=rate, size=whole(self.size, "size", COUNT, ArrivalsError), spacing_s=spacing)

    def begin(self, states: np.random.Generator) -> ArrivalRun:
        """Return a run of the process; `states` are random numbers of states, of which it has none."""
        return _BurstRun(self)

    def at_rate(self, rate_per_s: float) -> BurstArrivals:
        """Return the same bursts at another mean rate."""
        return replace(self, rate_per_s=rate_per_s)


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


@dataclass(frozen=True)
class AtOnce:
    """All requests at time 0, as benchmarks of throughput send them."""

    clients: ClassVar[int] = 0
    rate_per_s: ClassVar[float] = float("inf")

    def begin(self, states: np.random.Generator) -> ArrivalRun:
        """Return a run of zeros."""
        return _AtZero()


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
            think_s=number(self.think_s, "think_s", SECONDS, ArrivalsError),
        )

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
