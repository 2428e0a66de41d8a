"""Shape rules of ops whose results are as long as values say: `nonzero`, masks, `unique`, `nms`, `item`.

Each length becomes a named size with a bound and a default. Where the values follow from the caller's inputs, the true
length is taken. Else the default is the bound, so that counts are upper bounds, except where a choice is known to fall
on one of several (`value_facts`): then it falls evenly.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch

from .symbols import NeedsOpenSizesError
from .value_facts import FactFinder, Facts, Size, greatest, least, op_name
from .value_rules import argument
from .values import UnknownValueError, Values

if TYPE_CHECKING:
    from .recorder import Recorder
    from .symbols import SizeSpace

_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "aten.eq": operator.eq,
    "aten.ne": operator.ne,
    "aten.gt": operator.gt,
    "aten.ge": operator.ge,
    "aten.lt": operator.lt,
    "aten.le": operator.le,
}


class DataSizes:
    """The sizes of one capture that depend on data.

    Args:
        recorder: Knows the calls so far and the module that is running.
        values: Values of tensors that follow from the inputs.
        sizes: The named sizes of the capture.
    """

    def __init__(self, recorder: Recorder, values: Values, sizes: SizeSpace) -> None:
        self._recorder = recorder
        self._values = values
        self._sizes = sizes
        self._facts = FactFinder(recorder.calls, values)
        self._lengths: dict[tuple[int, int], Size] = {}  # mask as it was -> how many of it are true
        self._scalars: dict[tuple[int, int, int], Any] = {}
        self._keep: list[torch.Tensor] = []
        self.kernels: dict[str, Callable[..., Any]] = {
            "aten.nonzero.default": self._nonzero,
            "aten.masked_select.default": self._masked_select,
            "aten.index.Tensor": self._index,
            "aten._unique2.default": self._unique,
            "aten.unique_consecutive.default": self._unique_consecutive,
            "aten.unique_dim.default": self._unique_dim,
            "aten.repeat_interleave.Tensor": self._repeat_interleave,
            "aten.repeat_interleave.self_Tensor": self._repeat_interleave_of,
            "aten.bincount.default": self._bincount,
            "aten.one_hot.default": self._one_hot,
            "torchvision.nms.default": self._nms,
        }
        self.symbolic_kernels: dict[str, Callable[..., Any]] = (
            {"aten.slice.Tensor": self._slice, "aten.unbind.int": self._unbind} if sizes.symbolic else {}
        )

    # ---- lengths --------------------------------------------------------------------------------------------------

    def _length(self, what: str, of: str, bound: Size, default: Size | None = None) -> Size:
        """A named size; a plain number where nothing is left to choose."""
        if isinstance(bound, int) and bound == 0:
            return 0
        return self._sizes.of_data(self._recorder.module, what, of, bound, default)

    def _count_true(self, mask: torch.Tensor) -> Size:
        """How many elements of a mask are not zero."""
        version = self._facts.version(mask)
        key = (id(mask), version[1])
        if key not in self._lengths:
            self._keep.append(mask)
            self._lengths[key] = self._count_anew(mask)
        return self._lengths[key]

    def _count_anew(self, mask: torch.Tensor) -> Size:
        try:
            return int(torch.count_nonzero(self._values.of(mask, self._recorder.calls)))
        except UnknownValueError:
            pass
        facts = self._facts.of(mask)
        whole = mask.numel()
        default = None if facts.mean is None else (whole * facts.mean[0] + facts.mean[1] - 1) // facts.mean[1]
        total = facts.total if isinstance(facts.total, (int, torch.SymInt)) else None
        return self._length("nonzero", "elements of a mask that are true", least(whole, total), default)

    def _nonzero(self, mask: torch.Tensor) -> torch.Tensor:
        count = self._count_true(mask)
        # As torch lays it out: one column after the other.
        return torch.empty((mask.dim(), count), dtype=torch.int64, device="meta").t()

    def _masked_select(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        count = self._count_true(mask)
        shape = torch.broadcast_shapes(x.shape, mask.shape)
        if mask.dim() != len(shape) or x.dim() > mask.dim():
            count = count * (reduce(lambda a, b: a * b, shape, 1) // mask.numel())
        return torch.empty((count,), dtype=x.dtype, device="meta")

    def _index(self, x: torch.Tensor, indices: Any) -> torch.Tensor:
        if not any(i is not None and i.dtype in _MASKS for i in indices):
            return torch.ops.aten.index.Tensor(x, indices)
        places: list[torch.Tensor | None] = []
        for index in indices:
            if index is None or index.dtype not in _MASKS:
                places.append(index)
            else:
                count = self._count_true(index)
                places += [torch.empty((count,), dtype=torch.int64, device="meta") for _ in range(index.dim())]
        return torch.ops.aten.index.Tensor(x, places)

    def _distinct(self, x: torch.Tensor, among: Size) -> Size:
        try:
            return int(self._values.of(x, self._recorder.calls).unique().numel())
        except UnknownValueError:
            pass
        bound = least(among, self._facts.of(x).distinct)
        return self._length("unique", "different values of a tensor", bound)

    def _unique(
        self, x: torch.Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
    ) -> Any:
        del sorted
        count = self._distinct(x, x.numel())
        return self._unique_results(x, [count], x.shape if return_inverse else [0], count if return_counts else 0)

    def _unique_consecutive(
        self, x: torch.Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
    ) -> Any:
        if dim is None:
            try:
                count: Size = int(self._values.of(x, self._recorder.calls).unique_consecutive().numel())
            except UnknownValueError:
                count = self._length("unique_consecutive", "runs of equal values", x.numel())
            inverse = x.shape if return_inverse else [0]
            return self._unique_results(x, [count], inverse, count if return_counts else 0)
        return self._unique_dim(x, dim, True, return_inverse, return_counts)

    def _unique_dim(
        self,
        x: torch.Tensor,
        dim: int,
        sorted: bool = True,
        return_inverse: bool = False,
        return_counts: bool = False,
    ) -> Any:
        del sorted
        shape = list(x.shape)
        length = shape[dim]
        shape[dim] = count = self._length("unique", "different slices of a tensor", length)
        return self._unique_results(x, shape, [length] if return_inverse else [0], count if return_counts else 0)

    def _unique_results(self, x: torch.Tensor, shape: Any, inverse: Any, counts: Any) -> Any:
        return (
            torch.empty(shape, dtype=x.dtype, device="meta"),
            torch.empty(inverse, dtype=torch.int64, device="meta"),
            torch.empty((counts,), dtype=torch.int64, device="meta"),
        )

    def _nms(self, boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
        del scores, iou_threshold
        kept = self._length("nms", "boxes that non-maximum suppression keeps", boxes.shape[0])
        return torch.empty((kept,), dtype=torch.int64, device="meta")

    def _total(self, repeats: torch.Tensor, output_size: Any) -> Size:
        if output_size is not None:
            return output_size
        try:
            return int(self._values.of(repeats, self._recorder.calls).sum())
        except UnknownValueError:
            pass
        facts = self._facts.of(repeats)
        bound = facts.total
        if bound is None and facts.high is not None:
            bound = facts.high * repeats.numel()
        if facts.exact:
            return bound
        return self._bounded("repeat_interleave", "repetitions in all", bound, _mean_of(facts, repeats.numel()))

    def _repeat_interleave(self, repeats: torch.Tensor, *, output_size: Any = None) -> torch.Tensor:
        return torch.empty((self._total(repeats, output_size),), dtype=repeats.dtype, device="meta")

    def _repeat_interleave_of(
        self, x: torch.Tensor, repeats: torch.Tensor, dim: int | None = None, *, output_size: Any = None
    ) -> torch.Tensor:
        shape = [x.numel()] if dim is None else list(x.shape)
        along = dim or 0
        if repeats.numel() == 1 and output_size is None:  # torch repeats every element as often
            try:
                output_size = int(self._values.of(repeats, self._recorder.calls).item()) * shape[along]
            except UnknownValueError:
                repeats = repeats.expand([shape[along]])
        shape[along] = self._total(repeats, output_size)
        return torch.empty(shape, dtype=x.dtype, device="meta")

    def _bincount(self, x: torch.Tensor, weights: torch.Tensor | None = None, minlength: int = 0) -> torch.Tensor:
        try:
            length: Size = int(torch.bincount(self._values.of(x, self._recorder.calls), minlength=minlength).numel())
        except UnknownValueError:
            length = self._classes("bincount", x, minlength)
        return torch.empty((length,), dtype=torch.int64 if weights is None else torch.float64, device="meta")

    def _classes(self, what: str, x: torch.Tensor, least_length: int) -> Size:
        high = self._facts.of(x).high
        if isinstance(high, int) and high < least_length:
            return least_length
        bound = None if high is None else greatest(high + 1, least_length)
        return self._bounded(what, "one more than the largest value", bound)

    def _one_hot(self, x: torch.Tensor, num_classes: int = -1) -> torch.Tensor:
        if num_classes == -1:
            try:
                num_classes = int(self._values.of(x, self._recorder.calls).max()) + 1
            except UnknownValueError:
                num_classes = self._classes("one_hot", x, 0)
        return torch.empty((*x.shape, num_classes), dtype=torch.int64, device="meta")

    def _bounded(self, what: str, of: str, bound: Size | None, default: Size | None = None) -> Size:
        return self._sizes.of_data(self._recorder.module, what, of, bound, default)

    # ---- ops that would ask how long a result is ---------------------------------------------------------------------

    def _slice(self, x: torch.Tensor, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> torch.Tensor:
        length = x.shape[dim]
        plain = step == 1 and all(v is None or (isinstance(v, int) and v >= 0) for v in (start, end))
        if not plain or not self._sizes.is_of_data(length):
            return torch.ops.aten.slice.Tensor(x, dim, start, end, step)
        # torch would ask on which side of `end` the length is, and the graph would hold on that side only.
        first = start or 0
        shape = list(x.shape)
        shape[dim] = length if end is None or end >= _NO_END else torch.sym_min(length, end)
        if first:
            shape[dim] = torch.sym_max(shape[dim] - first, 0)
        offset = x.storage_offset() + first * x.stride(dim)
        return torch.as_strided(x, shape, x.stride(), offset)

    def _unbind(self, x: torch.Tensor, dim: int = 0) -> Any:
        if not self._sizes.is_of_data(x.shape[dim]):
            return torch.ops.aten.unbind.int(x, dim)
        return [x.select(dim, place) for place in range(int(x.shape[dim]))]

    # ---- single values ----------------------------------------------------------------------------------------------

    def scalar(self, tensor: torch.Tensor, error: UnknownValueError) -> Any:
        """What `item` and `bool` of a tensor give where its value is not known: a named size, or a truth by default.

        Raises:
            UnknownValueError: No default makes sense for it.
        """
        if not self._sizes.may_depend_on_data:
            raise NeedsOpenSizesError
        return self._truth(tensor, error) if tensor.dtype == torch.bool else self._number(tensor, error)

    def _number(self, tensor: torch.Tensor, error: UnknownValueError) -> Any:
        """The value of a tensor of one element, in sizes: what is computed from elements follows from their sizes."""
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
            if not known and not self._sizes.is_given(self._recorder.module, "item"):
                raise error
            high, module = facts.high if known else None, self._recorder.module
            if facts.mean is None and facts.total is None:  # a value, and not a number of things
                low = facts.low if isinstance(facts.low, (int, float)) else 0
                self._scalars[key] = self._sizes.of_value(module, "item", _VALUE, max(0, low), high)
            else:
                self._scalars[key] = self._sizes.of_data(module, "item", _COUNT, high, _mean_of(facts, 1))
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
        if call is not None and name == "aten.any":
            key = self._identity(tensor)
            if key not in self._scalars:
                self._scalars[key] = self._bounded("any", "whether any element is true", 1, 1)
            return self._scalars[key] == 1
        raise error

    def _decided(self, name: str, left: Facts, right: Facts) -> bool | None:
        """What a comparison gives for all values within the limits, None where they leave it open."""
        limits = (left.low, left.high, right.low, right.high)
        if not all(isinstance(limit, (int, float)) for limit in limits):
            return None
        if left.high < right.low:
            return name in {"aten.ne", "aten.lt", "aten.le"}
        if left.low > right.high:
            return name in {"aten.ne", "aten.gt", "aten.ge"}
        return None

    def numbers(self, tensor: torch.Tensor) -> Any:
        """What `tolist` gives: nested lists of numbers.

        Raises:
            UnknownValueError: as `scalar`.
        """
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
        if tensor.is_floating_point() or not _is_size(facts.high) or not _is_int(facts.low) or facts.low < 0:
            raise error
        key = self._identity(tensor)
        if key not in self._scalars:
            count = int(tensor.shape[0])
            shares: list[Any] = [None] * count
            if facts.exact:  # the shares add up to the whole, as tensor-driven splits require
                whole = facts.total
                shares = [(i + 1) * whole // count - i * whole // count for i in range(count)]
            self._scalars[key] = [self._bounded("tolist", _COUNT, facts.high, share) for share in shares]
        return list(self._scalars[key])


def _mean_of(facts: Facts, count: Size) -> Size | None:
    return None if facts.mean is None else (count * facts.mean[0] + facts.mean[1] - 1) // facts.mean[1]


def _is_int(value: Any) -> bool:
    return isinstance(value, int)


def _is_size(value: Any) -> bool:
    return isinstance(value, (int, torch.SymInt))


_VALUE = "a value that the forward computes with"
_COUNT = "a number of things, used as a size"
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "aten.add": operator.add,
    "aten.sub": operator.sub,
    "aten.mul": operator.mul,
}
_SAME_ELEMENT = frozenset(
    f"aten.{name}"
    for name in ["view", "reshape", "squeeze", "unsqueeze", "to", "_to_copy", "clone", "contiguous", "alias", "detach"]
)
_MASKS = frozenset({torch.bool, torch.uint8})
_NO_END = 2**63 - 1
