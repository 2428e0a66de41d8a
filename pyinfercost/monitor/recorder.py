"""Interface of monitors to requests and wrapped calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .._core import Meter
    from .device_times import DeviceTimes


class Recorder(Protocol):
    """Where requests are counted.

    Attributes:
        clock: Nanoseconds of a clock that does not jump.
        meter: The counts.
        devices: Times of calls that a device has not ended yet.
    """

    clock: Callable[[], int]
    meter: Meter
    devices: DeviceTimes

    def failed(self, subject: str, error: BaseException) -> None:
        """Note that something could not be counted; the request goes on."""
