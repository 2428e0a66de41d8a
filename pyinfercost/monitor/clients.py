"""Wrappers of clients of inference servers, such as Triton and KServe, which measure on the side of the caller."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from ..errors import InputTypeError
from .call_counts import Served, count_items
from .instrument import MonitoredObject, instrumented
from .requests import MonitoredRequest

if TYPE_CHECKING:
    from .call_counts import Count
    from .monitor import Monitor

_METHODS = ("infer", "predict", "generate")
_LATER = "async_infer"


def monitored_client(monitor: Monitor, client: Any, *, count: Count | None = None) -> Any:
    """Return a proxy of a client whose inferences are counted.

    Times are measured at the client: network, queue and service. Wrapped are `infer`, `predict` and `generate`, also as
    coroutines, and `async_infer` of Triton's clients, with `get_result()` (HTTP) or with a callback (gRPC).

    Args:
        monitor: Where requests are counted.
        client: Such as `tritonclient.http.InferenceServerClient`.
        count: Returns the items and tokens of a call; by default the first dimension of the first input, if it has
            several.

    Raises:
        InputTypeError: The client has none of these methods.
    """
    counted = count or count_inputs
    methods = {
        name: instrumented(monitor, getattr(client, name), counted, None, [])
        for name in _METHODS
        if callable(getattr(client, name, None))
    }
    if callable(getattr(client, _LATER, None)):
        methods[_LATER] = _later(monitor, getattr(client, _LATER), counted)
    if not methods:
        raise InputTypeError(
            f"client is a {type(client).__name__}; expected one with {', '.join((*_METHODS, _LATER))}, such as "
            "the client of tritonclient"
        )
    return MonitoredObject(client, methods)


def count_inputs(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> Served:
    """Count the items of an inference: the first dimension of the first of its `inputs`.

    Inputs are objects with `shape()` as of Triton, or mappings with `shape` as in the protocol of KServe.
    """
    for value in (kwargs.get("inputs"), *args, *kwargs.values()):
        inputs = value.get("inputs") if isinstance(value, Mapping) else value
        if not isinstance(inputs, (list, tuple)) or not inputs:
            continue
        first = inputs[0]
        shape = first.get("shape") if isinstance(first, Mapping) else getattr(first, "shape", None)
        shape = shape() if callable(shape) else shape
        if shape is not None:
            return Served(int(shape[0]) if len(shape) > 1 and prod(shape) else 1)
    return count_items((), {name: value for name, value in kwargs.items() if name == "instances"}, result)


def _later(monitor: Monitor, call: Any, count: Count) -> Any:
    """Wrap a method that returns at once: the request ends with its callback, or when its result is asked for."""

    @functools.wraps(call)
    def async_infer(*args: Any, **kwargs: Any) -> Any:
        request = MonitoredRequest(monitor, 1, 0)
        try:
            request.items = count(args, kwargs, None).items
        except Exception as failure:
            monitor.failed("the size of a call", failure)
        callback = kwargs.get("callback")
        if callable(callback):

            def ended(*given: Any, **named: Any) -> Any:
                error = named.get("error", given[1] if len(given) > 1 else None)
                if error is not None:
                    request.fail()
                request.end()
                return callback(*given, **named)

            kwargs["callback"] = ended
        request.begin()
        try:
            handle = call(*args, **kwargs)
        except BaseException as error:
            request.end(error)
            raise
        if callable(callback):
            return handle

        def get_result(*given: Any, **named: Any) -> Any:
            try:
                result = handle.get_result(*given, **named)
            except BaseException as error:
                request.end(error)
                raise
            request.end()
            return result

        return MonitoredObject(handle, {"get_result": get_result})

    return async_infer
