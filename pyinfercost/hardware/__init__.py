"""Machines as data: the catalog of devices, the constants of their families, and loading."""

from .identifying import identify
from .loading import MissingFactError, UnknownHardwareError, describe, load, names
from .schema import HardwareError, HardwareFileError

__all__ = [
    "HardwareError",
    "HardwareFileError",
    "MissingFactError",
    "UnknownHardwareError",
    "describe",
    "identify",
    "load",
    "names",
]
