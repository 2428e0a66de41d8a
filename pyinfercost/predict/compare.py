"""Comparing two profiles: reads both sides from the document that a profile is written as, and joins their modules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from os import PathLike
from typing import Any

from ..results import figures
from ..results.comparison import FIGURES, TOTALS, Change, Comparison, ModuleChange, Side
from ..results.documents import HOW_TO, ComparisonError, checked_profile, profile_document_from
from ..results.estimate import Estimate
from ..results.profile import Profile
from .diff_tree import status_of, whole_modules
from .limits import broken_limits

_ESTIMATED = frozenset(figures.keys(figures.ESTIMATE))
_LAYER_COUNTS = ("contraction_flops", "pointwise_flops", "bytes_read", "bytes_written")
_TERMS = ("hardware", "precision", "execution", "threads", "sustained", "devices", "sizes")
"""What times depend on beside the model."""


def compare(a: Any, b: Any, *, limits: Iterable[str] = ()) -> Comparison:
    """What changed from one profile to another, module by module and in total, and what it buys.

    Modules are joined by their paths. Where a host launches kernels, what starting costs is shared out among all of
    them, so that a layer may gain a little by others that were added. Two machines, precisions, executions or sizes may
    be compared, too: what differs beside the model is said in `warnings`.

    Args:
        a: before: a `Profile`, an `Estimate` (which has times and no counts), the JSON object that `Profile.to_dict`
            gives, or the path of a file with it or of an HTML report.
        b: after: the same.
        limits: figures that may not change by more, such as `latency_s:+5%` (may not grow by more),
            `throughput_per_s:-5%` (may not fall by more), `peak_memory_bytes:+1e6` (in the figure's own unit) and
            `flops:any` (may not change). The figures are those of `totals`, and `unmodelled_ops`. A figure that is
            unknown on a side breaks every limit on it.

    Returns:
        A `Comparison`, whose `failed` has the broken limits; what is not known on a side is None there, and so are
        its difference and ratio.

    Raises:
        LimitError: for a limit that is not understood.
        ComparisonError: for a document that is no profile, or of a version that is not known.
        TypeError: for anything else.
        OSError: for a file that cannot be read.
    """
    before, after = _read(a, "the first"), _read(b, "the second")
    same_terms = all(getattr(before.side, name) == getattr(after.side, name) for name in _TERMS)
    rows = []
    for path in _joined(before.modules, after.modules):
        changes = {name: Change(before.figure(path, name), after.figure(path, name)) for name in FIGURES}
        status = status_of(changes, before=path in before.modules, after=path in after.modules)
        same_work = same_terms and not changes["parameter_bytes"].changed and before.works_as(after, path)
        rows.append(ModuleChange(path, status, changes, same_work=same_work))
    found = Comparison(
        before=before.side,
        after=after.side,
        warnings=tuple(_warnings(before.side, after.side)),
        totals={name: Change(before.totals[name], after.totals[name]) for name in TOTALS},
        modules=tuple(rows),
        added=whole_modules(rows, "added"),
        removed=whole_modules(rows, "removed"),
    )
    return replace(found, failed=broken_limits(found, limits))


@dataclass(frozen=True)
class _Read:
    """One side: what it is of, the figures of the whole and of each module in order of the graph, and its calls."""

    side: Side
    totals: Mapping[str, float | None]
    modules: Mapping[str, Mapping[str, float | None]]
    work: Mapping[str, list[tuple[Any, ...]] | None]

    def works_as(self, other: _Read, path: str) -> bool:
        """Whether a module runs the same operators on both sides, with the same counts, as far as these are known."""
        if path not in self.modules or path not in other.modules:
            return False
        own = self.work.get(path, [])
        return own is not None and own == other.work.get(path, [])

    def figure(self, path: str, name: str) -> float | None:
        """The figure of a module. One that is not there takes nothing, as far as the figure is known at all."""
        if path in self.modules:
            return self.modules[path][name]
        unknown = self.totals[name] is None or all(figures[name] is None for figures in self.modules.values())
        return None if unknown else 0


def _read(given: Any, which: str) -> _Read:
    if isinstance(given, Profile):
        return _side(given.to_dict(), which)
    if isinstance(given, Estimate):
        document = {"model": "", "totals": {}, **given.to_dict()}  # an estimate has times and no counts
        return _side(document, which, devices=given.devices)
    if isinstance(given, (str, PathLike)):
        return _side(profile_document_from(given), str(given))
    if isinstance(given, Mapping):
        return _side(given, which)
    raise TypeError(f"{which} is of type {type(given).__name__}; expected a Profile, an Estimate, a dict or a path")


def _side(document: Any, which: str, *, devices: int = 1) -> _Read:
    document = checked_profile(document, which)
    try:
        return _parsed(document, devices)
    except (AttributeError, KeyError, TypeError) as error:
        raise ComparisonError(f"{which} is no whole profile ({type(error).__name__}: {error}); {HOW_TO}") from error


def _parsed(document: Mapping[str, Any], devices: int) -> _Read:
    estimate = document["estimate"] or {}
    cost = estimate.get("cost") or {}
    unmodelled = {item["op"]: item["count"] for item in document.get("coverage", {}).get("unmodelled", ())}
    side = Side(
        model=document.get("model", ""),
        hardware=estimate.get("hardware"),
        precision=estimate.get("precision", document.get("precision")),
        execution=estimate.get("execution"),
        sizes=document.get("sizes", {}),
        threads=estimate.get("threads"),
        sustained=estimate.get("sustained"),
        devices=devices,
        price=cost.get("price", {}).get("text"),
        utilization=cost.get("utilization"),
        unmodelled=unmodelled,
    )
    counted = dict(document["totals"])
    counted["flops"] = _sum(counted.get("contraction_flops"), counted.get("pointwise_flops"))
    counted["traffic_bytes"] = _sum(counted.get("bytes_read"), counted.get("bytes_written"))
    totals = {name: _number((estimate if name in _ESTIMATED else counted).get(name), name) for name in TOTALS}
    return _Read(side, totals, _modules(document, totals, unmodelled), _work(document, unmodelled))


def _work(document: Mapping[str, Any], unmodelled: Mapping[str, int]) -> dict[str, list[tuple[Any, ...]] | None]:
    """Module -> its calls and their counts; None where some are not known."""
    work: dict[str, list[tuple[Any, ...]] | None] = {}
    for layer in document["layers"]:
        counts = [layer.get(name) for name in _LAYER_COUNTS]
        calls = work.setdefault(layer["module"], [])
        if None in counts or layer.get("op") in unmodelled:
            work[layer["module"]] = None
        elif calls is not None:
            calls.append((layer.get("op"), layer.get("phase"), *counts))
    return work


def _modules(
    document: Mapping[str, Any], totals: Mapping[str, float | None], unmodelled: Mapping[str, int]
) -> dict[str, Mapping[str, float | None]]:
    """Module -> its figures, of its own layers and parameters."""
    stored = document.get("modules")  # documents of before this key have no parameters by module
    known = None if stored is None else {item["module"]: item["parameter_bytes"] for item in stored}
    modules: dict[str, dict[str, float | None]] = {}
    for layer in document["layers"]:
        own = modules.setdefault(layer["module"], dict.fromkeys(FIGURES))
        if layer.get("op") in unmodelled:
            continue  # what it takes is not known: the zeros of its counts are no answer
        for name, value in (
            ("flops", _sum(layer.get("contraction_flops"), layer.get("pointwise_flops"))),
            ("traffic_bytes", _sum(layer.get("bytes_read"), layer.get("bytes_written"))),
            ("latency_s", layer["latency_s"]),
            ("energy_j", layer.get("energy_j")),
        ):
            number = _number(value, name)
            if number is not None:
                own[name] = (own[name] or 0) + number
    for path in known or ():
        modules.setdefault(path, {name: None if totals[name] is None else 0 for name in FIGURES})
    usd, whole_s = totals["cost_usd"], totals["latency_s"]
    for path, own in modules.items():
        if known is not None:
            own["parameter_bytes"] = _number(known.get(path, 0), "parameter_bytes")
        taken_s = own["latency_s"]
        if usd is not None and whole_s and taken_s is not None:
            own["cost_usd"] = usd * taken_s / whole_s
    return {path: dict(own) for path, own in modules.items()}


def _number(value: Any, name: str) -> Any:
    """A figure of a document, which is a number or not known; one that is not finite is not known either."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise TypeError(f"{name} is {value!r}; expected a number")
    return None if isinstance(value, float) and not isfinite(value) else value


def _sum(one: Any, other: Any) -> Any:
    return None if one is None or other is None else one + other


def _joined(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The paths of both in the order of the second; what is in the first alone stands before what came next there."""
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
    ("hardware", "a difference in time, energy or cost is the machine's, too"),
    ("precision", "bytes and times differ for that alone"),
    ("execution", "times differ for that alone"),
    ("threads", "times differ for that alone"),
    ("sustained", "times differ for that alone"),
    ("devices", "times, energy and memory differ for that alone"),
    ("price", "costs differ for that alone"),
    ("utilization", "costs differ for that alone"),
)


def _warnings(before: Side, after: Side) -> list[str]:
    """What differs beside the model, and what is in no figure."""
    found = []
    for name, why in _DIFFERING:
        one, other = getattr(before, name), getattr(after, name)
        if one != other:
            found.append(f"{name} differs: {_said(one)} before, {_said(other)} after; {why}")
    for name in dict.fromkeys((*before.sizes, *after.sizes)):
        one, other = before.sizes.get(name), after.sizes.get(name)
        if one != other:
            found.append(f"size {name} differs: {_said(one)} before, {_said(other)} after; everything may for that")
    for side, when in ((before, "before"), (after, "after")):
        if side.unmodelled:
            ops = ", ".join(f"{op} x{count}" for op, count in side.unmodelled.items())
            found.append(f"not modelled {when}, and in no figure there: {ops}")
    return found


def _said(value: Any) -> str:
    return "not given" if value is None else str(value)
