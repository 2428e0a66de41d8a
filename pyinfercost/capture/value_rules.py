"""One rule per op: what its results' values are limited to, given the limits of its operands."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from typing import Any

import torch

from .calls import Call
from .value_facts import NOTHING, FactFinder, Facts, Size, greatest, least, parts, union

Rule = Callable[[FactFinder, Call, torch.Tensor], Facts]

_LARGEST_DENOMINATOR = 10**6  # of a threshold such as 0.05


def argument(call: Call, name: str, default: Any = None) -> Any:
    """The value of an argument by its schema name."""
    for place, declared in enumerate(call.op._schema.arguments):
        if declared.name == name:
            return call.args[place] if place < len(call.args) else call.kwargs.get(name, default)
    return default


def _length(tensor: torch.Tensor, dim: int | None) -> Size:
    if dim is None:
        return tensor.numel()
    return tensor.shape[dim] if tensor.dim() else 1


def _indices(length: Size) -> Facts:
    return Facts(low=0, high=length - 1, distinct=length)


def _of_operand(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    """The same elements, or some of them."""
    return replace(finder.of(call.args[0]), exact=False)


def _rearranged(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    return finder.of(call.args[0])


def _repeated(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    """Elements of the operand, any of them several times."""
    return replace(finder.of(call.args[0]), total=None, exact=False)


def _cast(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    facts = finder.of(call.args[0])
    source: torch.Tensor = call.args[0]
    if not source.is_floating_point():
        return facts
    if tensor.is_floating_point():
        return facts
    if facts.low is None or facts.high is None:  # rounding makes a total of fractions too high, never too low
        return Facts(distinct=facts.distinct, total=facts.total)
    low, high = int(facts.low), int(facts.high)
    distinct = least(facts.distinct, high - low + 1)
    return Facts(low=low, high=high, distinct=distinct, total=facts.total, whole=True)


def _joined(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    return union([finder.of(part) for part in parts(call.args[0])])


def _chosen(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    if len(call.args) < 3:  # noqa: PLR2004 - condition and two values
        return NOTHING
    return replace(union([finder.of(value) for value in call.args[1:3]]), total=None)


def _equal(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    left, right = finder.of(call.args[0]), finder.of(call.args[1])
    choices = greatest(left.distinct, right.distinct)
    return Facts(mean=None if choices is None else (1, choices))


def _above(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    """At most `total / threshold` elements of zero or more reach a threshold."""
    facts, threshold = finder.of(call.args[0]), call.args[1]
    if facts.total is None or not isinstance(threshold, (int, float)) or threshold <= 0:
        return NOTHING
    exact = Fraction(threshold).limit_denominator(_LARGEST_DENOMINATOR)
    return Facts(total=facts.total * exact.denominator // exact.numerator)


def _both(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    return Facts(total=least(finder.of(call.args[0]).total, finder.of(call.args[1]).total))


def _one_hot(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    return Facts(low=0, high=1, distinct=2, total=call.args[0].numel(), exact=True, mean=(1, tensor.shape[-1]))


def _softmax(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    return Facts(low=0.0, high=1.0, total=tensor.numel() // _length(tensor, call.args[1]))


def _sigmoid(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    return Facts(low=0.0, high=1.0)


def _searched(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    """`topk`, `sort`, `max` along a dimension: values, and where they were."""
    if parts(call.result)[0] is tensor:
        return replace(finder.of(call.args[0]), exact=False)
    return _indices(_length(call.args[0], argument(call, "dim", -1)))


def _position(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    return _indices(_length(call.args[0], argument(call, "dim", -1 if "argsort" in str(call.op) else None)))


def _nonzero(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    lengths = call.args[0].shape
    return _indices(reduce(greatest, lengths)) if lengths else NOTHING


def _unique(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    found = parts(call.result)
    if tensor is found[0]:
        return replace(finder.of(call.args[0]), total=None, exact=False, mean=None)
    if tensor is found[1]:
        return _indices(found[0].shape[0])
    whole = call.args[0].numel()
    return Facts(low=0, high=whole, total=whole, exact=True, mean=(whole, found[0].shape[0]))


def _arange(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    start, end = (0, call.args[0]) if len(call.args) == 1 else call.args[:2]
    if len(call.args) > 2 or not all(isinstance(v, (int, torch.SymInt)) for v in (start, end)):  # noqa: PLR2004
        return NOTHING
    return Facts(low=start, high=end - 1, distinct=tensor.numel())


def _constant(value: Any) -> Rule:
    def rule(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
        known = argument(call, "fill_value") if value is None else value
        if not isinstance(known, (int, float)):
            return NOTHING
        total = known * tensor.numel() if known >= 0 and isinstance(known, int) else None
        return Facts(low=known, high=known, distinct=1, total=total, exact=total is not None)

    return rule


def _clamped(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    facts = finder.of(call.args[0])
    low, high = argument(call, "min"), argument(call, "max")
    if isinstance(low, torch.Tensor) or isinstance(high, torch.Tensor):
        return NOTHING
    return replace(
        facts, low=greatest(facts.low, low), high=least(facts.high, high), total=None, exact=False, mean=None
    )


def _shifted(sign: int) -> Rule:
    def rule(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
        left, right = finder.of(call.args[0]), finder.of(call.args[1])
        if argument(call, "alpha", 1) != 1 or None in (left.low, left.high, right.low, right.high):
            return NOTHING
        low, high = (right.low, right.high) if sign > 0 else (-right.high, -right.low)
        distinct = left.distinct if right.distinct == 1 else right.distinct if left.distinct == 1 else None
        whole = left.whole and right.whole
        return Facts(low=left.low + low, high=left.high + high, distinct=distinct, whole=whole)

    return rule


def _scaled(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    """Values times a number of zero or more."""
    facts, factor = (finder.of(operand) for operand in call.args[:2])
    if factor.low is None or factor.low != factor.high:
        facts, factor = factor, facts
    number = factor.low
    if number is None or number != factor.high or number < 0 or facts.low is None or facts.high is None:
        return NOTHING
    if not all(isinstance(limit, (int, float)) for limit in (facts.low, facts.high)) and not isinstance(number, int):
        return NOTHING
    return Facts(
        low=facts.low * number, high=facts.high * number, distinct=facts.distinct, whole=facts.whole and factor.whole
    )


def _divided(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    facts, divisor = finder.of(call.args[0]), finder.of(call.args[1]).low
    if finder.of(call.args[1]).high != divisor or facts.low is None or facts.high is None:
        return NOTHING
    if tensor.is_floating_point():
        limits = (facts.low, facts.high, divisor)
        if not all(isinstance(limit, (int, float)) for limit in limits) or divisor <= 0:
            return NOTHING
        return Facts(low=facts.low / divisor, high=facts.high / divisor, distinct=facts.distinct)
    if not isinstance(divisor, int) or divisor < 1 or call.args[0].is_floating_point():
        return NOTHING
    low, high = facts.low // divisor, facts.high // divisor
    return Facts(low=low, high=high, distinct=high - low + 1, whole=True)


def _rounded(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    facts = finder.of(call.args[0])
    if not all(isinstance(limit, (int, float)) for limit in (facts.low, facts.high)):
        return Facts(whole=True)
    return Facts(low=math.floor(facts.low), high=math.ceil(facts.high), whole=True)


def _remainder(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    divisor = call.args[1]
    if not isinstance(divisor, int) or divisor < 1 or tensor.is_floating_point():
        return NOTHING
    return _indices(divisor)


def _sum(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    facts = finder.of(call.args[0])
    if facts.low is None or facts.high is None or facts.low < 0:
        return NOTHING
    count = call.args[0].numel() // tensor.numel()
    high = facts.high * count if isinstance(facts.high, (int, torch.SymInt)) else None
    mean = None if facts.mean is None else (facts.mean[0] * count, facts.mean[1])
    whole = facts.total
    if whole is None and facts.low == 0 and facts.high == 1:  # how many are true
        whole = call.args[0].numel()
    return Facts(low=0, high=least(high, whole), total=whole, exact=facts.exact, mean=mean)


def _cumulative(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    facts = finder.of(call.args[0])
    if facts.low is None or facts.high is None or facts.low < 0:
        return NOTHING
    high = facts.high * _length(tensor, call.args[1]) if isinstance(facts.high, (int, torch.SymInt)) else None
    return Facts(low=0, high=least(high, facts.total))


def _bincount(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    if argument(call, "weights") is not None:
        return NOTHING
    whole = call.args[0].numel()
    return Facts(low=0, high=whole, total=whole, exact=True, mean=(whole, tensor.shape[0]))


def _random(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    high = argument(call, "high")
    low = argument(call, "low", 0)
    return Facts(low=low, high=high - 1, distinct=high - low) if isinstance(high, int) else NOTHING


def _extreme(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    return _searched(finder, call, tensor) if len(parts(call.result)) > 1 else _repeated(finder, call, tensor)


_TABLE: dict[Rule, str] = {
    _rearranged: "view _unsafe_view reshape permute transpose t contiguous clone alias detach flatten unsqueeze "
    "squeeze movedim swapaxes ravel view_as reshape_as lift_fresh lift_fresh_copy",
    _of_operand: "slice select unbind split split_with_sizes chunk narrow masked_select diagonal",
    _repeated: "expand expand_as repeat index index_select gather take tile broadcast_to roll flip",
    _cast: "to _to_copy type_as long int float",
    _joined: "cat concat stack hstack vstack",
    _chosen: "where",
    _equal: "eq",
    _above: "gt ge",
    _both: "__and__ bitwise_and logical_and",
    _one_hot: "one_hot",
    _softmax: "softmax _softmax",
    _sigmoid: "sigmoid",
    _searched: "topk sort kthvalue",
    _extreme: "max min amax amin median mode",
    _position: "argmax argmin argsort",
    _nonzero: "nonzero nonzero_numpy argwhere",
    _unique: "_unique _unique2 unique_dim unique_consecutive",
    _arange: "arange",
    _clamped: "clamp clamp_min clamp_max clip",
    _scaled: "mul",
    _rounded: "ceil floor round trunc",
    _divided: "floor_divide div",
    _remainder: "remainder",
    _sum: "sum",
    _cumulative: "cumsum",
    _bincount: "bincount",
    _random: "randint",
}

RULES: dict[str, Rule] = {f"aten.{name}": rule for rule, names in _TABLE.items() for name in names.split()} | {
    **{f"aten.{name}": _constant(0) for name in ("zeros", "zeros_like", "new_zeros")},
    **{f"aten.{name}": _constant(1) for name in ("ones", "ones_like", "new_ones")},
    **{f"aten.{name}": _constant(None) for name in ("full", "full_like", "new_full")},
    "aten.add": _shifted(1),
    "aten.sub": _shifted(-1),
}
"""Op -> its rule."""
