"""Graphs of decoders with a sliding window hold on both sides of it, whatever length is named."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.decoder_configs import WINDOWED
from support.language_configs import spec_of

import pyinfercost as ic
from pyinfercost.errors import InputError
from pyinfercost.predict.model_figures import graph_figure
from pyinfercost.predict.plans import value_of
from pyinfercost.sources.captured import graph_over
from pyinfercost.sources.sizes import SizeError

pytestmark = pytest.mark.torch

WINDOW = 16
"""The window of the small configs, which counts the new token."""
SHORT, LONG = (1, 2, 14), (15, 16, 17, 4 * WINDOW)
GROWING = {"decode": "context", "prefill": "sequence"}
OF_EXPORTS = ("mistral", "gemma3", "qwen2")
"""Models of which transformers leaves out the mask of a window while all keys are within it."""
SMALL_KERNELS = 1e-3
"""Share of the latency in an engine that the mask of a window may have: on CPUs its bytes pass the caches."""
FIGURES = ("contraction_flops", "pointwise_flops", "parameter_bytes", "bytes_read", "bytes_written")
WAYS: tuple[dict[str, str], ...] = (
    {"hardware": "h100-sxm-80gb", "engine": "torch", "execution": "eager"},
    {"hardware": "h100-sxm-80gb", "engine": "vllm", "execution": "cuda_graph"},
    {"hardware": "epyc-9654", "engine": "llamacpp", "execution": "eager"},
)


MODELS = [pytest.param(name, marks=[pytest.mark.slow] if name in ("gemma3", "qwen2") else []) for name in WINDOWED]
"""Models whose masks are left out as those of Mistral are, are of the slow suite."""


def named(folder: Path, name: str, phase: str, lengths: Sequence[int], **more: Any) -> ic.Graph:
    return _captured(spec_of(folder, WINDOWED[name], phase), phase, tuple(lengths), **more)


@cache
def _captured(spec: str, phase: str, lengths: tuple[int, ...], **more: Any) -> ic.Graph:
    return graph_over(spec, {"batch": [2, 3], GROWING[phase]: [*lengths]}, **more).graph


def figures(graph: ic.Graph, **sizes: int) -> list[Any]:
    total = ic.count(graph, batch=3, **sizes).total
    return [getattr(total, name) for name in (*FIGURES, "peak_memory_bytes")]


def latencies(graph: ic.Graph, **sizes: int) -> list[float]:
    return [ic.estimate(graph, batch=3, **way, **sizes).latency_s for way in WAYS]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.slow
def test_a_named_context_is_right_on_both_sides_of_the_window(tmp_path: Path, name: str) -> None:
    """Figures of the open graph are those of a capture at each context; below the window, the mask comes on top."""
    across = named(tmp_path, name, "decode", [3, 4], across_windows=True)
    for context in (*SHORT, *LONG):
        fixed = named(tmp_path, name, "decode", [context])
        open_at, at = figures(across, context=context), figures(fixed)
        if context in LONG or name not in OF_EXPORTS:
            assert open_at == at
            assert latencies(across, context=context) == pytest.approx(latencies(fixed), rel=1e-9)
            continue
        assert open_at[0] == at[0]
        on_top = [more - less for more, less in zip(open_at, at, strict=True)]
        masks = 3 * (context + 1) * 16  # operators over the keys of each sequence, and what they start from
        assert all(0 <= each <= 8 * masks for each in on_top)
        in_engines = latencies(fixed)[1:]
        assert latencies(across, context=context)[1:] == pytest.approx(in_engines, rel=SMALL_KERNELS)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.slow
def test_a_context_on_one_side_is_that_of_the_capture(tmp_path: Path, name: str) -> None:
    for lengths in (SHORT, LONG):
        one_sided = named(tmp_path, name, "decode", lengths)
        for context in lengths:
            fixed = named(tmp_path, name, "decode", [context])
            assert figures(one_sided, context=context) == figures(fixed)
            assert latencies(one_sided, context=context) == pytest.approx(latencies(fixed), rel=1e-9)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.slow
def test_caches_stop_growing_at_the_window(tmp_path: Path, name: str) -> None:
    graph = named(tmp_path, name, "decode", [40, 41], across_windows=True)
    keys = [t for t in graph.tensors if t.role == "kv_cache" and (t.name or "").endswith("_keys")]
    lengths = {str(t.shape[2]) for t in keys}
    assert "min(15, context)" in lengths
    assert lengths <= {"context", "min(15, context)"}
    for context in (3, 15, 16, 40):
        cache = ic.profile(graph, hardware="h100-sxm-80gb", batch=1, context=context).kv_cache
        assert cache is not None
        by_kind = {layers.kind: layers.positions for layers in cache.layers}
        assert by_kind["sliding"] == min(context + 1, WINDOW - 1)
        assert by_kind.get("full", context + 1) == context + 1
        alone = ic.profile(spec_of(tmp_path, WINDOWED[name], "decode"), hardware="h100-sxm-80gb", context=context)
        assert alone.kv_cache == cache
        of_token = graph_figure("kv_cache_bytes_per_token", graph, "native")
        assert value_of(of_token or 0, {"batch": 1, "context": context}) == cache.bytes_per_token


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.sample(1)
def test_a_named_prompt_is_right_on_both_sides_of_the_window(tmp_path: Path, name: str) -> None:
    """Each token attends to the window before it, in an engine; a graph of one side says where it holds."""
    across = named(tmp_path, name, "prefill", [3, 4], across_windows=True)
    for prompt in (2, 14, 15, 16, 17, 64):
        fixed = named(tmp_path, name, "prefill", [prompt])
        assert figures(across, sequence=prompt)[0] == figures(fixed)[0]
        in_engines = latencies(fixed)[1:]
        assert latencies(across, sequence=prompt)[1:] == pytest.approx(in_engines, rel=SMALL_KERNELS)
        if prompt >= WINDOW or name not in OF_EXPORTS:
            assert figures(across, sequence=prompt) == figures(fixed)
    if name not in OF_EXPORTS:
        return
    for lengths, outside in (([3, 4], 40), ([40, 41], 3)):
        with pytest.raises(InputError, match=r"holds only where sequence .* 16"):
            ic.count(named(tmp_path, name, "prefill", lengths), batch=3, sequence=outside)


@pytest.mark.parametrize("engine", [None, "torch", ["torch", "vllm"]])
@pytest.mark.sample(1)
def test_a_grid_on_both_sides_says_that_it_counts_the_mask(tmp_path: Path, engine: Any) -> None:
    spec = spec_of(tmp_path, WINDOWED["mistral"], "decode")
    with pytest.warns(ic.errors.WindowWarning, match="the values of context are on both sides of it"):
        ic.sweep(spec, hardware="h100-sxm-80gb", engine=engine, execution="cuda_graph", context=[3, 64])


def test_a_comparison_says_that_it_counts_the_mask_where_one_is_computed(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, WINDOWED["mistral"], "decode")
    with pytest.warns(ic.errors.WindowWarning, match="the values of context are on both sides of it"):
        ic.compare(spec, hardware="h100-sxm-80gb", engine="torch", context=[3, 64])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ic.errors.WindowWarning)
        ic.compare(spec, hardware="h100-sxm-80gb", engine=["vllm", "sglang"], context=[3, 64])


@pytest.mark.slow
def test_grids_of_serving_engines_are_right_on_both_sides_and_give_no_warning(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, WINDOWED["mistral"], "decode")
    contexts = [3, 14, 15, 16, 64]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ic.errors.WindowWarning)
        found = ic.sweep(spec, hardware="h100-sxm-80gb", engine="vllm", execution="cuda_graph", context=contexts)
        on = ic.Deployment(hardware="h100-sxm-80gb", engine="sglang")
        ic.sweep(spec, on=on, context=contexts)
        ic.sweep(spec, points=[{"on": on}], context=contexts)
    for context, latency in zip(contexts, found["latency_s"], strict=True):
        alone = ic.estimate(
            named(tmp_path, "mistral", "decode", [context]),
            hardware="h100-sxm-80gb",
            engine="vllm",
            execution="cuda_graph",
            batch=1,
        )
        assert latency == pytest.approx(alone.latency_s, rel=1e-9)


@pytest.mark.slow
def test_compressed_caches_keep_the_context_fixed(tmp_path: Path) -> None:
    """Layers that keep one entry for several tokens grow in steps, which no named size says."""
    config = WINDOWED["gemma2"] | {"model_type": "deepseek_v4", "architectures": ["DeepseekV4ForCausalLM"]}
    spec = spec_of(tmp_path, config, "decode")
    with pytest.raises(SizeError, match="is captured at one 'context'; give it one value"):
        graph_over(spec, {"batch": [2, 3], "context": [40, 300]})
    short, long = (graph_over(spec, {"batch": [2, 3], "context": [at]}).graph for at in (40, 300))
    assert figures(long)[0] > figures(short)[0]
