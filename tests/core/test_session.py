"""Answers of a session of the core, the interface of other languages, are the figures of the package."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any

import numpy as np
import pytest
from support.interface_cases import (
    LIMITS,
    MACHINES,
    SERVED,
    Requests,
    Served,
    Setting,
    ask,
    deployment_of,
    graphs,
    served_graphs,
    settings,
)
from support.step_costs import step_costs_like_an_h100

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost._core import Rent, RentedDevices
from pyinfercost.deployment import LayoutError, Price
from pyinfercost.deployment.prices import rentable
from pyinfercost.predict.estimate import estimate_on
from pyinfercost.serving.runs import Run, facts_of, simulated_server
from pyinfercost.serving.scheduler import simulated_scheduler
from pyinfercost.serving.serve import blocks_of

pytestmark = pytest.mark.torch


SHARED_TOKENS = [
    Setting(
        "llama",
        "h100-sxm-80gb",
        {"engine": engine, "precision": "bf16", "layout": layout},
        {"batch": 3, "context": 999},
    )
    for engine, layout in (("torch", "context=2"), ("vllm", "tensor=2,context=2"), ("sglang", "context=4,data=2"))
]
"""Ranks that share the positions of caches."""


def python_estimate(setting: Setting) -> ic.results.Estimate:
    return estimate_on(deployment_of(setting), graphs()[setting.model], setting.sizes)


@pytest.fixture(scope="module")
def answers() -> list[tuple[Setting, dict[str, Any]]]:
    """The answers of a session to all settings."""
    requests = Requests()
    asked = [(setting, requests.estimate(setting, nodes=True)) for setting in [*settings(), *SHARED_TOKENS]]
    session = _core.Session()
    found = [json.loads(session.answer(json.dumps(request), document)) for request, document in requests.lines]
    assert not [answer for answer in found if "error" in answer]
    return [(setting, found[number]["answer"]) for setting, number in asked]


@pytest.mark.parametrize("model", ["cnn", "vit", "llama", "moe", "unet"])
@pytest.mark.sample(1)
def test_estimates_are_those_of_the_package(answers: list[tuple[Setting, dict[str, Any]]], model: str) -> None:
    for setting, found in answers:
        if setting.model != model:
            continue
        known = python_estimate(setting)
        for name in ("latency_s", "latency_low_s", "latency_high_s", "interval_s", "energy_j", "throughput_per_s"):
            assert found[name] == getattr(known, name), (setting, name)
        for name in ("fits_in_memory", "machine_memory_bytes", "bound_shares", "sizes", "devices"):
            assert found[name] == getattr(known, name), (setting, name)
        boundary = found["boundary"]
        assert boundary.get("tokens") == known.tokens
        assert (boundary["input_bytes"], boundary["output_bytes"]) == (
            known.transfer.input_bytes,
            known.transfer.output_bytes,
        )
        pipeline = "pipeline" in setting.way.get("layout", "")
        if known.memory is not None and not pipeline:  # of all stages
            assert boundary["weight_bytes"] == known.memory.weight_bytes
            assert sum(cache["bytes"] for cache in boundary["caches"]) == known.memory.kv_cache_bytes
        if known.memory is not None:
            memory = found["memory"]
            assert memory == {name: getattr(known.memory, name) for name in memory}
        assert [node["index"] for node in found["nodes"]] == [layer.index for layer in known.layers]
        for node, layer in zip(found["nodes"], known.layers, strict=True):
            assert node == {name: getattr(layer, name) for name in node}
        total = 0.0
        for layer in known.layers:
            total += layer.latency_s
        assert found["modules"][""]["latency_s"] == total
        assert found["evidence"] == pytest.approx(known.evidence, rel=1e-12)


PAID = {"price": 2.5, "transfer": "overlapped,network_gbit_per_s=10", "utilization": 0.4, "region": "deu"}


@pytest.mark.parametrize(
    ("model", "given", "sizes"),
    [
        ("cnn", {"hardware": "l4", "precision": "fp16", **PAID}, {"batch": 8}),
        ("cnn", {"hardware": "l4", "price": Price(usd_per_h=0.1, text="owned", usd_per_kwh=0.3)}, {"batch": 3}),
        ("llama", {"hardware": "h100-sxm-80gb", "engine": "vllm", "precision": "bf16", **PAID}, {"batch": 4}),
        ("llama", {"hardware": "xeon-8480+", "threads": 8}, {"batch": 2}),
    ],
)
def test_costs_are_those_of_the_package(model: str, given: dict[str, Any], sizes: dict[str, int]) -> None:
    from pyinfercost.predict.derived_costs import COST_FIGURES, TERMS, DerivedCosts, term_name
    from pyinfercost.predict.estimate import evaluate_on
    from pyinfercost.predict.stages import graph_on

    on = ic.Deployment(**given)
    graph = graphs()[model]
    at = evaluate_on(on, graph_on(on, graph), sizes).at
    session, requests = _core.Session(), Requests()
    deployment, machine = requests.deployment(model, graph, on), requests.machine(on.machine)
    for request, document in requests.lines:
        ((name, fields),) = request.items()
        ask(session, name, fields, document)
    known = {"utilization": on.utilization, "draft_tokens_per_step": at.draft_tokens_per_step}
    known |= {
        "recorded_graphs": at.recorded_graphs,
        **{name: TERMS[term_name(name, on.engine)].of(on) for name in TERMS},
    }
    used = _core.cost_inputs()
    unknown = {math.inf: "unbounded"}
    terms = {
        name: value if math.isfinite(value) else unknown.get(value) for name, value in known.items() if name in used
    }
    point = {"deployment": deployment, "machine": machine, "sizes": sizes, "terms": terms}
    found = ask(session, "estimate", point)["costs"]
    assert set(found) == COST_FIGURES
    costs = DerivedCosts(at)
    for figure, value in found.items():
        wanted = float(getattr(costs, figure))
        assert value == (wanted if math.isfinite(wanted) else None), figure
    del terms["utilization"]
    answer = json.loads(session.answer(json.dumps({"estimate": point})))
    assert answer["error"]["message"] == "the input utilization is missing"
    terms |= {"utilization": 1.0, "latency_s": 1.0}
    answer = json.loads(session.answer(json.dumps({"estimate": point})))
    assert "has 'latency_s', which the estimate finds; leave it out" in answer["error"]["message"]


RENTED = ("h100-sxm-80gb", "a100-sxm-80gb", "t4", "l4", "tpu-v5e")


@pytest.mark.parametrize("layout", ["", "tensor=1", "tensor=2", "data=3", "tensor=2,data=6", "tensor=2,data=8"])
def test_rents_are_those_of_the_package(layout: str) -> None:
    way = {"layout": layout} if layout else {}
    requests, session = Requests(), _core.Session()
    on = [ic.Deployment(hardware=device, price="on-demand", engine="vllm", **way) for device in RENTED]
    deployment = requests.deployment("llama", graphs()["llama"], on[0])
    machines = [requests.machine(each.machine) for each in on]
    for request, document in requests.lines:
        ((name, fields),) = request.items()
        ask(session, name, fields, document)
    known = [rentable(device, "on-demand") for device in RENTED]
    offers = [
        [{"usd_per_h": each.usd_per_h["on-demand"], "devices": each.devices, "has_host": each.host} for each in some]
        for some in known
    ]
    asked = {"deployment": deployment, "machines": machines, "offers": offers}
    for each, some, found in zip(on, known, ask(session, "rent", asked)["machines"], strict=True):
        price, rent = each.device_price, each.rent
        assert price is not None
        assert rent is not None
        assert price.text.startswith(f"{some[found['offer']].name} on-demand")
        assert (found["usd_per_device_h"], found["devices"]) == (price.usd_per_h, price.devices)
        assert (found["instances"], found["paid_devices"]) == (rent.instances(), rent.paid_devices())
        assert (found["usd_per_h"], found["paid_per_used"]) == (rent.usd_per_h(), rent.paid_devices() / each.devices)
    several = ask(session, "rent", {**asked, "replicas": 3})["machines"]
    assert [found["usd_per_h"] for found in several] == [each.rent.usd_per_h(3) for each in on if each.rent]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offers": [[{"devices": 8}]]}, "has an offer without a usd_per_h of at least 0"),
        ({"offers": [[{"usd_per_h": 1, "devices": 0}]]}, "devices are not above 0"),
        ({"offers": [[{"usd_per_h": 1, "devices": 1e300}]]}, "at most 1000000"),
        ({"offers": [[{"usd_per_h": 1, "host": True}]]}, "unknown key 'host'; expected keys among usd_per_h, devices"),
        ({"offers": []}, "has 0 entries for 1 machines"),
        ({"whole": 2}, "whole"),
    ],
)
def test_wrong_offers_are_answered_with_a_sentence(changes: dict[str, Any], message: str) -> None:
    requests, session = Requests(), _core.Session()
    on = ic.Deployment(hardware="l4")
    fields = {"deployment": requests.deployment("cnn", graphs()["cnn"], on), "machines": [requests.machine(on.machine)]}
    for request, document in requests.lines:
        ((name, given),) = request.items()
        ask(session, name, given, document)
    assert ask(session, "rent", {**fields, "offers": [[]]}) == {"machines": [None]}
    answer = json.loads(session.answer(json.dumps({"rent": {**fields, "offers": [[]], **changes}})))
    assert answer["error"]["kind"] == "input"
    assert message in answer["error"]["message"]


@pytest.mark.parametrize("model", ["cnn", "moe"])
def test_counts_are_those_of_the_package(model: str) -> None:
    session, graph = _core.Session(), graphs()[model]
    sizes = {"batch": 3}
    handle = ask(session, "load", {"kind": "graph"}, graph.to_json())["handle"]
    found = ask(session, "count", {"graph": handle, "precision": "bf16", "sizes": sizes, "depth": -1})
    known = ic.count(graph, precision="bf16", **sizes)
    rows = {"": known.total, **known.by_op()}
    for name, row in rows.items():
        answer = found["by_op"][name] if name else found["total"]
        for field in ("contraction_flops", "pointwise_flops", "parameters", "bytes_read", "bytes_written"):
            value = getattr(row, field)
            assert answer[field] == (value if isinstance(value, int) else str(value))
    assert set(found["by_module"]) == set(known.by_module())


def test_a_grid_has_the_estimates_of_its_points() -> None:
    session, requests = _core.Session(), Requests()
    setting = Setting("llama", MACHINES[0], {"precision": "bf16", "engine": "vllm", "layout": "tensor=2,data=2"}, {})
    on = deployment_of(setting)
    machines = [requests.machine(ic.hardware.load(name)) for name in MACHINES[:2]]
    deployment = requests.deployment("llama", graphs()["llama"], on)
    for request, document in requests.lines:
        ((name, fields),) = request.items()
        ask(session, name, fields, document)
    batches, contexts = [1, 2, 7, 64], [16, 1000]
    found = ask(
        session,
        "grid",
        {"deployment": deployment, "machines": machines, "axes": {"batch": batches, "context": contexts}},
    )
    assert found["points"] == len(batches) * len(contexts)
    for name, columns in zip(MACHINES[:2], found["machines"], strict=True):
        at = 0
        for batch in batches:
            for context in contexts:
                sizes = {"batch": batch, "context": context}
                known = python_estimate(setting._replace(machine=name, sizes=sizes))
                for field in ("latency_s", "latency_low_s", "latency_high_s", "energy_j"):
                    assert columns[field][at] == getattr(known, field)
                at += 1


def test_a_scaled_machine_is_that_of_the_package() -> None:
    session, requests = _core.Session(), Requests()
    machine = ic.hardware.load("h100-sxm-80gb")
    setting = Setting("cnn", machine.id, {"precision": "fp16"}, {"batch": 8})
    number = requests.estimate(setting)
    for request, document in requests.lines[:number]:
        ((name, fields),) = request.items()
        ask(session, name, fields, document)
    deployment = requests.lines[number][0]["estimate"]["deployment"]
    scaled = ask(session, "scale", {"machine": requests.machine(machine), "bandwidth": 2, "compute": 1.5})
    found = ask(session, "estimate", {"deployment": deployment, "machine": scaled["handle"], "sizes": {"batch": 8}})
    on = ic.Deployment(hardware=machine.scaled(bandwidth=2, compute=1.5), precision="fp16")
    assert found["latency_s"] == estimate_on(on, graphs()["cnn"], {"batch": 8}).latency_s


def tables_json(costs: Any) -> str:
    """The document of the tables of steps."""

    def curve(table: Any) -> dict[str, Any]:
        return {"knots": table.rows.tolist(), "seconds": table.seconds.tolist(), "joules": table.joules.tolist()}

    def surface(table: Any) -> dict[str, Any]:
        return {
            "rows": table.rows.tolist(),
            "columns": table.columns.tolist(),
            "seconds": table.seconds.ravel().tolist(),
            "joules": table.joules.ravel().tolist(),
        }

    return json.dumps(
        {
            "tokens": curve(costs.tokens),
            "graphs": curve(costs.recorded),
            "outputs": curve(costs.outputs),
            "decode_attention": surface(costs.decode),
            "prefill_attention": surface(costs.prefill),
            "host_step_s": costs.host_step_s,
            "host_sequence_s": costs.host_sequence_s,
            "host_prefill_s": costs.host_prefill_s,
            "overlaps_host": costs.overlaps_host,
            "idle_w": costs.idle_w,
        }
    )


@pytest.mark.parametrize("rate", [2.0, 25.0])
def test_a_session_serves_with_the_settings_that_it_is_given(rate: float) -> None:
    costs = step_costs_like_an_h100()
    lengths = {"prompt": "uniform:100-900", "output": "uniform:1-300", "requests": 700}
    unit = ic.Workload(rate_per_s=1.0, seed=5, **lengths)
    chunks = list(unit.chunks())
    requests = {
        "arrival_s": np.concatenate([chunk.arrival_s for chunk in chunks]).tolist(),
        "prompt": np.concatenate([chunk.prompt_tokens for chunk in chunks]).tolist(),
        "output": np.concatenate([chunk.output_tokens for chunk in chunks]).tolist(),
    }
    workload = ic.Workload(rate_per_s=rate, seed=5, **lengths)
    scheduler = simulated_scheduler(costs, {})
    facts = facts_of(workload)
    run = Run(costs, scheduler, workload, facts, 2, "least_loaded", blocks_of(costs, scheduler, facts))
    assert simulated_server(run)
    session = _core.Session()
    fields = {
        "steps": ask(session, "load", {"kind": "steps"}, tables_json(costs))["handle"],
        "requests": ask(session, "load", {"kind": "requests"}, json.dumps(requests))["handle"],
        "rates_per_s": [rate],
        "server": {
            "engine": costs.engine,
            "blocks": run.blocks,
            "block_tokens": costs.block_tokens,
            "max_sequences": run.sequences,
            "max_tokens": scheduler.max_num_batched_tokens,
            "chunked_prefill": scheduler.enable_chunked_prefill,
            "max_model_tokens": scheduler.max_model_len,
        },
        "cluster": {"servers": 2, "routing": "least_loaded", "seed": workload.seed, "client_s": costs.client_s},
    }
    (found,) = ask(session, "serve", fields)["rates"]
    known = ic.serve(costs, workload=workload, replicas=2)
    for name, latency in known.latencies.items():
        of_core = found["latencies"][name]
        assert of_core == {statistic: getattr(latency, statistic) for statistic in of_core}
    for name in ("duration_s", "tokens_per_s", "requests_per_s", "prompt_tokens_per_s", "utilization", "finished"):
        assert found[name] == getattr(known, name), name
    assert found["timeline"]["running"] == known.timeline.running


def tabulated(session: Any, served: Served) -> tuple[ic.serving.StepCosts, dict[str, Any]]:
    """Return the tables of the package, and the answer of a session."""
    requests = Requests()
    number = requests.tabulated(served, tables=True)
    answers = [json.loads(session.answer(json.dumps(request), document)) for request, document in requests.lines]
    assert "answer" in answers[number], answers[number]
    on = ic.Deployment(hardware=served.machine, **served.way)
    return ic.serving.step_costs(*served_graphs()[served.model], on=on, **LIMITS), answers[number]["answer"]


@pytest.mark.parametrize("served", SERVED, ids=lambda served: f"{served.model}-{served.way['engine']}-{served.machine}")
@pytest.mark.sample(3)
def test_tables_of_steps_are_those_of_the_package(served: Served) -> None:
    costs, found = tabulated(_core.Session(), served)
    known = json.loads(tables_json(costs))
    if costs.drafts is not None:
        known["drafts"] = {
            "knots": costs.drafts.rows.tolist(),
            "seconds": costs.drafts.seconds.tolist(),
            "joules": costs.drafts.joules.tolist(),
        }
    for name, table in found["tables"].items():
        if name == "drafts" and costs.drafts is None:
            assert not any(table.values())
        elif isinstance(table, dict):
            for column, values in table.items():
                assert values == np.nan_to_num(known[name][column]).tolist(), (name, column)
        else:
            assert table == (0.0 if name == "idle_w" and math.isnan(known[name]) else known[name]), name
    assert found["spread"] == costs.spread
    assert found["prefill_spread"] == costs.prefill_spread
    assert found["kv_bytes_per_token"] == costs.kv_bytes_per_token
    assert found.get("pool_tokens") == costs.pool_tokens
    assert found["memory"]["weight_bytes"] == costs.weight_bytes
    assert found["memory"].get("pool_bytes") == costs.pool_bytes
    assert (found["devices"], found["stages"]) == (costs.devices, costs.stages)
    assert found["cluster"]["servers"] == costs.copies
    assert found["tokens_per_step"] == costs.tokens_per_step


@pytest.mark.parametrize("served", SERVED, ids=lambda served: f"{served.model}-{served.way['engine']}-{served.machine}")
def test_a_server_with_its_own_settings_is_that_of_the_package(served: Served) -> None:
    """Tables, settings of the server and requests are the core's: a caller passes them on as they are."""
    session = _core.Session()
    costs, tables = tabulated(session, served)
    drawn = ask(
        session, "draw", {"requests": 300, "prompt": 200, "output": 40, "output_variation": 0.5, "columns": True}
    )
    rate = 20.0
    fields = {
        "steps": tables["handle"],
        "requests": drawn["handle"],
        "rates_per_s": [rate],
        "server": tables["server"],
        "cluster": tables["cluster"] | {"usd_per_h": 3.0},
    }
    (found,) = ask(session, "serve", fields)["rates"]
    arrival_s = np.asarray(drawn["columns"]["arrival_s"]) / rate
    replay = ic.serving.Replay.of(arrival_s, drawn["columns"]["prompt"], drawn["columns"]["output"])
    known = ic.serve(
        dataclasses.replace(costs, rent=Rent(RentedDevices(1, 1), 3.0, 1)), workload=ic.Workload(trace=replay)
    )
    assert found["finished"] == known.finished
    assert found["duration_s"] - arrival_s[0] == pytest.approx(known.duration_s, rel=1e-9)
    for name, latency in known.latencies.items():
        of_core = found["latencies"][name]
        assert of_core == {statistic: pytest.approx(getattr(latency, statistic), rel=1e-6) for statistic in of_core}
    usd = 3.0 * found["duration_s"] / 3600
    assert found["usd"] == pytest.approx(usd)
    assert found["usd_per_million_tokens"] == pytest.approx(usd / found["generated_tokens"] * 1e6)


