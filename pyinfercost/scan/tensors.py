"""Scans of torch tensors: strided, sparse, semi-structured, quantized and wrapped ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ..errors import Error
from ..results.sparsity import Figures, Magnitudes
from ..sources.tensors.tensor_parts import PLAIN, Part, parts_of
from . import SparsityError
from .arrays import Layout, element_only, form_of_dtype, packed_bytes, scan_memory, scan_windows, with_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMS = {
    torch.sparse_coo: "coo",
    torch.sparse_csr: "csr",
    torch.sparse_csc: "csc",
    torch.sparse_bsr: "bsr",
    torch.sparse_bsc: "bsc",
}
_INDICES = ("crow_indices", "col_indices", "ccol_indices", "row_indices")
_QUANTIZED = {torch.qint8: "int8", torch.quint8: "uint8", torch.qint32: "int32", torch.quint4x2: "uint4"}
_BYTE_BITS = 8
_NIBBLE_BITS = 4


class Found(NamedTuple):
    """Result of the scan of one tensor."""

    form: str
    dtype: str
    figures: Figures
    magnitudes: Magnitudes | None
    note: str = ""


def scan_tensor(tensor: torch.Tensor, threads: int, *, magnitudes: bool = True) -> Found:
    """Scan a tensor.

    Args:
        tensor: A tensor of any layout.
        threads: Number of threads.
        magnitudes: Whether to sample the magnitudes of a strided tensor, which takes longer than a small scan itself.

    Returns:
        The counts, and None for magnitudes that were not sampled.

    Raises:
        SparsityError: The tensor has no values, or its elements are not numbers.
    """
    try:
        return _scan_tensor(tensor, threads, magnitudes=magnitudes)
    except RuntimeError as error:  # also NotImplementedError: torch has no kernel for some dtypes and layouts
        if isinstance(error, Error):
            raise
        raise SparsityError(
            f"torch cannot read a tensor of dtype {tensor.dtype} and layout {tensor.layout} here ({error}); expected "
            "one that torch converts to dense values"
        ) from error


def _scan_tensor(tensor: torch.Tensor, threads: int, *, magnitudes: bool) -> Found:
    tensor = tensor.detach()
    if tensor.is_meta:
        raise SparsityError("it is on the meta device and has no values; pass a model with weights")
    if isinstance(tensor, _semi_structured_type()):
        return _semi_structured(tensor, threads)
    whole: Any = tensor
    if type(tensor) not in PLAIN and is_traceable_wrapper_subclass(whole):
        return _of_parts(whole, threads)
    if tensor.is_quantized:
        return _quantized(tensor, threads)
    if tensor.layout in _FORMS:
        return _sparse(tensor, threads)
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    return _strided(tensor, threads, magnitudes=magnitudes)


def dtype_name(dtype: torch.dtype) -> str:
    """Return torch's name of a dtype without `torch.`."""
    return str(dtype).removeprefix("torch.")


def _strided(tensor: torch.Tensor, threads: int, *, dtype: str = "", zero: int = 0, magnitudes: bool = True) -> Found:
    name = dtype or dtype_name(tensor.dtype)
    kind = type(tensor).__name__
    tensor = tensor.cpu().resolve_conj().resolve_neg()
    width = tensor.element_size()
    if tensor.numel() and not _address(tensor):
        raise SparsityError(f"its type {kind} has no readable memory; expected a tensor with storage of its own")
    if name == "float4_e2m1fn_x2":
        tensor = tensor.contiguous()
        last = tensor.shape[-1] if tensor.dim() else 1
        layout = Layout(name, (*tensor.shape[:-1], 2 * last))
    else:
        layout = Layout(name, tuple(tensor.shape), tuple(width * stride for stride in tensor.stride()), zero)
    try:
        figures, sampled = scan_memory(layout, tensor.data_ptr(), threads, magnitudes=magnitudes)
    except ValueError as error:
        raise SparsityError(str(error)) from error
    return Found(form_of_dtype(name), name, figures, sampled if magnitudes else None)


