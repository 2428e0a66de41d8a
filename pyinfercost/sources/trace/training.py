"""A training step: the forward, its loss, and the backward that autograd runs, recorded as it calls ATen.

Autograd works above a dispatch mode, so that the mode sees what backward calls too: only those gradients that weights
and inputs require. Which module a call of backward belongs to follows from the autograd node that makes it: nodes have
numbers in the order in which the forward made them, and the recorder notes at which number each module begins and ends.
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
from .fused_operators import fused_operators
from .recorder import Recorder

if TYPE_CHECKING:
    from types import FrameType

    from torch._ops import OpOverload
    from torch.utils._python_dispatch import TorchDispatchMode

Loss = Callable[[Any], Any]


def warn_of_evaluation(module: torch.nn.Module) -> None:
    """Says so where a training step is captured of a module that was not put in training mode."""
    if not module.training:
        warnings.warn(
            "the module is in evaluation mode: its dropout is off and its batch normalisations keep their statistics; "
            "call module.train() before capturing the usual training step",
            UserWarning,
            stacklevel=4,
        )


class TrainingStep(torch.nn.Module):
    """Runs a module, its loss and the backward of it as one forward, so that all of it sees the module's twins."""

    def __init__(self, module: torch.nn.Module, loss: Loss | None, recorder: TrainingRecorder) -> None:
        super().__init__()
        self.module = module
        self._loss = loss
        self._recorder = recorder

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with fused_operators():
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
            f"nothing that the module returned ({type(output).__name__}) has a gradient; expected a floating tensor "
            "that depends on a weight or an input that requires one, or a loss= that makes one"
        )
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _scalar(loss: Any) -> torch.Tensor:
    if not isinstance(loss, torch.Tensor):
        raise CaptureError(f"the loss is of type {type(loss).__name__}; expected a tensor with one element")
    if loss.numel() != 1:
        raise CaptureError(f"the loss has shape {tuple(loss.shape)}; expected one element, as loss.mean() has")
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
    """A recorder that knows which module each call of backward belongs to."""

    ends_by_exceptions: ClassVar[bool] = True

    owners: dict[int, str] = field(default_factory=dict)  # id of a weight -> the module that it is registered in
    # Sequence numbers at which another module began to run, and that module.
    _changes: list[int] = field(default_factory=lambda: [0])
    _running: list[str] = field(default_factory=lambda: [""])
    _numbers: list[int] = field(default_factory=list)  # for each call of forward: the one after its autograd node's
    _node: Any = None  # that calls now
    _depth: int = 0  # how many modules wait while backward runs: the training step itself
    _failure: tuple[BaseException | None, str] = (None, "")

    def enter(self, module: str | None) -> None:
        if self._in_backward():  # a checkpoint runs part of the forward again
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
        """Everything that is called from here on belongs to backward."""
        self.backward_from = len(self.calls)
        self._depth = len(self._callers)

    def record(self, mode: TorchDispatchMode, op: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if op is _DETACH and type(args[0]) is torch.Tensor and args[0].device.type == "meta":
            # How autograd notes what it saves and what it hands on: no call of a real step, which takes the tensor.
            return self.handed.out(self.handed.twin(args[0]))
        if self._in_backward():
            self._find_node()
        return Recorder.record(self, mode, op, args, kwargs)

    def _in_backward(self) -> bool:
        """Whether autograd calls, and not a module that runs again."""
        return self.backward_from is not None and len(self._callers) == self._depth

    def _find_node(self) -> None:
        """Notes the autograd node that calls, and its module."""
        node: Any = torch._C._current_autograd_node()
        self._node = node
        if node is None:
            self.module = ""
        elif node.name() == _ACCUMULATE:  # which copies a gradient to a weight that is laid out otherwise
            self.module = self.owners.get(id(node.variable), "")
        else:
            self.module = self._running[bisect_right(self._changes, node._sequence_nr()) - 1]

    def append(self, op: Any, args: Any, kwargs: Any, result: Any, frame: FrameType | None) -> None:
        if self.backward_from is None:
            self._numbers.append(_next_number())
        elif self._in_backward():
            self.calls.append(Call(op, args, kwargs, result, self.module, self._source(), len(self.handed.released)))
            return
        # The frame is that of __torch_dispatch__, since `record` here stands between it and the recorder's own.
        Recorder.append(self, op, args, kwargs, result, None if frame is None else frame.f_back)

    def _source(self) -> Any:
        """The line of the forward that made the current autograd node."""
        if self._node is None:
            return None
        call = bisect_right(self._numbers, self._node._sequence_nr())
        return self.calls[call].source if call < len(self._numbers) else None


_next_number = torch._C._autograd._get_sequence_nr
_ACCUMULATE = "torch::autograd::AccumulateGrad"
_DETACH = torch.ops.aten.detach.default
