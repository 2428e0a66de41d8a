"""Layouts of a model on numbers of devices: those that are legal, and why others are out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import isfinite, prod
from typing import TYPE_CHECKING, Any, SupportsIndex

from .. import _core
from .._checks import COUNT, whole
from ..deployment import Deployment, deployment_of
from ..deployment.engines import TORCH
from ..deployment.nodes import nodes_of
from ..errors import InputError, LayoutError
from ..inputs.layout import FACTORS, Layout
from ..inputs.settings import written
from ..results.layouts import LayoutChoice, Layouts
from ..results.units import quantity
from .collectives import CollectiveError, collective
from .plans import boundary_of, core_layout, graph_of_rank, launched_graph
from .workers import on_workers

if TYPE_CHECKING:
    from .._core import Graph, Hardware
    from ..deployment import HardwareLike

_FIELDS = {each.name: each for each in Layout.fields}
_SHOWN = 3  # reasons in the message of a search that finds nothing

Fields = Mapping[str, Any]
"""Fields of a layout by name."""


def find_layouts(
    graph: Graph,
    devices: SupportsIndex | Iterable[SupportsIndex],
    *,
    on: Deployment | None = None,
    hardware: HardwareLike | None = None,
    precision: str | None = None,
    engine: str | None = None,
    **among: SupportsIndex | Iterable[SupportsIndex],
) -> Layouts:
    """Find all layouts of a model on some numbers of devices.

    The devices are divided among `tensor`, `pipeline`, `context` and `data` in all ways. Experts are divided as the
    products are, or over all devices of a stage (`tensor` x `data`), and then all `tensor` devices may also share the
    batch of attention; tokens are shared (`context`, and between products `sequence`) where the graph reads prompts of
    any length. Fields that are given take these values instead.

    Args:
        graph: The graph of the model, as `capture` returns it.
        devices: The number of devices, or several.
        on: The machine, the precision and the engine; the next three override its fields.
        hardware: The machine. Layouts whose weights exceed the memory of a device, or whose devices are not connected,
            are out. Without a machine, only the model decides.
        precision: Dtype to run in.
        engine: What runs the model.
        **among: Values of fields of `Layout` to choose from: `tensor=[4, 8]`, `sequence=False`.

    Returns:
        The layouts.

    Raises:
        InputError: A number of devices, or the name or a value of a field, is invalid.

    Examples:
        >>> graph = ic.capture("hf:llama-3-8b.json#decode")
        >>> found = ic.find_layouts(graph, 4, hardware="h100-sxm-80gb", pipeline=1, context=1)
        >>> [str(layout) for layout in found]
        ['tensor=4']
    """
    deployment = deployment_of(on, {"hardware": hardware, "precision": precision, "engine": engine})
    machines = [] if deployment.hardware is None else [deployment.machine]
    return layouts_on_machines(
        graph, numbers_of(devices), machines, precisions=[deployment.precision], engines=[deployment.engine],
        among=among,
    )  # fmt: skip


def numbers_of(devices: SupportsIndex | Iterable[SupportsIndex]) -> list[int]:
    """Return one or several numbers of devices as a list."""
    values = devices if isinstance(devices, Iterable) else [devices]
    found = [whole(value, "devices", COUNT, LayoutError) for value in values]
    if not found:
        raise LayoutError("devices has no values; pass one or several numbers of devices")
    return list(dict.fromkeys(found))


def layouts_on_machines(
    graph: Graph,
    devices: Sequence[int],
    machines: Sequence[Hardware],
    *,
    precisions: Sequence[str],
    engines: Sequence[str],
    among: Mapping[str, Any] | None = None,
) -> Layouts:
    """Find all layouts of a model, as `find_layouts` does; a layout is out if it is so on all machines.

    Args:
        graph: The graph of the model.
        devices: Numbers of devices.
        machines: The machines; empty if memory and links play no part.
        precisions: Dtypes to run in.
        engines: What runs the model.
        among: Values of fields to choose from.
    """
    chosen = _chosen({} if among is None else among)
    search = _Search(graph, machines, precisions, engines)
    tried: list[tuple[str, int, Layout | None, str]] = []
    for count in devices:
        for each in _candidates(count, chosen, search):
            try:
                layout = Layout(**each)
            except LayoutError as error:
                tried.append((_text(each), count, None, str(error)))
                continue
            if layout.devices != count:
                reason = f"{layout} is of {layout.devices} devices, and devices is {count}; expected all of them"
            else:
                reason = search.refusal(layout)
            tried.append((str(layout), count, layout, reason))
    made = search.made([layout for _, _, layout, reason in tried if layout is not None and not reason])
    choices, found = [], []
    for text, count, laid, known in tried:
        if laid is None:
            choices.append(LayoutChoice(layout=text, devices=count, reason=known))
            continue
        reason = known or made[_made_for(laid)]
        weights = None
        if not reason:
            weights = search.weight_bytes(laid)
            found.append(laid)
        elif reason == search.too_large(laid):
            weights = search.least_bytes(laid)
        nodes = max([nodes_of(machine, laid) for machine in machines], default=laid.nodes)
        choices.append(LayoutChoice(layout=text, devices=count, nodes=nodes, weight_bytes=weights, reason=reason))
    ids = ",".join(dict.fromkeys(machine.id for machine in machines))
    return Layouts(model=graph.model, hardware=ids, choices=tuple(choices), found=tuple(found))


def check_some(found: Layouts) -> None:
    """Check that some layout is legal.

    Raises:
        LayoutError: None is; the message has reasons, and what to change.
    """
    if found.found:
        return
    reasons = list(dict.fromkeys(each.reason for each in found.out))
    more = f"; {len(reasons) - _SHOWN} more reasons" if len(reasons) > _SHOWN else ""
    numbers = " or ".join(map(str, dict.fromkeys(each.devices for each in found.out)))
    raise LayoutError(
        f"no layout of {found.model or 'the model'} on {numbers} devices is left: {'; '.join(reasons[:_SHOWN])}{more}. "
        "Pass more devices, machines with more memory, or narrower weights"
    )


def _chosen(among: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values of fields that the caller gives, as lists."""
    found = {}
    for name, values in among.items():
        if name not in _FIELDS:
            raise LayoutError(f"layouts has no field {name!r}; expected some of {', '.join(_FIELDS)}")
        several = list(values) if isinstance(values, Iterable) and not isinstance(values, str) else [values]
        if not several:
            raise LayoutError(f"{name} has no values; pass one or several")
        field = _FIELDS[name]
        if field.form in ("whole", "flag"):  # texts are checked with the layout
            several = [field.checked(value, f"{field.name} of layouts", LayoutError) for value in several]
        found[name] = several
    return found


