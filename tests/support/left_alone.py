"""Snapshots of a module and of torch, to detect changes by a capture."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as torch_module

GLOBAL_HOOKS = [name for name in vars(torch_module) if name.startswith("_global_") and "hook" in name]


class Snapshot:
    """State of a module, its inputs, and torch that a capture could change.

    Args:
        module: The module, whose state is recorded now and compared by `differences`.
        inputs: Any value that holds tensors, including those in plain containers.
    """

    def __init__(self, module: nn.Module, inputs: Any = ()) -> None:
        self.module = module
        self.inputs = inputs
        self.tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        given = [leaf for leaf in torch.utils._pytree.tree_leaves(inputs) if isinstance(leaf, torch.Tensor)]
        self.tensors |= {f"input {i}": tensor for i, tensor in enumerate(given)}
        self.values = {name: tensor.clone() for name, tensor in self.tensors.items() if not tensor.is_meta}
        self.shared = self._compared()
        self.random = torch.get_rng_state()
        self.numpy_random = np.random.get_state()  # noqa: NPY002 - the global generator is what a model may draw from

    def _compared(self) -> dict[str, Any]:
        parts = list(self.module.named_modules())
        return {
            "keys of the state dict": list(self.module.state_dict()),
            "names of tensors": set(self.tensors),
            "versions": {
                name: None if tensor.is_inference() else tensor._version for name, tensor in self.tensors.items()
            },
            "shapes": {name: (tensor.shape, tensor.dtype) for name, tensor in self.tensors.items()},
            "requires_grad": {name: tensor.requires_grad for name, tensor in self.tensors.items()},
            "gradients": {name: id(tensor.grad) for name, tensor in self.tensors.items() if tensor.is_leaf},
            "attributes": {name: set(vars(part)) for name, part in parts},
            "training": {name: part.training for name, part in parts},
            "hooks": self._hooks(parts),
            "torch": self._torch(),
            "Python's random numbers": random.getstate(),
        }

    def _hooks(self, parts: list[tuple[str, nn.Module]]) -> dict[str, int]:
        own = {
            f"{path}.{name}": len(value)
            for path, part in parts
            for name, value in vars(part).items()
            if "hooks" in name and hasattr(value, "__len__")
        }
        return own | {
            name: len(getattr(torch_module, name))
            for name in GLOBAL_HOOKS
            if hasattr(getattr(torch_module, name), "__len__")
        }

    def _torch(self) -> list[Any]:
        return [
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.backends.mha.get_fastpath_enabled(),
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.nn.functional.linear,
            torch.nn.functional.scaled_dot_product_attention,
            torch.Tensor.__torch_function__,
            torch.autocast.__init__,
            nn.Module.__call__,
            torch._C._len_torch_dispatch_stack(),
        ]

    def differences(self) -> list[str]:
        """Return descriptions of all changes; empty if nothing changed."""
        return list(self._differences(Snapshot(self.module, self.inputs)))

    def _differences(self, now: Snapshot) -> Iterator[str]:
        for name, tensor in self.tensors.items():
            if now.tensors.get(name) is not tensor:
                yield f"{name} is another object"
            elif name in self.values and not _equal(tensor, self.values[name]):
                yield f"{name} has other values"
        for what, before in self.shared.items():
            after = now.shared[what]
            if after == before:
                continue
            if isinstance(before, dict):
                changed = [
                    f"{key}: {before.get(key)} -> {after.get(key)}"
                    for key in before | after
                    if before.get(key) != after.get(key)
                ]
                yield f"{what} changed: {'; '.join(changed[:3])}"
            else:
                yield f"{what} changed"
        if not torch.equal(now.random, self.random):
            yield "torch's random numbers moved on"
        if any(not np.array_equal(a, b) for a, b in zip(now.numpy_random, self.numpy_random, strict=True)):
            yield "numpy's random numbers moved on"


def _equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    if torch.equal(left, right):
        return True
    return left.is_floating_point() and torch.allclose(left, right, rtol=0, atol=0, equal_nan=True)
