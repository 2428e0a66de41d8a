"""Cost in the training loop: a tracker, a differentiable cost, and adapters to training frameworks."""

from typing import TYPE_CHECKING

from .._lazy import lazy_exports

if TYPE_CHECKING:
    from ..results.record import CostRecord as CostRecord
    from .accelerate import AccelerateCostTracker as AccelerateCostTracker
    from .accelerate import AcceleratorSink as AcceleratorSink
    from .channel_removal import ShrinkError as ShrinkError
    from .channel_removal import shrink as shrink
    from .ignite import IgniteCostHandler as IgniteCostHandler
    from .inputs import BatchInputs as BatchInputs
    from .isolation import SinkFailedWarning as SinkFailedWarning
    from .isolation import TrackingStoppedWarning as TrackingStoppedWarning
    from .lightning import LightningCostCallback as LightningCostCallback
    from .regularizer import CostRegularizer as CostRegularizer
    from .regularizer import GroupCost as GroupCost
    from .tracker import CostTracker as CostTracker
    from .transformers import TransformersCostCallback as TransformersCostCallback

_EXPORTS = {
    "..results.record": ("CostRecord",),
    ".accelerate": ("AccelerateCostTracker", "AcceleratorSink"),
    ".channel_removal": ("ShrinkError", "shrink"),
    ".ignite": ("IgniteCostHandler",),
    ".inputs": ("BatchInputs",),
    ".isolation": ("SinkFailedWarning", "TrackingStoppedWarning"),
    ".lightning": ("LightningCostCallback",),
    ".regularizer": ("CostRegularizer", "GroupCost"),
    ".tracker": ("CostTracker",),
    ".transformers": ("TransformersCostCallback",),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS, needs={"torch": "torch"})
