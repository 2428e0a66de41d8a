"""Traffic of a fleet: its requests for the simulator, and what one reading of them says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import _core
from .._lazy import cached_property
from ..serving.requests import WorkloadError
from ..serving.runs import Facts, facts_of
from .loads import PoolLoad

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..serving.requests import Requests
    from ..serving.workload import Workload
    from .replicas import Replica

_MOST_HELD = 10_000_000  # requests that are kept for several simulations; more are made again for each
_NICE_BINS_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0)
_MINUTE_S, _HOUR_S = 60.0, 3600.0
_BINS = 1000  # of time in a result, about
_TICKS = 10  # of the time of a request, at least, in which a load is constant

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Traffic:
    """Requests for simulations of fleets.

    Attributes:
        workload: The requests.
        text: The traffic in words.
    """

    workload: Workload
    text: str

    @cached_property
    def _read(self) -> tuple[Facts | None, int, float]:
        """Facts of requests with tokens, their number, and the last arrival."""
        count, last, tokens = 0, 0.0, True
        for chunk in self.workload.chunks():
            count += len(chunk)
            last = float(chunk.arrival_s[-1])
            tokens = tokens and bool(chunk.prompt_tokens.min() > 0)
        if not count:
            raise WorkloadError(
                f"traffic {self.text} has no requests; pass a longer duration_s, a higher rate, or another trace"
            )
        return (facts_of(self.workload) if tokens else None), count, last

    @property
    def facts(self) -> Facts | None:
        """What one reading says of its tokens; None if requests have none."""
        return self._read[0]

    @property
    def requests(self) -> int:
        """Number of requests."""
        return self._read[1]

    @property
    def last_s(self) -> float:
        """Arrival of the last request."""
        return self._read[2]

    @property
    def bin_s(self) -> float:
        """Seconds of a bin of time in results: a round number, of which there are about a thousand."""
        wanted = self.last_s / _BINS
        return next((each for each in _NICE_BINS_S if each >= wanted), _NICE_BINS_S[-1])

    def __getstate__(self) -> dict[str, object]:
        """Return the recipe alone: requests are made again where they are needed."""
        return {"workload": self.workload, "text": self.text}

    def part(self, start_s: float, end_s: float) -> Traffic:
        """Return the requests from one time to another; times begin at `start_s`."""
        return Traffic(self.workload.between(start_s, end_s), f"{self.text}, {_span(start_s, end_s)}")

    def busiest(self, window_s: float) -> float:
        """Return when the window with the most requests begins, in whole minutes."""
        import numpy as np

        counts = self.counts(_MINUTE_S)
        wide = min(counts.size, max(1, int(window_s / _MINUTE_S)))
        sums = np.convolve(counts, np.ones(wide), mode="valid")
        return float(np.argmax(sums)) * _MINUTE_S

    def counts(self, step_s: float) -> NDArray[np.int64]:
        """Return the requests that arrive in each step of so many seconds."""
        import numpy as np

        counts = np.zeros(int(self.last_s / step_s) + 1, dtype=np.int64)
        for chunk in self._pieces():
            found = np.bincount((chunk.arrival_s / step_s).astype(np.int64), minlength=counts.size)
            counts += found[: counts.size]
        return counts

    @cached_property
    def _held(self) -> _core.SimulatedRequests:
        import numpy as np

        chunks = list(self._pieces())
        timed = chunks[0].service_s is not None
        return _core.SimulatedRequests(
            np.concatenate([each.arrival_s for each in chunks]),
            np.concatenate([_tokens(each.prompt_tokens) for each in chunks]),
            np.concatenate([_tokens(each.output_tokens) for each in chunks]),
            service_s=np.concatenate([each.service_s for each in chunks]) if timed else (),
        )

    def _pieces(self) -> Iterator[Requests]:
        return self.workload.chunks()

    def source(self, progress: Progress | None = None) -> _core.SimulatedRequests | _core.RequestStream:
        """Return the requests for a simulation: in memory if they are few, else made again piece by piece."""
        if self.requests <= _MOST_HELD and progress is None:
            return self._held
        return self._stream(progress)

    def _stream(self, progress: Progress | None) -> _core.RequestStream:
        pieces = self._pieces()
        sent = 0

        def following() -> _core.SimulatedRequests | None:
            nonlocal sent
            piece = next(pieces, None)
            if piece is None:
                return None
            sent += len(piece)
            if progress is not None:
                progress(sent, self.requests)
            return _core.SimulatedRequests(
                piece.arrival_s,
                _tokens(piece.prompt_tokens),
                _tokens(piece.output_tokens),
                service_s=() if piece.service_s is None else piece.service_s,
            )

        return _core.RequestStream(self.requests, following)

    def load(self, replica: Replica) -> PoolLoad:
        """Return the load over time if no request waited for a place in such replicas."""
        found = _core.load_profile(
            self.source(),
            places=replica.concurrency,
            tick_s=min(1.0, replica.service_s / _TICKS),
            service_s=replica.service_s,
            prompt_s=replica.prompt_s,
            output_s=replica.token_s,
        )
        return PoolLoad(**found)


def _span(start_s: float, end_s: float) -> str:
    """`hours 24 to 48`."""
    return f"hours {start_s / _HOUR_S:.4g} to {end_s / _HOUR_S:.4g}"


def _tokens(tokens: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return numbers of tokens; requests without tokens have one, which no replica without an engine reads."""
    import numpy as np

    found: NDArray[np.int32] = np.maximum(tokens, np.int32(1))
    return found
