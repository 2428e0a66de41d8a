"""Serving: costs of an engine's steps, their closed form, offered load and recorded requests."""

from .._lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(__spec__)
