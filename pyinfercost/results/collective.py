"""Estimates of collective operations."""

from __future__ import annotations

from typing import Generic, TypeVar

from .declared import declared, fact
from .result import Result

Number = TypeVar("Number")  # a float, or an array of them
Word = TypeVar("Word")  # a str, or an array of them


@declared
class CollectiveEstimate(Result, Generic[Number, Word]):
    """Cost of one collective operation, for one message size or for many."""

    document_key = "collective"

    op: str = fact("The operation.", shown="op: {}")
    hardware: str = fact("Id of the machine.", shown="hardware: {}")
    devices: int = fact("Number of participating devices.", shown="devices: {}")
    nodes: int = fact("Number of nodes that they are in.", shown="nodes: {}")
    dtype: str = fact("Dtype of the messages.", shown="dtype: {}")
    kernel: str = fact('`"library"`, or a kernel of engines.', shown="kernel: {}")
    link: str = fact(
        'The link: `"device"` (between devices), `"host"` (PCIe), `"network"` (between nodes), or `"none"` for one '
        "device.",
        shown="link: {}",
    )
    size_bytes: Number = fact(
        "Message size in bytes, as defined by `collective`; for many sizes a list, like all below.", row=True
    )
    latency_s: Number = fact("Seconds from the call to its end on all devices.", row=True)
    latency_low_s: Number = fact(
        "Lower end of the band that is expected to contain four of five measurements.", row=True
    )
    latency_high_s: Number = fact("Upper end of the band.", row=True)
    bus_bandwidth_byte_per_s: Number = fact(
        "Bus bandwidth per device as defined by nccl-tests: `size / latency` times `2 (n - 1) / n` for an all-reduce, "
        "`(n - 1) / n` for operations on parts (times the experts of a token), 1 for others; 0 for one device.",
        row=True,
    )
    algorithm: Word = fact(
        '`"ring"`, `"direct"` (to all peers at once), `"switch"` (the switch reduces) or `"none"`; of engines '
        '`"one-shot"`, `"two-shot"`, `"low latency"` or `"normal"`.',
        row=True,
    )
    protocol: Word = fact('The fastest protocol: `"LL"`, `"LL128"`, `"Simple"`, or `"none"`.', row=True)
    bound: Word = fact('The larger term: `"latency"` (start and steps) or `"link"` (bytes).', row=True)
