"""Figures to reach, by selections of rows: `CURRENT` ones, and `KEPT` ones that an earlier fit has reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .figures import Errors, Judged, errors, lines

_NVIDIA, _AMD = ("NVIDIA gpu",), ("AMD gpu",)
_FIRST_FP32 = ("v100-pcie-32gb", "t4", "p100-pcie-16gb", "a100-pcie-40gb")
_TPU_PRODUCTS = ("q_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head")
_GRAPHS, _EAGER = (tuple(f"{way} x{n}" for n in (2, 4, 8)) for way in ("graph", "eager"))
_VLLM = ("vllm", *(f"vllm 0.{minor}.{patch}" for minor in range(8, 40) for patch in range(4)))
_SCRIPTS = tuple(f"script known, {devices} devices" for devices in (1, 2, 4, 8, 16))
_FIRST_SERVING = ("a100-sxm-80gb", "h100-sxm-80gb")


@dataclass(frozen=True)
class Target:
    """A selection of rows with the error that they should have, as a fraction.

    Attributes:
        name: Name for people.
        table: The table of the rows, with the quantity for power.
        only: Values of fields of a group that the rows have.
        in_sample: Mean absolute percentage error with constants that were fitted to the rows; None for no target.
        left_out: The same with constants that were fitted to other devices.
        least_floors: Least measured time as a multiple of the shortest row of the same table, device and software,
            which is the dispatch of a call.
        by_bias: Whether the target is `WHOLE` for bias and spread instead.
    """

    name: str
    table: str
    only: Mapping[str, Sequence[str]] = field(default_factory=dict)
    in_sample: float | None = None
    left_out: float | None = None
    least_floors: float = 0.0
    by_bias: bool = False


@dataclass(frozen=True)
class Reached:
    """Figures of a target.

    Attributes:
        target: The target.
        errors: Errors of its rows.
        worst: The device with the largest mean error, if there are several.
        worst_mape: Its mean error.
        evidence: The evidence for its devices.
    """

    target: Target
    errors: Errors
    worst: str
    worst_mape: float
    evidence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain data."""
        return {
            "name": self.target.name,
            "target_in_sample": self.target.in_sample,
            "target_left_out": self.target.left_out,
            "worst": self.worst,
            "worst_mape": self.worst_mape,
            "evidence": self.evidence,
            **asdict(self.errors),
        }


WHOLE = {"in-sample": ((0.8, 1.25), 1.5), "left out": ((0.7, 1.4), 1.8)}
"""Bias and spread of whole models of a kind of device."""


def _gemm(name: str, dtype: str, kind: tuple[str, ...], in_sample: float, left_out: float | None) -> Target:
    return Target(f"GEMM {name}", "gemm", {"precision": (dtype,), "kind": kind}, in_sample, left_out)


CURRENT = (
    _gemm("bf16, NVIDIA", "bfloat16", _NVIDIA, 0.09, 0.15),
    _gemm("fp8, NVIDIA", "fp8", _NVIDIA, 0.12, 0.20),
    _gemm("nvfp4, NVIDIA", "nvfp4", _NVIDIA, 0.15, 0.28),
    _gemm("bf16, AMD", "bfloat16", _AMD, 0.14, None),
    _gemm("fp8_static, AMD", "fp8_static", _AMD, 0.18, None),
    _gemm("mxfp4_static, AMD", "mxfp4_static", _AMD, 0.18, None),
    Target("attention, prefill", "attention", {"part": ("context",)}, 0.12, 0.18),
    Target("attention, decode", "attention", {"part": ("generation",)}, 0.13, 0.22),
    Target("experts bf16", "moe", {"precision": ("bfloat16",)}, 0.20, 0.30),
    Target("experts fp8", "moe", {"precision": ("fp8",)}, 0.20, 0.35),
    Target("language models fp32", "models_language_fp32", {}, 0.08, 0.12),
    Target("fp32 linear", "fp32_linear", {}, 0.10, 0.15),
    Target("fp32 bmm", "fp32_bmm", {}, 0.10, 0.15),
    Target("vision, RTX 5090 eager", "models_vision", {"device": ("rtx-5090",), "execution": ("eager",)}, 0.08, 0.12),
    Target(
        "vision, RTX 5090 compiled", "models_vision", {"device": ("rtx-5090",), "execution": ("compiled",)}, 0.08, 0.12
    ),
    Target("power, readings of 50 us and more", "gemm_power: settled power", {}, 0.10, 0.20),
    Target("collectives of a library", "collectives", {}, 0.08),
    Target("all-reduce of engines, CUDA graph", "all_reduce_engines", {"part": _GRAPHS}, 0.12),
    Target("all-reduce of engines, eager", "all_reduce_engines", {"part": _EAGER}, 0.12),
    Target("tokens of experts", "expert_all_to_all", {}, 0.12),
    Target("loading of weights", "loading_times", {}, 0.25),
    Target("servers, time per output token", "serving", {}, 0.10),
    Target("servers of vLLM, time per output token", "serving", {"software": _VLLM}, 0.09),
    Target("servers, whole request", "serving: whole request", {}),
    Target("servers of known scripts, time to first token", "serving: time to first token", {"part": _SCRIPTS}),
    Target("servers, time per output token, queue limited", "serving, queue limited", {}),
    Target("open loop, whole request, each", "open_loop_requests", {}, 0.20),
    Target("open loop, whole request, mean of a run", "open_loop_requests: mean whole request", {}, 0.15),
    Target(
        "open loop, time per output token, mean of a run", "open_loop_requests: mean time per output token", {}, 0.12
    ),
    Target("TPU layers", "tpu_layers", {}, 0.15, 0.20),
    Target("TPU layers, products only", "tpu_layers", {"part": _TPU_PRODUCTS}),
    Target(
        "Apple operators above the dispatch floor",
        "apple_ops",
        {"part": ("MatMul", "Linear", "Conv1d", "Conv2d", "ScaledDotProductAttention", "Softmax", "LayerNorm")},
        0.20,
        0.25,
        least_floors=2.0,
    ),
)

