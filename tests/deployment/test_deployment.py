"""`Deployment`: one value for machine and execution, with the same keywords in every function."""

from __future__ import annotations

import dataclasses
import inspect
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.single_node import T, single_node
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost import Deployment
from pyinfercost.cli import main
from pyinfercost.deployment import OPTIONS, DeploymentError, Price
from pyinfercost.errors import InputTypeError
from pyinfercost.hardware import HardwareError, load
from pyinfercost.sources.sizes import SizeError

FULL: dict[str, Any] = {
    "hardware": "l4",
    "devices": 2,
    "precision": "fp16",
    "execution": "cuda_graph",
    "sustained": True,
    "price": "g6.4xlarge",
    "utilization": 0.5,
    "region": "deu",
    "transfer": "pinned,overlapped,network_gbit_per_s=10,egress=aws",
    "startup": "machine=cloud,image_gb=8,loader=sllm,warmup=20",
}
TAKE_A_DEPLOYMENT = (
    "CostBudget",
    "CostRegularizer",
    "CostTracker",
    "assert_cost",
    "estimate",
    "measure",
    "profile",
    "sparsity_speedup",
    "sweep",
    "tradeoff",
)


# ---- the value ----


def test_names_are_resolved_once() -> None:
    on = Deployment(**FULL)
    assert (on.machine.id, on.machine.sustained) == ("l4", True)
    assert on.device_price is not None
    assert on.device_price.usd_per_h == pytest.approx(1.3232)
    assert on.place is not None
    assert on.place.name == "deu"
    assert (on.data_transfer.memory, on.data_transfer.egress_usd_per_gb) == ("pinned", 0.09)
    assert on.machine is on.machine
    rented = Deployment(hardware="t4", price="g4dn.xlarge")
    assert rented.place is not None
    assert rented.place.name == "aws/us-east-1"


def test_equality_is_by_value() -> None:
    on = Deployment(**FULL)
    assert on == Deployment(**FULL)
    assert hash(on) == hash(Deployment(**FULL))
    loaded = Deployment(**{**FULL, "hardware": load("l4", sustained=True)})
    assert on == loaded
    assert hash(on) == hash(loaded)
    for name, other in (
        ("hardware", "t4"),
        ("devices", 1),
        ("precision", "bf16"),
        ("execution", "eager"),
        ("sustained", False),
        ("price", 0.8),
        ("utilization", 1.0),
        ("region", "fra"),
        ("transfer", None),
        ("startup", None),
    ):
        changes = {"price": 1.0, name: other} if name == "hardware" else {name: other}
        assert on != on.replace(**changes), name
    assert Deployment(hardware="xeon-8480+", threads=8) != Deployment(hardware="xeon-8480+")
    assert on != "l4"
    assert len({on, loaded, Deployment(**FULL)}) == 1


def test_it_is_frozen() -> None:
    prices = {"l4": 1.0, "t4": 0.5}
    on = Deployment(hardware="l4", price=prices)
    with pytest.raises(dataclasses.FrozenInstanceError):
        on.precision = "fp16"  # type: ignore[misc]
    prices["t4"] = 7.0
    assert on.replace(hardware="t4").device_price == Price(usd_per_h=0.5, text="given")


