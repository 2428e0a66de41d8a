# Written by tools/settings_stub.py from DeploymentFields.
from collections.abc import Iterable
from typing import SupportsIndex, TypedDict

from ..hardware.hosts import HostLike
from ..inputs.engine_settings import EngineSettingsLike
from ..inputs.layout import LayoutLike
from ..inputs.startup import StartupLike
from ..inputs.transfer import TransferLike
from .fields import HardwareLike
from .prices import PriceLike

SIZES: tuple[str, ...]

class DeploymentOptions(TypedDict, total=False):
    hardware: HardwareLike | None
    threads: SupportsIndex | None
    instances: SupportsIndex | None
    sustained: bool | None
    host: HostLike | None
    precision: str | None
    engine: str | None
    serving: EngineSettingsLike | None
    execution: str | None
    devices: SupportsIndex | None
    layout: LayoutLike | None
    price: PriceLike | None
    utilization: float | None
    region: str | None
    transfer: TransferLike | None
    startup: StartupLike | None

class SizedOptions(DeploymentOptions, total=False):
    batch: SupportsIndex | None
    sequence: SupportsIndex | None
    context: SupportsIndex | None
    prompt: SupportsIndex | None
    tokens: SupportsIndex | None
    image_size: SupportsIndex | None
    height: SupportsIndex | None
    width: SupportsIndex | None

class DeploymentAxes(TypedDict, total=False):
    hardware: HardwareLike | Iterable[HardwareLike] | None
    threads: SupportsIndex | Iterable[SupportsIndex] | None
    instances: SupportsIndex | Iterable[SupportsIndex] | None
    sustained: bool | Iterable[bool] | None
    host: HostLike | Iterable[HostLike] | None
    precision: str | Iterable[str] | None
    engine: str | Iterable[str] | None
    serving: EngineSettingsLike | Iterable[EngineSettingsLike] | None
    execution: str | Iterable[str] | None
    devices: SupportsIndex | Iterable[SupportsIndex] | None
    layout: LayoutLike | Iterable[LayoutLike] | None
    price: PriceLike | Iterable[PriceLike] | None
    utilization: float | Iterable[float] | None
    region: str | Iterable[str] | None
    transfer: TransferLike | Iterable[TransferLike] | None
    startup: StartupLike | Iterable[StartupLike] | None
    batch: SupportsIndex | Iterable[SupportsIndex] | None
    sequence: SupportsIndex | Iterable[SupportsIndex] | None
    context: SupportsIndex | Iterable[SupportsIndex] | None
    prompt: SupportsIndex | Iterable[SupportsIndex] | None
    tokens: SupportsIndex | Iterable[SupportsIndex] | None
    image_size: SupportsIndex | Iterable[SupportsIndex] | None
    height: SupportsIndex | Iterable[SupportsIndex] | None
    width: SupportsIndex | Iterable[SupportsIndex] | None
