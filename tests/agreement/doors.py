"""The doors of the package: each answers the same question, and laws that hold whatever the answer is."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from agreement.points import LANGUAGE, Point
from support.interface_cases import Requests, Served, ask, served_graphs

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.errors import InputError
from pyinfercost.predict.derived_costs import TERMS, term_name
from pyinfercost.predict.estimate import evaluate_on
from pyinfercost.predict.stages import graph_on

Figures: TypeAlias = dict[str, Any]
TIMES = ("latency_s", "latency_low_s", "latency_high_s", "throughput_per_s", "energy_j")
DERIVED = ("cost_usd", "cold_start_s", "transfer_s", "carbon_g", "tpot_s")
"""Figures that follow from the others."""
_ROUNDING = 1e-12  # of sums in another order
_SPLITS = 5e-3  # keys are split in whole blocks: of three blocks a core may have two, of four each has one
MEMORY = ("machine_memory_bytes", "fits_in_memory")
"""Figures of an estimate."""


def by_estimate(point: Point) -> Figures:
    """`ic.estimate`."""
    found = ic.estimate(point.graph, on=point.deployment, sizes=point.sizes)
    return {
        **{name: getattr(found, name) for name in TIMES},
        **{name: getattr(found, name, None) for name in DERIVED},
        "usd_per_h": None if found.cost is None else found.cost.usd_per_h,
        **{name: getattr(found, name) for name in MEMORY},
    }


def by_profile(point: Point) -> Figures:
    """The JSON of `ic.profile`."""
    found = ic.profile(point.graph, on=point.deployment, sizes=point.sizes)
    estimate = json.loads(found.to_json())["estimate"]
    return {
        **{name: estimate[name] for name in (*TIMES, *DERIVED, *MEMORY) if name in estimate},
        "usd_per_h": estimate["cost"]["usd_per_h"],
    }


def by_sweep(point: Point) -> Figures:
    """A row of `ic.sweep`."""
    found = ic.sweep(point.graph, on=point.deployment, sizes=point.sizes, progress=False, workers=1)
    row = dict(found.to_rows()[0])
    if row["machine_memory_bytes"] is None:  # a filter is to keep machines whose owner chooses the memory
        row["fits_in_memory"] = None
    return row


def by_compare(point: Point) -> Figures:
    """A row of `ic.compare`."""
    (row,) = ic.compare({"model": point.graph}, on=point.deployment, sizes=point.sizes).rows
    if row.error:
        raise InputError(row.error)
    return dict(row.figures)


def by_interface(point: Point) -> Figures:
    """The JSON interface of the core, which C++ programs and pages use."""
    session, (requests, last) = _core.Session(), asked(point)
    for request, document in requests:
        ((name, fields),) = request.items()
        found = ask(session, name, fields, document)
    assert last == len(requests) - 1
    return {**found, **found["costs"]}


def asked(point: Point) -> tuple[list[tuple[dict[str, Any], str]], int]:
    """Return requests to a session of the core, and the place of the one that asks for the figures."""
    on, requests = point.deployment, Requests()
    at = evaluate_on(on, graph_on(on, point.graph), point.sizes).at
    known = {"utilization": on.utilization, "draft_tokens_per_step": at.draft_tokens_per_step}
    known |= {
        "recorded_graphs": at.recorded_graphs,
        **{name: TERMS[term_name(name, on.engine)].of(on) for name in TERMS},
    }
    used = _core.cost_inputs()
    terms = {
        name: value if math.isfinite(value) else {math.inf: "unbounded"}.get(value)
        for name, value in known.items()
        if name in used
    }
    fields = {
        "deployment": requests.deployment(point.model, point.graph, on),
        "machine": requests.machine(on.machine),
        "sizes": point.sizes,
        "terms": terms,
    }
    return requests.lines, requests.ask("estimate", fields)


DOORS: Mapping[str, Callable[[Point], Figures]] = {
    "profile": by_profile,
    "sweep": by_sweep,
    "compare": by_compare,
    "interface": by_interface,
}


def disagreements(point: Point) -> Iterator[str]:
    """Yield what doors answer otherwise than `ic.estimate`, and laws that do not hold.

    All figures are equal to the last digit, but for cold starts, whose parts are summed in two orders. Where one door
    refuses a point, all refuse it.
    """
    known, refused = _answer(by_estimate, point)
    for name, door in DOORS.items():
        found, why = _answer(door, point)
        if bool(refused) != bool(why):
            yield f"{name}: {why or 'answers'}; estimate: {refused or 'answers'}"
            continue
        for figure in () if refused else {*known} & {*found}:
            if not _equal(known[figure], found[figure], _ROUNDING if figure == "cold_start_s" else 0):
                yield f"{name}: {figure} is {found[figure]!r}, and that of estimate {known[figure]!r}"
    if not refused:
        yield from broken_laws(point, known)


def _answer(door: Callable[[Point], Figures], point: Point) -> tuple[Figures, str]:
    try:
        return door(point), ""
    except InputError as error:
        return {}, str(error)
    except AssertionError as error:  # an answer of a session with an error
        return {}, str(error)


def _equal(one: Any, other: Any, within: float = 0) -> bool:
    if within and isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=within)
    if isinstance(one, float) and math.isnan(one):
        return other is None or (isinstance(other, float) and math.isnan(other))
    if one is None:
        return other is None or (isinstance(other, float) and math.isnan(other))
    return bool(one == other)


def broken_laws(point: Point, known: Figures) -> Iterator[str]:
    """Yield laws between a point and its neighbors that do not hold."""
    on = point.deployment
    for what in ("bandwidth", "compute"):
        faster = ic.sweep(point.graph, on=on, sizes=point.sizes, scale={what: [1.0, 2.0]}, progress=False, workers=1)
        before, after = (float(each) for each in faster["latency_s"])
        if after > before * (1 + _ROUNDING):
            yield f"twice the {what}: {before} s becomes {after} s"
    if point.model in LANGUAGE and point.sizes["context"] > 1 and not _is_divided_by_size(point):
        half = {**point.sizes, "context": point.sizes["context"] // 2}
        swept = ic.sweep(
            point.graph, on=on, points={"context": [half["context"], point.sizes["context"]]}, batch=half["batch"]
        )
        for name in ("latency_s", "peak_memory_bytes"):
            fewer, more = (float(each) for each in swept[name])
            if fewer > more * (1 + _SPLITS):
                yield f"half the context: {name} of {more} becomes {fewer}"
    if isinstance(point.on["price"], float):
        dearer = ic.estimate(point.graph, on=on.replace(price=2 * point.on["price"]), sizes=point.sizes)
        if dearer.cost_usd is None or not math.isclose(dearer.cost_usd, 2 * known["cost_usd"], rel_tol=1e-12):
            yield f"twice the price: {known['cost_usd']} USD becomes {dearer.cost_usd}"
    if point.model in LANGUAGE and "layout" not in point.on and "devices" not in point.on:
        yield from _by_devices(point)
    typed = {"devices": 1, "layout": "tensor=1"} if {"devices", "layout"}.isdisjoint(point.on) else {}
    typed |= {"threads": None, "instances": 1, "transfer": None, "startup": None, "region": None, "serving": ""}
    said = ic.estimate(point.graph, on=ic.Deployment(**{**typed, **point.on}), sizes=point.sizes)
    for name in (*TIMES, *MEMORY, "cost_usd"):
        if not _equal(known[name], getattr(said, name)):
            yield f"defaults that are typed: {name} is {getattr(said, name)!r} instead of {known[name]!r}"
    turned = ic.Deployment(**dict(reversed(list(point.on.items()))))
    if turned != on:
        yield "the order of fields makes another deployment"


def _is_divided_by_size(point: Point) -> bool:
    """Return whether sizes decide how work is divided, so that less of it may take longer.

    A pipeline is cut where its stages are equal. On CPUs, torch.compile shares a loop of many elements among all cores,
    and one of fewer runs on one core.
    """
    is_compiled = point.on.get("execution") in ("compiled", "reduce-overhead")
    return "pipeline" in point.on.get("layout", "") or (is_compiled and point.deployment.machine.kind == "cpu")


def served_alike(served: Served) -> Iterator[str]:
    """Yield where the steps of a server with one client take otherwise than an estimate, beyond 0.3 %.

    Tables of steps are lines between knots. Drafts divide a step by random numbers of tokens: 3 %.
    """
    on = ic.Deployment(hardware=served.machine, **served.way).for_throughput()
    decode, prefill = served_graphs()[served.model]
    for prompt, output in ((100, 50), (1000, 30)):
        workload = ic.Workload(clients=1, prompt=prompt, output=output, requests=20)
        found = ic.serve((decode, prefill), on=on, workload=workload)["tpot_s"].mean
        known = ic.estimate(decode, on=on, batch=1, context=prompt + output // 2).tpot_s
        if not math.isclose(found, known, rel_tol=0.03 if "draft_tokens" in served.way.get("serving", "") else 0.003):
            yield f"{served}: {found} s a token when served, and {known} s by estimate"


def _by_devices(point: Point) -> Iterator[str]:
    held = []
    for tensor in (1, 2):
        try:
            divided = ic.Deployment(**point.on, layout=f"tensor={tensor}")
            swept = ic.sweep(point.graph, on=divided, sizes=point.sizes, progress=False, workers=1)
            held.append(int(swept["peak_memory_bytes"][0]))
        except InputError:
            return  # a machine without links
    if held[1] > held[0]:
        yield f"two devices hold {held[1]} bytes each, and one {held[0]}"
