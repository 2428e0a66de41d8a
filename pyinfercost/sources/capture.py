"""Capture of a model as a Graph. Modules that import torch are loaded only for models that need it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from pyinfercost._core import Graph, GraphRewriter

from .. import _cache
from .._checks import shown
from ..errors import InputTypeError
from .data_names import is_data_name
from .inputs import parse_inputs

if TYPE_CHECKING:
    import onnx
    import torch

    Capturable = torch.nn.Module | torch.export.ExportedProgram | onnx.ModelProto | Graph | str | os.PathLike[str]


def is_program(model: Any) -> bool:
    """Return whether a model is a `torch.export` program."""
    return type(model).__name__ == "ExportedProgram"


def is_onnx_model(model: object) -> bool:
    """Return whether a model is an `onnx.ModelProto`."""
    return type(model).__name__ == "ModelProto" and type(model).__module__.partition(".")[0] == "onnx"


def capture(
    model: Capturable,
    inputs: Any = (),
    *,
    dynamic: Mapping[int | str, Mapping[int, str]] | None = None,
    training: bool = False,
    loss: Callable[[Any], torch.Tensor] | None = None,
    roles: Mapping[str, str] | None = None,
    sizes: Mapping[str, int] | None = None,
    cache: bool | str | os.PathLike[str] = True,
    **named_sizes: int,
) -> Graph:
    """Capture one forward pass, or with `training` one training step without its optimizer.

    The weights of a Hugging Face spec are stored as its checkpoint stores them: `quantization_config` of its config and
    safetensors files in its folder decide their formats and the kernels that read them.

    Args:
        model: A module, which is run once on meta tensors; a `torch.export` program, which is converted; the path of a
            `.pt2` file, which is read without torch; the path of a `.onnx` file, or an `onnx.ModelProto`; the path of a
            graph's `.json`; or a spec such as `torchvision:resnet50` or `hf:config.json#decode`. A Graph is returned
            unchanged.
        inputs: Inputs of a module: a tuple of positional inputs, a lone input, a mapping of keyword inputs, or an
            `Inputs` with both kinds. Only shapes and dtypes matter.
        dynamic: Position or name of an input -> dimension -> name, for sizes that stay symbolic: `{0: {0: "batch"}}`.
            For programs and files, it names the sizes that were exported as dynamic. Sizes named `batch`, `sequence`
            (or `seq`) or `context` have the role of that name.
        training: Whether to append the loss and autograd's backward pass to the forward, with gradients only for
            weights and inputs that require them. A module runs in its current mode, and the module of a spec in
            training mode.
        loss: For a training step: maps the module's result to a scalar. None takes its `loss` if it has one (models of
            `transformers` with `labels`), else the sum of its floating-point tensors.
        roles: Name of a size -> role, for sizes with other names: `{"n": "batch"}`. Roles are `batch` (at most one
            size), `sequence`, `context`, `channel` and `other`. Throughput and cost per item refer to the size with
            role `batch`.
        sizes: For a spec: the sizes of its inputs, such as `{"batch": 8}`. For a spec or a module: values of sizes that
            depend on data (`{"roi_heads.nms": 100}`), at which the forward is captured.
        cache: For a spec: whether its graph may come from the cache and is kept there, or the folder of another cache.
            A spec of a library that this program has imported itself is always captured, since the program may have
            changed the library.
        **named_sizes: The same by keyword.

    Returns:
        The graph, with named sizes for the dimensions in `dynamic`.

    Raises:
        ValueError: The model cannot be captured; the message states what was given and what is expected.
        TypeError: The model has an unsupported type, or arguments do not apply to it.

    Examples:
        >>> net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> graph = ic.capture(net, torch.empty(1, 784), dynamic={0: {0: "batch"}})
        >>> [node.op for node in graph.nodes], list(graph.sizes)
        (['aten.linear', 'aten.relu', 'aten.linear'], ['batch'])
    """
    with nullcontext() if cache is True else _cache.placed(None if cache is False else os.fspath(cache)):
        graph = _captured(model, inputs, dynamic, {**(sizes or {}), **named_sizes}, training=training, loss=loss)
    if not roles:
        return graph
    rewriter = GraphRewriter(graph)
    for name, role in roles.items():
        rewriter.set_role(name, role)
    return rewriter.build()


def _captured(
    model: Capturable, inputs: Any, dynamic: Any, sizes: Mapping[str, int], *, training: bool, loss: Any
) -> Graph:
    args, kwargs = parse_inputs(inputs)
    if dynamic is not None and not (
        isinstance(dynamic, Mapping) and all(isinstance(dims, Mapping) for dims in dynamic.values())
    ):
        raise InputTypeError(
            f"dynamic is {shown(dynamic)}; expected input -> dimension -> name, such as {{0: {{0: 'batch'}}}}"
        )
    if loss is not None and not training:
        raise InputTypeError("loss is given without training=True; pass both, or leave loss out")
    if isinstance(model, Graph):
        if training and not any(model.node(i).phase == "backward" for i in range(len(model))):
            raise InputTypeError("training=True was given with a Graph of a forward; capture the module again")
        return model
    if isinstance(model, str | os.PathLike):
        return _from_spec(os.fspath(model), args, kwargs, dynamic, sizes, training=training, loss=loss)
    fixed = [name for name in sizes if not is_data_name(name)]
    if fixed:
        raise InputTypeError(f"sizes ({', '.join(fixed)}) apply to specs; the inputs of a module decide its sizes")
    torch = sys.modules.get("torch")  # a module implies that torch is imported
    if torch is not None and isinstance(model, torch.nn.Module):
        from .trace.trace import trace_graph

        # They split the batch over devices, and average gradients; the graph is of one device.
        module: Any = model
        while isinstance(module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel):
            module = module.module
        return trace_graph(module, args, kwargs, dynamic, sizes=sizes, training=training, loss=loss)
    if sizes:
        raise InputTypeError(f"sizes ({', '.join(sizes)}) do not apply to a captured program; pass them when counting")
    if is_onnx_model(model):
        if training:
            raise InputTypeError("training=True was given with an ONNX model of a forward; pass a module")
        from .onnx.model_files import graph_from_onnx

        return graph_from_onnx(model, dynamic=dynamic)
    if is_program(model):
        if training:
            raise InputTypeError("training=True was given with an exported program of a forward; pass a module")
        from .exported.export import graph_from_exported

        program: Any = model
        return graph_from_exported(program, dynamic=dynamic)
    if isinstance(model, type):
        raise InputTypeError(f"model is the class {model.__name__}; expected an object of it, {model.__name__}(...)")
    raise InputTypeError(
        f"model is of type {type(model).__name__}; expected an nn.Module, an ExportedProgram, an onnx.ModelProto, a "
        "Graph, a path to a .onnx, .gguf, .pt2 or .json file, or a spec such as 'torchvision:resnet50'"
    )


def _from_spec(
    spec: str, args: Any, kwargs: Any, dynamic: Any, sizes: Mapping[str, int], *, training: bool, loss: Any
) -> Graph:
    if args or kwargs:
        raise InputTypeError(f"inputs were given for {spec!r}, which has its own; pass inputs with a module")
    from .spec_graphs import load_graph, load_training_graph
    from .spec_names import resolved

    spec = resolved(spec)
    return load_training_graph(spec, sizes, loss) if training else load_graph(spec, sizes, dynamic)