def test_drawn_requests_have_the_moments_that_are_asked_for() -> None:
    """20,000 requests: means are known to some 0.7 %, deviations to 1.5 %."""
    lengths = {"prompt": 1000, "prompt_variation": 1.0, "output": 300}
    asked = {"requests": 20_000, "seed": 3, "columns": True, **lengths}
    drawn = ask(_core.Session(), "draw", asked)
    columns = {name: np.asarray(values) for name, values in drawn["columns"].items()}
    gaps = np.diff(columns["arrival_s"], prepend=0.0)
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(1, rel=0.03)
    assert gaps.std() == pytest.approx(1, rel=0.05)
    assert columns["prompt"].mean() == pytest.approx(1000, rel=0.04)
    assert columns["prompt"].std() == pytest.approx(1000, rel=0.15)
    assert np.log(columns["prompt"]).std() == pytest.approx(math.sqrt(math.log(2)), rel=0.03)
    assert set(columns["output"].tolist()) == {300}
    assert abs(np.corrcoef(columns["prompt"][1:], columns["prompt"][:-1])[0, 1]) < 0.03
    assert drawn["longest"] == columns["prompt"].max() + 300
    again = ask(_core.Session(), "draw", asked)
    other = ask(_core.Session(), "draw", asked | {"seed": 4})
    assert again["columns"] == drawn["columns"]
    assert other["columns"]["prompt"] != drawn["columns"]["prompt"]
    even = ask(_core.Session(), "draw", {"requests": 3, "arrivals": "constant", "columns": True})
    assert even["columns"] == {"arrival_s": [1, 2, 3], "prompt": [1, 1, 1], "output": [1, 1, 1]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"machine": "rtx-4090", "layout": "tensor=1", "weights": True}, "leave no memory for the caches"),
        ({"engine": "llamacpp"}, "the scheduler of engine 'llamacpp' is not simulated"),
        ({"engine": "torch"}, "which forms no steps"),
        ({"limits": {"most_tokens": 1}}, "most_tokens is 1; expected a whole number from 2"),
        ({"limits": {"sequences": 1}}, "limits has an unknown key 'sequences'"),
        ({"acceptance": 2}, "acceptance is no number from 0 to 1"),
    ],
)
def test_wrong_tables_are_answered_with_a_sentence(changes: dict[str, Any], message: str) -> None:
    given = dict(changes)
    weights = given.pop("weights", False)
    engine = given.pop("engine", "vllm")
    requests = Requests()
    served = Served("llama", given.pop("machine", "l4"), {"engine": engine, "layout": given.pop("layout", "tensor=1")})
    number = requests.tabulated(served, **given)
    session = _core.Session()
    lines = list(requests.lines)
    if weights:  # a machine whose memory the weights fill
        place = next(at for at, (request, _) in enumerate(lines) if request.get("load", {}).get("kind") == "machine")
        machine = json.loads(lines[place][1])
        machine["memory"][-1]["capacity_bytes"] = 5e8
        lines[place] = (lines[place][0], json.dumps(machine))
    answers = [json.loads(session.answer(json.dumps(request), document)) for request, document in lines]
    assert "error" in answers[number], answers[number]
    assert message in answers[number]["error"]["message"]


