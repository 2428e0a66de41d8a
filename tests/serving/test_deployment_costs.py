"""Tables of a deployment's steps: against direct estimates at and between knots, for layouts, engines and settings."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from support.language_configs import GPT_OSS
from support.paths import CONFIGS

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.predict.plans import family_of, launched_graph
from pyinfercost.serving.engine_steps import StepCostsError, step_costs
from pyinfercost.serving.step_tables import StepCosts
from pyinfercost.sources.captured import graph_over

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

LAYERS = 4
ON = ic.Deployment(hardware="h100-sxm-80gb", engine="vllm", price=2.5)
FEW = {"most_sequences": 300, "most_tokens": 8192, "most_context": 32_768}
PARTS = ("tokens_s", "outputs_s", "attention_s", "drafts_s", "wait_s")


class Phases(NamedTuple):
    """A model's two graphs."""

    decode: ic.Graph
    prefill: ic.Graph


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configs")


def phases(folder: Path, name: str = "llama-3-8b") -> Phases:
    """Four layers of a known model, or a small one with windows, with all sizes open."""
    return _captured(folder, name)


@cache
def _captured(folder: Path, name: str) -> Phases:
    known: dict[str, Any] = GPT_OSS
    if name != "windows":
        known = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8")) | {"num_hidden_layers": LAYERS}
    path = folder / name
    path.mkdir()
    (path / "config.json").write_text(json.dumps(known), encoding="utf-8")
    return Phases(
        graph_over(f"hf:{path}#decode", {"batch": [2, 3], "context": [1000, 2000]}).graph,
        graph_over(f"hf:{path}#prefill", {"batch": [1, 2], "sequence": [1000, 2000]}).graph,
    )


def costs_of(folder: Path, on: ic.Deployment = ON) -> StepCosts:
    return _costs(folder, str(on.layout or ""), str(on.serving))


@cache
def _costs(folder: Path, layout: str, serving: str) -> StepCosts:
    on = ON.replace(layout=layout, serving=serving) if layout else ON.replace(serving=serving)
    return step_costs(*phases(folder), on=on, **FEW)  # type: ignore[arg-type]


def parts_at(folder: Path, on: ic.Deployment, **sizes: Any) -> dict[str, Any]:
    launched = launched_graph(phases(folder).decode, on.engine, on.rank_layout)
    family = family_of(launched, on.precision, on.execution, None, str(on.serving))
    columns = {name: np.asarray(values) for name, values in sizes.items()}
    return _core.evaluate_step_parts(family, columns, on.machine, points=len(sizes["batch"]))


LAYOUTS = ["tensor=1", "tensor=2", "tensor=2,pipeline=2", "tensor=2,data=2", "pipeline=4"]


# ---- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("serving", ["", "draft_tokens=3", "async_scheduling"])
@pytest.mark.parametrize("layout", ["tensor=1", "tensor=4"])
@pytest.mark.sample(3)
def test_parts_add_up_to_an_estimate(folder: Path, layout: str, serving: str) -> None:
    """Exactly, with one sequence, with padding, and beyond the largest recorded graph."""
    on = ON.replace(layout=layout, serving=serving)
    batch, context = [1, 2, 7, 100, 600], [500, 64, 4000, 1000, 3000]
    found = parts_at(folder, on, batch=batch, context=context)
    device = sum(found[name] for name in PARTS)
    total = np.maximum(device, found["host_s"]) if serving == "async_scheduling" else device + found["host_s"]
    for place, (sequences, tokens) in enumerate(zip(batch, context, strict=True)):
        estimate = ic.estimate(phases(folder).decode, on=on, batch=sequences, context=tokens)
        assert total[place] == pytest.approx(estimate.latency_s, rel=1e-9)


def test_parts_grow_with_what_they_depend_on(folder: Path) -> None:
    found = parts_at(folder, ON, batch=[64, 64, 128], context=[4096, 16_384, 4096])
    assert found["tokens_s"][0] == found["tokens_s"][1]
    assert found["outputs_s"][0] == found["outputs_s"][1]
    # Keys are read four times; a kernel's launch is not.
    start = found["attention_start_s"]
    assert found["attention_s"][1] - start[1] == pytest.approx(4 * (found["attention_s"][0] - start[0]), rel=0.1)
    # 16 us for each sequence.
    assert found["host_s"][2] - found["host_s"][0] == pytest.approx(64 * 16e-6)


