"""Prices beside those of machines: serverless, egress, commitments, staff and storage; interruptions. By hand."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinfercost import deployment as money
from pyinfercost.inputs.facts import facts

# ---- serverless ----


def test_a_request_pays_itself_and_its_rounded_seconds() -> None:
    price = money.Serverless.parse("aws-lambda")
    # AWS's own example: 1769 MB for 120.3 ms are billed as 121 ms.
    assert price.billed_s(0.1203) == pytest.approx(0.121)
    assert money.invocation_usd(price, 0.1203, gb=1.769) == pytest.approx(0.2e-6 + 0.121 * 1.769 * 0.0000166667)
    assert price.billed_s(0.3) == pytest.approx(0.3)  # and not 301 ms, for 0.1 + 0.2
    assert price.billed_s(0.1 + 0.2) == pytest.approx(0.3)
    assert price.billed_s(0) == 0
    assert price.vcpus(3.538) == pytest.approx(2)
    arm = money.Serverless.parse("aws-lambda-arm")
    saved = 1 - arm.usd_per_gb_s / price.usd_per_gb_s
    assert saved == pytest.approx(0.2, abs=1e-5)


def test_memory_that_is_kept_ready_is_paid_busy_or_idle() -> None:
    price = money.Serverless.parse("aws-lambda")
    hour = money.provisioned_usd(price, 3600, gb=2, environments=10)
    assert hour == pytest.approx(3600 * 2 * 10 * 0.0000041667)
    busy = money.invocation_usd(price, 1, gb=2, ready=True)
    assert busy == pytest.approx(0.2e-6 + 2 * 0.0000097222)
    # An environment that is always busy costs less ready than not.
    assert price.usd_per_gb_s > 0.0000041667 + 0.0000097222
    for call in (
        lambda: money.provisioned_usd(money.Serverless.parse("modal-l4"), 1, gb=1),
        lambda: money.invocation_usd(money.Serverless.parse("gcp-functions"), 1, gb=1, ready=True),
    ):
        with pytest.raises(money.PriceError, match="has no price of memory that is kept ready; pass provisioned"):
            call()


def test_services_with_a_device_have_the_price_of_its_offer() -> None:
    run = money.Serverless.parse("cloud-run-l4")
    assert (run.device, run.cloud) == ("l4", "gcp")
    assert run.usd_per_device_s == pytest.approx(0.0001867, rel=1e-4)
    usd = money.invocation_usd(run, 12.34, gb=32, vcpus=8, devices=1)
    assert usd == pytest.approx(12.4 * (run.usd_per_device_s + 8 * 0.000018 + 32 * 0.000002))
    modal = money.Serverless.parse("modal-h100")
    assert (modal.device, modal.usd_per_device_s) == ("h100-sxm-80gb", pytest.approx(0.001097))
    assert money.invocation_usd(modal, 10, vcpus=4, devices=2) == pytest.approx(10 * (2 * 0.001097 + 2 * 0.0000131))


def test_the_least_billed_seconds_and_other_services() -> None:
    azure = money.Serverless.parse("azure-functions")
    assert azure.billed_s(0.02) == pytest.approx(0.1)
    assert money.invocation_usd(azure, 1, gb=0.5) == pytest.approx(0.2e-6 + 0.5 * 0.000016)
    google = money.Serverless.parse("gcp-functions")
    assert google.billed_s(0.11) == pytest.approx(0.2)
    assert money.invocation_usd(google, 1, gb=2, vcpus=1) == pytest.approx(0.4e-6 + 2 * 0.0000025 + 0.000024)


def test_a_serverless_price_of_ones_own() -> None:
    own = money.Serverless.parse("usd_per_gb_s=2e-5,usd_per_request=1e-6,billed_step_s=0.1")
    assert own == money.Serverless(usd_per_gb_s=2e-5, usd_per_request=1e-6, billed_step_s=0.1)
    assert money.Serverless.parse(own) == own
    assert str(own) == "usd_per_request=1e-06,usd_per_gb_s=2e-05,billed_step_s=0.1"
    assert str(money.Serverless.parse("aws-lambda")) == "aws-lambda"
    assert money.invocation_usd(own, 0.25, gb=1) == pytest.approx(1e-6 + 0.3 * 2e-5)
    assert money.Serverless.parse({"usd_per_gb_s": 1, "max_gb": None}).max_gb is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("aws-fargate", "serverless is 'aws-fargate'; expected one of aws-lambda, aws-lambda-arm"),
        ("usd=1", "serverless has no setting 'usd'; expected NAME=VALUE of name, usd_per_request"),
        ("usd_per_gb_s=-1", "usd_per_gb_s of serverless is -1; expected 0 or a number"),
        ("usd_per_gb_s=much", "usd_per_gb_s of serverless is 'much'; expected"),
        (7, "serverless is 7; expected NAME=VALUE"),
    ],
)
def test_a_wrong_serverless_price_says_what_is_expected(value: Any, message: str) -> None:
    with pytest.raises(money.PriceError, match=re.escape(message)):
        money.Serverless.parse(value)


def test_memory_above_that_of_the_service_is_refused() -> None:
    price = money.Serverless.parse("aws-lambda")
    with pytest.raises(money.PriceError, match="gb is 11, and aws-lambda has 10 at most; pass less"):
        money.invocation_usd(price, 1, gb=11)
    with pytest.raises(money.PriceError, match="vcpus is -1; expected"):
        money.invocation_usd(price, 1, gb=1, vcpus=-1)
    with pytest.raises(money.PriceError, match="seconds is nan; expected"):
        price.billed_s(math.nan)


# ---- egress ----


def test_each_tier_has_its_price() -> None:
    aws = money.Egress.parse("aws")
    assert money.egress_usd(aws, 0) == money.egress_usd(aws, 100) == 0
    assert money.egress_usd(aws, 1100) == pytest.approx(90)
    assert money.egress_usd(aws, 10_000) == pytest.approx(9_900 * 0.09)
    assert money.egress_usd(aws, 200_000) == pytest.approx(
        9_900 * 0.09 + 40_000 * 0.085 + 100_000 * 0.07 + 50_000 * 0.05
    )
    google = money.Egress.parse("gcp")
    assert money.egress_usd(google, 20_000) == pytest.approx(999 * 0.12 + 9_000 * 0.11 + 10_000 * 0.08)
    assert money.egress_usd(money.Egress.parse("inter-az"), 50) == pytest.approx(0.5)
    assert money.egress_usd(money.Egress.parse("inter-region"), 50) == pytest.approx(1)


def test_egress_of_ones_own_and_free_bytes_across_tiers() -> None:
    own = money.Egress.parse("free=150,0.1:100,0.05:1000,0.01")
    assert own == money.Egress(usd_per_gb=(0.1, 0.05, 0.01), up_to_gb=(100, 1000), free_gb=150)
    assert money.Egress.parse(str(own)) == own
    assert str(own) == "free=150,0.1:100,0.05:1000,0.01"
    assert str(money.Egress.parse("aws")) == "aws"
    assert money.egress_usd(own, 120) == 0
    assert money.egress_usd(own, 2000) == pytest.approx(850 * 0.05 + 1000 * 0.01)
    assert money.egress_usd(money.Egress.parse(0.09), 10) == money.egress_usd(money.Egress.parse("0.09"), 10)
    # The first price of a cloud is that of a deployment's transfer.
    assert money.Transfer.parse("egress=gcp").egress_usd_per_gb == money.Egress.parse("gcp").usd_per_gb[0]


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=2))
def test_more_bytes_never_cost_less_and_never_more_than_the_first_price(amounts: list[float]) -> None:
    low, high = sorted(amounts)
    for name in facts()["egress"]:
        price = money.Egress.parse(name)
        assert 0 <= money.egress_usd(price, low) <= money.egress_usd(price, high) + 1e-9
        assert money.egress_usd(price, high) <= high * price.usd_per_gb[0] + 1e-9


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("ibm", "egress is 'ibm'; expected aws, azure, gcp, gcp-standard, inter-az, inter-region, USD per"),
        ("0.1:100,0.05:50,0.01", "pass a rising end for each price but the last"),
        ("0.1:100", "egress has 1 prices and ends of tiers at (100.0,); pass a rising end"),
        ("-1", "usd_per_gb of egress is -1; expected"),
        ([], "egress is []; expected"),
        (-1, "usd_per_gb of egress is -1; expected"),
        ("free=all,0.1", "free_gb of egress is 'all'; expected"),
    ],
)
def test_a_wrong_egress_says_what_is_expected(value: Any, message: str) -> None:
    with pytest.raises(money.PriceError, match=re.escape(message)):
        money.Egress.parse(value)
    with pytest.raises(money.PriceError, match="gb of egress is -1; expected"):
        money.egress_usd(money.Egress.parse("aws"), -1)


# ---- commitments, staff, storage ----


def test_a_commitment_is_a_discount_or_a_price_for_years() -> None:
    price = money.parse_price("aws/p5.48xlarge", "h100-sxm-80gb")
    less = money.committed(price, money.Commitment.parse("discount=0.4,term_years=1"))
    assert less.usd_per_h == pytest.approx(0.6 * 55.04 / 8)
    assert less.text == "aws/p5.48xlarge@us-east-1 on-demand less 40 %, committed for 1 years"
    assert (less.cloud, less.region, less.dated, less.devices) == ("aws", "us-east-1", "2025-10", 8)
    given_price = money.committed(price, money.Commitment.parse({"usd_per_h": 2.1, "term_years": 3}))
    assert given_price.usd_per_h == 2.1
    assert money.Commitment(term_years=3, usd_per_h=2.1).hours == 3 * 8766


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("discount=0.4", "commitment has no term_years; pass it: Years of"),
        ("term_years=1", "a commitment has both or none of discount and usd_per_h; pass one"),
        ("term_years=1,discount=0.4,usd_per_h=1", "both or none"),
        ("term_years=1,discount=1", "discount of commitment is 1; expected a number"),
        ("term_years=0,discount=0.4", "term_years of commitment is 0; expected a number from 0.001 to 100 years"),
        ("years=1", "commitment has no setting 'years'; expected NAME=VALUE of term_years, discount, usd_per_h"),
    ],
)
def test_a_wrong_commitment_says_what_is_expected(value: str, message: str) -> None:
    with pytest.raises(money.PriceError, match=re.escape(message)):
        money.Commitment.parse(value)


def test_staff_and_storage_are_terms_of_their_own() -> None:
    costs = money.FixedCosts.parse("staff_usd_per_month=4000,storage_gb=500,storage_usd_per_gb_month=0.023")
    assert (costs.storage_usd_per_month, costs.usd_per_month) == (pytest.approx(11.5), pytest.approx(4011.5))
    assert costs.usd(8766 * 3600 / 12) == pytest.approx(4011.5)
    assert costs.usd(3600) == pytest.approx(4011.5 * 12 / 8766)
    assert money.FixedCosts().usd_per_month == 0
    with pytest.raises(money.PriceError, match=r"storage_gb of fixed costs is -1; expected 0 or a number"):
        money.FixedCosts.parse("storage_gb=-1")


# ---- interruptions ----


def test_the_notice_is_of_the_cloud_and_rates_are_assumed() -> None:
    aws = money.Interruptions.parse("aws")
    assert (aws.notice_s, aws.assumed) == (120, ("interruptions_per_h", "failures_per_h"))
    assert [money.Interruptions.parse(cloud).notice_s for cloud in ("azure", "gcp")] == [30, 30]
    own = money.Interruptions.parse("cloud=aws,interruptions_per_h=0.5,failures_per_h=0.1")
    assert (own.assumed, own.mean_time_to_end_s) == ((), pytest.approx(6000))
    assert "docs.aws.amazon.com" in own.source
    none = money.Interruptions.parse("interruptions_per_h=0,failures_per_h=0")
    assert (none.notice_s, none.mean_time_to_end_s, none.assumed) == (0, math.inf, ("notice_s",))
    assert money.Interruptions.parse("cloud=gcp,notice_s=60").notice_s == 60
    assert money.Interruptions.parse(own) == own


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("ibm", "cloud of interruptions is 'ibm'; expected aws, azure, gcp, or notice_s"),
        ("cloud=ibm", "cloud of interruptions is 'ibm'; expected aws, azure, gcp, or notice_s"),
        ("failures_per_h=-1", "failures_per_h of interruptions is -1; expected 0 or a number"),
        (3, "interruptions is 3; expected NAME=VALUE"),
    ],
)
def test_wrong_interruptions_say_what_is_expected(value: Any, message: str) -> None:
    with pytest.raises(money.InterruptionsError, match=re.escape(message)):
        money.Interruptions.parse(value)


def test_every_price_has_a_source_and_a_date() -> None:
    for kind in ("egress", "serverless", "interruptions"):
        for name, table in facts()[kind].items():
            assert len(table["source"]) > 20, name
            assert re.fullmatch(r"20[0-9]{2}(-[0-9]{2})?", table["date"]), name
    for name in money.serverless_names():
        assert money.Serverless.parse(name).name == name
