"""Service times of calls that a CUDA device runs behind the program, from events read after they have passed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .._core import Meter
    from .call_counts import Served

_MOST = 4096  # calls whose events have not passed
_NS_PER_MS = 1e6


class _Call(NamedTuple):
    arrival_ns: int
    began: Any
    ended: Any
    served: Served


class DeviceTimes:
    """Calls whose end is not known yet.

    A call returns when its kernels are launched. Two events on its stream enclose them; `elapsed_time` of them is the
    time of the kernels alone. The service of a call begins when the one before it ends, or when it was launched. Beyond
    4,096 calls, the oldest ones are counted with the time that was measured on the host.

    Args:
        meter: Where calls are counted.
        clock: Monotonic nanoseconds.
    """

    def __init__(self, meter: Meter, clock: Callable[[], int]) -> None:
        self._meter = meter
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: deque[_Call] = deque()
        self._until_ns = 0

    @property
    def pending(self) -> int:
        """Calls whose end is not known."""
        return len(self._calls)

    def add(self, arrival_ns: int, began: Any, ended: Any, served: Served) -> None:
        """Add a call with the events before and after it, and count those that have ended."""
        self._calls.append(_Call(arrival_ns, began, ended, served))
        self.poll()

    def poll(self) -> None:
        """Count the calls whose events have passed; nothing waits."""
        if not self._calls or not self._lock.acquire(blocking=False):
            return
        try:
            while self._calls:
                call = self._calls[0]
                over = len(self._calls) > _MOST
                if not over and not call.ended.query():
                    return
                self._calls.popleft()
                start_ns = max(call.arrival_ns, self._until_ns)
                took_ns = 0 if over else int(call.began.elapsed_time(call.ended) * _NS_PER_MS)
                end_ns = self._clock() if over else start_ns + took_ns
                self._until_ns = end_ns
                served = call.served
                self._meter.record(
                    call.arrival_ns, start_ns, 0, end_ns, served.items, served.prompt_tokens, served.cached_tokens,
                    served.output_tokens, 0,
                )  # fmt: skip
        finally:
            self._lock.release()
