"""Record of one ATen call."""

from __future__ import annotations

from types import CodeType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch._ops import OpOverload


class Call(NamedTuple):
    """One recorded call: operator, operands, result, and place in the model.

    `released` is the number of tensors of the model that were freed before the call.
    """

    op: OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    module: str
    source: tuple[CodeType, int] | None
    released: int = 0
