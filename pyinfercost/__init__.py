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
    from .advice.tradeoff import tradeoff as tradeoff
    from .measuring.calibration import calibrate as calibrate
    from .measuring.energy import EnergyMeter as EnergyMeter
    from .measuring.energy import EnergyUnknownWarning as EnergyUnknownWarning
    from .measuring.energy import energy_meter as energy_meter
    from .measuring.measure import measure as measure
    from .predict.collectives import collective as collective
    from .predict.compare import compare as compare
    from .predict.count import count as count
    from .predict.estimate import estimate as estimate
    from .predict.profile import profile as profile
    from .predict.sparsity_speedup import sparsity_speedup as sparsity_speedup
    from .results.collective import CollectiveEstimate as CollectiveEstimate
    from .results.comparison import Comparison as Comparison
    from .results.estimate import Estimate as Estimate
    from .results.estimate import LayerEstimate as LayerEstimate
    from .results.measurement import Measurement as Measurement
    from .results.profile import Profile as Profile
    from .results.sparsity import ActivationSparsity as ActivationSparsity
    from .results.sparsity import Sparsity as Sparsity
    from .results.sparsity import SparsitySpeedup as SparsitySpeedup
    from .results.tradeoff import Tradeoff as Tradeoff
    from .scan.sparsity import activation_sparsity as activation_sparsity
    from .scan.sparsity import sparsity as sparsity
    from .sources.capture import capture as capture
    from .sweeps.result import Sweep as Sweep
    from .sweeps.execute import SweepInterrupted as SweepInterrupted
    from .sweeps.storage import StoredSweep as StoredSweep
    from .sweeps.sweep import sweep as sweep
    from .training.budget import CostBudget as CostBudget
    from .training.budget import CostBudgetExceededError as CostBudgetExceededError
    from .training.budget import assert_cost as assert_cost
    from .training.record import CostRecord as CostRecord
    from .training.regularizer import CostRegularizer as CostRegularizer
    from .training.tracker import CostTracker as CostTracker
    from .transform.channels.finding import channel_groups as channel_groups
    from .transform.channels.groups import ChannelGroups as ChannelGroups
    from .transform.whatif import whatif as whatif

_MODULES = ("hardware", "plots")
_LAZY = {
    "capture": ".sources.capture",
    "sparsity": ".scan.sparsity",
    "activation_sparsity": ".scan.sparsity",
    "ActivationSparsity": ".results.sparsity",
    "Sparsity": ".results.sparsity",
    "channel_groups": ".transform.channels.finding",
    "ChannelGroups": ".transform.channels.groups",
    "collective": ".predict.collectives",
    "CollectiveEstimate": ".results.collective",
    "compare": ".predict.compare",
    "Comparison": ".results.comparison",
    "count": ".predict.count",
    "estimate": ".predict.estimate",
    "Estimate": ".results.estimate",
    "LayerEstimate": ".results.estimate",
    "sparsity_speedup": ".predict.sparsity_speedup",
    "SparsitySpeedup": ".results.sparsity",
    "profile": ".predict.profile",
    "Profile": ".results.profile",
    "calibrate": ".measuring.calibration",
    "energy_meter": ".measuring.energy",
    "EnergyMeter": ".measuring.energy",
    "EnergyUnknownWarning": ".measuring.energy",
    "measure": ".measuring.measure",
    "Measurement": ".results.measurement",
    "sweep": ".sweeps.sweep",
    "StoredSweep": ".sweeps.storage",
    "Sweep": ".sweeps.result",
    "SweepInterrupted": ".sweeps.execute",
    "tradeoff": ".advice.tradeoff",
    "Tradeoff": ".results.tradeoff",
    "whatif": ".transform.whatif",
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
    "Profile",
    "Sparsity",
    "SparsitySpeedup",
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
    "profile",
    "sparsity",
    "sparsity_speedup",
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
