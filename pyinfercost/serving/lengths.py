"""Lengths of prompts and answers: fixed, uniform, lognormal, and empirical distributions of token counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from .._checks import Range, is_whole, number, number_in, shown, whole, whole_in
from .._lazy import cached_property
from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Tokens: TypeAlias = NDArray[np.int32]

MOST_TOKENS = 100_000_000
"""Maximum of a length."""

_TOKENS = Range(1, MOST_TOKENS, "tokens")
_VARIATION = Range(1e-6, 1e3)
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


@dataclass(frozen=True)
class FixedLengths:
    """One length.

    Attributes:
        tokens: The length.
    """

    tokens: int

    def __post_init__(self) -> None:
        self.__dict__["tokens"] = whole(self.tokens, "length", _TOKENS, LengthsError)

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

    def __str__(self) -> str:
        """The text that `parse_lengths` accepts."""
        return str(self.tokens)


@dataclass(frozen=True)
class UniformLengths:
    """Whole numbers from `low` to `high`, each equally likely.

    Attributes:
        low: Least length.
        high: Longest length.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        low = whole(self.low, "low", _TOKENS, LengthsError)
        high = whole(self.high, "high", _TOKENS, LengthsError)
        if low > high:
            raise LengthsError(f"lengths are uniform from {low} to {high}; pass the smaller number first")
        self.__dict__.update(low=low, high=high)

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


@dataclass(frozen=True)
class LognormalLengths:
    """Lengths whose logarithm is normal, rounded to whole tokens and clipped to `low` ... `high`.

    With the coefficient of variation c, sigma^2 = log(1 + c^2) and mu = log(mean_tokens) - sigma^2 / 2.

    Attributes:
        mean_tokens: Mean before rounding and clipping.
        variation: Standard deviation / mean before rounding and clipping.
        low: Least length.
        high: Longest length, such as the context of the model.
    """

    mean_tokens: float
    variation: float = 1.0
    low: int = 1
    high: int = MOST_TOKENS

    def __post_init__(self) -> None:
        bounds = UniformLengths(self.low, self.high)
        self.__dict__.update(
            mean_tokens=number(self.mean_tokens, "mean_tokens", _TOKENS, LengthsError),
            variation=number(self.variation, "variation", _VARIATION, LengthsError),
            low=bounds.low,
            high=bounds.high,
        )

    def _of_normal(self, normal: NDArray[np.float64]) -> Tokens:
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
        return self._of_normal(rng.standard_normal(count))

    @cached_property
    def _moments(self) -> tuple[float, float]:
        """Mean and mean square after rounding and clipping, by the trapezoidal rule over the normal density."""
        import numpy as np

        at = np.linspace(-_DEVIATIONS, _DEVIATIONS, _QUANTILES + 1)
        density = np.exp(-(at**2) / 2)
        density /= density.sum()
        values = self._of_normal(at).astype(np.float64)
        return float(values @ density), float(values**2 @ density)

    @property
    def mean(self) -> float:
        """Mean after rounding and clipping."""
        return self._moments[0]

    @property
    def mean_square(self) -> float:
        """Mean square after rounding and clipping."""
        return self._moments[1]

    @property
    def most(self) -> int:
        """The longest length."""
        return self.high

    def __str__(self) -> str:
        """The text that `parse_lengths` accepts."""
        mean, variation = (repr(float(each)).removesuffix(".0") for each in (self.mean_tokens, self.variation))
        text = f"lognormal:mean={mean},cv={variation}"
        low = "" if self.low == 1 else f",low={self.low}"
        return text + low + ("" if self.high == MOST_TOKENS else f",high={self.high}")


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
            whole(end, "length", _TOKENS, LengthsError)
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
    if is_whole(value):
        return FixedLengths(whole(value, name, _TOKENS, LengthsError))
    if isinstance(value, str):
        return _of_text(value.strip(), name)
    if isinstance(value, Sequence) or type(value).__module__ == "numpy":
        return EmpiricalLengths(value)  # type: ignore[arg-type]
    if all(hasattr(value, each) for each in ("draw", "mean", "mean_square", "most")):
        return value  # type: ignore[return-value]
    raise LengthsError(f"{name} is {shown(value)}; {_EXPECTED}")


def _of_text(text: str, name: str) -> Lengths:
    kind, _, rest = text.partition(":")
    if kind.isdigit() and not rest:
        return FixedLengths(whole_in(kind, name, _TOKENS, LengthsError))
    if kind == "uniform":
        low, dash, high = (each.strip() for each in rest.partition("-"))
        if dash and low.isdigit() and high.isdigit():
            bounds = (whole_in(each, name, _TOKENS, LengthsError) for each in (low, high))
            return UniformLengths(*bounds)
    if kind == "lognormal":
        return LognormalLengths(**_named(rest, name, text))
    raise LengthsError(f"{name} is {shown(text)}; {_EXPECTED}")


_FIELDS: Mapping[str, str] = {"mean": "mean_tokens", "cv": "variation", "low": "low", "high": "high"}


def _named(text: str, name: str, whole_text: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = (each.strip() for each in part.partition("="))
        if not equals or key not in _FIELDS or _FIELDS[key] in given:
            raise LengthsError(f"{name} is {shown(whole_text)}; {_EXPECTED}")
        bound = key in ("low", "high")
        given[_FIELDS[key]] = (
            whole_in(value, key, _TOKENS, LengthsError)
            if bound
            else number_in(value, key, _TOKENS if key == "mean" else _VARIATION, LengthsError)
        )
    if "mean_tokens" not in given:
        raise LengthsError(f"{name} is {shown(whole_text)}, without mean=; {_EXPECTED}")
    return given
