"""`layouts`: all layouts of a model on numbers of devices, and the reasons of those that are out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost import Layout
from pyinfercost.deployment import LayoutError

H100 = "h100-sxm-80gb"
PLAIN: dict[str, Any] = {"pipeline": 1, "context": 1, "sequence": False}


def texts(found: ic.results.Layouts) -> list[str]:
    return [str(layout) for layout in found]


def reasons(found: ic.results.Layouts) -> dict[str, str]:
    return {each.layout: each.reason for each in found.out}


def test_devices_are_divided_in_all_ways() -> None:
    found = ic.find_layouts(transformer(heads=4), 4, **PLAIN)
    assert texts(found) == ["data=4", "tensor=2,data=2", "tensor=4"]
    assert len(found) == 3
    assert found.out == ()
    assert all(layout.devices == 4 for layout in found)


def test_several_numbers_of_devices_follow_each_other() -> None:
    found = ic.find_layouts(transformer(heads=4), [1, 2], **PLAIN)
    assert texts(found) == ["tensor=1", "data=2", "tensor=2"]
    assert [each.devices for each in found.choices] == [1, 2, 2]


def test_columns_that_are_not_divided_are_a_reason() -> None:
    for devices in (3, 7):
        found = ic.find_layouts(transformer(heads=4), devices, **PLAIN)
        assert texts(found) == [f"data={devices}"]
        assert reasons(found)[f"tensor={devices}"].startswith(f"tensor={devices} does not divide the 4 heads")
        assert "expected tensor to be one of 1, 2, 4" in reasons(found)[f"tensor={devices}"]


def test_given_values_take_the_place_of_all() -> None:
    graph = transformer(heads=4)
    assert texts(ic.find_layouts(graph, 4, tensor=[2, 4], **PLAIN)) == ["tensor=2,data=2", "tensor=4"]
    assert texts(ic.find_layouts(graph, 4, tensor=4, **PLAIN)) == ["tensor=4"]
    shared = ic.find_layouts(graph, 4, tensor=4, pipeline=1, context=1, sequence=[False, True])
    assert texts(shared) == ["tensor=4", "tensor=4,sequence"]
    found = ic.find_layouts(graph, 8, tensor=3, **PLAIN)
    assert texts(found) == []
    assert "is of 6 devices, and devices is 8" in next(iter(reasons(found).values()))


def test_autocast_adds_nodes_before_collectives() -> None:
    graph = transformer(heads=4)
    plain, cast = (
        ic.estimate(graph, hardware="a10", layout="tensor=2", precision=precision) for precision in ("fp16", "amp_fp16")
    )
    (of_plain,), (of_cast,) = plain.exchanges, cast.exchanges
    assert (of_plain.op, of_plain.devices, of_plain.calls) == (of_cast.op, of_cast.devices, of_cast.calls)
    assert of_cast.bytes_sent == of_plain.bytes_sent > 0


def test_tokens_are_shared_where_prompts_are_read() -> None:
    found = ic.find_layouts(transformer(heads=4), 2, pipeline=1, context=1)
    assert texts(found) == ["data=2", "tensor=2", "tensor=2,sequence"]


@pytest.mark.parametrize(
    ("devices", "among", "message"),
    [
        (0, {}, "devices is 0"),
        ([], {}, "devices has no values"),
        (2.5, {}, "devices is 2.5"),
        (4, {"depth": 2}, "layouts has no field 'depth'; expected some of tensor, pipeline"),
        (4, {"tensor": []}, "tensor has no values"),
        (4, {"tensor": 0}, "tensor of layouts is 0"),
        (4, {"sequence": 2}, "sequence of layouts is 2; expected True or False"),
    ],
)
def test_arguments_are_checked(devices: Any, among: dict[str, Any], message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        ic.find_layouts(transformer(), devices, **among)


def test_numbers_that_contradict_each_other_are_out() -> None:
    found = ic.find_layouts(transformer(heads=4), 4, tensor=4, expert=3, **PLAIN)
    assert reasons(found) == {
        "tensor=4,expert=3": "expert is 3; expected a divisor of tensor=4, or tensor x data = 4, so that all devices "
        "have as many experts"
    }


def test_weights_that_exceed_the_memory_are_a_reason() -> None:
    graph = transformer(layers=2, width=16384, heads=64)
    weights = ic.count(graph).total.parameter_bytes
    assert 24 * 2**30 < weights < 2 * 24 * 2**30  # of an L4
    found = ic.find_layouts(graph, 2, hardware="l4", **PLAIN)
    assert texts(found) == ["tensor=2"]
    (out,) = found.out
    assert out.layout == "data=2"
    assert out.weight_bytes == weights
    assert "of weights, and l4 has" in out.reason
    (legal,) = (each for each in found.choices if each.legal)
    assert legal.weight_bytes is not None
    assert legal.weight_bytes == pytest.approx(weights / 2, rel=1e-3)
    assert texts(ic.find_layouts(graph, 2, **PLAIN)) == ["data=2", "tensor=2"]  # any machine


def test_devices_without_links_exchange_nothing() -> None:
    found = ic.find_layouts(transformer(heads=4), 2, hardware="tpu-v5e", **PLAIN)
    assert texts(found) == ["data=2"]
    assert "tpu-v5e" in reasons(found)["tensor=2"]


def test_layouts_larger_than_a_machine_are_in_several() -> None:
    found = ic.find_layouts(transformer(heads=16), 16, hardware=H100, **PLAIN)
    assert {each.nodes for each in found.choices} == {2}
    domain = ic.find_layouts(transformer(heads=16), 16, hardware="gb200", **PLAIN)
    assert {each.nodes for each in domain.choices} == {1}
    unconnected = ic.find_layouts(transformer(heads=16), 16, hardware="l40s", **PLAIN)
    assert "no link to other nodes" in reasons(unconnected)["tensor=16"]
    assert "tensor=8,data=2" in texts(unconnected)  # copies exchange nothing


def test_a_model_without_tokens_has_copies() -> None:
    found = ic.find_layouts(blocks(), 2, pipeline=1, context=1)
    assert "data=2" in texts(found)
    assert not any("sequence" in each.layout or "expert" in each.layout for each in found.choices)


def test_all_forms_of_layouts() -> None:
    found = ic.find_layouts(transformer(heads=4), 3, hardware=H100, **PLAIN)
    document = json.loads(found.to_json())["layouts"]
    assert [row["layout"] for row in document["choices"]] == ["data=3", "tensor=3"]
    assert document["choices"] == found.to_rows()
    assert found.columns == ("layout", "devices", "nodes", "legal", "weight_bytes", "reason")
    assert found.to_csv().splitlines()[0] == "layout,devices,nodes,legal,weight_bytes,reason"
    text = found.to_text()
    assert "1 legal, 1 out" in text
    assert "tensor=3 does not divide the 4 heads" in " ".join(text.split())
    assert repr(found) == "<Layouts transformer: data=3; 1 out>"


def test_what_a_rank_depends_on_is_made_once() -> None:
    graph = transformer(heads=4)
    ic.find_layouts(graph, [2, 4, 8], tensor=2, **PLAIN)
    rank = ic.devices.rank_graph(graph, "tensor=2")
    assert rank is ic.devices.rank_graph(graph, "tensor=2,data=4")
    assert rank is ic.devices.rank_graph(graph, Layout(tensor=2, data=4, nodes=2))  # no copy spans both
    assert rank is not ic.devices.rank_graph(graph, Layout(tensor=2, data=1, nodes=2))
