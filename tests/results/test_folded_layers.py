"""Layers of reports: equal ones are stored once, and read back as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.report_pages import repeated_profile
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost.errors import InputError
from pyinfercost.results.folded_layers import OWN, folded_layers, unfolded_layers


@pytest.mark.parametrize(
    "profile",
    [
        ic.profile(transformer(layers=3), hardware="t4", batch=2),
        ic.profile(transformer(layers=3), hardware="t4", execution="compiled"),
        ic.profile(blocks(custom_op=True)),
        repeated_profile(),
    ],
)
def test_layers_are_read_back_as_they_were(profile: ic.results.Profile) -> None:
    layers = profile.to_dict()["layers"]
    stored = json.loads(json.dumps(folded_layers(layers)))
    read = unfolded_layers(stored, "x", InputError)
    assert json.dumps(read) == json.dumps(layers)  # also the order of keys, and 1 beside 1.0


def test_equal_layers_are_stored_once() -> None:
    layers = repeated_profile().to_dict()["layers"]
    folded = folded_layers(layers)
    assert len(folded["rows"]) == 4  # a product and a relu of layers 0 to 4, and those of layer 5
    assert [len(folded["own"][key]["at"]) for key in OWN] == [len(layers)] * len(OWN)


def test_numbers_of_different_types_are_different() -> None:
    own = dict.fromkeys(OWN)
    layers = [{**own, "a": value} for value in (1, 1.0, True, 0, False, None)]
    folded = folded_layers(layers)
    assert [type(value) for (value,) in folded["rows"]] == [int, float, bool, int, bool, type(None)]
    assert folded_layers([])["rows"] == []
    assert unfolded_layers(folded_layers([]), "x", InputError) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": None}, "keys of layers of x is None; expected a list"),
        ({"keys": [1]}, "keys of layers of x has 1; expected texts"),
        ({"rows": [[1]]}, "a row of layers of x is"),
        ({"rows": ["ab"]}, "a row of layers of x is 'ab'"),
        ({"row": [0, 9]}, "an index in layers of x"),
        ({"row": [0, -1]}, "an index in layers of x"),
        ({"row": [0, True]}, "an index in layers of x"),
        ({"row": [0] * 1_000_001}, "x has 1,000,001 layers; expected at most 1,000,000"),
        ({"own": []}, "own of layers of x is"),
        ({"own": {"module": 1}}, "'module' of layers of x is 1; expected an object"),
        ({"own": {"module": {"values": [""], "at": []}}}, "'module' of layers of x has 0 values; expected 2"),
        ({"own": {"module": {"values": [], "at": [0, 0]}}}, "an index in layers of x"),
        ({"order": None}, "order of layers of x is None"),
    ],
)
def test_what_is_not_in_this_form_is_refused(change: dict[str, Any], message: str) -> None:
    own = {key: None for key in OWN}
    folded = folded_layers([{**own, "op": "a", "n": 1}, {**own, "op": "b", "n": 2}])
    with pytest.raises(InputError, match=message):
        unfolded_layers({**folded, **change}, "x", InputError)