def _address(tensor: torch.Tensor) -> int:
    """Return the address of a tensor; 0 for a subclass without memory of its own."""
    try:
        return tensor.data_ptr()
    except RuntimeError:
        return 0


# ---- sparse layouts --------------------------------------------------------------------------------------------------


def _sparse(tensor: torch.Tensor, threads: int) -> Found:
    """Scan a sparse tensor as a dense one, materialized a few rows at a time."""
    form = _FORMS[tensor.layout]
    stored = _stored_bytes(tensor)
    places = tensor.cpu()
    if form != "coo":
        places = places.to_sparse(layout=torch.sparse_coo)
    places = places.coalesce()  # duplicate entries of one position are summed
    shape = tuple(tensor.shape)
    layout = Layout(dtype_name(tensor.dtype), shape)
    values = places.values()
    dense = shape[places.sparse_dim() :]
    # Offset of each entry's block of values in the flattened tensor.
    step = torch.Size(dense).numel()
    first = torch.zeros(values.shape[0], dtype=torch.int64)
    for size, index in zip(shape[: places.sparse_dim()], places.indices(), strict=True):
        first = first * size + index
    begins = first * step  # ascending, since the entries are sorted
    rows_of = max(1, layout.columns)
    width = values.element_size()

    def make(row: int, count: int) -> Any:
        start, stop = row * rows_of, (row + count) * rows_of
        low, high = (int(at) for at in torch.searchsorted(begins, torch.tensor([start - step + 1, stop])))
        piece = torch.zeros(count * rows_of, dtype=values.dtype)
        held = values[low:high].reshape(-1)
        at = (begins[low:high, None] - start + torch.arange(step)).reshape(-1)
        inside = (at >= 0) & (at < piece.numel())
        piece[at[inside]] = held[inside]
        return piece.view(torch.uint8).numpy() if width else piece.numpy()

    try:
        figures, magnitudes = scan_windows(layout, make, threads)
    except ValueError as error:
        raise SparsityError(str(error)) from error
    return Found(form, layout.dtype, with_bytes(figures, stored), magnitudes)


def _stored_bytes(tensor: torch.Tensor) -> int:
    if tensor.layout is torch.sparse_coo:
        return tensor._values().nbytes + tensor._indices().nbytes
    parts = [tensor.values()]
    for name in _INDICES:
        try:
            parts.append(getattr(tensor, name)())
        except RuntimeError:  # an index tensor of another layout
            continue
    return sum(part.nbytes for part in parts)


# ---- 2:4 -------------------------------------------------------------------------------------------------------------


def _semi_structured_type() -> type:
    from torch.sparse import SparseSemiStructuredTensor

    return SparseSemiStructuredTensor


