"""Memory formats: models and inputs whose images have their channels innermost, as after `to(memory_format=...)`."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from .inputs import Inputs, parse_inputs

if TYPE_CHECKING:
    import torch

    from .loaded_model import LoadedModel

CHANNELS_LAST = "channels_last"
"""The memory format of convolutions on matrix units: [batch, channels, height, width] with channels innermost."""

_MARK = f"#{CHANNELS_LAST}"
_IMAGE, _VOLUME = 4, 5  # dimensions of a batch


def split_format(spec: str) -> tuple[str, bool]:
    """Return a spec without the mark of a memory format, and whether it had one: `torchvision:resnet50#channels_last`.

    Args:
        spec: A model spec.
    """
    return spec.removesuffix(_MARK), spec.endswith(_MARK)


def marked(spec: str, memory_format: str) -> str:
    """Return the spec of a model in a memory format.

    Args:
        spec: Its spec.
        memory_format: `CHANNELS_LAST`, or an empty text for the model's own.
    """
    return f"{spec}#{memory_format}" if memory_format else spec


def in_channels_last(model: torch.nn.Module, inputs: Any) -> tuple[torch.nn.Module, Inputs]:
    """Return a copy of a model with its weights of images in channels_last, and inputs in the same format.

    Args:
        model: The model, which is not changed.
        inputs: Inputs of a forward, as in `capture`.

    Returns:
        The copy, and the inputs.
    """
    given = parse_inputs(inputs)
    return _converted(copy.deepcopy(model)), _laid_out(given)


def loaded_in_channels_last(loaded: LoadedModel) -> LoadedModel:
    """Return a model of a spec in channels_last; its module is changed."""
    inputs = _laid_out(loaded.inputs)
    return loaded._replace(module=_converted(loaded.module), args=inputs.args, kwargs=dict(inputs.kwargs))


def _converted(module: torch.nn.Module) -> torch.nn.Module:
    # torch's own `Module.to(memory_format=torch.channels_last)` refuses weights with five dimensions.
    for tensor in (*module.parameters(), *module.buffers()):
        if _is_dense(tensor):
            tensor.data = _in_format(tensor.data)
    return module


def _laid_out(inputs: Inputs) -> Inputs:
    import torch

    def laid_out(value: Any) -> Any:
        return torch.utils._pytree.tree_map_only(
            torch.Tensor, lambda tensor: _in_format(tensor) if _is_dense(tensor) else tensor, value
        )

    return Inputs(
        tuple(laid_out(value) for value in inputs.args),
        # Keys and values of attention have four dimensions, too.
        {
            name: value if name.startswith("past_key_value") else laid_out(value)
            for name, value in inputs.kwargs.items()
        },
    )


def _is_dense(tensor: torch.Tensor) -> bool:
    import torch

    return tensor.layout is torch.strided and tensor.is_floating_point() and not tensor.is_quantized


def _in_format(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    formats = {_IMAGE: torch.channels_last, _VOLUME: torch.channels_last_3d}
    if tensor.dim() not in formats:
        return tensor
    return tensor.contiguous(memory_format=formats[tensor.dim()])
