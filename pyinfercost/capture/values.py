"""Values of tensors, where a forward asks for them: computed from the calls that led there, and only then.

A forward that asks `mask.all()` wants one truth value. It follows from what the caller passed in and from tensors that
the model made itself (`torch.ones`, `arange`), by calls that have been recorded. Those few calls are run again on the
CPU with real numbers. Weights are never involved: a value that depends on one is not known before the model runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from .calls import Call

# A mask of a batch of long sequences is this large; what is larger is not a question about a mask.
_LARGEST = 2**26


class UnknownValueError(ValueError):
    """The value depends on something that a capture does not have."""


class Values:
    """Values of recorded tensors.

    Args:
        given: id of a meta tensor -> the real tensor that the caller passed in its place.
    """

    def __init__(self, given: dict[int, torch.Tensor]) -> None:
        self._known = dict(given)
        self._producers: dict[int, Call] = {}  # id of a tensor -> the call that made its value
        self._read = 0  # calls that are in it

    def remember(self, tensor: torch.Tensor, real: torch.Tensor) -> None:
        """States the value of a meta tensor."""
        self._known[id(tensor)] = real

    def known(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """The value of a meta tensor if it was given or stated, without computing anything."""
        return self._known.get(id(tensor))

    def of(self, tensor: torch.Tensor, calls: Sequence[Call]) -> torch.Tensor:
        """The value of a tensor.

        Raises:
            UnknownValueError: It depends on a weight, on an input without values, or on chance.
        """
        if tensor.device.type != "meta":
            return tensor
        if id(tensor) not in self._known:
            self._read_on(calls)
            self._compute(tensor)
        return self._known[id(tensor)]

    def _read_on(self, calls: Sequence[Call]) -> None:
        for call in calls[self._read :]:
            # Not one that handed its operand on, as `to` may, and `detach_` of what `torch.tensor` has made.
            writes = call.op._schema.is_mutable and call.op is not torch.ops.aten.detach_.default
            handed_on = set() if writes else {id(t) for t in _operands(call)}
            self._producers |= {id(part): call for part in _tensors(call.result) if id(part) not in handed_on}
        self._read = len(calls)

    def _compute(self, tensor: torch.Tensor) -> None:
        # Depth first without recursion: a chain of calls may be long.
        waiting = [tensor]
        while waiting:
            current = waiting[-1]
            if id(current) in self._known:
                waiting.pop()
                continue
            call = self._producers.get(id(current))
            if call is None:
                raise UnknownValueError("it depends on a weight, or on an input that was given without values")
            missing = [t for t in _operands(call) if t.device.type == "meta" and id(t) not in self._known]
            if missing:
                if any(t is current for t in missing):
                    raise UnknownValueError(f"it depends on {call.op}, which works in place")
                waiting.extend(missing)
            else:
                self._run(call)

    def _run(self, call: Call) -> None:
        if call.op._schema.is_mutable or torch.Tag.nondeterministic_seeded in call.op.tags:
            raise UnknownValueError(f"it depends on {call.op}, which works in place or by chance")
        if any(part.numel() > _LARGEST for part in _tensors(call.result)):
            raise UnknownValueError(f"it depends on {call.op} with a result of more than {_LARGEST} elements")
        kwargs = {name: self._real(value) for name, value in call.kwargs.items()}
        result = call.op(*[self._real(value) for value in call.args], **kwargs)
        for meta, real in zip(_tensors(call.result), _tensors(result), strict=True):
            self._known[id(meta)] = real

    def _real(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value if value.device.type != "meta" else self._known[id(value)]
        if isinstance(value, list | tuple):
            return type(value)(self._real(v) for v in value)
        if isinstance(value, torch.device):
            return torch.device("cpu")
        if isinstance(value, torch.SymInt):
            raise UnknownValueError(f"it depends on the open size {value}")
        return value


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for item in value for t in _tensors(item)] if isinstance(value, list | tuple) else []


def _operands(call: Call) -> list[torch.Tensor]:
    return _tensors(call.args) + _tensors(tuple(call.kwargs.values()))
