"""Wrappers that count calls: of modules, of sessions, of functions, of generators."""

from __future__ import annotations

import functools
import inspect
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from .. import _core
from ..errors import InputTypeError
from .call_counts import Served, count_items, count_tokens
from .requests import CANCELLED, OK, outcome_of

if TYPE_CHECKING:
    from .call_counts import Count
    from .recorder import Recorder

_NOTHING = Served(0)
_FAKE = "FakeTensor"  # of torch.export


def instrumented(
    monitor: Recorder,
    target: Any,
    count: Count,
    tokens_of: Callable[[Any], int] | None,
    restores: list[Callable[[], None]],
) -> Any:
    """Return the replacement of a target, which counts calls; see `Monitor.instrument`.

    Args:
        monitor: Where calls are counted.
        target: A module or a function.
        count: Returns the items and tokens of a call.
        tokens_of: Tokens of a piece.
        restores: Functions that undo changes of targets; one is added for a module.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(target, torch.nn.Module):
        return _module(monitor, target, count, restores)
    if not callable(target):
        raise InputTypeError(
            f"target is a {type(target).__name__}; expected a torch module, a session with run(), or a function"
        )
    return _function(monitor, target, count, tokens_of)


class MonitoredObject:
    """An object some of whose methods are wrapped; everything else is its own."""

    def __init__(self, target: Any, methods: dict[str, Any]) -> None:
        self.__dict__["_monitored"] = target
        self.__dict__.update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_monitored"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__dict__["_monitored"], name, value)

    def __repr__(self) -> str:
        return f"<monitored {self.__dict__['_monitored']!r}>"


def _module(monitor: Recorder, module: Any, count: Count, restores: list[Callable[[], None]]) -> Any:
    """Wrap the forward of a module in place: cheaper than hooks, and the module stays the same object."""
    own = module.__dict__.get("forward")
    forward = module.forward
    wrapper = _module_function(monitor, forward, count)
    try:
        module.forward = wrapper
    except (AttributeError, RuntimeError, TypeError) as error:  # such as of TorchScript
        raise InputTypeError(
            f"the forward of this {type(module).__name__} cannot be replaced ({error}); wrap a function that calls it"
        ) from error

    def restore() -> None:
        if own is None:
            module.__dict__.pop("forward", None)
        else:
            module.forward = own

    restores.append(restore)
    return module


def _module_function(monitor: Recorder, function: Callable[..., Any], count: Count) -> Callable[..., Any]:
    """Wrap a function of tensors: on a CUDA device, events measure its time; a trace is no request."""
    torch = sys.modules["torch"]
    plain = _function(monitor, function, count, None)

    def other(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Count a call whose first argument is no tensor of this process's memory, or no tensor."""
        device = next((value for value in (*args, *kwargs.values()) if hasattr(value, "is_cuda")), None)
        if device is not None and (device.is_meta or type(device).__name__ == _FAKE):
            return function(*args, **kwargs)
        if device is None or not device.is_cuda:
            return plain(*args, **kwargs)
        events = _events(monitor, device)
        if events is None:
            return plain(*args, **kwargs)
        arrival_ns = monitor.clock()
        began, ended = events
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            try:
                now_ns = monitor.clock()
                monitor.meter.record(arrival_ns, arrival_ns, 0, now_ns, 0, 0, 0, 0, outcome_of(error))
            except Exception as failure:
                monitor.failed("a call", failure)
            raise
        try:
            ended.record()
            monitor.devices.add(arrival_ns, began, ended, count(args, kwargs, result))
        except Exception as failure:
            monitor.failed("a call", failure)
        return result

    return _counted(monitor, function, count, None, other, may_be_cuda=bool(torch.cuda.is_available()))


def _events(monitor: Recorder, tensor: Any) -> tuple[Any, Any] | None:
    """Return an event that is recorded now on the current stream of a tensor's device, and another one."""
    try:
        cuda = sys.modules["torch"].cuda
        with cuda.device(tensor.device):
            began, ended = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
            began.record()
        return began, ended
    except Exception as failure:
        monitor.failed("a call", failure)
        return None


def _function(
    monitor: Recorder, function: Callable[..., Any], count: Count, tokens_of: Callable[[Any], int] | None
) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_later(*args: Any, **kwargs: Any) -> Any:
            return await _Call(monitor, count, tokens_of, args, kwargs).awaited(function(*args, **kwargs))

        return call_later

    return _counted(monitor, function, count, tokens_of, None)


