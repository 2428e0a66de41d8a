"""Real tensors that a model made itself, on the device of its inputs.

Plain attributes, windows of spectra and masks of blocks are real in a capture, so that they have values, while inputs
and weights are on meta. The recorder runs operators on both. Functions that compare devices, and gradients that keep a
real operand, need them on one device, as in a real run.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

from ..tensors.tensor_parts import PLAIN

if TYPE_CHECKING:
    from .lifetimes import HandedOut

_COMPARES_DEVICES = "flex_attention"  # the devices of its operands and its mask, in Python
_DEVICE_OF = torch.Tensor.device.__get__


class OneDevice(TorchFunctionMode):
    """Replaces real tensors by meta tensors in calls of torch with a meta tensor.

    Args:
        handed: Tensors of the model, in which the meta tensors stand for the real ones.
    """

    def __init__(self, handed: HandedOut) -> None:
        super().__init__()
        self._handed = handed

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        if func == _DEVICE_OF and sys._getframe(1).f_code.co_name == _COMPARES_DEVICES and _is_real(args[0]):
            return torch.device("meta")
        mixed = any(isinstance(value, torch.Tensor) and value.is_meta for value in tree_leaves((args, kwargs)))

        def on_meta(tensor: torch.Tensor) -> torch.Tensor:
            # Always the same one: an activation may have been written to it.
            replaced = _is_real(tensor) and (mixed or self._handed.is_on_meta(tensor))
            return self._handed.on_meta(tensor) if replaced else tensor

        args, kwargs = tree_map_only(torch.Tensor, on_meta, (args, kwargs))
        return func(*args, **kwargs)


def _is_real(value: Any) -> bool:
    """Return whether a value is real, without a history of autograd, and more than a number: operators take those."""
    return (
        type(value) in PLAIN
        and value.device.type == "cpu"
        and not value.is_mkldnn
        and value.dim() > 0
        and not value.is_quantized
        and (value.is_leaf or not value.requires_grad)
    )
