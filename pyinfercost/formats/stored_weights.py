"""Storage of weights in other formats: the parameters that replace a parameter of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from .._core import TensorId
from .products import METADATA_COLUMNS, Product
from .table import Format, FormatError

if TYPE_CHECKING:
    from .._core import Graph, GraphRewriter, Quantity


@dataclass(frozen=True)
class Metadata:
    """Metadata of a quantized weight in a checkpoint, such as scales and zero points.

    Attributes:
        name: Name in the checkpoint: `weight_scale_inv`, `qzeros`.
        dtype: Dtype of its elements.
        elements: Number of elements; of a stack of matrices, of all matrices.
    """

    name: str
    dtype: str
    elements: int


class StoredWeights:
    """Store weights in other formats. A weight that several products share is stored once.

    Args:
        graph: The captured graph.
        rewriter: Its rewriter.
        metadata: Name of a parameter -> its stored metadata, which replaces the metadata of its format.
    """

    def __init__(
        self, graph: Graph, rewriter: GraphRewriter, metadata: Mapping[str, tuple[Metadata, ...]] | None = None
    ) -> None:
        self._graph, self._rewriter, self._metadata = graph, rewriter, metadata or {}
        self._known: dict[tuple[int, Format], dict[str, TensorId]] = {}

    def arguments(self, product: Product, form: Format) -> dict[str, TensorId]:
        """Return the arguments that replace `weight` and `bias` of a product: `weight`, `weight_scale` and so on.

        Raises:
            FormatError: The length of the weight's rows is no multiple of the elements that the format packs together.
        """
        args = dict(self.parameters(product.weight, form, transposed=product.transposed, stacked=product.stacked))
        if product.bias is not None:
            args["bias"] = TensorId(product.bias)
        return args

    def parameters(
        self, weight: int, form: Format, *, transposed: bool = False, stacked: bool = False
    ) -> Mapping[str, TensorId]:
        """Return the parameters that replace one: `weight`, `weight_scale` and so on.

        Args:
            weight: Number of the parameter.
            form: Its format.
            transposed: Whether matrices are stored as [inputs, outputs].
            stacked: Whether it is a stack of matrices.

        Raises:
            FormatError: As `arguments`.
        """
        key = (weight, form)
        if key not in self._known:
            made = self._cast(weight, form) if form.is_cast else self._store(weight, form, transposed, stacked)
            self._known[key] = made
        return self._known[key]

    def _cast(self, weight: int, form: Format) -> dict[str, TensorId]:
        old = self._graph.tensor(weight)
        name = f"{old.name or 'weight'}.{form.name}"
        cast = self._rewriter.tensor(
            form.dtype, old.shape, role="parameter", name=name, logical_numel=old.logical_numel
        )
        return {"weight": cast}

    def _store(self, weight: int, form: Format, transposed: bool, stacked: bool) -> dict[str, TensorId]:
        old = self._graph.tensor(weight)
        lengths = [length for length in old.shape if isinstance(length, int)]
        name = old.name or "weight"
        if len(lengths) < len(old.shape):
            raise FormatError(
                f"{old.name!r} has shape ({', '.join(map(str, old.shape))}) in named sizes; pass a graph whose weights "
                "have fixed shapes, such as `ChannelGroups.at()` returns"
            )
        logical_numel = prod(lengths) if old.logical_numel is None else old.logical_numel
        stack, matrix = (lengths[:1], lengths[1:]) if stacked else ([], lengths)
        rows, *columns = reversed(matrix) if transposed else matrix
        if form.semi_structured:
            return self._store_kept(name, old.dtype, rows, columns[0], logical_numel)
        if columns[-1] % form.values:
            raise FormatError(
                f"{old.name!r} has rows of {columns[-1]}; {form.name} needs a multiple of {form.values}, the number of "
                "weights in a byte"
            )
        if form.block and form.group is not None and columns[-1] % form.group:
            raise FormatError(
                f"{old.name!r} has rows of {columns[-1]}; {form.name} needs a multiple of {form.group}, the number of "
                "weights in a block"
            )
        narrow = [*stack, rows, *columns[:-1], columns[-1] // form.values]
        made = {
            "weight": self._rewriter.tensor(
                form.dtype, narrow, role="parameter", name=f"{name}.{form.name}", logical_numel=logical_numel
            )
        }
        if name in self._metadata:
            parts = self._as_stored(name, stack)
        else:
            parts = _defined(form, stack, rows, prod(columns), columns[-1])
        for argument, (own, dtype, shape) in parts.items():
            made[argument] = self._rewriter.tensor(
                dtype, shape, role="parameter", name=f"{name}.{own}", logical_numel=0
            )
        return made

    def _as_stored(self, name: str, stack: list[int]) -> dict[str, tuple[str, str, list[int]]]:
        parts = {}
        for part in self._metadata[name]:
            each = -(-part.elements // prod(stack))
            parts[f"weight_{part.name}"] = (part.name, part.dtype, [*stack, each])
        return parts

    def _store_kept(self, name: str, dtype: str, rows: int, columns: int, logical_numel: int) -> dict[str, TensorId]:
        """Store the two kept weights of each group of four, and two bits of metadata for each."""
        if columns % METADATA_COLUMNS:
            raise FormatError(f"{name!r} has rows of {columns}; 2:4 kernels need a multiple of {METADATA_COLUMNS}")
        kept = self._rewriter.tensor(
            dtype, [rows, columns // 2], role="parameter", name=f"{name}.kept", logical_numel=logical_numel
        )
        places = self._rewriter.tensor(
            "int16", [rows, columns // METADATA_COLUMNS], role="parameter", name=f"{name}.places", logical_numel=0
        )
        return {"weight": kept, "places": places}


def _defined(
    form: Format, stack: list[int], rows: int, columns: int, inputs: int
) -> dict[str, tuple[str, str, list[int]]]:
    """Return the metadata that a format stores with a weight: argument -> name, dtype and shape."""
    grid = [
        1 if form.rows is None else -(-rows // form.rows),
        1 if form.group is None else -(-columns // form.group),
    ]
    parts = {}
    for kind, dtype in (("scale", form.scale), ("zero_point", form.zero)):
        if dtype is not None:
            parts[f"weight_{kind}"] = (kind, dtype, [*stack, *grid])
    if form.outer is not None:
        parts["weight_outer_scale"] = ("outer_scale", "float32", [*stack, -(-prod(grid) // form.outer)])
    if form.block and form.group is not None:
        parts["weight_block"] = ("block", "uint8", [*stack, rows, -(-columns // form.group) * form.block])
    if form.index is not None:
        parts["weight_group_index"] = ("group_index", form.index, [*stack, inputs])
    return parts


def ceil_div(length: Quantity, divisor: int) -> Quantity:
    """Return `length / divisor`, rounded up."""
    return (length + (divisor - 1)) // divisor
