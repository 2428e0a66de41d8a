"""One request that a program marks itself."""

from __future__ import annotations

from asyncio import CancelledError
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .recorder import Recorder

OK, ERROR, CANCELLED = range(3)
"""Places in `OUTCOMES`."""

_CURRENT: ContextVar[MonitoredRequest | None] = ContextVar("pyinfercost_request", default=None)


class MonitoredRequest:
    """A request from its arrival to its end, as `Monitor.request` returns it.

    Attributes:
        items: Items of its batch.
        prompt_tokens: Tokens of its prompt.
        cached_tokens: Those that were in a cache of prefixes.
        output_tokens: Generated tokens.
    """

    __slots__ = (
        "_arrival_ns", "_ended", "_first_ns", "_monitor", "_start_ns", "_token", "_waiting", "cached_tokens", "failed",
        "items", "output_tokens", "prompt_tokens",
    )  # fmt: skip

    def __init__(
        self,
        monitor: Recorder,
        items: int,
        prompt_tokens: int,
        *,
        waiting: bool = False,
        queued_ns: int = 0,
    ) -> None:
        self._monitor = monitor
        self.items = items
        self.prompt_tokens = prompt_tokens
        self.cached_tokens = self.output_tokens = 0
        self.failed = False
        self._waiting = waiting
        self._first_ns = self._start_ns = 0
        self._ended = False
        self._token: Token[MonitoredRequest | None] | None = None
        self._arrival_ns = -queued_ns  # relative to the begin, until that is known

    def start(self) -> None:
        """Begin the service of a request that was waiting."""
        if self._start_ns or self._ended:
            return
        try:
            self._start_ns = self._monitor.clock()
            self._monitor.meter.begin(self._start_ns, self._waiting)
        except Exception as error:
            self._monitor.failed("the begin of a request", error)

    def first_token(self) -> None:
        """Mark the first token; later calls have no effect."""
        if not self._first_ns:
            self._first_ns = self._monitor.clock()

    def fail(self) -> None:
        """Count the request as an error although no exception leaves the block."""
        self.failed = True

    def begin(self) -> None:
        """Mark the arrival, and begin the service unless the request waits. `with` does so."""
        try:
            now_ns = self._monitor.clock()
            self._arrival_ns += now_ns
            if self._waiting:
                self._monitor.meter.arrive()
            else:
                self._start_ns = now_ns
                self._monitor.meter.begin(now_ns, False)
        except Exception as error:
            self._monitor.failed("the arrival of a request", error)

    def end(self, error: BaseException | type[BaseException] | None = None) -> None:
        """Mark the end; later calls have no effect. `with` does so.

        Args:
            error: The exception that ended it; one of cancellation or of a generator that is closed counts as
                cancelled.
        """
        if self._ended:
            return
        self._ended = True
        try:
            monitor = self._monitor
            if not self._start_ns:
                monitor.meter.leave()
                monitor.meter.begin(monitor.clock(), False)
                self._start_ns = monitor.clock()
            outcome = outcome_of(error) if error is not None else ERROR if self.failed else OK
            now_ns = monitor.clock()
            try:
                monitor.meter.end(
                    self._arrival_ns, self._start_ns, self._first_ns, now_ns, int(self.items),
                    int(self.prompt_tokens), int(self.cached_tokens), int(self.output_tokens), outcome,
                )  # fmt: skip
            except Exception as failure:
                monitor.meter.end(self._arrival_ns, self._start_ns, self._first_ns, now_ns, 0, 0, 0, 0, outcome)
                monitor.failed("the size of a request", failure)
        except Exception as failure:
            self._monitor.failed("the end of a request", failure)

    def __enter__(self) -> Self:
        self._token = _CURRENT.set(self)
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error)
        if self._token is not None:
            reset(self._token)
            self._token = None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def current_request() -> MonitoredRequest | None:
    """Return the request of this task or thread, to set its items and tokens; None outside of one."""
    return _CURRENT.get()


def enter(request: MonitoredRequest) -> Token[MonitoredRequest | None]:
    """Make a request the current one."""
    return _CURRENT.set(request)


def reset(token: Token[MonitoredRequest | None]) -> None:
    """Make the request of before the current one again."""
    try:
        _CURRENT.reset(token)
    except ValueError:  # the block ends in another context than it began in
        _CURRENT.set(None)


def outcome_of(error: BaseException | type[BaseException]) -> int:
    """Return the outcome of a request that an exception ended."""
    kind = error if isinstance(error, type) else type(error)
    return CANCELLED if issubclass(kind, (CancelledError, GeneratorExit, KeyboardInterrupt)) else ERROR
