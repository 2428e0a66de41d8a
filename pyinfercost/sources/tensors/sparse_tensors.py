"""Sparse tensors in a capture: values and indices as tensors in memory, and products on them.

Torch's meta device has no kernels for sparse products. A sparse tensor becomes a `SparseMeta` made of meta tensors for
its values and indices, whose dispatch maps each operator to one on those: a product to `pyinfercost.sparse_product`,
which has a row in the operator tables. The number of stored values is the length of the values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...errors import UnsupportedError

_COMPRESSED = {
    torch.sparse_csr: ("crow_indices", "col_indices"),
    torch.sparse_csc: ("ccol_indices", "row_indices"),
    torch.sparse_bsr: ("crow_indices", "col_indices"),
    torch.sparse_bsc: ("ccol_indices", "row_indices"),
}
_TURNED = {
    torch.sparse_coo: torch.sparse_coo,
    torch.sparse_csr: torch.sparse_csc,
    torch.sparse_csc: torch.sparse_csr,
    torch.sparse_bsr: torch.sparse_bsc,
    torch.sparse_bsc: torch.sparse_bsr,
}
_MATRIX = 2


class SparseMeta(torch.Tensor):
    """A sparse tensor without data.

    Attributes:
        stored: Meta tensors by name: `values`, and `indices` or a pair of compressed and plain indices.
    """

    stored: dict[str, torch.Tensor]
    sparse_layout: torch.layout

    @staticmethod
    def __new__(
        cls, shape: Sequence[int], layout: torch.layout, stored: dict[str, torch.Tensor], dtype: Any = None
    ) -> SparseMeta:
        make: Any = torch.Tensor._make_wrapper_subclass
        made: SparseMeta = make(cls, tuple(shape), dtype=dtype or stored["values"].dtype, device="meta")
        made.stored, made.sparse_layout = stored, layout
        for name, part in stored.items():  # `values` itself is a tensor method
            setattr(made, f"stored_{name}", part)
        return made

    def __tensor_flatten__(self) -> tuple[list[str], Any]:
        return [f"stored_{name}" for name in self.stored], self.sparse_layout

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, torch.Tensor], context: Any, shape: Any, stride: Any) -> SparseMeta:
        del stride
        return SparseMeta(shape, context, {name.removeprefix("stored_"): part for name, part in inner.items()})

    @property
    def layout(self) -> torch.layout:  # type: ignore[override]
        return self.sparse_layout

    @property
    def is_sparse(self) -> bool:  # type: ignore[override]
        return self.sparse_layout is torch.sparse_coo

    @property
    def is_sparse_csr(self) -> bool:  # type: ignore[override]
        return self.sparse_layout is torch.sparse_csr

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        del types
        rule = _RULES.get(func.overloadpacket)
        result = NotImplemented if rule is None else rule(*args, **(kwargs or {}))
        if result is NotImplemented:
            raise UnsupportedError(
                f"no rule for {func} on a sparse tensor; expected a product with a dense one or an operation on the "
                "stored values, or call to_dense() first"
            )
        return result


def is_sparse(tensor: torch.Tensor) -> bool:
    """Return whether a tensor has a sparse layout of torch and is not a `SparseMeta`."""
    return tensor.layout is not torch.strided and type(tensor) is not SparseMeta and not tensor.is_mkldnn


def sparse_twin(tensor: torch.Tensor) -> SparseMeta:
    """Return a `SparseMeta` with the layout, shape, dtype and number of stored values of a sparse tensor."""

    def twin(part: torch.Tensor) -> torch.Tensor:
        return torch.empty_strided(part.shape, part.stride(), dtype=part.dtype, device="meta")

    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        parts = {"values": tensor._values(), "indices": tensor._indices()}
    else:
        parts = {"values": tensor.values()} | {name: getattr(tensor, name)() for name in _COMPRESSED[tensor.layout]}
    return SparseMeta(tensor.shape, tensor.layout, {name: twin(part) for name, part in parts.items()})


# ---- operators on stored parts ---------------------------------------------------------------------------------------

_library: Any = torch.library.Library("pyinfercost", "FRAGMENT")  # type: ignore[no-untyped-call]
# `rows` and `inner` are the lengths of the sparse matrix along the result and along the sum.
_library.define(
    "sparse_product(Tensor values, Tensor[] indices, Tensor dense, SymInt rows, SymInt inner, SymInt[] shape, "
    "Tensor? added=None) -> Tensor"
)
_library.define("sparse_sampled(Tensor values, Tensor[] indices, Tensor left, Tensor right, SymInt rows) -> Tensor")
_library.define("sparse_to_dense(Tensor values, Tensor[] indices, SymInt[] shape) -> Tensor")


@torch.library.impl(_library, "sparse_product", "Meta")
def _product_kernel(
    values: Any, indices: Any, dense: torch.Tensor, rows: Any, inner: Any, shape: Any, added: Any = None
) -> torch.Tensor:
    del values, indices, rows, inner, added
    return dense.new_empty(shape)


@torch.library.impl(_library, "sparse_sampled", "Meta")
def _sampled_kernel(values: torch.Tensor, indices: Any, left: Any, right: Any, rows: Any) -> torch.Tensor:
    del indices, left, right, rows
    return torch.empty_like(values)


@torch.library.impl(_library, "sparse_to_dense", "Meta")
def _to_dense_kernel(values: torch.Tensor, indices: Any, shape: Any) -> torch.Tensor:
    del indices
    return values.new_empty(shape)


def _indices(matrix: SparseMeta) -> list[torch.Tensor]:
    return [part for name, part in matrix.stored.items() if name != "values"]


def _product(left: Any, right: Any, added: Any = None) -> Any:
    """Return `left @ right` with one sparse operand; the dense one may have leading dimensions."""
    if isinstance(left, SparseMeta) == isinstance(right, SparseMeta):  # the work of two sparse ones depends on indices
        return NotImplemented
    matrix, dense = (left, right) if isinstance(left, SparseMeta) else (right, left)
    rows, inner = matrix.shape[-2:] if matrix is left else reversed(matrix.shape[-2:])
    if dense.shape[0 if dense.dim() == 1 else -2 if matrix is left else -1] != inner:
        raise RuntimeError(f"shapes {tuple(left.shape)} and {tuple(right.shape)} cannot be multiplied")
    if dense.dim() == 1:
        shape = [*matrix.shape[:-2], rows]
    elif matrix is left:
        shape = [*dense.shape[:-2], rows, dense.shape[-1]]
    else:
        shape = [*dense.shape[:-1], rows]
    if matrix.dim() > _MATRIX:  # each batch item has its own values and columns
        inner = inner * matrix.shape[:-2].numel()
    return torch.ops.pyinfercost.sparse_product(
        matrix.stored["values"], _indices(matrix), dense, rows, inner, shape, added
    )


def _added_product(added: Any, left: Any, right: Any, **_: Any) -> Any:
    return NotImplemented if isinstance(added, SparseMeta) else _product(left, right, added)


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    return _product(x, _turned(weight), bias) if isinstance(weight, SparseMeta) else NotImplemented


def _sampled(places: Any, left: Any, right: Any, **_: Any) -> Any:
    if not isinstance(places, SparseMeta) or isinstance(left, SparseMeta) or isinstance(right, SparseMeta):
        return NotImplemented
    values = torch.ops.pyinfercost.sparse_sampled(
        places.stored["values"], _indices(places), left, right, places.shape[-2]
    )
    return _with_values(places, values)


def _to_dense(matrix: SparseMeta, dtype: Any = None, **_: Any) -> Any:
    dense = torch.ops.pyinfercost.sparse_to_dense(matrix.stored["values"], _indices(matrix), list(matrix.shape))
    return dense if dtype is None else dense.to(dtype)


def _with_values(matrix: SparseMeta, values: torch.Tensor) -> SparseMeta:
    return SparseMeta(matrix.shape, matrix.sparse_layout, {**matrix.stored, "values": values})


def _turned(matrix: SparseMeta, first: int = 0, second: int = 1) -> Any:
    if {first % matrix.dim(), second % matrix.dim()} != {matrix.dim() - 2, matrix.dim() - 1}:
        return NotImplemented
    shape = [*matrix.shape[:-2], matrix.shape[-1], matrix.shape[-2]]
    layout = _TURNED[matrix.sparse_layout]
    names = _COMPRESSED.get(layout, ("indices",))
    parts = dict(zip(names, _indices(matrix), strict=True))
    return SparseMeta(shape, layout, {"values": matrix.stored["values"], **parts})


def _on_values(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a rule that applies a function to stored values only; the function maps zero to zero."""

    def rule(matrix: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(matrix, SparseMeta) or any(isinstance(a, torch.Tensor) and a.dim() > 0 for a in args):
            return NotImplemented
        return _with_values(matrix, function(matrix.stored["values"], *args, **kwargs))

    return rule


def _softmax(matrix: SparseMeta, dim: int, *_: Any, **__: Any) -> SparseMeta:
    """Softmax over the stored values of each row."""
    del dim
    return _with_values(matrix, torch.softmax(matrix.stored["values"], 0))


def _sum(matrix: SparseMeta, *args: Any, **kwargs: Any) -> Any:
    return NotImplemented if args or kwargs else matrix.stored["values"].sum()


def _copied(matrix: SparseMeta, *, dtype: Any = None, **_: Any) -> SparseMeta:
    values = matrix.stored["values"]
    return _with_values(matrix, values if dtype in {None, values.dtype} else values.to(dtype))


def _kept(matrix: Any, *_: Any, **__: Any) -> Any:
    """A gradient that autograd keeps: it copies one that is also in the record, where a real step passes it on."""
    return matrix if isinstance(matrix, SparseMeta) else NotImplemented


def _joined(left: Any, right: Any, **scale: Any) -> Any:
    """The sum of two gradients, with the stored values of both: torch may merge values of equal rows."""
    both = (left, right)
    if scale or any(not isinstance(side, SparseMeta) or side.sparse_layout is not torch.sparse_coo for side in both):
        return NotImplemented
    values, indices = (
        torch.cat([side.stored[name] for side in both], dim) for name, dim in (("values", 0), ("indices", 1))
    )
    return SparseMeta(left.shape, torch.sparse_coo, {"values": values, "indices": indices})


def _part(name: str) -> Callable[[SparseMeta], Any]:
    return lambda matrix: matrix.stored.get(name, NotImplemented)


_aten: Any = torch.ops.aten
_RULES: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys((_aten.mm, _aten.bmm, _aten.mv, _aten.matmul, _aten._sparse_mm), _product),
    **dict.fromkeys((_aten.addmm, _aten.addmv, _aten.baddbmm, _aten._sparse_addmm), _added_product),
    _aten.linear: _linear,
    _aten.sparse_sampled_addmm: _sampled,
    **dict.fromkeys((_aten.to_dense, _aten._to_dense), _to_dense),
    **dict.fromkeys((_aten.t, _aten.transpose), _turned),
    **dict.fromkeys((_aten._sparse_softmax, _aten._sparse_log_softmax), _softmax),
    **{
        op: _on_values(op)
        for op in (_aten.mul, _aten.div, _aten.neg, _aten.abs, _aten.relu, _aten.sqrt, _aten.sin, _aten.tanh, _aten.pow)
    },
    _aten.sum: _sum,
    **dict.fromkeys((_aten.detach, _aten.alias, _aten.coalesce, _aten.clone, _aten.contiguous), lambda x, **_: x),
    **dict.fromkeys((_aten._to_copy,), _copied),
    **dict.fromkeys((_aten.new_empty_strided, _aten.copy_), _kept),
    _aten.add: _joined,
    _aten.is_coalesced: lambda _: True,
    _aten._nnz: lambda matrix: matrix.stored["values"].shape[0],
    **dict.fromkeys((_aten.values, _aten._values), _part("values")),
    **dict.fromkeys((_aten.indices, _aten._indices), _part("indices")),
    **{getattr(_aten, name): _part(name) for pair in _COMPRESSED.values() for name in pair},
}


