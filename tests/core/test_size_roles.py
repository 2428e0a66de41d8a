"""Roles of named sizes: what the name gives, what is stated, what JSON has, and what follows from role data."""

from __future__ import annotations

import json
from typing import Any

import pytest

import pyinfercost as ic

ROLES = {
    "batch": "batch",
    "sequence": "sequence",
    "seq": "sequence",
    "context": "context",
    "image_size": "other",
    "batches": "other",
    "encoder.batch": "data",
}


def graph_of(name: str, **options: Any) -> ic.Graph:
    """relu of [4, size], the size named `name`."""
    builder = ic.GraphBuilder("roles")
    size = builder.size(name, default=3, maximum=8, **options)
    x = builder.tensor("float32", (4, size), role="input", name="x")
    y = builder.tensor("float32", (4, size))
    builder.node("aten.relu.default", {"self": x}, [y])
    return builder.build([x], [y])


def stated(name: str, role: str) -> ic.Graph:
    return graph_of(name, role=role, origin="rows that a mask keeps" if role == "data" else "")


@pytest.mark.parametrize(("name", "role"), ROLES.items())
def test_a_name_gives_a_role(name: str, role: str) -> None:
    graph = graph_of(name, origin="rows that a mask keeps" if role == "data" else "")
    assert graph.sizes[name]["role"] == role
    assert graph.size_of_role(role) == name
    assert graph.depends_on_data(name) is (role == "data")
    assert "role" not in json.loads(graph.to_json())["sizes"][name]
    assert ic.Graph.from_json(graph.to_json()).sizes[name]["role"] == role


@pytest.mark.parametrize("role", ["batch", "sequence", "context", "channel", "data", "other"])
@pytest.mark.parametrize("name", ["n", "batch", "a.b"])
def test_a_stated_role_comes_before_the_name(name: str, role: str) -> None:
    graph = stated(name, role)
    assert graph.sizes[name]["role"] == role
    assert graph.size_of_role(role) == name
    by_name = ROLES.get(name, "data" if "." in name else "other")
    assert json.loads(graph.to_json())["sizes"][name].get("role", by_name) == role
    again = ic.Graph.from_json(graph.to_json())
    assert again == graph
    assert again.sizes == graph.sizes


def test_a_graph_without_a_role_has_no_size_of_it() -> None:
    assert graph_of("n").size_of_role("batch") is None
    assert not graph_of("n").depends_on_data("other")


def test_dependence_on_data_is_a_role_and_no_dot() -> None:
    """relu of 4 x size elements: open where the size is one like any other, at its default of 3 where data decides."""
    for name in ("kept", "mask.kept"):
        of_data = stated(name, "data")
        assert ic.count(of_data).total.pointwise_flops == 4 * 3
        assert ic.count(of_data, **{name: 5}).total.pointwise_flops == 4 * 5
        plain = stated(name, "other")
        assert ic.count(plain).total.pointwise_flops == 4 * ic.Expr.size(name)
        assert ic.estimate(of_data, hardware="l4").latency_s == ic.estimate(plain, hardware="l4").latency_s


def test_a_sweep_over_a_size_of_data_has_a_plan_for_each_value() -> None:
    graph = stated("kept", "data")
    swept = ic.sweep(graph, hardware="l4", kept=range(1, 9))["latency_s"]
    assert [ic.estimate(graph, hardware="l4", kept=kept).latency_s for kept in range(1, 9)] == swept.tolist()


def test_a_pattern_finds_sizes_of_data_alone() -> None:
    graph = stated("kept", "data")
    assert ic.count(graph, **{"ke*": 5}).total.pointwise_flops == 4 * 5
    with pytest.raises(ValueError, match=r"no size that depends on data matches 'ke\*'"):
        ic.count(stated("kept", "other"), **{"ke*": 5})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "n",
            {"role": "rows"},
            "unknown role 'rows' of a size; expected batch, sequence, context, channel, data or other",
        ),
        ("n", {"role": "data"}, "'n' has role data and no origin"),
        ("a.b", {}, "'a.b' has role data and no origin"),
        ("n", {"origin": "rows"}, "'n' has role other and an origin"),
        (
            "n",
            {"role": "data", "origin": "rows", "minimum": 0},
            "'n' has minimum 0; named sizes are at least 1, those with",
        ),
    ],
)
def test_roles_that_do_not_fit(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        graph_of(name, **options)


def test_a_graph_has_one_batch_size() -> None:
    builder = ic.GraphBuilder("two")
    builder.size("batch", default=1)
    with pytest.raises(ValueError, match="size 'n' has role batch and so has 'batch'; a graph has at most one"):
        builder.size("n", default=1, role="batch")


def test_a_role_in_json_must_be_known() -> None:
    document = graph_of("n").to_dict()
    document["sizes"]["n"]["role"] = "rows"
    with pytest.raises(ValueError, match=r"size 'n'.*unknown role 'rows' of a size; expected batch"):
        ic.Graph.from_dict(document)
