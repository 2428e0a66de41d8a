"""Formats that the settings of quantization methods describe: bits, groups, blocks, scales."""

from __future__ import annotations

from dataclasses import replace

from ..._checks import Fields, Range, shown
from ...formats.table import FORMATS, Format
from ..loaded_model import SpecError

BLOCK = Range(1, 2**31 - 1)
"""Lengths of groups and blocks."""

_INTEGERS = {2: "int2", 4: "int4", 8: "int8"}


def integer_dtype(settings: Fields, key: str, default: int) -> str:
    """Return the dtype of integers of a number of bits.

    Raises:
        SpecError: There is no such dtype.
    """
    bits = settings.whole(key, BLOCK)
    if bits is None:
        bits = default
    if bits not in _INTEGERS:
        raise SpecError(f"{settings.name(key)} is {shown(bits)}; expected {', '.join(map(str, _INTEGERS))}")
    return _INTEGERS[bits]


def group_of(settings: Fields, key: str, default: int | None) -> int | None:
    """Return the length of a group; None for a whole row, which -1 denotes."""
    value = settings.whole(key, Range(-1, BLOCK.high))
    if value is None:
        return default
    if value == 0:
        raise SpecError(f"{settings.name(key)} is 0; expected a length, or -1 for whole rows")
    return None if value < 0 else value


def activation_of(settings: Fields, key: str) -> str:
    """Return when activations are quantized: `dynamic` or `static`.

    Raises:
        SpecError: It is neither.
    """
    value = (settings.text(key) or "dynamic").lower()
    if value not in ("dynamic", "static"):
        raise SpecError(f"{settings.name(key)} is {shown(value)}; expected dynamic or static")
    return value


def fp8(settings: Fields) -> Format:
    """Return fp8 with a scale per block of `weight_block_size`, or per tensor without one."""
    scale = "uint8" if settings.text("scale_fmt") == "ue8m0" else "float32"
    activation = activation_of(settings, "activation_scheme")
    block = settings.wholes("weight_block_size", BLOCK)
    if block is None:
        return replace(fp8_of_tensors(activation), scale=scale)
    if len(block) != 2:  # noqa: PLR2004 - rows and columns
        raise SpecError(f"{settings.name('weight_block_size')} is {shown(block)}; expected two lengths")
    return replace(FORMATS["fp8_block"], rows=block[0], group=block[1], scale=scale, activation=activation)


def fp8_of_tensors(activation: str | None) -> Format:
    """Return fp8 with one scale per weight."""
    return Format("fp8_tensor", "float8_e4m3fn", rows=None, activation=activation)


def mxfp8(settings: Fields) -> Format:
    """Return fp8 with a scale of 8 bits per 32 weights."""
    return replace(FORMATS["mxfp8_dynamic"], activation=activation_of(settings, "activation_scheme"))


def gptq(settings: Fields, bits: int = 4, group: int | None = 128) -> Format:
    """Return integers with a scale and a zero point per group, and the group of each input.

    Args:
        settings: The settings.
        bits: Bits of weights for settings without any.
        group: Length of groups for settings without any.
    """
    dtype = integer_dtype(settings, "bits", bits)
    group = group_of(settings, "group_size", group)
    return replace(FORMATS["int4_gptq"], name=f"{dtype}_gptq", dtype=dtype, zero=dtype, group=group)


def awq(settings: Fields) -> Format:
    """Return integers with a scale and a zero point per group."""
    dtype = integer_dtype(settings, "w_bit" if settings.has("w_bit") else "bits", 4)
    group = group_of(settings, "q_group_size" if settings.has("q_group_size") else "group_size", 128)
    zero = None if settings.flag("zero_point") is False else dtype
    return replace(FORMATS["int4_awq"], name=f"{dtype}_awq", dtype=dtype, zero=zero, group=group)


def bitsandbytes(settings: Fields) -> Format:
    """Return LLM.int8() with a scale per row, or nf4 or fp4 with one per 64 weights, which may be quantized again.

    Raises:
        SpecError: Neither or both are asked for, or the type is unknown.
    """
    int8, int4 = settings.flag("load_in_8bit") or False, settings.flag("load_in_4bit") or False
    if int8 == int4:
        raise SpecError(
            f"{settings.name('load_in_8bit')} is {int8} and load_in_4bit is {int4}; expected one of them to be true"
        )
    if int8:
        return Format("int8_bitsandbytes", "int8", activation="dynamic")
    kind = settings.text("bnb_4bit_quant_type") or "fp4"
    if kind not in ("nf4", "fp4"):
        raise SpecError(f"{settings.name('bnb_4bit_quant_type')} is {shown(kind)}; expected nf4 or fp4")
    form = replace(FORMATS["nf4_wo"], name=f"{kind}_wo")
    return replace(form, scale="uint8", outer=256) if settings.flag("bnb_4bit_use_double_quant") else form
