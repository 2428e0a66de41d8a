"""Fitted constants of GPUs, by class of kernels."""

from __future__ import annotations

from .parameters import Parameter

_PRODUCTS = ("gemm", "gemm_power", "llm_layers")
_FP32 = ("fp32_linear", "fp32_bmm", "models_language_fp32")
_ATTENTION = ("attention",)
_WHOLE = ("models_vision", "models_language_fp32")
_STREAMS = ("fp32_elementwise", "fp32_softmax", "fp32_layernorm", "llm_layers", *_WHOLE)
_EAGER = (
    "fp32_linear",
    "fp32_bmm",
    "fp32_conv2d",
    "fp32_elementwise",
    "fp32_softmax",
    "fp32_layernorm",
)


def _gpu(
    key: str,
    start: float,
    low: float,
    high: float,
    tables: tuple[str, ...],
    sd: float = 1.0,
    family_sd: float = 0.0,
) -> Parameter:
    return Parameter("gpu", key, start, low, high, tables, sd, family_sd)


STREAMS = (
    _gpu("achieved.dram", 0.95, 0.6, 1.0, (*_STREAMS, *_PRODUCTS, *_ATTENTION, "fp32_conv2d"), 0.03, 0.02),
    _gpu("stream.turnaround", 0.16, 0.01, 2.0, _STREAMS, 0.3, 1.0),
    _gpu("forward.start_us", 18.0, 1.0, 60.0, _EAGER, 0.5),
    _gpu("forward.compiled_dispatch_us", 15.0, 0.75, 60.0, ("models_vision",), 0.5),
    _gpu("kernel.pointwise.minimum_clocks", 1050, 75, 4500, ("models_vision", "llm_layers", "fp32_elementwise"), 0.5),
    _gpu("kernel.gather.dram", 0.9, 0.1, 1.5, ("models_vision",), 0.3),
    _gpu("kernel.gather.issue_byte_per_clock", 1.0, 0.05, 20.0, ("llm_layers",), 1.0),
    _gpu("kernel.copy.dram", 0.9, 0.2, 1.5, ("llm_layers", *_WHOLE), 0.2),
    _gpu("stream.strided", 0.5, 0.01, 5.0, ("llm_layers", *_WHOLE), 1.0),
)

ROWS = (
    _gpu("softmax_rows.l1_share", 1.35, 0.2, 5.0, ("fp32_softmax",), 0.5),
    _gpu("softmax_rows.l2_share", 0.95, 0.2, 5.0, ("fp32_softmax",), 0.5),
    _gpu("softmax_rows.trip_clocks", 945, 75, 7500, ("fp32_softmax",), 0.5),
    _gpu("norm_rows.l1_share", 0.36, 0.05, 5.0, ("fp32_layernorm",), 0.5),
    _gpu("norm_rows.l2_share", 0.82, 0.2, 5.0, ("fp32_layernorm",), 0.5),
    _gpu("norm_rows.element_clocks", 0.75, 0.015, 7.5, ("fp32_layernorm",), 0.5),
    _gpu("kernel.normalization.minimum_clocks", 1500, 75, 6000, ("models_vision", "fp32_layernorm", "llm_layers"), 0.5),
    _gpu("kernel.softmax.minimum_clocks", 1500, 75, 12000, ("models_vision", "fp32_softmax"), 0.3),
    _gpu("token_rows.issue_per_clock", 3.5, 0.1, 20.0, ("llm_layers",), 0.5),
    _gpu("token_rows.element_clocks", 0.3, 0.015, 7.5, ("llm_layers",), 0.5),
    _gpu("plane_rows.element_clocks", 500.0, 50.0, 2000.0, ("models_vision",), 0.5),
    _gpu("quantize_rows.start_clocks", 800, 15, 7500, ("gemm",), 0.5),
    _gpu("quantize_rows.trip_clocks", 450, 15, 7500, ("gemm",), 0.5),
)


def _tiles(table: str, tables: tuple[str, ...], family_sd: float, start: dict[str, float]) -> tuple[Parameter, ...]:
    return (
        _gpu(f"{table}.exposed_memory", start["exposed_memory"], 0.01, 1.0, tables, 0.7, family_sd),
        _gpu(f"{table}.operand_clocks_per_element", start["operand"], 0.075, 30.0, tables, 0.7, family_sd),
        _gpu(f"{table}.edge", 0.2, 0.01, 1.5, tables, 0.7),
        _gpu(f"{table}.exposed_operands", start["exposed_operands"], 0.01, 3.0, tables, 0.5),
        _gpu(f"{table}.round_clocks", start["round"], 75.0, 12000.0, tables, 0.5, family_sd / 2),
    )


