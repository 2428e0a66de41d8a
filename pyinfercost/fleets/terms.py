"""What is paid besides the hours of machines, which of these are paid ahead, and what takes machines away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .._checks import Range, number, whole
from ..deployment import (
    Commitment,
    Egress,
    FixedCosts,
    Interruptions,
    Serverless,
)
from ..errors import InputError

if TYPE_CHECKING:
    from ..deployment import CommitmentLike, EgressLike, FixedCostsLike, InterruptionsLike, ServerlessLike

_BYTES = Range(0.0, 1e15, "bytes")
_GRAMS = Range(0.0, 1e5, "grams per kWh")
_HOUR = Range(0.0, 24.0, "h")
_GB = Range(1e-6, 1e6, "GB")
_REPLICAS = Range(0, 2**20)
_HOURS = 24


class TermsError(InputError):
    """Terms of a bill that are out of range or contradict each other."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Terms of a fleet: what is paid ahead, what costs by the month or by request, and what is interrupted.

    Attributes:
        committed: Replicas that are paid all the time, whether they are used or not; the fleet keeps at least as many.
        commitment: Their price: a `Commitment`, or text such as `"discount=0.4,term_years=1"`; None for that of the
            deployment.
        fixed: Costs of a month: `FixedCosts`, or text such as `"staff_usd_per_month=4000"`.
        egress: Price of responses that leave the cloud, such as `"aws"`; None for that of `transfer` of the deployment.
        response_bytes: Bytes of a response; None for those of `transfer` of the deployment.
        serverless: Price by request and by memory, in the place of hours, such as `"aws-lambda"`. Requests are billed
            for their service and for the start that they wait for.
        memory_gb: Memory of a replica that is billed so, in GB.
        interruptions: What takes replicas away: rates as text, such as `"cloud=aws,interruptions_per_h=0.05"`.
            Interruptions are those of spot machines; failures are those of all. None for spot machines with the notice
            of their cloud and rates that are assumed.
        grid_profile_g_per_kwh: Carbon intensity of the grid in each hour of a day; empty for the mean of the place.
        start_hour: Hour of the day at which the traffic begins.
    """

    committed: int = 0
    commitment: CommitmentLike | None = None
    fixed: FixedCostsLike = field(default_factory=FixedCosts)
    egress: EgressLike | None = None
    response_bytes: float | None = None
    serverless: ServerlessLike | None = None
    memory_gb: float | None = None
    interruptions: InterruptionsLike | None = None
    grid_profile_g_per_kwh: tuple[float, ...] = ()
    start_hour: float = 0.0

    def __post_init__(self) -> None:
        name = "grid_profile_g_per_kwh"
        profile = tuple(number(each, name, _GRAMS, TermsError) for each in self.grid_profile_g_per_kwh)
        if len(profile) not in (0, _HOURS):
            raise TermsError(f"{name} has {len(profile)} values; expected one for each of 24 hours")
        checked: dict[str, Any] = {
            "committed": whole(self.committed, "committed", _REPLICAS, TermsError),
            "fixed": FixedCosts.parse(self.fixed),
            "grid_profile_g_per_kwh": profile,
            "start_hour": number(self.start_hour, "start_hour", _HOUR, TermsError),
        }
        for key, parse in (
            ("commitment", Commitment.parse),
            ("egress", Egress.parse),
            ("serverless", Serverless.parse),
            ("interruptions", Interruptions.parse),
        ):
            if getattr(self, key) is not None:
                checked[key] = parse(getattr(self, key))
        for key, within in (("response_bytes", _BYTES), ("memory_gb", _GB)):
            if getattr(self, key) is not None:
                checked[key] = number(getattr(self, key), key, within, TermsError)
        if self.serverless is not None and self.memory_gb is None:
            raise TermsError("serverless is given without memory_gb; pass the memory of a replica, such as memory_gb=4")
        self.__dict__.update(checked)

    # Fields hold what was parsed; these have its types.

    @property
    def commitment_terms(self) -> Commitment | None:
        """The commitment."""
        return self.commitment  # type: ignore[return-value]

    @property
    def fixed_costs(self) -> FixedCosts:
        """Costs of a month."""
        return self.fixed  # type: ignore[return-value]

    @property
    def egress_price(self) -> Egress | None:
        """The price of egress."""
        return self.egress  # type: ignore[return-value]

    @property
    def serverless_price(self) -> Serverless | None:
        """The price by request."""
        return self.serverless  # type: ignore[return-value]

    @property
    def interruption_rates(self) -> Interruptions | None:
        """What takes replicas away."""
        return self.interruptions  # type: ignore[return-value]
