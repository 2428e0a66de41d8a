"""The module tree as rows: one per module, and one per op that a module calls itself."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .effects import effect_text

if TYPE_CHECKING:
    from .._core import CountRow, LayerRow, Quantity
    from ..analysis.estimation import LayerEstimate
    from ..analysis.profile import Profile

SHORT = 60
"""With no depth asked for, the deepest tree of at most this many rows is shown."""

OWN_OP = "-"
"""The label of an op that a module calls itself, next to its submodules."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `share` is of the latency, or of the FLOPs where there is no latency. Nothing of a row is `known` if not one of
    its ops is modelled.
    """

    level: int
    label: str
    op: str
    known: bool
    contraction_flops: Quantity
    pointwise_flops: Quantity
    traffic_bytes: Quantity
    parameters: Quantity
    latency_s: float | None
    share: float | None
    bound: str
    effect: str


@dataclass
class _Module:
    """A module path, and in the order of the calls what lies below it."""

    path: str
    level: int
    items: list[_Module | LayerRow] = field(default_factory=list)
    children: dict[str, _Module] = field(default_factory=dict)
    layers: list[LayerRow] = field(default_factory=list)

    def rows(self, depth: int) -> int:
        """How many rows this module takes below its own, down to a depth."""
        if self.level >= depth or len(self.layers) == 1:
            return 0
        return sum(1 + (item.rows(depth) if isinstance(item, _Module) else 0) for item in self.items)

    def depth(self) -> int:
        """The deepest level of a row in this tree."""
        if len(self.layers) == 1:
            return self.level
        return max(item.depth() if isinstance(item, _Module) else self.level + 1 for item in self.items)


def module_rows(profile: Profile, depth: int | None) -> tuple[list[Row], int, int]:
    """The rows of a profile.

    Args:
        profile: what to show.
        depth: modules below this depth are collapsed into theirs; None picks the deepest tree that is still short.

    Returns:
        The rows, the depth that they go down to, and the depth of the whole tree.
    """
    root = _tree(profile)
    if not root.items:
        return [], 0, 0
    whole = root.depth()
    if depth is None:
        depth = next((level for level in range(whole, 1, -1) if root.rows(level) <= SHORT), 1)
    depth = min(depth, whole)
    return list(_Rows(profile, depth).below(root)), depth, whole


def _tree(profile: Profile) -> _Module:
    """The modules that do something: what neither computes nor moves bytes has no row, unless it is not modelled."""
    latency = {} if profile.estimate is None else {layer.index: layer.latency_s for layer in profile.estimate.layers}
    root = _Module("", 0)
    for layer in profile.counts.layers:
        row = layer.row
        idle = row.flops == 0 and row.bytes_read == 0 and row.bytes_written == 0 and not latency.get(layer.index)
        if idle and layer.modelled:
            continue
        module = root
        module.layers.append(layer)
        path = ""
        for name in layer.module.split(".") if layer.module else ():
            path = f"{path}.{name}" if path else name
            if name not in module.children:
                module.children[name] = _Module(path, module.level + 1)
                module.items.append(module.children[name])
            module = module.children[name]
            module.layers.append(layer)
        module.items.append(layer)
    return root


class _Rows:
    def __init__(self, profile: Profile, depth: int) -> None:
        self._depth = depth
        self._counts = profile.counts
        self._by_module = profile.counts.by_module(depth)
        self._times: dict[int, LayerEstimate] = {}
        self._latency_s: float | None = None
        if profile.estimate is not None:
            self._latency_s = profile.estimate.latency_s
            self._times = {layer.index: layer for layer in profile.estimate.layers}

    def below(self, module: _Module) -> list[Row]:
        rows = []
        for item in module.items:
            if isinstance(item, _Module):
                rows.append(self._module_row(item))
                if item.level < self._depth and len(item.layers) > 1:
                    rows += self.below(item)
            else:
                rows.append(self._row(module.level + 1, OWN_OP, item.row, [item]))
        return rows

    def _module_row(self, module: _Module) -> Row:
        name = module.path.rpartition(".")[2]
        return self._row(module.level, name, self._by_module[module.path], module.layers)

    def _row(self, level: int, label: str, counted: CountRow, layers: list[LayerRow]) -> Row:
        latency_s, bound, effect = None, "", ""
        known = any(layer.modelled for layer in layers)
        share = _ratio(counted.flops, self._counts.total.flops)
        if self._latency_s is not None:
            times = [self._times[layer.index] for layer in layers if layer.index in self._times]
            latency_s = sum(time.latency_s for time in times)
            share = _ratio(latency_s, self._latency_s)
            by_bound: dict[str, float] = defaultdict(float)
            for time in times:
                by_bound[time.bound] += time.latency_s
            if latency_s > 0:
                bound = max(by_bound, key=by_bound.__getitem__)
                effect = effect_text(times)
            elif times:
                bound = "fused"  # another row's kernel does it, and carries its time
        return Row(
            level=level,
            label=label,
            op=_op_name(layers),
            known=known,
            contraction_flops=counted.contraction_flops,
            pointwise_flops=counted.pointwise_flops,
            traffic_bytes=counted.bytes_read + counted.bytes_written,
            parameters=counted.parameters,
            latency_s=latency_s,
            share=share if known else None,
            bound=bound,
            effect=effect,
        )


def _op_name(layers: list[LayerRow]) -> str:
    missing = sum(not layer.modelled for layer in layers)
    if len(layers) == 1:
        return layers[0].op.removeprefix("aten.")
    return f"{len(layers)} ops" + (f", {missing} unknown" if missing else "")


def _ratio(part: Quantity | float, whole: Quantity | float) -> float | None:
    if isinstance(part, (int, float)) and isinstance(whole, (int, float)):
        return part / whole if whole else 0.0
    return None  # symbolic: it depends on sizes that have no value
