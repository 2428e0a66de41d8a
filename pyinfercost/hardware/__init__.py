"""Machines as data: the catalog of devices, the constants of their families, and loading."""

from .._lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(__spec__)
