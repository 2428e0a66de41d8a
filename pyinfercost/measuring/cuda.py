"""Calibration of a CUDA GPU: peaks, bandwidths and launch overheads, and the hardware file derived from them.

The project's tests do not run this on a GPU. The written file states the measured figures and the versions.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InputError, MissingLibraryError
from ..hardware import load
from ..hardware.schema import SCHEMA_VERSION
from .calibration import REACHED, Calibrated, Report, calibration_table, identity, rounded
from .clock import Budget, time_call, time_loop

if TYPE_CHECKING:
    import torch

_GIGA, _TERA, _MEBI, _GIBI = 1e9, 1e12, 2.0**20, 2.0**30
# Compute capability -> family whose constants are used for everything that is not measured.
_FAMILIES = {
    (6, 0): "nvidia-pascal", (6, 1): "nvidia-pascal", (7, 0): "nvidia-volta", (7, 5): "nvidia-turing",
    (8, 0): "nvidia-ampere-ga100", (8, 6): "nvidia-ampere-ga10x", (8, 7): "nvidia-ampere-orin", (8, 9): "nvidia-ada",
    (9, 0): "nvidia-hopper", (10, 0): "nvidia-blackwell", (12, 0): "nvidia-blackwell-sm120",
}  # fmt: skip
_SIDE = 8192  # of the square products that measure a peak
_KERNELS = 200  # length of the chain that times launches
_LAYERS = 40  # of the network that times the host


def calibrate_cuda(*, budget_s: float = 40.0, report: Report | None = None) -> Calibrated:
    """Measure the first CUDA device.

    Args:
        budget_s: Seconds of all measurements.
        report: Called with the progress.

    Returns:
        The hardware file.

    Raises:
        ImportError: Torch is not installed.
        ValueError: Torch finds no CUDA device.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingLibraryError(
            "calibration measures torch, which is not installed; run pip install 'pyinfercost[torch]'", name=error.name
        ) from error
    if not torch.cuda.is_available():
        raise InputError(f"torch {torch.__version__} finds no CUDA device; expected one, or use --device cpu")
    tell = report or (lambda _what, _share: None)
    each_s = budget_s / 12
    probe = _Probe(Budget(warm_up_s=each_s / 3, measure_s=each_s * 2 / 3))
    facts = torch.cuda.get_device_properties(0)
    notes: list[str] = []
    matrix: dict[str, float] = {}
    for step, dtype in enumerate(("fp32", "tf32", "bf16", "fp16")):
        tell(f"matrix products in {dtype}", step / 8)
        rate = _product_flop_per_s(probe, dtype)
        if rate is None:
            notes.append(f"torch has no {dtype} matrix product here")
        else:
            matrix[dtype] = rate
    tell("memory", 0.5)
    l2_bytes = float(getattr(facts, "L2_cache_size", 0))
    dram = probe.stream_byte_per_s(max(1024 * _MEBI, 16 * l2_bytes))
    cache = probe.stream_byte_per_s(l2_bytes / 2) if l2_bytes else {}
    told = ", ".join(f"{access} {value / _GIGA:.0f}" for access, value in dram.items())
    notes.append(f"dram, GB/s: {told}")
    tell("launches", 0.75)
    dispatch_s = _host_s()
    gap_s, replay_s = _gaps(probe)
    tell("done", 1.0)

    day = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    source = (
        f"measured on this machine by `pyinfercost calibrate --device cuda` on {day}: torch {torch.__version__}, CUDA "
        f"{torch.version.cuda}, Python {platform.python_version()}, {platform.platform()}"
    )
    fp32 = matrix.pop("fp32", None)
    memory: dict[str, Any] = {}
    if cache:
        memory["llc"] = {
            "capacity_mib": rounded(l2_bytes / _MEBI),
            "bandwidth_gb_per_s": rounded(cache["add"] / _GIGA),
        }
    memory["dram"] = {
        "capacity_gib": rounded(facts.total_memory / _GIBI),
        "bandwidth_gb_per_s": rounded(dram["add"] / _GIGA),
    }
    compute: dict[str, Any] = {
        "cores": facts.multi_processor_count,
        "compute_capability": f"{facts.major}.{facts.minor}",
    }
    if matrix:
        compute["matrix_tflop_per_s"] = {dtype: rounded(rate / _TERA) for dtype, rate in matrix.items()}
    if fp32 is not None:
        compute["vector_tflop_per_s"] = {"fp32": rounded(fp32 / _TERA)}
    return Calibrated(
        {
            "schema_version": SCHEMA_VERSION,
            "id": identity(facts.name),
            "name": facts.name,
            "vendor": "NVIDIA",
            "kind": "gpu",
            "family": _FAMILIES.get((facts.major, facts.minor), "gpu"),
            "verified": True,
            "source": {"text": source, "notes": notes},
            "compute": compute,
            "memory": memory,
            "calibration": {
                "overheads": calibration_table(
                    "overheads",
                    {"dispatch_s": dispatch_s, "launch_gap_s": gap_s, "replay_gap_s": replay_s},
                    source + "; dispatch: layers of convolution, batch norm and ReLU in torch's eager mode",
                ),
                "forward": calibration_table(
                    "forward",
                    {"compiled_dispatch_s": dispatch_s * _compiled_per_eager()},
                    source + "; compiled_dispatch: the operator of eager mode, in the proportion of other hosts",
                ),
                "achieved": calibration_table(
                    "achieved", REACHED, source + "; rates of this file are measured, not theoretical"
                ),
            },
        },
        notes,
    )


