"""Fleets: replicas with cold starts, autoscalers, bills, plans."""

from .._lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(__spec__)
