"""Whole models that somebody published: how they are built, quantized and run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import pyinfercost as ic
from benchmarks.accuracy.captures import Capturing
from benchmarks.accuracy.cases import Case
from benchmarks.accuracy.measured import Problems, read_table
from benchmarks.accuracy.tables import KINDS

pytestmark = pytest.mark.torch

HEADER = (
    "kind,device,model,precision,quantisation,kv_cache,batch,sequence_tokens,context_tokens,image_size,threads,phase,"
    "published_ms,engine,source,confidence,note\n"
)
ROWS = """\
Raspberry Pi,raspberry-pi-5,resnet18,fp16,,,1,,,224,4,forward,20,ncnn,,read,
Raspberry Pi,raspberry-pi-5,resnet18,fp16,,,2,,,224,4,forward,40,ncnn,,read,
Raspberry Pi,raspberry-pi-5,resnet18,fp16,,,1,,,224,64,forward,20,ncnn,,read,
Raspberry Pi,raspberry-pi-5,no_such_model,fp16,,,1,,,224,4,forward,20,ncnn,,read,
Apple GPU,apple-m2,llama2-7b,fp16,Q4_0,,1,1,64,,,decode,50,llama.cpp,,read,
Apple GPU,apple-m2,llama2-7b,fp16,Q1_0,,1,1,64,,,decode,50,llama.cpp,,read,
Apple GPU,apple-m2,llama2-7b,fp16,,,1,512,,,,prefill,2500,llama.cpp,,recalled,
"""


@pytest.fixture
def table(measured: Path) -> Path:
    """The table of a few rows."""
    for library in ("torchvision", "transformers"):
        pytest.importorskip(library)
    path = measured / "published_models.csv"
    path.write_text(HEADER + ROWS, encoding="utf-8")
    return path


def cases_of(path: Path, folder: Path) -> tuple[list[Case], Problems]:
    problems = Problems()
    capturing = Capturing(folder, workers=1)
    return KINDS["published_models"].cases(read_table(path, problems), capturing), problems


def test_a_row_is_a_model_in_a_format_on_a_machine(table: Path, tmp_path: Path) -> None:
    cases, problems = cases_of(table, tmp_path / "graphs")
    assert [(case.subject, len(case), case.threads, case.execution) for case in cases] == [
        ("resnet18", 2, 4, "compiled"),
        ("resnet18", 1, 64, "compiled"),
        ("llama2-7b", 1, None, "cuda_graph"),
        ("llama2-7b", 1, None, "cuda_graph"),
    ]
    assert cases[0].sizes["batch"].tolist() == [1, 2]
    assert [case.group.part for case in cases[2:]] == ["Apple GPU", "Apple GPU, recalled"]
    assert {reason for _, reason in problems.found} == {
        "Unknown model no_such_model",
        "quantisation Q1_0 is unknown",
    }
    decode, prefill = (ic.count(case.graph, batch=1).total for case in cases[2:])
    layers = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008) + 4096 * 32000
    assert decode.contraction_flops == pytest.approx(2 * layers, rel=0.01), "one token, and little attention"
    embedding = 2 * 4096 * 32000
    bits = 4 + 2 * 16 / 32  # a scale and a zero point of 16 bits for 32 weights
    assert decode.parameter_bytes == pytest.approx(layers * bits / 8 + embedding, rel=0.001)
    ops = [node.op for node in cases[2].graph.nodes if any(tensor.role == "kv_cache" for tensor in node.inputs)]
    assert ops.count("aten.index_copy_") == 2 * 32, "keys and values of each layer, written into their caches"
    assert "aten.cat" not in ops
    blocks = layers - 4096 * 32000
    assert prefill.contraction_flops == pytest.approx(2 * 512 * blocks, rel=0.03), "logits of the last token only"


@pytest.mark.slow
def test_a_number_of_threads_that_a_device_does_not_have(
    judge: Callable[..., int], table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge("--table", "published_models", "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["rows"][-1]["rows"] == 4
    assert {one["reason"]: one["subjects"] for one in document["omitted"]} == {
        "the device cannot run so": ["raspberry-pi-5, 64 threads"],
        "Unknown model no_such_model": ["no_such_model"],
        "quantisation Q1_0 is unknown": ["apple-m2 llama2-7b"],
    }


def test_processes_side_by_side_are_instances(
    judge: Callable[..., int], measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torchvision")
    note = '"14 processes of 4 cores, one sample each: 14 / samples per second of the socket"'
    row = f"x86 CPU,xeon-8480+,resnet18,fp32,,,28,,,224,,forward,40,IPEX,,read,{note}\n"
    (measured / "published_models.csv").write_text(HEADER + row, encoding="utf-8")
    assert judge("--table", "published_models", "--format", "json") == 0
    (line, _) = json.loads(capsys.readouterr().out)["rows"]
    graph = ic.capture("torchvision:resnet18", batch=2)
    one = ic.estimate(graph, hardware="xeon-8480+", instances=14, execution="compiled", precision="fp32")
    assert line["bias"] == pytest.approx(one.latency_s / 40e-3, rel=1e-6)


@pytest.mark.slow
def test_an_image_is_twenty_guided_steps(measured: Path, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    path = measured / "published_models.csv"
    row = "TPU,tpu-v5e,sdxl-base-1.0,bf16,,,,,,1024,,image,2281,submission,,read,\n"
    path.write_text(HEADER + row, encoding="utf-8")
    ((case,), problems) = cases_of(path, tmp_path / "graphs")
    assert not list(problems.lines())
    assert (case.runs, case.sizes["batch"].tolist()) == (20, [2])
    assert ic.count(case.graph, batch=1).total.parameters == pytest.approx(2.567e9, rel=0.001), "published, of the UNet"
