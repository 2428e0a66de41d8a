"""`channel_groups`: walk over a graph, derive the classes of equal units, and group those that are not fixed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from .groups import ChannelGroup, ChannelGroups, ChannelGroupsError, Member, Role
from .named_widths import Widths
from .table import follow
from .units import Axis
from .walk import Walk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..._core import Graph
    from .units import Ids


def channel_groups(graph: Graph) -> ChannelGroups:
    """Find the channels of a model that must be removed together, and make their numbers named sizes of its graph.

    An output channel of a layer can be removed if all its consumers can be narrowed with it: norms, residual sums,
    concatenations, the next layers. Tied channels are one unit. Units with the same member
    dimensions are one group; any number of them can be kept, at least one. An attention head is one unit, and so is
    any other part that a view splits off a dimension. Inputs and outputs of the model are fixed, and so are channels
    that reach an operator without a rule.

    Args:
        graph: Graph of a forward from `ic.capture`. Named sizes such as `batch` stay symbolic.

    Returns:
        The groups, the reasons why other channels are fixed, and the graph with one more named size (role `channel`)
        per group: the number of units kept (default: all; minimum 1). For all values, it has the counts and estimates
        of a new capture of the narrower model.

    Raises:
        ChannelGroupsError: (a `ValueError`) the graph is one of a training step.
        TooLargeError: A dimension has more than 2^24 elements, or all have more than 2^27.

    Examples:
        >>> net = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
        >>> graph = ic.capture(net, torch.empty(1, 784), dynamic={0: {0: "batch"}})
        >>> [(group.name, group.width, group.modules) for group in ic.channel_groups(graph).groups]
        [('width_0', 128, ('0',))]
    """
    walk = Walk(graph)
    backward = sum(node.phase == "backward" for node in walk.nodes)
    if backward:
        raise ChannelGroupsError(
            f"got the graph of a training step with {backward} backward nodes; expected a forward, so capture the "
            "model without training=True"
        )
    follow(walk)
    given = walk.fixed("they are results of the model")
    for result in graph.outputs:
        for axis in walk.axes(result.index):
            walk.units.fix(axis, given)
    while True:
        found = _Finding(walk)
        widths = Widths(walk, found.names, found.sizes, found.label, found.group_of_root)
        odd = widths.find_shapes()
        if not odd:
            break
        # A tensor whose strides are not expressions in widths is fixed, and everything is derived again.
        for t in odd:
            reason = walk.fixed("a view of them has strides that do not follow from their number")
            for axis in walk.axes(t):
                walk.units.fix(axis, reason)
    return ChannelGroups(widths.graph(graph), found.groups(), MappingProxyType(found.fixed()))


class _Finding:
    """The groups derived from the state of a walk.

    Attributes:
        label: For each unit, the smallest unit of its class.
        group_of_root: For each smallest unit of a class, the index of its group; -1 if it is fixed.
        names: Names of the groups.
        sizes: Number of units of each group.
    """

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._names = [made.name for made in walk.tensors]
        self._roles = [made.role for made in walk.tensors]
        self._paths = [name.rpartition(".")[0] for name in self._names]
        self.label, self._why = walk.units.close()
        arrays = {id(axis): axis for axes in walk.axes_of for axis in axes or () if not isinstance(axis, int)}
        for _, _, axes in walk.arguments:
            arrays |= {id(axis): axis for axis in axes if not isinstance(axis, int)}
        # Each array gets a random number. Units with equal counts in every array have equal sums of these numbers.
        drawn = np.random.default_rng(0).integers(1, 2**63, size=len(arrays), dtype=np.uint64)
        signature = np.zeros(len(self.label), dtype=np.uint64)
        for number, array in zip(drawn, arrays.values(), strict=True):
            np.add.at(signature, self.label[array], number)
        made = np.zeros(len(self.label), dtype=bool)
        for axis in self._made_axes():
            made[self.label[axis]] = True
        removable = made & (self._why == 0) & (self.label == np.arange(len(self.label)))
        self.group_of_root = np.full(len(self.label), -1, dtype=np.int64)
        self.names: list[str] = []
        self.sizes: list[int] = []
        self._modules: list[dict[str, None]] = []
        self._units: list[Ids] = []
        self._number(signature, removable)

    def _made_axes(self) -> Iterable[Ids]:
        for t, dim in self._walk.made:
            axis = self._walk.axes(t)[dim]
            if not isinstance(axis, int):
                yield axis

    def _number(self, signature: NDArray[np.uint64], removable: NDArray[np.bool_]) -> None:
        """Number the groups in the order of their first layer, and their units in the order of its channels."""
        known: dict[int, int] = {}
        for t, dim in self._walk.made:
            axis = self._walk.axes(t)[dim]
            if isinstance(axis, int):
                continue
            roots = self.label[axis]
            roots = roots[removable[roots]]
            _, first = np.unique(roots, return_index=True)
            roots = roots[np.sort(first)]
            for mark in dict.fromkeys(signature[roots].tolist()):
                if mark not in known:
                    units = roots[signature[roots] == mark]
                    if len(units) == 1:
                        continue  # a single unit, which must be kept
                    known[mark] = len(known)
                    self._units.append(units)
                    self.group_of_root[self._units[-1]] = known[mark]
                    self.sizes.append(len(self._units[-1]))
                    self.names.append(self._free_name(self._paths[t]))
                    self._modules.append({})
                self._modules[known[mark]].setdefault(self._paths[t])

    def _free_name(self, path: str) -> str:
        taken = {*self._walk.numbers.values, *self.names}
        name = wanted = "width_" + re.sub(r"\W", "_", path or "model", flags=re.ASCII)
        count = 2
        while name in taken:
            name = f"{wanted}_{count}"
            count += 1
        return name

    def groups(self) -> tuple[ChannelGroup, ...]:
        """Return the groups with their members."""
        members: list[list[Member]] = [[] for _ in self.names]
        place = np.full(len(self.label), -1, dtype=np.int64)
        for units in self._units:
            place[units] = np.arange(len(units))
        for t, role in enumerate(self._roles):
            if role not in ("parameter", "buffer"):
                continue
            for dim, axis in enumerate(self._walk.axes_of[t] or ()):
                for number, indices in self._positions(axis, place):
                    members[number].append(Member(self._names[t], dim, self._role(t, dim), indices))
        return tuple(
            ChannelGroup(name, tuple(modules), size, tuple(own))
            for name, modules, size, own in zip(self.names, self._modules, self.sizes, members, strict=True)
        )

    def _positions(self, axis: Axis, place: Ids) -> Iterable[tuple[int, Ids]]:
        """Yield the groups along a dimension, with the positions of their units."""
        if isinstance(axis, int):
            return
        roots = self.label[axis]
        groups = self.group_of_root[roots]
        for number in np.unique(groups[groups >= 0]).tolist():
            positions = np.flatnonzero(groups == number)
            order = np.argsort(place[roots[positions]], kind="stable")
            indices = positions[order].reshape(self.sizes[number], -1)
            indices.flags.writeable = False
            yield number, indices

    def _role(self, t: int, dim: int) -> Role:
        if self._roles[t] == "buffer":
            return "buffer"
        return self._walk.roles.get((t, dim), "producer")

    def fixed(self) -> dict[str, str]:
        """Return the layers without removable channels, and the first reason for each."""
        reasons = self._walk.units.reasons
        nothing = "they can only be removed all together"
        found: dict[str, str] = {}
        for t, dim in self._walk.made:
            axis, path = self._walk.axes(t)[dim], self._paths[t]
            if isinstance(axis, int):
                found.setdefault(path, reasons[axis] or nothing)
                continue
            roots = self.label[axis]
            if (self.group_of_root[roots] < 0).all():
                found.setdefault(path, reasons[int(self._why[roots[0]])] or nothing)
        grouped = {path for modules in self._modules for path in modules}
        return {path: why for path, why in found.items() if path not in grouped}
