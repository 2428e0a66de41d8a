"""Type of the keywords of `fleet` and `plan_fleet`; `nox -s stubs` writes it for checkers."""

from __future__ import annotations

from typing import Any, TypedDict

from ..serving.scheduler import SETTINGS
from .fleet_run import FleetRun

FleetOptions: Any = TypedDict(
    "FleetOptions", dict.fromkeys((*(each.name for each in FleetRun.fields), *SETTINGS), Any), total=False
)
"""Fields of a `FleetRun`, and settings of the scheduler of an engine."""
