"""Choices among classes (experts, pyramid levels): their position in a tensor, and the share of each class.

A one-hot tensor encodes the class of every choice. Tensors derived from it (sums, the mask of one class) encode it too,
and equal shares of the classes add up to all choices, with the remainder in the first ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from .value_ranges import Classes, FactFinder, Facts, argument, greatest, is_int, least, op_name, parts

if TYPE_CHECKING:
    from .calls import Call


@dataclass(frozen=True)
class _Layout:
    """Positions of an operand's dimensions in a result; removed ones are missing."""

    places: dict[int, int]

    def of(self, facts: Facts) -> Facts:
        classes = facts.classes
        if classes is None:
            return facts
        place = self.places.get(classes.dim)
        return replace(facts, classes=None if place is None else replace(classes, dim=place))


def one_hot(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    """One-hot rows, in which only some classes may occur."""
    chosen, length = finder.of(call.args[0]), tensor.shape[-1]
    low = chosen.low if is_int(chosen.low) else 0
    high = chosen.high if is_int(chosen.high) else length - 1
    between = least(length, high - low + 1)
    count = least(between, chosen.distinct)
    choices = call.args[0].numel()
    beside_each_other = not (is_int(count) and is_int(between)) or count == between
    classes = Classes(tensor.dim() - 1, count, low if beside_each_other else None, choices)
    return Facts(low=0, high=1, distinct=2, total=choices, exact=True, mean=(1, count), whole=True, classes=classes)


def scattered(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    """`zeros.scatter(dim, chosen, 1)`: ones at the chosen indices."""
    index, around = argument(call, "index"), finder.of(call.args[0])
    numbers = (around.low, around.high, argument(call, "value"))
    if not all(type(number) in (int, float) for number in numbers) or numbers != (0, 0, 1):
        return Facts()
    if argument(call, "reduce") is not None:
        return Facts()
    dim = argument(call, "dim") % tensor.dim()
    chosen, length = index.shape[dim], tensor.shape[dim]
    classes = Classes(dim, length, 0, index.numel())
    return Facts(
        low=0,
        high=1,
        distinct=2,
        total=index.numel(),
        exact=_all_different(finder, index, dim),
        mean=(chosen, length),
        whole=True,
        classes=classes,
    )


def _all_different(finder: FactFinder, index: torch.Tensor, dim: int) -> bool:
    """Return whether no index is chosen twice."""
    if isinstance(index.shape[dim], int) and index.shape[dim] == 1:
        return True
    call = finder.producer(index)
    if call is None or op_name(call) not in {"aten.topk", "aten.sort", "aten.argsort"}:
        return False  # indices that may be equal
    return bool(argument(call, "dim", -1) % index.dim() == dim)


def equal(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    """`chosen == 3`: the choices of one of the possible values. `chosen[..., None] == arange(8)`: one-hot rows."""
    left, right = finder.of(call.args[0]), finder.of(call.args[1])
    if _are_all_classes(finder, call.args[1], left) and _shape(call.args[0])[-1:] == [1]:
        return one_hot(finder, call, tensor)
    choices = greatest(left.distinct, right.distinct)
    if all(map(is_int, (left.low, left.high, right.low, right.high))) and right.low == right.high:
        count = left.high - left.low + 1
        if is_int(left.distinct) and left.distinct == count:
            share = Classes(0, count, left.low, tensor.numel()).share(right.low)
            return Facts(mean=(1, count), share=share)
    return Facts(mean=None if choices is None else (1, choices))


def _are_all_classes(finder: FactFinder, numbers: Any, chosen: Facts) -> bool:
    """Return whether a tensor counts from 0 to a number beyond all that are chosen, as in `one_hot` with gradients."""
    call = finder.producer(numbers) if isinstance(numbers, torch.Tensor) else None
    counts = call is not None and op_name(call) == "aten.arange" and len(call.args) == 1
    return counts and is_int(chosen.low) and is_int(chosen.high) and 0 <= chosen.low <= chosen.high < numbers.numel()


def rearranged(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    """The same elements in another shape or order."""
    source: torch.Tensor = call.args[0]
    facts = _layout(call, source, tensor).of(finder.of(source))
    return facts if _shape(tensor)[:1] == _shape(source)[:1] else replace(facts, hit=None, places=None)


def _shape(tensor: torch.Tensor) -> list[Any]:
    """Return lengths that can be compared without a guard of torch."""
    lengths: Any = tensor.shape
    return [length if isinstance(length, int) else length.node.expr for length in lengths]


def _layout(call: Call, source: torch.Tensor, tensor: torch.Tensor) -> _Layout:
    name, rank = op_name(call), source.dim()
    if name == "aten.permute":
        return _Layout({dim % rank: place for place, dim in enumerate(call.args[1])})
    if name in {"aten.transpose", "aten.swapaxes"}:
        first, second = (dim % rank for dim in call.args[1:3])
        return _Layout({dim: dim for dim in range(rank)} | {first: second, second: first})
    if name == "aten.t":
        return _Layout({0: rank - 1, rank - 1: 0})
    if name == "aten.movedim":
        return _Layout({})
    before, after = _shape(source), _shape(tensor)
    if before == after:
        return _Layout({dim: dim for dim in range(rank)})
    # For a view: the outermost and innermost dimensions, if their lengths are unchanged.
    places = {0: 0} if before[:1] == after[:1] else {}
    return _Layout(places | ({rank - 1: tensor.dim() - 1} if before[-1:] == after[-1:] else {}))


def picked(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    """`select`, `unbind`: the slice at one index of a dimension."""
    source: torch.Tensor = call.args[0]
    facts = finder.of(source)
    dim = argument(call, "dim", 0) % source.dim()
    if op_name(call) == "aten.select":
        place = call.args[2]
    else:
        place = next((at for at, part in enumerate(parts(call.result)) if part is tensor), None)
    if isinstance(place, int) and place < 0:
        place = place + source.shape[dim] if isinstance(source.shape[dim], int) else None
    if facts.places is not None:
        return _at_row(facts, dim, place)
    return _of_class(facts, source, dim, place)


def indexed(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    """`mask[expert]` with a one-element tensor of known value; otherwise any elements, possibly repeated."""
    source, indices = call.args[:2]
    facts = finder.of(source)
    used = [dim for dim, index in enumerate(indices) if index is not None]
    if facts.classes is not None and len(used) == 1 and used[0] == facts.classes.dim:
        index = indices[used[0]]
        place = finder.of(index)
        if _shape(index) == [1] and is_int(place.low) and is_int(place.high) and place.low == place.high:
            return _of_class(facts, source, used[0], place.low)
    return replace(facts.of_elements(), total=None)


def _at_row(facts: Facts, dim: int, row: Any) -> Facts:
    """A row of `nonzero` of a 1-d mask, whose indices ascend."""
    if dim != 0:  # the only column
        return facts
    if facts.places is None or not isinstance(row, int):
        return facts.of_elements()
    first, further = facts.places
    return Facts(low=first + row, high=settled(first + further + row), whole=True)


def _of_class(facts: Facts, source: torch.Tensor, dim: int, place: Any) -> Facts:
    """The slice at an index of a dimension: one class, or a part of the choices among all classes."""
    classes, rest = facts.classes, facts.of_elements()
    if classes is None:
        return rest
    if dim == classes.dim:
        return replace(rest, share=classes.share(place))
    fewer = classes.choices // source.shape[dim]  # every index has equally many choices
    return replace(rest, classes=replace(classes, dim=classes.dim - (dim < classes.dim), choices=fewer))


def summed(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    """Sums of non-negative values."""
    source: torch.Tensor = call.args[0]
    facts = finder.of(source)
    if facts.low is None or facts.high is None or facts.low < 0:
        return Facts()
    count = source.numel() // tensor.numel()
    high = facts.high * count if isinstance(facts.high, (int, torch.SymInt)) else None
    mean = None if facts.mean is None else (facts.mean[0] * count, facts.mean[1])
    whole = facts.total
    if whole is None and facts.low == 0 and facts.high == 1:  # the number of true elements
        whole = source.numel()
    alone = isinstance(tensor.numel(), int) and tensor.numel() == 1
    return Facts(
        low=0,
        high=least(high, whole),
        total=whole,
        exact=facts.exact,
        mean=mean,
        whole=facts.whole or not source.is_floating_point(),
        classes=_without_summed(call, facts.classes, source.dim()),
        share=facts.share if alone else None,
    )


def _without_summed(call: Call, classes: Classes | None, rank: int) -> Classes | None:
    gone = {dim % rank for dim in argument(call, "dim") or range(rank)}
    if classes is None or classes.dim in gone:
        return None
    return (
        classes
        if argument(call, "keepdim", False)
        else replace(classes, dim=classes.dim - sum(dim < classes.dim for dim in gone))
    )


def reached(facts: Facts) -> Facts:
    """Return the facts of `counts > 0`: at most as many as there are items, and the classes that they belong to."""
    if facts.total is None:
        return Facts()
    if facts.classes is None:
        return Facts(total=facts.total)
    # With a symbolic number of choices, the number of classes must stay: a loop runs over them.
    count, first = facts.classes.count, facts.classes.first
    hit = first if is_int(first) and facts.classes.dim == 0 else None
    return Facts(total=least(facts.total, count) if is_int(facts.total) else count, hit=hit)


def masked(finder: FactFinder, call: Call) -> Facts | None:
    """A product with zeros and ones, which removes some choices; None for any other product."""
    sides = [(side, finder.of(side)) for side in call.args[:2] if isinstance(side, torch.Tensor)]
    if len(sides) < 2 or _shape(sides[0][0]) != _shape(sides[1][0]):  # noqa: PLR2004
        return None
    (kept, facts), (mask, limits) = sides if sides[0][1].classes is not None else sides[::-1]
    if facts.classes is None or not (
        is_int(limits.low) and is_int(limits.high) and 0 <= limits.low <= limits.high <= 1
    ):
        return None
    choices = facts.classes.choices
    capacity = _capacity(finder, kept, mask)
    if capacity is not None:
        dim, number = capacity
        length = kept.shape[dim]
        choices = choices * least(length, number * facts.classes.count) // length
    return replace(
        facts, low=0, total=choices, exact=False, mean=None, share=None, classes=replace(facts.classes, choices=choices)
    )


def _capacity(finder: FactFinder, kept: torch.Tensor, mask: torch.Tensor) -> tuple[int, int] | None:
    """Return dimension and number of `kept.cumsum(dim) <= number`."""
    call = finder.producer(mask)
    if call is None or op_name(call) not in {"aten.le", "aten.lt"} or not isinstance(call.args[1], int):
        return None
    number = call.args[1] - (op_name(call) == "aten.lt")
    counted = finder.producer(call.args[0])
    if counted is not None and op_name(counted) == "aten.sub" and isinstance(counted.args[1], int):
        number += counted.args[1]
        counted = finder.producer(counted.args[0])
    if counted is None or op_name(counted) != "aten.cumsum" or counted.args[0] is not kept or number < 0:
        return None
    return counted.args[1] % kept.dim(), number


def settled(size: Any) -> Any:
    """Return a plain integer for a symbolic one that has been fixed."""
    if isinstance(size, torch.SymInt):
        known = size.node.maybe_as_int()
        return size if known is None else known
    return size
