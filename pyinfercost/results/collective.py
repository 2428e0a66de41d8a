"""Estimates of collective operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from .result import Result

Number = TypeVar("Number")  # a float, or an array of them
Word = TypeVar("Word")  # a str, or an array of them

COLUMNS = (
    "size_bytes",
    "latency_s",
    "latency_low_s",
    "latency_high_s",
    "bus_bandwidth_byte_per_s",
    "algorithm",
    "protocol",
    "bound",
)
"""Figures of each size, in the order in which reports show them."""


@dataclass(frozen=True)
class CollectiveEstimate(Result, Generic[Number, Word]):
    """Cost of one collective operation, for one message size or for many.

    Attributes:
        op: the operation.
        hardware: the id of the machine.
        devices: number of devices that take part.
        dtype: dtype of the messages.
        link: the link: `"device"` (between devices), `"host"` (PCIe), or `"none"` for one device.
        size_bytes: the size of a message, as `collective` counts it.
        latency_s: seconds from the call to its end on all devices, launched from a captured graph or a queue.
        latency_low_s: the lower end of the band in which four of five measurements are expected.
        latency_high_s: the upper end.
        bus_bandwidth_byte_per_s: bus bandwidth per device as nccl-tests defines it: `size / latency` times
            `2 (n - 1) / n` for an all-reduce, `(n - 1) / n` for operations on parts, 1 for the others; 0 for one
            device.
        algorithm: `"ring"`, `"direct"` (to each peer at once), `"switch"` (the switch adds up) or `"none"`.
        protocol: `"LL"`, `"LL128"`, `"Simple"`, or `"none"`: the cheapest.
        bound: why it takes so long: `"latency"` (start and steps) or `"link"` (bytes), whichever takes longer.
    """

    op: str
    hardware: str
    devices: int
    dtype: str
    link: str
    size_bytes: Number
    latency_s: Number
    latency_low_s: Number
    latency_high_s: Number
    bus_bandwidth_byte_per_s: Number
    algorithm: Word
    protocol: Word
    bound: Word