def test_it_travels_by_pickle_and_as_json(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("usd = 87660\nlifetime_years = 5\nusd_per_kwh = 0.2\n")
    machine = load("l4").scaled(bandwidth=2)
    for on in (
        Deployment(),
        Deployment(**FULL),
        Deployment(hardware="xeon-8480+", threads=8, price={"xeon-8480+": 3.0, "l4": "spot"}),
        Deployment(hardware=machine, price=file),
        Deployment(hardware="l4", price=Price(usd_per_h=1.5, text="a test", usd_per_kwh=0.1)),
    ):
        assert pickle.loads(pickle.dumps(on)) == on
        document = json.loads(json.dumps(on.to_dict()))
        assert Deployment.from_dict(document) == on
        assert Deployment.from_dict(document).to_dict() == on.to_dict()
    file.unlink()
    with pytest.raises(DeploymentError, match="schema_version 2"):
        Deployment.from_dict({"schema_version": 2})
    with pytest.raises(DeploymentError, match=r"unknown keys \['layut'\]"):
        Deployment.from_dict({"layut": 4})


def test_a_pickle_keeps_what_was_resolved(tmp_path: Path) -> None:
    file = tmp_path / "price.toml"
    file.write_text("usd_per_h = 2.5\n")
    data = pickle.dumps(Deployment(hardware="l4", price=file))
    file.unlink()
    assert pickle.loads(data).device_price.usd_per_h == 2.5


def test_another_machine_has_its_own_price_and_all_its_threads() -> None:
    on = Deployment(hardware="l4", price="on-demand", sustained=True)
    other = on.replace(hardware="t4")
    assert other == Deployment(hardware="t4", price="on-demand", sustained=True)
    assert other.device_price is not None
    assert other.device_price != on.device_price
    few = Deployment(hardware="xeon-8480+", threads=8)
    assert few.replace(hardware="epyc-9654").threads is None
    assert few.replace(precision="bf16").threads == 8
    assert on.replace(precision="fp16").machine is on.machine  # nothing is loaded again
    assert not on.replace(hardware=load("t4")).sustained  # a loaded machine stays as it is
    with pytest.raises(ValueError, match="has l4, not t4"):
        Deployment(hardware="l4", price="g6.4xlarge").replace(hardware="t4")
    with pytest.raises(TypeError, match="a deployment has no prise"):
        on.replace(prise=1)


def test_its_text_names_what_differs_from_the_defaults() -> None:
    assert repr(Deployment()) == "Deployment()"
    text = repr(Deployment(hardware=load("l4"), precision="fp16", transfer="pinned"))
    assert text == "Deployment(hardware='l4', precision='fp16', transfer='pinned')"


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"hardware": "l5"}, HardwareError, "unknown hardware 'l5'; the nearest ids are"),
        ({"precision": "fp17"}, ValueError, "precision is 'fp17'; expected one of native"),
        ({"execution": "replayed"}, ValueError, "execution is 'replayed'; expected one of eager, compiled"),
        ({"devices": 0}, ValueError, "devices is 0; expected a whole number from 1 to 1000000"),
        ({"devices": 1.5}, ValueError, "devices is 1.5; expected a whole number"),
        ({"hardware": "l4", "threads": 4}, ValueError, "expected a CPU"),
        ({"hardware": "l4", "price": "g7.large"}, ValueError, "no instance 'g7.large'"),
        ({"hardware": "l4", "region": "atlantis"}, ValueError, "the grid of 'atlantis' is not known"),
        ({"hardware": "l4", "transfer": "pined"}, ValueError, "transfer has 'pined'"),
        ({"utilization": 0}, ValueError, "utilization is 0; expected a number from 1e-06 to 1 as a share"),
        ({"price": 1}, ValueError, "price is given without hardware"),
        ({"region": "deu"}, ValueError, "region is given without hardware"),
        ({"devices": 2}, ValueError, "devices is given without hardware"),
        ({"sustained": True}, ValueError, "sustained is given without hardware"),
    ],
)
def test_what_is_wrong_fails_when_it_is_made(fields: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Deployment(**fields)


# ---- the keywords ----


@pytest.mark.parametrize("name", TAKE_A_DEPLOYMENT)
def test_every_function_takes_all_of_it(name: str) -> None:
    if name in ("CostRegularizer", "CostTracker"):  # their modules import torch
        pytest.importorskip("torch")
    parameters = inspect.signature(getattr(ic, name)).parameters
    assert parameters["on"].kind is inspect.Parameter.KEYWORD_ONLY
    assert [option for option in parameters if option in OPTIONS] == list(OPTIONS)
    assert {parameters[option].default for option in OPTIONS} == {None}
    if name not in ("CostBudget", "CostRegularizer", "CostTracker"):
        assert all(f"{option}: " in getattr(ic, name).__doc__ for option in OPTIONS)


@pytest.mark.parametrize("name", ["estimate", "count", "profile", "sweep", "measure", "sparsity_speedup", "capture"])
def test_every_function_takes_sizes_by_keyword_and_by_name(name: str) -> None:
    parameters = inspect.signature(getattr(ic, name)).parameters
    assert parameters["sizes"].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["named_sizes"].kind is inspect.Parameter.VAR_KEYWORD


def test_the_command_line_has_an_option_for_each_field() -> None:
    for name in ("profile", "sweep", "measure", "diff"):
        options = {parameter.name for parameter in main.commands[name].params}
        assert {"on", *OPTIONS} <= options, name


def test_keywords_build_the_deployment_and_override_it() -> None:
    graph = blocks()
    on = Deployment(**FULL)
    by_keyword = ic.estimate(graph, **FULL, batch=8)
    assert ic.estimate(graph, on=on, batch=8) == by_keyword
    assert ic.profile(graph, on=on, batch=8).estimate == by_keyword
    assert ic.estimate(graph, on=on, precision="bf16", batch=8) == ic.estimate(
        graph, **{**FULL, "precision": "bf16"}, batch=8
    )
    moved = ic.estimate(graph, on=on.replace(price="on-demand"), hardware="t4", batch=8)
    assert (moved.hardware, moved.sustained) == ("t4", True)
    row = ic.sweep(graph, on=on, batch=8).row(0)
    for name in ("latency_s", "energy_j", "energy_per_item_j", "cost_usd", "carbon_g", "transfer_s", "cold_start_s"):
        assert row[name] == getattr(by_keyword, name), name
    with pytest.raises(TypeError, match="on is of type str; expected a Deployment"):
        ic.estimate(graph, on="l4")  # type: ignore[arg-type]
    with pytest.raises(DeploymentError, match="no hardware is given; pass hardware="):
        ic.estimate(graph, precision="fp16")


def test_a_profile_goes_to_another_point_with_what_it_had() -> None:
    profile = ic.profile(blocks(), on=Deployment(hardware="l4", price="on-demand", region="fra"), batch=8)
    other = ic.profile(profile, hardware="t4", precision="fp16")
    assert other.estimate == ic.estimate(
        blocks(), hardware="t4", price="on-demand", region="fra", precision="fp16", batch=8
    )
    counted = ic.profile(blocks(), execution="compiled", precision="fp16")
    assert counted.estimate is None
    timed = ic.profile(counted, hardware="l4")
    assert timed.estimate == ic.estimate(blocks(), hardware="l4", execution="compiled", precision="fp16")


def test_a_size_may_have_the_name_of_an_option() -> None:
    builder = ic.GraphBuilder("named")
    x = builder.tensor("float32", (builder.size("threads", default=4, maximum=64), 8), role="input")
    y = builder.tensor("float32", (ic.Expr("threads"), 8))
    builder.node("aten.relu.default", {"self": x}, [y])
    graph = builder.build([x], [y])
    assert ic.count(graph, sizes={"threads": 16}).total.bytes_read == 16 * 8 * 4
    assert ic.estimate(graph, hardware="l4", sizes={"threads": 16}).sizes == {"threads": 16}
    assert ic.profile(graph, hardware="l4", sizes={"threads": 16}).sizes == {"threads": 16}
    assert ic.sweep(graph, hardware="l4", sizes={"threads": [1, 2]})["threads"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"hardwre": "l4"}, "unknown option 'hardwre'; did you mean 'hardware'?"),
        ({"pric": 2}, "unknown option 'pric'; did you mean 'price'?"),
        ({"bach": 8}, "unknown size 'bach'; this graph has the sizes 'batch'; did you mean 'batch'?"),
        ({"sizes": {"batch": 8}, "batch": 8}, "size 'batch' is given as a keyword and in sizes=; give it once"),
    ],
)
def test_an_unknown_keyword_names_the_nearest_option_or_size(keywords: dict[str, Any], message: str) -> None:
    for function in (ic.estimate, ic.profile, ic.sweep):
        with pytest.raises(ValueError, match=message.replace("?", r"\?")):
            function(blocks(), **{"hardware": "l4", **keywords})


