"""Prefixes that prompts share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._checks import MOST, Range
from ..inputs.settings import Settings, number, whole
from .lengths import MOST_TOKENS
from .requests import WorkloadError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Prefixes(Settings):
    """Prefixes that prompts share, such as instructions of an application."""

    kind = "prefixes"
    unnamed = "tokens"
    error = WorkloadError
    tokens: int = whole(Range(1, MOST_TOKENS), "Tokens of a prefix. They come before the tokens of `Workload.prompt`.")
    groups: int = whole(Range(1, MOST), "Number of different prefixes.", default=1)
    share: float = number(Range(0.0, 1.0), "Share of the requests that have one.", default=1.0)
    skew: float = number(
        Range(0.0, 100.0),
        "Exponent of the popularity of a prefix: the i-th of them is as likely as i^-skew; 0 for equal shares.",
        default=0.0,
    )

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Return the prefix of each of `count` requests; -1 without one."""
        import numpy as np

        weights = np.arange(1, self.groups + 1, dtype=np.float64) ** -self.skew
        cumulative = np.cumsum(weights / weights.sum())
        found = np.searchsorted(cumulative, rng.random(count), side="right").astype(np.int64)
        return np.where(rng.random(count) < self.share, np.minimum(found, self.groups - 1), -1)
