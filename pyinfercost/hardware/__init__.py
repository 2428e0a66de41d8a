"""Machines as data: the catalog of devices, the constants of their families, and loading."""

from typing import TYPE_CHECKING

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from .catalog_names import names as names
    from .errors import HardwareError as HardwareError
    from .errors import HardwareFileError as HardwareFileError
    from .errors import MissingFactError as MissingFactError
    from .errors import UnknownHardwareError as UnknownHardwareError
    from .identifying import identify as identify
    from .loading import describe as describe
    from .machines import load as load

_EXPORTS = {
    ".catalog_names": ("names",),
    ".errors": ("HardwareError", "HardwareFileError", "MissingFactError", "UnknownHardwareError"),
    ".identifying": ("identify",),
    ".loading": ("describe",),
    ".machines": ("load",),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
