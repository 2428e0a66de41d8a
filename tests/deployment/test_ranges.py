"""Values of deployments that are no numbers, out of range or of another type; figures at the ends of the ranges."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.deployment import PriceError, parse_price
from pyinfercost.errors import Error
from pyinfercost.inputs.price import PUE, USD_PER_H, USD_PER_KWH, UTILIZATION, Price
from pyinfercost.inputs.startup import Startup, StartupError
from pyinfercost.inputs.transfer import Transfer, TransferError

NUMBERS = {
    kind: {each.name: each.within for each in kind.fields if each.form == "number"} for kind in (Transfer, Startup)
}
HUGE = 10**400  # no float holds it
LONG = 10**5000  # Python refuses to convert it to text

WRONG_FIELDS = {
    "devices": [0, -1, 10**7, HUGE, LONG, 1.0, True, [], "2", {}],
    "threads": [0, -1, HUGE, LONG, 1.0, True, [], "2", {}],
    "utilization": [0, -1, 1.1, 1e-320, 9e-7, math.nan, math.inf, HUGE, LONG, True, [], {}, "0.5"],
    "price": [-1, 1e10, 1e-320, math.nan, math.inf, HUGE, LONG, True, [], b"2", "1e400", "1e-320", "\0.toml", "\ud800"],
    "region": [False, 1, [], {}, "", "\x1b", "deu\0"],
    "transfer": [
        1,
        [],
        True,
        "\x1b[2J",
        "pinned,pinned",
        {1: 2},
        {"memory": []},
        {"overlapped": 1},
        {"overlapped": []},
    ],
    "startup": [1, [], True, "\x1b[2J", "cloud", "machine=cloud,machine=pool", {1: 2}, {"loader": []}, {"machine": []}],
    "sustained": [1, "yes", [], {}],
    "precision": [1, [], {}, "fp3\x1b"],
    "execution": [1, [], {}, "lazy"],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}-{place}")
        for name, values in WRONG_FIELDS.items()
        for place, value in enumerate(values)
    ],
)
def test_a_wrong_field_is_an_error_that_names_it(name: str, value: Any) -> None:
    for make in (ic.Deployment, lambda **fields: ic.Deployment.from_dict(fields)):
        with pytest.raises(Error) as error:
            make(hardware="xeon-8380", **{name: value})
        told = str(error.value)
        assert told.isprintable()
        assert len(told) < 1000
        assert any(words in told for words in ("expected", "pass", "Pass", "cannot be read"))


@pytest.mark.parametrize("name", NUMBERS[Transfer])
@pytest.mark.parametrize("value", [-1, 1e-320, 1e20, math.nan, HUGE, "1e-320", "9" * 400, "x", [], {}, True])
def test_a_wrong_number_of_a_transfer_is_an_error_that_names_it(name: str, value: Any) -> None:
    key = name.removesuffix("_usd_per_gb")
    with pytest.raises(TransferError, match=f"{key}.* is .*; expected"):
        ic.Deployment(hardware="l4", transfer={name if key != "egress" else key: value})


@pytest.mark.parametrize("name", NUMBERS[Startup])
@pytest.mark.parametrize("value", [-1, 1e-320, 1e20, math.nan, HUGE, "1e-320", "9" * 400, "x", [], {}, True])
def test_a_wrong_number_of_a_startup_is_an_error_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(StartupError, match=f"{name} of startup is .*; expected"):
        ic.Deployment(hardware="l4", startup={name: value})


def test_numbers_of_numpy_are_numbers() -> None:
    on = ic.Deployment(
        hardware="xeon-8380",
        devices=np.int32(2),
        threads=np.int64(4),
        utilization=np.float32(0.5),
        price=np.float64(2.5),
        sustained=np.bool_(False),
        transfer={"network_gbit_per_s": np.float32(8), "request_bytes": np.int64(100)},
    )
    plain = ic.Deployment(
        hardware="xeon-8380",
        devices=2,
        threads=4,
        utilization=0.5,
        price=2.5,
        sustained=False,
        transfer={"network_gbit_per_s": 8, "request_bytes": 100},
    )
    assert on == plain
    assert json.loads(json.dumps(on.to_dict())) == plain.to_dict()


@pytest.mark.parametrize(
    "document",
    [
        [],
        None,
        {"hardware": {}},
        {"hardware": {"id": "x", "colour": "red"}},
        {"hardware": {"id": HUGE}},
        {"hardware": "l4", "price": {"usd_per_h": []}},
        {"hardware": "l4", "price": {"usd_per_h": 1, "text": 3}},
        {"hardware": "l4", "price": {"usd_per_h": 1, "text": "x", "dated": []}},
        {"hardware": "l4", "price": {"usd_per_h": 1, "text": "x", "age_months": 1.5}},
        {"hardware": "l4", "price": {"usd_per_h": 1, "text": "x", "usd_per_kwh": HUGE}},
        {"hardware": "l4", "price": {"usd_per_h": 1, "euros": 1}},
        {"hardware": "l4", "price": {"l4": {"l4": 1}}},
        {"hardware": "l4", "colour": "red"},
        {"hardware": "l4", "schema_version": LONG},
        {1: 2},
    ],
)
def test_a_document_that_is_no_deployment(document: Any) -> None:
    with pytest.raises(Error):
        ic.Deployment.from_dict(document)


def test_a_mapping_of_prices_in_itself_is_an_error() -> None:
    price: dict[str, Any] = {}
    price["l4"] = price
    with pytest.raises(PriceError, match="expected one price, not a mapping"):
        ic.Deployment(hardware="l4", price=price)


@pytest.mark.parametrize("key", ["usd", "devices", "lifetime_years", "usd_per_kwh", "pue"])
@pytest.mark.parametrize("value", ["-1", "1e-320", "nan", "inf", "1" + 400 * "0", '"1"'])
def test_a_wrong_number_of_an_owned_machine_names_the_file_and_the_key(key: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "owned.toml"
    lines = {"usd": "1", "lifetime_years": "1", key: value}
    path.write_text("\n".join(f"{name} = {number}" for name, number in lines.items()))
    with pytest.raises(PriceError, match=rf"owned\.toml: {key} is .*; expected"):
        parse_price(path, "l4")
    path.write_text('usd_per_h = 1\nregion = ["deu"]')
    with pytest.raises(PriceError, match=r"owned\.toml: region is \['deu'\]; expected a text"):
        parse_price(path, "l4")


# ---- the ends of the ranges ----

UTILIZATIONS = UTILIZATION[:2]
PRICES = USD_PER_H[:2]
TRANSFERS = [
    {"network_gbit_per_s": rate, "network_rtt_s": rtt, "request_bytes": size, "egress": egress}
    for rate, rtt, size, egress in zip(
        *(
            NUMBERS[Transfer][name][:2]
            for name in ("network_gbit_per_s", "network_rtt_s", "request_bytes", "egress_usd_per_gb")
        ),
        strict=True,
    )
]


def numbers(document: Any) -> list[float]:
    """All numbers of a document."""
    if isinstance(document, dict):
        return [number for value in document.values() for number in numbers(value)]
    if isinstance(document, list):
        return [number for value in document for number in numbers(value)]
    return [document] if isinstance(document, (int, float)) and not isinstance(document, bool) else []


@pytest.mark.parametrize("utilization", UTILIZATIONS)
@pytest.mark.parametrize("usd_per_h", PRICES)
@pytest.mark.parametrize("transfer", TRANSFERS)
@pytest.mark.parametrize("devices", [1, 1_000_000])
def test_figures_at_the_ends_of_the_ranges_are_finite(
    utilization: float, usd_per_h: float, transfer: dict[str, float], devices: int
) -> None:
    price = Price(usd_per_h=usd_per_h, text="x", usd_per_kwh=USD_PER_KWH.high, pue=PUE.high)
    on = ic.Deployment(
        hardware="l4", devices=devices, utilization=utilization, price=price, transfer=transfer, region="deu"
    )
    found = numbers(json.loads(ic.profile(blocks(), on=on, batch=4).to_json()))
    assert len(found) > 100
    assert all(math.isfinite(number) and number >= 0 for number in found)
