"""Packs of a live page: the core, the graphs of the model, machines and choices, each compressed in an element."""

from __future__ import annotations

import base64
import json
import zlib
from functools import cache
from html import escape
from math import isinf, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import _core
from ...deployment.deployment import executions_of
from ...predict.derived_costs import TERMS
from ...predict.exploring import START
from ..documents import ESTIMATE, LAYER_KEYS
from .packed_graphs import packed_graph

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..._core import Graph
    from ...results.exploration import Exploration, KnownMachine, Phase

CORE = Path(__file__).parent / "assets" / "core.wasm"
LIVE_POLICY = " 'wasm-unsafe-eval'; worker-src blob:"
"""What the content security policy of a live page allows besides its script: its core, in workers made by the page."""

ESTIMATE_OF_PAGE = (*(key for key in ESTIMATE if key != "hardware"), "interval_s", "bound", "evidence")
"""Keys of an estimate's document that a page gives, in its order."""

SERVED = {"rate_per_s": 10, "prompt": 1024, "output": 256, "ttft_s": 1, "tpot_s": 0.1}
"""Requests that a server's panel begins with: per second, mean tokens, and the limits of their 99th percentiles."""

_LEVEL = 9
_PACK = '<script type="application/octet-stream" {attributes}>{content}</script>\n'


def packs_of(live: Exploration | None) -> str:
    """Return the elements that the script of a page unpacks; the core's is empty where the page shows one point."""
    if live is None or not CORE.is_file():
        return _PACK.format(attributes='id="pyinfercost-core"', content="")
    packs = [_pack('id="pyinfercost-core"', _core_module())]
    packs.append(_pack('id="pyinfercost-setup"', _packed(json.dumps(setup_document(live), separators=(",", ":")))))
    for phase in live.phases:
        for name, graph in phase.formats.items():
            attributes = f'data-phase="{escape(phase.name)}" data-format="{escape(name)}"'
            packs.append(_pack(attributes, _packed(packed_graph(graph))))
    return "".join(packs)


def _pack(attributes: str, content: str) -> str:
    return _PACK.format(attributes=attributes, content=content)


def _packed(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return base64.b64encode(zlib.compress(data, _LEVEL)).decode()


@cache
def _core_module() -> str:
    return _packed(CORE.read_bytes())


def setup_document(live: Exploration) -> dict[str, Any]:
    """Return the JSON object of what a page can choose from, and where it begins."""
    first = live.profile
    estimate = None if first is None else first.estimate
    layout = estimate.layout if estimate is not None else None
    families, machines = _machines(live.machines)
    return {
        "model": live.model,
        "phases": [_phase(phase) for phase in live.phases],
        "engines": {name: list(executions) for name, executions in live.engines.items()},
        "all_engines": {
            name: {"executions": list(executions_of(name)), "serves": name not in _core.compilers()}
            for name in _core.engines()
        },
        "precisions": list(live.precisions),
        "places": {name: list(numbers) for name, numbers in live.places.items()},
        "recorded_graphs": {" ".join(way): _number(count) for way, count in live.recorded_graphs.items()},
        "terms": list(_term_names()),
        "estimate_keys": ["hardware", *ESTIMATE_OF_PAGE],
        "layer_keys": list(LAYER_KEYS),
        "families": families,
        "machines": machines,
        "experts": first is not None and _has_experts(first.graph),
        "start": {
            "phase": live.phases[-1].name if live.phases else "",
            "machine": START if estimate is None else estimate.hardware,
            "format": "",
            "precision": "native" if first is None else first.precision,
            "engine": "torch" if estimate is None else estimate.engine,
            "execution": "eager" if estimate is None else estimate.execution,
            "devices": 1 if layout is None else layout.devices,
            "tensor": 1 if layout is None else layout.tensor,
            "expert": 1 if layout is None else layout.expert,
            "sizes": {} if first is None else dict(first.sizes),
            "usd_per_h": _own_price(live),
            "utilization": 1.0 if estimate is None or estimate.cost is None else estimate.cost.utilization,
            "place": _own_place(live),
            "bandwidth": 1,
            "compute": 1,
            "limit_s": "",
            **SERVED,
        },
    }


def _own_price(live: Exploration) -> float | str:
    """Return the price of the first point; empty where it is that of the catalog, which changes with the machine."""
    estimate = None if live.profile is None else live.profile.estimate
    if estimate is None or estimate.cost is None:
        return ""
    usd_per_h = estimate.cost.price.usd_per_h
    known = next(each.usd_per_h for each in live.machines if each.machine.id == estimate.machine.id)
    return "" if usd_per_h == known else usd_per_h


def _own_place(live: Exploration) -> str:
    """Return the place of the first point; empty where it is that of the price."""
    if live.profile is None:
        return ""
    request: Any = live.profile.request
    return "" if request.on.region is None else request.on.place.name


def _has_experts(graph: Graph) -> bool:
    return any("grouped" in graph.node(node).op for node in range(graph.node_count))


def _phase(phase: Phase) -> dict[str, Any]:
    graph = phase.profile.graph
    sizes = _open_sizes(graph)
    return {
        "name": phase.name,
        "formats": list(phase.formats),
        "splits": phase.profile.kv_cache is not None,
        "guards": json.loads(graph.to_json()).get("guards", []),
        "sizes": [
            {
                "name": name,
                "value": phase.profile.sizes[name],
                "minimum": int(sizes[name]["minimum"]),
                "maximum": _whole(sizes[name]["maximum"]),
                "role": sizes[name]["role"] or "",
            }
            for name in sizes
        ],
    }


def _open_sizes(graph: Graph) -> Mapping[str, Any]:
    return {name: size for name, size in graph.sizes.items() if not graph.depends_on_data(name)}


def _whole(limit: Any) -> int | None:
    return None if limit is None or isinstance(limit, _core.Expr) else int(limit)


@cache
def _term_names() -> tuple[str, ...]:
    return tuple(name for name in TERMS if name in _core.cost_inputs())


def _number(value: float) -> float | str | None:
    return None if isnan(value) else "unbounded" if isinf(value) else value


def _machines(known: Iterable[KnownMachine]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the first machine of each family, and all as differences from it: constants of families repeat."""
    families: dict[str, int] = {}
    bases: list[dict[str, Any]] = []
    machines = []
    for each in known:
        document = json.loads(each.machine.to_json())
        family = families.setdefault(each.machine.family, len(bases))
        if family == len(bases):
            bases.append(document)
        machines.append(
            {
                "id": document["id"],
                "name": document["name"],
                "kind": document["kind"],
                "family": family,
                **_differences(bases[family], document),
                "terms": [_number(each.terms[name]) for name in _term_names()],
                "usd_per_h": each.usd_per_h,
                "price": each.price,
            }
        )
    return bases, machines


def _differences(base: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    own: dict[str, Any] = {}
    without: list[list[str]] = []
    for key, value in document.items():
        other = base.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            changed = {name: each for name, each in value.items() if name not in other or other[name] != each}
            if changed:
                own[key] = changed
            without += [[key, name] for name in other if name not in value]
        elif value != other:
            own[key] = value
    without += [[key, ""] for key in base if key not in document]
    return {"own": own, "without": without}