def test_head_and_sampling_are_the_outputs(folder: Path) -> None:
    """The product of 4,096 x 128,256 weights of 2 bytes at 3.35 TB/s takes 0.31 ms; four layers have 1.74 GB."""
    found = parts_at(folder, ON, batch=[2], context=[100])
    assert 0.31e-3 < found["outputs_s"][0] < 0.55e-3
    assert found["tokens_s"][0] > 0.52e-3


def test_wrong_columns_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="size 'context' has 1 values; expected 2"):
        parts_at(folder, ON, batch=[1, 2], context=[5])


# ---- tables ----------------------------------------------------------------------------------------------------------


def errors(values: list[float]) -> tuple[float, float]:
    return float(np.median(np.abs(values))), float(np.max(np.abs(values)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.sample(2)
def test_decode_steps_between_knots(folder: Path, layout: str) -> None:
    """Contexts between knots: blocks of keys and waves of blocks go in steps, which lines cut."""
    on = ON.replace(layout=layout)
    costs, rng = costs_of(folder, on), np.random.default_rng(0)
    seconds, joules = [], []
    for _ in range(40):
        sequences = int(np.exp(rng.uniform(0, np.log(300))))
        context = int(np.exp(rng.uniform(np.log(16), np.log(32_000))))
        batch = sequences * costs.copies
        estimate = ic.estimate(phases(folder).decode, on=on, batch=batch, context=context)
        step_s, step_j = costs.step(sequences, context + 1)
        assert estimate.energy_j is not None
        seconds.append(float(step_s) / estimate.latency_s - 1)
        joules.append(float(step_j) * costs.copies / estimate.energy_j - 1)
    middle, most = errors(seconds)
    assert middle < (0.012 if costs.stages > 1 else 0.002)
    assert most < 0.09
    middle, most = errors(joules)
    assert middle < 0.012
    assert most < 0.09


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_prompt_alone(folder: Path, layout: str) -> None:
    on = ON.replace(layout=layout)
    costs, rng = costs_of(folder, on), np.random.default_rng(1)
    found = []
    for _ in range(25):
        tokens = int(np.exp(rng.uniform(np.log(4), np.log(8192))))
        estimate = ic.estimate(phases(folder).prefill, on=on, batch=costs.copies, sequence=tokens)
        found.append(float(costs.step(0, 1, tokens, 0, 1)[0]) / estimate.interval_s - 1)
    middle, most = errors(found)
    assert middle < (0.02 if costs.stages > 1 else 0.004)
    assert most < 0.04


def test_a_chunk_behind_its_context(folder: Path) -> None:
    costs, rng, found = costs_of(folder), np.random.default_rng(2), []
    for _ in range(40):
        tokens, share = int(np.exp(rng.uniform(np.log(64), np.log(4096)))), float(rng.choice([0.2, 0.6, 0.8, 0.9]))
        prompt = round(tokens / (1 - share))
        if prompt > 32_000:
            continue
        on = ON.replace(serving=f"prefix_hit={share}")
        estimate = ic.estimate(phases(folder).prefill, on=on, batch=1, sequence=prompt)
        before = prompt * round(share * 1000) // 1000
        found.append(float(costs.step(0, 1, prompt - before, before, 1)[0]) / estimate.latency_s - 1)
    middle, most = errors(found)
    assert middle < 0.003
    assert most < 0.08


def test_products_of_a_mixed_step_cost_what_its_tokens_cost(folder: Path) -> None:
    """Tokens of a decode step and of a prompt take the same time in products, norms and activations.

    The tables come from two graphs, whose only difference in these parts are launches of attention. So a mixed step
    costs what a step of all its tokens does, and attention apart.
    """
    costs = costs_of(folder)
    start_s = float(parts_at(folder, ON, batch=[2], context=[64])["attention_start_s"][0])
    for tokens in (8, 64, 256):  # sizes of recorded graphs: no padding
        alone, together = costs.core.products(tokens)[0], costs.core.tokens(tokens)[0]
        assert float(together - start_s) == pytest.approx(float(alone), rel=0.01)


def test_a_mixed_step_saves_one_reading_of_the_weights(folder: Path) -> None:
    """64 sequences and a chunk of 960 tokens: together less than apart by about 1.74 GB at 3.35 TB/s, and the host."""
    costs = costs_of(folder)
    mixed, decode, read = (
        float(costs.step(*step)[0]) for step in ((64, 1000, 960, 0, 1), (64, 1000), (0, 1, 960, 0, 1))
    )
    host_s = costs.host_step_s
    saved = decode + read - mixed - host_s
    assert 0.3 * 1.74e9 / 3.35e12 < saved < 3 * 1.74e9 / 3.35e12


def test_mean_steps_are_steps_at_whole_numbers(folder: Path) -> None:
    costs = costs_of(folder)
    assert costs.core.step(37, 37 * 900) == pytest.approx(tuple(map(float, costs.step(37, 900))), rel=1e-12)
    core = costs.core.step(37, 37 * 900, [(512, 1024)], 1)
    assert core == pytest.approx(tuple(map(float, costs.step(37, 900, 512, 1024, 1))), rel=1e-12)


def test_columns_of_steps_are_steps(folder: Path) -> None:
    costs = costs_of(folder)
    seconds, joules = costs.step(np.array([1, 50]), np.array([100, 2000]), np.array([0, 700]), 0, np.array([0, 1]))
    assert seconds.tolist() == [float(costs.step(1, 100)[0]), float(costs.step(50, 2000, 700, 0, 1)[0])]
    assert (joules > 0).all()


def test_drafts_are_apart_and_outputs_are_sampled_tokens(folder: Path) -> None:
    on = ON.replace(serving="draft_tokens=3,acceptance=0.8")
    costs, plain = costs_of(folder, on), costs_of(folder)
    assert costs.drafts is not None
    assert plain.drafts is None
    assert costs.core.outputs(64)[0] == pytest.approx(plain.core.outputs(64)[0], rel=2e-3)
    estimate = ic.estimate(phases(folder).decode, on=on, batch=40, context=1000)
    assert float(costs.step(40, 1001)[0]) == pytest.approx(estimate.latency_s, rel=0.02)
    assert costs.tokens_per_step == pytest.approx((1 - 0.8**4) / 0.2)


@pytest.mark.parametrize("engine", ["sglang", "trtllm", "llamacpp"])
def test_other_engines(folder: Path, engine: str) -> None:
    on = ON.replace(engine=engine)
    costs = step_costs(*phases(folder), on=on, most_sequences=64, most_tokens=2048, most_context=8192)
    for sequences, context in ((1, 100), (64, 3000)):
        estimate = ic.estimate(phases(folder).decode, on=on, batch=sequences, context=context)
        assert float(costs.step(sequences, context + 1)[0]) == pytest.approx(estimate.latency_s, rel=0.03)


def test_sizes_of_recorded_graphs(folder: Path) -> None:
    """With graphs of 4 and 32 tokens, 5 sequences cost what 32 do, but for attention and writes into the cache."""
    on = ON.replace(serving="graph_batches=4:32")
    costs = step_costs(*phases(folder), on=on, most_sequences=64, most_tokens=2048, most_context=8192)
    four, five, most = (costs.core.products(n)[0] for n in (4, 5, 32))
    assert five == pytest.approx(most, rel=2e-3)
    assert four < five


@pytest.mark.slow
def test_windows_have_knots(folder: Path) -> None:
    """Every other layer reads 16 tokens at most: beyond, half of the layers grow."""
    costs = step_costs(*phases(folder, "windows"), on=ON, most_sequences=32, most_tokens=2048, most_context=8192)
    for sequences, context in ((1, 15), (8, 16), (8, 17), (32, 500)):
        estimate = ic.estimate(phases(folder, "windows").decode, on=ON, batch=sequences, context=context)
        assert float(costs.step(sequences, context + 1)[0]) == pytest.approx(estimate.latency_s, rel=0.02)


# ---- what else a simulation needs ------------------------------------------------------------------------------------


def test_memory_and_price(folder: Path) -> None:
    """A token has 4 layers x 8 heads x 128 elements x 2 x 2 bytes; with tensor=2 half of the heads."""
    one, two = costs_of(folder), costs_of(folder, ON.replace(layout="tensor=2,data=2"))
    token = LAYERS * 8 * 128 * 2 * 2
    assert one.kv_bytes_per_token == pytest.approx(token, rel=0.005)
    assert two.kv_bytes_per_token == pytest.approx(token / 2, rel=0.005)
    assert (one.block_tokens, one.copies, two.copies, two.devices) == (16, 1, 2, 4)
    assert one.rent is not None
    assert two.rent is not None
    assert (one.rent.usd_per_h(), two.rent.usd_per_h()) == (2.5, 10.0)
    use = ic.estimate(phases(folder).decode, on=ON, batch=1, context=4096).memory
    assert use is not None
    assert use.pool_bytes is not None
    assert one.pool_bytes is not None
    assert one.pool_bytes == pytest.approx(use.pool_bytes, rel=0.05)
    assert one.pool_tokens == one.pool_blocks * 16  # type: ignore[operator]
    assert one.pool_tokens == pytest.approx(one.pool_bytes / token, rel=0.01)


def test_a_pipeline_takes_a_chunk_through_all_stages(folder: Path) -> None:
    costs = costs_of(folder, ON.replace(layout="pipeline=4"))
    assert costs.stages == 4
    assert 2.5 < costs.prefill_fill <= 4.0


def test_bands_are_those_of_estimates(folder: Path) -> None:
    costs = costs_of(folder)
    estimate = ic.estimate(phases(folder).decode, on=ON, batch=64, context=4000)
    assert costs.spread == pytest.approx(estimate.latency_high_s / estimate.latency_s - 1, rel=0.35)


@pytest.mark.parametrize(
    ("changes", "given", "message"),
    [
        ({"engine": "torch"}, {}, "forms no steps; pass a serving engine"),
        ({"engine": "tensorrt"}, {}, "forms no steps"),
        ({}, {"most_tokens": 0}, "most_tokens is 0"),
        ({}, {"tolerance": 0.5}, "tolerance is 0.5"),
        ({"layout": "tensor=3"}, {}, "tensor=3 does not divide"),
    ],
)
def test_bad_input_is_refused(folder: Path, changes: dict[str, Any], given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        step_costs(*phases(folder), on=ON.replace(**changes), **given)


def test_fixed_sizes_are_refused(folder: Path) -> None:
    phases(folder)
    fixed = ic.capture(f"hf:{folder / 'llama-3-8b'}#decode", sizes={"batch": 2, "context": 100})
    with pytest.raises(StepCostsError, match="the graph of decode has the sizes none, and none is the batch"):
        step_costs(fixed, phases(folder).prefill, on=ON)


# ---- knots -----------------------------------------------------------------------------------------------------------


def test_lines_between_chosen_knots_meet_all_values() -> None:
    at = np.arange(1, 3001, dtype=float)
    rng = np.random.default_rng(0)
    stairs = 1 + np.ceil(at / 128) * 0.1 + at * 1e-4
    values = np.stack([stairs, np.cumsum(rng.random(at.size)) + 5])
    for tolerance in (0.0, 1e-3, 0.05):
        knots = _core.chosen_knots(at, values, tolerance)
        assert (knots[0], knots[-1]) == (0, at.size - 1)
        for table in values:
            line = np.interp(at, at[knots], table[knots])
            assert np.abs(line / table - 1).max() <= tolerance + 1e-9


def test_a_straight_line_has_two_knots() -> None:
    at = np.arange(1, 20_001, dtype=float)
    assert _core.chosen_knots(at, (3 + 2 * at)[None], 1e-6).tolist() == [0, 19_999]
