"""Interface of the record of a capture for shape rules, operators that take functions, and the writer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from types import FrameType

    from ..tensors.packed_weights import PackedWeights
    from .calls import Call
    from .lifetimes import HandedOut
    from .signatures import Signatures
    from .values import Values


class Record(Protocol):
    """The calls of a forward and their tensors.

    Attributes:
        packed: Weights packed in script objects.
        calls: The calls so far, in order.
        module: Path of the running module.
        handed: Tensors of the model and their aliases in the record.
        backward_from: Index of the first call of backward, in a training step.
        signatures: Metadata of tensors.
        packed_ops: Operators that take weights packed in script objects.
    """

    packed: PackedWeights
    calls: list[Call]
    module: str
    handed: HandedOut
    backward_from: int | None
    signatures: Signatures
    packed_ops: set[Any]

    @property
    def values(self) -> Values:
        """Values of tensors that follow from the inputs."""

    def append(self, op: Any, args: Any, kwargs: Any, result: Any, frame: FrameType | None) -> None:
        """Record one call; `frame` is its place in the model."""
