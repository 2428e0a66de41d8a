"""The weights of a model or a file, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .figures import Figures, Magnitudes, total_of

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class WeightSparsity:
    """One weight.

    Attributes:
        name: Its name; empty for a lone array.
        form: How its zeros are kept: `dense` (as stored numbers), `mask` (`torch.nn.utils.prune`), `parametrization`,
            `coo`, `csr`, `csc`, `bsr`, `bsc`, `semi_structured`, or `quantised` (zeros of the integers). Only sparse
            and semi-structured forms save bytes or time by themselves.
        dtype: Of its elements, as torch spells it; `int4` and `uint4` for two in a byte.
        shape: Its sizes.
        figures: The counts.
        magnitudes: A sample of magnitudes; of quantised weights those of the integers.
        aliases: Other names of the same memory.
        note: What the figures leave out, in words; empty if nothing.
    """

    name: str
    form: str
    dtype: str
    shape: tuple[int, ...]
    figures: Figures
    magnitudes: Magnitudes | None = field(repr=False)
    aliases: tuple[str, ...] = ()
    note: str = ""

    @property
    def zero_share(self) -> float:
        """The share of elements that are zero."""
        return self.figures.zero_share

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "name": self.name,
            "aliases": list(self.aliases),
            "form": self.form,
            "dtype": self.dtype,
            "shape": list(self.shape),
            **self.figures.to_dict(),
            "magnitudes": None if self.magnitudes is None else self.magnitudes.to_dict(),
            "note": self.note,
        }


@dataclass(frozen=True)
class Skipped:
    """A weight that was not scanned, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Sparsity:
    """The weights of a model, a file or a tensor.

    Attributes:
        model: What was scanned.
        weights: One row for each weight, in the model's order.
        skipped: What could not be scanned. It is in no figure.
    """

    model: str
    weights: tuple[WeightSparsity, ...]
    skipped: tuple[Skipped, ...] = ()

    @property
    def total(self) -> Figures:
        """All weights together."""
        return total_of(weight.figures for weight in self.weights)

    def __getitem__(self, name: str) -> WeightSparsity:
        """A weight by its name or an alias."""
        for weight in self.weights:
            if name == weight.name or name in weight.aliases:
                return weight
        raise KeyError(f"no weight is called {name!r}; there are {[weight.name for weight in self.weights][:5]} ...")

    def __repr__(self) -> str:
        total = self.total
        return (
            f"Sparsity(model={self.model!r}, weights={len(self.weights)}, elements={total.elements}, "
            f"zero_share={total.zero_share:.4g})"
        )

    def __str__(self) -> str:
        return self.to_text()

    def to_text(self, *, depth: int | None = None, width: int = 100) -> str:
        """The table as plain text; `depth` adds up what lies deeper."""
        from ..report.sparsity import sparsity_view
        from ..report.table import as_text

        return as_text(sparsity_view(self, depth=depth), width=width)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "totals": self.total.to_dict(),
            "weights": [weight.to_dict() for weight in self.weights],
            "skipped": [{"name": item.name, "reason": item.reason} for item in self.skipped],
        }

    def to_json(self, *, indent: int | None = 2) -> str:
        """`to_dict` as text."""
        from ..report.document import as_json

        return as_json(self.to_dict(), indent=indent)

    def to_csv(self) -> str:
        """One line for each weight."""
        from ..report.sparsity import sparsity_csv

        return sparsity_csv(self)
