"""What is known of a tensor's values without having them: limits that follow from the calls that made it.

A capture has shapes and no values. Yet the indices of `topk` lie below the length that was searched, and a one-hot row
sums to 1, as a row of a softmax does. From such facts follow bounds of the sizes that depend on values, and what these
are on average where choices fall evenly: `where(expert == 3)` finds one in eight of the choices among eight experts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .calls import Call
    from .values import Values

Size: TypeAlias = "int | torch.SymInt"

_DEEPEST = 200  # calls between a tensor and what is known of it


@dataclass(frozen=True)
class Classes:
    """Classes that choices fall on, along a dimension of a tensor that says which.

    Attributes:
        dim: The dimension along which the classes lie.
        count: How many of them choices can fall on.
        first: The place of the first of these.
        choices: How many choices there are in all.
    """

    dim: int
    count: Any
    first: Any
    choices: Any

    def share(self, place: Any) -> Size:
        """What falls to the class at a place: shares are equal, and the first ones get what is left over."""
        rank = place - self.first if is_int(place) and is_int(self.first) else 0
        if is_int(self.count) and not 0 <= rank < self.count:
            return 0
        share: Size = (self.choices + self.count - 1 - rank) // self.count
        return share


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
        whole: Whether the values are whole numbers, whatever their dtype.
        classes: Where the tensor says which of several classes choices fell on.
        share: What the sum over the tensor is where choices fall evenly.
        hit: Of a mask of classes: the place of the first that is true; the others follow it, as shares have it.
        places: Of rows that say where a mask of one dimension is true, in order: the place of the first, and how much
            further each may lie.
    """

    low: Any = None
    high: Any = None
    distinct: Any = None
    total: Any = None
    exact: bool = False
    mean: tuple[Any, Any] | None = None
    whole: bool = False
    classes: Classes | None = None
    share: Any = None
    hit: int | None = None
    places: tuple[Any, Any] | None = None

    def of_elements(self) -> Facts:
        """What goes on holding for some of the elements, in any order."""
        return replace(self, exact=False, classes=None, share=None, hit=None, places=None)


NOTHING = Facts()


Rule: TypeAlias = "Callable[[FactFinder, Call, torch.Tensor], Facts]"
"""Facts of one result of a call."""


class FactFinder:
    """Facts of recorded tensors.

    Args:
        calls: The recorded calls, to which more are appended while the forward runs.
        values: The tensors whose values were given.
        rules: Rule by op name: facts of a result from the facts of its operands.
    """

    def __init__(self, calls: list[Call], values: Values, rules: Mapping[str, Rule]) -> None:
        self._values = values
        self._rules = rules
        self._calls = calls
        self._read = 0
        self._producers: dict[int, Call] = {}
        self._writes: dict[int, list[Any]] = {}  # id of a tensor -> what was written to it, itself or through a view
        self._known: dict[int, Facts] = {}
        self._keep: list[torch.Tensor] = []  # their ids are in use
        self._depth = 0
        self._cut = False  # whether what is being derived goes deeper than is looked
        self._deriving: set[int] = set()  # of these; a tensor may be written to with what was read from it

    def of(self, value: Any) -> Facts:
        """The facts of a tensor; a number has its own value as limits."""
        if not isinstance(value, torch.Tensor):
            number = isinstance(value, (int, float, torch.SymInt))
            return Facts(low=value, high=value, distinct=1) if number else NOTHING
        self._read_on()
        known = self._known.get(id(value))
        if known is None and id(value) in self._deriving:
            self._cut = True
            return NOTHING
        if known is None:
            self._deriving.add(id(value))
            try:
                known = self._derive(value)
            finally:
                self._deriving.discard(id(value))
            if not self._cut:
                self._known[id(value)] = known
                self._keep.append(value)
            self._cut = self._cut and self._depth > 0
        return known

    def producer(self, tensor: torch.Tensor) -> Call | None:
        """The call that computed a tensor; None where no call did, or where it was written to since."""
        return None if self.version(tensor)[1] else self._producers.get(id(tensor))

    def version(self, tensor: torch.Tensor) -> tuple[int, int]:
        """The tensor whose memory this one shows, and how often that was written to."""
        self._read_on()
        root = id(self._root(tensor))
        return root, len(self._writes.get(root, ()))

    def _root(self, tensor: torch.Tensor) -> torch.Tensor:
        while (call := self._producers.get(id(tensor))) is not None and is_view(call):
            tensor = call.args[0]
        return tensor

    def _read_on(self) -> None:
        for call in self._calls[self._read :]:
            operands = parts(call.args)
            if call.op._schema.is_mutable:
                if operands and op_name(call) not in _METADATA_ONLY:
                    root = id(self._root(operands[0]))
                    self._writes.setdefault(root, []).append(_written(call))
                    self._known.clear()
                continue
            for part in parts(call.result):
                if not any(part is operand for operand in operands):
                    self._producers[id(part)] = call
        self._read = len(self._calls)

    def _derive(self, tensor: torch.Tensor) -> Facts:
        facts = NOTHING
        call = self._producers.get(id(tensor))
        writes = self._writes.get(id(self._root(tensor)), [])
        real = tensor if tensor.device.type != "meta" else self._values.known(tensor)
        if real is not None:
            facts = _of_values(real)
        elif call is not None:
            rule = self._rules.get(op_name(call))
            self._cut = self._cut or self._depth >= _DEEPEST
            if rule is not None and not self._cut:
                self._depth += 1
                try:
                    facts = rule(self, call, tensor)
                finally:
                    self._depth -= 1
        if writes and real is None:
            # What was there, or any of what was written, wherever that was.
            for write in writes:
                new = _scaled_by(facts, write.factor) if isinstance(write, _Scaling) else self.of(write)
                facts = union([facts, new])
            facts = replace(facts.of_elements(), total=None)
        if tensor.dtype == torch.bool:
            # A truth made of numbers that are all above zero is true everywhere.
            true = isinstance(facts.low, (int, float)) and facts.low > 0
            facts = replace(facts, low=int(true), high=1, distinct=2 - true)
        return facts