def test_deployments_of_both_phases_must_be_alike() -> None:
    requests = Requests()
    number = requests.tabulated(SERVED[0])
    requests.taken(1)
    request, _ = requests.lines[number]
    graph = served_graphs()["llama"][1]
    other = requests.deployment("llama prefill", graph, ic.Deployment(hardware="l4", engine="vllm", precision="fp16"))
    requests.ask("tabulate", request["tabulate"] | {"prefill": other})
    session = _core.Session()
    answers = [json.loads(session.answer(json.dumps(each), document)) for each, document in requests.lines]
    assert "the deployments of decode and prefill have different settings" in answers[-1]["error"]["message"]


@pytest.mark.parametrize(
    ("request_", "document", "message"),
    [
        ("{", "", "not valid JSON"),
        ("[]", "", "the document is a list; expected an object"),
        ("{}", "", "asks for nothing"),
        ('{"load": {"kind": "graph"}, "scale": {}}', "", "asks for two things"),
        ('{"predict": {}}', "", "asks for 'predict'; expected one of load, unload"),
        (
            '{"load": {"kind": "car"}}',
            "",
            "kind is the string 'car'; expected graph, decoder, gguf, machine, steps or requests",
        ),
        ('{"load": {"kind": "graph"}}', "{}", "graph JSON: .* has no"),
        ('{"load": {"kind": "graph"}}', "garbage", "graph JSON"),
        ('{"load": {"kind": "steps"}}', '{"tokens": {"knots": [1], "seconds": []}}', "tokens"),
        ('{"load": {"kind": "requests"}}', '{"arrival_s": [0], "prompt": [], "output": []}', "1 arrival_s, 0 prompt"),
        ('{"load": {"kind": "requests"}}', '{"arrival_s": [0], "prompt": [9999999999]}', "out of range"),
        ('{"estimate": {"deployment": 7, "machine": 1}}', "", "deployment is 7, which is no handle of a deployment"),
        ('{"unload": {"handle": 7}}', "", "handle is 7; expected a handle in use"),
    ],
)
def test_a_wrong_request_is_answered_with_a_sentence(request_: str, document: str, message: str) -> None:
    error = json.loads(_core.Session().answer(request_, document))["error"]
    assert error["kind"] == "input"
    assert re.search(message, error["message"]), error


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ({"precision": "fp3"}, "fp3"),
        ({"engine": "vroom"}, "vroom"),
        ({"engine": "vllm", "execution": "compiled"}, "are fused already; expected cuda_graph or eager"),
        ({"layout": {"ulysses": True}}, "ulysses=1 is of ranks that share tokens; expected context above 1"),
        ({"layout": {"tensors": 2}}, "layout has an unknown key 'tensors'; expected keys among tensor"),
        ({"layout": {"tensor": 3}}, "3"),
        ({"step": {"draft_tokens": -1}}, "draft_tokens"),
    ],
)
def test_a_wrong_deployment_is_answered_with_a_sentence(way: dict[str, Any], message: str) -> None:
    session = _core.Session()
    graph = ask(session, "load", {"kind": "graph"}, graphs()["llama"].to_json())["handle"]
    error = json.loads(session.answer(json.dumps({"deploy": {"graph": graph, **way}})))["error"]
    assert error["kind"] == "input"
    assert message in error["message"]