_MATRIX = {"exposed_memory": 0.35, "operand": 3.0, "exposed_operands": 0.5, "round": 2850.0}
_CONVOLUTION = {"exposed_memory": 0.12, "operand": 13.0, "exposed_operands": 2.9, "round": 2500.0}
_VECTOR = {"exposed_memory": 0.13, "operand": 4.2, "exposed_operands": 1.5, "round": 4500.0}


def _own(
    table: str, tables: tuple[str, ...] = ("gemm",), start: dict[str, float] | None = None
) -> tuple[Parameter, ...]:
    """Return the parameters of products with their own kernels, such as those of quantized operands."""
    start = {**_MATRIX, "compute": 0.95, "minimum": 4500.0, **(start or {})}
    return (
        _gpu(f"{table}.compute", start["compute"], 0.1, 2.5, tables, 0.3),
        _gpu(f"{table}.dram", 0.95, 0.1, 1.5, tables, 0.3),
        _gpu(f"{table}.minimum_clocks", start["minimum"], 15.0, 22500.0, tables, 1.0),
        *_tiles(table, tables, 0.0, start),
    )


# Without rows of fp8, its kernels equal those of bf16 with operands of half the bytes: the same efficiency of the
# engine (`achieved.matrix_fp8` is from publications), and no additional minimum for the smallest product.
_HALF = {"compute": 1.3, "minimum": 750.0, "operand": 1.5}


PRODUCTS = (
    _gpu("overheads.kernel_minimum_clocks", 1950, 150, 9000, (*_PRODUCTS, *_FP32, "models_vision"), 0.5, 0.3),
    _gpu("achieved.matrix", 0.93, 0.4, 1.3, (*_PRODUCTS, *_ATTENTION, "models_vision"), 0.05, 0.07),
    _gpu("kernel.gemm.dram", 0.95, 0.5, 1.1, (*_PRODUCTS, *_FP32, "models_vision"), 0.05),
    *_tiles("tiles_matrix", (*_PRODUCTS, "models_vision"), 1.2, _MATRIX),
    _gpu("tiles_matrix.split_clocks", 3000, 150, 2.25e04, _PRODUCTS, 0.5),
    _gpu("tiles_matrix.split_bytes", 0.2, 0.01, 6.0, _PRODUCTS, 0.7),
    _gpu("tiles_int8.direct", 0.3, 0.01, 2.0, ("gemm",), 1.0),
    *_own("tiles_int8"),
    *_own("tiles_fp8", start=_HALF),
    *_own("tiles_fp4", start=_HALF),
    _gpu("tiles_weight8.split_clocks", 4500, 15, 2.25e04, ("gemm",), 1.0),
    _gpu("tiles_weight8.split_bytes", 1.0, 0.01, 20.0, ("gemm",), 0.7),
    _gpu("tiles_weight4.split_bytes", 1.0, 0.01, 20.0, ("gemm",), 0.7),
    _gpu("tiles_weight4.split_clocks", 4500, 15, 2.25e04, ("gemm",), 1.0),
    *_own("tiles_grouped", ("moe",)),
    *_own("tiles_grouped8", ("moe",)),
    *_own("tiles_weight8"),
    *_own("tiles_weight4"),
    _gpu("achieved.vector", 0.93, 0.4, 1.3, (*_FP32, "fp32_conv2d"), 0.05, 0.07),
    _gpu("tiles_vector.with_weights", 0.95, 0.5, 1.2, _FP32, 0.03, 0.3),
    *_tiles("tiles_vector", _FP32, 0.4, _VECTOR),
    _gpu("power.pj_per_flop_matrix_bf16", 0.6, 0.1, 5.0, ("gemm_power",), 0.3, 0.3),
    _gpu("power.dram_pj_per_byte", 38.0, 10.0, 300.0, (*_FP32, "gemm_power"), 0.3, 0.3),
    _gpu("power.pj_per_flop_vector_fp32", 6.5, 2.0, 30.0, (*_FP32, "fp32_conv2d"), 0.2, 0.5),
)

