"""Packs of a live page: the core, the graphs of the model, machines and choices, each compressed in an element."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ... import _core
from ...deployment.engines import executions_of
from ...predict.derived_costs import term_keys
from ...predict.exploration import START
from ..documents import ESTIMATE, LAYER_KEYS
from .catalog_pack import catalog_pack, machine_entry, number_or_word
from .own_machine import own_machine_document
from .packed_graphs import packed_graph
from .packed_texts import in_letters, packed
from .parts import ASSETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..._core import Graph
    from ...results.exploration import Exploration, Phase

CORE = ASSETS / "core.wasm.zz"
"""The core as WebAssembly, compressed as pages have it; `nox -s wasm` compiles it."""

LIVE_POLICY = " 'wasm-unsafe-eval'; worker-src blob:"
"""What the content security policy of a live page allows besides its script: its core, in workers made by the page."""

ESTIMATE_OF_PAGE = (*(key for key in ESTIMATE if key != "hardware"), "interval_s", "bound", "evidence")
"""Keys of an estimate's document that a page gives, in its order."""

SERVED = {"rate_per_s": 10, "prompt": 1024, "output": 256, "ttft_s": 1, "tpot_s": 0.1}
"""Requests that a server's panel begins with: per second, mean tokens, and the limits of their 99th percentiles."""


def packs_of(live: Exploration | None, *, explores: bool = False) -> list[tuple[dict[str, str], str]]:
    """Return what the script of a page unpacks, as attributes and contents of elements.

    The core's is empty where the page shows one point.

    Args:
        live: What other points are estimated from.
        explores: Whether the page takes device files of its reader.
    """
    if live is None or live.fixed:
        return [({"id": "pyinfercost-core"}, "")]
    packs = [({"id": "pyinfercost-core"}, in_letters(CORE.read_bytes()))]
    setup = json.dumps(setup_document(live, explores=explores), separators=(",", ":"))
    packs.append(({"id": "pyinfercost-setup"}, packed(setup)))
    packs.append(({"id": "pyinfercost-catalog"}, catalog_pack(live.catalog)))
    for phase in live.phases:
        for name, graph in phase.formats.items():
            packs.append(({"data-phase": phase.name, "data-format": name}, packed(packed_graph(graph))))
    return packs


def fixed_words(live: Exploration | None) -> str:
    """Return a sentence about why a page shows the stored point alone; empty if it estimates others, or has no time."""
    return "" if live is None or not live.fixed else f"This page shows this point only: {live.fixed}."


def setup_document(live: Exploration, *, explores: bool) -> dict[str, Any]:
    """Return the JSON object of the choices of a page, and its first point."""
    first = live.profile
    estimate = None if first is None else first.estimate
    layout = estimate.layout if estimate is not None else None
    return {
        "model": live.model,
        "phases": [_phase(phase, live.positions) for phase in live.phases],
        "engines": {name: list(executions) for name, executions in live.engines.items()},
        "all_engines": {
            name: {"executions": list(executions_of(name)), "serves": name not in _core.compilers()}
            for name in _core.engines()
        },
        "term_keys": {name: term_keys(name) for name in _core.engines()},
        "precisions": list(live.precisions),
        "places": {name: list(numbers) for name, numbers in live.places.items()},
        "recorded_graphs": {" ".join(way): number_or_word(count) for way, count in live.recorded_graphs.items()},
        "estimate_keys": ["hardware", *ESTIMATE_OF_PAGE],
        "layer_keys": list(LAYER_KEYS),
        "own_machines": own_machine_document() if explores else None,
        "own": None if live.own is None or live.is_cataloged else machine_entry(live.own),
        "host": _own_host(live),
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
            "pipeline": 1 if layout is None else layout.pipeline,
            "expert": 1 if layout is None else layout.expert,
            "sizes": {} if first is None else dict(first.sizes),
            "usd_per_h": "",
            "utilization": 1.0 if estimate is None or estimate.cost is None else estimate.cost.utilization,
            "place": _own_place(live),
            "bandwidth": 1,
            "compute": 1,
            "limit_s": "",
            **SERVED,
        },
    }


def _own_host(live: Exploration) -> str:
    """Return the host of the first point; empty where it is the default."""
    if live.profile is None:
        return ""
    request: Any = live.profile.request
    return str(request.on.host or "")


def _own_place(live: Exploration) -> str:
    """Return the place of the first point; empty where the price implies it."""
    if live.profile is None:
        return ""
    request: Any = live.profile.request
    return "" if request.on.region is None else request.on.place.name


def _has_experts(graph: Graph) -> bool:
    return any("grouped" in graph.node(node).op for node in range(graph.node_count))


def _phase(phase: Phase, positions: int | None) -> dict[str, Any]:
    graph = phase.formats[""]
    sizes = _open_sizes(graph)
    known = phase.profile.sizes
    return {
        "name": phase.name,
        "formats": list(phase.formats),
        "fixed": {name: value for name, value in known.items() if name not in sizes},
        "of_data": {name: known[name] for name in graph.sizes if name not in sizes and name in known},
        "splits": phase.profile.kv_cache is not None,
        "guards": json.loads(graph.to_json()).get("guards", []),
        "sizes": [
            {
                "name": name,
                "value": known[name],
                "minimum": int(sizes[name]["minimum"]),
                "maximum": _whole(sizes[name]["maximum"]),
                "role": sizes[name]["role"] or "",
                "positions": _positions_of(sizes[name]["role"], positions),
            }
            for name in sizes
        ],
    }


def _positions_of(role: str | None, positions: int | None) -> int | None:
    """Return the most tokens of a size within the positions of a model; None where they do not limit it."""
    if positions is None or role not in ("sequence", "context"):
        return None
    return positions - 1 if role == "context" else positions  # a decode step adds a token to its context


def _open_sizes(graph: Graph) -> Mapping[str, Any]:
    return {name: size for name, size in graph.sizes.items() if not graph.depends_on_data(name)}


def _whole(limit: Any) -> int | None:
    return None if limit is None or isinstance(limit, _core.Expr) else int(limit)
