"""Ranges of tensor values without the values: limits that follow from the calls that produced a tensor.

A capture has shapes and no values. Yet the indices of `topk` are below the searched length, and a one-hot row sums to
1, as does a row of a softmax. Such facts give bounds of sizes that depend on values, and their averages if choices are
evenly distributed: `where(expert == 3)` finds one in eight of the choices among eight experts.
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

_DEEPEST = 200  # maximum number of calls between a tensor and the fact used for it


@dataclass(frozen=True)
class Classes:
    """Classes to which choices are assigned, along a dimension of a tensor that encodes the assignment.

    Attributes:
        dim: The dimension of the classes.
        count: Number of classes that can be chosen.
        first: Index of the first of these.
        choices: Total number of choices.
    """

    dim: int
    count: Any
    first: Any
    choices: Any

    def share(self, place: Any) -> Size:
        """Return the choices of the class at an index: equal shares, with the remainder in the first ones."""
        rank = place - self.first if is_int(place) and is_int(self.first) else 0
        if is_int(self.count) and not 0 <= rank < self.count:
            return 0
        share: Size = (self.choices + self.count - 1 - rank) // self.count
        return share


@dataclass(frozen=True)
class Facts:
    """Limits of a tensor's values; None if unknown.

    Attributes:
        low: Minimum.
        high: Maximum.
        distinct: Upper bound of the number of distinct values.
        total: Upper bound of the sum over the tensor, whose values are non-negative.
        exact: Whether the sum equals `total`.
        mean: Average of one element for evenly distributed choices, as numerator and denominator.
        whole: Whether the values are integers, regardless of their dtype.
        classes: The classes, if the tensor encodes an assignment of choices to classes.
        share: Sum over the tensor for evenly distributed choices.
        hit: For a mask of classes: index of the first true one; the others follow it, as the shares do.
        places: For rows with the indices of true elements of a 1-d mask, in order: the index of the first, and the
            maximum distance of each further one.
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
        """Return the facts that also hold for a subset of the elements in any order."""
        return replace(self, exact=False, classes=None, share=None, hit=None, places=None)


NOTHING = Facts()


Rule: TypeAlias = "Callable[[FactFinder, Call, torch.Tensor], Facts]"
"""Computes the facts of one result of a call."""


class FactFinder:
    """Facts of recorded tensors.

    Args:
        calls: The recorded calls; more are appended while the forward runs.
        values: Tensors with known values.
        rules: Operator name -> rule that derives facts of a result from facts of its operands.
    """

    def __init__(self, calls: list[Call], values: Values, rules: Mapping[str, Rule]) -> None:
        self._values = values
        self._rules = rules
        self._calls = calls
        self._read = 0
        self._producers: dict[int, Call] = {}
        self._writes: dict[int, list[Any]] = {}  # id of a tensor -> values written to it, directly or through a view
        self._known: dict[int, Facts] = {}
        self._keep: list[torch.Tensor] = []  # keeps ids in use
        self._depth = 0
        self._cut = False  # whether the current derivation exceeds the depth limit
        self._deriving: set[int] = set()  # tensors in derivation; a tensor may be written with values read from it

    def of(self, value: Any) -> Facts:
        """Return the facts of a tensor; a number is its own minimum and maximum."""
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
        """Return the call that computed a tensor; None if there is none, or if the tensor was written to since."""
        return None if self.version(tensor)[1] else self._producers.get(id(tensor))

    def version(self, tensor: torch.Tensor) -> tuple[int, int]:
        """Return the tensor that owns the memory of a view, and the number of writes to it."""
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
            # The initial values or any written values, at unknown positions.
            for write in writes:
                new = _scaled_by(facts, write.factor) if isinstance(write, _Scaling) else self.of(write)
                facts = union([facts, new])
            facts = replace(facts.of_elements(), total=None)
        if tensor.dtype == torch.bool:
            # A bool made from positive numbers is true everywhere.
            true = isinstance(facts.low, (int, float)) and facts.low > 0
            facts = replace(facts, low=int(true), high=1, distinct=2 - true)
        return facts


@dataclass(frozen=True)
class _Scaling:
    """A write of the previous values times a number."""

    factor: float


def _scaled_by(facts: Facts, factor: float) -> Facts:
    if facts.low is None or facts.high is None:
        return NOTHING
    ends = (facts.low * factor, facts.high * factor)
    return Facts(low=least(*ends), high=greatest(*ends), distinct=facts.distinct)


def _written(call: Call) -> Any:
    """Return the values that an in-place operator writes; None if unknown."""
    if op_name(call) == "aten.mul_" and type(call.args[1]) in (int, float):
        return _Scaling(call.args[1])
    place = _SOURCES.get(op_name(call))
    if place is None or any(a is True or isinstance(a, str) for a in (*call.args, *call.kwargs.values())):
        return None  # accumulates or reduces
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
    """Return whether a limit is a plain integer."""
    return isinstance(value, int)


def union(facts: list[Facts]) -> Facts:
    """Return the facts of a value that may be any of several."""

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
    """Return `aten.add` for `aten.add.Tensor`."""
    return ".".join(str(call.op).split(".")[:2])


def argument(call: Call, name: str, default: Any = None) -> Any:
    """Return the value of an argument by its name in the schema."""
    for place, declared in enumerate(call.op._schema.arguments):
        if declared.name == name:
            return call.args[place] if place < len(call.args) else call.kwargs.get(name, default)
    return default


def parts(value: Any) -> list[torch.Tensor]:
    """Return the tensors of a nested value, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for item in value for t in parts(item)] if isinstance(value, list | tuple) else []


def is_view(call: Call) -> bool:
    """Return whether the results of a call share memory with its first operand."""
    returns: Sequence[Any] = call.op._schema.returns
    if not returns or returns[0].alias_info is None or not call.args:
        return False
    results = parts(call.result)  # another dtype means that `to` copied
    return not results or results[0].dtype == call.args[0].dtype


def least(left: Any, right: Any) -> Any:
    """Return the smaller of two limits, without comparing symbolic ones; None is no limit."""
    if left is None or right is None:
        return right if left is None else left
    if isinstance(left, torch.SymInt) or isinstance(right, torch.SymInt):
        return torch.sym_min(left, right)  # type: ignore[no-untyped-call]
    return min(left, right)


def greatest(left: Any, right: Any) -> Any:
    """Return the larger of two limits, as `least` does the smaller."""
    if left is None or right is None:
        return right if left is None else left
    if isinstance(left, torch.SymInt) or isinstance(right, torch.SymInt):
        return torch.sym_max(left, right)  # type: ignore[no-untyped-call]
    return max(left, right)


def _of_values(tensor: torch.Tensor) -> Facts:
    if tensor.numel() == 0 or tensor.is_complex():
        return NOTHING
    with torch.utils._python_dispatch._disable_current_modes():  # these calls are not the model's
        low, high = tensor.min().item(), tensor.max().item()
        total = tensor.sum().item() if low >= 0 else None
        distinct = int(torch.unique(tensor).numel())
    return Facts(low=low, high=high, distinct=distinct, total=total, exact=total is not None)
