"""Requests from elsewhere, such as a measured run, in place of a trace file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from .._checks import Range, number
from .requests import CHUNK, Requests, WorkloadError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_RATE = Range(1e-9, 1e9, "requests/s")


@dataclass(frozen=True, eq=False)
class RecordedRequests:
    """Requests with known times and lengths, in the order of their arrival: the `trace` of a `Workload`.

    Attributes:
        requests: The requests.
    """

    requests: Requests
    timed: ClassVar[bool] = True
    has_lengths: ClassVar[bool] = True
    has_service: ClassVar[bool] = False

    @classmethod
    def of(cls, arrival_s: ArrayLike, prompt_tokens: ArrayLike, output_tokens: ArrayLike) -> RecordedRequests:
        """Return the replay of requests as columns of one length; they are sorted by their arrival.

        Raises:
            WorkloadError: Lengths differ, there are no requests, or a value is not finite and positive.
        """
        import numpy as np

        arrays: list[Any] = [np.asarray(each, dtype=np.float64) for each in (arrival_s, prompt_tokens, output_tokens)]
        if any(each.ndim != 1 or each.size != arrays[0].size or not each.size for each in arrays):
            shapes = ", ".join(str(each.shape) for each in arrays)
            raise WorkloadError(
                f"arrival_s, prompt_tokens and output_tokens have the shapes {shapes}; expected columns of one length, "
                "with at least one request"
            )
        if not all(np.isfinite(each).all() for each in arrays) or min(each.min() for each in arrays[1:]) < 1:
            raise WorkloadError("a request has a time that is not finite or less than one token; leave it out")
        order = np.argsort(arrays[0], kind="stable")
        arrival, prompt, output = (each[order] for each in arrays)
        return cls(Requests(arrival - arrival[0], prompt.astype(np.int32), output.astype(np.int32)))

    def chunks(self) -> Iterator[Requests]:
        """Yield the requests in order, a chunk at a time; the first one arrives at 0 s."""
        for first in range(0, len(self.requests), CHUNK):
            yield self.requests.part(slice(first, first + CHUNK))

    def at_rate(self, rate_per_s: float) -> RecordedRequests:
        """Return the same requests with their times scaled to a mean rate."""
        arrival = self.requests.arrival_s
        span_s = float(arrival[-1] - arrival[0])
        if span_s <= 0:
            raise WorkloadError("all requests of the replay arrive at once, so that its times have no rate to scale")
        asked = number(rate_per_s, "rate_per_s", _RATE, WorkloadError)
        return RecordedRequests(replace(self.requests, arrival_s=arrival * ((len(arrival) - 1) / span_s / asked)))
