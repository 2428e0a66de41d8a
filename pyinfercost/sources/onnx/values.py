"""Values of an ONNX graph while it is read: a tensor's description, with its content where shapes may depend on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyinfercost._core import Expr, TensorId

from .stored import OnnxError, StoredTensor

Size = int | Expr
Shape = tuple[Size, ...]

_MOST_DIMENSIONS = 64
MOST_KNOWN = 4096
"""Elements of a tensor whose content is tracked: shapes, indices, scale factors."""


class Value:
    """A tensor.

    Attributes:
        dtype: The core's name of the element type.
        shape: Its lengths.
        strides: Strides in elements; None for row-major.
        stored: The initializer that it is.
        make: Emits the nodes of a value that has none yet, and returns its tensor; None after that.
        source: For a quantized tensor read as floats, how it is stored.
        product: For the result of a product that may still be joined with the following nodes, that product.
        base: For the transpose of the last two dimensions of another value, that value.
        name: Name of a graph's input or of a returned cache.
    """

    __slots__ = ("_data", "base", "dtype", "make", "name", "product", "shape", "source", "stored", "strides")

    def __init__(
        self,
        dtype: str,
        shape: Sequence[Size],
        *,
        strides: Sequence[Size] | None = None,
        data: NDArray[Any] | None = None,
        stored: StoredTensor | None = None,
        make: Callable[[], TensorId] | None = None,
        name: str = "",
    ) -> None:
        self.dtype = dtype
        if len(shape) > _MOST_DIMENSIONS:
            raise OnnxError(f"has a tensor of {len(shape)} dimensions; expected at most {_MOST_DIMENSIONS}")
        self.shape: Shape = tuple(shape)
        self.strides = None if strides is None else tuple(strides)
        self._data = data
        self.stored = stored
        self.make = make
        self.source: Any = None
        self.product: Any = None
        self.base: Value | None = None
        self.name = name

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def data(self) -> NDArray[Any] | None:
        """Its content, of numbers or of `Expr`; None if it is not known or too large to be tracked."""
        if self._data is None and self.stored is not None and self.stored.elements <= MOST_KNOWN:
            self._data = self.stored.array()
        return self._data

    @property
    def is_weight(self) -> bool:
        """Whether it is stored in the file."""
        return self.stored is not None

    def numbers(self) -> list[int] | None:
        """Return its content as integers; None if it is not known or symbolic."""
        data = self.data
        if data is None:
            return None
        found = []
        for item in data.reshape(-1).tolist():
            if not isinstance(item, (int, float)) or not math.isfinite(item):
                return None
            found.append(int(item))
        return found

    def sizes(self) -> list[Size] | None:
        """Return its content as sizes, symbolic ones included; None if it is not known."""
        data = self.data
        if data is None:
            return None
        found: list[Size] = []
        for item in data.reshape(-1).tolist():
            if isinstance(item, Expr):
                found.append(item)
            elif isinstance(item, (int, bool)) or (isinstance(item, float) and item.is_integer()):
                found.append(int(item))
            else:
                return None
        return found

    def floats(self) -> list[float] | None:
        """Return its content as floats; None if it is not known or symbolic."""
        data = self.data
        if data is None:
            return None
        items = data.reshape(-1).tolist()
        if not all(isinstance(item, (int, float, bool)) for item in items):
            return None
        return [float(item) for item in items]

    def scalar(self) -> Any:
        """Return its only element; None if it has several or is not known."""
        data = self.data
        if data is None or data.size != 1:
            return None
        item = data.reshape(-1).tolist()[0]
        return item if isinstance(item, (int, float, bool, Expr)) else None


class Sequenced:
    """A sequence of values, or an optional one.

    Attributes:
        items: The values.
        dtype: Element type of its tensors, for an empty one.
    """

    __slots__ = ("dtype", "items")

    def __init__(self, items: Sequence[Value | Sequenced], dtype: str = "float32") -> None:
        self.items = list(items)
        self.dtype = dtype


def symbolic(items: Sequence[Size]) -> NDArray[Any]:
    """Return sizes as the content of a tensor of one dimension."""
    if all(isinstance(item, int) for item in items):
        return np.array(items, dtype=np.int64)
    array = np.empty(len(items), dtype=object)
    for place, item in enumerate(items):
        array[place] = item
    return array
