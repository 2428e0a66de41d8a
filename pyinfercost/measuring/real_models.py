"""Models with real weights and inputs, and functions that run one forward."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..errors import InputError
from ..hardware.dtypes import CORE_DTYPES
from ..sources.loaded_model import LoadedModel, building_on
from ..sources.models import load_model, require_unquantized
from ..sources.spec_names import resolved

Forward = Callable[[], Any]

_DTYPES: dict[str, torch.dtype] = {short: getattr(torch, CORE_DTYPES[short]) for short in ("fp32", "bf16", "fp16")}
PRECISIONS = ("native", *_DTYPES)
_MODES: dict[str, str | None] = {"compiled": None, "reduce-overhead": "reduce-overhead"}
"""Execution -> mode of `torch.compile`."""
_BEFORE_RECORDING = 3
"""Forwards before a CUDA graph is recorded, the number of torch's own examples."""


def real_model(spec: str, sizes: Mapping[str, int], device: str = "cpu") -> LoadedModel:
    """Build the module of a spec with the random weights of its constructor, and inputs with values.

    Args:
        spec: As for `load_model`.
        sizes: As for `load_model`.
        device: Device to run on, in torch's notation.

    Returns:
        The module and its inputs.

    Raises:
        SpecError, ImportError: As for `load_model`.
    """
    with building_on("cpu"):
        loaded = load_model(resolved(spec), sizes)
    require_unquantized(spec, loaded, "a measurement")
    return real_inputs(loaded, device)


def real_inputs(loaded: LoadedModel, device: str) -> LoadedModel:
    """Move a model and its inputs to a device; tensors on the meta device get values."""

    def real(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.device.type != "meta":
            return tensor.to(device)
        if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
            return torch.randn(tensor.shape, dtype=tensor.dtype, device=device)
        return torch.ones(tensor.shape, dtype=tensor.dtype, device=device)  # valid as a token id and as a mask

    module = _materialized(loaded.module, device)
    args, kwargs = torch.utils._pytree.tree_map_only(torch.Tensor, real, (loaded.args, loaded.kwargs))
    return LoadedModel(module, args, kwargs, loaded.dynamic)


def _materialized(module: torch.nn.Module, device: str) -> torch.nn.Module:
    """Give values to tensors on the meta device; a user's module may have some."""
    held = [*module.parameters(), *module.buffers()]
    if not any(tensor.device.type == "meta" for tensor in held):
        return module.to(device)
    module = module.to_empty(device=device)
    for tensor in (*module.parameters(), *module.buffers()):
        with torch.no_grad():
            if tensor.is_floating_point():
                tensor.normal_(0.0, 0.02).abs_()  # a variance must be positive
            else:
                tensor.zero_()  # a valid index of any table
    return module


def forward_of(loaded: LoadedModel, *, execution: str = "eager", precision: str = "native") -> Forward:
    """Return a function that runs one forward in inference mode.

    Args:
        loaded: A model with real weights and inputs; cast in place if a precision is given.
        execution: `"eager"`, `"compiled"` (`torch.compile`), `"cuda_graph"` (the eager kernels, replayed on a CUDA
            device) or `"reduce-overhead"` (this mode of `torch.compile`).
        precision: One of `PRECISIONS`.

    Returns:
        The function.

    Raises:
        ValueError: The execution or the precision is not supported.
    """
    module, args, kwargs, *_ = loaded
    if precision != "native":
        if precision not in _DTYPES:
            raise InputError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
        dtype = _DTYPES[precision]
        module = module.to(dtype)
        args, kwargs = torch.utils._pytree.tree_map_only(
            torch.Tensor, lambda t: t.to(dtype) if t.is_floating_point() else t, (args, kwargs)
        )
    if execution == "cuda_graph":
        return _recorded(module, args, kwargs)
    called: Any = module
    if execution in _MODES:
        called = torch.compile(module, mode=_MODES[execution])
    elif execution != "eager":
        raise InputError(f"execution is {execution!r}; expected 'eager', 'cuda_graph' or one of {', '.join(_MODES)}")

    def forward() -> Any:
        with torch.inference_mode():
            return called(*args, **kwargs)

    return forward


def _recorded(module: torch.nn.Module, args: Any, kwargs: Any) -> Forward:
    """Record an eager forward as a CUDA graph, and return a function that replays it.

    Raises:
        InputError: The inputs are not on a CUDA device.
    """
    tensors = [leaf for leaf in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    if not any(tensor.is_cuda for tensor in tensors):
        raise InputError("execution is 'cuda_graph', which records CUDA kernels; pass device='cuda', or 'compiled'")
    with torch.inference_mode():
        # A few forwards on a side stream come first, as libraries set themselves up in their first calls.
        side: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_BEFORE_RECORDING):
                module(*args, **kwargs)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = module(*args, **kwargs)

    def forward() -> Any:
        graph.replay()
        return results

    return forward


def waiting_for(device: str) -> Callable[[], object] | None:
    """Return a function that waits for a device; None if calls are synchronous."""
    return torch.cuda.synchronize if device.startswith("cuda") else None
