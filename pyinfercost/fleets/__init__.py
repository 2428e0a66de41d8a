"""Fleets: replicas with cold starts, autoscalers, bills, plans."""

from typing import TYPE_CHECKING

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from .autoscaler_texts import parse_autoscaler as parse_autoscaler
    from .autoscalers import Autoscaler as Autoscaler
    from .autoscalers import CloudRun as CloudRun
    from .autoscalers import Knative as Knative
    from .autoscalers import Kubernetes as Kubernetes
    from .autoscalers import Lambda as Lambda
    from .autoscalers import Oracle as Oracle
    from .autoscalers import RayServe as RayServe
    from .autoscalers import ScaleToZero as ScaleToZero
    from .autoscalers import Scheduled as Scheduled
    from .autoscalers import Seasonal as Seasonal
    from .autoscalers import Static as Static
    from .autoscalers import TargetTracking as TargetTracking
    from .parameters import AutoscalerError as AutoscalerError
    from .replicas import FleetError as FleetError
    from .replicas import Slots as Slots
    from .terms import Terms as Terms
    from .terms import TermsError as TermsError

_EXPORTS = {
    ".autoscaler_texts": ("parse_autoscaler",),
    ".autoscalers": (
        "Autoscaler",
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
    ".parameters": ("AutoscalerError",),
    ".replicas": ("FleetError", "Slots"),
    ".terms": ("Terms", "TermsError"),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
