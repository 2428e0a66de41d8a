"""Plans under traffic against all combinations of some tactics: servers, fleets of engines and of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.advised_traffic import best_of_all, capture_once
from support.language_configs import WIDE_LLAMA, spec_of
from support.toy_graphs import transformer

import pyinfercost as ic
from pyinfercost.serving.serve import Phases, phases_of

NEAR = 1.01
"""A plan is the one of least effort of those within 1 % of the best one that was found."""

FAR = 1.03

SERVED: dict[str, tuple[dict[str, Any], float]] = {
    "formats": ({"among": ["served_precision", "served_cache", "served_formats"], "risk": "small"}, NEAR),
    "replicas": ({"among": ["served_precision", "replicas", "sequence_limit"], "risk": "small", "replicas": 9}, NEAR),
    "drafts": (
        {"among": ["speculation", "served_cache", "chunk_size", "a10g"], "risk": "small", "acceptance": 0.8},
        FAR,
    ),
    "machines": (
        {"among": ["served_precision", "purchase_terms", "l40s", "a10g", "t4", "h100-sxm-80gb"], "risk": "small"},
        NEAR,
    ),
    "engines": (
        {"among": ["served_engine", "served_layout", "served_precision"], "risk": "small", "objective": "latency_s"},
        FAR,
    ),
    "tokens": (
        {"among": ["served_precision", "sequence_limit", "chunk_size", "served_cache"], "risk": "small",
         "slo": "ttft_p95<0.2,tpot_p95<0.012"},
        FAR,
    ),
}  # fmt: skip
FLEETS: dict[str, tuple[dict[str, Any], float]] = {
    "autoscalers": ({"among": ["autoscaler", "scaling_target", "served_precision"], "risk": "small"}, NEAR),
    "committed": (
        {"among": ["commitment", "served_cache", "served_precision", "purchase_terms"], "risk": "small",
         "commitment": "discount=0.4,term_years=1", "interruptions": "interruptions_per_h=0.1"},
        FAR,
    ),
    "zero": ({"among": ["scale_to_zero", "cold_start", "l40s"], "traffic": "gamma:0.02,cv=4"}, NEAR),
}  # fmt: skip
BATCHED: dict[str, tuple[dict[str, Any], float]] = {
    "batches": ({"among": ["batch_size", "batching_delay", "half_precision"]}, NEAR),
    "autoscalers": (
        {"among": ["autoscaler", "half_precision", "cold_start"], "traffic": "mmpp:60,burst=5,share=0.1,length_s=60"},
        NEAR,
    ),
    "money": (
        {"among": ["commitment", "purchase_terms", "scaling_target", "t4", "a10g"], "autoscaler": "kpa",
         "commitment": "discount=0.4,term_years=1", "interruptions": "interruptions_per_h=0.1"},
        FAR,
    ),
    "functions": (
        {"among": ["serverless", "rented_machine", "batch_size", "l4"], "hardware": "xeon-8480+", "threads": 4,
         "price": "c7i.xlarge", "execution": "compiled", "traffic": "gamma:3,cv=3"},
        NEAR,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def phases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Phases]:
    pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    with pytest.MonkeyPatch.context() as patch:
        capture_once(patch)
        yield phases_of(spec_of(tmp_path_factory.mktemp("config"), WIDE_LLAMA))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("advised") / "transformer.json"
    path.write_text(transformer(width=1024, heads=8).to_json())
    return str(path)


def slow_but(fast: str, cases: Iterable[str]) -> list[Any]:
    """The names of cases, all but one of the slow suite."""
    return [name if name == fast else pytest.param(name, marks=pytest.mark.slow) for name in cases]


def _check(ask: Callable[[], ic.results.Advice], most: float) -> None:
    advice, best, count = best_of_all(ask)
    found = (advice.baseline if advice.best is None else advice.best.setup).figures[advice.objective]
    assert count > 5
    assert found <= most * best
    assert found >= best * (1 - 1e-12)  # else the search has what no combination has


@pytest.mark.torch
@pytest.mark.parametrize("name", slow_but("formats", SERVED))
@pytest.mark.slow
def test_a_server_is_as_cheap_as_the_best_combination(phases: Phases, name: str) -> None:
    asked, most = SERVED[name]
    workload = ic.Workload(rate_per_s=700, prompt=900, output=60, requests=500)
    given = {"hardware": "l4", "engine": "vllm", "precision": "bf16", "price": "on-demand", "workload": workload}
    _check(lambda: ic.advise(phases, **{**given, "slo": "ttft_p99<0.3,tpot_p50<0.02", **asked}), most)


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("name", FLEETS)
def test_a_fleet_of_an_engine_is_as_cheap_as_the_best_combination(phases: Phases, name: str) -> None:
    asked, most = FLEETS[name]
    given: dict[str, Any] = {
        "hardware": "l4", "engine": "vllm", "precision": "bf16", "price": "on-demand", "prompt": 600, "output": 40,
        "traffic": "gamma:300,cv=3", "duration_s": 900.0 if "traffic" not in asked else 80_000.0, "slo": "e2e_p90<20",
    }  # fmt: skip
    _check(lambda: ic.advise(phases, **{**given, **asked}), most)


@pytest.mark.parametrize("name", slow_but("functions", BATCHED))
def test_a_fleet_of_batches_is_as_cheap_as_the_best_combination(file: str, name: str) -> None:
    asked, most = BATCHED[name]
    given: dict[str, Any] = {
        "hardware": "l4", "price": "on-demand", "traffic": "gamma:400,cv=3", "duration_s": 1800.0, "slo": "e2e_p99<1",
    }  # fmt: skip
    _check(lambda: ic.advise(file, **{**given, **asked}), most)


@pytest.mark.slow
def test_a_saving_that_is_enough_takes_the_least_effort(file: str) -> None:
    given: dict[str, Any] = {
        "hardware": "l4", "price": "on-demand", "traffic": "gamma:400,cv=3", "duration_s": 200.0, "slo": "e2e_p99<1",
        "among": ["batch_size", "batching_delay", "half_precision"],
    }  # fmt: skip
    most = ic.advise(file, **given).best
    assert most is not None
    assert most.saving_share > 0.3
    share = most.saving_share / 2
    enough = ic.advise(file, **given, saving=share)
    assert enough.best is not None
    assert enough.enough == share
    assert share <= enough.best.saving_share <= most.saving_share
    assert len(enough.best.steps) <= len(most.steps)
    beyond = ic.advise(file, **given, saving=0.99)
    assert beyond.best is not None
    assert beyond.best.saving_share == most.saving_share
    assert "nothing that was tried saves 99 %" in beyond.sentence
