"""Comparison of two profiles: both are read from their JSON documents, and their modules are joined by path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import Any, TypeAlias

from .._checks import COUNT, Fields, Range, whole
from ..deployment.engines import TORCH
from ..errors import InputTypeError
from ..inputs.layout import Layout
from ..results import figures
from ..results.documents import DocumentError, checked_profile, profile_document_from
from ..results.estimate import Estimate
from ..results.notices import Notice, notice
from ..results.profile import Profile
from ..results.profile_changes import FIGURES, TOTALS, Change, ModuleChange, ProfileChanges, Side
from ..results.units import quantity
from .diff_tree import status_of, whole_modules
from .limits import broken_limits
from .slower_execution import LayerTime, why_slower

_ESTIMATED = frozenset(figures.keys(figures.ESTIMATE))
_LAYER_COUNTS = ("contraction_flops", "pointwise_flops", "bytes_read", "bytes_written")
_TERMS = (
    "hardware",
    "precision",
    "engine",
    "serving",
    "execution",
    "threads",
    "instances",
    "sustained",
    "devices",
    "layout",
    "host",
    "sizes",
)
"""Fields of a side that times depend on, beside the model."""

_SIZE = Range(0, 2**63 - 1)
_SHARE = Range(1e-30, 1)
_SECONDS = Range(0, 1)


ProfileLike: TypeAlias = "Profile | Estimate | Mapping[str, Any] | str | PathLike[str]"
"""A profile to compare with another: a result, the document of one, or the path of a file with it."""


def profile_changes(before: ProfileLike, after: ProfileLike, *, limits: Iterable[str] = ()) -> ProfileChanges:
    """Return the changes from one profile to another, by module and in total.

    Modules are joined by their paths. The start of a forward is shared among all kernels that the host launches, so
    that a layer may gain a little from added ones. Machines, precisions, executions and sizes may differ, too;
    `warnings` lists these differences.

    Args:
        before: The first profile: a `Profile`, an `Estimate` (which has times and no counts), the JSON object of
            `Profile.to_dict`, or the path of a file with it or of an HTML report.
        after: The second profile, in the same forms.
        limits: Limits on changes of figures, such as `latency_s:+5%` (grows by at most 5 %), `throughput_per_s:-5%`
            (falls by at most 5 %), `peak_memory_bytes:+1e6` (in the figure's own unit) and `flops:any` (does not
            change). Figures are in `totals`, and `unmodelled_ops`. An unknown figure breaks all limits on it.

    Returns:
        A `ProfileChanges`, whose `failed` has the broken limits. An unknown figure of a side is None, and so are its
        difference and its ratio.

    Raises:
        LimitError: A limit is invalid.
        DocumentError: A document is no profile, or of an unknown version.
        InputTypeError: A value is none of these.
        FileAccessError: A file cannot be read.
    """
    first, second = _read(before, "before"), _read(after, "after")
    same_terms = all(getattr(first.side, name) == getattr(second.side, name) for name in _TERMS)
    rows = []
    for path in _joined(first.modules, second.modules):
        changes = {name: Change(first.figure(path, name), second.figure(path, name)) for name in FIGURES}
        status = status_of(changes, before=path in first.modules, after=path in second.modules)
        same_work = same_terms and not changes["parameter_bytes"].changed and first.works_as(second, path)
        rows.append(ModuleChange(module=path, status=status, figures=changes, same_work=same_work))
    found = ProfileChanges(
        before=first.side,
        after=second.side,
        notices=(*_notices(first.side, second.side), *_slower(first, second)),
        totals={name: Change(first.totals[name], second.totals[name]) for name in TOTALS},
        modules=tuple(rows),
        added=whole_modules(rows, "added"),
        removed=whole_modules(rows, "removed"),
    )
    return replace(found, failed=broken_limits(found, limits))


@dataclass(frozen=True)
class _Read:
    """One side: its terms, figures of the whole, figures of each module in the order of the graph, calls and times."""

    side: Side
    totals: Mapping[str, float | None]
    modules: Mapping[str, Mapping[str, float | None]]
    work: Mapping[str, list[tuple[Any, ...]] | None]
    times: tuple[LayerTime, ...]

    def works_as(self, other: _Read, path: str) -> bool:
        """Return whether a module runs the same operators with the same known counts on both sides."""
        if path not in self.modules or path not in other.modules:
            return False
        own = self.work.get(path, [])
        return own is not None and own == other.work.get(path, [])

    def figure(self, path: str, name: str) -> float | None:
        """Return the figure of a module; 0 for a module that the side lacks, if the figure is known at all."""
        if path in self.modules:
            return self.modules[path][name]
        unknown = self.totals[name] is None or all(figures[name] is None for figures in self.modules.values())
        return None if unknown else 0


def _read(given: ProfileLike, which: str) -> _Read:
    if isinstance(given, Profile):
        return _side(given.to_dict(), which)
    if isinstance(given, Estimate):
        document = {"model": "", "totals": {}, **given.to_dict()}  # an estimate has times and no counts
        return _side(document, which)
    if isinstance(given, (str, PathLike)):
        return _side(profile_document_from(given), str(given))
    if isinstance(given, Mapping):
        return _side(given, which)
    raise InputTypeError(
        f"{which} is of type {type(given).__name__}; expected a Profile, an Estimate, a dict or a path"
    )


def _side(document: Any, which: str) -> _Read:
    fields = Fields(checked_profile(document, which), which, DocumentError)
    estimate = fields.inner("estimate")
    cost = estimate.inner("cost")
    unmodelled = _unmodelled(fields)
    side = Side(
        model=fields.text("model") or "",
        hardware=estimate.text("hardware"),
        precision=estimate.text("precision") or fields.text("precision"),
        engine=estimate.text("engine") or TORCH,
        serving=estimate.text("serving") or "",
        execution=estimate.text("execution"),
        sizes={name: whole(size, f"size {name} of {which}", _SIZE, DocumentError) for name, size in _sizes(fields)},
        threads=estimate.whole("threads", COUNT),
        instances=estimate.whole("instances", COUNT) or 1,
        sustained=estimate.flag("sustained"),
        devices=estimate.whole("devices", COUNT) or 1,
        layout=_layout(estimate.inner("layout")),
        price=cost.inner("price").text("text"),
        utilization=cost.number("utilization", _SHARE),
        host=_host(estimate.inner("host")),
        unmodelled=unmodelled,
    )
    totals = fields.inner("totals")
    of_machine = {name: estimate.number(name) for name in TOTALS if name in _ESTIMATED}
    known = {**_counted(totals), **of_machine}
    figures = {name: known[name] if name in known else totals.number(name) for name in TOTALS}
    layers = [layer.require("module", "latency_s") for layer in fields.each("layers") or ()]
    modules = _modules(fields, layers, figures, unmodelled)
    return _Read(side, figures, modules, _work(layers, unmodelled), _times(layers))


def _host(given: Fields) -> str | None:
    operator_s = given.number("operator_s", _SECONDS)
    return None if operator_s is None else f"{quantity(operator_s, 's')} per operator"


def _layout(given: Fields) -> str:
    """Return the text of a layout; empty for copies of the whole model."""
    read: dict[str, Any] = {"whole": partial(given.whole, within=COUNT), "flag": given.flag}
    known = {each.name: read.get(each.form, given.text)(each.name) for each in Layout.fields}
    layout = Layout(**{name: value for name, value in known.items() if value})
    return str(layout) if layout.ranks > 1 else ""


def _times(layers: list[Fields]) -> tuple[LayerTime, ...]:
    known = ((layer.text("op"), layer.number("latency_s"), layer.text("effect")) for layer in layers)
    return tuple(
        LayerTime(op, float(latency_s), effect) for op, latency_s, effect in known if op and latency_s and effect
    )


def _slower(before: _Read, after: _Read) -> list[Notice]:
    """Return why the fused one of two executions is slower, where they differ in nothing else."""
    terms = [name for name in _TERMS if name != "execution"]
    if any(getattr(before.side, name) != getattr(after.side, name) for name in terms):
        return []
    reason = why_slower((before.side.execution, after.side.execution), (before.times, after.times))
    return [] if reason is None else [notice("slower", **reason)]


def _unmodelled(fields: Fields) -> dict[str, int]:
    calls = fields.inner("coverage").each("unmodelled") or ()
    return {call.text("op") or "": call.whole("count", _SIZE) or 0 for call in calls}


def _sizes(fields: Fields) -> list[tuple[str, Any]]:
    return fields.inner("sizes").items()


def _counted(fields: Fields) -> dict[str, Any]:
    """Return the figures that are sums of two counts."""
    return {
        "flops": _sum(fields.number("contraction_flops"), fields.number("pointwise_flops")),
        "traffic_bytes": _sum(fields.number("bytes_read"), fields.number("bytes_written")),
    }


def _work(layers: list[Fields], unmodelled: Mapping[str, int]) -> dict[str, list[tuple[Any, ...]] | None]:
    """Return the calls of each module with their counts; None for a module with unknown ones."""
    work: dict[str, list[tuple[Any, ...]] | None] = {}
    for layer in layers:
        counts = [layer.number(name) for name in _LAYER_COUNTS]
        module, op = layer.text("module") or "", layer.text("op")
        calls = work.setdefault(module, [])
        if None in counts or op in unmodelled:
            work[module] = None
        elif calls is not None:
            calls.append((op, layer.text("phase"), *counts))
    return work


def _modules(
    fields: Fields, layers: list[Fields], totals: Mapping[str, float | None], unmodelled: Mapping[str, int]
) -> dict[str, Mapping[str, float | None]]:
    """Return the figures of each module, of its own layers and parameters."""
    stored = fields.each("modules")  # older documents have no parameters by module
    known = None if stored is None else {item.text("module") or "": item.number("parameter_bytes") for item in stored}
    modules: dict[str, dict[str, float | None]] = {}
    for layer in layers:
        own = modules.setdefault(layer.text("module") or "", dict.fromkeys(FIGURES))
        if layer.text("op") in unmodelled:
            continue  # its counts are zeros that stand for unknown work
        times = {name: layer.number(name) for name in ("latency_s", "energy_j")}
        for name, number in (*_counted(layer).items(), *times.items()):
            if number is not None:
                own[name] = (own[name] or 0) + number
    for path in known or ():
        modules.setdefault(path, {name: None if totals[name] is None else 0 for name in FIGURES})
    usd, whole_s = totals["cost_usd"], totals["latency_s"]
    for path, own in modules.items():
        if known is not None:
            own["parameter_bytes"] = known.get(path, 0)
        taken_s = own["latency_s"]
        if usd is not None and whole_s and taken_s is not None:
            own["cost_usd"] = usd * taken_s / whole_s
    return {path: dict(own) for path, own in modules.items()}


def _sum(one: Any, other: Any) -> Any:
    return None if one is None or other is None else one + other


def _joined(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the paths of both in the order of the second; paths of the first alone precede their next common path."""
    joined: dict[str, None] = {}
    left = [path for path in before if path not in after]
    places = {path: place for place, path in enumerate(before)}
    for path in after:
        if path in places:
            while left and places[left[0]] < places[path]:
                joined[left.pop(0)] = None
        joined[path] = None
    return [*joined, *left]


_DIFFERING = (
    *("hardware", "precision", "engine", "serving", "execution", "threads", "instances", "sustained", "devices"),
    *("layout", "host", "price", "utilization"),
)


def _notices(before: Side, after: Side) -> Iterator[Notice]:
    """Yield the differences other than the model, and the calls that are in no figure."""
    for name in _DIFFERING:
        one, other = getattr(before, name), getattr(after, name)
        if name == "host" and (before.hardware != after.hardware or None in (one, other)):
            continue  # machines have hosts of their own
        if one != other:
            yield notice("differs", name=name, before=one, after=other)
    for name in dict.fromkeys((*before.sizes, *after.sizes)):
        one, other = before.sizes.get(name), after.sizes.get(name)
        if one != other:
            yield notice("size_differs", name=name, before=one, after=other)
    for side, when in ((before, "before"), (after, "after")):
        if side.unmodelled:
            yield notice("unmodelled", when=when, calls=dict(side.unmodelled))