# ---- sweeps ----


def test_every_field_may_be_an_axis() -> None:
    axes: dict[str, Any] = {
        "hardware": ["xeon-8480+", "epyc-9654"],
        "threads": [4, 16],
        "precision": ["fp32", "bf16"],
        "devices": [1, 2],
        "price": [1.0, 2.0],
        "utilization": [0.5, 1.0],
        "region": ["deu", "fra"],
        "transfer": ["pinned", "network_gbit_per_s=1,egress=aws"],
        "startup": ["weights_from=network", "machine=pool,image_gb=8,warmup=3"],
    }
    grid = ic.sweep(blocks(), **axes, batch=[3, 8])
    assert len(grid) == 2**10
    assert grid.columns[:11] == (
        "hardware",
        "threads",
        "precision",
        "execution",
        "devices",
        "price",
        "utilization",
        "region",
        "transfer",
        "startup",
        "batch",
    )
    for row in grid.to_rows()[::7]:
        fields = {name: row[name] for name in (*axes, "batch")}
        estimate = ic.estimate(blocks(), **fields)
        for name in ("latency_s", "cost_usd", "carbon_g", "transfer_s", "cold_start_s", "energy_per_item_j"):
            assert row[name] == getattr(estimate, name), (name, fields)
    assert set(ic.sweep(blocks(), hardware="l4", sustained=[False, True])["sustained"].tolist()) == {False, True}