@dataclass(frozen=True)
class _Scaling:
    """A write of what was there, times a number."""

    factor: float


def _scaled_by(facts: Facts, factor: float) -> Facts:
    if facts.low is None or facts.high is None:
        return NOTHING
    ends = (facts.low * factor, facts.high * factor)
    return Facts(low=least(*ends), high=greatest(*ends), distinct=facts.distinct)


def _written(call: Call) -> Any:
    """What an op in place writes over its operand; None where nothing is known of it."""
    if op_name(call) == "aten.mul_" and type(call.args[1]) in (int, float):
        return _Scaling(call.args[1])
    place = _SOURCES.get(op_name(call))
    if place is None or any(a is True or isinstance(a, str) for a in (*call.args, *call.kwargs.values())):
        return None  # accumulating, reducing
    if place == _NO_SOURCE:
        return 0
    return call.args[place] if place < len(call.args) else None


_NO_SOURCE = -1
_SOURCES = {
    "aten.copy_": 1,
    "aten.fill_": 1,
    "aten.zero_": _NO_SOURCE,
    "aten.index_put_": 2,
    "aten.masked_fill_": 2,
    "aten.scatter_": 3,
    "aten.index_fill_": 3,
    "aten.index_copy_": 3,
}
_METADATA_ONLY = frozenset(
    {"aten.detach_", "aten.requires_grad_", "aten.squeeze_", "aten.unsqueeze_", "aten.t_", "aten.transpose_"}
)


def is_int(value: Any) -> bool:
    """Whether a limit is a plain number."""
    return isinstance(value, int)


def union(facts: list[Facts]) -> Facts:
    """What holds for a value that may be any of several."""

    def all_of(name: str, combine: Callable[[Any, Any], Any]) -> Any:
        values = [getattr(f, name) for f in facts]
        return None if not values or any(v is None for v in values) else reduce(combine, values)

    return Facts(
        low=all_of("low", least),
        high=all_of("high", greatest),
        distinct=all_of("distinct", lambda a, b: a + b),
        total=all_of("total", lambda a, b: a + b),
        exact=bool(facts) and all(f.exact for f in facts),
        whole=bool(facts) and all(f.whole for f in facts),
    )


def op_name(call: Call) -> str:
    """`aten.add` of `aten.add.Tensor`."""
    return ".".join(str(call.op).split(".")[:2])


def argument(call: Call, name: str, default: Any = None) -> Any:
    """The value of an argument by its schema name."""
    for place, declared in enumerate(call.op._schema.arguments):
        if declared.name == name:
            return call.args[place] if place < len(call.args) else call.kwargs.get(name, default)
    return default


def parts(value: Any) -> list[torch.Tensor]:
    """The tensors of a nested value, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for item in value for t in parts(item)] if isinstance(value, list | tuple) else []


def is_view(call: Call) -> bool:
    """Whether a call's results show memory of its first operand."""
    returns: Sequence[Any] = call.op._schema.returns
    if not returns or returns[0].alias_info is None or not call.args:
        return False
    results = parts(call.result)  # of another dtype: `to` had to copy
    return not results or results[0].dtype == call.args[0].dtype


def least(left: Any, right: Any) -> Any:
    """The smaller of two limits, without deciding which one it is where they are symbolic; None is no limit."""
    if left is None or right is None:
        return right if left is None else left
    if isinstance(left, torch.SymInt) or isinstance(right, torch.SymInt):
        return torch.sym_min(left, right)  # type: ignore[no-untyped-call]
    return min(left, right)


def greatest(left: Any, right: Any) -> Any:
    """As `least`, the larger one."""
    if left is None or right is None:
        return right if left is None else left
    if isinstance(left, torch.SymInt) or isinstance(right, torch.SymInt):
        return torch.sym_max(left, right)  # type: ignore[no-untyped-call]
    return max(left, right)


def _of_values(tensor: torch.Tensor) -> Facts:
    if tensor.numel() == 0 or tensor.is_complex():
        return NOTHING
    with torch.utils._python_dispatch._disable_current_modes():  # these are no calls of the model
        low, high = tensor.min().item(), tensor.max().item()
        total = tensor.sum().item() if low >= 0 else None
        distinct = int(torch.unique(tensor).numel())
    return Facts(low=low, high=high, distinct=distinct, total=total, exact=total is not None)
