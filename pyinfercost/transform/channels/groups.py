"""What is found: groups of channels, the weights that they reach into, and why others are fixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..._core import Graph

SCHEMA_VERSION = 1
_NAMED = 5  # names in an error message

Role = Literal["producer", "scale", "consumer", "buffer"]


class ChannelGroupsError(ValueError):
    """A graph that has no channel groups, or a group that there is not; the message says what was expected."""


@dataclass(frozen=True, eq=False)
class Member:
    """One dimension of one weight or buffer that a group reaches into.

    Attributes:
        tensor: the name of the parameter or buffer, as in the graph, such as `"layer1.0.conv1.weight"`.
        dim: which of its dimensions, from 0.
        role: `"producer"` makes the channels (the output dimension of a layer's weight, its bias, a table that is
            added), `"scale"` multiplies or shifts them (a norm's weight and bias, a layer scale), `"consumer"` reads
            them (the input dimension of the next layer's weight), `"buffer"` is no parameter (running statistics).
        indices: positions along `dim`, of shape [width, per_unit]: row i has those that go with unit i. It is
            read-only.
    """

    tensor: str
    dim: int
    role: Role
    indices: NDArray[np.int64]

    @property
    def per_unit(self) -> int:
        """Positions along the dimension that go with each unit."""
        return int(self.indices.shape[1])


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Units that reach into the same weights in the same way: any of them can be removed, each as a whole.

    Attributes:
        name: the named size of the graph that is the number of units kept, such as `"width_layer1_0_conv1"`.
        modules: paths of all layers that make these channels, in the order in which they run first.
        width: the units of the captured model.
        members: every dimension of a parameter or buffer that the units lie along.
    """

    name: str
    modules: tuple[str, ...]
    width: int
    members: tuple[Member, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object; indices as lists of [width][per_unit]."""
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
        graph: the graph with one named size for each group: `ic.count(groups.graph, width_conv1=32)` has the exact
            cost of the model with 32 of these channels. A size that is not given stays open in `count` and is the full
            width in `estimate`.
        groups: in the order in which their first layer runs.
        fixed: module path -> why none of its output channels can be removed.
    """

    graph: Graph
    groups: tuple[ChannelGroup, ...]
    fixed: Mapping[str, str]

    @property
    def widths(self) -> dict[str, int]:
        """Name of each group's size -> its full width in units."""
        return {group.name: group.width for group in self.groups}

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, key: str) -> ChannelGroup:
        """The group of a size's name, or of the path of a layer that makes channels of exactly one group.

        Raises:
            KeyError: where there is no such group, or several; the message says why and what there is.
        """
        for group in self.groups:
            if group.name == key:
                return group
        found = [group for group in self.groups if key in group.modules]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(group.name for group in found)
            raise KeyError(f"{key!r} makes channels of several groups ({names}); give the name of one")
        if key in self.fixed:
            raise KeyError(f"the channels of {key!r} are fixed: {self.fixed[key]}")
        known = ", ".join(repr(group.name) for group in self.groups[:_NAMED]) or "none"
        more = ", ..." if len(self.groups) > _NAMED else ""
        raise KeyError(f"no channel group {key!r}; expected the name of a group or of a layer, there are {known}{more}")

    def at(self, **widths: SupportsIndex) -> Graph:
        """The graph of the narrower model itself, with numbers in the place of widths; other named sizes stay open.

        It is planned like a fresh capture: faster than a graph with a hundred open widths, and where a kernel of a
        library depends on what a number of channels is divisible by, it is the one for this number.

        Args:
            **widths: units to keep, by the name of a group's size; groups that are not given keep all.

        Raises:
            ChannelGroupsError: (a `ValueError`) for a name that is no group's, or a width below 1.
        """
        from ...sources.sizes import SizeError, bind_sizes
        from .rewriting import bound

        unknown = [name for name in widths if name not in self.widths]
        if unknown:
            known = ", ".join(list(self.widths)[:_NAMED]) or "none"
            raise ChannelGroupsError(f"got a width {unknown[0]!r}, expected the name of a group; there are {known}")
        try:
            values = {**self.widths, **bind_sizes(self.graph, widths)}
        except SizeError as error:
            raise ChannelGroupsError(str(error)) from None
        return bound(self.graph, values)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: groups with their members, and what is fixed. The graph has its own `to_dict`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "groups": [group.to_dict() for group in self.groups],
            "fixed": dict(self.fixed),
        }
