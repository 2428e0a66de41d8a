"""Steps of serving engines: recorded sizes, asynchronous scheduling, drafts, prefixes and chunks of prompts."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.decoder_configs import WINDOWED
from support.language_configs import spec_of
from support.paths import CONFIGS

import pyinfercost as ic
from pyinfercost.deployment import EngineSettings, ServingError
from pyinfercost.predict.plans import family_of
from pyinfercost.sources.captured import graph_over

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

LAYERS, HIDDEN, WIDE, WORDS = 2, 4096, 14336, 128256
QUERY_HEADS, KEY_HEADS, WIDTH = 32, 8, 128
ON = {"hardware": "h100-sxm-80gb", "engine": "vllm"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configs")


@cache
def _config(folder: Path, name: str) -> str:
    known = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8")) | {"num_hidden_layers": LAYERS}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(known), encoding="utf-8")
    return f"hf:{path}"


@cache
def decode(folder: Path, name: str = "llama-3-8b") -> ic.Graph:
    """A decode step with an open batch and 1,000 tokens in the cache."""
    return graph_over(f"{_config(folder, name)}#decode", {"batch": [2, 3], "context": [1000]}).graph


@cache
def prefill(folder: Path, sequence: int, batch: int = 1) -> ic.Graph:
    return ic.capture(f"{_config(folder, 'llama-3-8b')}#prefill", sizes={"sequence": sequence, "batch": batch})


def launched(graph: ic.Graph, engine: str, serving: str = "", execution: str = "cuda_graph", **sizes: int) -> list[Any]:
    """Name, module of the first node, and work at some sizes, of each launch."""
    made = ic.engine_graph(graph, engine)
    plan = family_of(made, "native", execution, None, serving).plan_for(sizes)
    return [
        (kernel["name"], made.node(launch[0]).module, kernel["work"])
        for kernel in plan.kernels()
        for launch in kernel["launches"]
    ]


def value(quantity: Any, **sizes: int) -> int:
    return quantity if isinstance(quantity, int) else quantity.evaluate(sizes)


def flops(launches: list[Any], name: str, **sizes: int) -> int:
    return sum(value(work.contraction_flops, **sizes) for kernel, _, work in launches if name in kernel)


def product_flops(tokens: int, layers: int = LAYERS) -> int:
    """FLOPs of the products of decoder layers for some tokens."""
    weights = HIDDEN * (QUERY_HEADS + 2 * KEY_HEADS) * WIDTH + QUERY_HEADS * WIDTH * HIDDEN + 3 * HIDDEN * WIDE
    return 2 * tokens * layers * weights


def test_settings_are_a_text_or_a_value() -> None:
    serving = ic.EngineSettings(draft_tokens=4, acceptance=0.8, async_scheduling=True, graph_batches=(1, 2, 8))
    text = "graph_batches=1:2:8,async_scheduling,draft_tokens=4,acceptance=0.8"
    assert str(serving) == text
    given = {"draft_tokens": 4, "acceptance": 0.8, "async_scheduling": True, "graph_batches": [1, 2, 8]}
    assert EngineSettings.parse(text) == EngineSettings.parse(given) == serving
    assert (EngineSettings.parse(""), str(ic.EngineSettings())) == (ic.EngineSettings(), "")
    on = ic.Deployment(**ON, serving=serving)
    assert (on.serving, on.settings) == (text, serving)
    assert ic.Deployment.from_dict(on.to_dict()) == on
    assert on != on.replace(serving="")


@pytest.mark.parametrize(
    "serving",
    ["drafts=4", "draft_tokens=65", "draft_tokens=many", "acceptance=1.1", "prefix_hit=1", "graph_batches=4:2",
     "graph_batches=a", "async_scheduling=perhaps", "draft_tokens=1,draft_tokens=2", "chunk_tokens=-1"],
)  # fmt: skip
def test_other_settings_are_refused(serving: str) -> None:
    with pytest.raises(ServingError, match=r"expected|pass"):
        ic.Deployment(**ON, serving=serving)


def test_torch_forms_no_steps() -> None:
    with pytest.raises(ic.errors.InputError, match="engine torch forms no steps"):
        ic.Deployment(hardware="l4", serving="draft_tokens=4")


def test_tokens_of_a_step_follow_from_drafts_and_their_acceptance() -> None:
    # 1 + a + a^2 + ... + a^K
    assert ic.EngineSettings(draft_tokens=4, acceptance=0.8).tokens_per_step == pytest.approx(
        1 + 0.8 + 0.64 + 0.512 + 0.4096
    )
    assert ic.EngineSettings(draft_tokens=4, acceptance=1).tokens_per_step == 5
    assert ic.EngineSettings(draft_tokens=4, acceptance=0).tokens_per_step == 1
    assert ic.EngineSettings().tokens_per_step == 1


@pytest.mark.parametrize(
    ("engine", "batch", "padded"),
    [("vllm", 1, 1), ("vllm", 3, 4), ("vllm", 5, 8), ("vllm", 130, 136), ("vllm", 257, 272), ("vllm", 512, 512),
     ("vllm", 600, 600), ("sglang", 11, 12), ("sglang", 130, 136), ("sglang", 300, 300), ("trtllm", 130, 256),
     ("trtllm", 2048, 2048), ("trtllm", 3000, 3000), ("llamacpp", 1, 1), ("llamacpp", 3, 3)],
)  # fmt: skip
@pytest.mark.sample(8)
def test_a_decode_step_is_padded_to_a_recorded_size(folder: Path, engine: str, batch: int, padded: int) -> None:
    sizes = {"batch": batch}
    launches = launched(decode(folder), engine, **sizes)
    layers = [launch for launch in launches if ".layers." in launch[1]]
    assert flops(layers, "linear", **sizes) == product_flops(padded)
    # 1,001 keys: attention has no padding.
    scores = LAYERS * QUERY_HEADS * batch * 1001
    assert flops(launches, "attention", **sizes) == scores * 2 * (WIDTH + WIDTH)
    by_hand = launched(decode(folder), engine, execution="eager", **sizes)
    assert flops([each for each in by_hand if ".layers." in each[1]], "linear", **sizes) == product_flops(batch)


def test_a_fixed_batch_is_padded_like_an_open_one(folder: Path) -> None:
    fixed = ic.capture(f"{_config(folder, 'llama-3-8b')}#decode", sizes={"batch": 5, "context": 1000})
    one = ic.estimate(fixed, **ON)
    assert one.latency_s == pytest.approx(ic.estimate(decode(folder), **ON, batch=5).latency_s, rel=1e-9)


def test_a_step_without_a_recorded_graph_has_longer_gaps(folder: Path) -> None:
    graph, machine = decode(folder), ic.hardware.load("h100-sxm-80gb")
    recorded = ic.estimate(graph, **ON, batch=64)
    alone = ic.estimate(graph, **ON, batch=64, serving="graph_batches=1:8:32")
    launches = len(launched(graph, "vllm", batch=64))
    longer_s = machine.overheads_s["launch_gap"] - machine.overheads_s["replay_gap"]
    host_s = launches * machine.overheads_s["dispatch"]
    device_s = recorded.latency_s - 0.97e-3 - 64 * 16e-6
    expected_s = max(device_s + launches * longer_s, host_s) + 0.97e-3 + 64 * 16e-6
    assert alone.latency_s == pytest.approx(expected_s)
    assert sum(layer.latency_s for layer in alone.layers) == pytest.approx(alone.latency_s)


def test_the_host_is_hidden_behind_the_device(folder: Path) -> None:
    for batch in (1, 256):
        added = ic.estimate(decode(folder), **ON, batch=batch)
        hidden = ic.estimate(decode(folder), **ON, batch=batch, serving="async_scheduling")
        host_s = 0.97e-3 + batch * 16e-6
        assert hidden.latency_s == pytest.approx(max(host_s, added.latency_s - host_s))
        assert sum(layer.latency_s for layer in hidden.layers) == pytest.approx(hidden.latency_s)


def test_a_verify_step_reads_keys_and_weights_once_for_all_drafts(folder: Path) -> None:
    sizes = {"batch": 8}
    plain = launched(decode(folder), "vllm", **sizes)
    verify = launched(decode(folder), "vllm", "draft_tokens=3,draft_layers=0", **sizes)
    layers = [launch for launch in verify if ".layers." in launch[1]]
    assert flops(layers, "linear", **sizes) == product_flops(8 * 4)
    assert flops(verify, "attention", **sizes) == 4 * flops(plain, "attention", **sizes)
    for role in ("kv_cache_read", "weight_read"):
        one, other = (
            sum(value(work.bytes_by_role[role], **sizes) for *_, work in launches) for launches in (plain, verify)
        )
        assert one == other, role
    # The product for logits, and keys and values that are written.
    head = [launch for launch in verify if launch[1] == "lm_head"]
    assert flops(head, "linear", **sizes) == 2 * 8 * 4 * HIDDEN * WORDS
    written = sum(value(work.bytes_by_role["kv_cache_written"], **sizes) for *_, work in verify)
    assert written == LAYERS * 8 * 4 * 2 * KEY_HEADS * WIDTH * 2


def test_drafts_are_steps_of_a_layer_and_the_head(folder: Path) -> None:
    sizes = {"batch": 8}
    without = launched(decode(folder), "vllm", "draft_tokens=3,draft_layers=0", **sizes)
    drafted = launched(decode(folder), "vllm", "draft_tokens=3,draft_layers=2", **sizes)
    layers = [launch for launch in drafted if ".layers." in launch[1]]
    assert flops(layers, "linear", **sizes) == product_flops(8 * 4) + product_flops(3 * 8, layers=2)
    head = [launch for launch in drafted if launch[1] == "lm_head"]
    assert flops(head, "linear", **sizes) == 2 * 8 * (4 + 3) * HIDDEN * WORDS
    assert len(drafted) > len(without)


def test_more_tokens_read_more_experts(folder: Path) -> None:
    graph = decode(folder, "mixtral-8x7b")

    def read(serving: str, batch: int) -> int:
        launches = launched(graph, "vllm", serving, batch=batch)
        return sum(
            value(work.bytes_by_role["weight_read"], batch=batch) for name, _, work in launches if "grouped" in name
        )

    # One token has 2 of 8 experts, two have 4, and four have all.
    assert read("draft_tokens=1,draft_layers=0", 1) == 2 * read("", 1)
    assert read("draft_tokens=7,draft_layers=0", 1) == 4 * read("", 1) == read("", 4)


def test_figures_are_of_accepted_tokens(folder: Path) -> None:
    serving, batch = "draft_tokens=4,acceptance=0.8", 16
    step = ic.estimate(decode(folder), **ON, batch=batch, serving=serving, price=2.0)
    tokens = (1 - 0.8**5) / (1 - 0.8)
    assert step.tpot_s == pytest.approx(step.latency_s / tokens)
    assert step.tokens_per_s == pytest.approx(batch * tokens / step.latency_s)
    assert step.usd_per_million_tokens == pytest.approx(2.0 / 3600 * step.latency_s / (batch * tokens) * 1e6)
    assert step.tokens == batch
    assert step.serving == serving
    read = ic.estimate(prefill(folder, 128), **ON, serving=serving)
    assert read.ttft_s == read.latency_s == ic.estimate(prefill(folder, 128), **ON).latency_s


def test_settings_are_an_axis_of_sweeps(folder: Path) -> None:
    graph = decode(folder)
    settings = ["", "draft_tokens=4,acceptance=0.8", "async_scheduling"]
    grid = ic.sweep(
        graph, hardware="h100-sxm-80gb", engine=["torch", "vllm", "llamacpp"], serving=settings, batch=[1, 7, 600],
        price=2.0, sustained=False,
    )  # fmt: skip
    assert len(grid) == 3 * 3 * 3
    for row in grid.to_rows():
        serving = None if row["engine"] == "torch" else row["serving"]
        one = ic.estimate(
            graph, hardware="h100-sxm-80gb", engine=row["engine"], serving=serving, batch=row["batch"], price=2.0
        )
        for name in ("latency_s", "latency_high_s", "energy_j", "usd_per_million_tokens", "max_sequences"):
            assert row[name] == getattr(one, name), (row["engine"], row["serving"], name)


def test_a_prefix_is_attended_to_and_not_computed(folder: Path) -> None:
    whole = launched(prefill(folder, 1000), "vllm")
    rest = launched(prefill(folder, 1000), "vllm", "prefix_hit=0.6")
    layers = [launch for launch in rest if ".layers." in launch[1]]
    assert flops(layers, "linear") == product_flops(400)
    per_score = LAYERS * QUERY_HEADS * 2 * (WIDTH + WIDTH)
    assert flops(rest, "attention") == 400 * 1000 * per_score
    # Row i of the new ones attends to the 600 before them and to i + 1 new ones.
    seen = 400 * 600 + 400 * 401 // 2
    assert sum(work.causal_flops for name, _, work in rest if "attention" in name) == seen * per_score
    head = [[launch for launch in launches if launch[1] == "lm_head"] for launches in (whole, rest)]
    assert flops(head[0], "linear") == flops(head[1], "linear") == 2 * HIDDEN * WORDS


def test_chunks_read_weights_once_each_and_compute_the_same(folder: Path) -> None:
    whole = launched(prefill(folder, 1000, batch=2), "vllm")
    parts = launched(prefill(folder, 1000, batch=2), "vllm", "chunk_tokens=800")  # 400, 400 and 200 of each sequence
    for name in ("linear", "attention"):
        keys = (400 * 400 + 400 * 800 + 200 * 1000, 1000 * 1000) if name == "attention" else (1, 1)
        assert flops(parts, name) * keys[1] == flops(whole, name) * keys[0]
    seen = [sum(work.causal_flops for name, _, work in each if "attention" in name) for each in (parts, whole)]
    assert seen[0] == seen[1]
    for module, times in ((".layers.1.mlp.down_proj", 3), ("lm_head", 1)):
        read = [
            sum(work.bytes_by_role["weight_read"] for _, path, work in each if path.endswith(module))
            for each in (parts, whole)
        ]
        assert read[0] == times * read[1]
    # The host prepares each of three steps.
    step_s = 0.97e-3 + 2 * 16e-6 + 1e-3
    one, three = (ic.estimate(prefill(folder, 1000, batch=2), **ON, serving=each) for each in ("", "chunk_tokens=800"))
    assert three.ttft_s - one.ttft_s > 2 * step_s
    assert sum(layer.latency_s for layer in three.layers) == pytest.approx(three.latency_s)


def test_prompts_of_open_length_are_not_cut(folder: Path) -> None:
    graph = graph_over(f"{_config(folder, 'llama-3-8b')}#prefill", {"sequence": [64, 128]}).graph
    prefix = ic.estimate(graph, **ON, sequence=100, serving="prefix_hit=0.5")
    assert prefix.ttft_s < ic.estimate(graph, **ON, sequence=100).ttft_s
    with pytest.raises(ic.errors.InputError, match="of an open length or number"):
        ic.estimate(graph, **ON, sequence=100, serving="chunk_tokens=32")


def test_llamacpp_launches_larger_steps_one_by_one(folder: Path) -> None:
    graph = decode(folder)
    one, two = (launched(graph, "llamacpp", batch=batch) for batch in (1, 2))
    # 3 us for each kernel: the device takes longer for a step of two, so that only gaps are added.
    estimate = ic.estimate(graph, hardware="h100-sxm-80gb", engine="llamacpp", batch=2)
    recorded = ic.estimate(graph, hardware="h100-sxm-80gb", engine="llamacpp", batch=2, serving="graph_batches=1:2")
    machine = ic.hardware.load("h100-sxm-80gb")
    longer_s = len(two) * (machine.overheads_s["launch_gap"] - machine.overheads_s["replay_gap"])
    assert len(one) == len(two)
    assert estimate.latency_s - recorded.latency_s == pytest.approx(longer_s, rel=1e-6)


# ---- sliding windows -------------------------------------------------------------------------------------------------

WINDOW, FEW_HEADS, NARROW = 16, 2, 16
"""Window, heads of keys and width of a head in the small configs of `support.decoder_configs`."""


def small_prefill(folder: Path, name: str, sequence: int, batch: int) -> ic.Graph:
    return ic.capture(spec_of(folder, WINDOWED[name], "prefill"), sizes={"sequence": sequence, "batch": batch})


def windowed_layers(name: str) -> tuple[int, int]:
    """Layers with a window, and without one: Mistral-v0.1 has only the former, Gemma 2 as many of each."""
    return {"mistral": (2, 0), "gemma2": (2, 2)}[name]


@pytest.mark.parametrize("name", ["mistral", "gemma2"])
@pytest.mark.parametrize(
    ("serving", "chunks"),
    [
        ("chunk_tokens=40", [(20, 0), (20, 20), (10, 40)]),  # longer and shorter than the window
        ("chunk_tokens=12", [(6, 6 * at) for at in range(8)] + [(2, 48)]),  # the window becomes full within a chunk
        ("prefix_hit=0.2", [(40, 10)]),  # a prefix that the window holds
        ("prefix_hit=0.8", [(10, 40)]),
    ],
)
def test_a_chunk_reads_the_window_before_it(
    tmp_path: Path, name: str, serving: str, chunks: list[tuple[int, int]]
) -> None:
    batch, heads = 2, 4
    found = [work for kernel, _, work in launched(small_prefill(tmp_path, name, 50, batch), "vllm", serving)
             if "attention" in kernel]  # fmt: skip
    windowed, full = windowed_layers(name)
    assert len(found) == (windowed + full) * len(chunks)
    keys = [(tokens, min(before, WINDOW - 1) + tokens, before + tokens) for tokens, before in chunks]
    of_key = batch * 2 * FEW_HEADS * NARROW * 2  # keys and values, heads, elements, bytes
    of_query = batch * heads * NARROW * 2
    read = sum(windowed * (seen * of_key + tokens * of_query) + full * (every * of_key + tokens * of_query)
               for tokens, seen, every in keys)  # fmt: skip
    assert sum(work.bytes_read for work in found) == read
    per_score = batch * heads * 2 * (NARROW + NARROW)
    dense = sum(tokens * (windowed * seen + full * every) for tokens, seen, every in keys)
    assert sum(work.contraction_flops for work in found) == dense * per_score
    # Token by token: each sees itself and what is before it, in a window the last 16 of these.
    places = [before + at for tokens, before in chunks for at in range(1, tokens + 1)]
    scores = sum(windowed * min(place, WINDOW) + full * place for place in places)
    assert sum(work.causal_flops for work in found) == scores * per_score


@pytest.mark.parametrize("name", ["mistral", "gemma2"])
def test_chunks_of_a_window_see_what_the_whole_prompt_sees(tmp_path: Path, name: str) -> None:
    graph = small_prefill(tmp_path, name, 50, 2)
    whole, parts = (launched(graph, "vllm", serving) for serving in ("", "chunk_tokens=12"))
    seen = [sum(work.causal_flops for kernel, _, work in each if "attention" in kernel) for each in (whole, parts)]
    assert seen[0] == seen[1]
