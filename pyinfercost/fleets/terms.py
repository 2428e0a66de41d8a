"""What is paid besides the hours of machines, which of these are paid ahead, and what takes machines away."""

from __future__ import annotations

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
from ..inputs.settings import Parsed, Settings, converted, number, numbers, whole

_HOURS = 24


class TermsError(InputError):
    """Terms of a bill that are out of range or contradict each other."""


class Terms(Settings):
    """Terms of a fleet: what is paid ahead, what costs by the month or by request, and what is interrupted."""

    kind = "terms"
    error = TermsError
    committed: int = whole(
        Range(0, 2**20),
        "Replicas that are paid all the time, whether they are used or not; the fleet keeps at least as many.",
        default=0,
    )
    commitment: Parsed[CommitmentLike | None, Commitment | None] = converted(
        Commitment.parse,
        'Their price: a `Commitment`, or text such as `"discount=0.4,term_years=1"`; None for that of the deployment.',
        default=None,
    )
    fixed: Parsed[FixedCostsLike, FixedCosts] = converted(
        FixedCosts.parse,
        'Costs of a month: `FixedCosts`, or text such as `"staff_usd_per_month=4000"`.',
        default=FixedCosts(),
    )
    egress: Parsed[EgressLike | None, Egress | None] = converted(
        Egress.parse,
        'Price of responses that leave the cloud, such as `"aws"`; None for that of `transfer` of the deployment.',
        default=None,
    )
    response_bytes: float | None = number(
        Range(0.0, 1e15, "bytes"), "Bytes of a response; None for those of `transfer` of the deployment.", default=None
    )
    serverless: Parsed[ServerlessLike | None, Serverless | None] = converted(
        Serverless.parse,
        'Price by request and by memory, in the place of hours, such as `"aws-lambda"`. Requests are billed for their '
        "service and for the start that they wait for.",
        default=None,
    )
    memory_gb: float | None = number(
        Range(1e-6, 1e6, "GB"), "Memory of a replica that is billed so, in GB.", default=None
    )
    interruptions: Parsed[InterruptionsLike | None, Interruptions | None] = converted(
        Interruptions.parse,
        'What takes replicas away: rates as text, such as `"cloud=aws,interruptions_per_h=0.05"`. Interruptions are '
        "those of spot machines; failures are those of all. None for spot machines with the notice of their cloud and "
        "rates that are assumed.",
        default=None,
    )
    grid_profile_g_per_kwh: tuple[float, ...] = numbers(
        Range(0.0, 1e5, "grams per kWh"),
        "Carbon intensity of the grid in each hour of a day; empty for the mean of the place.",
        default=(),
    )
    start_hour: float = number(Range(0.0, 24.0, "h"), "Hour of the day at which the traffic begins.", default=0.0)

    def _check(self) -> None:
        profile = self.grid_profile_g_per_kwh
        if len(profile) not in (0, _HOURS):
            raise TermsError(
                f"grid_profile_g_per_kwh has {len(profile)} values; expected one for each of {_HOURS} hours"
            )
        if self.serverless is not None and self.memory_gb is None:
            raise TermsError("serverless is given without memory_gb; pass the memory of a replica, such as memory_gb=4")
