"""Single values that depend on data and are read by a forward: `item`, `tolist`, `if mask.any()`.

A count (of true elements, of items in a bin) becomes a named size. A value that the forward computes with (a
coordinate, an index) is fixed at the middle of its range, which follows from the calls that produced it
(`value_ranges`). A comparison is decided by the ranges of its sides. `any` is true by default, so that the guarded work
is counted. `all` is false by default, because it ends a loop or guards a shortcut.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from ..symbols import NeedsOpenSizesError
from .value_ranges import Classes, FactFinder, Facts, Size, argument, op_name
from .values import UnknownValueError, Values

if TYPE_CHECKING:
    from ..symbols import SizeSpace
    from .record import Record

_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "aten.eq": operator.eq,
    "aten.ne": operator.ne,
    "aten.gt": operator.gt,
    "aten.ge": operator.ge,
    "aten.lt": operator.lt,
    "aten.le": operator.le,
}


class DataValues:
    """Values of one capture that depend on data.

    Args:
        recorder: The record of calls.
        values: Values of tensors that follow from the inputs.
        sizes: The named sizes of the capture.
        facts: Ranges of tensor values.
    """

    def __init__(self, recorder: Record, values: Values, sizes: SizeSpace, facts: FactFinder) -> None:
        self._recorder = recorder
        self._values = values
        self._sizes = sizes
        self._facts = facts
        self._scalars: dict[tuple[Any, ...], Any] = {}
        self._keep: list[torch.Tensor] = []  # keeps ids in use

    def scalar(self, tensor: torch.Tensor, error: UnknownValueError) -> Any:
        """Return the result of `item` or `bool` of a tensor of unknown value: a named size, or a default bool.

        Raises:
            UnknownValueError: The value has no sensible default.
        """
        if not self._sizes.may_depend_on_data:
            raise NeedsOpenSizesError
        return self._truth(tensor, error) if tensor.dtype == torch.bool else self._number(tensor, error)

    def _number(self, tensor: torch.Tensor, error: UnknownValueError) -> Any:
        """Return the value of a one-element tensor in sizes; results of arithmetic follow from the operands."""
        call = self._facts.producer(tensor)
        name = "" if call is None else op_name(call)
        if call is not None and not tensor.is_floating_point():
            if name in _ARITHMETIC and argument(call, "alpha", 1) == 1:
                return _ARITHMETIC[name](*(self._operand(side, error) for side in call.args[:2]))
            if name in _SAME_ELEMENT and call.args[0].numel() == 1 and not call.args[0].is_floating_point():
                return self._operand(call.args[0], error)
            if name == "aten.select":
                return self._element((*self._identity(call.args[0]), *call.args[1:3]), tensor, error)
        return self._element(self._identity(tensor), tensor, error)

    def _operand(self, side: Any, error: UnknownValueError) -> Any:
        if not isinstance(side, torch.Tensor):
            return side
        try:
            return self._values.of(side, self._recorder.calls).item()
        except UnknownValueError:
            return self._number(side, error)

    def _identity(self, tensor: torch.Tensor) -> tuple[int, ...]:
        self._keep.append(tensor)
        return (id(tensor), *self._facts.version(tensor))

    def _element(self, key: tuple[int, ...], tensor: torch.Tensor, error: UnknownValueError) -> Any:
        if key not in self._scalars:
            facts = self._facts.of(tensor)
            known = _is_size(facts.low) and _is_size(facts.high) and (facts.whole or not tensor.is_floating_point())
            high, module = facts.high if known else None, self._recorder.module
            name = self._sizes.given.names.peek(module, "item")
            if not known and self._sizes.given.value(name) is None:
                raise error if tensor.is_floating_point() else _unbounded(name, error)
            if _is_int(facts.low) and _is_int(facts.high) and facts.low == facts.high:
                self._scalars[key] = facts.low
            elif facts.mean is None and facts.total is None:  # a value, not a count
                low = max(0, int(facts.low)) if isinstance(facts.low, (int, float)) else 0
                self._scalars[key] = self._sizes.of_value(module, "item", _VALUE, low, high)
            else:
                share = mean_of(facts, 1) if facts.share is None else facts.share
                self._scalars[key] = self._sizes.of_data(module, "item", _COUNT, high, share)
        return self._scalars[key]

    def _truth(self, tensor: torch.Tensor, error: UnknownValueError) -> Any:
        call = self._facts.producer(tensor)
        name = "" if call is None else op_name(call)
        if call is not None and name in _COMPARED:
            decided = self._decided(name, self._facts.of(call.args[0]), self._facts.of(call.args[1]))
            if decided is not None:
                return decided
            return _COMPARED[name](*(self._operand(side, error) for side in call.args[:2]))
        if call is not None and name in {"aten.logical_not", "aten.bitwise_not"}:
            return not self._truth(call.args[0], error)
        if call is not None and name in _SAME_ELEMENT and call.args[0].dtype == torch.bool and tensor.numel() == 1:
            return self._truth(call.args[0], error)
        if call is not None and name == "aten.all" and _always_true(self._facts.of(call.args[0])):
            return True
        if name == "aten._is_all_true":  # an assertion of the forward, assumed to hold
            return True
        # A mask given by the caller is read with its values.
        if call is not None and name in _BY_DEFAULT and (name == "aten.any" or self._facts.producer(call.args[0])):
            return self._default_truth(tensor, *_BY_DEFAULT[name])
        raise error

    def are_equal(self, left: torch.Tensor, right: torch.Tensor) -> bool:
        """Return the result of `torch.equal`; tensors of unknown values differ by default."""
        if left.shape != right.shape:
            return False
        try:
            return torch.equal(*(self._values.of(side, self._recorder.calls) for side in (left, right)))
        except UnknownValueError:
            return bool(self._default_truth(left, "equal", "whether two tensors are equal", 0))

    def _default_truth(self, tensor: torch.Tensor, what: str, of: str, default: int) -> Any:
        key = self._identity(tensor)
        if key not in self._scalars:
            self._scalars[key] = self._sizes.of_data(self._recorder.module, what, of, 1, default)
        return self._scalars[key] == 1

    def _decided(self, name: str, left: Facts, right: Facts) -> bool | None:
        """Return the result of a comparison for all values in the ranges; None if it is not determined."""
        limits = (left.low, left.high, right.low, right.high)
        if not all(isinstance(limit, (int, float)) for limit in limits):
            return None
        if left.high < right.low:
            return name in {"aten.ne", "aten.lt", "aten.le"}
        if left.low > right.high:
            return name in {"aten.ne", "aten.gt", "aten.ge"}
        return None

    def numbers(self, tensor: torch.Tensor) -> Any:
        """Return the result of `tolist`: nested lists of numbers.

        Raises:
            UnknownValueError: As for `scalar`.
        """
        tensor = self._recorder.handed.twin(tensor)
        try:
            return self._values.of(tensor, self._recorder.calls).tolist()
        except UnknownValueError as error:
            if tensor.dim() == 0:
                return self.scalar(tensor, error)
            if tensor.dim() > 1 or tensor.dtype == torch.bool:
                return [self.numbers(row) for row in tensor]
            return self._list(tensor, error)

    def _list(self, tensor: torch.Tensor, error: UnknownValueError) -> Any:
        facts = self._facts.of(tensor)
        if not self._sizes.may_depend_on_data:
            raise NeedsOpenSizesError
        if tensor.is_floating_point() or not _is_size(facts.high) or not _is_int(facts.low) or facts.low < 0:
            raise error
        call = self._facts.producer(tensor)
        name = "" if call is None else op_name(call)
        if call is not None and name == "aten.cumsum":
            return list(itertools.accumulate(self.numbers(call.args[0])))
        if call is not None and name == "aten.slice" and call.args[0].dim() == 1:
            return self.numbers(call.args[0])[slice(*call.args[2:])]
        if call is not None and name in {"aten.to", "aten._to_copy"}:
            return self.numbers(call.args[0])
        key = self._identity(tensor)
        if key not in self._scalars:
            count = int(tensor.shape[0])
            shares: list[Any] = [None] * count
            if facts.exact:  # the shares add up to the whole, as splits by a tensor require
                among = facts.classes
                if among is None or among.first is None:
                    among = Classes(0, count, 0, facts.total)
                shares = [among.share(i) for i in range(count)]
            module = self._recorder.module
            self._scalars[key] = [
                self._sizes.of_data(module, "tolist", _COUNT, facts.high, share, exact=facts.exact) for share in shares
            ]
        return list(self._scalars[key])


def mean_of(facts: Facts, count: Size) -> Size | None:
    """Return the expected sum of this many elements for evenly distributed choices, rounded up."""
    return None if facts.mean is None else (count * facts.mean[0] + facts.mean[1] - 1) // facts.mean[1]


def _always_true(facts: Facts) -> bool:
    return isinstance(facts.low, (int, float)) and facts.low > 0


def _is_int(value: Any) -> bool:
    return isinstance(value, int)


def _is_size(value: Any) -> bool:
    return isinstance(value, (int, torch.SymInt))


# Reduction to one bool -> name of its size, description, and default.
_BY_DEFAULT = {
    "aten.any": ("any", "whether any element is true", 1),
    "aten.all": ("all", "whether all elements are true", 0),
}
_VALUE = "a value that the forward computes with"
_COUNT = "a count, used as a size"
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "aten.add": operator.add,
    "aten.sub": operator.sub,
    "aten.mul": operator.mul,
}
_SAME_ELEMENT = frozenset(
    f"aten.{name}"
    for name in ("view", "reshape", "squeeze", "unsqueeze", "to", "_to_copy", "clone", "contiguous", "alias", "detach")
)


def _unbounded(name: str, error: UnknownValueError) -> UnknownValueError:
    return UnknownValueError(f"{error}; or pass a value: capture(..., **{{{name!r}: 12}}), --set {name}=12")
