"""Sparsity of weights and activations, and the speedup from zeros."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import UnknownNameError
from ..report.render import render
from .result import Result

BINS_PER_OCTAVE = 4
"""Bins of a histogram per factor of two, as in csrc/sparsity/magnitudes.hpp."""


@dataclass(frozen=True)
class Groups:
    """N:M structure along one axis: groups of `m` neighbors of which at most `n` are nonzero.

    Attributes:
        n: Nonzero elements that a group may have.
        m: Length of a group. The last group of a row may be shorter; it is padded with zeros.
        axis: `"rows"`, along each row (in a linear layer: its inputs, the axis of the reduction), or `"columns"`.
        groups: Number of groups.
        satisfied: Number of groups with the structure.
    """

    n: int
    m: int
    axis: str
    groups: int
    satisfied: int

    @property
    def share(self) -> float:
        """Share of groups with the structure; 0 without groups."""
        return _ratio(self.satisfied, self.groups)

    @property
    def holds(self) -> bool:
        """Whether all groups have the structure."""
        return self.groups > 0 and self.satisfied == self.groups

    @property
    def label(self) -> str:
        """`2:4` along rows, `2:4 columns` along columns."""
        return f"{self.n}:{self.m}" + ("" if self.axis == "rows" else f" {self.axis}")


@dataclass(frozen=True)
class Blocks:
    """Square blocks of a weight as a matrix. Smaller blocks at the edges are padded with zeros."""

    size: int
    blocks: int
    zero: int

    @property
    def zero_share(self) -> float:
        """Share of blocks that are entirely zero."""
        return _ratio(self.zero, self.blocks)


@dataclass(frozen=True)
class Magnitudes:
    """Magnitudes of the elements, from a sample of one element of each of 16,384 equal shares (all elements, if fewer).

    A hash of the share's index selects its element, so that all machines sample the same elements.

    Attributes:
        sampled: Number of sampled elements.
        zeros: Number of them that are zero.
        nonfinite: Number of them that are infinite or NaN; no other figure includes these.
        largest: Largest magnitude; 0 if all are zero.
        smallest: Smallest nonzero magnitude.
        root_mean_square: Root mean square of the finite elements, zeros included.
        lowest_octave: Exponent of the power of two at which the first bin starts.
        below: Number of nonzero elements below the first bin.
        bins: Counts; each octave (factor of two) has four bins of equal width.
    """

    sampled: int
    zeros: int
    nonfinite: int
    largest: float
    smallest: float
    root_mean_square: float
    lowest_octave: int
    below: int
    bins: tuple[int, ...] = field(repr=False)


@dataclass(frozen=True)
class Figures:
    """Counts that add up over weights.

    Attributes:
        elements: Elements of the dense weight.
        zeros: Number of them that are zero, stored or not.
        rows: Entries of the first dimension: output channels of linear layers and convolutions. 0 below two dimensions,
            as are `channels`, `groups` along columns, and `blocks`.
        zero_rows: Rows that are entirely zero.
        channels: Entries of the second dimension: input channels of linear layers and convolutions.
        zero_channels: Channels that are entirely zero.
        groups: N:M structure along the axes that are long enough for it.
        blocks: Blocks of the matrix that are entirely zero, by size.
        stored_bytes: Bytes of the weight in memory, with its indices, masks and scales.
    """

    elements: int = 0
    zeros: int = 0
    rows: int = 0
    zero_rows: int = 0
    channels: int = 0
    zero_channels: int = 0
    groups: tuple[Groups, ...] = ()
    blocks: tuple[Blocks, ...] = ()
    stored_bytes: int = 0

    @property
    def zero_share(self) -> float:
        """Share of elements that are zero; 0 without elements."""
        return _ratio(self.zeros, self.elements)

    @property
    def density(self) -> float:
        """Share of elements that are nonzero; 1 without elements."""
        return 1 - self.zero_share

    @property
    def best_groups(self) -> Groups | None:
        """Strictest N:M structure of all groups, along rows if both axes have it; None without one."""
        holding = [groups for groups in self.groups if groups.holds]
        return min(holding, key=lambda g: (g.n / g.m, g.m, g.axis != "rows"), default=None)

    @property
    def best_blocks(self) -> Blocks | None:
        """Largest block size whose zero blocks cover at least 90 % of the elements in zero blocks of the best size."""
        found = [blocks for blocks in self.blocks if blocks.zero]
        wanted = 0.9 * max((blocks.zero_share for blocks in found), default=0.0)
        return max((b for b in found if b.zero_share >= wanted), key=lambda b: b.size, default=None)


@dataclass(frozen=True)
class WeightSparsity:
    """One weight.

    Attributes:
        name: Its name; empty for a lone array.
        form: Storage of its zeros: `dense` (as stored numbers), `mask` (`torch.nn.utils.prune`), `parametrization`,
            `coo`, `csr`, `csc`, `bsr`, `bsc`, `semi_structured`, or `quantized` (zeros of the integers). Only sparse
            and semi-structured forms save bytes or time by themselves.
        dtype: Torch's name of the dtype of its elements; `int4` and `uint4` for two in a byte.
        shape: Its shape.
        figures: The counts.
        magnitudes: A sample of magnitudes; for quantized weights, of the integers.
        aliases: Other names of the same memory.
        note: Description of omitted figures; empty if there are none.
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
        """Share of elements that are zero."""
        return self.figures.zero_share

    @property
    def holds_2_4(self) -> bool:
        """Whether at least two of every four neighbors in a row are zero."""
        return any((g.n, g.m, g.axis) == (2, 4, "rows") and g.holds for g in self.figures.groups)


