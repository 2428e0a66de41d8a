"""Result types and their documents. This package neither computes nor renders.

`__init__.pyi` lists every result type, also of other packages.
"""

from .._lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(__spec__)
