"""What a capture writes down of each ATen call."""

from __future__ import annotations

from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch._ops import OpOverload


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded call: what was called on what, what came out, and where in the model."""

    op: OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    module: str
    source: tuple[CodeType, int] | None