@dataclass(frozen=True)
class Skipped:
    """A weight that was not scanned, with the reason."""

    name: str
    reason: str


@dataclass(frozen=True)
class Sparsity(Result):
    """Sparsity of the weights of a model, a file or a tensor.

    Attributes:
        model: Name of the model, path of the file, `"array"` or `"tensor"`.
        weights: One row per weight, in the model's order.
        total: The counts of all weights.
        skipped: Weights that could not be scanned; no figure includes them.
    """

    model: str
    weights: tuple[WeightSparsity, ...]
    total: Figures
    skipped: tuple[Skipped, ...] = ()

    def __getitem__(self, name: str) -> WeightSparsity:
        """Return a weight by its name or an alias.

        Raises:
            UnknownNameError: No weight has the name.
        """
        for weight in self.weights:
            if name == weight.name or name in weight.aliases:
                return weight
        raise UnknownNameError(
            f"no weight is called {name!r}; there are {[weight.name for weight in self.weights][:5]} ..."
        )

    def __repr__(self) -> str:
        total = self.total
        return (
            f"Sparsity(model={self.model!r}, weights={len(self.weights)}, elements={total.elements}, "
            f"zero_share={total.zero_share:.4g})"
        )

    def to_text(self, *, depth: int | None = None, width: int = 100) -> str:
        """Return the table as plain text.

        Args:
            depth: Weights of modules below this depth are summed up; None shows each weight.
            width: Width of a line in characters.

        Returns:
            The text.
        """
        text: str = render(self, "text", depth=depth, width=width)
        return text


@dataclass(frozen=True)
class ActivationRow:
    """One activation operator of one module, with all its calls.

    Attributes:
        module: Path of the innermost module that called it; empty for the model itself.
        op: Name of torch's operator, without the trailing underscore of in-place operators.
        calls: Number of calls.
        elements: Elements of all its results.
        zeros: Number of them that are zero.
    """

    module: str
    op: str
    calls: int
    elements: int
    zeros: int

    @property
    def zero_share(self) -> float:
        """Share of zeros; 0 without elements."""
        return self.zeros / self.elements if self.elements else 0.0


@dataclass(frozen=True)
class ActivationSparsity(Result):
    """Zeros in the activations of one forward.

    Attributes:
        model: Class of the model.
        rows: One per module and activation operator, in the order of the first calls.
        elements: Elements of all results.
        zeros: Number of them that are zero.
    """

    model: str
    rows: tuple[ActivationRow, ...]
    elements: int
    zeros: int

    @property
    def zero_share(self) -> float:
        """Share of zeros; 0 without elements."""
        return self.zeros / self.elements if self.elements else 0.0

    def __repr__(self) -> str:
        return f"ActivationSparsity(model={self.model!r}, rows={len(self.rows)}, zero_share={self.zero_share:.4g})"


@dataclass(frozen=True)
class LayerSpeedup:
    """Speedup from the zeros of one weight.

    Attributes:
        module: The layer.
        weight: Name of its weight.
        form: Storage of the zeros, as in `WeightSparsity`.
        zero_share: Share of the weight's elements that are zero.
        dense_flops: FLOPs of the dense product, two per multiply-add.
        effective_flops: FLOPs with nonzero weights.
        dense_bytes: Bytes of the dense weight.
        compressed_bytes: Fewest bytes of any format: 2:4 if the weight has that structure, else nonzero elements with
            an index of 16 bits each, or the dense bytes if they are fewer.
        latency_s: Seconds of the layer as it runs.
        realizable_s: Seconds of the layer with the machine's kernels for these zeros.
        why: The reason.
    """

    module: str
    weight: str
    form: str
    zero_share: float
    dense_flops: int
    effective_flops: float
    dense_bytes: int
    compressed_bytes: int
    latency_s: float
    realizable_s: float
    why: str

    @property
    def speedup(self) -> float:
        """Dense over realizable time; 1.0 if no kernel uses the zeros."""
        return self.latency_s / self.realizable_s if self.realizable_s > 0 else 1.0


@dataclass(frozen=True)
class SparsitySpeedup(Result):
    """Speedup from zeros in weights on one machine, layer by layer.

    Attributes:
        hardware: Id of the machine.
        latency_s: Seconds of the forward as it runs.
        realizable_s: Seconds with the machine's kernels for these zeros.
        layers: One per product with a scanned weight.
    """

    hardware: str
    latency_s: float
    realizable_s: float
    layers: tuple[LayerSpeedup, ...]

    @property
    def speedup(self) -> float:
        """Dense over realizable time of the forward."""
        return self.latency_s / self.realizable_s if self.realizable_s > 0 else 1.0


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
