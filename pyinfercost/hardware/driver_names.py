"""Identify the device of the catalog that a driver reports, by its name, cores and memory."""

from __future__ import annotations

import re
from functools import lru_cache

from .catalog_names import CATALOG
from .files import read_device

_FORMS = frozenset({"sxm", "pcie", "nvl", "server", "max", "q"})
_GIBI = 2.0**30
# A driver reports less memory than the board has: it reserves some for itself and for error correction.
_LEAST_SHARE, _MOST_SHARE = 0.9, 1.01


def identify(name: str, *, cores: int, memory_bytes: int) -> str | None:
    """Return the id of the device that a driver reports.

    Devices of one name differ: an `H100` has 114 or 132 cores, and the larger peaks are a third above the smaller.

    Args:
        name: The driver's name of the device, such as `NVIDIA H100 80GB HBM3`.
        cores: Number of its multiprocessors.
        memory_bytes: Its memory, as the driver reports it.

    Returns:
        The id; None if the catalog has no such device, or several with different peaks. A part of a device (MIG) has
        fewer cores than the device, and no id.
    """
    words = _words(name)
    found = []
    for device, (model, forms, capacity, device_cores, peaks) in _catalog().items():
        if not model <= words or device_cores != cores:
            continue
        if not _LEAST_SHARE * capacity <= memory_bytes <= _MOST_SHARE * capacity:
            continue
        # The longest model wins: the name of an `RTX 6000 Ada` also has all words of `RTX 6000`.
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
def _catalog() -> dict[str, tuple[frozenset[str], frozenset[str], float, int, tuple[float, ...]]]:
    """Return for each GPU the words of its model and of its form, its bytes, its cores and its peaks."""
    devices = {}
    for path in sorted(CATALOG.glob("*.toml")):
        device = read_device(path, cataloged=True)
        capacity = device.get("memory.dram.capacity_gib")
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
        devices[device.id] = (model, forms, capacity * _GIBI, int(device.get("compute.cores") or 0), peaks)
    return devices
