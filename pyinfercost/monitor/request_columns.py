"""Times and sizes of single requests, the only data that a monitor keeps of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from .._core import Meter

_TIMES = ("arrival_s", "start_s", "first_token_s", "end_s")
_NS = 1e-9
_MOST = 1e15  # of a whole number in a column


class RequestColumnsError(InputError):
    """Columns of requests of different lengths, or with values that are out of range."""


@dataclass(frozen=True, eq=False)
class RequestColumns:
    """Requests as columns of one length. There is no column for contents, addresses or ids.

    Times are Unix times on one clock that does not jump, such as a monotonic clock plus a constant; as float64 they
    have a resolution of 0.25 us. An unknown time is not a number.

    Attributes:
        arrival_s: Arrival.
        prompt_tokens: Tokens of the prompt; 0 without tokens.
        output_tokens: Generated tokens; 0 without tokens.
        first_token_s: Time of the first token.
        end_s: Time of the last token, or of the end.
        items: Items of the request, such as images of a batch.
        start_s: Begin of the service, after the queue.
        outcome: Index in `OUTCOMES`.
    """

    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    first_token_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    items: NDArray[np.int64]
    start_s: NDArray[np.float64]
    outcome: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        arrival_s: ArrayLike,
        *,
        prompt_tokens: ArrayLike | None = None,
        output_tokens: ArrayLike | None = None,
        first_token_s: ArrayLike | None = None,
        end_s: ArrayLike | None = None,
        items: ArrayLike | None = None,
        start_s: ArrayLike | None = None,
        outcome: ArrayLike | None = None,
    ) -> RequestColumns:
        """Return columns; those that are not given are unknown times, no tokens, one item and the outcome `"ok"`.

        Raises:
            RequestColumnsError: Lengths differ, an arrival is not finite, or a number is negative.
        """
        import numpy as np

        count = np.asarray(arrival_s, dtype=np.float64).shape
        given: dict[str, ArrayLike | None] = {
            "arrival_s": arrival_s, "prompt_tokens": prompt_tokens, "output_tokens": output_tokens,
            "first_token_s": first_token_s, "end_s": end_s, "items": items, "start_s": start_s, "outcome": outcome,
        }  # fmt: skip
        made: dict[str, Any] = {}
        for name, values in given.items():
            if name in _TIMES:
                found = np.full(count, np.nan) if values is None else np.asarray(values, dtype=np.float64)
            else:
                default = 1 if name == "items" else 0
                numbers = np.full(count, default) if values is None else np.asarray(values)
                if numbers.size and not ((numbers >= 0) & (numbers <= _MOST)).all():
                    raise RequestColumnsError(f"{name} has a value below 0 or above 1e15; expected whole numbers")
                found = numbers.astype(np.int64)
            if found.ndim != 1 or found.shape != count:
                raise RequestColumnsError(
                    f"{name} has the shape {found.shape} and arrival_s {count}; expected columns of one length"
                )
            made[name] = found
        if not np.isfinite(made["arrival_s"]).all():
            raise RequestColumnsError("arrival_s has a value that is not finite; expected Unix times")
        return cls(**made)

    @classmethod
    def taken(cls, meter: Meter, began_s: float) -> RequestColumns:
        """Return the requests that a meter counted since the last call.

        Args:
            meter: The meter.
            began_s: Unix time at which its clock is 0.
        """
        taken = meter.take()
        times: dict[str, Any] = {
            f"{name}_s": began_s + taken[f"{name}_ns"] * _NS for name in ("arrival", "start", "first_token", "end")
        }
        times["first_token_s"][taken["first_token_ns"] == 0] = float("nan")
        sizes = {name: taken[name] for name in ("prompt_tokens", "output_tokens", "items", "outcome")}
        return cls.of(**times, **sizes)

    @classmethod
    def joined(cls, parts: Sequence[RequestColumns]) -> RequestColumns:
        """Return the requests of several parts, one after another."""
        import numpy as np

        if not parts:
            return cls.of([])
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(each, name) for each in parts]) for name in names})

    def chosen(self, places: NDArray[Any] | slice) -> RequestColumns:
        """Return some of the requests: by their places, a mask, or a slice."""
        return RequestColumns(**{field.name: getattr(self, field.name)[places] for field in fields(self)})

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self.arrival_s)
