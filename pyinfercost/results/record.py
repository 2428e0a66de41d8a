"""Records of cost over steps: flat figures whose names include units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import UnknownNameError

Metrics = Mapping[str, float | int]


@dataclass(frozen=True)
class CostRecord:
    """Figures of one step.

    Attributes:
        step: Number of completed optimizer steps.
        metrics: Figures by name, such as `cost/l4/latency_s`, `sparsity/zero_share`, `training/mfu`. Unknown figures
            are absent, and `notes` give the reasons.
        notes: Descriptions of missing figures and assumptions.
    """

    step: int
    metrics: Metrics
    notes: tuple[str, ...] = field(default=(), repr=False)

    def __getitem__(self, name: str) -> float | int:
        """Return a figure by its name.

        Raises:
            UnknownNameError: The record has no such figure; the message lists similar names and the notes.
        """
        try:
            return self.metrics[name]
        except KeyError:
            near = [known for known in self.metrics if known.rpartition("/")[2] == name.rpartition("/")[2]]
            why = f"; {'; '.join(self.notes)}" if self.notes else ""
            raise UnknownNameError(
                f"the record has no {name!r}; it has {', '.join(near or self.metrics)}{why}"
            ) from None

    def to_dict(self) -> dict[str, object]:
        """Return the JSON object."""
        return {"step": self.step, "metrics": dict(self.metrics), "notes": list(self.notes)}
