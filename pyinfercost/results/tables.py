"""Result types: the layers of a model with their shapes, and totals by operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..report.render import render
from .declared import declared, derived, fact, figure
from .figures import LESS
from .result import Result

if TYPE_CHECKING:
    from .._core import Quantity


@declared
class ModuleRow:
    """One module with everything below it."""

    module: str = fact("Path of the module; empty for the model itself.")
    depth: int = fact("Number of names in the path.")
    op: str = fact("Its operator, if it calls a single one that computes or moves bytes; else empty.")
    calls: int = fact("Operators that it calls.")
    input_shape: tuple[Quantity, ...] | None = fact(
        "Shape of the first tensor that it reads and does not make; None without one. Lengths are numbers, or "
        "expressions in sizes without a value. In CSV, shapes are texts.",
        row=True,
    )
    output_shape: tuple[Quantity, ...] | None = fact(
        "Shape of the tensor that its last operator returns; None without one.", row=True
    )
    kernel_shape: tuple[Quantity, ...] | None = fact(
        "Lengths of the window of a convolution or a pooling; None for other modules.", row=True
    )
    own_parameters: Quantity = figure("Elements of its own weights, without the weights of modules below.")
    parameters: Quantity = figure(
        "Elements of all weights below; a weight that modules share counts for one of them.", better=LESS
    )
    trainable: bool | None = fact(
        "Whether its own weights are of floating point, as trained ones are; None without own weights. A graph does "
        "not say which of them are frozen."
    )
    mult_adds: Quantity = figure("Multiply-adds of products, convolutions and attention.", better=LESS)
    flops: Quantity = figure("All floating-point operations; a multiply-add is 2.", unit="FLOP", better=LESS)
    activations: Quantity = figure("Elements that products, convolutions and attention return.", better=LESS)
    latency_s: float | None = figure("Seconds; None without a machine.", better=LESS)


@declared
class ModuleTable(Result):
    """The modules of a model with shapes, weights and multiply-adds: the table of torchinfo, and what fvcore counts."""

    document_key = "modules"
    rows_of = "rows"

    model: str = fact("Name of the model.")
    rows: tuple[ModuleRow, ...] = fact(
        "The modules in the order of their first calls, each before those below it; the first one is the model."
    )
    input_bytes: Quantity = figure("Bytes of the inputs.")
    parameter_bytes: Quantity = figure("Bytes of the weights.", better=LESS)
    peak_activation_bytes: Quantity = figure("Bytes of activations at the peak.", better=LESS)
    hardware: str | None = fact("Id of the machine; None without one.")

    def to_text(self, *, depth: int | None = None, width: int = 100) -> str:
        """Return the table as plain text.

        Args:
            depth: Modules below this depth have no row; None is 3, as in torchinfo.
            width: Width of a line in characters.

        Returns:
            The text.
        """
        text: str = render(self, "text", depth=depth, width=width)
        return text

    def to_markdown(self, *, depth: int | None = None) -> str:
        """Return the table as Markdown.

        Args:
            depth: As in `to_text`.

        Returns:
            The Markdown text.
        """
        text: str = render(self, "markdown", depth=depth)
        return text

    def __repr__(self) -> str:
        return f"<ModuleTable of {self.model or 'a graph'}: {len(self.rows)} modules>"


@declared
class OperatorRow:
    """All calls of one operator."""

    op: str = fact("The operator, such as `aten.conv2d`.")
    calls: int = fact("Number of calls.")

    @property
    @derived(unit="FLOP", better=LESS)
    def flops(self) -> Quantity:
        """All FLOPs."""
        return self.contraction_flops + self.pointwise_flops

    contraction_flops: Quantity = figure("FLOPs of products, convolutions and attention.", better=LESS)
    pointwise_flops: Quantity = figure("All other FLOPs.", better=LESS)

    @property
    @derived(better=LESS)
    def mult_adds(self) -> Quantity:
        """Multiply-adds: half of `contraction_flops`."""
        return self.contraction_flops // 2

    bytes_read: Quantity = figure("Bytes that it reads.", unit="B", better=LESS)
    bytes_written: Quantity = figure("Bytes that it writes.", unit="B", better=LESS)
    latency_s: float | None = figure("Seconds of the kernels attributed to it; None without a machine.", better=LESS)
    energy_j: float | None = figure("Joules of these; None without a machine of known power.", better=LESS)
    share: float | None = figure(
        "Share of the latency, or without a machine of the FLOPs; None if it depends on sizes without a value.",
        unit="share",
    )
    is_modelled: bool = fact("Whether it has a rule; otherwise its counts are unknown, and 0 here.")


@declared
class OperatorTable(Result):
    """Totals of a model by operator, the most costly one first."""

    document_key = "operators"
    rows_of = "rows"

    model: str = fact("Name of the model.")
    rows: tuple[OperatorRow, ...] = fact("The operators.")
    hardware: str | None = fact("Id of the machine; None without one.")

    def __repr__(self) -> str:
        return f"<OperatorTable of {self.model or 'a graph'}: {len(self.rows)} operators>"
