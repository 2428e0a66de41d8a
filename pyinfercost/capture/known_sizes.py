"""Results whose shape depends on values, where the values are known: as many rows as a mask has true elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from .values import UnknownValueError

if TYPE_CHECKING:
    from .calls import Call
    from .values import Values

_ATEN = torch.ops.aten
_MASKS = frozenset({torch.bool, torch.uint8})
_REPEAT = frozenset({_ATEN.repeat_interleave.self_Tensor, _ATEN.repeat_interleave.Tensor})


def depends_on_values(op: Any) -> bool:
    """Whether the shape of a result of this operator may depend on values."""
    return torch.Tag.dynamic_output_shape in op.tags or op in _REPEAT


def sized_by_values(values: Values, op: Any, args: Any, kwargs: dict[str, Any], calls: Sequence[Call]) -> Any:
    """The meta result of such a call, or None where the values that it depends on are not known.

    Where only the shape depends on values that are known (rows picked by a mask), the other operands need none.
    """
    try:
        if op is _ATEN.index.Tensor:
            if not any(t is not None and t.dtype in _MASKS for t in args[1]):
                return None
            return op(args[0].to("meta"), [place for t in args[1] for place in _places(values, t, calls)])
        if op is _ATEN.masked_select.default:
            picked = values.of(args[1], calls)
            shape = torch.broadcast_shapes(args[0].shape, picked.shape)  # type: ignore[no-untyped-call]
            return args[0].new_empty((int(picked.expand(shape).sum()),), device="meta")
        if op is _ATEN.repeat_interleave.self_Tensor:
            return op(*args, **{**kwargs, "output_size": _total(values, args[0], args[1], args[2:], kwargs, calls)})
        return _twins(values, values.run(op, args, kwargs, calls))
    except UnknownValueError:
        return None


def _places(values: Values, index: Any, calls: Sequence[Call]) -> list[Any]:
    """An index as places on meta: a mask becomes those where it is true, along each of its dimensions."""
    if index is None:
        return [None]
    if index.dtype not in _MASKS:
        return [index.to("meta")]
    return list(values.of(index, calls).nonzero().to("meta").unbind(1))


def _total(values: Values, tensor: Any, repeats: Any, rest: Any, kwargs: dict[str, Any], calls: Sequence[Call]) -> int:
    counts = values.of(repeats, calls)
    dim = rest[0] if rest else kwargs.get("dim")
    if counts.numel() == 1:
        return int(counts.sum()) * int(tensor.numel() if dim is None else tensor.shape[dim])
    return int(counts.sum())


def _twins(values: Values, real: Any) -> Any:
    if not isinstance(real, torch.Tensor):
        return type(real)([_twins(values, part) for part in real])
    return values.twin(real)
