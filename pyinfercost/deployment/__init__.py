"""Where and how a model runs: machine, precision, execution, price, place, data transfer and startup."""

from .._lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(__spec__)
