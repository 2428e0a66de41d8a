"""Plots as Vega-Lite specifications: data equals the documents, valid by the schema, without matplotlib."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.toy_graphs import transformer

import pyinfercost as ic
from pyinfercost.report.plots.breakdown import breakdown_of
from pyinfercost.report.roofline import roofline_of

PRICES = {"l4": 0.8, "a100-sxm-80gb": 2.0}


@pytest.fixture(scope="module")
def profile() -> ic.results.Profile:
    return ic.profile(
        transformer(2, 256, 4), hardware="a100-sxm-80gb", precision="fp16", execution="compiled", batch=64
    )


@pytest.fixture(scope="module")
def document(profile: ic.results.Profile) -> dict[str, Any]:
    return profile.to_dict()


@pytest.fixture(scope="module")
def sweep() -> ic.results.Sweep:
    graph = transformer(2, 512, 8)
    return ic.sweep(
        graph,
        hardware=list(PRICES),
        precision=["fp32", "fp16"],
        execution="cuda_graph",
        batch=range(1, 129),
        price=PRICES,
    )


def test_specifications_have_the_same_numbers(
    profile: ic.results.Profile, document: dict[str, Any], sweep: ic.results.Sweep
) -> None:
    line = roofline_of(document)
    dots = profile.to_vega()["layer"][-1]["data"]["values"]
    assert [(dot["intensity"], dot["flop_per_s"], dot["share"]) for dot in dots] == [
        (dot.intensity, dot.flop_per_s, dot.share) for dot in line.dots
    ]
    bars = profile.to_vega("breakdown", by="op", top=None)["layer"][0]["data"]["values"]
    parts = breakdown_of(document, by="op", top=None).parts
    assert [(row["part"], row["bound"], row["value"]) for row in bars] == [
        (part.name, bound, value) for part in parts for bound, value in part.segments.items()
    ]
    held = profile.to_vega("memory", fixed=False)["layer"][0]["data"]["values"]
    assert [row["bytes"] for row in held][:-1] == [layer["live_activation_bytes"] for layer in document["layers"]]
    spec = sweep.to_vega(pareto=True)
    points = spec["layer"][0]["data"]["values"]
    assert [point["x"] for point in points] == sweep["latency_s"].tolist()
    assert [point["batch"] for point in points] == sweep["batch"].tolist()
    knees = [row["batch"] for layer in spec["layer"] for row in layer["data"]["values"] if "row" in row]
    assert set(sweep.knee()["batch"].tolist()) <= set(knees)


def test_specifications_are_json_and_say_what_they_are(profile: ic.results.Profile, sweep: ic.results.Sweep) -> None:
    specs = [*(profile.to_vega(plot) for plot in ("roofline", "breakdown", "memory")), sweep.to_vega()]
    for spec in specs:
        assert spec["$schema"] == "https://vega.github.io/schema/vega-lite/v5.json"
        assert json.loads(json.dumps(spec, allow_nan=False)) == spec
    with pytest.raises(ValueError, match="plot is 'pie'; expected one of 'roofline', 'breakdown', 'memory'"):
        profile.to_vega("pie")


def test_specifications_keep_to_the_schema(profile: ic.results.Profile, sweep: ic.results.Sweep) -> None:
    altair = pytest.importorskip("altair", reason="the schema of Vega-Lite comes with altair: pip install altair")
    validator = pytest.importorskip("jsonschema")
    (path,) = Path(altair.__file__).parent.glob("vegalite/v*/schema/vega-lite-schema.json")
    schema = validator.Draft7Validator(json.loads(path.read_text(encoding="utf-8")))
    for spec in (
        *(profile.to_vega(plot) for plot in ("roofline", "breakdown", "memory")),
        sweep.to_vega(pareto=("latency_s", "cost_usd")),
        sweep.to_vega(along=None),
    ):
        assert not list(schema.iter_errors(spec))
