"""Layouts as an axis of a sweep: devices that share products, all legal layouts, and whole instances."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.cli_sweeps import heading, points, sweep, table
from support.toy_graphs import transformer

import pyinfercost as ic
from pyinfercost import deployment as money
from pyinfercost.deployment import LayoutError

H100 = "h100-sxm-80gb"
SIZES = {"batch": [8, 16], "sequence": [128]}


@pytest.fixture
def graph() -> ic.Graph:
    return transformer(heads=4)


@pytest.fixture
def path(graph: ic.Graph, tmp_path: Path) -> str:
    file = tmp_path / "toy.json"
    file.write_text(graph.to_json(), encoding="utf-8")
    return str(file)


def test_tensor_is_an_axis_of_layouts(graph: ic.Graph) -> None:
    grid = ic.sweep(graph, hardware=H100, tensor=[1, 2, 4], **SIZES)
    same = ic.sweep(graph, hardware=H100, layout=["tensor=1", "tensor=2", "tensor=4"], **SIZES)
    assert grid["devices"].tolist() == [1, 1, 2, 2, 4, 4]
    assert grid["layout"].tolist() == same["layout"].tolist()
    assert grid["latency_s"].tolist() == same["latency_s"].tolist()
    assert len(ic.sweep(graph, hardware=H100, tensor=2, **SIZES)) == 2


def test_layouts_are_repeated_on_each_number_of_devices(graph: ic.Graph) -> None:
    grid = ic.sweep(graph, hardware=H100, devices=[4, 8], layout=["tensor=2", "tensor=4"], batch=16, sequence=128)
    assert grid["devices"].tolist() == [4, 4, 8, 8]
    assert grid["layout"].tolist() == ["tensor=2", "tensor=4"] * 2
    for number, layout in enumerate(("tensor=2,data=2", "tensor=4", "tensor=2,data=4", "tensor=4,data=2")):
        estimate = ic.estimate(graph, hardware=H100, layout=layout, sustained=True, batch=16, sequence=128)
        assert grid["latency_s"][number] == estimate.latency_s, layout
    with pytest.raises(LayoutError, match="devices is 6, and layout tensor=4 is of 4"):
        ic.sweep(graph, hardware=H100, devices=[4, 6], layout=["tensor=4"], **SIZES)


def test_all_stands_for_the_legal_layouts(graph: ic.Graph) -> None:
    grid = ic.sweep(graph, hardware=H100, devices=[2, 4], layout="all", **SIZES)
    legal = ic.find_layouts(graph, [2, 4], hardware=H100)
    assert list(dict.fromkeys(grid["layout"].tolist())) == [str(layout) for layout in legal]
    assert len(grid) == 2 * len(legal)
    named = ic.sweep(graph, hardware=H100, layout=list(legal), **SIZES)
    assert grid["latency_s"].tolist() == named["latency_s"].tolist()
    assert grid["devices"].tolist() == named["devices"].tolist()


def test_each_machine_has_its_own_layouts() -> None:
    graph = transformer(layers=2, width=16384, heads=64)  # exceeds the memory of one L4, and of no H100
    grid = ic.sweep(graph, hardware=["l4", H100], devices=2, layout="all", batch=2, sequence=16)
    by_machine = {name: grid.where(f"hardware == '{name}'")["layout"].tolist() for name in ("l4", H100)}
    assert "data=2" not in by_machine["l4"]
    assert "data=2" in by_machine[H100]
    assert {"tensor=2"} <= set(by_machine["l4"]) & set(by_machine[H100])


def test_wrong_arguments_of_layouts(graph: ic.Graph) -> None:
    with pytest.raises(LayoutError, match="layout is 'all', and devices is missing; pass numbers of devices"):
        ic.sweep(graph, hardware=H100, layout="all", **SIZES)
    with pytest.raises(LayoutError, match="layout and tensor are both given"):
        ic.sweep(graph, hardware=H100, layout="tensor=2", tensor=[2], **SIZES)
    with pytest.raises(LayoutError, match="tensor of layout is 0"):
        ic.sweep(graph, hardware=H100, tensor=[0], **SIZES)
    with pytest.raises(ic.errors.InputError, match="hardware is missing"):
        ic.sweep(graph, devices=2, layout="all", **SIZES)


def test_a_model_that_fits_nowhere_is_refused() -> None:
    graph = transformer(layers=4, width=65536, heads=64)
    with pytest.raises(LayoutError, match="no layout of transformer on 2 devices is left: each device has at least"):
        ic.sweep(graph, hardware="l4", devices=2, layout="all", batch=2, sequence=16)


def test_whole_instances_are_paid(graph: ic.Graph) -> None:
    price = {"hardware": H100, "price": "aws/p5.48xlarge", "batch": 16, "sequence": 128}
    grid = ic.sweep(graph, layout=["tensor=2", "tensor=4", "tensor=4,data=4", "tensor=2,data=6"], **price)
    hour = money.offer("aws/p5.48xlarge").usd_per_h["on-demand"]
    # 8 devices are an instance. Six pairs are one and a half.
    assert grid["usd_per_h"].tolist() == pytest.approx([hour, hour, 2 * hour, 2 * hour])
    for number, layout in enumerate(grid["layout"].tolist()):
        estimate = ic.estimate(graph, layout=layout, sustained=True, **price)
        assert grid["cost_usd"][number] == estimate.cost_usd
        assert estimate.cost is not None
        assert estimate.cost_usd == pytest.approx(estimate.cost.usd_per_h * estimate.latency_s / 3600 / 16)
    shared = ic.sweep(graph, devices=[2, 9], **price)
    assert shared["usd_per_h"].tolist() == pytest.approx([hour, 2 * hour])
    listed = ic.sweep(graph, points={"devices": [2, 9], "layout": ["data=2", "tensor=1"]}, **price)
    assert listed["usd_per_h"].tolist() == pytest.approx([hour, 2 * hour])


def test_terms_choose_the_instance_of_a_layout(graph: ic.Graph) -> None:
    grid = ic.sweep(graph, hardware=H100, tensor=[1, 4], price="on-demand", batch=16, sequence=128)
    offers = money.offers(device=H100)
    one = min(each.usd_per_h["on-demand"] / each.devices for each in offers if each.host and each.devices == 1)
    four = min(each.usd_per_h["on-demand"] for each in offers if each.host and each.devices in (4, 8))
    assert grid["usd_per_h"].tolist() == pytest.approx([one, four])


def test_the_command_finds_layouts(path: str) -> None:
    arguments = (path, "-H", H100, "--layout", "all", "--devices", "2,3", "--batch", "16", "--set", "sequence=128")
    result = sweep(*arguments, "--price", "2.5", "--best", "cost_usd")
    assert result.exit_code == 0, result.output
    best = heading(result.stdout.partition("\n\ndevices ")[0])
    assert best["where"].startswith("fits_in_memory")
    assert best["devices"] in ("2", "3")
    assert "Layouts that are out:" in result.stdout
    assert "tensor=3 does not divide the 4 heads" in " ".join(result.stdout.split())
    ranked = [float(row["cost"]) for row in table(result.stdout)]
    assert ranked == sorted(ranked)
    listed = points(*arguments)
    assert {point["layout"] for point in listed} >= {"data=2", "tensor=2", "data=3"}
    assert "tensor=3" not in {point["layout"] for point in listed}
    as_json = sweep(*arguments, "--format", "json")
    assert "Out: tensor=3 on 3 devices: tensor=3 does not divide the 4 heads" in as_json.stderr


def test_the_command_has_an_axis_of_tensor_devices(path: str) -> None:
    arguments = (path, "-H", H100, "--batch", "16", "--set", "sequence=128")
    assert [point["layout"] for point in points(*arguments, "--tensor", "1,2,4")] == [
        "tensor=1",
        "tensor=2",
        "tensor=4",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--layout", "all"), "--layout all needs --devices; give numbers of devices, such as --devices 8,16"),
        (("--layout", "all", "--layout", "tensor=2", "--devices", "2"), "leave the others out"),
        (("--layout", "tensor=2", "--tensor", "2"), "--layout and --tensor are both given"),
        (("--tensor", "1:5000"), "--tensor has 5,000 values"),
        (("--tensor", "two"), "--tensor must be a whole number"),
        (("--layout", "all", "--devices", "0"), "--devices must be at least 1"),
    ],
)
def test_wrong_options_of_layouts(path: str, arguments: tuple[str, ...], message: str) -> None:
    result = sweep(path, "-H", H100, "--batch", "16", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