KEPT = (
    Target("language models fp32", "models_language_fp32", {"device": _FIRST_FP32}, 0.066),
    Target("fp32 linear", "fp32_linear", {"device": _FIRST_FP32}, 0.086),
    Target("fp32 bmm", "fp32_bmm", {"device": _FIRST_FP32}, 0.112),
    Target("fp32 elementwise", "fp32_elementwise", {"device": _FIRST_FP32}, 0.027),
    Target("fp32 softmax", "fp32_softmax", {"device": _FIRST_FP32}, 0.071),
    Target("fp32 layernorm", "fp32_layernorm", {"device": _FIRST_FP32}, 0.040),
    Target("fp32 conv2d", "fp32_conv2d", {"device": _FIRST_FP32}, 0.189),
    Target("GEMM bf16", "gemm", {"precision": ("bfloat16",), "device": _FIRST_SERVING}, 0.097),
    Target("GEMM bf16, H200", "gemm_power", {"device": ("h200-sxm-141gb",)}, 0.075),
    Target("GEMM fp8", "gemm", {"precision": ("fp8",), "device": _FIRST_SERVING}, 0.119),
    Target("GEMM int8 and int4, weights only", "gemm", {"precision": ("int8_wo", "int4_wo")}, 0.105),
    Target("GEMM int8 (sq)", "gemm", {"precision": ("sq",)}, 0.113),
    Target("attention, prefill", "attention", {"part": ("context",), "device": _FIRST_SERVING}, 0.12),
    Target("attention, decode", "attention", {"part": ("generation",), "device": _FIRST_SERVING}, 0.114),
    Target("LLM layers", "llm_layers", {}, 0.103),
    Target("mixtures of experts", "moe", {"device": _FIRST_SERVING}, 0.194),
    Target(
        "vision, RTX 3090 eager, NCHW",
        "models_vision",
        {"device": ("rtx-3090",), "execution": ("eager",), "part": ("nchw",)},
        0.078,
    ),
    Target("vision, RTX 3090 eager, NHWC", "models_vision", {"device": ("rtx-3090",), "part": ("nhwc",)}, 0.080),
    Target("vision, RTX 4090 eager", "models_vision", {"device": ("rtx-4090",), "execution": ("eager",)}, 0.076),
    Target("vision, RTX 4090 compiled", "models_vision", {"device": ("rtx-4090",), "execution": ("compiled",)}, 0.084),
    Target("vision, Core i9-10940X compiled", "models_vision", {"device": ("core-i9-10940x",)}, 0.124),
    Target(
        "power, H200, readings of 50 us and more", "gemm_power: settled power", {"device": ("h200-sxm-141gb",)}, 0.093
    ),
)


def published(judged: Judged) -> tuple[Target, ...]:
    """Return a target for each kind of device of the table of published models."""
    parts = sorted({group.part for group in judged.groups if group.table == "published_models"})
    return tuple(Target(f"whole models, {part}", "published_models", {"part": (part,)}, by_bias=True) for part in parts)


def reached(judged: Judged, targets: Sequence[Target]) -> list[Reached]:
    """Return the figures of targets; those without rows are left out."""
    found = []
    floors_s: dict[tuple[str, str, str], float] = {}
    for group, measured_s in zip(judged.groups, judged.measured_s, strict=True):
        place = group.table, group.device, group.software
        floors_s[place] = min(floors_s.get(place, np.inf), measured_s)
    for target in targets:
        chosen = {
            group
            for group in set(judged.groups)
            if group.table == target.table
            and all(getattr(group, name) in allowed for name, allowed in target.only.items())
        }
        rows = [
            row
            for row, group in enumerate(judged.groups)
            if group in chosen
            and judged.measured_s[row] >= target.least_floors * floors_s[group.table, group.device, group.software]
            and np.isfinite(judged.predicted.latency_s[row])
        ]
        if rows:
            some = judged.only(rows)
            worst = max(lines(some, by=("device",)), key=lambda line: line.errors.mape)
            evidence = ", ".join(sorted({group.evidence for group in some.groups}))
            found.append(Reached(target, errors(some), worst.device, worst.errors.mape, evidence))
    return found
