"""Inference cost of PyTorch models, before anyone pays for it: FLOPs, bytes, memory, latency, energy and money.

All public names are listed below. Those of the compiled core are imported at once, the others when they are first used,
so `import pyinfercost` imports neither torch nor numpy nor rich nor matplotlib.
"""

from ._interrupts import is_command, stop_at_once

if is_command():
    stop_at_once()

from typing import TYPE_CHECKING, Any

try:
    from ._core import Counts as Counts
    from ._core import Expr as Expr
    from ._core import Graph as Graph
    from ._core import GraphBuilder as GraphBuilder
    from ._core import Hardware as Hardware
    from ._core import Plan as Plan
    from ._core import Work as Work
    from ._core import __version__ as __version__
except ImportError as error:
    raise ImportError(
        f"pyinfercost cannot load its compiled core, pyinfercost._core ({error}). In a source tree, build it with "
        "`pip install -e .` (needs a C++20 compiler; CMake is fetched). If a wheel is installed, leave the root of the "
        "source tree: the folder `pyinfercost` there hides the installed package.",
        name="pyinfercost._core",
    ) from error

from ._lazy import lazy_exports
from .errors import Error as Error
from .results.sinks import register_sink_opener

if TYPE_CHECKING:
    from . import errors as errors
    from . import fleets as fleets
    from . import hardware as hardware
    from . import plots as plots
    from .advice.advising import advise as advise
    from .deployment.deployment import Deployment as Deployment
    from .fleets.changes import diff_fleets as diff_fleets
    from .fleets.fleet import fleet as fleet
    from .fleets.plan_fleet import plan_fleet as plan_fleet
    from .inputs.layout import Layout as Layout
    from .inputs.serving import Serving as Serving
    from .measuring.calibration import calibrate as calibrate
    from .measuring.energy import EnergyMeter as EnergyMeter
    from .measuring.energy import EnergyUnknownWarning as EnergyUnknownWarning
    from .measuring.energy import energy_meter as energy_meter
    from .measuring.measure import measure as measure
    from .monitor.monitor import Monitor as Monitor
    from .predict.budgets import CostBudget as CostBudget
    from .predict.budgets import CostBudgetExceededError as CostBudgetExceededError
    from .predict.budgets import assert_cost as assert_cost
    from .predict.collectives import ExpertTokens as ExpertTokens
    from .predict.collectives import collective as collective
    from .predict.compare import compare as compare
    from .predict.count import count as count
    from .predict.diff import diff as diff
    from .predict.estimate import estimate as estimate
    from .predict.exploring import explore as explore
    from .predict.layouts import layouts as layouts
    from .predict.plans import WeightShare as WeightShare
    from .predict.plans import engine_graph as engine_graph
    from .predict.plans import weight_shares as weight_shares
    from .predict.profile import profile as profile
    from .predict.sparsity_speedup import sparsity_speedup as sparsity_speedup
    from .predict.stages import parallel as parallel
    from .predict.tables import module_table as module_table
    from .predict.tables import operator_table as operator_table
    from .predict.training_memory import training_memory as training_memory
    from .results.advice import Advice as Advice
    from .results.advice import AdvicePlan as AdvicePlan
    from .results.advice import AdviceRow as AdviceRow
    from .results.bill import Bill as Bill
    from .results.bill import BillLine as BillLine
    from .results.collective import CollectiveEstimate as CollectiveEstimate
    from .results.comparison import ComparedModel as ComparedModel
    from .results.comparison import Comparison as Comparison
    from .results.device_use import DeviceUse as DeviceUse
    from .results.device_use import Exchange as Exchange
    from .results.estimate import Estimate as Estimate
    from .results.estimate import LayerEstimate as LayerEstimate
    from .results.exploration import Exploration as Exploration
    from .results.fleet_changes import FleetChange as FleetChange
    from .results.fleet_changes import FleetChanges as FleetChanges
    from .results.fleet_changes import FleetSide as FleetSide
    from .results.fleet_plan import FleetPlan as FleetPlan
    from .results.fleet_plan import PlanChoice as PlanChoice
    from .results.fleet_result import FleetComparison as FleetComparison
    from .results.fleet_result import FleetDemand as FleetDemand
    from .results.fleet_result import FleetPool as FleetPool
    from .results.fleet_result import FleetResult as FleetResult
    from .results.kv_cache import CacheLayers as CacheLayers
    from .results.kv_cache import KVCache as KVCache
    from .results.language_profile import LanguageProfile as LanguageProfile
    from .results.latency import Distribution as Distribution
    from .results.latency import Latency as Latency
    from .results.layouts import LayoutChoice as LayoutChoice
    from .results.layouts import Layouts as Layouts
    from .results.measurement import Measurement as Measurement
    from .results.memory_use import MemoryUse as MemoryUse
    from .results.profile import Profile as Profile
    from .results.profile_changes import ProfileChanges as ProfileChanges
    from .results.record import CostRecord as CostRecord
    from .results.sensitivity import Allocation as Allocation
    from .results.sensitivity import Sensitivity as Sensitivity
    from .results.serving_result import ServingRates as ServingRates
    from .results.serving_result import ServingResult as ServingResult
    from .results.serving_result import ServingTimeline as ServingTimeline
    from .results.serving_search import ServingCandidate as ServingCandidate
    from .results.serving_search import ServingSearch as ServingSearch
    from .results.sparsity import ActivationSparsity as ActivationSparsity
    from .results.sparsity import Sparsity as Sparsity
    from .results.sparsity import SparsitySpeedup as SparsitySpeedup
    from .results.stages import StageEstimate as StageEstimate
    from .results.tables import ModuleRow as ModuleRow
    from .results.tables import ModuleTable as ModuleTable
    from .results.tables import OperatorRow as OperatorRow
    from .results.tables import OperatorTable as OperatorTable
    from .results.tradeoff import Tradeoff as Tradeoff
    from .results.training_memory import TrainingMemory as TrainingMemory
    from .scan.sparsity import activation_sparsity as activation_sparsity
    from .scan.sparsity import sparsity as sparsity
    from .serving.calibration import ServingCalibration as ServingCalibration
    from .serving.calibration import calibrate_serving as calibrate_serving
    from .serving.closed_form import Load as Load
    from .serving.closed_form import closed_form as closed_form
    from .serving.conversations import Turns as Turns
    from .serving.correction import Correction as Correction
    from .serving.finding import find_serving as find_serving
    from .serving.function_traces import Functions as Functions
    from .serving.function_traces import read_functions as read_functions
    from .serving.replay import Replay as Replay
    from .serving.requests import Requests as Requests
    from .serving.scheduler import Scheduler as Scheduler
    from .serving.serve import serve as serve
    from .serving.servers import Servers as Servers
    from .serving.step_costs import step_costs as step_costs
    from .serving.step_tables import StepCosts as StepCosts
    from .serving.traces import Trace as Trace
    from .serving.traces import TraceSummary as TraceSummary
    from .serving.traces import read_trace as read_trace
    from .serving.traffic import parse_traffic as parse_traffic
    from .serving.workload import Prefixes as Prefixes
    from .serving.workload import Workload as Workload
    from .sources.capture import capture as capture
    from .sources.inputs import Inputs as Inputs
    from .sources.notices import CheckpointSizeWarning as CheckpointSizeWarning
    from .sources.notices import ConservationWarning as ConservationWarning
    from .sources.notices import PositionsWarning as PositionsWarning
    from .sources.notices import WindowWarning as WindowWarning
    from .sweeps.execute import SweepInterrupted as SweepInterrupted
    from .sweeps.result import Sweep as Sweep
    from .sweeps.storage import StoredSweep as StoredSweep
    from .sweeps.sweep import sweep as sweep
    from .tradeoffs.allocating import allocate as allocate
    from .tradeoffs.sensitivity import sensitivity as sensitivity
    from .tradeoffs.tradeoff import tradeoff as tradeoff
    from .training.regularizer import CostRegularizer as CostRegularizer
    from .training.tracker import CostTracker as CostTracker
    from .transform.channels.finding import channel_groups as channel_groups
    from .transform.channels.groups import ChannelGroups as ChannelGroups
    from .transform.whatif import whatif as whatif

