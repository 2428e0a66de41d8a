"""Types that an ONNX graph declares for its values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .names import Sizes
from .stored import dtype_of
from .values import Shape, Size


class DeclaredTypes:
    """Name -> declared dtype and shape, of the results in one graph."""

    def __init__(self) -> None:
        self._types: dict[str, Any] = {}

    def read(self, graph: Any) -> None:
        """Take the types of a `GraphProto`."""
        for infos in (graph.value_info, graph.output):
            self._types.update((info.name, info.type) for info in infos)

    def _tensor(self, name: str) -> Any:
        declared = self._types.get(name)
        return declared.tensor_type if declared is not None and declared.HasField("tensor_type") else None

    def dtype(self, name: str) -> str:
        """Return a dtype; empty if none is declared."""
        tensor = self._tensor(name)
        return dtype_of(tensor.elem_type) if tensor is not None and tensor.elem_type else ""

    def shape(self, name: str, sizes: Sizes, new: Callable[[], Size] | None) -> Shape | None:
        """Return a shape; None if none is declared.

        Args:
            name: Name of the value.
            sizes: Named sizes.
            new: Returns the length of a dimension that no input has; None to return None for such a shape.
        """
        tensor = self._tensor(name)
        if tensor is None or not tensor.HasField("shape"):
            return None
        shape: list[Size] = []
        for dim in tensor.shape.dim:
            length = int(dim.dim_value) if dim.HasField("dim_value") else sizes.known(dim.dim_param)
            if length is None or (isinstance(length, int) and length < 0):
                if new is None:
                    return None
                length = new()
            shape.append(length)
        return tuple(shape)
