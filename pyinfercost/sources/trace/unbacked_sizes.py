"""Shape rules of operators whose result length depends on values: `nonzero`, masks, `unique`, `nms`, `item`.

Each length becomes a named size with a bound and a default. If the values follow from the caller's inputs, the exact
length is used. Otherwise the default is the bound, so that counts are upper bounds, except for choices among several
classes (`value_ranges`), which are assumed to be evenly distributed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any

import torch

from .unbacked_values import DataValues, mean_of
from .value_ranges import FactFinder, Size, greatest, least, parts
from .value_rules import RULES
from .values import UnknownValueError, Values

if TYPE_CHECKING:
    from ..symbols import SizeSpace
    from .record import Record


class DataSizes:
    """Sizes of one capture that depend on data.

    Args:
        recorder: The record of calls.
        values: Values of tensors that follow from the inputs.
        sizes: The named sizes of the capture.
    """

    def __init__(self, recorder: Record, values: Values, sizes: SizeSpace) -> None:
        self._recorder = recorder
        self._values = values
        self._sizes = sizes
        self._facts = FactFinder(recorder.calls, values, RULES)
        self._lengths: dict[tuple[int, int], Size] = {}  # version of a mask -> number of true elements
        self.numbers = DataValues(recorder, values, sizes, self._facts)
        self._keep: list[torch.Tensor] = []

    def kernel(self, name: str) -> Callable[..., Any]:
        """Return the kernel of an operator in `DATA_KERNELS`."""
        return _unless_real(name, getattr(self, DATA_KERNELS[name]))

    # ---- lengths --------------------------------------------------------------------------------------------------

    def _length(self, what: str, of: str, bound: Size | None, default: Size | None = None) -> Size:
        """Return a named size, or a plain integer if its value is determined."""
        if isinstance(bound, int) and bound == 0:
            return 0
        size: Size = self._sizes.of_data(self._recorder.module, what, of, bound, default)
        return size

    def _count_true(self, mask: torch.Tensor) -> Size:
        """Return the number of nonzero elements of a mask."""
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
        if facts.exact and mask.dtype == torch.bool:
            counted: Size = facts.total
            return counted
        default = facts.share
        if default is None:
            default = mean_of(facts, whole)
        elif not isinstance(default, int):  # symbolic; the forward may test whether it is zero
            default = greatest(default, 1)
        total = facts.total if isinstance(facts.total, (int, torch.SymInt)) else None
        return self._length("nonzero", "elements of a mask that are true", least(whole, total), default)

    def _nonzero(self, mask: torch.Tensor) -> torch.Tensor:
        count = self._count_true(mask)
        # The layout of torch: one column after the other.
        return torch.empty((mask.dim(), count), dtype=torch.int64, device="meta").t()

    def _masked_select(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        count = self._count_true(mask)
        shape: Any = torch.broadcast_shapes(x.shape, mask.shape)  # type: ignore[no-untyped-call]
        if mask.dim() != len(shape) or x.dim() > mask.dim():
            count = count * (reduce(lambda a, b: a * b, shape, 1) // mask.numel())
        return torch.empty((count,), dtype=x.dtype, device="meta")

    def _index(self, x: torch.Tensor, indices: Any) -> torch.Tensor:
        if not x.is_meta:  # torch would create an uninitialized result on the device of x
            x = torch.empty_like(x, device="meta")
        if not any(i is not None and i.dtype in _MASKS for i in indices):
            return _tensor(torch.ops.aten.index.Tensor(x, indices))
        places: list[torch.Tensor | None] = []
        for index in indices:
            if index is None or index.dtype not in _MASKS:
                places.append(index)
            else:
                count = self._count_true(index)
                places += [torch.empty((count,), dtype=torch.int64, device="meta") for _ in range(index.dim())]
        return _tensor(torch.ops.aten.index.Tensor(x, places))

    def _distinct(self, x: torch.Tensor, among: Size) -> Size:
        try:
            return int(torch.unique(self._values.of(x, self._recorder.calls)).numel())
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
                count: Size = int(torch.unique_consecutive(self._values.of(x, self._recorder.calls)).numel())
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
        shape: list[Any] = list(x.shape)
        length = shape[dim]
        try:
            count: Size = torch.unique(self._values.of(x, self._recorder.calls), dim=dim).shape[dim]
        except UnknownValueError:
            count = self._length("unique", "different slices of a tensor", length)
        shape[dim] = count
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

    def _total(self, repeats: torch.Tensor, output_size: Any) -> Any:
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
        return self._length("repeat_interleave", "repetitions in all", bound, mean_of(facts, repeats.numel()))

    def _repeat_interleave(self, repeats: torch.Tensor, *, output_size: Any = None) -> torch.Tensor:
        return torch.empty((self._total(repeats, output_size),), dtype=repeats.dtype, device="meta")

    def _repeat_interleave_of(
        self, x: torch.Tensor, repeats: torch.Tensor, dim: int | None = None, *, output_size: Any = None
    ) -> torch.Tensor:
        shape: list[Any] = [x.numel()] if dim is None else list(x.shape)
        along = dim or 0
        if repeats.numel() == 1 and output_size is None:  # torch repeats every element equally often
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

    def _classes(self, what: str, x: torch.Tensor, least_length: int) -> Any:
        high = self._facts.of(x).high
        if isinstance(high, int) and high < least_length:
            return least_length
        bound = None if high is None else greatest(high + 1, least_length)
        return self._length(what, "one more than the largest value", bound)

    def _one_hot(self, x: torch.Tensor, num_classes: int = -1) -> torch.Tensor:
        if num_classes == -1:
            try:
                num_classes = int(self._values.of(x, self._recorder.calls).max()) + 1
            except UnknownValueError:
                num_classes = self._classes("one_hot", x, 0)
        return torch.empty((*x.shape, num_classes), dtype=torch.int64, device="meta")

    def _tensor_split(self, x: torch.Tensor, tensor_indices_or_sections: torch.Tensor, dim: int = 0) -> Any:
        places = self.numbers.numbers(tensor_indices_or_sections)
        if not isinstance(places, list):
            return torch.tensor_split(x, int(places), dim)
        edges = [0, *places, x.shape[dim]]
        parts = []
        for first, last in itertools.pairwise(edges):
            shape: list[Any] = list(x.shape)
            shape[dim] = last - first
            parts.append(torch.as_strided(x, shape, x.stride(), x.storage_offset() + first * x.stride(dim)))
        return parts

    def _packed(self, x: torch.Tensor, lengths: torch.Tensor, batch_first: bool) -> Any:
        try:
            known = self._values.of(lengths, self._recorder.calls)
        except UnknownValueError as error:
            raise UnknownValueError(f"pack_padded_sequence reads the value of a tensor, its lengths: {error}") from None
        if x._has_symbolic_sizes_strides:  # torch's kernel takes numbers alone
            steps = torch.arange(int(known.max()))
            return x.new_empty([int(known.sum()), *x.shape[2:]]), (known > steps[:, None]).sum(1)
        # The lengths, and the numbers of sequences per step that follow from them, are on the CPU.
        return torch.ops.aten._pack_padded_sequence.default(x, known, batch_first)

    def _ctc_loss(
        self,
        log_probs: torch.Tensor,
        targets: torch.Tensor,
        lengths: torch.Tensor,
        target_lengths: torch.Tensor,
        *_: Any,
    ) -> Any:
        del lengths
        steps, batch = log_probs.shape[:2]
        try:
            longest: Size = int(self._values.of(target_lengths, self._recorder.calls).max())
        except UnknownValueError:
            longest = self._length("ctc_loss", "labels of the longest target", targets.shape[-1])
        # The logarithms of all states at each step: the labels, and blanks around them.
        return log_probs.new_empty([batch]), log_probs.new_empty([batch, steps, 2 * longest + 1])


def _unless_real(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Return the operator itself if all its operands are real tensors created by the model; else its kernel."""
    namespace, packet, overload = name.split(".")
    op = getattr(getattr(getattr(torch.ops, namespace), packet), overload) if namespace == "aten" else None

    def run(*args: Any, **kwargs: Any) -> Any:
        operands = [*parts(args), *parts(list(kwargs.values()))]
        if op is not None and operands and not any(operand.is_meta for operand in operands):
            return op(*args, **kwargs)
        return kernel(*args, **kwargs)

    return run


DATA_KERNELS = {
    "aten.nonzero.default": "_nonzero",
    "aten.masked_select.default": "_masked_select",
    "aten.index.Tensor": "_index",
    "aten._unique2.default": "_unique",
    "aten.unique_consecutive.default": "_unique_consecutive",
    "aten.unique_dim.default": "_unique_dim",
    "aten.repeat_interleave.Tensor": "_repeat_interleave",
    "aten.repeat_interleave.self_Tensor": "_repeat_interleave_of",
    "aten.bincount.default": "_bincount",
    "aten.one_hot.default": "_one_hot",
    "torchvision.nms.default": "_nms",
    "aten.tensor_split.tensor_indices_or_sections": "_tensor_split",
    "aten._pack_padded_sequence.default": "_packed",
    "aten._ctc_loss.Tensor": "_ctc_loss",
}
"""Operator with a data-dependent result length -> method of `DataSizes` that runs it."""

_MASKS = frozenset({torch.bool, torch.uint8})


def _tensor(result: Any) -> torch.Tensor:
    tensor: torch.Tensor = result  # ops are untyped
    return tensor