def _made_for(layout: Layout) -> tuple[_core.Layout, int]:
    """Return what the graph of a device depends on, and the number of stages that it is cut into."""
    return core_layout(layout).of_rank(), layout.pipeline


def _text(fields: Fields) -> str:
    different = {name: value for name, value in fields.items() if value != getattr(Layout, name)}
    return ",".join(f"{name}={written(value)}" for name, value in different.items())


def _candidates(devices: int, chosen: Mapping[str, Sequence[int]], search: _Search) -> Iterator[Fields]:
    """Yield the fields of layouts on a number of devices, with few divisions first.

    A given factor need not divide the devices: its layouts are refused with the others.
    """
    divisors = [each for each in range(1, devices + 1) if devices % each == 0]
    names = [name for name in FACTORS if name != "data"]
    usual = {name: divisors for name in names} | ({} if search.reads_prompts else {"context": [1]})
    for values in product(*(chosen.get(name, usual[name]) for name in names)):
        factors = dict(zip(names, values, strict=True))
        given = prod(value for name, value in factors.items() if name in chosen)
        free = prod(value for name, value in factors.items() if name not in chosen)
        if free > 1 and devices % (given * free):
            continue
        for data in chosen.get("data", [max(1, devices // (given * free))]):
            factors["data"] = data
            for more in _refinements(factors, chosen, search):
                yield {**factors, **more}


def _refinements(factors: Fields, chosen: Mapping[str, Sequence[int]], search: _Search) -> Iterator[Fields]:
    """Yield the fields that divide no devices of their own: experts, tokens, the batch of attention, machines."""
    tensor, data = factors["tensor"], factors["data"]
    usual = {
        "expert": dict.fromkeys([1, tensor * data]) if search.has_experts else [1],
        "sequence": [False, True] if tensor > 1 and search.reads_prompts else [False],
        "attention_data": [1, tensor] if tensor > 1 and search.attends and search.has_experts else [1],
        "nodes": [1],
    }
    names = [name for name in _FIELDS if name not in FACTORS]
    for values in product(*(chosen.get(name, usual.get(name, [getattr(Layout, name)])) for name in names)):
        more = dict(zip(names, values, strict=True))
        # Copies of attention go with experts on all devices; both they and `sequence` share tokens.
        alone = more["expert"] < tensor * data or more["sequence"]
        if "attention_data" in chosen or more["attention_data"] == 1 or not alone:
            yield more


class _Search:
    """What decides whether layouts are legal, on any of some machines."""

    def __init__(
        self, graph: Graph, machines: Sequence[Hardware], precisions: Sequence[str], engines: Sequence[str]
    ) -> None:
        self._graph = graph
        self._machines = machines
        self._precisions = precisions
        self._engines = list(dict.fromkeys(engines)) or [TORCH]
        self._weight_bytes = min(int(boundary_of(graph, precision).weight_bytes) for precision in precisions)
        boundary = boundary_of(graph, precisions[0])
        self.attends = boundary.kv_cache_bytes is not None
        self.reads_prompts = not boundary.reads_cache and graph.size_of_role("sequence") is not None
        self.has_experts = bool(_core.expert_counts(graph))
        self._unlinked: dict[tuple[int, int], str] = {}

    def refusal(self, layout: Layout) -> str:
        """Return why a layout is out, as far as that follows from its numbers and the machines; empty if nothing."""
        if layout.copies > 1 and self._graph.size_of_role("batch") is None:
            return (
                "copies share the batch, and this graph has no size 'batch'; expected a graph that was captured with "
                "it as a named size"
            )
        return self.too_large(layout) or self._on_all(lambda machine: self._unconnected(machine, layout))

    def too_large(self, layout: Layout) -> str:
        """Return that the weights of a device exceed its memory; empty if they may fit."""
        return self._exceeding(self.least_bytes(layout), "at least ")

    def _exceeding(self, weight_bytes: int, least: str) -> str:
        def exceeds(machine: Hardware) -> str:
            if not isfinite(machine.memory_bytes) or weight_bytes <= machine.memory_bytes:
                return ""
            return (
                f"each device has {least}{quantity(weight_bytes, 'B')} of weights, and {machine.id} has "
                f"{quantity(machine.memory_bytes, 'B')}"
            )

        return self._on_all(exceeds)

    def least_bytes(self, layout: Layout) -> int:
        """Return the bytes of weights that a device has at least: equal parts of all that the layout divides."""
        parts = layout.tensor * layout.pipeline * (layout.data if layout.expert > layout.tensor else 1)
        return -(-self._weight_bytes // parts)

    def weight_bytes(self, layout: Layout) -> int:
        """Return the bytes of weights and buffers of a device, in a pipeline the mean of its stages."""
        launched = launched_graph(self._graph, self._engines[0], layout)
        return -(-int(boundary_of(launched, self._precisions[0]).weight_bytes) // layout.pipeline)

    def made(self, wanted: Sequence[Layout]) -> dict[tuple[_core.Layout, int], str]:
        """Make the graphs of layouts, on threads, and keep them with the model's graph.

        Returns:
            What the graph of a device depends on, and stages -> why it cannot be made, or an empty text.
        """
        distinct = {_made_for(layout): layout for layout in wanted}
        of_ranks: dict[_core.Layout, list[tuple[_core.Layout, int]]] = {}
        for key in distinct:
            of_ranks.setdefault(key[0], []).append(key)

        def refusals(keys: list[tuple[_core.Layout, int]]) -> list[str]:
            return [self._refused(distinct[key]) for key in keys]  # the first one makes the graph of all

        found = on_workers(refusals, of_ranks.values())
        return {key: reason for keys, reasons in zip(of_ranks.values(), found, strict=True)
                for key, reason in zip(keys, reasons, strict=True)}  # fmt: skip

    def _refused(self, layout: Layout) -> str:
        reasons = []
        try:
            rank = graph_of_rank(self._graph, layout)
        except LayoutError as error:
            return str(error)
        if layout.pipeline == 1:  # else the graph has the weights of all stages
            held = min(int(boundary_of(rank, precision).weight_bytes) for precision in self._precisions)
            if reason := self._exceeding(held, ""):
                return reason
        for engine in self._engines:
            try:
                launched = launched_graph(self._graph, engine, layout)
                for precision in self._precisions:
                    boundary_of(launched, precision)  # kept with the graph
                if layout.pipeline > 1:
                    _core.check_cuts(launched, layout.pipeline)
            except InputError as error:
                reasons.append(str(error))
        return reasons[0] if len(reasons) == len(self._engines) else ""

    def _unconnected(self, machine: Hardware, layout: Layout) -> str:
        """Return that devices of a machine are not connected as a layout needs it; empty if they are."""
        if layout.together == 1:
            return ""
        key = id(machine), layout.together
        if key not in self._unlinked:
            try:
                collective("all_reduce", 1.0, hardware=machine, devices=layout.together)
                self._unlinked[key] = ""
            except CollectiveError as error:
                self._unlinked[key] = str(error)
        return self._unlinked[key]

    def _on_all(self, reason_on: Callable[[Hardware], str]) -> str:
        """Return the first of the reasons if all machines have one; empty if one machine has none."""
        reasons = [reason_on(machine) for machine in self._machines]
        return reasons[0] if reasons and all(reasons) else ""
