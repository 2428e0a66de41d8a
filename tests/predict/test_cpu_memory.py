"""Memory of a CPU: new pages in eager execution, reused buffers and folded weights in compiled execution."""

from __future__ import annotations

import pytest

import pyinfercost as ic
from pyinfercost import Graph, GraphBuilder
from pyinfercost.hardware.loading import describe

I9 = "core-i9-10940x"  # 19.25 MiB of last cache
MIB = 2**20


def activation(mib: int) -> Graph:
    """A function of a tensor of float32."""
    builder = GraphBuilder("activation")
    x = builder.tensor("float32", (mib * MIB // 4,), role="input")
    y = builder.tensor("float32", (mib * MIB // 4,))
    builder.node("aten.relu.default", {"self": x}, [y], module="act")
    return builder.build([x], [y])


def convolution() -> Graph:
    """A convolution with many weights on a small image."""
    builder = GraphBuilder("convolution")
    x = builder.tensor("float32", (1, 512, 7, 7), role="input")
    weight = builder.tensor("float32", (512, 512, 3, 3), role="parameter", name="conv.weight")
    y = builder.tensor("float32", (1, 512, 7, 7))
    arguments = {"input": x, "weight": weight, "stride": [1, 1], "padding": [1, 1]}
    builder.node("aten.conv2d.default", arguments, [y], module="conv")
    return builder.build([x], [y])


def layer_of(graph: Graph, execution: str, precision: str = "native") -> ic.results.LayerEstimate:
    (layer,) = ic.estimate(graph, hardware=I9, execution=execution, precision=precision).layers
    return layer


def test_eager_results_have_new_pages_and_compiled_ones_are_read_before_they_are_written() -> None:
    values = describe(I9)["calibration"]["values"]
    byte_s = 1 / (ic.hardware.load(I9).bandwidth_byte_per_s * values["achieved"]["dram"])
    fault_s = values["cpu"]["page_fault_us"] * 1e-6 / 4096
    large = activation(64)
    assert layer_of(large, "eager").dram_s == pytest.approx(64 * MIB * (2 * byte_s + fault_s), rel=1e-9)
    for execution in ("compiled", "cuda_graph"):
        assert layer_of(large, execution).dram_s == pytest.approx(64 * MIB * 3 * byte_s, rel=1e-9)
    # Below the threshold of glibc and above the last cache: no pages are new.
    medium = activation(24)
    assert layer_of(medium, "eager").dram_s == pytest.approx(24 * MIB * 2 * byte_s, rel=1e-9)
    assert layer_of(medium, "compiled").dram_s == pytest.approx(24 * MIB * 3 * byte_s, rel=1e-9)
    # 2 x 8 MiB stay in the cache.
    assert layer_of(activation(8), "eager").dram_s == layer_of(activation(8), "compiled").dram_s == 0


def test_compiled_models_of_narrow_formats_have_their_weights_in_the_layout_of_the_library() -> None:
    graph = convolution()
    wide, narrow = (layer_of(graph, "compiled", precision) for precision in ("fp32", "fp16"))
    assert wide.effect == "layout copies"
    assert narrow.effect != "layout copies"
    assert narrow.latency_s < wide.latency_s / 2  # half of the bytes, and no copies of them
    # In eager execution they are copied in any format.
    assert layer_of(graph, "eager", "fp16").compute_s > 1.5 * narrow.compute_s
