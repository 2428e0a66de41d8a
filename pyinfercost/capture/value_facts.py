"""What is known of a tensor's values without having them: limits that follow from the calls that made it.

A capture has shapes and no values. Yet the indices of `topk` lie below the length that was searched, a one-hot row sums
to 1, and so does a row of a softmax. From such facts follow bounds of the sizes that depend on values, and what they are
on average where choices fall evenly: `where(expert == 3)` finds one in eight of the choices among eight experts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .calls import Call

Size: TypeAlias = "int | torch.SymInt"

_DEEPEST = 200  # calls between a tensor and what is known of it


@dataclass(frozen=True)
class Facts:
    """Limits of a tensor's values; None where nothing is known.

    Attributes:
        low: The least value.
        high: The greatest value.
        distinct: At most this many different values.
        total: At most the sum over the tensor, whose values are zero or more.
        exact: Whether the sum is `total`.
        mean: The value of one element on average where choices fall evenly, as numerator and denominator.
    """

    low: Any = None
    high: Any = None
    distinct: Any = None
    total: Any = None
    exact: bool = False
    mean: tuple[Any, Any] | None = None


NOTHING = Facts()


class FactFinder:
    """Facts of recorded tensors.

    Args:
        calls: The recorded calls, to which more are appended while the forward runs.
    """

    def __init__(self, calls: list[Call]) -> None:
        self._calls = calls
        self._read = 0
        self._producers: dict[int, Call] = {}
        self._writes: dict[int, int] = {}  # id of a tensor -> how often it was written to, itself or through a view
        self._known: dict[int, Facts] = {}
        self._depth = 0

    def of(self, value: Any) -> Facts:
        """The facts of a tensor; a number has its own value as limits."""
        if not isinstance(value, torch.Tensor):
            number = isinstance(value, (int, float, torch.SymInt))
            return Facts(low=value, high=value, distinct=1) if number else NOTHING
        self._read_on()
        known = self._known.get(id(value))
        if known is None:
            known = self._derive(value)
            if self._depth == 0:  # below, what lies deeper may have been cut off
                self._known[id(value)] = known
        return known

    def producer(self, tensor: torch.Tensor) -> Call | None:
        """The call that computed a tensor; None where no call did, or where it was written to since."""
        return None if self.version(tensor)[1] else self._producers.get(id(tensor))

    def version(self, tensor: torch.Tensor) -> tuple[int, int]:
        """The tensor that this one shows and how often it was written to."""
        self._read_on()
        root = id(self._root(tensor))
        return root, self._writes.get(root, 0)

    def _root(self, tensor: torch.Tensor) -> torch.Tensor:
        while (call := self._producers.get(id(tensor))) is not None and is_view(call):
            tensor = call.args[0]
        return tensor

    def _read_on(self) -> None:
        for call in self._calls[self._read :]:
            operands = parts(call.args)
            if call.op._schema.is_mutable:
                for written in operands[:1]:
                    root = id(self._root(written))
                    self._writes[root] = self._writes.get(root, 0) + 1
                self._known.clear()
                continue
            for part in parts(call.result):
                if not any(part is operand for operand in operands):
                    self._producers[id(part)] = call
        self._read = len(self._calls)

    def _derive(self, tensor: torch.Tensor) -> Facts:
        from .value_rules import RULES

        facts = NOTHING
        call = self.producer(tensor)
        if tensor.device.type != "meta":
            facts = _of_values(tensor)
        elif call is not None and self._depth < _DEEPEST:
            rule = RULES.get(op_name(call))
            if rule is not None:
                self._depth += 1
                try:
                    facts = rule(self, call, tensor)
                finally:
                    self._depth -= 1
        if tensor.dtype == torch.bool:
            facts = replace(facts, low=0, high=1, distinct=2)
        return facts


def op_name(call: Call) -> str:
    """`aten.add` of `aten.add.Tensor`."""
    return ".".join(str(call.op).split(".")[:2])


def parts(value: Any) -> list[torch.Tensor]:
    """The tensors of a nested value, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for item in value for t in parts(item)] if isinstance(value, list | tuple) else []


def is_view(call: Call) -> bool:
    """Whether a call's results show memory of its first operand."""
    returns: Sequence[Any] = call.op._schema.returns
    return bool(returns) and returns[0].alias_info is not None and bool(call.args)


def least(left: Any, right: Any) -> Any:
    """The smaller of two limits, without deciding which one it is where they are symbolic; None is no limit."""
    if left is None or right is None:
        return right if left is None else left
    if isinstance(left, torch.SymInt) or isinstance(right, torch.SymInt):
        return torch.sym_min(left, right)
    return min(left, right)


def greatest(left: Any, right: Any) -> Any:
    """As `least`, the larger one."""
    if left is None or right is None:
        return right if left is None else left
    if isinstance(left, torch.SymInt) or isinstance(right, torch.SymInt):
        return torch.sym_max(left, right)
    return max(left, right)


def _of_values(tensor: torch.Tensor) -> Facts:
    if tensor.numel() == 0 or tensor.is_complex():
        return NOTHING
    low, high = tensor.min().item(), tensor.max().item()
    total = tensor.sum().item() if low >= 0 else None
    return Facts(low=low, high=high, distinct=tensor.unique().numel(), total=total, exact=total is not None)
