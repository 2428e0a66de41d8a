"""Graphs that the core builds from a decoder's hyperparameters are those that a capture of the model has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import pytest
from support.decoder_configs import PUBLISHED, SMALL
from support.interface_cases import ask
from support.language_configs import spec_of

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.sources.captured import graph_over

pytestmark = pytest.mark.torch

PHASES = ("decode", "prefill")
GROWING = {"decode": "context", "prefill": "sequence"}
OFTEN_SAME = ("aten.to.dtype", "aten.to.dtype_layout")
"""Operators whose result may be their operand; captures note a tensor of its own in some layers."""
FIGURES = ("contraction_flops", "pointwise_flops", "parameters", "parameter_bytes", "bytes_read", "bytes_written")
WAYS = (
    {"hardware": "h100-sxm-80gb", "engine": "torch", "execution": "eager"},
    {"hardware": "a100-sxm-80gb", "engine": "torch", "execution": "compiled"},
    {"hardware": "h100-sxm-80gb", "engine": "vllm", "execution": "cuda_graph"},
    {"hardware": "h100-sxm-80gb", "engine": "llamacpp", "execution": "cuda_graph"},
    {"hardware": "epyc-9654", "engine": "llamacpp", "execution": "eager"},
)
CLOSE = 0.03
"""Limit of the relative difference of estimates."""


def built(config: Mapping[str, Any], phase: str, **more: Any) -> ic.Graph:
    return _core.decoder_graph(json.dumps({"config": config, "phase": phase, **more}))


def captured(folder: Path, config: dict[str, Any], phase: str, least: int = 40) -> ic.Graph:
    """Return the captured graph, with the sizes of a phase as names."""
    return graph_over(spec_of(folder, config, phase), {"batch": [2, 3], GROWING[phase]: [least, least + 1]}).graph


class Rows:
    """The nodes of a graph at given sizes, with tensors numbered in the order of their first use."""

    def __init__(self, graph: ic.Graph, sizes: Mapping[str, int]) -> None:
        self._document = json.loads(graph.to_json())
        self._tensors, self._sizes = self._document["tensors"], sizes
        self._same: dict[int, int] = {}
        self._numbers: dict[int, str] = {}
        self.nodes = [self._node(node) for node in self._document["nodes"]]

    @property
    def parameters(self) -> list[tuple[Any, ...]]:
        """Names, dtypes and shapes of weights and buffers."""
        kinds = ("parameter", "buffer")
        return sorted((t["name"], t["dtype"], *t["shape"]) for t in self._tensors if t.get("role") in kinds)

    def ends(self, side: str) -> list[str]:
        """Return names of the inputs or the outputs."""
        return [self._name(t) for t in self._document[side]]

    @property
    def held(self) -> dict[str, int]:
        """Last node of the lifetime of each tensor."""
        return {self._name(t): until for t, until in enumerate(self._document["held_until"]) if until is not None}

    def _value(self, text: int | str) -> int:
        return text if isinstance(text, int) else int(_core.Expr(text).evaluate(self._sizes))

    def _name(self, t: int) -> str:
        found = self._same.get(t, t)
        name: str | None = self._tensors[found].get("name")
        return name or self._numbers.setdefault(found, f"%{len(self._numbers)}")

    def _tensor(self, t: int) -> tuple[Any, ...]:
        known = self._tensors[t]
        shape = [self._value(length) for length in known["shape"]]
        # The step of a dimension of one element is never taken.
        strides = [
            self._value(step) if length != 1 else 0 for step, length in zip(known["strides"], shape, strict=True)
        ]
        return self._name(t), known["dtype"], known.get("role"), tuple(shape), tuple(strides)

    def _argument(self, value: Any) -> Any:
        if value is None:
            return None
        kind, inner = value
        if kind == "tensor":
            return self._tensor(inner)
        if kind == "tensors":
            return tuple(map(self._tensor, inner))
        if kind == "ints":
            return tuple(map(self._value, inner))
        if kind == "int":
            return self._value(inner)
        return round(float(inner), 6) if kind == "float" else inner

    def _node(self, node: dict[str, Any]) -> tuple[Any, ...]:
        arguments = tuple((name, self._argument(value)) for name, value in node["args"].items())
        (first, *_) = node["outputs"]
        if node["op"].startswith(OFTEN_SAME) and node["args"]["self"][0] == "tensor":
            read = node["args"]["self"][1]
            if self._tensors[read]["dtype"] == self._tensors[first]["dtype"] and first != read:
                self._same[first] = self._same.get(read, read)
        return node["op"], node.get("module"), arguments, tuple(map(self._tensor, node["outputs"]))


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.sample(2)
def test_nodes_are_those_of_the_capture(tmp_path: Path, name: str, phase: str) -> None:
    """Operators, modules, arguments, dtypes, shapes, layouts, weights, caches and lifetimes."""
    config = SMALL[name]
    sizes = {"batch": 3, GROWING[phase]: 40}
    own, known = Rows(built(config, phase), sizes), Rows(captured(tmp_path, config, phase), sizes)
    for number, (of_own, of_known) in enumerate(zip(own.nodes, known.nodes, strict=True)):
        assert of_own == of_known, number
    assert own.parameters == known.parameters
    assert own.ends("inputs") == known.ends("inputs")
    assert own.ends("outputs") == known.ends("outputs")
    if name not in ("mixtral", "qwen3_moe", "qwen3_moe-normalized", "qwen2_moe"):  # results that are operands
        held = own.held
        assert {t: held[t] for t in known.held} == known.held


@pytest.mark.parametrize("context", [3, 15, 16, 40])
@pytest.mark.sample(1)
def test_windows_are_filled_before_they_move(tmp_path: Path, context: int) -> None:
    config = SMALL["gemma2"]
    for phase in PHASES:
        known = graph_over(spec_of(tmp_path, config, phase), {"batch": [2, 3], GROWING[phase]: [context]}).graph
        own = ic.count(built(config, phase), batch=3, **{GROWING[phase]: context}).total
        of_known = ic.count(known, batch=3).total
        assert [getattr(own, figure) for figure in FIGURES] == [getattr(of_known, figure) for figure in FIGURES]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", ["gemma2", "mistral-windowed"])
@pytest.mark.sample(1)
def test_graphs_across_windows_are_those_of_the_core(tmp_path: Path, name: str, phase: str) -> None:
    """Node for node on both sides of the window."""
    config = SMALL[name]
    axes = {"batch": [2, 3], GROWING[phase]: [3, 4]}
    captured_across = graph_over(spec_of(tmp_path, config, phase), axes, across_windows=True).graph
    for length in (3, 14, 15, 16, 40):
        sizes = {"batch": 3, GROWING[phase]: length}
        own, known = Rows(built(config, phase), sizes), Rows(captured_across, sizes)
        for number, (of_own, of_known) in enumerate(zip(own.nodes, known.nodes, strict=True)):
            assert of_own == of_known, (length, number)


def cache_bytes(graph: ic.Graph, context: int) -> int:
    """Return the bytes of keys and values that a step of one sequence is given, in 16 bits."""
    sizes = {"batch": 1, "context": context}
    caches = [
        t.shape for t in graph.tensors if t.role == "kv_cache" and t.dtype == "bfloat16" and "keys" in (t.name or "")
    ]
    return 2 * 2 * sum(prod(int(_core.Expr(str(length)).evaluate(sizes)) for length in shape) for shape in caches)


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_cost_the_same(tmp_path: Path, name: str, phase: str) -> None:
    config = PUBLISHED[name]
    own = built(config, phase)
    known = captured(tmp_path, config, phase, least=5000)  # longer than all windows
    if phase == "decode":
        grown = [cache_bytes(graph, 5001) - cache_bytes(graph, 5000) for graph in (own, known)]
        assert grown[0] == grown[1] > 0
    points = [(1, 5000), (16, 8000), (64, 5120)] if phase == "decode" else [(1, 5000), (4, 6000)]
    for batch, length in points:
        sizes = {"batch": batch, GROWING[phase]: length}
        totals = [ic.count(graph, **sizes).total for graph in (own, known)]
        for figure in (*FIGURES, "peak_memory_bytes"):
            assert getattr(totals[0], figure) == getattr(totals[1], figure), (figure, sizes)
        for way in WAYS:
            times = [ic.estimate(graph, **way, **sizes).latency_s for graph in (own, known)]
            assert times[0] == pytest.approx(times[1], rel=CLOSE), (way, sizes)


REFUSED = {
    "family": ({"model_type": "deepseek_v3"}, "'deepseek_v3', a family without a graph here; convert it"),
    "known families": ({"model_type": "deepseek_v3"}, ". Families with a graph are llama, mistral"),
    "no family": ({"model_type": None}, "model_type' is absent; pass the family"),
    "quantized": ({"quantization_config": {"bits": 4}}, "quantization_config"),
    "rotation": ({"partial_rotary_factor": 0.5}, "rotates a part of each head"),
    "windows": ({"use_sliding_window": True}, "gives some layers a window"),
    "activation": ({"hidden_act": "relu"}, "is 'relu'"),
    "parts": ({"vision_config": {}}, "several parts"),
    "layers": ({"num_hidden_layers": 10**6}, "is 1000000; expected 1 to 1000"),
    "text": ({"hidden_size": "64"}, "hidden_size"),
    "negative": ({"hidden_size": -64}, "is -64; expected 1 to"),
    "heads": ({"num_key_value_heads": 3}, "4 heads and 3 key-value heads"),
    "odd": ({"head_dim": 15}, "heads of 15; expected an even number"),
    "absent": ({"vocab_size": None}, "has no 'vocab_size'"),
    "dtype": ({"dtype": "int8"}, "'int8'; expected float16, bfloat16 or float32"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_configs_are_refused_in_a_sentence(case: str) -> None:
    changes, message = REFUSED[case]
    session = _core.Session()
    document = json.dumps({"config": SMALL["llama"] | changes, "phase": "decode"})
    found = json.loads(session.answer(json.dumps({"load": {"kind": "decoder"}}), document))
    assert found["error"]["kind"] == "input"
    assert message in found["error"]["message"]


def test_sizes_beyond_64_bits_are_an_overflow() -> None:
    wide = dict.fromkeys(("hidden_size", "vocab_size", "intermediate_size"), 2**31)
    document = json.dumps({"config": SMALL["llama"] | wide | {"head_dim": 2**30}, "phase": "prefill"})
    found = json.loads(_core.Session().answer(json.dumps({"load": {"kind": "decoder"}}), document))
    assert "answer" in found or found["error"]["kind"] == "overflow"


TYPES = {"Q4": {"dtype": "int4", "format": "q4_k", "group": 32, "block_bytes": 2}, "F32": {"dtype": "float32"}}


def test_weights_are_checked() -> None:
    config = SMALL["llama"]
    names = [t.name for t in built(config, "decode").tensors if t.role == "parameter"]
    plain = dict.fromkeys(names, "F32")
    name = "model.layers.1.mlp.up_proj.weight"
    stored = ic.count(built(config, "decode", types=TYPES, weights=plain), batch=1, context=9).total
    assert stored.parameter_bytes == 4 * stored.parameters
    narrow = ic.count(built(config, "decode", types=TYPES, weights=plain | {name: "Q4"}), batch=1, context=9).total
    assert stored.parameter_bytes - narrow.parameter_bytes == 96 * 64 * 4 - (96 * 32 + 96 * 2 * 2)
    for weight, message in (
        ({"type": "Q4", "elements": 5}, "has 5 elements; the config gives it 6144"),
        ({"type": "Q4", "bytes": 5}, "has 5 bytes; its elements alone take 3072"),
        ("Q9", "'Q9', which is not among `types`"),
    ):
        with pytest.raises(ValueError, match=message):
            built(config, "decode", types=TYPES, weights=plain | {name: weight})
    with pytest.raises(ValueError, match="has blocks of 32 weights in matrices"):
        built(config, "decode", types=TYPES, weights=plain | {"model.norm.weight": "Q4"})
    del plain[name]
    with pytest.raises(ValueError, match=f"have no {name}; expected those of a complete llama"):
        built(config, "decode", types=TYPES, weights=plain)
    wide = {"Q4": TYPES["Q4"] | {"group": 256}, "F32": TYPES["F32"]}
    with pytest.raises(ValueError, match="has rows of 64; q4_k has blocks of 256"):
        built(config, "decode", types=wide, weights=dict.fromkeys(names, "F32") | {name: "Q4"})


def test_a_session_loads_a_decoder() -> None:
    session = _core.Session()
    document = json.dumps({"config": SMALL["qwen3"], "phase": "decode", "name": "my model"})
    loaded = ask(session, "load", {"kind": "decoder"}, document)
    assert loaded["model"] == "my model"
    assert {name: size["role"] for name, size in loaded["sizes"].items()} == {"batch": "batch", "context": "context"}
    machine = ask(session, "load", {"kind": "machine"}, ic.hardware.load("l4").to_json())
    deployed = ask(session, "deploy", {"graph": loaded["handle"], "engine": "vllm", "execution": "cuda_graph"})
    point = {"deployment": deployed["handle"], "machine": machine["handle"], "sizes": {"batch": 8, "context": 100}}
    graph = built(SMALL["qwen3"], "decode")
    way: dict[str, Any] = {"engine": "vllm", "execution": "cuda_graph", "batch": 8, "context": 100}
    assert ask(session, "estimate", point)["latency_s"] == ic.estimate(graph, hardware="l4", **way).latency_s