def _coordinates(indices: torch.Tensor, values: torch.Tensor, size: Any = None, **_: Any) -> Any:
    return (
        NotImplemented if size is None else SparseMeta(size, torch.sparse_coo, {"values": values, "indices": indices})
    )


def _of_gradient(_: int, __: int, size: Any, indices: torch.Tensor, values: torch.Tensor, **___: Any) -> SparseMeta:
    """Return a sparse tensor as the backward of an embedding with sparse gradients makes it."""
    return SparseMeta(size, torch.sparse_coo, {"values": values, "indices": indices})


def _compressed(layout: torch.layout) -> Callable[..., Any]:
    def make(compressed: torch.Tensor, plain: torch.Tensor, values: torch.Tensor, size: Any = None, **_: Any) -> Any:
        if size is None:
            return NotImplemented
        parts = dict(zip(_COMPRESSED[layout], (compressed, plain), strict=True))
        return SparseMeta(size, layout, {"values": values, **parts})

    return make


def _of_layout(compressed: Any, plain: Any, values: Any, size: Any = None, *, layout: Any = None, **_: Any) -> Any:
    return _compressed(layout)(compressed, plain, values, size) if layout in _COMPRESSED else NotImplemented


# Constructors of sparse tensors from parts in a forward.
CONSTRUCTORS: dict[Any, Callable[..., Any]] = {
    _aten.sparse_coo_tensor.indices_size: _coordinates,
    _aten._sparse_coo_tensor_unsafe.default: _coordinates,
    _aten._sparse_coo_tensor_with_dims_and_tensors.default: _of_gradient,
    _aten.sparse_csr_tensor.crow_col_value_size: _compressed(torch.sparse_csr),
    _aten.sparse_csc_tensor.ccol_row_value_size: _compressed(torch.sparse_csc),
    _aten.sparse_compressed_tensor.comp_plain_value_size: _of_layout,
    _aten._sparse_compressed_tensor_unsafe.default: _of_layout,
    _aten._sparse_csr_tensor_unsafe.default: _compressed(torch.sparse_csr),
    _aten._sparse_csc_tensor_unsafe.default: _compressed(torch.sparse_csc),
}