def _semi_structured(tensor: Any, threads: int) -> Found:
    """Scan a 2:4 tensor as its dense equivalent or, if only its kernels can unpack it, by its layout."""
    packed, meta = tensor.packed, tensor.meta
    held = [part for part in (packed, meta, tensor.packed_t, tensor.meta_t) if part is not None]
    unique = {part.data_ptr(): part.nbytes for part in held}
    stored = sum(unique.values())
    if packed is not None and meta is not None:
        from torch.sparse import _semi_structured_conversions

        conversions: Any = _semi_structured_conversions
        dense = conversions.sparse_semi_structured_to_dense_cutlass(packed.cpu(), meta.cpu())
        rows, columns = tensor.shape
        found = _strided(dense[:rows, :columns], threads)
        return found._replace(form="semi_structured", figures=with_bytes(found.figures, stored))
    # Packed by another library: half of all elements are stored, some of which may be zero.
    elements = tensor.numel()
    figures = Figures(elements=elements, zeros=elements // 2, stored_bytes=stored)
    note = "by layout: half of the elements are zero; the stored ones were not scanned"
    return Found("semi_structured", dtype_name(tensor.dtype), figures, None, note)


# ---- quantized -------------------------------------------------------------------------------------------------------


def _quantized(tensor: Any, threads: int) -> Found:
    """Scan a quantized tensor of torch: integers equal to their zero point are zeros."""
    name = _QUANTIZED.get(tensor.dtype)
    if name is None:
        raise SparsityError(f"its dtype is {tensor.dtype}, expected one of {', '.join(map(str, _QUANTIZED))}")
    whole = tensor.int_repr()
    if tensor.qscheme() is torch.per_tensor_affine:
        zero, note = int(tensor.q_zero_point()), ""
    else:
        zero, note = _common_zero(tensor.q_per_channel_zero_points())
    if name == "uint4":
        elements = torch.Size(tensor.shape).numel()
        layout = Layout(name, tuple(tensor.shape), None, zero)
        figures, magnitudes = scan_memory(layout, whole.contiguous().data_ptr(), threads)
        return Found("quantized", name, with_bytes(figures, packed_bytes(name, elements)), magnitudes, note)
    found = _strided(whole, threads, dtype=name, zero=zero)
    return found._replace(form="quantized", note=note)


def _common_zero(points: torch.Tensor | None) -> tuple[int, str]:
    """Return the zero point shared by all channels, or 0 with a note."""
    if points is None or points.numel() == 0:
        return 0, ""
    unique = torch.unique(points.detach().cpu().float())
    if unique.numel() == 1 and float(unique[0]).is_integer():
        return int(unique[0]), ""
    return 0, "zeros of the integers; zero points differ between channels, so the weight has other zeros"


def _of_parts(tensor: Any, threads: int) -> Found:
    """Scan a tensor subclass that wraps others, such as torchao's. The largest inner tensor has the elements."""
    parts = parts_of("", tensor)
    data = next(part for part in parts if part.logical_numel)
    stored = sum(part.tensor.nbytes for part in parts)
    inner = data.tensor.detach()
    note = ""
    if inner.layout in _FORMS or type(inner) not in PLAIN:
        found = scan_tensor(inner, threads)
        return found._replace(figures=with_bytes(found.figures, stored))
    elements = tensor.numel()
    bits = _BYTE_BITS * inner.nbytes / elements if elements else _BYTE_BITS
    whole = not inner.is_floating_point()
    zero, note = _zero_of(parts, inner) if whole else (0, "")
    if bits == _NIBBLE_BITS and inner.dtype in {torch.uint8, torch.int8}:
        inner = inner.contiguous()
        rows = (*inner.shape[:-1], 2 * inner.shape[-1])
        name = dtype_name(inner.dtype)[:-1] + "4"
        unsigned = name.startswith("u") and zero > 0
        layout = Layout(name if unsigned or zero < 0 else name.removeprefix("u"), rows, None, zero)
        figures, magnitudes = scan_memory(layout, inner.cpu().data_ptr(), threads)
        found = Found("quantized", layout.dtype, figures, magnitudes, note)
        in_order = rows == tuple(tensor.shape)
    elif bits < _BYTE_BITS or inner.numel() != elements:
        # A kernel's own tiling: the bits of each element are known, the order of elements is not.
        shape = (elements,) if bits == _NIBBLE_BITS else (inner.nbytes,)
        name = "uint4" if bits == _NIBBLE_BITS else "uint8"
        inner = inner.contiguous().cpu()
        figures, magnitudes = scan_memory(Layout(name, shape, None, zero), inner.data_ptr(), threads)
        found = Found("quantized", name, figures, magnitudes, note)
        in_order = False
    else:
        found = _strided(inner, threads, zero=zero)
        in_order = tuple(inner.shape) == tuple(tensor.shape)
    if not in_order:
        order = "stored in a kernel's own order: only elements are counted"
        found = found._replace(figures=element_only(found.figures), note="; ".join(filter(None, (note, order))))
    form = "quantized" if whole or found.form == "quantized" else found.form
    return found._replace(form=form, note=found.note or note, figures=with_bytes(found.figures, stored))


def _zero_of(parts: list[Part], data: torch.Tensor) -> tuple[int, str]:
    named: Mapping[str, torch.Tensor] = {part.name: part.tensor for part in parts}
    points = [t for name, t in named.items() if "zero" in name and t is not data]
    return _common_zero(points[0] if points else None)
