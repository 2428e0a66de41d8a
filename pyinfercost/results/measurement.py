"""Measurements of a forward beside its prediction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..report.render import render
from .result import Result

if TYPE_CHECKING:
    from .profile import Profile


@dataclass(frozen=True)
class MeasuredLayer:
    """One module without its submodules.

    Attributes:
        module: Its path; empty for the model itself.
        ops: The operators that it calls, each once.
        measured_s: Median of the measured seconds.
        predicted_s: Predicted seconds of these operators; None without hardware.
    """

    module: str
    ops: tuple[str, ...]
    measured_s: float
    predicted_s: float | None


@dataclass(frozen=True)
class ForwardEnergy:
    """Joules of one forward from an energy counter of the machine. Without a counter, all figures are None.

    Attributes:
        joules: Mean joules per forward, idle draw and other processes included.
        above_idle_j: The same less the idle draw over the same time.
        idle_w: Watts before the first forward.
        source: The counter: `rapl:package-0+dram`, `nvml:counter`, `nvml:sampled`.
        covers: Description of the measured hardware.
        resolution: One step of the counter as a share of the whole reading; 0.01 or less.
        runs: Forwards in the reading.
        duration_s: Seconds of the reading.
        why_not: The missing counter and the reason, if there is none.
    """

    joules: float | None = None
    above_idle_j: float | None = None
    idle_w: float | None = None
    source: str | None = None
    covers: str | None = None
    resolution: float | None = None
    runs: int = 0
    duration_s: float | None = None
    why_not: str | None = None


NOT_ASKED_FOR = ForwardEnergy(why_not="it was not requested")

PREDICTED_SOURCE = "predicted: model"
"""Source of predicted joules."""


@dataclass(frozen=True)
class Measurement(Result):
    """A measured forward: median and quartiles of its time, joules, and the prediction.

    `layers` is empty if modules cannot be separated, as in a compiled graph. Their sum exceeds `measured_s` by the
    cost of timing them. `measured_j` and `energy_source` are read from `energy`; `predicted_j` is `Estimate.energy_j`.
    `prediction` is the profile of the forward on the machine of the prediction; None without hardware.
    """

    model: str
    sizes: dict[str, int]
    execution: str
    precision: str
    device: str
    threads: int
    hardware: str | None
    runs: int
    measured_s: float
    measured_low_s: float
    measured_high_s: float
    predicted_s: float | None
    predicted_low_s: float | None
    predicted_high_s: float | None
    layers: tuple[MeasuredLayer, ...] = field(repr=False)
    energy: ForwardEnergy = NOT_ASKED_FOR
    predicted_j: float | None = None
    predicted_low_j: float | None = None
    predicted_high_j: float | None = None
    prediction: Profile | None = field(default=None, repr=False, compare=False)

    @property
    def ratio(self) -> float | None:
        """Predicted over measured; None without a prediction."""
        return None if self.predicted_s is None else self.predicted_s / self.measured_s

    @property
    def measured_j(self) -> float | None:
        """Measured joules of one forward; None without a counter."""
        return self.energy.joules

    @property
    def energy_source(self) -> str | None:
        """The counter of `measured_j`: `rapl:package-0+dram`, `nvml:counter`, `nvml:sampled`."""
        return self.energy.source

    @property
    def predicted_j_source(self) -> str | None:
        """`"predicted: model"` if there is a `predicted_j`."""
        return None if self.predicted_j is None else PREDICTED_SOURCE

    @property
    def energy_ratio(self) -> float | None:
        """Predicted over measured joules; None if one of them is unknown."""
        if self.predicted_j is None or self.measured_j is None:
            return None
        return self.predicted_j / self.measured_j

    def to_trace(self) -> dict[str, Any]:
        """Return a timeline for Perfetto or chrome://tracing of the measurement and, with hardware, the prediction."""
        trace: dict[str, Any] = render(self, "trace")
        return trace
