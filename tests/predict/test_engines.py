"""Serving engines: which kernels run a captured language model, what they move, and what stays the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.paths import CONFIGS

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.formats.checkpoints import Checkpoint, with_formats
from pyinfercost.formats.stored_weights import Metadata
from pyinfercost.formats.table import FORMATS
from pyinfercost.predict.plans import as_captured, family_of
from pyinfercost.sources.captured import graph_over

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

ENGINES = [name for name in _core.engines() if name not in ("torch", "tensorrt", "onnxruntime")]
LLAMA = json.loads((CONFIGS / "llama-3-8b.json").read_text(encoding="utf-8")) | {"num_hidden_layers": 2}
CONFIG_OF: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "mixtral": json.loads((CONFIGS / "mixtral-8x7b.json").read_text(encoding="utf-8")) | {"num_hidden_layers": 2},
    "gpt_oss": {"model_type": "gpt_oss", "num_hidden_layers": 2},
    "qwen3_moe": {"model_type": "qwen3_moe", "num_hidden_layers": 2},
    "deepseek_v3": {"model_type": "deepseek_v3", "num_hidden_layers": 2, "first_k_dense_replace": 1},
    "gemma2": {"model_type": "gemma2", "num_hidden_layers": 2},
    "gpt2": {"model_type": "gpt2", "n_layer": 2},
    "falcon": {"model_type": "falcon", "num_hidden_layers": 2},
    "mistral": {"model_type": "mistral", "num_hidden_layers": 2, "sliding_window": 100},
    "granite_swa": {"model_type": "granite_swa", "num_hidden_layers": 2},
    "mamba": {"model_type": "mamba", "num_hidden_layers": 2},
    "mamba2": {"model_type": "mamba2", "num_hidden_layers": 2},
    "qwen3_next": {"model_type": "qwen3_next", "num_hidden_layers": 4},
    "rwkv": {"model_type": "rwkv", "num_hidden_layers": 2},
}
SEPARATE = 8  # more kernels of a layer where products, sums, rotations and writes are kernels of their own
DENSE = [
    ("vllm", ["fused_add_rms_norm", "rotary_embedding", "reshape_and_cache_flash", "silu_and_mul"]),
    ("sglang", ["fused_add_rmsnorm", "apply_rope_with_cos_sin", "store_kv_cache", "silu_and_mul"]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configs")


@cache
def _captured(folder: Path, name: str, phase: str, sizes: tuple[tuple[str, int], ...]) -> ic.Graph:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(CONFIG_OF[name]), encoding="utf-8")
    return ic.capture(f"hf:{path}#{phase}", sizes=dict(sizes))


def captured(folder: Path, name: str, phase: str = "decode", **sizes: int) -> ic.Graph:
    return _captured(folder, name, phase, tuple(sorted(sizes.items())))


def kernels(graph: ic.Graph, module: str = "") -> list[str]:
    """Names of the kernels whose first node is in a module, in the order of launches."""
    plan = family_of(graph, "native", "cuda_graph").plan_for({})
    launches = [(launch[0], kernel["name"]) for kernel in plan.kernels() for launch in kernel["launches"]]
    return [name for node, name in sorted(launches) if module in graph.node(node).module]


def work_of(graph: ic.Graph, op: str) -> ic.Work:
    """The work of the first node of an op."""
    counts = ic.count(graph)
    return next(row.work for row in counts.layers if row.op == op)


@pytest.mark.parametrize(("engine", "names"), DENSE)
def test_a_dense_layer_is_ten_kernels(folder: Path, engine: str, names: list[str]) -> None:
    add_norm, rotary, write, activation = names
    graph = ic.engine_graph(captured(folder, "llama"), engine)
    assert kernels(graph, ".layers.1") == [
        add_norm, "aten.linear", rotary, write, "aten.scaled_dot_product_attention", "aten.linear",
        add_norm, "aten.linear", activation, "aten.linear",
    ]  # fmt: skip
    assert as_captured(graph) == ()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize(
    ("name", "most"),
    [("llama", 10), ("gemma2", 12), ("gpt2", 10), ("falcon", 10), ("mixtral", 20), ("gpt_oss", 20), ("qwen3_moe", 20),
     ("deepseek_v3", 24)],
)  # fmt: skip
@pytest.mark.sample(4)
def test_layers_are_few_kernels_and_nothing_is_lost(
    folder: Path, engine: str, phase: str, name: str, most: int
) -> None:
    before = captured(folder, name, phase)
    after = ic.engine_graph(before, engine)
    layer = ".h.1." if name in ("gpt2", "falcon") else ".layers.1"
    assert 0 < len(kernels(after, layer)) <= most + (SEPARATE if engine == "llamacpp" else 0)
    assert as_captured(after) == ()
    assert not any(node.op == "aten.cat" and node.operand("tensors") is not None for node in after.nodes)
    was, now = ic.count(before).total, ic.count(after).total
    assert (now.parameters, now.parameter_bytes) == (was.parameters, was.parameter_bytes)
    absorbed = name == "deepseek_v3" and phase == "decode"
    assert (now.contraction_flops == was.contraction_flops) != absorbed
    assert now.bytes_read < was.bytes_read


def test_the_cache_is_read_where_it_lies_and_written_in_place(folder: Path) -> None:
    graph = ic.engine_graph(captured(folder, "llama", batch=4, context=1000), "vllm")
    # 8 heads of 128 in bf16: keys and values of 1,001 positions of 4 sequences are read, of one position written.
    attention, write = work_of(graph, "aten.scaled_dot_product_attention"), work_of(graph, "engine.cache_write")
    assert attention.bytes_by_role["kv_cache_read"] == 2 * 4 * 8 * 1001 * 128 * 2
    assert write.bytes_by_role["kv_cache_written"] == write.bytes_read == 2 * 4 * 8 * 128 * 2
    cached = ic.engine_graph(captured(folder, "llama", "prefill", batch=4, sequence=100), "vllm")
    assert work_of(cached, "engine.cache_write").bytes_written == 2 * 4 * 8 * 100 * 128 * 2


@pytest.mark.parametrize(("engine", "separate"), [("vllm", 0), ("trtllm", 0), ("sglang", 2)])
def test_a_narrow_cache_is_converted_as_it_is_written(folder: Path, engine: str, separate: int) -> None:
    """SGLang divides and converts keys and values before its kernel stores them; others do it in that kernel."""
    whole = captured(folder, "llama", batch=4, context=1000)
    graph = ic.engine_graph(ic.whatif(whole, kv_cache="fp8"), engine)
    layer = [node.op for node in graph.nodes if ".layers.1." in node.module]
    assert layer.count("pyinfercost.quantize_rows") == separate
    attention = work_of(graph, "aten.scaled_dot_product_attention")
    assert attention.bytes_by_role["kv_cache_read"] == 2 * 4 * 8 * 1001 * 128
    if not separate:
        plain = ic.engine_graph(whole, engine)
        assert layer == [node.op for node in plain.nodes if ".layers.1." in node.module]


def test_an_engine_without_a_kernel_for_it_writes_the_cache_as_it_rotates(folder: Path) -> None:
    graph = ic.engine_graph(captured(folder, "llama", batch=4, context=1000), "trtllm")
    assert "engine.cache_write" not in {node.op for node in graph.nodes}
    rotary = work_of(graph, "engine.rotary")
    tokens = 4 * 128 * 2  # bytes of a head of four tokens
    assert rotary.bytes_by_role["kv_cache_written"] == 2 * 8 * tokens
    assert rotary.bytes_by_role["activation_written"] == 32 * tokens  # queries; keys are in the cache alone
    assert rotary.bytes_by_role["activation_read"] >= (32 + 2 * 8) * tokens
    cached = ic.engine_graph(captured(folder, "llama", "prefill", batch=4, sequence=100), "trtllm")
    assert work_of(cached, "engine.rotary").bytes_written == (32 + 2 * 8) * 100 * tokens


def test_products_of_one_input_are_one(folder: Path) -> None:
    graph = ic.engine_graph(captured(folder, "llama"), "vllm")
    shapes = [graph.tensor(node.operand("weight")).shape for node in graph.nodes if node.op == "aten.linear"]
    # 32 query and 2 x 8 key and value heads of 128; gate and up of 14,336.
    assert shapes[:4] == [(48 * 128, 4096), (4096, 4096), (2 * 14336, 4096), (4096, 14336)]


@pytest.mark.parametrize(("shared", "products"), [(False, 2), (True, 3)])
def test_a_weight_that_others_read_is_not_stored_twice(shared: bool, products: int) -> None:
    builder = ic.GraphBuilder("net")
    ids = builder.tensor("int64", [1, 4], role="input", name="ids")
    table = builder.tensor("float32", [10, 8], role="parameter", name="table")
    first, second, third = (builder.tensor("float32", [8, 8], role="parameter", name=f"w{i}") for i in range(3))
    x, a, b, c, d = (builder.tensor("float32", [1, 4, 8]) for _ in range(5))
    builder.node("aten.embedding.default", {"weight": table, "indices": ids}, [x])
    builder.node("aten.linear.default", {"input": x, "weight": first}, [a], module="m.a")
    builder.node("aten.linear.default", {"input": x, "weight": second}, [b], module="m.b")
    builder.node("aten.mul.Tensor", {"self": a, "other": b}, [c], module="m")
    builder.node("aten.linear.default", {"input": c, "weight": first if shared else third}, [d], module="n.c")
    before = builder.build([ids], [d])
    after = ic.engine_graph(before, "vllm")
    assert sum(node.op == "aten.linear" for node in after.nodes) == products
    assert ic.count(after).total.parameter_bytes == ic.count(before).total.parameter_bytes


def test_fused_kernels_move_operands_and_results_once(folder: Path) -> None:
    graph = ic.engine_graph(captured(folder, "llama", batch=3), "vllm")
    hidden = 3 * 4096 * 2  # bytes of three tokens
    norm, activation = work_of(graph, "engine.add_norm"), work_of(graph, "engine.activation")
    assert norm.bytes_read == 2 * hidden + 4096 * 2  # residual and projection, and the norm's weight
    assert norm.bytes_written == 2 * hidden  # their sum, and the normalized sum
    assert (activation.bytes_read, activation.bytes_written) == (3 * 2 * 14336 * 2, 3 * 14336 * 2)


def test_latents_are_multiplied_into_queries_in_a_decode_step(folder: Path) -> None:
    graph = ic.engine_graph(captured(folder, "deepseek_v3", context=999), "vllm")
    attention = work_of(graph, "engine.latent_attention")
    # 128 heads, 1,000 positions; keys have 512 + 64 elements and values are the first 512 of them.
    assert attention.contraction_flops == 2 * 128 * 1000 * (576 + 512)
    assert attention.bytes_by_role["kv_cache_read"] == 1000 * 576 * 4  # in float32; one set for all heads
    products = [row.work for row in ic.count(graph).layers if row.op == "aten.bmm"]
    # The expansion of keys (128 elements of a head) and of values, once per token instead of per position.
    assert [work.contraction_flops for work in products] == [2 * 128 * 128 * 512] * 4
    prefill = ic.engine_graph(captured(folder, "deepseek_v3", "prefill"), "vllm")
    assert all(node.op != "engine.latent_attention" for node in prefill.nodes)


def test_the_next_token_leaves_the_device_instead_of_logits(folder: Path) -> None:
    before = captured(folder, "llama", batch=2)
    after = ic.engine_graph(before, "vllm")
    on = {"hardware": "h100-sxm-80gb", "transfer": "pinned"}
    assert kernels(after)[-1] == "sample"
    assert ic.estimate(after, **on).transfer.output_bytes == 2 * 8  # int64
    assert ic.estimate(before, **on).transfer.output_bytes == 2 * 128256 * 2


def test_the_device_waits_for_the_host_of_an_engine(folder: Path) -> None:
    captured(folder, "llama")
    graph = graph_over(f"hf:{folder / 'llama.json'}#decode", {"batch": [2, 3]}).graph
    prefill = captured(folder, "llama", "prefill", batch=4)
    hosts = (
        ("vllm", "", 0.97e-3, 16e-6),
        ("sglang", "", 0.33e-3, 16e-6),
        ("trtllm", "", 0.1e-3, 4e-6),
        ("trtllm", "version=1.1", 0.1e-3, 4e-6),
        ("trtllm", "version=1.0", 0.49e-3, 16e-6),
    )
    for engine, serving, step_s, sequence_s in hosts:
        for given, batch, prompt_s in ((graph, 4, 0.0), (graph, 100, 0.0), (prefill, 4, 1e-3)):
            sizes = {"batch": batch} if given is graph else {}
            estimate = ic.estimate(given, hardware="h100-sxm-80gb", engine=engine, serving=serving, **sizes)
            sample = next(layer for layer in estimate.layers if layer.op == "engine.sample")
            kernels_s = sum(layer.latency_s for layer in estimate.layers) - sample.latency_s
            host_s = step_s + batch * sequence_s + prompt_s
            assert estimate.latency_s - kernels_s > host_s
            assert sample.launch_s == pytest.approx(host_s, abs=5e-6)  # and its own launch
            assert sample.effect == "host of the engine"


def test_what_no_kernel_covers_is_listed() -> None:
    builder = ic.GraphBuilder("net")
    ids = builder.tensor("int64", [1, 4], role="input", name="ids")
    table = builder.tensor("float32", [10, 8], role="parameter", name="table")
    x, y = (builder.tensor("float32", [1, 4, 8]) for _ in range(2))
    builder.node("aten.embedding.default", {"weight": table, "indices": ids}, [x])
    builder.node("aten.cumsum.default", {"self": x, "dim": 1}, [y])
    graph = ic.engine_graph(builder.build([ids], [y]), "vllm")
    assert {graph.node(node).op for node in as_captured(graph)} == {"aten.cumsum"}


def test_llamacpp_keeps_products_sums_rotations_and_copies_apart(folder: Path) -> None:
    graph = ic.engine_graph(captured(folder, "llama"), "llamacpp")
    products = ["aten.linear"] * 3
    assert kernels(graph, ".layers.1") == [
        "rms_norm_mul", *products, "rope", "rope", "set_rows", "set_rows", "aten.scaled_dot_product_attention",
        "aten.linear", "bin_bcast", "rms_norm_mul", "aten.linear", "glu", "aten.linear", "bin_bcast",
    ]  # fmt: skip
    # Gate and up are one kernel for one token, and two for more.
    several = ic.engine_graph(captured(folder, "llama", batch=2), "llamacpp")
    assert len(kernels(several, ".layers.1")) == len(kernels(graph, ".layers.1")) + 1
    # Keys and values are float16, and their copies are written one by one: 8 heads of 128.
    write = work_of(graph, "engine.cache_write")
    assert (write.bytes_read, write.bytes_by_role["kv_cache_written"]) == (8 * 128 * 2, 8 * 128 * 2)
    assert {each.dtype for each in graph.inputs if each.role == "kv_cache"} == {"float16"}


def test_llamacpp_samples_on_the_host(folder: Path) -> None:
    graph = captured(folder, "llama", batch=2)
    estimate = ic.estimate(graph, hardware="h100-sxm-80gb", engine="llamacpp", transfer="pinned")
    assert estimate.transfer.output_bytes == 2 * 128256 * 4  # logits in float32
    sample = next(layer for layer in estimate.layers if layer.op == "engine.sample")
    # 0.2 ms a step, 10 us a sequence, 3 ns a logit.
    host_s = 0.2e-3 + 2 * 10e-6 + 2 * 128256 * 3e-9
    assert sample.launch_s == pytest.approx(host_s, abs=1e-5)
    assert sample.effect == "host of the engine"


@pytest.mark.parametrize("hardware", ["h100-sxm-80gb", "epyc-9654", "apple-m2-ultra", "tpu-v5e"])
def test_llamacpp_runs_on_every_kind_of_machine(folder: Path, hardware: str) -> None:
    graph = captured(folder, "llama")
    plain = ic.estimate(graph, hardware=hardware, engine="llamacpp")
    narrow = ic.estimate(ic.whatif(graph, quantize="q4_0"), hardware=hardware, engine="llamacpp")
    # Half a byte and a sixteenth for each weight of a product instead of two bytes.
    assert 0 < narrow.latency_s < plain.latency_s
    assert sum(layer.latency_s for layer in plain.layers) == pytest.approx(plain.latency_s)


@pytest.mark.parametrize(("form", "bits"), [("q8_0", 8.5), ("q4_0", 4.5)])
def test_formats_of_ggml_store_a_scale_for_32_weights(folder: Path, form: str, bits: float) -> None:
    graph = captured(folder, "llama")
    shapes = [graph.tensor(node.operand("weight")).shape for node in graph.nodes if node.op == "aten.linear"]
    elements = sum(rows * columns for rows, columns in shapes)
    saved = ic.count(graph).total.parameter_bytes - ic.count(ic.whatif(graph, quantize=form)).total.parameter_bytes
    assert saved == elements * (16 - bits) / 8


def test_a_window_hides_keys_in_a_prefill(folder: Path) -> None:
    before = captured(folder, "mistral", "prefill", sequence=300)
    attention = work_of(ic.engine_graph(before, "vllm"), "aten.scaled_dot_product_attention")
    per_score = 2 * (128 + 128)
    # 100 rows with 1 to 100 keys, and 200 rows with 100; 32 heads.
    seen = 100 * 101 // 2 + 200 * 100
    assert attention.causal_flops == 32 * seen * per_score
    assert attention.contraction_flops == 32 * 300 * 300 * per_score
    short = captured(folder, "mistral", "prefill", sequence=50)
    causal = work_of(ic.engine_graph(short, "vllm"), "aten.scaled_dot_product_attention")
    assert causal.causal_flops == 32 * 50 * 51 // 2 * per_score


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_attention_returns_the_logarithm_that_sinks_need(folder: Path, phase: str) -> None:
    before = captured(folder, "granite_swa", phase)
    after = ic.engine_graph(before, "vllm")
    assert ic.count(after).total.contraction_flops == ic.count(before).total.contraction_flops
    assert "aten.logsumexp" not in {node.op for node in after.nodes}


RECURRENT = {
    "mamba": [".mixer", "causal_conv1d", "aten.matmul", "chunk_scan"],
    "mamba2": [".mixer", "causal_conv1d", "chunk_scan"],
    "qwen3_next": [".linear_attn", "causal_conv1d", "chunk_scan"],
    "rwkv": [".attention", "triton_fused", "chunk_scan"],
}


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("name", list(RECURRENT))
@pytest.mark.sample(1)
def test_a_recurrent_layer_is_a_convolution_and_a_scan(folder: Path, name: str, phase: str) -> None:
    before = captured(folder, name, phase, **({"sequence": 70} if phase == "prefill" else {}))
    after = ic.engine_graph(before, "vllm")
    module, *names = RECURRENT[name]
    plan = family_of(after, "native", "cuda_graph").plan_for({})
    launches = sorted((launch[0], kernel["name"]) for kernel in plan.kernels() for launch in kernel["launches"])
    layer = ".1" + module
    assert [kernel for node, kernel in launches if after.node(node).module.endswith(layer)] == names
    assert as_captured(after) == ()
    was, now = ic.count(before).total, ic.count(after).total
    assert (now.contraction_flops, now.parameter_bytes) == (was.contraction_flops, was.parameter_bytes)
    assert now.bytes_read < was.bytes_read


def test_a_scan_moves_its_operands_and_the_state_once(folder: Path) -> None:
    graph = ic.engine_graph(captured(folder, "mamba", "prefill", sequence=70, batch=2), "vllm")
    scan = work_of(graph, "engine.recurrence")
    # 1,536 channels with 16 states each; x, dt, gate and the result for each token, B and C, all in float32, and A, D
    # and the bias of dt.
    token, channels, states = 2 * 70 * 4, 1536, 16
    assert scan.bytes_read == token * (3 * channels + 2 * states) + 4 * channels * (states + 2)
    assert scan.bytes_written == token * channels + 2 * 4 * channels * states


@pytest.mark.parametrize("form", ["int8_wo", "int4_wo", "fp8_dynamic"])
def test_quantized_products_merge_with_their_scales(folder: Path, form: str) -> None:
    narrow = ic.whatif(captured(folder, "llama"), quantize=form)
    graph = ic.engine_graph(narrow, "vllm")
    assert ic.count(graph).total.parameter_bytes == ic.count(narrow).total.parameter_bytes
    assert ic.count(graph).total.parameters == ic.count(narrow).total.parameters
    names = kernels(graph, ".layers.1")
    assert sum(name.startswith("pyinfercost.linear") for name in names) == 4
    # One activation, quantized once, for queries, keys and values.
    assert sum(name == "pyinfercost.quantize_rows" for name in names) == (4 if form == "fp8_dynamic" else 0)


GROUP = 64


def metadata(form: str, rows: int, columns: int) -> tuple[Metadata, ...]:
    """Return what the files of a GPTQ or AWQ model have beside a weight."""
    groups = rows * columns // GROUP
    index = (Metadata("g_idx", "int32", columns),) if form == "int4_gptq" else ()
    return (Metadata("scales", "float16", groups), Metadata("qzeros", "int32", groups // 8), *index)


@pytest.mark.parametrize(
    ("form", "of_files"),
    [("int4_awq", False), ("int4_awq", True), ("int4_gptq", False), ("int4_gptq", True), ("nf4_wo", False)],
)
def test_merged_products_keep_what_is_stored_beside_their_weights(folder: Path, form: str, of_files: bool) -> None:
    graph = captured(folder, "llama")
    shapes = {each.name: each.shape for each in graph.tensors if (each.name or "").endswith("proj.weight")}
    quantized_scales = {"scale": "uint8", "outer": 256} if form == "nf4_wo" else {}
    stored = replace(FORMATS[form], group=GROUP, **quantized_scales)
    parts = {name: metadata(form, *map(int, shape)) for name, shape in shapes.items()} if of_files else {}
    narrow = with_formats(graph, Checkpoint(form, dict.fromkeys(shapes, stored), metadata=parts))
    engine = ic.engine_graph(narrow, "vllm")
    assert sum(name.startswith("pyinfercost.linear") for name in kernels(engine, ".layers.1")) == 4
    # The group of each input is the same for products of one input, of which engines keep one.
    index = [each for each in narrow.tensors if (each.name or "").endswith(("g_idx", "group_index"))]
    again = [each for each in index if re.search("[kv]_proj|up_proj", each.name)]
    assert (len(index), len(again)) == ((14, 6) if form == "int4_gptq" else (0, 0))
    was, now = ic.count(narrow).total, ic.count(engine).total
    assert now.parameter_bytes == was.parameter_bytes - sum(int(each.nbytes) for each in again)
    assert now.parameters == was.parameters


def test_an_engine_graph_is_made_once(folder: Path) -> None:
    graph = captured(folder, "llama")
    made = ic.engine_graph(graph, "vllm")
    assert ic.engine_graph(graph, "vllm") is made
    assert ic.engine_graph(made, "vllm") is made
    assert ic.engine_graph(graph, "torch") is graph


def test_engines_are_an_axis_of_sweeps(folder: Path) -> None:
    captured(folder, "llama")
    graph = graph_over(f"hf:{folder / 'llama.json'}#decode", {"batch": [2, 3]}).graph
    batches = [1, 7, 64]
    on: Mapping[str, Any] = {"hardware": ["h100-sxm-80gb", "l4"], "price": 2.0}
    grid = ic.sweep(graph, engine=["torch", "vllm"], **on, batch=batches, sustained=False)
    assert len(grid) == 2 * 2 * 3
    for point in grid.to_rows():
        assert point["execution"] == ("eager" if point["engine"] == "torch" else "cuda_graph")
        one = ic.estimate(
            graph, hardware=point["hardware"], engine=point["engine"], batch=point["batch"], price=2.0, sustained=False
        )
        for name in ("latency_s", "latency_high_s", "energy_j", "usd_per_million_tokens", "fits_in_memory"):
            assert point[name] == getattr(one, name), name
        assert point["evidence"] == max(one.evidence, key=lambda word: one.evidence[word])


def test_engines_of_a_list_of_points_run_in_their_own_way(folder: Path) -> None:
    captured(folder, "llama")
    graph = graph_over(f"hf:{folder / 'llama.json'}#decode", {"batch": [2, 3]}).graph
    points = [{"engine": engine, "batch": 2} for engine in ("sglang", "torch")]
    rows = ic.sweep(graph, hardware="l4", points=points).to_rows()
    assert [(row["engine"], row["execution"]) for row in rows] == [("sglang", "cuda_graph"), ("torch", "eager")]
    on = ic.Deployment(hardware="l4", engine="vllm")
    for rows in (ic.sweep(graph, on=on, batch=2), ic.sweep(graph, on=[on, on.replace(engine="torch")], batch=2)):
        first = rows.to_rows()[0]
        assert (first["engine"], first["execution"]) == ("vllm", "cuda_graph")


def test_errors_name_what_an_engine_runs() -> None:
    with pytest.raises(ic.errors.InputError, match="expected one of torch, vllm, sglang, trtllm, llamacpp"):
        ic.Deployment(engine="vlm")
    with pytest.raises(ic.errors.InputError, match="fused already; expected cuda_graph or eager"):
        ic.Deployment(engine="vllm", execution="compiled")
    builder = ic.GraphBuilder("net")
    x = builder.tensor("float32", [1, 3, 8, 8], role="input", name="x")
    weight = builder.tensor("float32", [4, 3, 3, 3], role="parameter", name="weight")
    y = builder.tensor("float32", [1, 4, 6, 6])
    builder.node("aten.conv2d.default", {"input": x, "weight": weight}, [y])
    with pytest.raises(ic.errors.InputError, match="neither embeddings nor attention"):
        ic.engine_graph(builder.build([x], [y]), "vllm")
    step = ic.GraphBuilder("step")
    x = step.tensor("float32", [4], role="input", name="x")
    y = step.tensor("float32", [4])
    step.node("aten.relu.default", {"self": x}, [y], phase="backward")
    with pytest.raises(ic.errors.InputError, match="of a training step"):
        ic.engine_graph(step.build([x], [y]), "vllm")


def test_a_deployment_keeps_what_was_asked_for() -> None:
    on = ic.Deployment(hardware="l4", engine="vllm")
    assert (on.engine, on.execution) == ("vllm", "cuda_graph")
    assert on.replace(engine="torch").execution == "eager"
    assert ic.Deployment.from_dict(on.to_dict()) == on
    assert on.replace(execution="eager").replace(engine="sglang").execution == "eager"
    assert repr(on) == "Deployment(hardware='l4', engine='vllm')"
    assert on != ic.Deployment(hardware="l4", execution="cuda_graph")


def test_tensorrt_llm_normalizes_in_the_kernel_that_adds_up_ranks(folder: Path) -> None:
    graph = captured(folder, "llama", batch=4, context=1000)

    def launched(engine: str) -> list[tuple[str, str]]:
        estimate = ic.estimate(graph, hardware="h100-sxm-80gb", engine=engine, layout="tensor=2")
        return [(layer.op, layer.kernel) for layer in estimate.layers]

    norms = [kernel for op, kernel in launched("trtllm") if op == "engine.add_norm"]
    sums = [kernel for op, kernel in launched("trtllm") if op == "collective.all_reduce"]
    assert norms == ["collective.all_reduce"] * len(norms)
    assert len(norms) in (len(sums), len(sums) - 1)  # the embedding may be summed, too
    assert "collective.all_reduce" not in [kernel for op, kernel in launched("vllm") if op == "engine.add_norm"]
