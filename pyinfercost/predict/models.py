"""Models of calls: a graph, a module, a file or a spec, resolved to a graph, its sizes and its engine."""

from __future__ import annotations

from operator import index
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from .. import _core
from ..deployment import Deployment, deployment_of
from ..errors import InputTypeError
from ..sources.captured import Captured, graph_at
from ..sources.data_names import is_data_name
from ..sources.inputs import parse_inputs
from ..sources.registry import engine_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def deployment_for(model: Any, on: Deployment | None, fields: Mapping[str, Any]) -> Deployment:
    """Return the deployment of a call; without an engine, the engine of a file's format, such as llama.cpp for GGUF."""
    if on is None and fields.get("engine") is None and isinstance(model, (str, PathLike)):
        fields = {**fields, "engine": engine_of(fspath(model))}
    return deployment_of(on, fields)


def captured_model(
    model: Any, inputs: Any, dynamic: Any, sizes: Mapping[str, Any], *, shared: Collection[str] = ()
) -> Captured:
    """Return the graph of a model with the sizes to analyze it at.

    Args:
        model: A Graph, or anything that `capture` accepts.
        inputs: Inputs of a module, as in `capture`.
        dynamic: Dimensions of the inputs that are named sizes, as in `capture`.
        sizes: Size name -> value.
        shared: Sizes of a spec that stay named, as in `graph_at`.

    Raises:
        InputTypeError: Inputs or `dynamic` are given with a captured graph, or inputs with a file or a spec.
        SizeError: The model does not have a size, or a value is out of range.
    """
    if isinstance(model, (str, PathLike)):
        refuse_own_inputs(model, inputs)
        return graph_at(fspath(model), sizes, dynamic, shared=shared)
    if isinstance(model, _core.Graph):
        refuse_inputs("a Graph", inputs, dynamic)
        return Captured(model, sizes, {}, model.model)
    from ..sources.capture import capture, is_program

    # The capture follows the path of the forward at the given sizes that depend on data.
    of_data: dict[str, Any] = {}
    if not is_program(model):
        of_data = {name: index(value) for name, value in sizes.items() if is_data_name(name)}
    graph = capture(model, inputs, dynamic=dynamic, sizes=of_data)
    return Captured(graph, {n: v for n, v in sizes.items() if n not in of_data}, {}, graph.model)


def refuse_own_inputs(model: Any, inputs: Any) -> None:
    """Raise an InputTypeError if inputs are given with a file or a spec."""
    if _given(inputs):
        raise InputTypeError(f"inputs were given for {model!r}, which brings its own; give them with a module")


def refuse_inputs(what: str, inputs: Any, dynamic: Any) -> None:
    """Raise an InputTypeError if inputs or `dynamic` are given with something that is captured already."""
    if _given(inputs) or dynamic is not None:
        raise InputTypeError(f"{what} is captured already: inputs and dynamic go with a model")


def _given(inputs: Any) -> bool:
    return not (isinstance(inputs, tuple) and not inputs) and any(parse_inputs(inputs))
