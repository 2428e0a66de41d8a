"""A model with real weights and inputs, and one forward of it in a way of running."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..hardware.dtypes import CORE_DTYPES
from ..sources.loaded_model import LoadedModel, building_on
from ..sources.models import load_model

Forward = Callable[[], Any]

_DTYPES: dict[str, torch.dtype] = {short: getattr(torch, CORE_DTYPES[short]) for short in ("fp32", "bf16", "fp16")}
PRECISIONS = ("native", *_DTYPES)


def real_model(spec: str, sizes: Mapping[str, int], device: str = "cpu") -> LoadedModel:
    """The module that a spec names with weights as its constructor draws them, and inputs with values.

    Args:
        spec: as for `load_model`.
        sizes: as for `load_model`.
        device: where to run, as torch spells it.

    Raises:
        SpecError, ImportError: as for `load_model`.
    """
    with building_on("cpu"):
        loaded = load_model(spec, sizes)
    return real_inputs(loaded, device)


def real_inputs(loaded: LoadedModel, device: str) -> LoadedModel:
    """The same with everything on a device, and with values where it was on meta."""

    def real(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.device.type != "meta":
            return tensor.to(device)
        if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
            return torch.randn(tensor.shape, dtype=tensor.dtype, device=device)
        return torch.ones(tensor.shape, dtype=tensor.dtype, device=device)  # a token of every vocabulary, a mask

    module = _materialised(loaded.module, device)
    args, kwargs = torch.utils._pytree.tree_map_only(torch.Tensor, real, (loaded.args, loaded.kwargs))
    return LoadedModel(module, args, kwargs, loaded.dynamic)


def _materialised(module: torch.nn.Module, device: str) -> torch.nn.Module:
    """Gives values to what is on meta: a module of the caller's own may be there."""
    held = [*module.parameters(), *module.buffers()]
    if not any(tensor.device.type == "meta" for tensor in held):
        return module.to(device)
    module = module.to_empty(device=device)
    for tensor in (*module.parameters(), *module.buffers()):
        with torch.no_grad():
            if tensor.is_floating_point():
                tensor.normal_(0.0, 0.02).abs_()  # a variance must not be negative
            else:
                tensor.zero_()  # an index must lie in its table
    return module


def forward_of(loaded: LoadedModel, *, execution: str = "eager", precision: str = "native") -> Forward:
    """One forward, as inference runs it.

    Args:
        loaded: with real weights and inputs; cast in place where a precision is given.
        execution: `"eager"`, `"compiled"` (`torch.compile`), or `"replayed"`, which is compiled into CUDA graphs.
        precision: one of `PRECISIONS`.

    Raises:
        ValueError: for another execution or precision.
    """
    module, args, kwargs, _ = loaded
    if precision != "native":
        if precision not in _DTYPES:
            raise ValueError(f"precision is {precision!r}; what can be run here is {', '.join(PRECISIONS)}")
        dtype = _DTYPES[precision]
        module = module.to(dtype)
        args, kwargs = torch.utils._pytree.tree_map_only(
            torch.Tensor, lambda t: t.to(dtype) if t.is_floating_point() else t, (args, kwargs)
        )
    called: Any = module
    if execution in ("compiled", "replayed"):
        called = torch.compile(module, mode="reduce-overhead" if execution == "replayed" else None)
    elif execution != "eager":
        raise ValueError(f"execution is {execution!r}; expected eager, compiled or replayed")

    def forward() -> Any:
        with torch.inference_mode():
            return called(*args, **kwargs)

    return forward


def waiting_for(device: str) -> Callable[[], object] | None:
    """What returns when a device has finished its work; None where calls do that themselves."""
    return torch.cuda.synchronize if device.startswith("cuda") else None
