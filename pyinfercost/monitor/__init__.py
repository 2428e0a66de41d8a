"""Monitoring: a live model compared with its prediction, and sinks for cost records."""

from .._lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(__spec__)
