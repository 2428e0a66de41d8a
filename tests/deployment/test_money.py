"""Prices of a device-hour, and the cost of an inference; every figure is computed by hand."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost import deployment as money
from pyinfercost.cli import main
from pyinfercost.deployment.prices import months_since
from pyinfercost.predict.derived_costs import DerivedCosts, OnePoint


def derived(on: money.Deployment, *, latency_s: float, energy_j: float, items: int) -> DerivedCosts:
    """The costs of a forward of so many seconds and joules."""
    graph = blocks()
    sizes = graph.size_values({"batch": items})
    return DerivedCosts(OnePoint(on, graph, sizes, sizes, latency_s, latency_s, energy_j, items))


@pytest.mark.parametrize("text", [2, 2.0, "2", "2/h", "$2.00/h", "2 USD/h", "2 / hour"])
def test_a_price_of_ones_own(text: float | str) -> None:
    assert money.parse_price(text, "t4").usd_per_h == 2.0


def test_an_instance_is_shared_out_over_its_devices() -> None:
    price = money.parse_price("aws/p5.48xlarge", "h100-sxm-80gb")
    assert price.usd_per_h == pytest.approx(55.04 / 8)
    assert (price.cloud, price.region, price.dated) == ("aws", "us-east-1", "2025-10")
    assert money.parse_price("p5.48xlarge:spot", "h100-sxm-80gb").usd_per_h == pytest.approx(14.246 / 8)
    assert money.parse_price({"t4": 1, "l4": "g6.4xlarge"}, "l4").usd_per_h == pytest.approx(1.3232)
    assert "of 2025-10" in str(price)


def test_terms_mean_the_cheapest_offer_that_is_known() -> None:
    for terms in ("on-demand", "spot"):
        known = [each for each in money.offers(device="t4") if terms in each.usd_per_h]
        least = min(each.usd_per_h[terms] / each.devices for each in known)
        assert money.parse_price(terms, "t4").usd_per_h == pytest.approx(least)


def test_a_price_without_its_host_says_so() -> None:
    alone = money.parse_price("a3-ultragpu-8g", "h200-sxm-141gb")
    assert alone.text == "gcp/a3-ultragpu-8g@us-central1 on-demand, without its host"
    partial = [each for each in money.offers() if not each.host]
    assert {each.cloud for each in partial} == {"gcp", "modal"}
    for device in {each.device for each in partial}:
        assert "without its host" not in money.parse_price("on-demand", device).text  # the cheapest that is complete
    listed = CliRunner().invoke(main, ["prices", "h200-sxm-141gb"]).stdout.splitlines()
    assert [line for line in listed if "a3-ultragpu" in line and "extra" in line]


def test_some_cores_of_a_cpu_are_paid_for_as_a_whole() -> None:
    price = money.parse_price("c7i.xlarge", "xeon-8480+", threads=2)
    assert price.usd_per_h == pytest.approx(0.1785)
    for threads in (None, 5):
        with pytest.raises(money.PriceError, match="has 4 hardware threads"):
            money.parse_price("c7i.xlarge", "xeon-8480+", threads=threads)


def test_a_machine_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text("usd = 87660\ndevices = 2\nlifetime_years = 5\nusd_per_kwh = 0.2\npue = 1.5\n")
    price = money.parse_price(path, "t4")
    assert price.usd_per_h == pytest.approx(1.0)  # 87,660 / 2 devices / (5 x 8,766 h)
    # 2 s of work for 4 items at half of the time: 0.5 s used and 1 s paid for each. 300 J a forward, 9 W at rest.
    on = money.Deployment(hardware="t4", price=path, utilization=0.5)
    assert on.machine.power_w["idle"] == 9
    cost = derived(on, latency_s=2.0, energy_j=300.0, items=4)
    assert (cost.used_s, cost.paid_s) == (0.5, 1.0)
    assert cost.electricity_usd == pytest.approx((300 / 4 + 0.5 * 9) * 1.5 * 0.2 / 3.6e6)
    assert cost.cost_usd == pytest.approx(1.0 / 3600 + cost.electricity_usd)
    total = ic.estimate(blocks(), on=on, batch=4).cost
    assert total is not None
    assert total.usd_per_million == pytest.approx(1e6 * total.usd)
    assert total.paid_h_per_million == pytest.approx(1e6 * total.paid_s / 3600)
    with pytest.raises(ValueError, match="the energy of tpu-v5e is unknown"):
        ic.estimate(blocks(), hardware="tpu-v5e", price=path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("usd = 1\n", "expected usd_per_h, or usd and lifetime_years"),
        ("usd = 1\nlifetime_years = 0\n", "lifetime_years is 0; expected a number from 0.01 to 100 years"),
        ("usd = 1\nlifetime_years = 1\npue = 0.5\n", "pue is 0.5; expected a number from 1 to 100"),
        ("usd_per_h = true\n", "usd_per_h is True; expected 0 or a number"),
        ("usd_per_h = -1\n", "expected 0 or a number from 1e-09 to 1e"),
    ],
)
def test_a_wrong_file_says_what_is_expected(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "price.toml"
    path.write_text(text)
    with pytest.raises(money.PriceError, match=message):
        money.parse_price(path, "t4")


@pytest.mark.parametrize(
    ("price", "device", "message"),
    [
        ("g6.5xlarge", "l4", r"nearest are aws/g6\.4xlarge.* with l4 there are"),
        ("g6.4xlarge", "t4", r"has l4, not t4; instances with t4 are .*g4dn"),
        ("p5.4xlarge:spot", "h100-sxm-80gb", "no 'spot' price; pass one of on-demand"),
        ("spot", "rtx-4090", "no spot price of rtx-4090"),
        ("-1", "l4", "expected 0 or a number from 1e-09 to 1e"),
        ({"t4": 1}, "l4", "price has no entry for l4, only for t4"),
        (True, "l4", "price is of type bool"),
    ],
)
def test_what_is_not_listed_gives_the_nearest(price: object, device: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        money.parse_price(price, device)


def test_every_offer_has_a_source_a_date_and_a_device_of_the_catalog() -> None:
    names = set(ic.hardware.names())
    for each in money.offers():
        assert each.device in names
        assert re.fullmatch(r"20[0-9]{2}(-[01][0-9])?", each.dated), each.name
        assert len(each.source) > 20
        assert each.devices > 0
        assert all(price > 0 for price in each.usd_per_h.values())
        assert money.offer(each.name).instance == each.instance


def test_old_prices_say_so() -> None:
    assert months_since("2025-10", date(2026, 11, 25)) == 13
    assert months_since("2024", date(2026, 11, 25)) == 23
    assert months_since("2026", date(2026, 11, 25)) == 0
    assert str(money.Price(usd_per_h=1.0, text="x", dated="2024", age_months=23)).endswith(
        "of 2024, 23 months old: OLD"
    )


def test_an_estimate_and_a_sweep_cost_the_same(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text("usd = 20000\nlifetime_years = 4\nusd_per_kwh = 0.15\npue = 1.2\n")
    for price in ("on-demand", path, 1.5):
        grid = ic.sweep(blocks(), hardware=["t4", "l4"], batch=[1, 64], devices=[1, 2], price=price, utilization=0.3)
        for point in grid.to_rows():
            way = {name: point[name] for name in ("hardware", "devices", "batch")}
            estimate = ic.estimate(blocks(), **way, price=price, utilization=0.3)
            assert estimate.cost is not None
            assert estimate.cost_usd == estimate.cost.usd == pytest.approx(point["cost_usd"], rel=1e-12)
            assert estimate.cost.paid_s == pytest.approx(estimate.cost.used_s / 0.3)
    assert ic.estimate(blocks(), hardware="t4").cost is None
    with pytest.raises(ValueError, match="utilization is 0"):
        ic.sweep(blocks(), hardware="t4", price=1, utilization=0)


def test_a_profile_says_what_it_costs() -> None:
    profile = ic.profile(blocks(), hardware="l4", price="g6.4xlarge", utilization=0.25, batch=8)
    estimate = profile.to_dict()["estimate"]
    assert estimate["cost_usd"] == estimate["cost"]["usd"] > 0
    assert estimate["cost"]["price"]["text"] == "aws/g6.4xlarge@us-east-1 on-demand"
    text = profile.to_markdown()
    assert "device hours paid" in text
    assert "aws/g6.4xlarge" in text
    with pytest.raises(ValueError, match="price is given without hardware"):
        ic.profile(blocks(), price=1)


def test_the_catalog_is_listed() -> None:
    runner = CliRunner()
    every = json.loads(runner.invoke(main, ["prices", "--format", "json"]).stdout)
    assert [each["name"] for each in every] == [each.name for each in money.offers()]
    table = runner.invoke(main, ["prices", "t4"]).stdout
    assert "azure/NC4as_T4_v3@us" in table
    assert "l4" not in table.split()
    assert "no price of rtx-4090 is known" in runner.invoke(main, ["prices", "rtx-4090"]).stderr
    wrong = runner.invoke(main, ["prices", "t5"])
    assert (wrong.exit_code, "the nearest ids are" in wrong.stderr) == (2, True)


def test_carbon_is_energy_times_data_center_times_grid() -> None:
    where = money.place("deu")
    assert (where.grid_g_per_kwh, where.pue) == (381.0, 1.58)
    on = money.Deployment(hardware="t4", region="deu")
    assert derived(on, latency_s=1.0, energy_j=3.6e6, items=1).carbon_g == pytest.approx(381.0 * 1.58)  # a kWh
    assert money.place("gcp/us-central1").pue == 1.10
    assert money.place("deu", pue=1.2).pue == 1.2
    estimate = ic.estimate(blocks(), hardware="t4", batch=8, region="deu")
    assert estimate.energy_per_item_j is not None
    assert estimate.carbon_g == pytest.approx(estimate.energy_per_item_j / 3.6e6 * 1.58 * 381)
    rented = ic.estimate(blocks(), hardware="t4", price="g4dn.xlarge")
    assert rented.place is not None
    assert (rented.place.name, rented.place.grid_g_per_kwh, rented.place.pue) == ("aws/us-east-1", 322, 1.15)
    assert ic.estimate(blocks(), hardware="t4", price=1).carbon_g is None
    for name in money.known_places():
        known = money.place(name)
        assert known.grid_g_per_kwh > 0
        assert re.fullmatch("20[0-9]{2}", known.dated)
        assert known.source
    with pytest.raises(money.UnknownPlaceError, match="nearest are gcp/us-central1"):
        money.place("gcp/us-centrall")


@pytest.mark.parametrize("names", ["fra aws/eu-west-3 gcp/europe-west9", "usa-virginia aws/us-east-1 gcp/us-east4"])
def test_a_grid_has_one_value(names: str) -> None:
    assert len({money.place(name).grid_g_per_kwh for name in names.split()}) == 1


def test_a_sweep_has_carbon_where_a_place_is_known() -> None:
    grid = ic.sweep(blocks(), hardware=["t4", "tpu-v5e"], batch=[1, 8], region="fra")
    assert "cost_usd" not in grid.columns
    for point in grid.to_rows():
        estimate = ic.estimate(blocks(), hardware=point["hardware"], batch=point["batch"], region="fra")
        if estimate.carbon_g is None:
            assert point["carbon_g"] is None
        else:
            assert point["carbon_g"] == pytest.approx(estimate.carbon_g, rel=1e-12)
    assert "carbon_g" not in ic.sweep(blocks(), hardware="t4", price=1).columns
    assert "carbon_g" in ic.sweep(blocks(), hardware="t4", price="on-demand").columns


def test_rented_machines_need_no_joules_beside_owned_ones(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text("usd = 20000\nlifetime_years = 4\nusd_per_kwh = 0.15\n")
    grid = ic.sweep(blocks(), hardware=["t4", "tpu-v5e"], price={"t4": path, "tpu-v5e": 1.2})
    for point in grid.to_rows():
        price = path if point["hardware"] == "t4" else 1.2
        estimate = ic.estimate(blocks(), hardware=point["hardware"], price=price)
        assert point["cost_usd"] == pytest.approx(estimate.cost_usd, rel=1e-12)


def test_a_place_that_is_not_known_is_refused_before_a_capture() -> None:
    result = CliRunner().invoke(main, ["profile", "torchvision:no_such_model", "-H", "t4", "--region", "mars"])
    assert (result.exit_code, "the grid of 'mars' is not known" in result.stderr) == (2, True)


def test_several_prices_are_an_axis(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text("usd = 20000\nlifetime_years = 4\nusd_per_kwh = 0.15\nregion = 'deu'\n")
    prices = ["on-demand", "spot", path, 2.5]
    ways = {"hardware": ["t4", "l4"], "batch": [1, 64], "devices": [1, 2], "utilization": 0.5}
    grid = ic.sweep(blocks(), price=prices, **ways)
    assert len(grid) == 4 * 2 * 2 * 2
    assert grid.identity() == ("hardware", "precision", "execution", "devices", "price", "batch")
    for point in grid.to_rows():
        price = {str(one): one for one in prices}[point["price"]]
        way = {name: point[name] for name in ("hardware", "devices", "batch")}
        estimate = ic.estimate(blocks(), **way, price=price, utilization=0.5)
        assert point["cost_usd"] == pytest.approx(estimate.cost_usd, rel=1e-12)
        if estimate.carbon_g is None:
            assert point["carbon_g"] is None
        else:
            assert point["carbon_g"] == pytest.approx(estimate.carbon_g, rel=1e-12)
    best = grid.best("cost_usd", per="price")
    assert sorted(best["price"].tolist()) == sorted(map(str, prices))
    assert (
        grid.where("price == 'spot'").best("cost_usd")["cost_usd"]
        < grid.best("cost_usd", where="price == '2.5'")["cost_usd"]
    )
    stored = pytest.importorskip("pyarrow") and ic.sweep(blocks(), price=prices, **ways, out=tmp_path / "grid")
    assert stored.best("cost_usd") == grid.best("cost_usd")
    for wrong, message in (([], "no values"), ([1, 1], "twice"), ([{"t4": 1}], "expected a number")):
        with pytest.raises(ValueError, match=message):
            ic.sweep(blocks(), price=wrong, **ways)
    listed = ic.sweep(blocks(), points=[{"hardware": "t4", "price": 1}, {"hardware": "l4", "price": "spot"}], batch=8)
    assert listed["price"].tolist() == ["1", "spot"]
    for number, (machine, price) in enumerate((("t4", 1), ("l4", "spot"))):
        assert listed["cost_usd"][number] == ic.estimate(blocks(), hardware=machine, price=price, batch=8).cost_usd


def test_machines_without_a_known_price_are_left_out_of_a_sweep() -> None:
    machines = ["l4", "a100-pcie-40gb", ic.hardware.load("t4")]
    with pytest.warns(UserWarning, match="left out because no on-demand price is known: a100-pcie-40gb; pass price="):
        grid = ic.sweep(blocks(), hardware=machines, price="on-demand", batch=[1, 8])
    assert list(dict.fromkeys(grid["hardware"].tolist())) == ["l4", "t4"]
    wanted = ic.sweep(blocks(), hardware=["l4", "t4"], price="on-demand", batch=[1, 8])
    assert grid["hardware"].tolist() == wanted["hardware"].tolist()
    assert grid["cost_usd"][:2].tolist() == wanted["cost_usd"][:2].tolist()
    with pytest.warns(UserWarning, match="no on-demand or spot price is known: a100-pcie-40gb"):
        assert len(ic.sweep(blocks(), hardware=machines, price=["on-demand", "spot", 2.0], batch=8)) == 6
    # A lone machine, and machines that are all without a price, are errors; a number is a price of any machine.
    for asked in ("a100-pcie-40gb", ["a100-pcie-40gb", "rtx-3080"]):
        with pytest.raises(money.UnpricedError, match="the catalog has no on-demand price of a100-pcie-40gb"):
            ic.sweep(blocks(), hardware=asked, price="on-demand")
    assert len(ic.sweep(blocks(), hardware=machines, price=2.0)) == 3


def test_several_prices_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "toy.json"
    file.write_text(blocks().to_json())
    command = ["sweep", str(file), "-H", "t4,l4", "--batch", "1,8", "--price", "on-demand,spot"]
    runner = CliRunner()
    best = runner.invoke(main, [*command, "--best", "cost_usd", "--per", "price"])
    assert best.exit_code == 0, best.stderr
    assert re.search(r"^l4 spot +0\.\S+ USD/h", best.stdout, re.MULTILINE)
    points = json.loads(runner.invoke(main, [*command, "--format", "json"]).stdout)["points"]
    assert {point["price"] for point in points} == {"on-demand", "spot"}
    for wrong, message in (
        ("spot,spot", "distinct prices"),
        ("spot,", "distinct prices"),
        ("spot,sale", "no instance 'sale'"),
    ):
        refused = runner.invoke(main, [*command[:-1], wrong])
        assert (refused.exit_code, message in refused.stderr) == (2, True), refused.stderr