ATTENTION = (
    _gpu("attention.matrix", 1.0, 0.3, 3.0, (*_ATTENTION, "models_vision"), 0.2, 0.1),
    _gpu("attention.exponential", 0.9, 0.05, 4.0, (*_ATTENTION, "models_vision"), 0.2, 0.1),
    _gpu("attention.wide", 1.7, 1.0, 4.0, _ATTENTION, 0.3),
    _gpu("attention.tile_us", 2.6, 0.1, 20.0, (*_ATTENTION, "models_vision"), 0.5, 0.4),
    _gpu("attention.longest", 0.4, 0.01, 2.0, _ATTENTION, 0.5),
    _gpu("attention.exposed_memory", 0.4, 0.01, 3.0, _ATTENTION, 0.5),
    _gpu("attention.decode_rows", 64.0, 16.0, 256.0, _ATTENTION, 0.1, 0.6),
    _gpu("attention.decode_clocks", 2000.0, 100.0, 2e4, _ATTENTION, 0.5, 0.6),
    _gpu("attention.decode_dram", 0.93, 0.6, 1.0, _ATTENTION, 0.05),
    _gpu("attention.decode_results", 1.4, 0.1, 10.0, _ATTENTION, 0.5),
    _gpu("attention.narrow_clocks", 2200.0, 100.0, 20000.0, _ATTENTION, 0.5),
    _gpu("attention.narrow_passes", 2.5, 0.1, 10.0, _ATTENTION, 0.5),
    _gpu("attention.combine_clocks", 2600, 75, 30000, _ATTENTION, 0.8, 0.8),
    _gpu("attention.combine_split_clocks", 150, 1.5, 1500, _ATTENTION, 0.5),
    _gpu("kernel.attention.minimum_clocks", 11000, 750, 30000, _ATTENTION, 0.5),
)

CONVOLUTIONS = (
    _gpu("kernel.convolution.minimum_clocks", 7500, 150, 60000, ("models_vision",), 0.7),
    _gpu("tiles_vector.depth_overhead", 8.0, 0.01, 64.0, _FP32, 0.7),
    *_tiles("tiles_convolution", ("fp32_conv2d",), 0.4, _CONVOLUTION),
    _gpu("tiles_convolution.depth_overhead", 30.0, 0.01, 64.0, ("fp32_conv2d",), 0.7),
    _gpu("tiles_convolution.compute", 1.0, 0.5, 1.5, ("fp32_conv2d",), 0.1, 0.1),
    _gpu("tiles_convolution.minimum_clocks", 4500, 150, 15000, ("fp32_conv2d",), 0.7),
    _gpu("winograd.fused", 0.46, 0.2, 2.0, ("fp32_conv2d",), 0.3),
    _gpu("winograd.products", 0.56, 0.2, 1.2, ("fp32_conv2d",), 0.3),
    _gpu("winograd.passes", 0.55, 0.1, 3.0, ("fp32_conv2d",), 0.5),
    _gpu("kernel.convolution.compute", 0.95, 0.5, 1.2, ("models_vision",), 0.1, 0.05),
    _gpu("kernel.convolution.dram", 0.9, 0.3, 1.3, ("models_vision",), 0.15),
    _gpu("kernel.depthwise.large", 0.004, 0.001, 1.0, ("models_vision",), 0.5),
    _gpu("kernel.depthwise.compute", 0.15, 0.01, 1.0, ("models_vision",), 0.7, 0.2),
    _gpu("kernel.depthwise.grouped", 0.2, 0.01, 1.0, ("models_vision",), 0.7, 0.2),
    _gpu("kernel.depthwise.wide", 0.034, 0.002, 0.5, ("models_vision",), 0.7),
    _gpu("kernel.depthwise.channels_last", 0.6, 0.05, 2.0, ("models_vision",), 0.5),
    _gpu("kernel.depthwise.dram", 0.7, 0.1, 1.2, ("models_vision",), 0.3),
    _gpu("stream.turned", 3.0, 0.1, 20.0, ("models_vision",), 0.5),
    _gpu("stream.transposed", 1.5, 0.05, 6.0, ("models_vision",), 0.4),
)

WHOLE_MODELS = (
    _gpu(
        "kernel.pointwise.dram",
        0.95,
        0.5,
        1.1,
        ("models_vision", "llm_layers", "fp32_elementwise", "models_language_fp32"),
        0.1,
        0.1,
    ),
    _gpu(
        "kernel.normalization.dram",
        0.95,
        0.3,
        1.5,
        ("models_vision", "fp32_layernorm", "models_language_fp32"),
        0.15,
        0.1,
    ),
    _gpu("kernel.softmax.dram", 0.95, 0.3, 1.2, ("models_vision", "fp32_softmax", "models_language_fp32"), 0.15, 0.1),
    _gpu("kernel.reduction.dram", 0.85, 0.1, 1.2, ("models_vision",), 0.3),
    _gpu("kernel.pooling.dram", 0.8, 0.1, 1.2, ("models_vision",), 0.3),
)

SHARED = (
    "nvidia-pascal",
    "nvidia-volta",
    "nvidia-turing",
    "nvidia-ampere-ga100",
    "nvidia-ampere-ga10x",
    "nvidia-ada",
    "nvidia-hopper",
)

PARAMETERS = (*STREAMS, *ROWS, *PRODUCTS, *ATTENTION, *CONVOLUTIONS, *WHOLE_MODELS)
