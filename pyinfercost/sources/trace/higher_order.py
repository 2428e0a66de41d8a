"""Operators that take functions: `torch.cond`, `while_loop`, `scan`, flex attention.

One branch of a condition runs: the taken one if the condition follows from the inputs, else the more expensive one, so
that counts are upper bounds. A loop runs as long as its condition is known. Otherwise condition and body are counted
once, and the loop stays in the ledger of operators that are not modeled. A scan runs once per element.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from pyinfercost._core import GraphBuilder, count

from ...errors import UnsupportedError
from .values import UnknownValueError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch._ops import HigherOrderOperator
    from torch.utils._python_dispatch import TorchDispatchMode

    from .calls import Call
    from .record import Record


class NamedOperator:
    """The operator interface of recorded calls, for an operator without a schema."""

    tags: tuple[Any, ...] = ()

    def __init__(self, name: str, *arguments: str) -> None:
        self._name = f"higher_order.{name}"
        self._schema = SimpleNamespace(
            arguments=[SimpleNamespace(name=argument, alias_info=None) for argument in arguments],
            returns=[],  # no result shares memory with an operand
            is_mutable=False,
        )

    def __str__(self) -> str:
        return self._name

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise UnknownValueError(f"it depends on {self._name}")


_FLEX_ATTENTION = NamedOperator("flex_attention", "query", "key", "value")
_MOST_ROUNDS = 4096  # of a loop with a known condition
_WHILE_LOOP = NamedOperator("while_loop", "carried")


def run_higher_order(
    recorder: Record, mode: TorchDispatchMode, op: HigherOrderOperator, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Record a call of a higher-order operator: the calls inside, or for attention the operator itself.

    Raises:
        NotImplementedError: The operator is not supported.
    """
    name = str(op.name())  # type: ignore[no-untyped-call]
    special = _SPECIAL.get(name)
    if special is not None:
        return special(recorder, mode, *args, **kwargs)
    kernel = op.py_kernels.get(torch._C.DispatchKey.CompositeExplicitAutograd)
    if kernel is None:
        raise UnsupportedError(f"higher_order.{name} has no kernel that calls its functions")
    with mode:
        return kernel(*args, **kwargs)


# ---- conditions and loops --------------------------------------------------------------------------------------------


def _known(recorder: Record, condition: Any) -> bool | None:
    """Return the value of a condition; None if it does not follow from the inputs."""
    if not torch.is_tensor(condition):
        return bool(condition)
    try:
        return bool(recorder.values.of(recorder.handed.twin(condition), recorder.calls).item())
    except UnknownValueError:
        return None


def _cond(recorder: Record, mode: TorchDispatchMode, condition: Any, true: Any, false: Any, operands: Any = ()) -> Any:
    known = _known(recorder, condition)
    if known is not None:
        with mode:
            return (true if known else false)(*operands)
    start = len(recorder.calls)
    outcomes = []
    for branch in (true, false):
        with mode:
            result = branch(*operands)
        outcomes.append((result, recorder.calls[start:]))
        del recorder.calls[start:]
    result, calls = max(outcomes, key=lambda outcome: _cost(recorder, outcome[1]))
    recorder.calls.extend(calls)
    return result


def _while_loop(
    recorder: Record, mode: TorchDispatchMode, condition: Any, body: Any, carried: Any, additional: Any = ()
) -> Any:
    for _ in range(_MOST_ROUNDS):
        with mode:
            again = condition(*carried, *additional)
        known = _known(recorder, again)
        if known is False:
            return tuple(carried)
        with mode:
            carried = body(*carried, *additional)
        if known is None:
            break
    last = [value for value in carried if torch.is_tensor(value)]
    results = [torch.empty_like(value) for value in last]
    recorder.append(_WHILE_LOOP, (recorder.handed.inside(last),), {}, results, sys._getframe(3))
    handed = iter(recorder.handed.out(results))
    return tuple(next(handed) if torch.is_tensor(value) else value for value in carried)


class _Hints:
    """Symbolic sizes evaluated at the values of the example."""

    def expression(self, size: Any) -> int:
        return size.node.hint if size.node.has_hint() else 1


def _cost(recorder: Record, calls: list[Call]) -> tuple[int, int, int]:
    from .writer import GraphWriter

    builder = GraphBuilder("branch")
    hints: Any = _Hints()
    writer = GraphWriter(builder, hints, recorder)
    for call in calls:
        writer.node(call)
    total: Any = count(builder.build([], []), {}).total
    return total.contraction_flops, total.pointwise_flops, total.bytes_read + total.bytes_written


# ---- attention -------------------------------------------------------------------------------------------------------


def _flex_attention(
    recorder: Record,
    mode: TorchDispatchMode,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    score_mod: Any,
    block_mask: tuple[Any, ...],
    *_: Any,
    **__: Any,
) -> Any:
    del mode, score_mod
    out = (
        torch.empty_like(query)
        if query.shape[-1] == value.shape[-1]
        else query.new_empty([*query.shape[:-1], value.shape[-1]])
    )
    statistics = [query.new_empty(query.shape[:-1], dtype=torch.float32) for _ in range(2)]
    seen = _seen_scores(recorder, query, key, block_mask)
    result = (out, *statistics)
    operands = recorder.handed.inside((query, key, value))
    recorder.append(_FLEX_ATTENTION, operands, {} if seen is None else {"seen_scores": seen}, result, sys._getframe(3))
    return recorder.handed.out(result)


def _seen_scores(recorder: Record, query: torch.Tensor, key: torch.Tensor, mask: tuple[Any, ...]) -> int | None:
    """Return the average number of scores per head in the blocks of a mask; None if the mask is unknown.

    A mask starts with the lengths that it was created for. Then follow, for partial and for full blocks, the number of
    blocks in each row of blocks and their indices; its last numbers are the block lengths.
    """
    lengths: Any = mask
    cut_blocks, _, whole_blocks = lengths[2:5]
    rows, columns = query.shape[-2], key.shape[-2]
    block_rows, block_columns = lengths[-3:-1]
    if type(rows) is not int or type(columns) is not int:
        return None
    try:
        counts = [
            recorder.values.of(recorder.handed.twin(t), recorder.calls)
            for t in (cut_blocks, whole_blocks)
            if t is not None
        ]
    except UnknownValueError:
        return None
    masks = counts[0].numel() // counts[0].shape[-1]  # one per batch and head, or one for all
    blocks = sum(int(t.sum()) for t in counts)
    return int(min(blocks * block_rows * block_columns // masks, rows * columns))


_SPECIAL: dict[str, Callable[..., Any]] = {
    "cond": _cond,
    "while_loop": _while_loop,
    "flex_attention": _flex_attention,
}
