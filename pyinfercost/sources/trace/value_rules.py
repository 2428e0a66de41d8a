"""Rules per operator that derive limits of result values from limits of operand values."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from typing import Any

import torch

from .calls import Call
from .value_classes import equal, indexed, masked, one_hot, picked, reached, rearranged, scattered, summed
from .value_ranges import (
    NOTHING,
    Classes,
    FactFinder,
    Facts,
    Rule,
    Size,
    argument,
    greatest,
    least,
    op_name,
    parts,
    union,
)

_LARGEST_DENOMINATOR = 10**6  # of a threshold such as 0.05


def _length(tensor: torch.Tensor, dim: int | None) -> Size:
    if dim is None:
        return tensor.numel()
    return tensor.shape[dim] if tensor.dim() else 1


def _indices(length: Size) -> Facts:
    return Facts(low=0, high=length - 1, distinct=length)


def _of_operand(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    """Some or all elements of the operand."""
    return finder.of(call.args[0]).of_elements()


def _repeated(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    """Elements of the operand, possibly repeated."""
    return replace(finder.of(call.args[0]).of_elements(), total=None)


def _cast(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    facts = finder.of(call.args[0])
    source: torch.Tensor = call.args[0]
    if tensor.dtype == torch.bool and source.dtype != torch.bool:
        truths = reached(facts) if facts.whole or not source.is_floating_point() else NOTHING
        return replace(truths, low=facts.low)  # positive values are all true
    if not source.is_floating_point():
        return facts
    if tensor.is_floating_point():
        return facts
    if facts.low is None or facts.high is None:  # rounding may increase a total of fractions, never reduce it
        return Facts(distinct=facts.distinct, total=facts.total)
    low, high = int(facts.low), int(facts.high)
    distinct = least(facts.distinct, high - low + 1)
    if facts.whole:  # no rounding
        return replace(facts, low=low, high=high, distinct=distinct)
    return Facts(low=low, high=high, distinct=distinct, total=facts.total, whole=True)


def _joined(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    joined = parts(call.args[0])
    negated = finder.producer(joined[-1])
    if negated is not None and op_name(negated) in _NEGATIONS and len(joined) == 2 and negated.args[0] is joined[0]:  # noqa: PLR2004
        return Facts(total=joined[0].numel(), exact=True)  # exactly one of an element and its negation is true
    return union([finder.of(part) for part in parts(call.args[0])])


def _chosen(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    if len(call.args) < 3:  # noqa: PLR2004 - condition and two values
        return NOTHING
    return replace(union([finder.of(value) for value in call.args[1:3]]), total=None)


def _above(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    """At most `total / threshold` non-negative elements reach a threshold."""
    facts, threshold = finder.of(call.args[0]), call.args[1]
    if type(threshold) in (int, float) and threshold == 0 and op_name(call) not in {"aten.ge", "aten.greater_equal"}:
        return reached(facts) if facts.whole or not call.args[0].is_floating_point() else NOTHING
    if facts.total is None or not isinstance(threshold, (int, float)) or threshold <= 0:
        return NOTHING
    exact = Fraction(threshold).limit_denominator(_LARGEST_DENOMINATOR)
    return Facts(total=facts.total * exact.denominator // exact.numerator)


def _unequal(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    """`counts != 0` of counts."""
    return _above(finder, call, tensor) if type(call.args[1]) is int and call.args[1] == 0 else NOTHING


def _both(finder: FactFinder, call: Call, _: torch.Tensor) -> Facts:
    return Facts(total=least(finder.of(call.args[0]).total, finder.of(call.args[1]).total))


def _softmax(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    return Facts(low=0.0, high=1.0, total=tensor.numel() // _length(tensor, call.args[1]))


def _sigmoid(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    return Facts(low=0.0, high=1.0)


def _searched(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    """`topk`, `sort`, `max` along a dimension: values and indices."""
    if parts(call.result)[0] is tensor:
        return finder.of(call.args[0]).of_elements()
    return _indices(_length(call.args[0], argument(call, "dim", -1)))


def _position(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    return _indices(_length(call.args[0], argument(call, "dim", -1 if "argsort" in str(call.op) else None)))


def _nonzero(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    lengths = call.args[0].shape
    if not lengths:
        return NOTHING
    if len(lengths) > 1:
        return _indices(reduce(greatest, lengths))
    hit = finder.of(call.args[0]).hit
    places = (0, lengths[0] - call.result.shape[0]) if hit is None else (hit, 0)
    return replace(_indices(lengths[0]), places=places)


def _unique(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    found = parts(call.result)
    if tensor is found[0]:
        return replace(finder.of(call.args[0]).of_elements(), total=None, mean=None)
    if tensor is found[1]:
        return _indices(found[0].shape[0])
    whole = call.args[0].numel()
    return _counts(whole, found[0].shape[0])


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
    facts = replace(facts.of_elements(), total=None, mean=None)
    return replace(facts, low=greatest(facts.low, low), high=least(facts.high, high))


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
    """Values times a non-negative number."""
    left_out = masked(finder, call)
    if left_out is not None:
        return left_out
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
    return _counts(whole, tensor.shape[0])


def _counts(whole: Size, classes: Size) -> Facts:
    """Numbers of occurrences of each class."""
    among = Classes(0, classes, 0, whole)
    return Facts(low=0, high=whole, total=whole, exact=True, mean=(whole, classes), whole=True, classes=among)


def _random(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    high = argument(call, "high")
    low = argument(call, "low", 0)
    return Facts(low=low, high=high - 1, distinct=high - low) if isinstance(high, int) else NOTHING


def _extreme(finder: FactFinder, call: Call, tensor: torch.Tensor) -> Facts:
    return _searched(finder, call, tensor) if len(parts(call.result)) > 1 else _repeated(finder, call, tensor)


_NEGATIONS = frozenset({"aten.logical_not", "aten.bitwise_not"})
_TABLE: dict[Rule, str] = {
    rearranged: "view _unsafe_view reshape permute transpose t contiguous clone alias detach flatten unsqueeze "
    "squeeze movedim swapaxes ravel view_as reshape_as lift_fresh lift_fresh_copy",
    picked: "select unbind",
    _of_operand: "slice split split_with_sizes chunk narrow masked_select diagonal",
    _repeated: "expand expand_as repeat index_select gather take tile broadcast_to roll flip",
    indexed: "index",
    _cast: "to _to_copy type_as long int float",
    _joined: "cat concat stack hstack vstack",
    _chosen: "where",
    equal: "eq",
    _above: "gt ge greater greater_equal",
    _unequal: "ne",
    _both: "__and__ bitwise_and logical_and",
    one_hot: "one_hot",
    scattered: "scatter",
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
    summed: "sum",
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
"""Operator -> rule."""
