"""Machines that the devices of a layout are in; the rules are in the core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _core

if TYPE_CHECKING:
    from ..inputs.layout import Layout


def devices_of_node(machine: _core.Hardware) -> int:
    """Return the number of devices that links connect without a network: of one machine, or of a domain of several."""
    return int(_core.devices_of_node(machine))


def nodes_of(machine: _core.Hardware | None, layout: Layout) -> int:
    """Return the machines that the devices of a layout are in: as many as it names, and as many as they need.

    Args:
        machine: The machine; None takes those that the layout names.
        layout: The layout.
    """
    return layout.nodes if machine is None else _core.nodes_of(machine, layout.devices, layout.nodes)
