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
"""Figures of each size, in report order."""


@dataclass(frozen=True)
class CollectiveEstimate(Result, Generic[Number, Word]):
    """Cost of one collective operation, for one message size or for many.

    Attributes:
        op: The operation.
        hardware: Id of the machine.
        devices: Number of participating devices.
        nodes: Number of nodes that they are in.
        dtype: Dtype of the messages.
        kernel: `"library"`, or a kernel of engines.
        link: The link: `"device"` (between devices), `"host"` (PCIe), `"network"` (between nodes), or `"none"` for one
            device.
        size_bytes: Message size in bytes, as defined by `collective`.
        latency_s: Seconds from the call to its end on all devices.
        latency_low_s: Lower end of the band that is expected to contain four of five measurements.
        latency_high_s: Upper end of the band.
        bus_bandwidth_byte_per_s: Bus bandwidth per device as defined by nccl-tests: `size / latency` times
            `2 (n - 1) / n` for an all-reduce, `(n - 1) / n` for operations on parts (times the experts of a token), 1
            for others; 0 for one device.
        algorithm: `"ring"`, `"direct"` (to all peers at once), `"switch"` (the switch reduces) or `"none"`; of engines
            `"one-shot"`, `"two-shot"`, `"low latency"` or `"normal"`.
        protocol: The fastest protocol: `"LL"`, `"LL128"`, `"Simple"`, or `"none"`.
        bound: The larger term: `"latency"` (start and steps) or `"link"` (bytes).
    """

    op: str
    hardware: str
    devices: int
    nodes: int
    dtype: str
    kernel: str
    link: str
    size_bytes: Number
    latency_s: Number
    latency_low_s: Number
    latency_high_s: Number
    bus_bandwidth_byte_per_s: Number
    algorithm: Word
    protocol: Word
    bound: Word
