"""Tables of layers on TPUs, operators on Apple machines, and products of static operands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import pyinfercost as ic
from benchmarks.accuracy.captures import Capturing
from benchmarks.accuracy.measured import Problems, read_table
from benchmarks.accuracy.tables import KINDS, apple_ops, gemm, tpu_layers

Judge = Callable[..., int]
Output = pytest.CaptureFixture[str]


def test_widths_of_layers_are_those_of_the_config(measured: Path) -> None:
    cases = KINDS["tpu_layers"].cases(read_table(measured / "tpu_layers.csv", Problems()), Capturing(measured))
    weights = {case.subject: ic.count(case.graph, tokens=512).total.parameter_bytes for case in cases}
    # bf16; Llama-3.1-8B is 4,096 wide, has 32 heads of 128, layers of 14,336 and 128,256 words.
    assert weights["q_proj"] == weights["o_proj"] == 2 * 4096 * 4096
    assert weights["gate_proj"] == weights["up_proj"] == weights["down_proj"] == 2 * 4096 * 14336
    assert weights["lm_head"] == 2 * 4096 * 128256
    assert weights["final_layernorm"] == 2 * 4096
    assert weights["rope"] == weights["act_fn"] == 0


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("tpu-v6e,meta-llama/Llama-3.1-8B,rope,16,0.1", "fused into another kernel: rope"),
        ("tpu-v6e,meta-llama/Llama-3.1-8B,mlp,16,10", "layer unknown: mlp"),
        ("tpu-v6e,nobody/nothing,rope,16,10", "it has no config: nobody/nothing"),
    ],
)
def test_layers_that_are_left_out_are_counted(
    judge: Judge, measured: Path, capsys: Output, row: str, reason: str
) -> None:
    path = measured / "tpu_layers.csv"
    path.write_text(path.read_text(encoding="utf-8") + row + "\n", encoding="utf-8")
    assert judge("--table", "tpu_layers", "--format", "json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["rows"][-1]["rows"] == 12
    assert f"tpu_layers: 1 rows not predicted, {reason}" in captured.err


def test_a_norm_that_is_much_faster_than_its_like_is_fused(tmp_path: Path) -> None:
    path = tmp_path / "tpu_layers.csv"
    times_us = {"input_layernorm": (100, 100, 100), "post_layernorm": (80, 80, 40), "final_layernorm": (80, 40, 40)}
    lines = [
        f"tpu-v6e,meta-llama/Llama-3.1-8B,{layer},{tokens},{time_us}"
        for layer, of_layer in times_us.items()
        for tokens, time_us in zip((256, 512, 1024), of_layer, strict=True)
    ]
    path.write_text("\n".join(["device,model,layer,tokens,latency_us", *lines, ""]), encoding="utf-8")
    problems = Problems()
    cases = KINDS["tpu_layers"].cases(read_table(path, problems), Capturing(tmp_path))
    assert {case.subject: len(case) for case in cases} == {"input_layernorm": 3, "post_layernorm": 3}
    assert list(problems.lines()) == ["tpu_layers: 3 rows not predicted, fused into another kernel: final_layernorm"]


def test_shapes_of_operators_are_channels_last() -> None:
    graph = apple_ops.operator("mps", "Conv2d", "dim=100x28x28x3 dim=8x3x3x3")
    assert graph is not None
    assert ic.count(graph).total.contraction_flops == 2 * 100 * 8 * 26 * 26 * 3 * 3 * 3
    graph = apple_ops.operator("mps", "MatMul", "dim=1000x64x256 dim=256x32")
    assert graph is not None
    assert ic.count(graph).total.contraction_flops == 2 * 1000 * 64 * 256 * 32
    graph = apple_ops.operator("mlx_gpu", "Sum", "dim=64x128x128x128 axi=-2")
    assert graph is not None
    assert graph.outputs[0].shape == (64, 128, 128)


def test_indices_of_a_gather_are_repeated_in_torch_only() -> None:
    indices = {}
    for backend in ("mlx_gpu", "mps"):
        graph = apple_ops.operator(backend, "Gather", "dim=64x256 dim=1000")
        assert graph is not None
        (layer,) = ic.count(graph).layers
        indices[backend] = layer.work.bytes_read - 1000 * 256 * 4  # without the rows of the source
        assert layer.work.bytes_written == 1000 * 256 * 4
    assert indices == {"mlx_gpu": 1000 * 4, "mps": 1000 * 256 * 8}


def test_operators_that_are_left_out_are_counted(judge: Judge, measured: Path, capsys: Output) -> None:
    path = measured / "apple_ops.csv"
    before = len(path.read_text(encoding="utf-8").splitlines()) - 1
    more = (
        "apple-m1,8,,cpu,ReLU,dim=64x64,5\n"
        "apple-m1,8,,mlx_gpu,ScatterSum,dim=64x16 dim=1000,0.05\n"
        "apple-m1,8,,mps,Erfinv,dim=64x64,5\n"
    )
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    assert judge("--table", "apple_ops", "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"][-1]["rows"] == before
    assert {(one["reason"], *one["subjects"]) for one in document["omitted"]} == {
        ("the catalog describes the GPU of this chip only", "apple-m1 cpu ReLU"),
        ("nothing was evaluated in its time", "apple-m1 mlx_gpu ScatterSum"),
        ("op or shapes unknown", "apple-m1 mps Erfinv"),
    }


@pytest.mark.parametrize(("dtype", "operand_bytes", "scale_bytes"), [("fp8", 4096, 4), ("mxfp4", 2048, 128)])
def test_static_operands_are_not_quantized(dtype: str, operand_bytes: int, scale_bytes: int) -> None:
    with_kernel, static = gemm.product(dtype), gemm.product(f"{dtype}_static")
    assert with_kernel is not None
    assert static is not None
    sizes = {"m": 64, "n": 32, "k": 4096}
    assert len(ic.count(with_kernel, sizes=sizes).layers) == 2
    (product,) = ic.count(static, sizes=sizes).layers
    assert product.work.contraction_flops == 2 * 64 * 32 * 4096
    # 4 bytes for a row of fp8, one for 32 values of mxfp4, two of which are a byte.
    assert product.work.bytes_by_role["activation_read"] == 64 * (operand_bytes + scale_bytes)


def test_layers_of_all_names_have_a_graph() -> None:
    assert len(tpu_layers.layer_graph("act_fn", 64, 64)) == 2, "the gate's activation, and the product with it"
    assert len(tpu_layers.layer_graph("rope", 40, 128)) == 3, "two products with angles, and their sum"
