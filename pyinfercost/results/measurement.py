"""Measurements of a forward with its prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..report.render import render
from .declared import declared, derived, fact, figure
from .figures import LESS
from .result import Result

if TYPE_CHECKING:
    from .profile import Profile


@declared
class MeasuredLayer:
    """One module without its submodules."""

    module: str = fact("Its path; empty for the model itself.")
    ops: tuple[str, ...] = fact("The operators that it calls, each once.", row=True)
    measured_s: float = figure("Median of the measured seconds.", better=LESS)
    predicted_s: float | None = figure("Predicted seconds of these operators; None without hardware.", better=LESS)

    @property
    @derived()
    def ratio(self) -> float | None:
        """Predicted over measured; None without a prediction, and for a module that takes no time."""
        return None if self.predicted_s is None or self.measured_s <= 0 else self.predicted_s / self.measured_s


@declared
class ForwardEnergy:
    """Joules of one forward from an energy counter of the machine. Without a counter, all figures are None."""

    joules: float | None = figure(
        "Mean joules per forward, idle draw and other processes included.", default=None, unit="J", better=LESS
    )
    above_idle_j: float | None = figure("The same less the idle draw over the same time.", default=None, better=LESS)
    idle_w: float | None = figure("Watts before the first forward.", default=None)
    source: str | None = fact("The counter: `rapl:package-0+dram`, `nvml:counter`, `nvml:sampled`.", default=None)
    covers: str | None = fact("Description of the measured hardware.", default=None)
    resolution: float | None = fact(
        "One step of the counter as a share of the whole reading; 0.01 or less.", default=None
    )
    runs: int = fact("Forwards in the reading.", default=0)
    duration_s: float | None = fact("Seconds of the reading.", default=None)
    why_not: str | None = fact("The missing counter and the reason, if there is none.", default=None)


NOT_ASKED_FOR = ForwardEnergy(why_not="it was not requested")

PREDICTED_SOURCE = "predicted: model"
"""Source of predicted joules."""


@declared
class Measurement(Result):
    """A measured forward: median and quartiles of its time, joules, and the prediction."""

    document_key = "measured"

    model: str = fact("Name of the model.")
    sizes: dict[str, int] = fact("Named size -> its value.")
    execution: str = fact("How the model runs.")
    precision: str = fact("Precision of the run.")
    device: str = fact("Device, in torch's notation.")
    threads: int = fact("Number of torch's threads.")
    hardware: str | None = fact("Id of the machine of the prediction; None without one.")
    runs: int = fact("Number of timed forwards.")
    measured_s: float = figure("Median of the measured seconds.", better=LESS)
    measured_low_s: float = figure("The lower quartile.")
    measured_high_s: float = figure("The upper quartile.")
    predicted_s: float | None = figure("Predicted seconds; None, like their band, without hardware.", better=LESS)
    predicted_low_s: float | None = figure("The lower end of their band.")
    predicted_high_s: float | None = figure("The upper end of the band.")
    layers: tuple[MeasuredLayer, ...] = fact(
        "The modules; in JSON and tables with the worst prediction first. Empty if they cannot be separated, as in a "
        "compiled graph. Their sum exceeds `measured_s` by the cost of timing them."
    )
    energy: ForwardEnergy = fact("The reading of the counter.", default=NOT_ASKED_FOR)
    predicted_j: float | None = figure("Predicted joules; None if they are unknown.", default=None, better=LESS)
    predicted_low_j: float | None = figure("The lower end of their band.", default=None)
    predicted_high_j: float | None = figure("The upper end of the band.", default=None)
    prediction: Profile | None = fact(
        "Profile of the forward on the machine of the prediction; None without hardware.",
        default=None,
        inner=True,
        compare=False,
    )

    @property
    @derived()
    def ratio(self) -> float | None:
        """Predicted over measured; None without a prediction."""
        return None if self.predicted_s is None else self.predicted_s / self.measured_s

    @property
    @derived(better=LESS)
    def measured_j(self) -> float | None:
        """Measured joules of one forward; None without a counter."""
        return self.energy.joules

    @property
    @derived(is_figure=False)
    def energy_source(self) -> str | None:
        """The counter of `measured_j`: `rapl:package-0+dram`, `nvml:counter`, `nvml:sampled`."""
        return self.energy.source

    @property
    @derived(is_figure=False)
    def predicted_j_source(self) -> str | None:
        """`"predicted: model"` if there is a `predicted_j`."""
        return None if self.predicted_j is None else PREDICTED_SOURCE

    @property
    @derived()
    def energy_ratio(self) -> float | None:
        """Predicted over measured joules; None if one of them is unknown."""
        if self.predicted_j is None or self.measured_j is None:
            return None
        return self.predicted_j / self.measured_j

    def to_trace(self) -> dict[str, Any]:
        """Return a timeline for Perfetto or chrome://tracing of the measurement and, with hardware, the prediction."""
        trace: dict[str, Any] = render(self, "trace")
        return trace
