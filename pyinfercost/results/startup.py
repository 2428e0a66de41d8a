"""Startups of replicas: their terms, and cold starts as sums of parts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .._checks import Range, number, shown
from ..errors import InputError

MACHINES = ("running", "pool", "cloud")
"""Where the machine of a replica comes from."""

STORAGES = ("nvme", "network", "memory", "pinned")
"""Locations of weights before they are loaded."""

LOADERS = ("safetensors", "sllm")
"""Ways to load weights into a device."""

WARMUPS = ("none", "engine")
"""Work of an engine between the weights and its first request."""

START_PARTS = ("machine", "image", "runtime", "weights", "warmup")
"""Parts of a cold start, in their order in time."""

START_EVIDENCE = ("none", "given", "published", "fitted", "reported", "assumed")
"""What the seconds of a part rest on, the strongest first: `none` for a part that is not needed, `given` by the caller,
`published` by a vendor, `fitted` to measurements of other machines, `reported` by providers and users, `assumed`."""

STARTUP_RANGES = {
    "machine": Range(1e-6, 1e6, "seconds", zero=True),
    "image_gb": Range(1e-6, 1e5, "times 10^9 bytes", zero=True),
    "image_gb_per_s": Range(1e-6, 1e6, "times 10^9 bytes per second"),
    "weights_from": Range(1e-6, 1e6, "times 10^9 bytes per second"),
    "warmup": Range(1e-6, 1e6, "seconds", zero=True),
}
"""Numeric field of `Startup` -> its valid values."""

_WORDS = {"machine": MACHINES, "weights_from": STORAGES, "loader": LOADERS, "warmup": WARMUPS}
_MAY_BE_NONE = ("image_gb", "image_gb_per_s")


class StartupError(InputError):
    """Invalid terms of a startup."""


@dataclass(frozen=True)
class Startup:
    """How a replica starts: what exists already, and what must be fetched, loaded and prepared.

    Attributes:
        machine: `"running"` (no time passes), `"pool"` (an instance that was prepared and stopped), `"cloud"` (a new
            instance), or seconds until the machine accepts containers, at most 1e6.
        image_gb: 10^9 bytes of the container's image to pull, at most 1e5; 0 for an image on the machine. With None
            the container runs already, and its process has imported the framework.
        image_gb_per_s: Rate at which the image is pulled and unpacked, 1e-6 to 1e6 times 10^9 bytes per second; None
            for the published range.
        weights_from: Location of the weights: `"nvme"` (one SSD of the machine), `"network"`, `"memory"` (files in the
            page cache), `"pinned"` (a server holds them ready in pinned memory), or the rate of their storage in
            10^9 bytes per second, 1e-6 to 1e6.
        loader: `"safetensors"`, as transformers reads such files: pages of a mapped file are read, then copied through
            pageable memory, one after the other. `"sllm"`, the loader of ServerlessLLM: large direct reads in parallel,
            copied from pinned buffers at the same time, so that the slower of storage and link sets the pace.
        warmup: `"none"`, `"engine"` (a serving engine's profiling run and its recorded graphs), or seconds, at most
            1e6.
    """

    machine: str | float = "running"
    image_gb: float | None = None
    image_gb_per_s: float | None = None
    weights_from: str | float = "nvme"
    loader: str = "safetensors"
    warmup: str | float = "none"

    def __post_init__(self) -> None:
        for name, within in STARTUP_RANGES.items():
            value, words = getattr(self, name), _WORDS.get(name)
            if words is not None and isinstance(value, str):
                if value not in words:
                    raise StartupError(f"{name} is {shown(value)}; expected {', '.join(words)}, or {within}")
            elif value is not None or name not in _MAY_BE_NONE:
                object.__setattr__(self, name, number(value, name, within, StartupError))
        if self.loader not in LOADERS:
            raise StartupError(f"loader is {shown(self.loader)}; expected {' or '.join(LOADERS)}")


@dataclass(frozen=True)
class StartPart:
    """Part of a cold start.

    Attributes:
        name: One of `START_PARTS`.
        seconds: Typical seconds.
        low_s: Seconds with the shortest of the known times.
        high_s: Seconds with the longest of the known times.
        evidence: What the seconds rest on, one of `START_EVIDENCE`.
        source: Where the seconds come from, in words.
    """

    name: str
    seconds: float
    low_s: float
    high_s: float
    evidence: str
    source: str


@dataclass(frozen=True)
class ColdStart:
    """Time until a replica is ready for its first forward: the sum of its parts.

    Attributes:
        parts: One of each of `START_PARTS`.
        weight_bytes: Bytes of weights and buffers of a device, in the dtypes that they run in.
        terms: How the replica starts.
    """

    parts: tuple[StartPart, ...]
    weight_bytes: int
    terms: Startup

    @property
    def seconds(self) -> float:
        """Typical seconds of all parts."""
        return sum(part.seconds for part in self.parts)

    @property
    def low_s(self) -> float:
        """Seconds of all parts with the shortest of their times."""
        return sum(part.low_s for part in self.parts)

    @property
    def high_s(self) -> float:
        """Seconds of all parts with the longest of their times."""
        return sum(part.high_s for part in self.parts)

    def part(self, name: str) -> StartPart:
        """Return a part by its name.

        Raises:
            StartupError: There is no such part.
        """
        for part in self.parts:
            if part.name == name:
                return part
        raise StartupError(f"a cold start has no part {shown(name)}; expected one of {', '.join(START_PARTS)}")

    def to_dict(self) -> dict[str, Any]:
        """Return the sums, the terms and the parts as plain data."""
        return {
            "seconds": self.seconds,
            "low_s": self.low_s,
            "high_s": self.high_s,
            "weight_bytes": self.weight_bytes,
            "terms": asdict(self.terms),
            "parts": [asdict(part) for part in self.parts],
        }
