"""Roofline of a profile: roofs, slopes, ridge points and a dot per kernel, computed from the JSON document alone.

Williams, Waterman, Patterson: "Roofline: an insightful visual performance model" (CACM 52(4), 2009). A kernel of
intensity I (FLOP per byte that it moves) reaches at most min(peak, I x bandwidth).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._records import dataclass
from ..errors import InputError
from ..hardware.dtypes import short_dtype


@dataclass(frozen=True)
class Roof:
    """A peak rate of an arithmetic unit, shared by one or several dtypes.

    Attributes:
        unit: `"matrix"` or `"vector"`.
        dtypes: Short names of the dtypes, such as `("fp16", "bf16")`.
        flop_per_s: The dense peak.
        used: Whether a kernel of the profile uses it.
    """

    unit: str
    dtypes: tuple[str, ...]
    flop_per_s: float
    used: bool

    @property
    def label(self) -> str:
        """`"matrix fp16, bf16"`."""
        return f"{self.unit} {', '.join(self.dtypes)}"


@dataclass(frozen=True)
class Slope:
    """A level of memory with its bandwidth."""

    level: str
    byte_per_s: float


@dataclass(frozen=True)
class Ridge:
    """Crossing of a slope and a roof in use: kernels of lower intensity cannot reach the peak from that level."""

    level: str
    roof: str
    intensity: float
    flop_per_s: float


@dataclass(frozen=True)
class Dot:
    """A layer whose kernel has FLOPs.

    Attributes:
        layer: Index in the document's `layers`.
        module: Path of the module.
        op: The operator.
        unit: Arithmetic unit and dtype of the kernel, such as `"matrix float16"`.
        flops: FLOPs of the kernel.
        traffic_bytes: Bytes that the kernel reads and writes.
        latency_s: Time of the kernel.
        share: Share of the time of all layers.
        bound: `"compute"`, `"dram"`, `"cache"`, `"link"` or `"launch"`.
    """

    layer: int
    module: str
    op: str
    unit: str
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
        """FLOP/s that the kernel reaches."""
        return self.flops / self.latency_s


@dataclass(frozen=True)
class Roofline:
    """Data of a roofline plot.

    Attributes:
        hardware: Id of the machine.
        roofs: Roofs in descending order.
        slopes: Memory levels, innermost first.
        ridges: Crossings of each slope with each roof in use.
        dots: Dots in layer order.
        without_flops: Number of layers that take time without FLOPs (copies), which have no place on a roofline.
        without_flops_share: Their share of the time.
    """

    hardware: str
    roofs: tuple[Roof, ...]
    slopes: tuple[Slope, ...]
    ridges: tuple[Ridge, ...]
    dots: tuple[Dot, ...]
    without_flops: int
    without_flops_share: float


def roofline_of(document: Mapping[str, Any]) -> Roofline:
    """Compute the roofline of a profile.

    Args:
        document: The result of `Profile.to_dict`, or the same read from a file.

    Returns:
        The roofline.

    Raises:
        InputError: The profile has no estimate, or was written by a version without the required data.
    """
    estimate = document.get("estimate")
    if estimate is None:
        raise InputError("this profile has no estimate, which a roofline needs; profile with hardware=")
    if "machine" not in estimate:
        raise InputError("this profile does not describe its machine, because an older version wrote it; profile again")
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
        names = (layer["module"], layer["op"], layer["unit"])
        dots.append(Dot(place, *names, flops, moved, seconds, share, layer["bound"]))
    roofs = _roofs(estimate["machine"]["units"], {dot.unit for dot in dots})
    slopes = tuple(Slope(level["level"], level["bandwidth_byte_per_s"]) for level in estimate["machine"]["memory"])
    ridges = tuple(
        Ridge(slope.level, roof.label, roof.flop_per_s / slope.byte_per_s, roof.flop_per_s)
        for slope in slopes
        for roof in roofs
        if roof.used
    )
    without_share = without_s / whole_s if whole_s else 0.0
    return Roofline(estimate["machine"]["id"], roofs, slopes, ridges, tuple(dots), without, without_share)


def _roofs(units: list[Mapping[str, Any]], used: set[str]) -> tuple[Roof, ...]:
    """Return the roofs; units with equal rates share one, but used and unused ones are separate."""
    together: dict[tuple[float, str, bool], list[str]] = {}
    for each in units:
        is_used = f"{each['unit']} {each['dtype']}" in used
        dtypes = together.setdefault((each["flop_per_s"], each["unit"], is_used), [])
        dtypes.append(short_dtype(each["dtype"]))
    return tuple(
        Roof(unit, tuple(dtypes), rate, is_used)
        for (rate, unit, is_used), dtypes in sorted(together.items(), key=lambda item: -item[0][0])
    )
