"""Wrappers of sessions, such as of ONNX Runtime: objects that run a model by methods."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .call_counts import Served, items_of
from .instrument import MonitoredObject, instrumented
from .requests import MonitoredRequest

if TYPE_CHECKING:
    from .call_counts import Count
    from .recorder import Recorder

_RUN = "run"
_FEEDS = (_RUN, "run_with_ort_values")
_BINDING, _LATER = "run_with_iobinding", "run_async"
_CALLBACK = 2  # place of the callback of `run_async`


def is_session(target: object) -> bool:
    """Return whether an object runs a model by its method `run`, and is no module or function."""
    return callable(getattr(target, _RUN, None)) and not hasattr(target, "forward") and not inspect.isroutine(target)


def monitored_session(monitor: Recorder, session: Any, count: Count) -> Any:
    """Return a proxy of a session whose runs are counted.

    Of a session of ONNX Runtime these are `run`, `run_with_ort_values`, `run_with_iobinding`, whose items are counted
    in the first output, and `run_async`, whose requests end with the callback.

    Args:
        monitor: Where requests are counted.
        session: The session.
        count: Returns the items and tokens of a call from its feed.
    """
    of_feed = _count_of_feed(count)
    counts = {**dict.fromkeys(_FEEDS, of_feed), _BINDING: _count_of_binding}
    methods = {
        name: instrumented(monitor, getattr(session, name), counted, None, [])
        for name, counted in counts.items()
        if callable(getattr(session, name, None))
    }
    if callable(getattr(session, _LATER, None)):
        methods[_LATER] = _later(monitor, getattr(session, _LATER), of_feed)
    return MonitoredObject(session, methods)


def _count_of_feed(count: Count) -> Count:
    """Leave out the first argument of `run`, the names of outputs."""
    return lambda args, kwargs, result: count(
        args[1:], {k: v for k, v in kwargs.items() if k != "output_names"}, result
    )


def _count_of_binding(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> Served:
    binding = args[0] if args else kwargs["iobinding"]
    outputs = binding.get_outputs()
    items = items_of(outputs[0]) if outputs else None
    return Served(1 if items is None else items)


def _later(monitor: Recorder, call: Callable[..., Any], count: Count) -> Callable[..., Any]:
    @functools.wraps(call)
    def run_async(*args: Any, **kwargs: Any) -> Any:
        request = MonitoredRequest(monitor, 1, 0)
        given = list(args)
        callback = given[_CALLBACK] if len(given) > _CALLBACK else kwargs.get("callback")
        try:
            served = count(args[:_CALLBACK], kwargs, None)
            request.items, request.prompt_tokens = served.items, served.prompt_tokens
        except Exception as failure:
            monitor.failed("the size of a call", failure)

        def ended(results: Any, user_data: Any, error: str) -> Any:
            if error:
                request.fail()
            request.end()
            return callback(results, user_data, error) if callable(callback) else None

        if len(given) > _CALLBACK:
            given[_CALLBACK] = ended
        else:
            kwargs["callback"] = ended
        request.begin()
        try:
            return call(*given, **kwargs)
        except BaseException as error:
            request.end(error)
            raise

    return run_async
