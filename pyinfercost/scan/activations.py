"""Zeros in the results of activation functions, on the user's own inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from ..errors import InputTypeError
from ..results.sparsity import ActivationRow, ActivationSparsity
from . import SparsityError

# Operators of activation functions in torch; in-place forms end in an underscore.
_ACTIVATIONS = frozenset(
    {
        "relu", "leaky_relu", "rrelu_with_noise", "prelu", "_prelu_kernel", "threshold", "hardtanh", "clamp_min", "elu",
        "celu", "selu", "gelu", "silu", "mish", "hardswish", "hardsigmoid", "sigmoid", "tanh", "softplus", "softshrink",
        "hardshrink", "log_sigmoid_forward", "glu", "_softmax", "_safe_softmax",
    }
)  # fmt: skip


def measure_activations(model: Any, args: Any, kwargs: Mapping[str, Any] | None) -> ActivationSparsity:
    """See `pyinfercost.activation_sparsity`."""
    if not isinstance(model, torch.nn.Module):
        raise InputTypeError(f"model is of type {type(model).__name__}; expected an nn.Module with weights")
    given = tuple(args) if isinstance(args, tuple | list) else (args,)
    held = [*model.parameters(), *model.buffers(), *torch.utils._pytree.tree_leaves((given, kwargs))]
    if any(isinstance(tensor, torch.Tensor) and tensor.is_meta for tensor in held):
        raise SparsityError("the model or an input is on the meta device and has no values; pass real tensors")
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    followed = _Followed(model)
    counter = _Counter(followed)
    devices = {tensor.device for tensor in held if isinstance(tensor, torch.Tensor) and tensor.is_cuda}
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=sorted(devices, key=str)))
        stack.enter_context(torch.no_grad())
        stack.enter_context(followed.hooks())
        stack.enter_context(counter)
        # Norms in training mode update their buffers; these are copies.
        torch.func.functional_call(model, buffers, given, dict(kwargs or {}))
    return ActivationSparsity(model=type(model).__name__, rows=tuple(counter.rows()))


class _Followed:
    """Tracks the running module through hooks."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._paths: dict[torch.nn.Module, str] = {}
        for path, part in model.named_modules():
            self._paths[part] = path
        self._running: list[str] = []

    @property
    def path(self) -> str:
        """Path of the innermost running module."""
        return self._running[-1] if self._running else ""

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Install hooks on all modules; the hooks change nothing."""

        def enter(module: torch.nn.Module, _args: Any) -> None:
            if module in self._paths:
                self._running.append(self._paths[module])

        def leave(module: torch.nn.Module, _args: Any, _result: Any) -> None:
            if module in self._paths and self._running:
                self._running.pop()

        handles = [register_module_forward_pre_hook(enter)]
        try:
            handles.append(register_module_forward_hook(leave, always_call=True))
            yield
        finally:
            for handle in handles:
                handle.remove()


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves the class hook untyped
    """Counts zeros in the results of activation operators."""

    def __init__(self, followed: _Followed) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._followed = followed
        self._counts: dict[tuple[str, str], list[int]] = {}

    def rows(self) -> Iterator[ActivationRow]:
        """Yield the counts in the order of first calls."""
        for (module, op), (calls, elements, zeros) in self._counts.items():
            yield ActivationRow(module=module, op=op, calls=calls, elements=elements, zeros=zeros)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.partition("::")[2].removesuffix("_")
        if name in _ACTIVATIONS:
            tensor = result[0] if isinstance(result, tuple) else result
            counts = self._counts.setdefault((self._followed.path, name), [0, 0, 0])
            counts[0] += 1
            counts[1] += tensor.numel()
            counts[2] += tensor.numel() - int(torch.count_nonzero(tensor))
        return result
