"""Comparisons of two profiles: figures before and after, by module and in total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isclose
from typing import Any

FIGURES = ("flops", "traffic_bytes", "parameter_bytes", "latency_s", "energy_j", "cost_usd")
"""The figures of a module, in the order in which reports show them."""

_COUNTS = ("flops", "contraction_flops", "pointwise_flops", "traffic_bytes")
_STORED = ("parameters", "parameter_bytes", "buffer_bytes", "peak_activation_bytes", "peak_memory_bytes")
ESTIMATED = (
    "latency_s",
    "throughput_per_s",
    "energy_j",
    "energy_per_item_j",
    "transfer_s",
    "cold_start_s",
    "cost_usd",
    "usd_per_million_tokens",
    "carbon_g",
)
TOTALS = (*_COUNTS, *_STORED, *ESTIMATED)
"""The figures of a whole model, in the order in which reports show them."""

UNCHANGED = "same"

_ROUNDING = 1e-9
"""Of a figure: sums and shares of equal numbers may differ in their last digits."""


@dataclass(frozen=True)
class Change:
    """One figure before and after; None where it is not known."""

    before: float | None
    after: float | None

    @property
    def difference(self) -> float | None:
        """After less before; None where one of them is not known."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def ratio(self) -> float | None:
        """After over before; None where one of them is not known, or nothing was there before."""
        return None if self.before is None or self.after is None or self.before == 0 else self.after / self.before

    @property
    def changed(self) -> bool:
        """Whether the two differ by more than rounding, or one of them alone is known."""
        if self.before is None or self.after is None:
            return self.before is not self.after
        return not isclose(self.before, self.after, rel_tol=_ROUNDING)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: `before`, `after`, `difference`, `ratio`."""
        return {name: getattr(self, name) for name in ("before", "after", "difference", "ratio")}


@dataclass(frozen=True)
class ModuleChange:
    """One module by itself, without the modules that it calls, so that modules add up to the total.

    Attributes:
        module: its path; empty for the model itself.
        status: `"added"`, `"removed"`, `"changed"`, or `"same"` where no figure differs.
        flops: FLOPs, contractions and everything else.
        traffic_bytes: bytes that are read and written.
        parameter_bytes: bytes of the parameters that it owns.
        latency_s: seconds.
        energy_j: joules.
        cost_usd: USD of one item of the batch: the model's cost by the module's share of the latency.
        same_work: whether both sides run the same operators there, with the same counts, on the same terms. What then
            differs is its share of what starting the model costs, what lies in a cache, or what it is fused with.
    """

    module: str
    status: str
    flops: Change
    traffic_bytes: Change
    parameter_bytes: Change
    latency_s: Change
    energy_j: Change
    cost_usd: Change
    same_work: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        return {
            "module": self.module,
            "status": self.status,
            **{name: getattr(self, name).to_dict() for name in FIGURES},
        }


@dataclass(frozen=True)
class Side:
    """What one of the two profiles is of, and on what terms.

    `hardware` and what belongs to it are None where nothing was timed. `precision` is None where the document does not
    say. `price` is the price of an hour in words; `utilization` the share of the paid time in use.
    """

    model: str
    hardware: str | None
    precision: str | None
    execution: str | None
    sizes: Mapping[str, int]
    threads: int | None = None
    sustained: bool | None = None
    devices: int = 1
    price: str | None = None
    utilization: float | None = None
    unmodelled: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**values, "sizes": dict(self.sizes), "unmodelled": dict(self.unmodelled)}


@dataclass(frozen=True)
class BrokenLimit:
    """A limit that does not hold, and why.

    Attributes:
        limit: the limit as it was written.
        figure: the figure of the whole model.
        before: its value before; None where it is not known.
        after: its value after; None where it is not known.
        reason: what it did, in words.
    """

    limit: str
    figure: str
    before: float | None
    after: float | None
    reason: str

    def __str__(self) -> str:
        return f"{self.limit}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """The JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """What changed between two profiles, and what it buys.

    `print(comparison)` shows the totals and the modules that changed. Every figure is a `Change`.

    Attributes:
        before: what the first profile is of.
        after: what the second one is of.
        warnings: where the two differ in more than the model, and what no figure has, in words.
        totals: figure -> its change, for those of a module and of the whole (`peak_memory_bytes`, `carbon_g`, ...).
        modules: the modules of both, in the order of the graph.
        added: the paths that are new: `layer3.6` if everything below it is new, and not each module of it.
        removed: the paths that are gone, likewise.
        failed: the broken limits, of those that `compare` was given.
    """

    before: Side
    after: Side
    warnings: tuple[str, ...]
    totals: Mapping[str, Change] = field(repr=False)
    modules: tuple[ModuleChange, ...] = field(repr=False)
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    failed: tuple[BrokenLimit, ...] = ()

    def __getitem__(self, module: str) -> ModuleChange:
        """A module by its path.

        Raises:
            KeyError: there is none of that path on either side.
        """
        for row in self.modules:
            if row.module == module:
                return row
        raise KeyError(f"no module {module!r} on either side; there are {[row.module for row in self.modules][:5]} ...")

    @property
    def changed(self) -> bool:
        """Whether any total or any module differs."""
        return any(total.changed for total in self.totals.values()) or any(
            row.status != UNCHANGED for row in self.modules
        )

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        from ..report.html.snippet import comparison_snippet

        return comparison_snippet(self)

    def to_text(self, *, depth: int | None = None, width: int = 100) -> str:
        """The table as plain text.

        Args:
            depth: modules below it are added up; None shows what was added or removed as a whole by one row, and goes
                down to the modules that differ as far as the table stays short.
            width: characters in a line.
        """
        from ..report.comparison import comparison_view
        from ..report.table import as_text

        return as_text(comparison_view(self, depth=depth), width=width)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: `schema_version`, `before`, `after`, `failed`, `warnings`, `totals`, `modules`, ..."""
        from ..report.comparison import comparison_document

        return comparison_document(self)

    def to_json(self, *, indent: int | None = 2) -> str:
        """`to_dict` as text."""
        from ..report.document import as_json

        return as_json(self.to_dict(), indent=indent)

    def to_csv(self) -> str:
        """One line per module, and first the total, whose module is `(total)`."""
        from ..report.comparison import comparison_csv

        return comparison_csv(self)

    def to_markdown(self, *, depth: int | None = None) -> str:
        """What changed, as Markdown for a pull request: in a line, the totals, and the modules that differ."""
        from ..report.comparison_markdown import comparison_markdown

        return comparison_markdown(self, depth=depth)