@dataclass(frozen=True)
class _Probe:
    """Times calls on the first CUDA device, each within a budget."""

    budget: Budget

    def random(self, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        import torch

        return torch.randn(*shape, device="cuda").to(dtype or torch.float32)

    def seconds(self, call: Callable[[], object]) -> float:
        import torch

        with torch.inference_mode():
            return time_call(call, self.budget, torch.cuda.synchronize).median_s

    def stream_byte_per_s(self, total_bytes: float) -> dict[str, float]:
        """Time a copy, and a sum of two arrays into a third, over `total_bytes` in all."""
        import torch

        length = max(1024, int(total_bytes / 3 / 4))
        a, b, out = (self.random(length) for _ in range(3))

        def seconds(call: Callable[[], object]) -> float:
            with torch.inference_mode():
                return time_loop(call, self.budget, torch.cuda.synchronize).median_s

        return {
            "copy": 8 * length / seconds(lambda: out.copy_(a)),
            "add": 12 * length / seconds(lambda: torch.add(a, b, out=out)),
        }


def _product_flop_per_s(probe: _Probe, dtype: str) -> float | None:
    import torch

    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(dtype, torch.float32)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"
    try:
        a, b = (probe.random(_SIDE, _SIDE, dtype=kind) for _ in range(2))
        return float(2.0 * _SIDE**3 / probe.seconds(lambda: torch.mm(a, b)))
    except RuntimeError:
        return None
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _compiled_per_eager() -> float:
    """Return the host time of a kernel of compiled code over the host time of an eager operator, on known hosts."""
    known = load("h100-sxm-80gb")
    return known.constants["forward.compiled_dispatch_s"] / known.overheads_s["dispatch"]


def _host_s() -> float:
    """Return the host time of an operator of an eager forward: of modules, as models have them."""
    import time

    import torch

    layers = [(torch.nn.Conv2d(8, 8, 1, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU()) for _ in range(_LAYERS)]
    network = torch.nn.Sequential(*(module for layer in layers for module in layer)).eval().cuda()
    x = torch.randn(1, 8, 4, 4, device="cuda")

    def issue() -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        network(x)
        return time.perf_counter() - start  # without waiting for the device

    with torch.inference_mode():
        for _ in range(3):
            network(x)
        return sorted(issue() for _ in range(20))[10] / len(network)


def _gaps(probe: _Probe) -> tuple[float, float]:
    """Return device time of the smallest kernel when issued and when graph-replayed."""
    import torch

    x = probe.random(64)

    def chain() -> None:
        for _ in range(_KERNELS):
            x.neg_()

    with torch.inference_mode():
        chain()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            chain()
    replay_s = probe.seconds(graph.replay) / _KERNELS
    # A long first kernel lets the host run ahead, so that only the device's own gap remains.
    big = probe.random(4096, 4096)

    def behind() -> None:
        for _ in range(4):
            torch.mm(big, big)
        chain()

    alone_s = probe.seconds(lambda: [torch.mm(big, big) for _ in range(4)])
    gap_s = max(replay_s, (probe.seconds(behind) - alone_s) / _KERNELS)
    return gap_s, replay_s
