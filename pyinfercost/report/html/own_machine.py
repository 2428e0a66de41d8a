"""What a page needs to make a machine of a reader's device file: the calibration of each family."""

from __future__ import annotations

from typing import Any

from ...hardware.bands import bands
from ...hardware.files import CALIBRATIONS, families, family_calibration


def own_machine_document() -> dict[str, Any]:
    """Return the JSON object by which a page reads device files.

    Returns:
        `families`: `lineage`, `values` and `bands` of each family, as a request `device` of the core takes them.
    """
    return {"families": {family: _calibration(family) for family in families(CALIBRATIONS)}}


def _calibration(family: str) -> dict[str, Any]:
    constants = family_calibration(family)
    found = bands(constants.lineage, CALIBRATIONS, measured=False)
    return {
        "lineage": constants.lineage,
        "values": constants.values,
        "bands": {name: (band.spread, band.evidence) for name, band in found.items()},
    }
