"""Numbers of machines that pages store give the costs of the package, with each engine."""

from __future__ import annotations

import json

import pytest
from support.interface_cases import ask
from support.language_configs import LLAMA

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.deployment import Deployment
from pyinfercost.deployment.cold_starts import recorded_graphs
from pyinfercost.deployment.engines import executions_of
from pyinfercost.inputs.engine_settings import EngineSettings
from pyinfercost.predict.derived_costs import term_keys
from pyinfercost.predict.machine_catalog import machine_of
from pyinfercost.report.html.catalog_pack import machine_entry, number_or_word

pytestmark = pytest.mark.torch
MACHINE = "h100-sxm-80gb"
DECODER = json.dumps({"config": LLAMA, "phase": "decode"})


@pytest.mark.parametrize("engine", _core.engines())
def test_cold_start_of_an_engine(engine: str) -> None:
    execution = executions_of(engine)[0]
    entry = machine_entry(machine_of(Deployment(hardware=MACHINE)))
    terms = {name: entry["terms"][key] for name, key in term_keys(engine).items()}
    terms |= {"utilization": 1, "draft_tokens_per_step": 1, "usd_per_h": 2}
    terms |= {"recorded_graphs": number_or_word(recorded_graphs(engine, execution, EngineSettings()))}
    session = _core.Session()
    graph = ask(session, "load", {"kind": "decoder"}, DECODER)["handle"]
    machine = ask(session, "load", {"kind": "machine"}, json.dumps(entry["machine"]))["handle"]
    fields = {"graph": graph, "precision": "fp16", "engine": engine, "execution": execution}
    deployment = ask(session, "deploy", fields)["handle"]
    sizes = {"batch": 4, "context": 200}
    fields = {"deployment": deployment, "machine": machine, "sizes": sizes, "terms": terms}
    found = ask(session, "estimate", fields)["costs"]["cold_start_s"]
    known = ic.estimate(
        _core.decoder_graph(DECODER), hardware=MACHINE, precision="fp16", engine=engine, execution=execution, **sizes
    )
    assert found == pytest.approx(known.cold_start_s, rel=1e-12)
