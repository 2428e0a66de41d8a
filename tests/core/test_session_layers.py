"""`grid` with terms and machines that it cannot take, and decode steps on both sides of a window."""

from __future__ import annotations

import json
from math import isinf, isnan
from typing import Any

import pytest
from support.decoder_configs import WINDOWED
from support.interface_cases import Setting, ask, deployment_of, graphs, settings
from support.language_configs import spec_of

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.predict.derived_costs import TERMS, term_name
from pyinfercost.sources.captured import graph_over

pytestmark = pytest.mark.torch
SETTINGS = list(settings(30))


class Loaded:
    """A setting as handles of a session."""

    def __init__(self, setting: Setting, graph: ic.Graph | None = None) -> None:
        self.on = deployment_of(setting).replace(price=2.5)
        self.graph = graph or graphs()[setting.model]
        self.sizes = setting.sizes
        self.session = _core.Session()
        handle = ask(self.session, "load", {"kind": "graph"}, self.graph.to_json())["handle"]
        self.machine = ask(self.session, "load", {"kind": "machine"}, self.on.machine.to_json())["handle"]
        fields = {
            "graph": handle,
            "precision": self.on.precision,
            "engine": self.on.engine,
            "execution": self.on.execution,
            "layout": self.on.rank_layout.for_core(),
        }
        self.deployment = ask(self.session, "deploy", fields)["handle"]

    def terms(self) -> dict[str, Any]:
        known = {
            name: TERMS[term_name(name, self.on.engine)].of(self.on) for name in TERMS if name in _core.cost_inputs()
        }
        known |= {"utilization": self.on.utilization, "draft_tokens_per_step": 1.0, "recorded_graphs": float("nan")}
        return {name: None if isnan(v) else "unbounded" if isinf(v) else v for name, v in known.items()}

    def asked(self, name: str, **fields: Any) -> Any:
        return ask(self.session, name, {"deployment": self.deployment, **fields})


def test_terms_are_asked_for_where_a_cost_needs_them() -> None:
    loaded = Loaded(SETTINGS[0])
    request = {"deployment": loaded.deployment, "machines": [loaded.machine]}
    for fields, words in (
        ({"columns": ["cost_usd"]}, "pass terms"),
        ({"columns": ["cost"], "terms": [loaded.terms()]}, "no column of an estimate"),
        ({"terms": []}, "fewer entries than there are machines"),
        ({"terms": [loaded.terms()] * 2}, "more entries than there are machines"),
    ):
        error = json.loads(loaded.session.answer(json.dumps({"grid": {**request, **fields}}), ""))["error"]
        assert error["kind"] == "input"
        assert words in error["message"]


def test_a_machine_without_links_is_refused_alone() -> None:
    session = _core.Session()
    graph = ask(session, "load", {"kind": "graph"}, graphs()["llama"].to_json())["handle"]
    machines = [
        ask(session, "load", {"kind": "machine"}, ic.hardware.load(name).to_json())["handle"]
        for name in ("h100-sxm-80gb", "t4", "apple-m2-max")
    ]
    deployment = ask(session, "deploy", {"graph": graph, "layout": {"tensor": 2}})["handle"]
    found = ask(session, "grid", {"deployment": deployment, "machines": machines, "axes": {"batch": [1, 8]}})
    refused = [machine.get("refused") for machine in found["machines"]]
    assert refused[0] is None
    assert "link" in refused[2]
    assert len(found["machines"][0]["latency_s"]) == 2


# ---- sliding windows -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def windowed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ic.Graph]:
    """Decode steps that hold on both sides of a window of 16 tokens, by family; captured, and built by the core."""
    axes = {"batch": [2, 3], "context": [40, 41]}
    folder = tmp_path_factory.mktemp("windows")
    found = {}
    for name in ("mistral", "gemma2"):
        found[name] = graph_over(spec_of(folder, WINDOWED[name], "decode"), axes, across_windows=True).graph
        found[f"{name}, built"] = _core.decoder_graph(json.dumps({"config": WINDOWED[name], "phase": "decode"}))
    return found


@pytest.mark.parametrize("name", ["mistral", "gemma2", "mistral, built", "gemma2, built"])
@pytest.mark.parametrize(
    "way",
    [{}, {"engine": "vllm"}, {"engine": "vllm", "layout": "tensor=2"}, {"engine": "vllm", "layout": "pipeline=2"}],
)
@pytest.mark.slow
def test_a_full_window_adds_nothing_where_it_is_asked(
    windowed: dict[str, ic.Graph], name: str, way: dict[str, str]
) -> None:
    added = {}
    for context in (3, 14, 15, 40):  # a window of 16 keeps 15 tokens for the next one
        setting = Setting(name, "h100-sxm-80gb", way, {"batch": 2, "context": context})
        loaded = Loaded(setting, windowed[name])
        on = loaded.asked("estimate", machine=loaded.machine, sizes=loaded.sizes)["boundary"]
        found = loaded.asked("layers", machine=loaded.machine, sizes=loaded.sizes)["totals"]
        profile = ic.profile(loaded.graph, on=loaded.on, sizes=loaded.sizes)
        cache = profile.kv_cache
        assert cache is not None
        for figure in ("kv_cache_bytes", "kv_cache_bytes_per_token", "kv_cache_bytes_per_sequence"):
            assert found[figure] == profile.to_dict()["totals"][figure], (context, figure)
        grows = {each["kind"]: each["grows"] for each in on["caches"]}
        assert grows == {each.kind: each.grows for each in cache.layers}
        assert grows["sliding"] == (context < 15)
        of_tokens = sum(each["token_bytes"] for each in on["caches"] if each["grows"])
        assert of_tokens == found["kv_cache_bytes_per_token"] == cache.bytes_per_token
        added[context] = of_tokens
    # Two layers of Mistral have a window, and of the four of Gemma 2 every second one.
    assert added[3] == added[14]
    assert added[15] == added[40] == (added[3] // 2 if name.startswith("gemma2") else 0)
