"""Which device of the catalogue a driver talks of: its name alone does not say it, cores and memory do."""

from __future__ import annotations

import re
from functools import lru_cache

from .device import CATALOG, read_device

_FORMS = frozenset({"sxm", "pcie", "nvl", "server", "max", "q"})
_GIGA = 1e9
# What a driver reports is less than what the sheet says, by what it keeps for itself and for error correction.
_LEAST_SHARE, _MOST_SHARE = 0.93, 1.09


def identify(name: str, *, cores: int, memory_bytes: int) -> str | None:
    """The id of the catalogue's device that a driver reports.

    Devices of one name differ: an `H100` has 114 or 132 cores, and peaks that are a third apart.

    Args:
        name: as the driver has it, such as `NVIDIA H100 80GB HBM3`.
        cores: its multiprocessors.
        memory_bytes: its memory as the driver reports it.

    Returns:
        The id; None where no device of the catalogue, or more than one with other peaks, is like that. A part of a
        device (MIG) has fewer cores than any, and is none.
    """
    words = _words(name)
    found = []
    for device, (model, forms, capacity, device_cores, peaks) in _catalogue().items():
        if not model <= words or device_cores != cores:
            continue
        if not _LEAST_SHARE * capacity <= memory_bytes <= _MOST_SHARE * capacity:
            continue
        # The longest model wins: an `RTX 6000 Ada` is no `RTX 6000`, whose words are all in its name, too.
        found.append((len(model), len(forms & words) - len(forms ^ (words & _FORMS)), device, peaks))
    if not found:
        return None
    best = max(entry[:2] for entry in found)
    likely = [entry for entry in found if entry[:2] == best]
    return min(likely)[2] if len({entry[3] for entry in likely}) == 1 else None


def _words(name: str) -> frozenset[str]:
    words = re.findall(r"[a-z0-9]+", name.lower().replace("max-q", "max q"))
    return frozenset("sxm" if word.startswith("sxm") else "pcie" if word == "pci" else word for word in words)


@lru_cache(maxsize=1)
def _catalogue() -> dict[str, tuple[frozenset[str], frozenset[str], float, int, tuple[float, ...]]]:
    """For each GPU: words of its model and of its form, bytes, cores, and what a share of its peak is divided by."""
    devices = {}
    for path in sorted(CATALOG.glob("*.toml")):
        device = read_device(path, catalogued=True)
        capacity = device.get("memory.dram.capacity_gb")
        if device.kind != "gpu" or capacity is None:
            continue
        words = _words(device.id)
        forms = words & _FORMS
        model = frozenset(word for word in words - forms if not re.fullmatch(r"\d+gb", word))
        rates = device.get("compute.matrix_tflop_per_s") or device.get("compute.vector_tflop_per_s") or {}
        peaks = (
            float(device.get("memory.dram.bandwidth_gb_per_s") or 0),
            *(float(rates[key]) for key in sorted(rates)),
        )
        devices[device.id] = (model, forms, capacity * _GIGA, int(device.get("compute.cores") or 0), peaks)
    return devices
