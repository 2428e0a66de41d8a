"""Fleets: replicas with cold starts, autoscalers, bills, plans."""

from typing import TYPE_CHECKING

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from ..inputs.autoscaler_kinds import CloudRun as CloudRun
    from ..inputs.autoscaler_kinds import Knative as Knative
    from ..inputs.autoscaler_kinds import Kubernetes as Kubernetes
    from ..inputs.autoscaler_kinds import Lambda as Lambda
    from ..inputs.autoscaler_kinds import Oracle as Oracle
    from ..inputs.autoscaler_kinds import RayServe as RayServe
    from ..inputs.autoscaler_kinds import ScaleToZero as ScaleToZero
    from ..inputs.autoscaler_kinds import Scheduled as Scheduled
    from ..inputs.autoscaler_kinds import Seasonal as Seasonal
    from ..inputs.autoscaler_kinds import Static as Static
    from ..inputs.autoscaler_kinds import TargetTracking as TargetTracking
    from ..inputs.autoscalers import Autoscaler as Autoscaler
    from ..inputs.autoscalers import parse_autoscaler as parse_autoscaler
    from .fleet_run import FleetRun as FleetRun
    from .replicas import FleetError as FleetError
    from .replicas import Slots as Slots
    from .terms import Terms as Terms
    from .terms import TermsError as TermsError

_EXPORTS = {
    "..inputs.autoscalers": ("Autoscaler", "parse_autoscaler"),
    "..inputs.autoscaler_kinds": (
        "CloudRun",
        "Knative",
        "Kubernetes",
        "Lambda",
        "Oracle",
        "RayServe",
        "ScaleToZero",
        "Scheduled",
        "Seasonal",
        "Static",
        "TargetTracking",
    ),
    ".fleet_run": ("FleetRun",),
    ".replicas": ("FleetError", "Slots"),
    ".terms": ("Terms", "TermsError"),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
