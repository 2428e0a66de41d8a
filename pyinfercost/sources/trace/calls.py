"""What a capture writes down of each ATen call."""

from __future__ import annotations

from types import CodeType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch._ops import OpOverload


class Call(NamedTuple):
    """One recorded call: what was called on what, what came out, and where in the model.

    `released` is how many of the tensors that the model was given had died when the call began.
    """

    op: OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    module: str
    source: tuple[CodeType, int] | None
    released: int = 0
