"""Zeros in what activation functions give, on a user's own inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from . import SparsityError
from .result import SCHEMA_VERSION

# Operators that torch runs for activation functions; in-place forms end in an underscore.
_ACTIVATIONS = frozenset(
    {
        "relu", "leaky_relu", "rrelu_with_noise", "prelu", "_prelu_kernel", "threshold", "hardtanh", "clamp_min", "elu",
        "celu", "selu", "gelu", "silu", "mish", "hardswish", "hardsigmoid", "sigmoid", "tanh", "softplus", "softshrink",
        "hardshrink", "log_sigmoid_forward", "glu", "_softmax", "_safe_softmax",
    }
)  # fmt: skip


@dataclass(frozen=True)
class ActivationRow:
    """One activation operator of one module, all its calls added up.

    Attributes:
        module: The path of the innermost module that called it; empty for the model itself.
        op: As torch's operators are called, without the trailing underscore of in-place ones.
        calls: How often it ran.
        elements: Of all its results.
        zeros: How many of these are zero.
    """

    module: str
    op: str
    calls: int
    elements: int
    zeros: int

    @property
    def zero_share(self) -> float:
        """The share of zeros; 0 where there are no elements."""
        return self.zeros / self.elements if self.elements else 0.0


@dataclass(frozen=True)
class ActivationSparsity:
    """The activations of one forward."""

    model: str
    rows: tuple[ActivationRow, ...]

    @property
    def elements(self) -> int:
        """Of all results."""
        return sum(row.elements for row in self.rows)

    @property
    def zeros(self) -> int:
        """How many of these are zero."""
        return sum(row.zeros for row in self.rows)

    @property
    def zero_share(self) -> float:
        """The share of zeros; 0 where there are no elements."""
        return self.zeros / self.elements if self.elements else 0.0

    def __repr__(self) -> str:
        return f"ActivationSparsity(model={self.model!r}, rows={len(self.rows)}, zero_share={self.zero_share:.4g})"

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = 100) -> str:
        """The table as plain text."""
        from ..report.sparsity import activation_view
        from ..report.table import as_text

        return as_text(activation_view(self), width=width)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        names = ("module", "op", "calls", "elements", "zeros", "zero_share")
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "totals": {name: getattr(self, name) for name in ("elements", "zeros", "zero_share")},
            "activations": [{name: getattr(row, name) for name in names} for row in self.rows],
        }

    def to_json(self, *, indent: int | None = 2) -> str:
        """`to_dict` as text."""
        from ..report.document import as_json

        return as_json(self.to_dict(), indent=indent)


def measure_activations(model: Any, args: Any, kwargs: Mapping[str, Any] | None) -> ActivationSparsity:
    """See `pyinfercost.sparsity.activation_sparsity`."""
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model is of type {type(model).__name__}; expected an nn.Module with weights, to run it")
    given = tuple(args) if isinstance(args, tuple | list) else (args,)
    held = [*model.parameters(), *model.buffers(), *torch.utils._pytree.tree_leaves((given, kwargs))]
    if any(isinstance(tensor, torch.Tensor) and tensor.is_meta for tensor in held):
        raise SparsityError("the model or an input is on the meta device and has no values; expected real ones")
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    followed = _Followed(model)
    counter = _Counter(followed)
    devices = {tensor.device for tensor in held if isinstance(tensor, torch.Tensor) and tensor.is_cuda}
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=sorted(devices, key=str)))
        stack.enter_context(torch.no_grad())
        stack.enter_context(followed.hooks())
        stack.enter_context(counter)
        # Norms in training mode write into their buffers: into copies.
        torch.func.functional_call(model, buffers, given, dict(kwargs or {}))
    return ActivationSparsity(type(model).__name__, tuple(counter.rows()))


class _Followed:
    """Which module runs, while its hooks are there."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._paths: dict[torch.nn.Module, str] = {}
        for path, part in model.named_modules():
            self._paths[part] = path
        self._running: list[str] = []

    @property
    def path(self) -> str:
        """Of the innermost one."""
        return self._running[-1] if self._running else ""

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Hooks of all modules: none of them changes itself."""

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
    """Counts the zeros of what activation operators return."""

    def __init__(self, followed: _Followed) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._followed = followed
        self._counts: dict[tuple[str, str], list[int]] = {}

    def rows(self) -> Iterator[ActivationRow]:
        """What was counted, in the order of the first calls."""
        for (module, op), counts in self._counts.items():
            yield ActivationRow(module, op, *counts)

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