def test_a_pipeline_that_cannot_be_cut_is_answered_with_a_sentence() -> None:
    session = _core.Session()
    graph = ask(session, "load", {"kind": "graph"}, graphs()["llama"].to_json())["handle"]
    machine = ask(session, "load", {"kind": "machine"}, ic.hardware.load("l4").to_json())["handle"]
    deployment = ask(session, "deploy", {"graph": graph, "layout": {"pipeline": 1000}})["handle"]
    point = {"deployment": deployment, "machine": machine}
    with pytest.raises(LayoutError) as known:
        ic.estimate(graphs()["llama"], hardware="l4", layout="pipeline=1000")
    answer = json.loads(session.answer(json.dumps({"estimate": point})))
    assert answer["error"] == {"kind": "input", "message": str(known.value)}
    (refused,) = ask(session, "grid", {"deployment": deployment, "machines": [machine]})["machines"]
    assert refused == {"id": "l4", "refused": str(known.value)}


def test_a_total_beyond_64_bits_is_an_overflow() -> None:
    session = _core.Session()
    graph = ask(session, "load", {"kind": "graph"}, graphs()["cnn"].to_json())["handle"]
    request = {"count": {"graph": graph, "sizes": {"batch": 2**62}}}
    assert json.loads(session.answer(json.dumps(request)))["error"]["kind"] == "overflow"
