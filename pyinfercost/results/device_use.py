"""What the devices of a layout hold, compute and send, and what travels between them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .._records import dataclass


@dataclass(frozen=True)
class DeviceUse:
    """One forward on one device, the one with the largest share, or on all of them.

    Attributes:
        memory_bytes: Peak memory.
        weight_bytes: Weights and buffers.
        kv_cache_bytes: Keys, values and states after the forward; None for a model without.
        contraction_flops: FLOPs of products, convolutions and attention.
        pointwise_flops: FLOPs of everything else.
        bytes_sent: Bytes that leave a device on its links.
        energy_j: Joules; None if the machine's power is unknown.
        link_energy_j: The part of the links; None if its family states none.
        usd_per_h: USD per hour that is paid, with unused devices of instances; None without a price.
    """

    memory_bytes: int
    weight_bytes: int
    kv_cache_bytes: int | None
    contraction_flops: int
    pointwise_flops: int
    bytes_sent: int
    energy_j: float | None
    link_energy_j: float | None
    usd_per_h: float | None

    def times(self, devices: int) -> DeviceUse:
        """Return the use of so many devices."""
        scaled: dict[str, Any] = {
            name: None if value is None else devices * value for name, value in asdict(self).items()
        }
        return DeviceUse(**scaled)

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Exchange:
    """Collective operations of one kind in a forward.

    Attributes:
        op: The operation, such as `"all_reduce"`.
        devices: Devices of a group that takes part.
        nodes: Machines that they are in.
        calls: Number of operations.
        bytes_sent: Bytes that leave a device in all of them.
        latency_s: Seconds of all of them.
    """

    op: str
    devices: int
    nodes: int
    calls: int
    bytes_sent: int
    latency_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as JSON values."""
        return asdict(self)
