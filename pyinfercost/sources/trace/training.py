"""Capture of a training step: the forward, its loss, and the ATen calls of autograd's backward pass.

Autograd runs above a dispatch mode, so the mode also sees calls of the backward pass, for gradients that weights and
inputs require only. The module of a backward call follows from its autograd node: nodes are numbered in the order in
which the forward creates them, and the recorder stores the numbers at which each module begins and ends.
"""

from __future__ import annotations

import sys
import warnings
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ..symbols import CaptureError
from .calls import Call
from .recorder import Recorder

if TYPE_CHECKING:
    from types import FrameType

    from torch._ops import OpOverload
    from torch.utils._python_dispatch import TorchDispatchMode

Loss = Callable[[Any], Any]


def warn_of_evaluation(module: torch.nn.Module) -> None:
    """Warn about a training step of a module in evaluation mode."""
    if not module.training:
        warnings.warn(
            "the module is in evaluation mode: dropout is off and batch norms use their running statistics; call "
            "module.train() before capturing a usual training step",
            UserWarning,
            stacklevel=4,
        )


class TrainingStep(torch.nn.Module):
    """Runs a module, its loss and the backward pass as one forward, so that all of them see the module's twins."""

    def __init__(self, module: torch.nn.Module, loss: Loss | None, recorder: TrainingRecorder) -> None:
        super().__init__()
        self.module = module
        self._loss = loss
        self._recorder = recorder

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = self.module(*args, **kwargs)
        loss = _scalar((self._loss or _default_loss)(output))
        self._recorder.begin_backward()
        torch.autograd.backward(loss)
        return [output, loss]


def _default_loss(output: Any) -> torch.Tensor:
    given = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    if isinstance(given, torch.Tensor):
        return given
    parts = [t if t.dim() == 0 else t.sum() for t in _tensors(output) if t.is_floating_point() and t.requires_grad]
    if not parts:
        raise CaptureError(
            f"the module's result ({type(output).__name__}) has no tensor with a gradient; expected a floating-point "
            "tensor that depends on a weight or an input that requires one, or pass loss="
        )
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _scalar(loss: Any) -> torch.Tensor:
    if not isinstance(loss, torch.Tensor):
        raise CaptureError(f"the loss is of type {type(loss).__name__}; expected a tensor with one element")
    if loss.numel() != 1:
        raise CaptureError(f"the loss has shape {tuple(loss.shape)}; expected one element, as in loss.mean()")
    if not loss.requires_grad:
        raise CaptureError("the loss has no gradient; expected one that depends on a weight that requires a gradient")
    return loss


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [t for item in value for t in _tensors(item)] if isinstance(value, list | tuple) else []


# ---- recording -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class TrainingRecorder(Recorder):
    """A recorder that attributes calls of the backward pass to modules."""

    ends_by_exceptions: ClassVar[bool] = True

    owners: dict[int, str] = field(default_factory=dict)  # id of a weight -> module that registers it
    # Sequence numbers at which another module starts to run, and that module.
    _changes: list[int] = field(default_factory=lambda: [0])
    _running: list[str] = field(default_factory=lambda: [""])
    _numbers: list[int] = field(default_factory=list)  # per forward call: one past its autograd node's number
    _node: Any = None  # the current autograd node
    _depth: int = 0  # number of waiting modules while backward runs: the training step itself
    _failure: tuple[BaseException | None, str] = (None, "")

    def enter(self, module: str | None) -> None:
        if self._in_backward():  # a checkpoint recomputes a part of the forward
            self._find_node()
        Recorder.enter(self, module)
        self._note_change()

    def leave(self) -> None:
        error = sys.exc_info()[1]
        if error is not None and error is not self._failure[0]:
            self._failure = error, self.module
        Recorder.leave(self)
        self._note_change()

    def _note_change(self) -> None:
        self._changes.append(_next_number())
        self._running.append(self.module)

    def failed_in(self, error: BaseException) -> str:
        return self._failure[1] if error is self._failure[0] else self.module

    def begin_backward(self) -> None:
        """Attribute all further calls to the backward pass."""
        self.backward_from = len(self.calls)
        self._depth = len(self._callers)

    def record(self, mode: TorchDispatchMode, op: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if op is _DETACH and type(args[0]) is torch.Tensor and args[0].device.type == "meta":
            # Autograd's bookkeeping of saved tensors; a real step passes the tensor itself.
            return self.handed.again(args[0])
        if self._in_backward():
            self._find_node()
        node: Any = torch._C._current_autograd_node()
        if node is None or self.backward_from is not None:
            return Recorder.record(self, mode, op, args, kwargs)
        differentiating, self.module = self.module, self._module_of(node)  # the forward itself differentiates
        try:
            return Recorder.record(self, mode, op, args, kwargs)
        finally:
            self.module = differentiating

    def _in_backward(self) -> bool:
        """Return whether autograd is calling, not a recomputed module."""
        return self.backward_from is not None and len(self._callers) == self._depth

    def _find_node(self) -> None:
        """Find the current autograd node and its module."""
        node: Any = torch._C._current_autograd_node()
        self._node = node
        self.module = "" if node is None else self._module_of(node)

    def _module_of(self, node: Any) -> str:
        if node.name() == _ACCUMULATE:  # copies the gradient of a weight with another layout
            return self.owners.get(id(node.variable), "")
        return self._running[bisect_right(self._changes, node._sequence_nr()) - 1]

    def append(self, op: Any, args: Any, kwargs: Any, result: Any, frame: FrameType | None) -> None:
        if self.backward_from is None:
            self._numbers.append(_next_number())
        elif self._in_backward():
            self.calls.append(Call(op, args, kwargs, result, self.module, self._source(), len(self.handed.released)))
            return
        # The frame is __torch_dispatch__, because `record` here is between it and the recorder's own.
        Recorder.append(self, op, args, kwargs, result, None if frame is None else frame.f_back)

    def _source(self) -> Any:
        """Return the line of the forward that created the current autograd node."""
        if self._node is None:
            return None
        call = bisect_right(self._numbers, self._node._sequence_nr())
        return self.calls[call].source if call < len(self._numbers) else None


_next_number = torch._C._autograd._get_sequence_nr
_ACCUMULATE = "torch::autograd::AccumulateGrad"
_DETACH = torch.ops.aten.detach.default
