"""Machines that the devices of a layout are in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .prices import Placed

if TYPE_CHECKING:
    from .._core import Hardware
    from ..results.layout import Layout


def devices_of_node(machine: Hardware) -> int:
    """Return the number of devices that links connect without a network: of one machine, or of a domain of several."""
    domain = machine.constants.get("link.device_domain")
    return int(machine.constant("link.node_devices") if domain is None else domain)


def nodes_of(machine: Hardware | None, layout: Layout) -> int:
    """Return the machines that the devices of a layout are in: as many as it names, and as many as they need.

    Args:
        machine: The machine; None takes those that the layout names.
        layout: The layout.
    """
    return layout.nodes if machine is None else max(layout.nodes, -(-layout.devices // devices_of_node(machine)))


def placed_on(machine: Hardware, layout: Layout) -> Placed:
    """Return how the devices of a layout are rented: those that exchange data together, as far as a node holds them."""
    in_node = -(-layout.devices // nodes_of(machine, layout))
    return Placed(layout.devices, min(layout.together, in_node))
