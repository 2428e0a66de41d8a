"""Rounding of tensors to the values that a format can hold: scales per row, group or block, and the elements' own grid.

The rounded tensor keeps its dtype, so that any kernel computes with exactly those values.
"""

from __future__ import annotations

import torch

from ..formats.table import Format
from . import NotApplicableError

_LARGEST = {"int8": 127.0, "int4": 7.0, "float8_e4m3fn": 448.0, "float4_e2m1fn_x2": 6.0}
# Of float4 e2m1: OCP Microscaling Formats specification 1.0, table 5.
_FLOAT4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
# Exponent of the largest element, which a scale of a power of two leaves to the elements (the same, section 6.3).
_EXPONENTS = {"float8_e4m3fn": 8, "float4_e2m1fn_x2": 2}
_SCALES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_LARGEST_SCALE = 448.0  # of float8 e4m3
_INT4_STEPS = 15.0
_Q4_0_LEAST = -8.0


def rounded_weight(matrix: torch.Tensor, form: Format) -> torch.Tensor:
    """Return a weight with the values that a format can hold.

    Scales follow from the largest values of each row, group or block, and elements are rounded to the nearest. GPTQ and
    AWQ, which use data, lose less.

    Args:
        matrix: The weight as [outputs, inputs].
        form: The format.

    Returns:
        The rounded weight, of the same shape and dtype.
    """
    return _in_blocks(matrix, form, rows=form.rows, group=form.group)


def rounded_rows(values: torch.Tensor, form: Format) -> torch.Tensor:
    """Return activations as a kernel quantizes them before a product: a scale per row, or per group of a row."""
    flat = values.reshape(-1, values.shape[-1])
    return _in_blocks(flat, form, rows=1, group=form.group).reshape(values.shape)


def rounded_tensor(values: torch.Tensor, form: Format, largest: float | None = None) -> torch.Tensor:
    """Return activations with one scale, of a known magnitude, beyond which values saturate, or of their own."""
    wide = values.float()
    size = wide.abs().amax() if largest is None else torch.tensor(largest, device=values.device)
    return _on_grid(wide, size / _LARGEST[form.dtype], form).to(values.dtype)


def kept_2_4(matrix: torch.Tensor) -> torch.Tensor:
    """Return a weight, [outputs, inputs], with the two largest of each four consecutive inputs, and zeros."""
    groups = matrix.reshape(matrix.shape[0], -1, 4)
    kept = groups.abs().topk(2, dim=2).indices
    return torch.zeros_like(groups).scatter(2, kept, groups.gather(2, kept)).reshape(matrix.shape)


