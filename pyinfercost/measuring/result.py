"""A measured forward beside what was predicted of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class MeasuredLayer:
    """One module by itself, without the modules that it calls.

    Attributes:
        module: its path; empty for the model itself.
        ops: the ops that it calls, each once.
        measured_s: the median of what it took.
        predicted_s: what was predicted of these ops; None without hardware.
    """

    module: str
    ops: tuple[str, ...]
    measured_s: float
    predicted_s: float | None

    @property
    def off_s(self) -> float:
        """How far the prediction lies from the measurement."""
        return abs(self.measured_s - (self.predicted_s or 0.0))


@dataclass(frozen=True)
class Measurement:
    """One forward as it ran here: the median with its quartiles, and what was predicted.

    `layers` is empty where modules cannot be told apart, as in a compiled graph. Their sum is more than
    `measured_s` by what it costs to look at them.
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

    @property
    def ratio(self) -> float | None:
        """Predicted over measured; None without a prediction."""
        return None if self.predicted_s is None else self.predicted_s / self.measured_s

    def worst(self) -> list[MeasuredLayer]:
        """The layers, those first whose prediction is off by most seconds; without a prediction, the slowest."""
        return sorted(self.layers, key=lambda layer: layer.off_s, reverse=True)

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = 100) -> str:
        """The table as plain text."""
        from ..report.measured import measured_view
        from ..report.table import as_text

        return as_text(measured_view(self), width=width)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "layers"}
        return {
            "schema_version": SCHEMA_VERSION,
            **fields,
            "ratio": self.ratio,
            "layers": [
                {
                    "module": layer.module,
                    "ops": list(layer.ops),
                    "measured_s": layer.measured_s,
                    "predicted_s": layer.predicted_s,
                }
                for layer in self.worst()
            ],
        }

    def to_json(self, *, indent: int | None = 2) -> str:
        """`to_dict` as text."""
        from ..report.document import as_json

        return as_json(self.to_dict(), indent=indent)

    def to_csv(self) -> str:
        """One line per layer, and first the whole model, whose module is `(total)`."""
        from ..report.measured import measured_csv

        return measured_csv(self)

    def to_markdown(self) -> str:
        """The totals and the layers as Markdown."""
        from ..report.measured import measured_markdown

        return measured_markdown(self)
