"""The tables of tactics of servers and of fleets, in the order in which reports name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .autocast import Autocast
from .autoscaler import AutoscalerKind
from .batching import BatchingDelay, BatchSize
from .chunk_size import ChunkSize
from .cold_start import ColdStart
from .commitment import CommittedReplicas
from .engine import EightBitEngine, Engine
from .execution import Execution
from .formats import ActivationFormats, TwoFour, WeightFormats
from .half_precision import HalfPrecision
from .prefix_caching import PrefixCaching
from .purchase_terms import PurchaseTerms
from .rented_machine import RentedMachine
from .renting import Region
from .replicas import Replicas
from .scale_to_zero import ScaleDownToZero
from .scaling_target import ScalingTarget
from .schedule import Schedule
from .sequence_limit import SequenceLimit
from .served_cache import ServedCache
from .served_engine import ServedEngine
from .served_formats import ServedFormats
from .served_layout import ServedLayout
from .served_precision import ServedPrecision
from .serverless import Serverless
from .shape import Width
from .speculation import Speculation
from .tf32 import TF32

if TYPE_CHECKING:
    from ..tactic import Tactic

_OF_ENGINES: tuple[Tactic, ...] = (
    ServedPrecision(),
    ServedFormats(),
    ServedCache(),
    ServedEngine(),
    ServedLayout(),
    ChunkSize(),
    SequenceLimit(),
    Speculation(),
)
"""Tactics of serving engines, which schedule tokens."""

_OF_BATCHES: tuple[Tactic, ...] = (
    HalfPrecision(),
    Autocast(),
    TF32(),
    Execution(),
    Engine(),
    EightBitEngine(),
    WeightFormats(),
    ActivationFormats(),
    TwoFour(),
    Width(),
    BatchSize(),
    BatchingDelay(),
)
"""Tactics of models without tokens, whose requests are batched."""

_OF_AUTOSCALERS: tuple[Tactic, ...] = (
    AutoscalerKind(),
    ScalingTarget(),
    ScaleDownToZero(),
    Schedule(),
    ColdStart(),
    CommittedReplicas(),
)
"""Tactics of fleets whatever their replicas are."""

_OF_PURCHASES: tuple[Tactic, ...] = (RentedMachine(), PurchaseTerms(), Region())

SERVED: tuple[Tactic, ...] = (*_OF_ENGINES, PrefixCaching(), Replicas(), *_OF_PURCHASES)
"""Tactics of a server with a workload."""

FLEETS: tuple[Tactic, ...] = (*_OF_ENGINES, PrefixCaching(), *_OF_AUTOSCALERS, *_OF_PURCHASES)
"""Tactics of a fleet of serving engines."""

BATCHED_FLEETS: tuple[Tactic, ...] = (*_OF_BATCHES, *_OF_AUTOSCALERS, *_OF_PURCHASES, Serverless())
"""Tactics of a fleet of a model without tokens."""
