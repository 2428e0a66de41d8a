"""`Layout`: a value with checks, its texts, and how it meets `devices` in a deployment."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost import Deployment, Layout
from pyinfercost._core import RentedDevices
from pyinfercost.deployment import LayoutError

H100 = "h100-sxm-80gb"


@pytest.mark.parametrize(
    ("layout", "text", "ranks", "devices"),
    [
        (Layout(), "tensor=1", 1, 1),
        (Layout(tensor=4), "tensor=4", 4, 4),
        (Layout(tensor=4, data=2), "tensor=4,data=2", 4, 8),
        (Layout(tensor=8, expert=8, nodes=2), "tensor=8,expert=8,nodes=2", 8, 8),
        (Layout(expert=8, data=8), "expert=8,data=8", 1, 8),
        (Layout(tensor=2, sequence=True), "tensor=2,sequence", 2, 2),
        (Layout(expert=8, data=8, expert_load="power:1.20"), "expert=8,data=8,expert_load=power:1.2", 1, 8),
        (Layout(tensor=2, expert=2, expert_load=[3, 0.5]), "tensor=2,expert=2,expert_load=3:0.5", 2, 2),
    ],
)
def test_a_layout_is_its_text(layout: Layout, text: str, ranks: int, devices: int) -> None:
    assert (str(layout), layout.ranks, layout.devices) == (text, ranks, devices)
    assert Layout.parse(text) == Layout.parse(layout) == Layout.parse(layout.given) == layout
    assert pickle.loads(pickle.dumps(layout)) == layout
    assert hash(Layout.parse(text)) == hash(layout)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"tensor": 0}, "tensor of layout is 0"),
        ({"tensor": 2.5}, "tensor of layout is 2.5"),
        ({"tensor": 4, "expert": 3}, "expert is 3; expected a divisor of tensor=4, or tensor x data = 4"),
        ({"tensor": 4, "attention_data": 3}, "attention_data is 3"),
        ({"tensor": 4, "nodes": 3}, "nodes is 3; expected a divisor of the 4 devices"),
        ({"sequence": 2}, "sequence"),
        ({"tensors": 4}, "layout has no setting 'tensors'; expected NAME=VALUE of tensor, pipeline"),
        ("tensor=four", "expected a whole number"),
        ("tensor=4,depth=2", "layout has no setting 'depth'"),
        (4, "layout is 4; expected NAME=VALUE of tensor"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(value: Any, message: str) -> None:
    with pytest.raises(LayoutError, match=message.replace("(", r"\(")):
        Layout.parse(value)


def test_devices_are_those_of_the_layout() -> None:
    assert Deployment(hardware=H100, layout="tensor=4").devices == 4
    assert Deployment(hardware=H100, layout="tensor=4,data=2").devices == 8
    assert Deployment(hardware=H100, devices=8).rank_layout == Layout(data=8)
    assert Deployment(hardware=H100).rank_layout == Layout()


def test_a_layout_is_repeated_on_more_devices() -> None:
    on = Deployment(hardware=H100, devices=8, layout=Layout(tensor=4))
    assert (on.devices, on.rank_layout) == (8, Layout(tensor=4, data=2))
    assert on == Deployment(hardware=H100, layout="tensor=4,data=2")
    with pytest.raises(LayoutError, match="devices is 6, and layout tensor=4 is of 4; expected a multiple"):
        Deployment(hardware=H100, devices=6, layout="tensor=4")


def test_other_fields_are_resolved_again() -> None:
    on = Deployment(hardware=H100, layout="tensor=4")
    assert on.replace(layout="tensor=8").devices == 8
    assert on.replace(devices=8).rank_layout == Layout(tensor=4, data=2)
    assert on.replace(precision="bf16").rank_layout == Layout(tensor=4)


def test_a_deployment_with_a_layout_survives_json() -> None:
    on = Deployment(hardware=H100, devices=8, layout=Layout(tensor=4))
    document = json.loads(json.dumps(on.to_dict()))
    assert document["layout"] == {"tensor": 4, "data": 2}
    assert Deployment.from_dict(document) == on
    assert repr(on) == "Deployment(hardware='h100-sxm-80gb', layout='tensor=4,data=2')"


def test_a_repeated_layout_is_in_more_machines() -> None:
    assert Layout(tensor=16, nodes=2).on(32) == Layout(tensor=16, data=2, nodes=4)
    assert Layout(tensor=8).on(16) == Layout(tensor=8, data=2)


@pytest.mark.parametrize(
    ("devices", "together", "of_instance", "instances"),
    [
        (8, 8, 8, 1),
        (16, 8, 8, 2),
        (4, 4, 8, 1),  # four devices are unused
        (12, 4, 8, 2),  # two groups in the first instance, one in the other
        (6, 3, 8, 1),
        (9, 3, 8, 2),  # two groups of three, not two and two thirds
        (16, 8, 4, 4),  # instances that are too small are connected
        (3, 1, 1, 3),
        (5, 1, 8, 1),
    ],
)
def test_instances_hold_groups_whole(devices: int, together: int, of_instance: int, instances: int) -> None:
    assert RentedDevices(devices, together).instances(of_instance) == instances


@pytest.mark.parametrize(
    ("way", "price", "replicas", "instances", "paid"),
    [
        ({}, "aws/p5.48xlarge", 1, 1, 8),
        ({"layout": "tensor=1"}, "aws/p5.48xlarge", 1, 1, 8),
        ({"devices": 2}, "aws/p5.48xlarge", 1, 1, 8),
        ({"devices": 2}, "aws/p5.48xlarge", 5, 2, 16),
        ({"layout": "tensor=4"}, "aws/p5.48xlarge", 1, 1, 8),
        ({"layout": "tensor=4"}, "aws/p5.48xlarge", 3, 2, 16),
        ({"layout": "tensor=4,data=3"}, "aws/p5.48xlarge", 1, 2, 16),
        ({"layout": "tensor=8,data=2"}, "aws/p5.48xlarge", 1, 2, 16),
        ({"layout": "tensor=16"}, "aws/p5.48xlarge", 1, 2, 16),  # eight of them are in each of two machines
        ({"layout": "tensor=4"}, 2.5, 3, 12, 12),
    ],
)
def test_whole_instances_are_paid(way: Any, price: Any, replicas: int, instances: int, paid: int) -> None:
    rent = Deployment(hardware=H100, price=price, **way).rent
    assert rent is not None
    assert (rent.instances(replicas), rent.paid_devices(replicas)) == (instances, paid)
    assert rent.usd_per_h(replicas) == paid * rent.usd_per_device_h
    assert rent.times(replicas).usd_per_h() == rent.usd_per_h(replicas)


def test_a_layout_needs_hardware() -> None:
    with pytest.raises(ic.errors.InputError, match="layout is given without hardware"):
        Deployment(layout="tensor=2")


@pytest.mark.parametrize(
    "given", [{"tensor": 1, "attention_data": 8, "expert": 8}, {"tensor": 2, "attention_data": 4, "expert": 8}]
)
def test_tensor_devices_may_be_those_of_one_share_of_attention(given: dict[str, int]) -> None:
    assert ic.Layout(**given) == ic.Layout(tensor=8, attention_data=given["attention_data"], expert=8)
