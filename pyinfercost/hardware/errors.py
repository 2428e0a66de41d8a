"""Errors of hardware."""

from __future__ import annotations

from ..errors import InputError, UnknownNameError


class HardwareError(InputError):
    """An invalid description of hardware."""


class HardwareFileError(HardwareError):
    """A hardware or calibration file that does not follow the schema."""


class UnknownHardwareError(HardwareError, UnknownNameError):
    """The catalog has no device of that id, or several of that name."""


class MissingFactError(HardwareError):
    """A valid device file lacks a fact that an estimate of time needs."""
