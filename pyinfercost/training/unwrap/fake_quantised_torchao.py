"""The formats that modules of torchao's quantisation-aware training are converted to."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from .libraries import Notes

TORCHAO_CLASSES = (
    "torchao.quantization.qat.linear.FakeQuantizedLinear",
    "torchao.quantization.qat.embedding.FakeQuantizedEmbedding",
    "torchao.prototype.qat.nvfp4.NVFP4FakeQuantizedLinear",
    "torchao.prototype.qat.mx.MXFakeQuantizedLinear",
)
"""The classes, of which there are subclasses for some formats."""

_INTEGER = re.compile(r"u?int(\d)$", re.IGNORECASE)


def torchao_format(module: nn.Module, notes: Notes) -> str | None:
    """The format of `whatif` that a fake quantised module is converted to, or the nearest that stores it alike.

    Args:
        module: One of `TORCHAO_CLASSES`.
        notes: Gets what the format does not say.
    """
    activation, weight = _config(module, "activation"), _config(module, "weight")
    if isinstance(module, nn.Embedding):
        notes.add("counted as float: an embedding that will be quantised; formats are of products")
        return None
    if weight is None:
        notes.add("counted as float: a layer of which only the activations are to be quantised")
        return None
    kind = type(weight).__name__
    if kind == "NVFP4FakeQuantizeConfig":
        return "nvfp4_wo" if activation is None else "nvfp4_dynamic"
    if kind == "MXFakeQuantizeConfig":
        return _microscaling(weight, notes)
    if kind == "Int4WeightFakeQuantizeConfig":
        return _int4(weight.group_size, activation, notes)
    if kind == "Float8FakeQuantizeConfig":
        if type(weight.granularity).__name__ == "PerTensor":
            notes.add("one scale a row is counted for fp8 weights that have one in all")
        return "fp8_wo" if activation is None else "fp8_dynamic"
    return _integers(module, weight, activation, notes)


def _config(module: Any, of: str) -> Any:
    """How activations or weights are rounded: as a module says, or as its fake quantiser does."""
    if hasattr(module, f"{of}_config"):
        return getattr(module, f"{of}_config")
    return getattr(getattr(module, f"{of}_fake_quantizer", None), "config", None)


def _int4(group: int, activation: Any, notes: Notes) -> str:
    if activation is not None:
        dtype = str(activation.dtype).removeprefix("torch.")
        notes.add(
            f"counted as int4_wo, which stores weights alike: int4 weights under {dtype} activations, whose products "
            "are faster than those of int4_wo where a machine has kernels for both"
        )
    return f"int4_wo:{group}"


def _integers(module: Any, weight: Any, activation: Any, notes: Notes) -> str | None:
    found = _INTEGER.search(getattr(weight.dtype, "name", str(weight.dtype)))
    bits = int(found[1]) if found else 0
    group = getattr(weight.granularity, "group_size", None)
    if bits == 8:  # noqa: PLR2004
        if group is not None:
            notes.add(f"one scale a row is counted for int8 weights that have one for each {group}")
        if activation is None:
            return "int8_wo"
        return "int8_dynamic" if getattr(activation, "is_dynamic", True) else "int8_static"
    if not bits:
        notes.add(f"counted as float: weights of {weight.dtype}, which is no format of whatif")
        return None
    if bits != 4:  # noqa: PLR2004
        notes.add(f"counted as int4: weights of {bits} bits, which is no format of whatif")
    notes.add("counted as packed: integers below 8 bits, which torchao keeps in a byte each until a backend packs them")
    # A scale a row is a group of a whole row.
    return _int4(module.in_features if group is None else group, activation, notes)


def _microscaling(weight: Any, notes: Notes) -> str:
    if weight.dtype is getattr(torch, "float4_e2m1fn_x2", None):
        notes.add(
            "counted as mxfp4_wo, which stores weights alike: mxfp4 weights under mxfp4 activations, whose products "
            "are faster where a machine has kernels for them"
        )
        return f"mxfp4_wo:{weight.block_size}"
    notes.add(f"one scale a row is counted for fp8 weights that have one for each {weight.block_size}")
    return "fp8_dynamic"
