"""What inference costs before anyone pays for it: FLOPs, bytes, memory and latency of PyTorch models.

The names below are the public face. Those of the compiled core are at hand at once; the rest is imported when first
used, so that `import pyinfercost` brings in neither torch nor numpy nor rich nor matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

try:
    from ._core import Counts, Expr, Graph, GraphBuilder, Hardware, Plan, Work, __version__
except ImportError as error:
    raise ImportError(
        f"pyinfercost cannot load its compiled core, pyinfercost._core ({error}). In a source tree, build it with "
        "`pip install -e .` (needs a C++20 compiler; CMake is fetched). If a wheel is installed, leave the root of the "
        "source tree: the folder `pyinfercost` there hides the installed package.",
        name="pyinfercost._core",
    ) from error

if TYPE_CHECKING:
    from . import hardware as hardware
    from . import plots as plots
    from .analysis.collectives import CollectiveEstimate as CollectiveEstimate
    from .analysis.collectives import collective as collective
    from .analysis.comparing import compare as compare
    from .analysis.comparison import Comparison as Comparison
    from .analysis.counting import count as count
    from .analysis.estimation import Estimate as Estimate
    from .analysis.estimation import LayerEstimate as LayerEstimate
    from .analysis.estimation import estimate as estimate
    from .analysis.potential import Potential as Potential
    from .analysis.potential import potential as potential
    from .analysis.profile import Profile as Profile
    from .analysis.profiling import profile as profile
    from .analysis.sweep import sweep as sweep
    from .analysis.sweeps.result import Sweep as Sweep
    from .analysis.sweeps.run import SweepInterrupted as SweepInterrupted
    from .analysis.sweeps.store import StoredSweep as StoredSweep
    from .analysis.whatif import whatif as whatif
    from .analysis.widths.finding import channel_groups as channel_groups
    from .analysis.widths.groups import ChannelGroups as ChannelGroups
    from .capture import capture as capture
    from .measuring.calibration import calibrate as calibrate
    from .measuring.energy import EnergyMeter as EnergyMeter
    from .measuring.energy import EnergyUnknownWarning as EnergyUnknownWarning
    from .measuring.energy import energy_meter as energy_meter
    from .measuring.measure import measure as measure
    from .measuring.result import Measurement as Measurement
    from .sparsity import activation_sparsity as activation_sparsity
    from .sparsity import sparsity as sparsity
    from .sparsity.activation_result import ActivationSparsity as ActivationSparsity
    from .sparsity.result import Sparsity as Sparsity
    from .tradeoffs.result import Tradeoff as Tradeoff
    from .tradeoffs.run import tradeoff as tradeoff
    from .training.budget import CostBudget as CostBudget
    from .training.budget import CostBudgetExceededError as CostBudgetExceededError
    from .training.budget import assert_cost as assert_cost
    from .training.record import CostRecord as CostRecord
    from .training.regularizer import CostRegularizer as CostRegularizer
    from .training.tracker import CostTracker as CostTracker

# These are modules: importing anything below them binds the module to that name here, so the name must mean the
# module in every case. `pyinfercost.capture` and `pyinfercost.sparsity` are modules that can be called.
_MODULES = ("capture", "hardware", "plots", "sparsity")
_LAZY = {
    "activation_sparsity": ".sparsity",
    "ActivationSparsity": ".sparsity.activation_result",
    "Sparsity": ".sparsity.result",
    "channel_groups": ".analysis.widths.finding",
    "ChannelGroups": ".analysis.widths.groups",
    "collective": ".analysis.collectives",
    "CollectiveEstimate": ".analysis.collectives",
    "compare": ".analysis.comparing",
    "Comparison": ".analysis.comparison",
    "count": ".analysis.counting",
    "estimate": ".analysis.estimation",
    "Estimate": ".analysis.estimation",
    "LayerEstimate": ".analysis.estimation",
    "potential": ".analysis.potential",
    "Potential": ".analysis.potential",
    "profile": ".analysis.profiling",
    "Profile": ".analysis.profile",
    "calibrate": ".measuring.calibration",
    "energy_meter": ".measuring.energy",
    "EnergyMeter": ".measuring.energy",
    "EnergyUnknownWarning": ".measuring.energy",
    "measure": ".measuring.measure",
    "Measurement": ".measuring.result",
    "sweep": ".analysis.sweep",
    "StoredSweep": ".analysis.sweeps.store",
    "Sweep": ".analysis.sweeps.result",
    "SweepInterrupted": ".analysis.sweeps.run",
    "tradeoff": ".tradeoffs.run",
    "Tradeoff": ".tradeoffs.result",
    "whatif": ".analysis.whatif",
    "assert_cost": ".training.budget",
    "CostBudget": ".training.budget",
    "CostBudgetExceededError": ".training.budget",
    "CostRecord": ".training.record",
    "CostRegularizer": ".training.regularizer",
    "CostTracker": ".training.tracker",
}

__all__ = [
    "ActivationSparsity",
    "ChannelGroups",
    "CollectiveEstimate",
    "Comparison",
    "CostBudget",
    "CostBudgetExceededError",
    "CostRecord",
    "CostRegularizer",
    "CostTracker",
    "Counts",
    "EnergyMeter",
    "EnergyUnknownWarning",
    "Estimate",
    "Expr",
    "Graph",
    "GraphBuilder",
    "Hardware",
    "LayerEstimate",
    "Measurement",
    "Plan",
    "Potential",
    "Profile",
    "Sparsity",
    "StoredSweep",
    "Sweep",
    "SweepInterrupted",
    "Tradeoff",
    "Work",
    "__version__",
    "activation_sparsity",
    "assert_cost",
    "calibrate",
    "capture",
    "channel_groups",
    "collective",
    "compare",
    "count",
    "energy_meter",
    "estimate",
    "hardware",
    "measure",
    "plots",
    "potential",
    "profile",
    "sparsity",
    "sweep",
    "tradeoff",
    "whatif",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name in _LAZY:
        try:
            value = getattr(import_module(_LAZY[name], __name__), name)
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise ImportError(
                f"{name} is about modules of torch, which is not installed: pip install 'pyinfercost[torch]'",
                name="torch",
            ) from error
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
