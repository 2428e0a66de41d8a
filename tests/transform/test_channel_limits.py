"""Channels of graphs from outside: dimensions that no model has are refused before an id of each element is made."""

from __future__ import annotations

import pytest
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.errors import TooLargeError
from pyinfercost.transform.channels import table, units


def linear(outputs: int, inputs: int) -> ic.Graph:
    """y = linear(x, weight) of one row."""
    tensors = [
        {"dtype": "float32", "shape": [1, inputs], "role": "input", "name": "x"},
        {"dtype": "float32", "shape": [outputs, inputs], "role": "parameter", "name": "fc.weight"},
        {"dtype": "float32", "shape": [1, outputs], "role": "activation"},
    ]
    node = {"op": "aten.linear.", "args": {"input": ["tensor", 0], "weight": ["tensor", 1]}, "outputs": [2]}
    return ic.Graph.from_dict(
        {"schema_version": 1, "sizes": {}, "tensors": tensors, "nodes": [node], "inputs": [0], "outputs": [2]}
    )


@pytest.mark.parametrize("length", [2**24 + 1, 2**32 + 3, 2**53])
def test_a_dimension_that_no_model_has(length: int) -> None:
    with pytest.raises(TooLargeError, match=r"elements, above the limit of 16,777,216 for channels"):
        ic.channel_groups(linear(length, 1))


def test_a_vocabulary_of_a_million_is_no_such_dimension() -> None:
    groups = ic.channel_groups(linear(2**20, 8))
    assert groups.groups == ()
    assert len(groups.fixed) > 0


def test_the_limit_of_all_dimensions_is_that_of_their_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "MOST_UNITS", 1000)
    with pytest.raises(TooLargeError, match=r"have 1,100 channels and more, above the limit of 1,000"):
        ic.channel_groups(linear(900, 200))
    assert ic.channel_groups(linear(700, 200)).groups == ()


def test_a_graph_of_blocks_is_far_below_the_limits() -> None:
    assert ic.channel_groups(blocks()) is not None


def test_each_relation_with_a_channel_rule_is_one_of_a_row() -> None:
    assert set(table.BY_RELATION) <= {row.relation for row in _core.rules()}
