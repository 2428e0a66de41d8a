"""The closed form against the simulator, with step costs of a deployment: Llama-3-8B, four layers, on an H100."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support.paths import CONFIGS
from support.step_costs import step_costs_like_an_h100

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.serving.engine_steps import step_costs
from pyinfercost.serving.runs import Run, facts_of, simulated
from pyinfercost.serving.scheduler import Scheduler
from pyinfercost.serving.servers import Servers
from pyinfercost.serving.steady_state import OfferedLoad, closed_form
from pyinfercost.serving.step_tables import StepCosts
from pyinfercost.serving.workload import Workload
from pyinfercost.sources.captured import graph_over

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

SHAPES = ((1024, 128), (512, 512), (128, 512), (4096, 64))


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> StepCosts:
    folder = tmp_path_factory.mktemp("config")
    known = json.loads((CONFIGS / "llama-3-8b.json").read_text(encoding="utf-8")) | {"num_hidden_layers": 4}
    (folder / "config.json").write_text(json.dumps(known), encoding="utf-8")
    graphs = (
        graph_over(f"hf:{folder}#decode", {"batch": [2, 3], "context": [1000, 2000]}).graph,
        graph_over(f"hf:{folder}#prefill", {"batch": [1, 2], "sequence": [1000, 2000]}).graph,
    )
    on = ic.Deployment(hardware="h100-sxm-80gb", engine="vllm", price=2.5)
    return step_costs(*graphs, on=on, most_sequences=512, most_context=16_384)


def simulated_tpot_s(costs: StepCosts, workload: Workload, clients: int) -> float:
    """Mean time per output token of the middle of a run."""
    assert costs.pool_blocks is not None
    server = _core.SimulatedServer(
        costs=costs.core,
        engine="vllm",
        blocks=costs.pool_blocks,
        block_tokens=costs.block_tokens,
        max_sequences=costs.most_sequences,
        max_tokens=8192,
    )
    cluster = _core.SimulatedCluster([server], max_concurrency=clients)
    made = workload.all()
    requests = _core.SimulatedRequests(made.arrival_s, made.prompt_tokens, made.output_tokens)
    found = _core.simulate([(cluster, requests)])[0]
    first, finish = np.asarray(found.first_token_s), np.asarray(found.finish_s)
    middle = slice(int(0.3 * len(made)), int(0.85 * len(made)))
    return float(((finish - first) / (made.output_tokens - 1))[middle].mean())


def test_time_per_token_is_that_of_the_simulation(costs: StepCosts) -> None:
    """At 1 to 256 clients of four workloads: 1.5 % at the median."""
    servers = Servers([costs])
    errors = []
    for prompt, output in SHAPES:
        for clients in (1, 4, 16, 64, 256):
            workload = Workload(
                clients=clients,
                prompt=f"uniform:{int(0.8 * prompt)}-{prompt}",
                output=f"uniform:{int(0.8 * output)}-{output}",
                requests=max(200, 20 * clients),
            )
            found = closed_form(servers, OfferedLoad.of(workload))["tpot_s"][0, 0]
            errors.append(found / simulated_tpot_s(costs, workload, clients) - 1)
    assert np.median(np.abs(errors)) < 0.015
    assert np.max(np.abs(errors)) < 0.1


def test_unlimited_memory_and_the_limit_of_a_pool(costs: StepCosts) -> None:
    """A pool of 20,000 tokens holds 20,000 / (820 + 59 + 8) sequences or so at any time."""
    small = replace(costs, pool_bytes=int(costs.kv_bytes_per_token * 20_000))
    load = OfferedLoad(prompt=820, output=118, clients=64)
    assert closed_form([small], load)["max_concurrency"][0, 0] == pytest.approx(20_000 / 887, abs=1)
    assert closed_form([replace(costs, pool_bytes=None)], load)["max_concurrency"][0, 0] == costs.most_sequences


@pytest.mark.parametrize(("prompt", "output"), [(1000, 200), (500, 500), (200, 1000)])
def test_the_share_of_requests_that_lose_their_memory(prompt: int, output: int) -> None:
    """40,000 tokens for 200 clients; SGLang reserves memory for answers and takes back few."""
    workload = Workload(
        clients=200,
        prompt=f"uniform:{prompt // 2}-{prompt * 3 // 2}",
        output=f"uniform:{output // 2}-{output * 3 // 2}",
        requests=3000,
    )
    facts = facts_of(workload)
    for engine, within in (("vllm", 0.03), ("sglang", 0.08)):
        costs = step_costs_like_an_h100(engine=engine, pool_bytes=131_072 * 40_000)
        run = Run(costs, Scheduler.of(costs), workload, facts, 1, "least_loaded", costs.pool_blocks)
        share = float((simulated(run).preemptions > 0).mean())
        found = closed_form([costs], OfferedLoad.of(workload))["preempted_share"][0, 0]
        assert found == pytest.approx(share, abs=within)
