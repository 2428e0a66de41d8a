"""Result types: channel groups, their members, and fixed layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

from ..._core import GraphRewriter
from ...errors import InputError, UnknownNameError
from ...sources.sizes import SizeError, bind_sizes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..._core import Graph

SCHEMA_VERSION = 1
_NAMED = 5  # names in an error message

Role = Literal["producer", "scale", "consumer", "buffer"]


class ChannelGroupsError(InputError):
    """The graph has no channel groups, or not the requested one; the message states what is expected."""


@dataclass(frozen=True, eq=False)
class Member:
    """One dimension of a weight or buffer that belongs to a group.

    Attributes:
        tensor: Name of the parameter or buffer in the graph, such as `"layer1.0.conv1.weight"`.
        dim: Index of the dimension.
        role: `"producer"` produces the channels (the output dimension of a layer's weight, its bias, an added table),
            `"scale"` multiplies or shifts them (a norm's weight and bias, a layer scale), `"consumer"` reads them (the
            input dimension of the next layer's weight), `"buffer"` is not a parameter (running statistics).
        indices: Positions along `dim`, of shape [width, per_unit]: row i belongs to unit i. Read-only.
    """

    tensor: str
    dim: int
    role: Role
    indices: NDArray[np.int64]

    @property
    def per_unit(self) -> int:
        """Number of positions along the dimension per unit."""
        return int(self.indices.shape[1])


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Units with the same member dimensions. Each unit can be removed as a whole.

    Attributes:
        name: The graph's named size for the number of units kept, such as `"width_layer1_0_conv1"`.
        modules: Paths of all layers that produce these channels, in execution order.
        width: Number of units in the captured model.
        members: All dimensions of parameters and buffers that belong to the group.
    """

    name: str
    modules: tuple[str, ...]
    width: int
    members: tuple[Member, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object; indices are lists of [width][per_unit]."""
        return {
            "name": self.name,
            "modules": list(self.modules),
            "width": self.width,
            "members": [
                {"tensor": each.tensor, "dim": each.dim, "role": each.role, "indices": each.indices.tolist()}
                for each in self.members
            ],
        }


@dataclass(frozen=True, eq=False)
class ChannelGroups:
    """All channel groups of a graph.

    Attributes:
        graph: The graph with one named size per group: `ic.count(groups.graph, width_conv1=32)` is the exact cost of
            the model with 32 of these channels. A size that is not given stays symbolic in `count` and is the full
            width in `estimate`.
        groups: The groups in the order of their first layers.
        fixed: Module path -> reason why none of its output channels can be removed.
    """

    graph: Graph
    groups: tuple[ChannelGroup, ...]
    fixed: Mapping[str, str]

    @property
    def widths(self) -> dict[str, int]:
        """Full width of each group in units, by the name of its size."""
        return {group.name: group.width for group in self.groups}

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, key: str) -> ChannelGroup:
        """Return the group of a name, or of a layer whose output channels belong to exactly one group.

        Raises:
            KeyError: There is no such group, or several; the message lists the groups.
        """
        for group in self.groups:
            if group.name == key:
                return group
        found = [group for group in self.groups if key in group.modules]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(group.name for group in found)
            raise UnknownNameError(f"the channels of {key!r} belong to several groups ({names}); use the name of one")
        if key in self.fixed:
            raise UnknownNameError(f"the channels of {key!r} are fixed: {self.fixed[key]}")
        known = ", ".join(repr(group.name) for group in self.groups[:_NAMED]) or "none"
        more = ", ..." if len(self.groups) > _NAMED else ""
        raise UnknownNameError(f"no channel group {key!r}; expected the name of a group or a layer: {known}{more}")

    def at(self, **widths: SupportsIndex) -> Graph:
        """Return the graph of the narrower model, with integers for all widths; other named sizes stay symbolic.

        It is planned like a new capture: faster than a graph with a hundred symbolic widths, and with the kernels that
        a library chooses for these numbers of channels.

        Args:
            **widths: Number of units to keep, by name of a group; other groups keep all.

        Returns:
            The graph.

        Raises:
            ChannelGroupsError: (a `ValueError`) a group is unknown, or a width is below 1.
        """
        unknown = [name for name in widths if name not in self.widths]
        if unknown:
            known = ", ".join(list(self.widths)[:_NAMED]) or "none"
            raise ChannelGroupsError(f"unknown width {unknown[0]!r}; the groups are {known}")
        try:
            values = {**self.widths, **bind_sizes(self.graph, widths)}
        except SizeError as error:
            raise ChannelGroupsError(str(error)) from None
        rewriter = GraphRewriter(self.graph)
        rewriter.bind(values)
        return rewriter.build()

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object: groups with their members, and fixed layers. The graph has its own `to_json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "groups": [group.to_dict() for group in self.groups],
            "fixed": dict(self.fixed),
        }
