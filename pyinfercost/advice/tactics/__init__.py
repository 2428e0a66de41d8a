"""The table of tactics, in the order in which they are chosen: options of one may depend on those before it.

The rented machine comes first, then the shape of the model and the engine, since precisions, executions and formats
depend on them.
"""

from __future__ import annotations

from ..tactic import Tactic
from .autocast import Autocast
from .batch import Batch
from .channels_last import ChannelsLast
from .engine import EightBitEngine, Engine
from .execution import Execution
from .formats import ActivationFormats, CacheFormat, TwoFour, WeightFormats
from .formats_by_layer import FormatsByLayer
from .half_precision import HalfPrecision
from .renting import Machine, Offer, Region, Terms
from .shape import EarlyExit, FewerLayers, SmallerSibling, Width
from .tf32 import TF32
from .use_of_machine import Devices, Instances, Overlap

TACTICS: tuple[Tactic, ...] = (
    Machine(),
    Devices(),
    Offer(),
    Terms(),
    Region(),
    Width(),
    FewerLayers(),
    EarlyExit(),
    SmallerSibling(),
    Engine(),
    EightBitEngine(),
    ChannelsLast(),
    HalfPrecision(),
    Autocast(),
    TF32(),
    Execution(),
    WeightFormats(),
    ActivationFormats(),
    FormatsByLayer(),
    CacheFormat(),
    TwoFour(),
    Instances(),
    Overlap(),
    Batch(),
)
