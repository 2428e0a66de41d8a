"""Machines as data: the catalogue of devices, the constants of their families, and the strict way in."""

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
