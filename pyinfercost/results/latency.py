"""Times of requests as distributions: one type for servers and fleets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .declared import declarations_of, declared, derived, fact, figure
from .figures import FIGURES, LESS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TITLES = {
    **{name: FIGURES[name].title for name in ("ttft_s", "tpot_s")},
    "e2e_s": "whole request",
    "queue_s": "wait before the first step",
    "wait_s": "wait before service",
}
"""Time of a request -> its title."""


@declared
class Distribution:
    """A time of requests, in seconds; not a number if no request has it."""

    mean: float = figure("Mean.", unit="s", better=LESS)
    p50: float = figure("Median.", unit="s", better=LESS)
    p90: float = figure("90th percentile.", unit="s", better=LESS)
    p99: float = figure("99th percentile.", unit="s", better=LESS)
    max: float = figure("The longest one.", unit="s", better=LESS)


@declared
class Latency(Distribution):
    """A time of simulated requests, with error bands and all values; not a number if no request has it."""

    low: Mapping[str, float] = fact(
        "Statistic -> its value if all steps take the low end of their error band; empty if that was not simulated."
    )
    high: Mapping[str, float] = fact("The same at the high end.")
    sorted_s: NDArray[np.float64] = fact(
        "All values in ascending order, float64; of more than 2^20 only 2^20 + 1 equally spaced ranks.", inner=True
    )

    @property
    @derived(unit="s")
    def mean_low(self) -> float | None:
        """The mean at the low end; None if that was not simulated."""
        return self.low.get("mean")

    @property
    @derived(unit="s")
    def mean_high(self) -> float | None:
        """The same at the high end."""
        return self.high.get("mean")

    def percentile(self, percent: float) -> float:
        """Return a percentile, linear between values; not a number without values."""
        import numpy as np

        return float(np.percentile(self.sorted_s, percent)) if self.sorted_s.size else float("nan")


STATISTICS = tuple(each.name for each in declarations_of(Distribution))
