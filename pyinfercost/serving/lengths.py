"""Lengths of prompts and answers: fixed, uniform, lognormal, and empirical distributions of token counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log, sqrt
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from .. import _checks
from .._checks import Range, is_whole, shown
from .._lazy import cached_property
from ..errors import InputError
from ..inputs.settings import Settings, number, whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    Tokens: TypeAlias = NDArray[np.int32]

MOST_TOKENS = 100_000_000
"""Maximum of a length."""

_TOKENS = Range(1, MOST_TOKENS, "tokens")
_QUANTILES, _DEVIATIONS = 8192, 8.5  # points and range of the integral over a normal density


class LengthsError(InputError):
    """Lengths that are out of range or contradict each other."""


class Lengths(Protocol):
    """A distribution of lengths, in tokens."""

    def draw(self, rng: np.random.Generator, count: int) -> Tokens:
        """Return `count` lengths of at least one token."""
        ...

    @property
    def mean(self) -> float:
        """Mean length in tokens."""
        ...

    @property
    def mean_square(self) -> float:
        """Mean of the square of the length."""
        ...

    @property
    def most(self) -> int:
        """Longest length in tokens."""
        ...


LengthsLike: TypeAlias = "Lengths | int | str | Sequence[int] | NDArray[Any]"
"""Lengths: a distribution, one length, a text such as `"uniform:100-200"`, or observed lengths."""


class FixedLengths(Settings):
    """One length."""

    kind = "fixed lengths"
    unnamed = "tokens"
    error = LengthsError
    tokens: int = whole(_TOKENS, "The length.")

    def draw(self, rng: np.random.Generator, count: int) -> Tokens:
        """Return `count` equal lengths."""
        import numpy as np

        return np.full(count, self.tokens, dtype=np.int32)

    @property
    def mean(self) -> float:
        """The length."""
        return float(self.tokens)

    @property
    def mean_square(self) -> float:
        """The square of the length."""
        return float(self.tokens) ** 2

    @property
    def most(self) -> int:
        """The length."""
        return self.tokens


class UniformLengths(Settings):
    """Whole numbers from `low` to `high`, each equally likely."""

    kind = "uniform lengths"
    error = LengthsError
    low: int = whole(_TOKENS, "Least length.")
    high: int = whole(_TOKENS, "Longest length.")

    def _check(self) -> None:
        if self.low > self.high:
            raise LengthsError(f"lengths are uniform from {self.low} to {self.high}; pass the smaller number first")

    @classmethod
    def _of_text(cls, text: str) -> Self:
        low, dash, high = text.partition("-")
        return super()._of_text(f"low={low},high={high}" if dash else text)

    def draw(self, rng: np.random.Generator, count: int) -> Tokens:
        """Return `count` lengths."""
        import numpy as np

        return rng.integers(self.low, self.high + 1, count, dtype=np.int32)

    @property
    def mean(self) -> float:
        """(low + high) / 2."""
        return (self.low + self.high) / 2

    @property
    def mean_square(self) -> float:
        """Variance ((high - low + 1)^2 - 1) / 12, and the square of the mean."""
        return ((self.high - self.low + 1) ** 2 - 1) / 12 + self.mean**2

    @property
    def most(self) -> int:
        """The longest length."""
        return self.high

    def __str__(self) -> str:
        """The text that `parse_lengths` accepts."""
        return f"uniform:{self.low}-{self.high}"


class LognormalLengths(Settings):
    """Lengths whose logarithm is normal, rounded to whole tokens and clipped to `low` ... `high`.

    With the coefficient of variation c, sigma^2 = log(1 + c^2) and mu = log(mean_tokens) - sigma^2 / 2.
    """

    kind = "lognormal lengths"
    error = LengthsError
    mean_tokens: float = number(_TOKENS, "Mean before rounding and clipping.", short="mean")
    variation: float = number(
        Range(1e-6, 1e3), "Standard deviation / mean before rounding and clipping.", default=1.0, short="cv"
    )
    low: int = whole(_TOKENS, "Least length.", default=1)
    high: int = whole(_TOKENS, "Longest length, such as the context of the model.", default=MOST_TOKENS)

    def _check(self) -> None:
        UniformLengths(low=self.low, high=self.high)

    def of_normal(self, normal: NDArray[np.float64]) -> Tokens:
        """Return the lengths of numbers with a normal distribution."""
        import numpy as np

        square = log(1 + self.variation**2)
        values = normal * sqrt(square)
        values += log(self.mean_tokens) - square / 2
        np.exp(values, out=values)
        np.rint(values, out=values)
        clipped: Tokens = np.clip(values, self.low, self.high, out=values).astype(np.int32)
        return clipped

    def draw(self, rng: np.random.Generator, count: int) -> Tokens:
        """Return `count` lengths."""
        return self.of_normal(rng.standard_normal(count))

    @property
    def mean(self) -> float:
        """Mean after rounding and clipping."""
        return _moments(self)[0]

    @property
    def mean_square(self) -> float:
        """Mean square after rounding and clipping."""
        return _moments(self)[1]

    @property
    def most(self) -> int:
        """The longest length."""
        return self.high

    def __str__(self) -> str:
        """The text that `parse_lengths` accepts; it always has the variation."""
        return f"lognormal:{','.join(({'mean_tokens': '', 'variation': 'cv=1'} | self._parts()).values())}"


@lru_cache(256)
def _moments(lengths: LognormalLengths) -> tuple[float, float]:
    """Return mean and mean square after rounding and clipping, by the trapezoidal rule over the normal density."""
    import numpy as np

    at = np.linspace(-_DEVIATIONS, _DEVIATIONS, _QUANTILES + 1)
    density = np.exp(-(at**2) / 2)
    density /= density.sum()
    values = lengths.of_normal(at).astype(np.float64)
    return float(values @ density), float(values**2 @ density)


@dataclass(frozen=True)
class EmpiricalLengths:
    """Observed lengths, each as likely as its share.

    Attributes:
        values: Lengths in ascending order.
        counts: How often each was observed.
    """

    values: tuple[int, ...]
    counts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        import numpy as np

        observed = np.asarray(self.values)
        if observed.ndim != 1 or not observed.size or observed.dtype.kind not in "iu":
            raise LengthsError(f"lengths are {shown(self.values)}; expected a sequence of whole numbers of tokens")
        counts = np.ones(observed.size, dtype=np.int64) if not len(self.counts) else np.asarray(self.counts)
        if counts.shape != observed.shape or counts.dtype.kind not in "iu" or counts.min() < 1:
            raise LengthsError(f"counts are {shown(self.counts)}; expected a whole number from 1 on for each length")
        for end in (int(observed.min()), int(observed.max())):
            _checks.whole(end, "length", _TOKENS, LengthsError)
        values, places = np.unique(observed, return_inverse=True)
        totals = np.bincount(places, weights=counts.astype(np.float64)).astype(np.int64)
        self.__dict__.update(values=tuple(values.tolist()), counts=tuple(totals.tolist()))

    @cached_property
    def _table(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        import numpy as np

        counts = np.asarray(self.counts, dtype=np.float64)
        return np.asarray(self.values, dtype=np.int64), counts / counts.sum()

    def draw(self, rng: np.random.Generator, count: int) -> Tokens:
        """Return `count` lengths, drawn with replacement."""
        import numpy as np

        values, shares = self._table
        places = np.searchsorted(np.cumsum(shares), rng.random(count), side="right")
        return values[np.minimum(places, values.size - 1)].astype(np.int32)

    @property
    def mean(self) -> float:
        """Mean of the observed lengths."""
        values, shares = self._table
        return float(values @ shares)

    @property
    def mean_square(self) -> float:
        """Mean square of the observed lengths."""
        values, shares = self._table
        return float(values.astype(float) ** 2 @ shares)

    @property
    def most(self) -> int:
        """The longest observed length."""
        return self.values[-1]

    def __str__(self) -> str:
        """A description; of a single length the text that `parse_lengths` accepts."""
        return f"empirical:{len(self.values)} lengths, mean {self.mean:.6g}"


_EXPECTED = (
    "expected a whole number, 'uniform:LOW-HIGH', 'lognormal:mean=M,cv=C' with low= and high= if wanted, a sequence of "
    "observed lengths, or an object with draw, mean, mean_square and most"
)


_KINDS: Mapping[str, type[UniformLengths | LognormalLengths]] = {
    "uniform": UniformLengths,
    "lognormal": LognormalLengths,
}


def parse_lengths(value: LengthsLike, name: str = "length") -> Lengths:
    """Return the distribution that a value denotes.

    Args:
        value: A distribution; a whole number; text: `"1024"`, `"uniform:100-200"`,
            `"lognormal:mean=1024,cv=1.2,high=8192"`; or a sequence or array of observed lengths.
        name: What the lengths are of, for messages.

    Raises:
        LengthsError: The value is none of these, or a number is out of range.
    """
    if isinstance(value, (FixedLengths, UniformLengths, LognormalLengths, EmpiricalLengths)):
        return value
    try:
        if is_whole(value):
            return FixedLengths(tokens=value)  # type: ignore[arg-type]
        if isinstance(value, str):
            kind, _, rest = value.strip().partition(":")
            if kind in _KINDS:
                return _KINDS[kind].parse(rest)
            if kind.isdigit() and not rest:
                return FixedLengths.parse(kind)
    except LengthsError as wrong:
        raise LengthsError(f"{name} is {shown(value)}: {wrong}") from None
    if (isinstance(value, Sequence) and not isinstance(value, str)) or type(value).__module__ == "numpy":
        return EmpiricalLengths(value)  # type: ignore[arg-type]
    if all(hasattr(value, each) for each in ("draw", "mean", "mean_square", "most")):
        return value  # type: ignore[return-value]
    raise LengthsError(f"{name} is {shown(value)}; {_EXPECTED}")