def _counted(
    monitor: Recorder,
    function: Callable[..., Any],
    count: Count,
    tokens_of: Callable[[Any], int] | None,
    other: Callable[[tuple[Any, ...], dict[str, Any]], Any] | None,
    *,
    may_be_cuda: bool = False,
) -> Callable[..., Any]:
    def continued(start_ns: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        return _Call(monitor, count, tokens_of, args, kwargs, start_ns).of(result)

    torch: Any = sys.modules.get("torch")
    is_exact = monitor.clock is time.monotonic_ns and sys.platform == "linux"  # where C++ has the same clock
    return _core.counted_call(
        function,
        monitor.meter,
        counted=_COUNTED.get(count, "custom"),
        hooks={
            "other": other,
            "count": count,
            "outcome_of": outcome_of,
            "is_lazy": _is_lazy,
            "continued": continued,
            "failed": monitor.failed,
        },
        tensor_type=getattr(torch, "Tensor", None),
        tensor_base=getattr(getattr(torch, "_C", None), "TensorBase", None),
        may_be_cuda=may_be_cuda,
        clock=None if is_exact else monitor.clock,
    )


_COUNTED: dict[Any, str] = {count_items: "items", count_tokens: "tokens"}
"""Counters that the core has, too: their names there."""


_LAZY = (Generator, AsyncGenerator, Awaitable)


def _is_lazy(result: Any) -> bool:
    return isinstance(result, _LAZY)


class _Call:
    """A call that goes on after it returned: a generator or an awaitable."""

    def __init__(
        self,
        monitor: Recorder,
        count: Count,
        tokens_of: Callable[[Any], int] | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        start_ns: int = 0,
    ) -> None:
        self._monitor = monitor
        self._meter = monitor.meter
        self._count = count
        self._tokens_of = tokens_of
        self._args = args
        self._kwargs = kwargs
        self._first_ns = 0
        self._tokens = 0
        self._ended = False
        self._start_ns = start_ns
        if not start_ns:
            self._start_ns = monitor.clock()
            self._meter.begin(self._start_ns, False)

    def __del__(self) -> None:
        # A generator or coroutine that was never begun runs no code when it is thrown away.
        self._end(CANCELLED, None)

    def of(self, result: Any) -> Any:
        if isinstance(result, AsyncGenerator):
            return self._async_pieces(result)
        return self._pieces(result) if isinstance(result, Generator) else self.awaited(result)

    async def awaited(self, result: Awaitable[Any]) -> Any:
        try:
            found = await result
        except BaseException as error:
            self._end(outcome_of(error), None)
            raise
        if isinstance(found, AsyncGenerator):
            return self._async_pieces(found)
        self._end(OK, found)
        return found

    def _pieces(self, pieces: Generator[Any, Any, Any]) -> Iterator[Any]:
        try:
            for piece in pieces:
                self._piece(piece)
                yield piece
        except BaseException as error:
            self._end(outcome_of(error), None)
            pieces.close()
            raise
        self._end(OK, None)

    async def _async_pieces(self, pieces: AsyncGenerator[Any, Any]) -> AsyncIterator[Any]:
        try:
            async for piece in pieces:
                self._piece(piece)
                yield piece
        except BaseException as error:
            self._end(outcome_of(error), None)
            await pieces.aclose()
            raise
        self._end(OK, None)

    def _piece(self, piece: Any) -> None:
        try:
            if not self._first_ns:
                self._first_ns = self._monitor.clock()
            self._tokens += 1 if self._tokens_of is None else int(self._tokens_of(piece))
        except Exception as failure:
            self._monitor.failed("the tokens of a piece", failure)

    def _end(self, outcome: int, result: Any) -> None:
        if self._ended:
            return
        self._ended = True
        end_ns = self._monitor.clock()
        served = _NOTHING
        try:
            if outcome == OK or self._first_ns:
                served = self._count(self._args, self._kwargs, result)
        except Exception as failure:
            self._monitor.failed("the size of a call", failure)
        output = self._tokens if self._first_ns else served.output_tokens
        self._meter.end(
            self._start_ns, self._start_ns, self._first_ns, end_ns, served.items, served.prompt_tokens,
            served.cached_tokens, output, outcome,
        )  # fmt: skip
