"""The roofline of a profile: roofs, slopes, ridge points and a dot for each kernel, from the JSON document alone.

Williams, Waterman, Patterson: "Roofline: an insightful visual performance model" (CACM 52(4), 2009). A kernel of
intensity I (FLOP per byte that it moves) reaches at most min(peak, I x bandwidth).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..hardware.dtypes import short_dtype


@dataclass(frozen=True)
class Roof:
    """A peak rate that one or several dtypes of an engine have.

    Attributes:
        engine: `"matrix"` or `"vector"`.
        dtypes: short names of the dtypes, `("fp16", "bf16")`.
        flop_per_s: the dense peak.
        used: whether a kernel of the profile runs there.
    """

    engine: str
    dtypes: tuple[str, ...]
    flop_per_s: float
    used: bool

    @property
    def label(self) -> str:
        """`"matrix fp16, bf16"`."""
        return f"{self.engine} {', '.join(self.dtypes)}"


@dataclass(frozen=True)
class Slope:
    """A level of memory: what it serves in a second."""

    level: str
    byte_per_s: float


@dataclass(frozen=True)
class Ridge:
    """Where a slope meets a roof that is used: kernels of less intensity cannot reach the peak from that level."""

    level: str
    roof: str
    intensity: float
    flop_per_s: float


@dataclass(frozen=True)
class Dot:
    """A layer whose kernel computes something.

    Attributes:
        layer: its place in the document's `layers`.
        module: its path.
        op: the op that it is.
        engine: what its kernel runs on, `"matrix float16"`.
        flops: what the kernel computes.
        traffic_bytes: what it reads and writes.
        latency_s: what it takes.
        share: of the time of all layers.
        bound: `"compute"`, `"dram"`, `"cache"` or `"launch"`.
    """

    layer: int
    module: str
    op: str
    engine: str
    flops: float
    traffic_bytes: float
    latency_s: float
    share: float
    bound: str

    @property
    def intensity(self) -> float:
        """FLOP per byte."""
        return self.flops / self.traffic_bytes

    @property
    def flop_per_s(self) -> float:
        """What it reaches."""
        return self.flops / self.latency_s


@dataclass(frozen=True)
class Roofline:
    """What a roofline shows.

    Attributes:
        hardware: the machine's id.
        roofs: highest first.
        slopes: innermost level first.
        ridges: of each slope with each roof that is used.
        dots: in the order of the layers.
        without_flops: how many layers take time and compute nothing (copies): they have no place on a roofline.
        without_flops_share: the share of the time that these take.
    """

    hardware: str
    roofs: tuple[Roof, ...]
    slopes: tuple[Slope, ...]
    ridges: tuple[Ridge, ...]
    dots: tuple[Dot, ...]
    without_flops: int
    without_flops_share: float


def roofline_of(document: Mapping[str, Any]) -> Roofline:
    """The roofline of a profile.

    Args:
        document: what `Profile.to_dict` returns, or the same read from a file.

    Raises:
        ValueError: the profile has no estimate, or is of a version that did not say what a roofline needs.
    """
    estimate = document.get("estimate")
    if estimate is None:
        raise ValueError("this profile has no estimate, and a roofline is of a machine: profile with hardware=")
    if "machine" not in estimate:
        raise ValueError("this profile does not describe its machine; it was written by an older version: profile anew")
    whole_s = sum(layer["latency_s"] or 0.0 for layer in document["layers"])
    dots, without, without_s = [], 0, 0.0
    for place, layer in enumerate(document["layers"]):
        seconds, flops, moved = layer["latency_s"], layer["kernel_flops"], layer["kernel_bytes"]
        if not seconds:
            continue
        if not flops or not moved:
            without, without_s = without + 1, without_s + seconds
            continue
        share = seconds / whole_s
        names = (layer["module"], layer["op"], layer["engine"])
        dots.append(Dot(place, *names, flops, moved, seconds, share, layer["bound"]))
    roofs = _roofs(estimate["machine"]["engines"], {dot.engine for dot in dots})
    slopes = tuple(Slope(level["level"], level["bandwidth_byte_per_s"]) for level in estimate["machine"]["memory"])
    ridges = tuple(
        Ridge(slope.level, roof.label, roof.flop_per_s / slope.byte_per_s, roof.flop_per_s)
        for slope in slopes
        for roof in roofs
        if roof.used
    )
    without_share = without_s / whole_s if whole_s else 0.0
    return Roofline(estimate["machine"]["id"], roofs, slopes, ridges, tuple(dots), without, without_share)


def _roofs(engines: list[Mapping[str, Any]], used: set[str]) -> tuple[Roof, ...]:
    """Engines of equal rate are one roof, and those that no kernel uses are apart from those that some do."""
    together: dict[tuple[float, str, bool], list[str]] = {}
    for engine in engines:
        is_used = f"{engine['engine']} {engine['dtype']}" in used
        dtypes = together.setdefault((engine["flop_per_s"], engine["engine"], is_used), [])
        dtypes.append(short_dtype(engine["dtype"]))
    return tuple(
        Roof(engine, tuple(dtypes), rate, is_used)
        for (rate, engine, is_used), dtypes in sorted(together.items(), key=lambda item: -item[0][0])
    )
