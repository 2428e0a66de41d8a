"""What a measurement of activations found; torch is not needed to read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .result import SCHEMA_VERSION


@dataclass(frozen=True)
class ActivationRow:
    """One activation operator of one module, all its calls added up.

    Attributes:
        module: The path of the innermost module that called it; empty for the model itself.
        op: As torch's operators are called, without the trailing underscore of in-place ones.
        calls: How often it ran.
        elements: Of all its results.
        zeros: How many of these are zero.
    """

    module: str
    op: str
    calls: int
    elements: int
    zeros: int

    @property
    def zero_share(self) -> float:
        """The share of zeros; 0 where there are no elements."""
        return self.zeros / self.elements if self.elements else 0.0


@dataclass(frozen=True)
class ActivationSparsity:
    """The activations of one forward."""

    model: str
    rows: tuple[ActivationRow, ...]

    @property
    def elements(self) -> int:
        """Of all results."""
        return sum(row.elements for row in self.rows)

    @property
    def zeros(self) -> int:
        """How many of these are zero."""
        return sum(row.zeros for row in self.rows)

    @property
    def zero_share(self) -> float:
        """The share of zeros; 0 where there are no elements."""
        return self.zeros / self.elements if self.elements else 0.0

    def __repr__(self) -> str:
        return f"ActivationSparsity(model={self.model!r}, rows={len(self.rows)}, zero_share={self.zero_share:.4g})"

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, width: int = 100) -> str:
        """The table as plain text."""
        from ..report.sparsity import activation_view
        from ..report.table import as_text

        return as_text(activation_view(self), width=width)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        names = ("module", "op", "calls", "elements", "zeros", "zero_share")
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "totals": {name: getattr(self, name) for name in ("elements", "zeros", "zero_share")},
            "activations": [{name: getattr(row, name) for name in names} for row in self.rows],
        }

    def to_json(self, *, indent: int | None = 2) -> str:
        """`to_dict` as text."""
        from ..report.document import as_json

        return as_json(self.to_dict(), indent=indent)
