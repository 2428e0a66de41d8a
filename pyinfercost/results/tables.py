"""Result types: the layers of a model with their shapes, and totals by operator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..report.render import render
from .result import Result

if TYPE_CHECKING:
    from .._core import Quantity


@dataclass(frozen=True)
class ModuleRow:
    """One module with everything below it.

    Attributes:
        module: Path of the module; empty for the model itself.
        depth: Number of names in the path.
        op: Its operator, if it calls a single one that computes or moves bytes; else empty.
        calls: Operators that it calls.
        input_shape: Shape of the first tensor that it reads and does not make; None without one. Lengths are numbers,
            or expressions in sizes without a value.
        output_shape: Shape of the tensor that its last operator returns; None without one.
        kernel_shape: Lengths of the window of a convolution or a pooling; None for other modules.
        own_parameters: Elements of its own weights, without those of modules below.
        parameters: Elements of all weights below; a weight that modules share counts for one of them.
        trainable: Whether its own weights are of floating point, as trained ones are; None without own weights. A graph
            does not say which of them are frozen.
        mult_adds: Multiply-adds of products, convolutions and attention.
        flops: All floating-point operations; a multiply-add is 2.
        activations: Elements that products, convolutions and attention return.
        latency_s: Seconds; None without a machine.
    """

    module: str
    depth: int
    op: str
    calls: int
    input_shape: tuple[Quantity, ...] | None
    output_shape: tuple[Quantity, ...] | None
    kernel_shape: tuple[Quantity, ...] | None
    own_parameters: Quantity
    parameters: Quantity
    trainable: bool | None
    mult_adds: Quantity
    flops: Quantity
    activations: Quantity
    latency_s: float | None


@dataclass(frozen=True, repr=False)
class ModuleTable(Result):
    """The modules of a model with shapes, weights and multiply-adds: the table of torchinfo, and what fvcore counts.

    Attributes:
        model: Name of the model.
        rows: The modules in the order of their first calls, each before those below it; the first one is the model.
        input_bytes: Bytes of the inputs.
        parameter_bytes: Bytes of the weights.
        peak_activation_bytes: Bytes of activations at the peak.
        hardware: Id of the machine; None without one.
    """

    model: str
    rows: tuple[ModuleRow, ...] = field(repr=False)
    input_bytes: Quantity
    parameter_bytes: Quantity
    peak_activation_bytes: Quantity
    hardware: str | None

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


@dataclass(frozen=True)
class OperatorRow:
    """All calls of one operator.

    Attributes:
        op: The operator, such as `aten.conv2d`.
        calls: Number of calls.
        contraction_flops: FLOPs of products, convolutions and attention.
        pointwise_flops: All other FLOPs.
        bytes_read: Bytes that it reads.
        bytes_written: Bytes that it writes.
        latency_s: Seconds of the kernels attributed to it; None without a machine.
        energy_j: Joules of these; None without a machine of known power.
        share: Share of the latency, or without a machine of the FLOPs; None if it depends on sizes without a value.
        is_modelled: Whether it has a rule; otherwise its counts are unknown, and 0 here.
    """

    op: str
    calls: int
    contraction_flops: Quantity
    pointwise_flops: Quantity
    bytes_read: Quantity
    bytes_written: Quantity
    latency_s: float | None
    energy_j: float | None
    share: float | None
    is_modelled: bool

    @property
    def flops(self) -> Quantity:
        """All FLOPs."""
        return self.contraction_flops + self.pointwise_flops


@dataclass(frozen=True, repr=False)
class OperatorTable(Result):
    """Totals of a model by operator, the most costly one first.

    Attributes:
        model: Name of the model.
        rows: The operators.
        hardware: Id of the machine; None without one.
    """

    model: str
    rows: tuple[OperatorRow, ...] = field(repr=False)
    hardware: str | None

    def __repr__(self) -> str:
        return f"<OperatorTable of {self.model or 'a graph'}: {len(self.rows)} operators>"
