"""Cost in the training loop: a tracker, a differentiable cost, and adapters to training frameworks."""

from .._lazy import lazy_exports

__getattr__, __dir__ = lazy_exports(__spec__, needs={"torch": "torch"})
