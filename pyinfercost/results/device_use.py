"""What the devices of a layout hold, compute and send, and what travels between them."""

from __future__ import annotations

from typing import Any

from .declared import Part, declared, document_of, fact


@declared
class DeviceUse(Part):
    """One forward on one device, the one with the largest share, or on all of them."""

    memory_bytes: int = fact("Peak memory.")
    weight_bytes: int = fact("Weights and buffers.")
    kv_cache_bytes: int | None = fact("Keys, values and states after the forward; None for a model without.")
    contraction_flops: int = fact("FLOPs of products, convolutions and attention.")
    pointwise_flops: int = fact("FLOPs of everything else.")
    bytes_sent: int = fact("Bytes that leave a device on its links.")
    energy_j: float | None = fact("Joules; None if the machine's power is unknown.")
    link_energy_j: float | None = fact("The part of the links; None if its family states none.")
    usd_per_h: float | None = fact("USD per hour that is paid, with unused devices of instances; None without a price.")

    def times(self, devices: int) -> DeviceUse:
        """Return the use of so many devices."""
        scaled: dict[str, Any] = {
            name: None if value is None else devices * value for name, value in document_of(self).items()
        }
        return DeviceUse(**scaled)


@declared(kw_only=False)
class Exchange(Part):
    """Collective operations of one kind in a forward."""

    op: str = fact('The operation, such as `"all_reduce"`.')
    devices: int = fact("Devices of a group that takes part.")
    nodes: int = fact("Machines that they are in.")
    calls: int = fact("Number of operations.")
    bytes_sent: int = fact("Bytes that leave a device in all of them.")
    latency_s: float = fact("Seconds of all of them.")
