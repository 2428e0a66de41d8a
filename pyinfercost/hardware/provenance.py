"""Where a machine's figures are from, in words: what a report says beside every estimate."""

from __future__ import annotations

from .calibration import Calibration
from .device import DeviceFile
from .schema import KINDS

BAND = "band.spread"


def provenance(device: DeviceFile, constants: Calibration) -> dict[str, str]:
    """What is said of a device and of the constants that it is timed with.

    Returns:
        `datasheet`, where its peaks are from; `verified`, `"yes"` or `"no"`; `unverified`, the facts that were not read
        in their source; `constants`, `"this device"`, `"family NAME"` or `"kind NAME"`: for whom the constant of the
        error band was found, and so most others; `band`, what it was found from.
    """
    source = device.get("source") or {}
    file, band = constants.origin[BAND]
    shared_by = f"{'kind' if file.stem in KINDS else 'family'} {file.stem}"
    return {
        "datasheet": str(source.get("text", "")),
        "verified": "yes" if device.get("verified") else "no",
        "unverified": ", ".join(source.get("unverified") or []),
        "constants": "this device" if file == device.path else shared_by,
        "band": band,
    }
