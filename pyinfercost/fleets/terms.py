"""Costs besides the hours of machines, hours that are paid ahead, and interruptions of machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from .._checks import Range
from ..deployment import (
    Commitment,
    CommitmentLike,
    Egress,
    EgressLike,
    FixedCosts,
    FixedCostsLike,
    Interruptions,
    InterruptionsLike,
    Serverless,
    ServerlessLike,
)
from ..errors import InputError
from ..inputs.settings import SAME, Parsed, Settings, converted, number, numbers, whole

_HOURS = 24


class TermsError(InputError):
    """Terms of a bill that are out of range or contradict each other."""


class Terms(Settings):
    """Terms of a fleet: hours that are paid ahead, costs by the month or by request, and interruptions."""

    kind = "terms"
    error = TermsError
    committed: int = whole(
        Range(0, 2**20),
        "Replicas that are paid all the time, whether they are used or not; the fleet keeps at least as many.",
        default=0,
        option="Replicas that are paid all the time.",
        metavar="N",
    )
    commitment: Parsed[CommitmentLike | None, Commitment | None] = converted(
        Commitment.parse,
        'Their price: a `Commitment`, or text such as `"discount=0.4,term_years=1"`; by default from the deployment.',
        default=None,
        option="Price of hours that are paid ahead: discount=0.4,term_years=1 or usd_per_h=1.2,term_years=3; a plan "
        "finds their number.",
        metavar="TERMS",
    )
    fixed: Parsed[FixedCostsLike, FixedCosts] = converted(
        FixedCosts.parse,
        'Costs of a month: `FixedCosts`, or text such as `"staff_usd_per_month=4000"`.',
        default=FixedCosts(),
        option="Costs of a month: staff_usd_per_month=4000,storage_gb=500,storage_usd_per_gb_month=0.023.",
        metavar="COSTS",
    )
    egress: Parsed[EgressLike | None, Egress | None] = converted(
        Egress.parse,
        'Price of responses that leave the cloud, such as `"aws"`; by default from `transfer` of the deployment.',
        default=None,
        option="Price of responses: aws, azure, gcp, USD per GB, or tiers.",
        metavar="PRICE",
    )
    response_bytes: float | None = number(
        Range(0.0, 1e15, "bytes"),
        "Bytes of a response; by default from `transfer` of the deployment.",
        default=None,
        option="Bytes of a response that leave the cloud.",
    )
    serverless: Parsed[ServerlessLike | None, Serverless | None] = converted(
        Serverless.parse,
        'Price by request and by memory, in the place of hours, such as `"aws-lambda"`. Requests are billed for their '
        "service and for the start that they wait for.",
        default=None,
        option="Price by request and memory, such as aws-lambda; with --memory-gb.",
        metavar="PRICE",
    )
    memory_gb: float | None = number(
        Range(1e-6, 1e6, "GB"),
        "Memory of a replica that is billed so, in GB.",
        default=None,
        option="Memory of a replica that is billed by --serverless.",
        metavar="GB",
    )
    interruptions: Parsed[InterruptionsLike | None, Interruptions | None] = converted(
        Interruptions.parse,
        'What takes replicas away: rates as text, such as `"cloud=aws,interruptions_per_h=0.05"`. Interruptions are '
        "those of spot machines; failures are those of all. None for spot machines with the notice of their cloud and "
        "rates that are assumed.",
        default=None,
        option="What takes replicas away: cloud=aws,interruptions_per_h=0.05,failures_per_h=0.",
        metavar="RATES",
    )
    grid_profile_g_per_kwh: tuple[float, ...] = numbers(
        Range(0.0, 1e5, "grams per kWh"),
        "Carbon intensity of the grid in each hour of a day; empty for the mean of the place.",
        default=(),
    )
    start_hour: float = number(
        Range(0.0, 24.0, "h"),
        "Hour of the day at which the traffic begins.",
        default=0.0,
        option=SAME,
        metavar="H",
    )

    def _check(self) -> None:
        profile = self.grid_profile_g_per_kwh
        if len(profile) not in (0, _HOURS):
            raise TermsError(
                f"grid_profile_g_per_kwh has {len(profile)} values; expected one for each of {_HOURS} hours"
            )
        if self.serverless is not None and self.memory_gb is None:
            raise TermsError("serverless is given without memory_gb; pass the memory of a replica, such as memory_gb=4")


TermsLike: TypeAlias = "Terms | Mapping[str, object] | str"
"""Terms, or their text."""
