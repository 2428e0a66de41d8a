"""Terms of a startup: how a replica starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from .._checks import Range
from ..errors import InputError
from .settings import Settings, number, word

StartupLike: TypeAlias = "Startup | str | Mapping[str, str | float | None]"
"""Terms of a startup as `Startup.parse` accepts them."""

MACHINES = ("running", "pool", "cloud")
"""Where the machine of a replica comes from."""

STORAGES = ("nvme", "network", "memory", "pinned")
"""Locations of weights before they are loaded."""

LOADERS = ("safetensors", "sllm")
"""Methods to load weights into a device."""

WARMUPS = ("none", "engine")
"""Work of an engine between the weights and its first request."""

_SECONDS = Range(1e-6, 1e6, "seconds", zero=True)
_GB_PER_S = Range(1e-6, 1e6, "times 10^9 bytes per second")


class StartupError(InputError):
    """Invalid terms of a startup."""


class Startup(Settings):
    """How a replica starts: what exists already, and what must be fetched, loaded and prepared."""

    kind = "startup"
    error = StartupError
    machine: str | float = number(
        _SECONDS,
        '`"running"` (no time passes), `"pool"` (an instance that was prepared and stopped), `"cloud"` (a new '
        "instance), or seconds until the machine accepts containers, at most 1e6.",
        default="running",
        words=MACHINES,
    )
    image_gb: float | None = number(
        Range(1e-6, 1e5, "times 10^9 bytes", zero=True),
        "10^9 bytes of the container's image to pull, at most 1e5; 0 for an image on the machine. With None the "
        "container runs already, and its process has imported the framework.",
        default=None,
    )
    image_gb_per_s: float | None = number(
        _GB_PER_S,
        "Rate at which the image is pulled and unpacked, 1e-6 to 1e6 times 10^9 bytes per second; None for the "
        "published range.",
        default=None,
    )
    weights_from: str | float = number(
        _GB_PER_S,
        'Location of the weights: `"nvme"` (one SSD of the machine), `"network"`, `"memory"` (files in the page '
        'cache), `"pinned"` (a server keeps them ready in pinned memory), or the rate of their storage in 10^9 bytes '
        "per second, 1e-6 to 1e6.",
        default="nvme",
        words=STORAGES,
    )
    loader: str = word(
        LOADERS,
        '`"safetensors"`, as transformers reads such files: pages of a mapped file are read, then copied through '
        'pageable memory, one after the other. `"sllm"`, the loader of ServerlessLLM: large direct reads in parallel, '
        "copied from pinned buffers at the same time, so that the slower of storage and link sets the pace.",
        default="safetensors",
    )
    warmup: str | float = number(
        _SECONDS,
        '`"none"`, `"engine"` (a serving engine\'s profiling run and its recorded graphs), or seconds, at most 1e6.',
        default="none",
        words=WARMUPS,
    )
