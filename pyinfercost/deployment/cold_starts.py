"""Startups of replicas: their terms, and cold starts with their parts, each with its range and source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from math import inf, isnan, nan, sqrt
from operator import add
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _core
from ..inputs.facts import facts
from ..inputs.startup import Startup
from ..results.costs import START_EVIDENCE, START_PARTS, ColdStart, StartPart
from .host_links import host_link

if TYPE_CHECKING:
    from .._core import Hardware
    from ..inputs.engine_settings import EngineSettings
    from .host_links import HostLink

Number = TypeVar("Number", bound=Any)  # a float, or an array of them

_GIGA = 1e9
_AT = ("typical", "low", "high")
"""Ends of the published seconds, and the value between them."""


def default_startup(engine: str, *, added: bool = False) -> Startup:
    """Return the startup of a replica where none is stated.

    A replica of a serving engine is added to a service. Paying begins with its machine, and so does its start: a new
    machine of a cloud, whose disk has the image of the container, downloads the weights, and the engine warms up.
    Otherwise a process runs, and reads the weights from an SSD.

    Args:
        engine: The engine.
        added: Whether a replica of any engine is added to a service.
    """
    warms = engine != "torch" and engine in facts()["startup"]["engine"]["engines"]
    if not (warms or added):
        return Startup()
    return Startup(machine="cloud", image_gb=0.0, weights_from="network", warmup="engine" if warms else "none")


# ---- cold starts -----------------------------------------------------------------------------------------------------


def cold_start(
    machine: Hardware, weight_bytes: int, startup: Startup, *, engine: str = "torch", graphs: float = nan
) -> ColdStart | None:
    """Return the time from a decision to add a replica until it is ready for its first forward, part by part.

    Parts follow one another. Their low and high ends are added, as if all of them were short or long at once.

    Args:
        machine: The device.
        weight_bytes: Bytes of weights and buffers of a device; all devices load theirs at the same time.
        startup: What exists already, and how the rest is fetched.
        engine: The engine, for the evidence of its warm-up.
        graphs: Number of graphs that it records, from `recorded_graphs`, for `warmup="engine"`.

    Returns:
        None if the link to the host is unknown, or the engine's warm-up is asked for and not known.
    """
    if isnan(weights_s_per_byte(machine, startup)) or isnan(warmup_s(startup, graphs)):
        return None
    seconds = [_before_weights(machine, startup, at) for at in _AT]
    for at, found in zip(_AT, seconds, strict=True):
        found["weights"] = weight_bytes * weights_s_per_byte(machine, startup, at)
        found["warmup"] = warmup_s(startup, graphs, at)
    evidence = _evidence(machine, startup, engine)
    typical, low, high = seconds
    parts = [StartPart(name, typical[name], low[name], high[name], *evidence[name]) for name in START_PARTS]
    return ColdStart(
        seconds=_added(typical.values()),
        low_s=_added(low.values()),
        high_s=_added(high.values()),
        parts=tuple(parts),
        weight_bytes=weight_bytes,
        terms=startup,
    )


def _added(values: Iterable[float]) -> float:
    """Return a sum that is rounded after each addition, as arrays are; `sum` of Python 3.12 and later is not."""
    return reduce(add, values, 0.0)


def before_weights_s(machine: Hardware, startup: Startup) -> float:
    """Return the typical seconds of machine, image and runtime."""
    return _added(_before_weights(machine, startup, "typical").values())


def weights_s_per_byte(machine: Hardware, startup: Startup, at: str = "typical") -> float:
    """Return the seconds per byte in which weights reach a device.

    A mapped file is read, then copied (`"safetensors"`): the seconds add. Direct reads and copies from pinned memory
    overlap (`"sllm"`): the longer counts. Weights in pinned memory are copied at the rate of the link. Machines whose
    host and device share one memory copy nothing.

    Args:
        machine: The device.
        startup: Location and loader of the weights.
        at: `"low"`, `"typical"` or `"high"` seconds.

    Returns:
        Not a number if the link is unknown.
    """
    place = startup.weights_from
    pinned = _copy_s_per_byte(host_link(machine, "pinned"), at)
    if place == "pinned":
        return pinned
    if startup.loader == "sllm":
        return pinned if isnan(pinned) else max(pinned, _read_s_per_byte(startup, at))
    return _read_s_per_byte(startup, at) + _copy_s_per_byte(host_link(machine, "pageable"), at)


def _read_s_per_byte(startup: Startup, at: str) -> float:
    """Return the seconds per byte in which a loader reads the storage of the weights; 0 in memory."""
    place, loader = startup.weights_from, facts()["loaders"][startup.loader]
    if place == "memory":
        return 0.0
    rate = _at(facts()["storage"][place], "gb_per_s", at, rate=True) if isinstance(place, str) else place
    if place != "network":  # whose rate is measured on downloads, not from a sheet
        if startup.loader == "sllm":
            rate *= _at(loader, "read_share", at, rate=True)
        else:
            rate = min(rate, _at(loader, "read_gb_per_s", at, rate=True))
    return 1 / (rate * _GIGA)


def _copy_s_per_byte(link: HostLink, at: str) -> float:
    """Return the seconds per byte of copies over a link; 0 where host and device share one memory."""
    factor = {"low": 1 / (1 + link.spread), "typical": 1.0, "high": 1 + link.spread}[at]
    return 0.0 if link.byte_per_s == inf else factor / link.byte_per_s


def _before_weights(machine: Hardware, start: Startup, at: str) -> dict[str, float]:
    """Return the seconds of machine, image and runtime."""
    known = facts()["startup"]
    image = runtime = 0.0
    waits = start.machine
    if isinstance(waits, str):
        waits = 0.0 if waits == "running" else _between(known[waits], "s", at)
    if start.image_gb is not None:
        image, runtime = _between(known["container"], "s", at), _between(known["process"], "s", at)
        if start.image_gb > 0:
            image += start.image_gb / (start.image_gb_per_s or _between(known["image"], "gb_per_s", at, rate=True))
    ends = {end: machine.constant(f"cold_start.runtime_{end}_s") for end in ("low", "high")}
    ends["typical"] = sqrt(ends["low"] * ends["high"])
    return {"machine": waits, "image": image, "runtime": runtime + ends[at]}


def recorded_graphs(engine: str, execution: str, settings: EngineSettings) -> float:
    """Return the number of graphs that an engine records when it starts.

    The batches are its sizes, or `graph_batches` of its settings; none where kernels are launched one by one.

    Args:
        engine: The engine.
        execution: How its kernels run.
        settings: How it forms its steps.

    Returns:
        Not a number for an engine whose warm-up is not known.
    """
    if engine not in facts()["startup"]["engine"]["engines"]:
        return nan
    return 0.0 if execution == "eager" else float(len(settings.graph_batches or _core.recorded_sizes(engine)))


def warmup_s(startup: Startup, graphs: Number, at: str = "typical") -> Number | float:
    """Return the seconds from loaded weights to the first request.

    Those of an engine are `other + graphs * capture`: profiling, compilation and the allocation of the cache, and one
    graph after the other.

    Args:
        startup: Whose warm-up is wanted.
        graphs: Number of graphs that the engine records; not a number if its warm-up is not known.
        at: `"low"`, `"typical"` or `"high"` seconds.
    """
    if not isinstance(startup.warmup, str):
        return startup.warmup
    if startup.warmup == "none":
        return 0.0
    known = facts()["startup"]["engine"]
    seconds: Number = _between(known, "other_s", at) + graphs * _between(known, "capture_s", at)
    return seconds


def _at(table: Mapping[str, Any], name: str, at: str, *, rate: bool) -> float:
    """Return a figure or an end of its range; the highest rate takes the fewest seconds."""
    end = {"low": "high", "high": "low"}.get(at, at) if rate else at
    return float(table[name if end == "typical" else f"{end}_{name}"])


def _between(table: Mapping[str, Any], name: str, at: str, *, rate: bool = False) -> float:
    """Return an end of a range without a middle, or the geometric mean of both."""
    if at == "typical":
        return sqrt(_at(table, name, "low", rate=rate) * _at(table, name, "high", rate=rate))
    return _at(table, name, at, rate=rate)


# ---- evidence --------------------------------------------------------------------------------------------------------

_NOT_NEEDED = ("none", "not needed")
_GIVEN = ("given", "given")


def _evidence(machine: Hardware, start: Startup, engine: str) -> dict[str, tuple[str, str]]:
    """Return what each part rests on, and its source."""
    known = facts()["startup"]
    found = dict.fromkeys(START_PARTS, _NOT_NEEDED)
    if start.machine != "running":
        found["machine"] = _joined(known[start.machine]) if isinstance(start.machine, str) else _GIVEN
    calibration = machine.provenance.get("constants", "given")
    driver = {"evidence": "reported", "source": f"[cold_start] of the constants of {machine.id}: {calibration}"}
    runtime = [driver] if machine.constant("cold_start.runtime_high_s") > 0 else []
    if start.image_gb is not None:
        pulled = start.image_gb > 0 and start.image_gb_per_s is None
        found["image"] = _joined(known["container"], *([known["image"]] if pulled else []))
        runtime.append(known["process"])
    if runtime:
        found["runtime"] = _joined(*runtime)
    found["weights"] = _joined(*_of_weights(machine, start))
    if start.warmup == "engine":
        found["warmup"] = _joined(known["engine"])
        if engine != "vllm":
            found["warmup"] = ("assumed", f"as vLLM, with the graphs of {engine}: {known['engine']['source']}")
    elif start.warmup != "none":
        found["warmup"] = _GIVEN
    return found


def _of_weights(machine: Hardware, start: Startup) -> list[Mapping[str, str]]:
    place, loader = start.weights_from, facts()["loaders"][start.loader]
    tables: list[Mapping[str, str]] = []
    if not isinstance(place, str):
        tables.append({"evidence": "given", "source": f"{place:g} GB/s given"})
    elif place in facts()["storage"]:
        tables.append(facts()["storage"][place])
    if place not in ("memory", "pinned", "network"):
        tables.append(loader)
    if host_link(machine, "pinned").byte_per_s != inf:
        tables.append({"evidence": "fitted", "source": f"[host_link] of the constants of {machine.id}"})
    return tables or [{"evidence": "none", "source": "host and device share one memory"}]


def _joined(*tables: Mapping[str, str]) -> tuple[str, str]:
    """Return the weakest evidence of some figures, and all their sources."""
    weakest = max((table["evidence"] for table in tables), key=START_EVIDENCE.index)
    return weakest, "; ".join(table["source"] for table in tables)
