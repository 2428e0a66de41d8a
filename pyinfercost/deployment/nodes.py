"""Machines that the devices of a layout are in."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from .._records import dataclass

if TYPE_CHECKING:
    from .._core import Hardware
    from ..results.layout import Layout


def devices_of_node(machine: Hardware) -> int:
    """Return the number of devices that links connect without a network: of one machine, or of a domain of several."""
    domain = machine.constant("link.device_domain")
    return int(machine.constant("link.node_devices") if isnan(domain) else domain)


def nodes_of(machine: Hardware | None, layout: Layout) -> int:
    """Return the machines that the devices of a layout are in: as many as it names, and as many as they need.

    Args:
        machine: The machine; None takes those that the layout names.
        layout: The layout.
    """
    return layout.nodes if machine is None else max(layout.nodes, -(-layout.devices // devices_of_node(machine)))


@dataclass(frozen=True)
class Placed:
    """Devices that are rented in whole instances.

    Attributes:
        devices: Their number.
        together: How many of them must be in one instance, since they exchange data.
    """

    devices: int
    together: int

    def instances(self, each: float) -> int:
        """Return the number of instances of so many devices that hold them.

        Groups that exchange data are not cut, unless they are larger than an instance.
        """
        size = max(1, int(each))
        if size < self.together:
            return -(-self.devices // size)
        groups = -(-self.devices // self.together)
        return -(-groups // (size // self.together))


def placed_on(machine: Hardware, layout: Layout) -> Placed:
    """Return how the devices of a layout are rented: those that exchange data together, as far as a node holds them."""
    in_node = -(-layout.devices // nodes_of(machine, layout))
    return Placed(layout.devices, min(layout.together, in_node))