def _in_blocks(matrix: torch.Tensor, form: Format, *, rows: int | None, group: int | None) -> torch.Tensor:
    """Round a matrix in blocks of rows and columns that share a scale; None for all of them."""
    if form.dtype not in _LARGEST:
        raise NotApplicableError(f"values of {form.name} cannot be rounded; pass a candidate that applies it")
    height, width = matrix.shape
    tall = min(height if rows is None else rows, height)
    wide = min(width if group is None else group, width)
    values = matrix.float()
    # Smaller blocks at the ends repeat their last row or column, which changes neither of their extremes.
    down = torch.arange(-(-height // tall) * tall, device=matrix.device).clamp(max=height - 1)
    across = torch.arange(-(-width // wide) * wide, device=matrix.device).clamp(max=width - 1)
    blocks = values[down][:, across].reshape(len(down) // tall, tall, len(across) // wide, wide).transpose(1, 2)
    rounded = _with_scales(blocks.flatten(2), form).reshape(blocks.shape).transpose(1, 2)
    return rounded.reshape(len(down), len(across))[:height, :width].to(matrix.dtype)


def _with_scales(blocks: torch.Tensor, form: Format) -> torch.Tensor:
    """Round blocks, the last dimension, each with its own scale."""
    if form.dtype == "int4" and form.zero is not None:
        return _with_zero_points(blocks, form)
    size = blocks.abs().amax(dim=-1, keepdim=True)
    if form.name.startswith("q4_0"):  # ggml: the value of largest magnitude becomes -8
        extreme = blocks.gather(-1, blocks.abs().argmax(dim=-1, keepdim=True))
        scale = _stored(extreme / _Q4_0_LEAST, form)
        return (blocks / _nonzero(scale)).round().clamp(_Q4_0_LEAST, -_Q4_0_LEAST - 1) * scale
    if form.name.startswith("nf4"):
        return _on_normal_grid(blocks, size)
    if form.scale == "uint8":
        exponent = torch.floor(torch.log2(_nonzero(size))) - _EXPONENTS[form.dtype]
        return _on_grid(blocks, torch.exp2(exponent), form)
    if form.scale == "float8_e4m3fn":  # NVFP4: scales of blocks are relative to one of the tensor
        whole = _nonzero(size.amax() / (_LARGEST[form.dtype] * _LARGEST_SCALE))
        scale = _float8(size / _LARGEST[form.dtype] / whole) * whole
        return _on_grid(blocks, scale, form)
    return _on_grid(blocks, _stored(size / _LARGEST[form.dtype], form), form)


def _with_zero_points(blocks: torch.Tensor, form: Format) -> torch.Tensor:
    """Round to 16 steps from the least to the largest value of a block, which includes 0 for whole zero points."""
    least, most = blocks.amin(dim=-1, keepdim=True), blocks.amax(dim=-1, keepdim=True)
    if form.zero != "int4":  # the kernel adds a float, the middle of the steps
        scale = _stored((most - least) / _INT4_STEPS, form)
        middle = _stored(least + 8 * scale, form)
        return ((blocks - least) / _nonzero(scale)).round().clamp(0, _INT4_STEPS).sub(8) * scale + middle
    least, most = least.clamp(max=0), most.clamp(min=0)
    scale = _stored((most - least) / _INT4_STEPS, form)
    zero = (-least / _nonzero(scale)).round().clamp(0, _INT4_STEPS)
    return ((blocks / _nonzero(scale)).round() + zero).clamp(0, _INT4_STEPS).sub(zero) * scale


def _on_grid(values: torch.Tensor, scale: torch.Tensor, form: Format) -> torch.Tensor:
    """Round values to multiples of a scale that the dtype has, saturated."""
    most = _LARGEST[form.dtype]
    units = (values / _nonzero(scale)).clamp(-most, most)
    if form.dtype == "float8_e4m3fn":
        return _float8(units) * scale
    if form.dtype == "float4_e2m1fn_x2":
        return _nearest(units.abs(), _FLOAT4) * units.sign() * scale
    return units.round() * scale


def _on_normal_grid(blocks: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """Round to the sixteen quantiles of NF4 (Dettmers et al., QLoRA, 2023, section 3 and its code)."""
    share = torch.tensor(0.9677083, dtype=torch.float64)  # of its code: keeps the ends finite
    upper = torch.special.ndtri(torch.linspace(float(share), 0.5, 9, dtype=torch.float64)[:-1])
    lower = -torch.special.ndtri(torch.linspace(float(share), 0.5, 8, dtype=torch.float64)[:-1])
    grid = torch.cat([lower, torch.zeros(1, dtype=torch.float64), upper]).sort().values
    return _nearest(blocks / _nonzero(size), tuple((grid / grid.max()).tolist())) * size


def _nearest(values: torch.Tensor, grid: tuple[float, ...]) -> torch.Tensor:
    """Return the nearest values of a rising grid."""
    steps = torch.tensor(grid, dtype=values.dtype, device=values.device)
    return steps[torch.bucketize(values, (steps[1:] + steps[:-1]) / 2)]


def _float8(values: torch.Tensor) -> torch.Tensor:
    return values.to(torch.float8_e4m3fn).to(values.dtype)


def _stored(scale: torch.Tensor, form: Format) -> torch.Tensor:
    """Return a scale rounded to its dtype."""
    dtype = _SCALES.get(form.scale or "")
    return scale if dtype is None else scale.to(dtype).to(scale.dtype)


def _nonzero(scale: torch.Tensor) -> torch.Tensor:
    return torch.where(scale == 0, torch.ones_like(scale), scale)
