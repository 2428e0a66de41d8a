"""`native` is what the installed torch does by default: TF32 in cuDNN's convolutions, and none in matrix products."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from support.single_node import T, single_node

import pyinfercost as ic
from pyinfercost import hardware

CONVOLUTION = single_node(
    "aten.conv2d",
    {"input": T((32, 256, 28, 28)), "weight": T((256, 256, 3, 3), role="parameter"), "padding": [1, 1]},
    T((32, 256, 28, 28)),
)
DEPTHWISE = single_node(
    "aten.conv2d",
    {"input": T((32, 256, 28, 28)), "weight": T((256, 1, 3, 3), role="parameter"), "padding": [1, 1], "groups": 256},
    T((32, 256, 28, 28)),
)
LINEAR = single_node(
    "aten.linear", {"input": T((8192, 4096)), "weight": T((4096, 4096), role="parameter")}, T((8192, 4096))
)


def seconds(graph: ic.Graph, machine: str, precision: str) -> float:
    return ic.estimate(graph, hardware=machine, precision=precision).latency_s


@pytest.mark.torch
@pytest.mark.slow
def test_the_installed_torch_has_these_defaults() -> None:
    pytest.importorskip("torch")
    program = """
import json, torch
print(json.dumps({
    "cudnn": torch.backends.cudnn.allow_tf32,
    "products": torch.get_float32_matmul_precision(),
    "cublas": torch.backends.cuda.matmul.allow_tf32,
}))"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    defaults: dict[str, Any] = json.loads(done.stdout)
    assert defaults == {"cudnn": True, "products": "highest", "cublas": False}


@pytest.mark.parametrize("machine", ["a100-sxm-80gb", "h100-sxm-80gb", "b200-sxm-180gb"])
def test_convolutions_run_in_tf32_and_products_do_not(machine: str) -> None:
    native, strict, tf32 = (seconds(CONVOLUTION, machine, p) for p in ("native", "fp32", "tf32"))
    assert native == tf32 < strict
    native, strict, tf32 = (seconds(LINEAR, machine, p) for p in ("native", "fp32", "tf32"))
    assert native == strict > tf32
    assert seconds(DEPTHWISE, machine, "native") == seconds(DEPTHWISE, machine, "fp32")


@pytest.mark.parametrize("machine", ["rtx-3090", "rtx-4090", "rtx-5090"])
def test_boards_with_equal_rates_of_tf32_and_fp32_round_too(machine: str) -> None:
    rates = hardware.load(machine)
    assert rates.matrix_flop_per_s["tf32"] < 1.25 * rates.vector_flop_per_s["float32"]
    assert seconds(CONVOLUTION, machine, "native") == seconds(CONVOLUTION, machine, "tf32")
    (layer,) = ic.estimate(CONVOLUTION, hardware=machine).layers
    assert layer.unit == "matrix tf32"


@pytest.mark.parametrize("machine", ["t4", "v100-sxm-16gb", "p100-sxm-16gb", "mi300x", "mi250", "epyc-9654"])
def test_nothing_changes_without_tf32_or_without_cudnn(machine: str) -> None:
    for graph in (CONVOLUTION, LINEAR):
        assert seconds(graph, machine, "native") == seconds(graph, machine, "fp32")


def test_the_report_names_the_engine() -> None:
    (layer,) = ic.estimate(CONVOLUTION, hardware="a100-sxm-80gb").layers
    assert (layer.unit, layer.note) == ("matrix tf32", "")
    (layer,) = ic.estimate(CONVOLUTION, hardware="a100-sxm-80gb", precision="fp32").layers
    assert layer.unit == "vector float32"


def test_only_gpus_of_nvidia_with_tf32_round() -> None:
    rounds = {name for name in hardware.names() if _rounds(name)}
    assert {"a100-sxm-80gb", "l4", "rtx-4090", "h100-sxm-80gb"} <= rounds
    assert not rounds & {"t4", "v100-sxm-16gb", "mi300x", "intel-max-1550", "gaudi3", "trainium2", "apple-m1"}


def _rounds(name: str) -> bool:
    try:
        return hardware.load(name).constant("library.rounds_to_tf32") > 0
    except hardware.MissingFactError:
        return False
