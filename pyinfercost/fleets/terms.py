"""What is paid besides the hours of machines, and which of these are paid ahead."""

from __future__ import annotations

from dataclasses import dataclass, field

from .._checks import Range, number, whole
from ..errors import InputError

_USD = Range(0.0, 1e12, "USD")
_BYTES = Range(0.0, 1e15, "bytes")
_GRAMS = Range(0.0, 1e5, "grams per kWh")
_RATE = Range(0.0, 3600.0, "per hour")
_SECONDS = Range(0.0, 1e7, "s")
_REPLICAS = Range(0, 2**20)
_HOURS = 24


class TermsError(InputError):
    """Terms of a bill that are out of range or contradict each other."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Terms of a fleet: what is paid ahead, what is interrupted, and what costs by the month.

    Attributes:
        committed: Replicas that are paid all the time, whether they are used or not; the fleet keeps at least as many.
        committed_usd_per_h: Price of an hour of each; None for that of the deployment.
        storage_usd_per_month: Images and weights in a registry, disks, logs.
        staff_usd_per_month: Share of the people who run it.
        response_bytes: Bytes of a response that leave the cloud; None for those of `transfer` of the deployment.
        grid_profile_g_per_kwh: Carbon intensity of the grid in each hour of a day; empty for the mean of the place.
        start_hour: Hour of the day at which the traffic begins.
        interruptions_per_h: Interruptions of a replica on spot machines, per hour. They are not published: an input.
        notice_s: Time between the notice and the end of such a replica, in which it takes no more requests.
        failures_per_h: Losses of a replica without notice, per hour.
    """

    committed: int = 0
    committed_usd_per_h: float | None = None
    storage_usd_per_month: float = 0.0
    staff_usd_per_month: float = 0.0
    response_bytes: float | None = None
    grid_profile_g_per_kwh: tuple[float, ...] = field(default=())
    start_hour: float = 0.0
    interruptions_per_h: float = 0.0
    notice_s: float = 120.0
    failures_per_h: float = 0.0

    def __post_init__(self) -> None:
        name = "grid_profile_g_per_kwh"
        profile = tuple(number(each, name, _GRAMS, TermsError) for each in self.grid_profile_g_per_kwh)
        if len(profile) not in (0, _HOURS):
            raise TermsError(f"{name} has {len(profile)} values; expected one for each of 24 hours")
        self.__dict__.update(
            committed=whole(self.committed, "committed", _REPLICAS, TermsError),
            storage_usd_per_month=number(self.storage_usd_per_month, "storage_usd_per_month", _USD, TermsError),
            staff_usd_per_month=number(self.staff_usd_per_month, "staff_usd_per_month", _USD, TermsError),
            grid_profile_g_per_kwh=profile,
            start_hour=number(self.start_hour, "start_hour", Range(0.0, 24.0, "h"), TermsError),
            interruptions_per_h=number(self.interruptions_per_h, "interruptions_per_h", _RATE, TermsError),
            notice_s=number(self.notice_s, "notice_s", _SECONDS, TermsError),
            failures_per_h=number(self.failures_per_h, "failures_per_h", _RATE, TermsError),
        )
        for key, within in (("committed_usd_per_h", _USD), ("response_bytes", _BYTES)):
            if getattr(self, key) is not None:
                self.__dict__[key] = number(getattr(self, key), key, within, TermsError)
