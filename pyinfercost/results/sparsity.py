"""Sparsity of weights and activations, and the speedup that zeros bring."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..report.render import render
from .result import Result

BINS_PER_OCTAVE = 4
"""As in csrc/sparsity/magnitudes.hpp."""


@dataclass(frozen=True)
class Groups:
    """N:M structure along one axis: groups of `m` neighbours of which at most `n` are not zero.

    Attributes:
        n: How many of a group may be kept.
        m: The length of a group. The last one of a row may be shorter, and counts as filled up with zeros.
        axis: `"rows"`, along each row (of a linear layer: its inputs, the axis of the reduction), or `"columns"`.
        groups: How many there are.
        satisfied: How many of them have the structure.
    """

    n: int
    m: int
    axis: str
    groups: int
    satisfied: int

    @property
    def share(self) -> float:
        """The share of groups that have the structure; 0 where there are none."""
        return _ratio(self.satisfied, self.groups)

    @property
    def holds(self) -> bool:
        """Whether all have it."""
        return self.groups > 0 and self.satisfied == self.groups

    @property
    def label(self) -> str:
        """`2:4` along rows, `2:4 columns` along columns."""
        return f"{self.n}:{self.m}" + ("" if self.axis == "rows" else f" {self.axis}")


@dataclass(frozen=True)
class Blocks:
    """Square blocks of a weight as a matrix. At an edge they are smaller, and count as filled up with zeros."""

    size: int
    blocks: int
    zero: int

    @property
    def zero_share(self) -> float:
        """The share of blocks that are wholly zero."""
        return _ratio(self.zero, self.blocks)


@dataclass(frozen=True)
class Magnitudes:
    """How large the elements are, by a sample of one from each of 16,384 equal shares of them (or all, if fewer).

    Which element of a share is taken is decided by a hash of the share's number: the same ones on every machine.

    Attributes:
        sampled: How many elements were looked at.
        zeros: How many of these are zero.
        nonfinite: How many are infinite or not a number; these are in no other figure.
        largest: The largest magnitude; 0 where nothing else was found.
        smallest: The smallest one that is not zero.
        root_mean_square: Of all finite elements, zeros among them.
        lowest_octave: The first bin starts at two to this power.
        below: How many are not zero and lie below the first bin.
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
        elements: Of the weight as a dense one.
        zeros: How many of these are zero, stored or not.
        rows: Entries of the first dimension: output channels of linear layers and convolutions. 0 below two dimensions,
            as `channels`, `groups` along columns, and `blocks`.
        zero_rows: How many of them are wholly zero.
        channels: Entries of the second dimension, with all behind it: input channels of linear layers and convolutions.
        zero_channels: How many of them are wholly zero.
        groups: N:M structure along axes that are long enough for it.
        blocks: Wholly zero blocks of the matrix.
        stored_bytes: What the weight takes in memory, with its indices, masks and scales.
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
        """The share of elements that are zero; 0 where there are none."""
        return _ratio(self.zeros, self.elements)

    @property
    def density(self) -> float:
        """The share of elements that are not zero; 1 where there are none."""
        return 1 - self.zero_share

    @property
    def best_groups(self) -> Groups | None:
        """The strictest N:M structure that all groups have, along rows where both axes have it."""
        holding = [groups for groups in self.groups if groups.holds]
        return min(holding, key=lambda g: (g.n / g.m, g.m, g.axis != "rows"), default=None)

    @property
    def best_blocks(self) -> Blocks | None:
        """The largest blocks whose zero ones cover nearly as much (90 %) as zero blocks of the smallest size do."""
        found = [blocks for blocks in self.blocks if blocks.zero]
        wanted = 0.9 * max((blocks.zero_share for blocks in found), default=0.0)
        return max((b for b in found if b.zero_share >= wanted), key=lambda b: b.size, default=None)


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


@dataclass(frozen=True)
class Skipped:
    """A weight that was not scanned, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Sparsity(Result):
    """The weights of a model, a file or a tensor.

    Attributes:
        model: What was scanned.
        weights: one row per weight, in the model's order.
        total: the counts of all weights.
        skipped: weights that could not be scanned; no figure includes them.
    """

    model: str
    weights: tuple[WeightSparsity, ...]
    total: Figures
    skipped: tuple[Skipped, ...] = ()

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

    def to_text(self, *, depth: int | None = None, width: int = 100) -> str:
        """Return the table as plain text.

        Args:
            depth: weights of modules below it are added up; None shows each weight.
            width: of a line, in characters.
        """
        text: str = render(self, "text", depth=depth, width=width)
        return text


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
class ActivationSparsity(Result):
    """Zeros in the activations of one forward.

    Attributes:
        model: class of the model.
        rows: one per module and activation operator, in the order of the first calls.
        elements: elements of all results.
        zeros: number of them that are zero.
    """

    model: str
    rows: tuple[ActivationRow, ...]
    elements: int
    zeros: int

    @property
    def zero_share(self) -> float:
        """The share of zeros; 0 where there are no elements."""
        return self.zeros / self.elements if self.elements else 0.0

    def __repr__(self) -> str:
        return f"ActivationSparsity(model={self.model!r}, rows={len(self.rows)}, zero_share={self.zero_share:.4g})"


@dataclass(frozen=True)
class LayerSpeedup:
    """What the zeros of one weight are worth where its product runs.

    Attributes:
        module: the layer.
        weight: the name of its weight.
        form: how the zeros are kept, as `ic.sparsity` says.
        zero_share: of the weight's elements.
        dense_flops: multiply-adds of the product as it runs, two FLOPs each.
        effective_flops: of these, those with weights that are not zero.
        dense_bytes: of the weight as it is stored densely.
        compressed_bytes: the least that a format would take: 2:4 where it holds, else the elements that are not zero
            with an index of 16 bits each, or the dense bytes where that is less.
        latency_s: of the layer as it runs.
        realisable_s: of the layer with the kernels that this machine has for these zeros.
        why: what the machine makes of them, in words.
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
    realisable_s: float
    why: str

    @property
    def speedup(self) -> float:
        """Dense over realisable; 1.0 where kernels make nothing of the zeros."""
        return self.latency_s / self.realisable_s if self.realisable_s > 0 else 1.0


@dataclass(frozen=True)
class SparsitySpeedup(Result):
    """What zeros are worth on one machine, layer by layer.

    Attributes:
        hardware: the machine.
        latency_s: of the whole forward as it runs.
        realisable_s: with the kernels that the machine has for these zeros.
        layers: one for each product with a weight that was scanned.
    """

    hardware: str
    latency_s: float
    realisable_s: float
    layers: tuple[LayerSpeedup, ...]

    @property
    def speedup(self) -> float:
        """Of the whole forward."""
        return self.latency_s / self.realisable_s if self.realisable_s > 0 else 1.0


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
