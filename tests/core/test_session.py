"""Sessions of the core, the interface of other languages: grids, drawn requests, and questions that are wrong."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from support.interface_cases import (
    MACHINES,
    SERVED,
    Requests,
    Served,
    Setting,
    ask,
    deployment_of,
    graphs,
    served_graphs,
)

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.deployment import LayoutError

pytestmark = pytest.mark.torch


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
    for machine, columns in zip(machines, found["machines"], strict=True):
        points = [{"batch": batch, "context": context} for batch in batches for context in contexts]
        for at, sizes in enumerate(points):
            known = ask(session, "estimate", {"deployment": deployment, "machine": machine, "sizes": sizes})
            for field in ("latency_s", "latency_low_s", "latency_high_s", "energy_j"):
                assert columns[field][at] == known[field]


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