_EXPORTS: dict[str, tuple[str, ...]] = {
    ".advice.advising": ("advise",),
    ".tradeoffs.allocating": ("allocate",),
    ".tradeoffs.sensitivity": ("sensitivity",),
    ".tradeoffs.tradeoff": ("tradeoff",),
    ".deployment.deployment": ("Deployment",),
    ".inputs.serving": ("Serving",),
    ".errors": (),
    ".fleets": (),
    ".fleets.changes": ("diff_fleets",),
    ".fleets.fleet": ("fleet",),
    ".fleets.plan_fleet": ("plan_fleet",),
    ".hardware": (),
    ".measuring.calibration": ("calibrate",),
    ".measuring.energy": ("EnergyMeter", "EnergyUnknownWarning", "energy_meter"),
    ".measuring.measure": ("measure",),
    ".monitor.monitor": ("Monitor",),
    ".plots": (),
    ".predict.budgets": ("CostBudget", "CostBudgetExceededError", "assert_cost"),
    ".predict.collectives": ("ExpertTokens", "collective"),
    ".predict.diff": ("diff",),
    ".predict.compare": ("compare",),
    ".predict.count": ("count",),
    ".predict.estimate": ("estimate",),
    ".predict.exploring": ("explore",),
    ".predict.layouts": ("layouts",),
    ".predict.plans": ("WeightShare", "engine_graph", "weight_shares"),
    ".predict.profile": ("profile",),
    ".predict.sparsity_speedup": ("sparsity_speedup",),
    ".predict.stages": ("parallel",),
    ".predict.tables": ("module_table", "operator_table"),
    ".predict.training_memory": ("training_memory",),
    ".results.advice": ("Advice", "AdvicePlan", "AdviceRow"),
    ".results.bill": ("Bill", "BillLine"),
    ".results.collective": ("CollectiveEstimate",),
    ".results.profile_changes": ("ProfileChanges",),
    ".results.comparison": ("ComparedModel", "Comparison"),
    ".results.device_use": ("DeviceUse", "Exchange"),
    ".results.estimate": ("Estimate", "LayerEstimate"),
    ".results.exploration": ("Exploration",),
    ".results.fleet_changes": ("FleetChange", "FleetChanges", "FleetSide"),
    ".results.fleet_plan": ("FleetPlan", "PlanChoice"),
    ".results.fleet_result": (
        "FleetComparison",
        "FleetDemand",
        "FleetPool",
        "FleetResult",
    ),
    ".results.kv_cache": ("CacheLayers", "KVCache"),
    ".results.language_profile": ("LanguageProfile",),
    ".inputs.layout": ("Layout",),
    ".results.latency": ("Distribution", "Latency"),
    ".results.layouts": ("LayoutChoice", "Layouts"),
    ".results.measurement": ("Measurement",),
    ".results.memory_use": ("MemoryUse",),
    ".results.profile": ("Profile",),
    ".results.record": ("CostRecord",),
    ".results.sensitivity": ("Allocation", "Sensitivity"),
    ".results.serving_result": ("ServingRates", "ServingResult", "ServingTimeline"),
    ".results.serving_search": ("ServingCandidate", "ServingSearch"),
    ".results.sparsity": ("ActivationSparsity", "Sparsity", "SparsitySpeedup"),
    ".results.stages": ("StageEstimate",),
    ".results.tables": ("ModuleRow", "ModuleTable", "OperatorRow", "OperatorTable"),
    ".results.tradeoff": ("Tradeoff",),
    ".results.training_memory": ("TrainingMemory",),
    ".scan.sparsity": ("activation_sparsity", "sparsity"),
    ".serving.calibration": ("ServingCalibration", "calibrate_serving"),
    ".serving.closed_form": ("Load", "closed_form"),
    ".serving.conversations": ("Turns",),
    ".serving.correction": ("Correction",),
    ".serving.finding": ("find_serving",),
    ".serving.function_traces": ("Functions", "read_functions"),
    ".serving.replay": ("Replay",),
    ".serving.requests": ("Requests",),
    ".serving.scheduler": ("Scheduler",),
    ".serving.serve": ("serve",),
    ".serving.servers": ("Servers",),
    ".serving.step_costs": ("step_costs",),
    ".serving.step_tables": ("StepCosts",),
    ".serving.traces": ("Trace", "TraceSummary", "read_trace"),
    ".serving.traffic": ("parse_traffic",),
    ".serving.workload": ("Prefixes", "Workload"),
    ".sources.capture": ("capture",),
    ".sources.notices": ("CheckpointSizeWarning", "ConservationWarning", "PositionsWarning", "WindowWarning"),
    ".sources.inputs": ("Inputs",),
    ".sweeps.result": ("Sweep",),
    ".sweeps.execute": ("SweepInterrupted",),
    ".sweeps.storage": ("StoredSweep",),
    ".sweeps.sweep": ("sweep",),
    ".training.regularizer": ("CostRegularizer",),
    ".training.tracker": ("CostTracker",),
    ".transform.channels.finding": ("channel_groups",),
    ".transform.channels.groups": ("ChannelGroups",),
    ".transform.whatif": ("whatif",),
}

_EAGER = ("Counts", "Error", "Expr", "Graph", "GraphBuilder", "Hardware", "Plan", "Work", "__version__")

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS, *_EAGER, needs={"torch": "torch"})


def _open_sink(value: Any) -> Any:
    from .monitor.sinks import open_sink

    return open_sink(value)


# `monitor` defines the sinks, and rooms beside it write records to them: the package connects the two.
register_sink_opener(_open_sink)