def test_throughput_is_of_a_machine_at_its_power_limit() -> None:
    # A product of 8192 x 8192 x 8192 in bf16 on an H100: a short one may draw more than the 700 W of the board.
    weight = T((8192, 8192), "bfloat16", role="parameter")
    operands = {"self": T((8192, 8192), "bfloat16"), "mat2": weight}
    graph = single_node("aten.mm", operands, T((8192, 8192), "bfloat16"))
    short, always = (ic.estimate(graph, hardware="h100-sxm-80gb", sustained=way) for way in (None, True))
    assert (short.sustained, always.sustained) == (False, True)
    assert 1.1 * short.latency_s < always.latency_s
    assert ic.sweep(graph, hardware="h100-sxm-80gb")["latency_s"].tolist() == [always.latency_s]
    assert ic.sweep(graph, hardware="h100-sxm-80gb", sustained=False)["latency_s"].tolist() == [short.latency_s]
    # A machine of unknown power, and one that was loaded for a short forward, stay as they are.
    for hardware in ("xeon-8380", load("h100-sxm-80gb")):
        assert Deployment(hardware=hardware).for_throughput().sustained is None
    assert not Deployment(hardware="l4", sustained=False).for_throughput().machine.sustained


def test_deployments_are_an_axis() -> None:
    several = [
        Deployment(hardware="l4", precision="fp16", price=0.8, transfer="pinned,egress=aws"),
        Deployment(hardware="t4", precision="fp32", price=0.35, utilization=0.25),
        Deployment(hardware="l4", precision="fp16", price="g6.4xlarge", region="fra", devices=2),
    ]
    grid = ic.sweep(blocks(), on=several, batch=[4, 64])
    assert grid["hardware"].tolist() == ["l4", "l4", "t4", "t4", "l4", "l4"]
    assert grid["price"].tolist()[::2] == ["0.8", "0.35", "g6.4xlarge"]
    listed = ic.sweep(blocks(), points=[{"on": on, "batch": batch} for on in several for batch in (4, 64)])
    for row, (on, batch) in enumerate((on, batch) for on in several for batch in (4, 64)):
        estimate = ic.estimate(blocks(), on=on, batch=batch)
        for name in ("latency_s", "cost_usd", "energy_j", "transfer_s"):
            assert grid[name][row] == listed[name][row] == getattr(estimate, name), name
    assert ic.sweep(blocks(), on=several, precision=["fp32", "bf16"])["precision"].tolist() == ["fp32", "bf16"] * 3
    for wrong, message in (
        ({"on": []}, "on has no values"),
        ({"on": several, "points": [{"hardware": "l4"}]}, "put 'on' into points"),
        ({"on": several[0], "points": [{"on": several[0]}]}, "'on' is given as an axis and in points"),
    ):
        with pytest.raises(ValueError, match=message):
            ic.sweep(blocks(), **wrong)


# ---- files ----


def test_the_command_line_reads_deployments(tmp_path: Path) -> None:
    model = tmp_path / "toy.json"
    model.write_text(blocks().to_json())
    one, two = Deployment(**FULL), Deployment(hardware="t4", price=0.35)
    (tmp_path / "on.json").write_text(json.dumps(one.to_dict()))
    (tmp_path / "both.json").write_text(json.dumps([one.to_dict(), two.to_dict()]))

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(main, [arguments[0], str(model), *arguments[1:], "--batch", "8", "--format", "json"])

    document = json.loads(run("profile", "--on", str(tmp_path / "on.json")).stdout)["estimate"]
    estimate = ic.estimate(blocks(), on=one, batch=8)
    assert (document["latency_s"], document["cost_usd"]) == (estimate.latency_s, estimate.cost_usd)
    document = json.loads(run("profile", "--on", str(tmp_path / "on.json"), "--precision", "bf16").stdout)["estimate"]
    assert document["precision"] == "bf16"
    points = json.loads(run("sweep", "--on", str(tmp_path / "both.json")).stdout)["points"]
    assert [point["hardware"] for point in points] == ["l4", "t4"]
    assert [point["cost_usd"] for point in points] == [
        ic.estimate(blocks(), on=on, batch=8).cost_usd for on in (one, two)
    ]
    for arguments, message in (
        (("profile", "--on", str(tmp_path / "both.json")), "has 2 deployments"),
        (("sweep", "--on", str(tmp_path / "both.json"), "-H", "l4"), "leave --hardware out"),
        (("sweep",), "Missing option '--hardware'"),
    ):
        wrong = run(*arguments)
        assert (wrong.exit_code, message in wrong.stderr) == (2, True)


@pytest.mark.parametrize("function", [ic.profile, ic.estimate])
@pytest.mark.parametrize("name", ["hardware", "precision", "execution", "price"])
def test_several_values_are_for_other_functions(function: Any, name: str) -> None:
    several = {"hardware": ["l4", "t4"], "precision": ("fp16", "int8"), "execution": ["eager"], "price": [1.0, 2.0]}
    with pytest.raises(InputTypeError, match=rf"{name} is of type \w+; expected one value. Several are for sweep\(\)"):
        function(blocks(), **{"hardware": "l4", name: several[name]})
    with pytest.raises(SizeError, match=r"got \[1, 2\]; sweep\(\) and compare\(\) take several"):
        function(blocks(), hardware="l4", batch=[1, 2])
