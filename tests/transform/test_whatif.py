"""Costs of a model in other formats, compared with modules in these formats and with measured products."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.paths import SHARED
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import pyinfercost as ic
from pyinfercost.formats.table import FORMATS, FormatError

pytestmark = pytest.mark.torch


def layers(dtype: torch.dtype = torch.bfloat16) -> nn.Sequential:
    return nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 128, bias=False)).to(dtype)


def captured(model: nn.Module, *shape: int, dtype: torch.dtype = torch.bfloat16, **options: Any) -> ic.Graph:
    return ic.capture(model, (torch.zeros(*shape, dtype=dtype),), **options)


@pytest.mark.parametrize(
    ("form", "config"),
    [
        ("int8_wo", "Int8WeightOnlyConfig"),
        ("int8_dynamic", "Int8DynamicActivationInt8WeightConfig"),
        ("fp8_wo", "Float8WeightOnlyConfig"),
    ],
)
def test_bytes_are_those_of_a_module_that_is_really_quantized(form: str, config: str) -> None:
    quantization = pytest.importorskip("torchao.quantization")
    model = layers()
    what_if = ic.count(ic.whatif(captured(model, 4, 256), quantize=form)).total
    quantization.quantize_(model, getattr(quantization, config)())
    really = ic.count(captured(model, 4, 256)).total
    assert what_if.parameter_bytes == really.parameter_bytes
    assert what_if.parameters == really.parameters == 256 * 512 + 512 + 512 * 128
    assert what_if.contraction_flops == really.contraction_flops


@pytest.mark.parametrize("form", ["int8_wo", "fp8_wo", "int8_dynamic"])
@pytest.mark.parametrize("shape", [(4, 256), (2, 3, 256)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_kernels_of_torchao_are_those_of_its_modules(form: str, shape: tuple[int, ...], bias: bool) -> None:
    quantization = pytest.importorskip("torchao.quantization")
    config = {
        "int8_wo": "Int8WeightOnlyConfig",
        "fp8_wo": "Float8WeightOnlyConfig",
        "int8_dynamic": "Int8DynamicActivationInt8WeightConfig",
    }[form]
    model = nn.Sequential(nn.Linear(256, 512, bias=bias), nn.ReLU(), nn.Linear(512, 128, bias=bias)).to(torch.bfloat16)
    what_if = ic.whatif(captured(model, *shape), quantize=form, kernels="torchao")
    quantization.quantize_(model, getattr(quantization, config)())
    really = captured(model, *shape)
    mine, theirs = ic.count(what_if).total, ic.count(really).total
    for name in ("parameter_bytes", "parameters", "contraction_flops", "bytes_read", "bytes_written"):
        assert getattr(mine, name) == getattr(theirs, name), name
    for execution in ("eager", "compiled", "cuda_graph"):
        for hardware in ("h100-sxm-80gb", "l4"):
            ways = {"hardware": hardware, "execution": execution}
            expected = ic.estimate(really, **ways).latency_s
            assert ic.estimate(what_if, **ways).latency_s == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("kernels", ["torchao-u8s8", "torchao-s8s8"])
def test_the_kernels_of_torchao_on_cpus_are_those_that_run(kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quantization = pytest.importorskip("torchao.quantization")
    intmm = pytest.importorskip("torchao.kernel.intmm")
    monkeypatch.setattr(intmm, "_cpu_is_vnni_supported", lambda: kernels == "torchao-u8s8")
    monkeypatch.setattr(intmm, "_cpu_is_amx_tile_supported", lambda: kernels == "torchao-s8s8")
    model = nn.Sequential(nn.Linear(256, 512))
    graph = ic.whatif(captured(model, 4, 256, dtype=torch.float32), quantize="int8_dynamic", kernels=kernels)
    quantization.quantize_(model, quantization.Int8DynamicActivationInt8WeightConfig())
    ran: list[str] = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            ran.append(str(func).rpartition(".")[0])
            return result

    with torch.inference_mode(), Recorder():
        model(torch.randn(4, 256))
    mine = [node.op for node in graph.nodes]
    unsigned = kernels == "torchao-u8s8"
    assert (before_product(ran)[-3:] == ["aten.to", "aten.add", "aten.to"]) is unsigned
    assert (before_product(mine)[-3:] == ["aten.to", "aten.add", "aten.to"]) is unsigned
    assert from_product(mine) == from_product(ran)
    assert ("aten.sum" in mine) is unsigned


_VIEWS = ("aten.t", "aten.reshape", "aten.flatten", "aten.view")


def before_product(ops: list[str]) -> list[str]:
    return [op for op in ops[: ops.index("aten._int_mm")] if op not in _VIEWS]


def from_product(ops: list[str]) -> list[str]:
    """Return the operators from the product on, without conversions: a sum converts its operand inside."""
    return [op for op in ops[ops.index("aten._int_mm") :] if op not in (*_VIEWS, "aten.to")]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_keeps_the_work_and_the_parameters(form: str) -> None:
    graph = captured(layers(), 4, 256, dynamic={0: {0: "batch"}})
    before, after = ic.count(graph), ic.count(ic.whatif(graph, quantize=form))
    assert after.total.contraction_flops == before.total.contraction_flops
    assert after.total.parameters == before.total.parameters
    assert after.unmodelled == {}
    bits = {"int8": 8, "float8_e4m3fn": 8, "int4": 4, "float4_e2m1fn_x2": 4}.get(FORMATS[form].dtype, 16)
    narrow = (256 * 512 + 512 * 128) * bits // 8
    beside = after.total.parameter_bytes - narrow - 512 * 2  # less the bias in bf16: scales and zero points
    group, rows, scale = FORMATS[form].group, FORMATS[form].rows or 1, FORMATS[form].scale
    scales = 0 if scale is None else 512 + 128 if group is None else (256 * 512 + 512 * 128) // (group * rows)
    widths = {
        "float32": 4,
        "bfloat16": 2,
        "float16": 2,
        "float8_e4m3fn": 1,
        "uint8": 1,
        "int8": 1,
        "int4": 0.5,
        None: 0,
    }
    index = 4 * (256 + 512) if FORMATS[form].index else 0  # of each input
    assert beside == scales * (widths[scale] + widths[FORMATS[form].zero]) + index
    for execution in ("eager", "compiled", "cuda_graph"):
        assert ic.estimate(ic.whatif(graph, quantize=form), hardware="h100-sxm-80gb", execution=execution).latency_s > 0


def test_groups_can_be_given() -> None:
    graph = captured(layers(), 4, 256)
    sizes = [ic.count(ic.whatif(graph, quantize=f"int4_wo:{group}")).total.parameter_bytes for group in (32, 64, 128)]
    assert [a - b for a, b in itertools.pairwise(sizes)] == [
        4 * (256 * 512 + 512 * 128) * (1 / a - 1 / b) for a, b in ((32, 64), (64, 128))
    ]


def test_policies_are_by_layer() -> None:
    graph = captured(layers(), 4, 256)

    def ops(changed: ic.Graph) -> list[str]:
        return [changed.node(i).op for i in range(len(changed))]

    assert ops(ic.whatif(graph, quantize={"0": "int8_wo"})) == [
        "pyinfercost.linear_weight_only",
        "aten.relu",
        "aten.linear",
    ]
    assert ops(ic.whatif(graph, quantize={"0": None, "*": "fp8_dynamic"})) == [
        "aten.linear",
        "aten.relu",
        "pyinfercost.quantize_rows",
        "pyinfercost.linear_quantized",
    ]
    for chosen in ("2", ["2"], lambda module: module == "2"):
        assert ops(ic.whatif(graph, quantize="int8_wo", layers=chosen))[-1] == "pyinfercost.linear_weight_only"
    assert ops(graph) == ["aten.linear", "aten.relu", "aten.linear"]  # as it was


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to change"),
        ({"quantize": "int5"}, "unknown format 'int5'; expected one of fp16"),
        ({"quantize": "int4_wo:" + "9" * 5000}, "has no group of '9999"),
        ({"quantize": "int8_wo:32"}, "'int8_wo:32' has no group of '32'; int8_wo has one scale per row"),
        ({"quantize": "int4_wo:x"}, "no group of 'x'"),
        ({"quantize": {"fc": "int8_wo"}}, "no layer with a weight matches 'fc'; there are 0, 2"),
        ({"quantize": "int8_wo", "layers": "1"}, "no layer with a weight matches '1'"),
        ({"kv_cache": "int2"}, "kv_cache is 'int2'; expected int8, fp8, fp16, bf16"),
        ({"kv_cache": "int8"}, "no KV cache"),
    ],
)
def test_what_cannot_be_asked_says_why(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError, match=message):
        ic.whatif(captured(layers(), 4, 256), **options)


def test_a_pattern_of_layers_that_are_narrow_already_says_so() -> None:
    narrow = ic.whatif(captured(layers(), 4, 256), quantize={"0": "int8_wo"})
    with pytest.raises(FormatError, match="'0' matches 0, whose weights are in a narrow format already"):
        ic.whatif(narrow, quantize={"0": "int4_wo"})
    rest = ic.whatif(narrow, quantize="int4_wo")
    assert [node.op for node in rest.nodes].count("pyinfercost.linear_weight_only") == 2


def test_a_vector_that_is_multiplied_as_a_row_stays_as_it_is() -> None:
    class Frequencies(nn.Module):
        """Fourier features of a time, as diffusion transformers have them."""

        def __init__(self) -> None:
            super().__init__()
            self.weight, self.layer = nn.Parameter(torch.zeros(32)), nn.Linear(32, 32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x[:, None] @ self.weight[None])

    graph = ic.capture(Frequencies(), torch.zeros(4))
    narrow = ic.whatif(graph, quantize="int8_wo")
    assert [node.op for node in narrow.nodes].count("pyinfercost.linear_weight_only") == 1
    assert ic.count(narrow).total.contraction_flops == ic.count(graph).total.contraction_flops


def test_products_of_other_shapes_are_found() -> None:
    class Turned(nn.Module):
        """A weight as [inputs, outputs], as in GPT-2, and one that is transposed first."""

        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.zeros(64, 32)), nn.Parameter(torch.zeros(32))
            self.other = nn.Parameter(torch.zeros(16, 32))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.addmm(self.bias, x, self.weight) @ self.other.t()

    graph = captured(Turned(), 4, 64, dtype=torch.float32)
    changed = ic.whatif(graph, quantize="int8_wo")
    names = [changed.node(i).op for i in range(len(changed))]
    assert names == ["pyinfercost.linear_weight_only"] * 2  # and the view of the old weight is gone
    before, after = ic.count(graph).total, ic.count(changed).total
    assert after.contraction_flops == before.contraction_flops
    assert after.parameter_bytes == 64 * 32 + 16 * 32 + (32 + 16) * 5 + 32 * 4
    assert ic.count(ic.whatif(graph, quantize="bf16")).total.contraction_flops == before.contraction_flops


def test_convolutions_have_int8() -> None:
    model = nn.Sequential(nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 8, 1, bias=False))
    graph = captured(model, 2, 3, 32, 32, dtype=torch.float32)
    before = ic.count(graph).total
    for form in ("int8_dynamic", "int8_static", "fp16"):
        after = ic.count(ic.whatif(graph, quantize=form))
        assert after.total.contraction_flops == before.contraction_flops
        assert after.unmodelled == {}
        assert after.total.parameter_bytes < before.parameter_bytes
    with pytest.raises(FormatError, match="int8_wo applies to no layer"):
        ic.whatif(graph, quantize="int8_wo")


@pytest.fixture(scope="module")
def decode(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], ic.Graph]:
    transformers = pytest.importorskip("transformers")

    def of_layers(count: int) -> ic.Graph:
        from pyinfercost.sources.captured import graph_at

        folder = tmp_path_factory.mktemp("llama")
        transformers.LlamaConfig(
            hidden_size=4096,
            intermediate_size=14336,
            num_hidden_layers=count,
            num_attention_heads=32,
            num_key_value_heads=8,
            vocab_size=128256,
        ).save_pretrained(folder)
        return graph_at(f"hf:{folder}#decode", {"batch": 1}, None).graph

    return of_layers


def test_a_narrow_cache_is_read_and_kept_narrow(decode: Callable[[int], ic.Graph]) -> None:
    graph = decode(2)
    narrow = ic.whatif(graph, kv_cache="fp8")
    caches = [t.nbytes for t in graph.inputs if t.role == "kv_cache"]
    assert [t.nbytes for t in narrow.inputs if t.role == "kv_cache"] == [nbytes // 4 for nbytes in caches]
    quantized = [narrow.node(i) for i in range(len(narrow)) if narrow.node(i).op == "pyinfercost.quantize_rows"]
    assert len(quantized) == 4  # the new key and value of each layer
    outputs = [t.dtype for t in narrow.outputs]
    assert outputs == ["float32", *["float8_e4m3fn"] * 4]
    assert ic.count(narrow).total.contraction_flops == ic.count(graph).total.contraction_flops
    assert ic.count(narrow).unmodelled == {}
    both = ic.whatif(graph, quantize="int4_wo", kv_cache="int8")
    assert ic.count(both).total.peak_memory_bytes < ic.count(narrow).total.peak_memory_bytes


def test_keys_that_are_converted_to_the_dtype_they_have() -> None:
    class Indexer(nn.Module):
        """Scores in float32 of keys that a float32 model holds in float32."""

        def forward(self, x: torch.Tensor, past_keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            keys = torch.cat([past_keys, x], dim=1)
            return x.float() @ keys.transpose(1, 2).float(), keys

    inputs = ic.Inputs((torch.ones(2, 1, 16),), {"past_keys": torch.ones(2, 8, 16)})
    graph = ic.capture(Indexer(), inputs)
    narrow = ic.whatif(graph, kv_cache="fp8")
    assert ic.count(narrow).total.contraction_flops == ic.count(graph).total.contraction_flops == 2 * 2 * 9 * 16
    assert [t.dtype for t in narrow.outputs] == ["float32", "float8_e4m3fn"]


def test_returned_keys_that_are_converted_to_the_dtype_they_have() -> None:
    class Prefill(nn.Module):
        """Scores in float32, as GPT-Neo has them, of keys that it returns."""

        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(16, 16) for _ in range(3))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            q, k, v = (each(x).unflatten(-1, (2, 8)).transpose(1, 2) for each in (self.q, self.k, self.v))
            scores = q.float() @ k.float().transpose(-1, -2)
            return scores.softmax(-1) @ v, k, v

    graph = ic.capture(Prefill(), torch.ones(2, 4, 16))
    narrow = ic.whatif(graph, kv_cache="fp8")
    assert ic.count(narrow).total.contraction_flops == ic.count(graph).total.contraction_flops
    assert [t.dtype for t in narrow.outputs] == ["float32", *["float8_e4m3fn"] * 2]


def test_weight_only_buys_what_measured_products_say(decode: Callable[[int], ic.Graph]) -> None:
    """Query, key, value and output projections of an 8B-shaped decode, as A100 ran them: the shapes with rows."""
    table = SHARED / "measured" / "gemm.csv"
    if not table.is_file():
        pytest.skip(f"needs {table}")
    shapes = {"q_proj": (4096, 4096), "k_proj": (1024, 4096), "v_proj": (1024, 4096), "o_proj": (4096, 4096)}
    measured: dict[tuple[str, tuple[int, int]], tuple[int, float]] = {}
    with table.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            shape = (int(row["n"]), int(row["k"]))
            if row["device"] == "a100-sxm-80gb" and shape in shapes.values():
                timer_us = 4.6 if "trtllm" in row["software"] else 0.0  # of events around a single launch
                here = (int(row["m"]), float(row["latency_us"]) - timer_us)
                measured[row["dtype"], shape] = min(measured.get((row["dtype"], shape), here), here)
    expected = sum(measured["int8_wo", shape][1] for shape in shapes.values()) / sum(
        measured["bfloat16", shape][1] for shape in shapes.values()
    )
    graph = decode(1)

    def seconds(of: ic.Graph) -> float:
        estimate = ic.estimate(of, hardware="a100-sxm-80gb", precision="bf16", execution="cuda_graph")
        return sum(layer.latency_s for layer in estimate.layers if layer.module.rpartition(".")[2] in shapes)

    assert seconds(ic.whatif(graph, quantize="int8_wo")) / seconds(graph) == pytest.approx(expected, rel=0.1)


def test_a_narrow_type_may_be_slower_where_there_is_little_to_do() -> None:
    graph = captured(layers(), 4, 256, dynamic={0: {0: "batch"}})
    narrow = ic.whatif(graph, quantize="int8_dynamic")
    few = [ic.estimate(g, hardware="h100-sxm-80gb", execution="cuda_graph", batch=1).latency_s for g in (graph, narrow)]
    assert few[1] > few[0]
