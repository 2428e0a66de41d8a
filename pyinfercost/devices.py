"""Several devices and their kernels: collective operations, the graph and the weights of one rank, execution plans."""

from ._lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(__spec__)
