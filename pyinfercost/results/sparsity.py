"""Sparsity of weights and activations, and the speedup from zeros."""

from __future__ import annotations

from bisect import bisect_right
from math import inf, ldexp

from ..errors import UnknownNameError
from ..report.render import render
from .declared import declared, derived, fact, figure
from .figures import LESS, MORE
from .result import Result

BINS_PER_OCTAVE = 4
"""Bins of a histogram per factor of two, as in csrc/sparsity/magnitudes.hpp."""


FRACTIONS = (0.001, 0.01, 0.1, 1.0)
"""Fractions of a weight's RMS and largest magnitude for which documents state the share below."""

_TOO_LARGE = 1024
"""Exponent of the first power of two beyond the range of fp64."""


@declared
class Groups:
    """N:M structure along one axis: groups of `m` neighbors of which at most `n` are nonzero."""

    n: int = fact("Nonzero elements that a group may have.")
    m: int = fact("Length of a group. The last group of a row may be shorter; it is padded with zeros.")
    axis: str = fact(
        '`"rows"`, along each row (in a linear layer: its inputs, the axis of the reduction), or `"columns"`.'
    )
    groups: int = fact("Number of groups.")
    satisfied: int = figure("Number of groups with the structure.")

    @property
    def share(self) -> float:
        """Share of groups with the structure; 0 without groups."""
        return _ratio(self.satisfied, self.groups)

    @property
    @derived(is_figure=False)
    def holds(self) -> bool:
        """Whether all groups have the structure."""
        return self.groups > 0 and self.satisfied == self.groups

    @property
    def label(self) -> str:
        """`2:4` along rows, `2:4 columns` along columns."""
        return f"{self.n}:{self.m}" + ("" if self.axis == "rows" else f" {self.axis}")


@declared
class Blocks:
    """Square blocks of a weight as a matrix. Smaller blocks at the edges are padded with zeros."""

    size: int = fact("Length of a side.")
    blocks: int = fact("Number of blocks.")
    zero: int = figure("Number of them that are entirely zero.")

    @property
    @derived()
    def zero_share(self) -> float:
        """Share of blocks that are entirely zero."""
        return _ratio(self.zero, self.blocks)


@declared
class Vanishing:
    """Shares of elements below a fraction of the magnitudes of their weight."""

    fraction: float = fact("The fraction.")
    of_rms: float = figure("Share of elements below this fraction of the root mean square.", unit="share")
    of_largest: float = figure("Share of elements below this fraction of the largest magnitude.", unit="share")


@declared
class Magnitudes:
    """Magnitudes of the elements, from a sample of one element of each of 16,384 equal shares (all elements, if fewer).

    A hash of the share's index selects its element, so that all machines sample the same elements.
    """

    sampled: int = fact("Number of sampled elements.")
    zeros: int = fact("Number of them that are zero.")
    nonfinite: int = fact("Number of them that are infinite or NaN; no other figure includes these.")
    largest: float = figure("Largest magnitude; 0 if all are zero.")
    smallest: float = fact("Smallest nonzero magnitude.")
    root_mean_square: float = figure("Root mean square of the finite elements, zeros included.")
    lowest_octave: int = fact("Exponent of the power of two at which the first bin starts.")
    below: int = fact("Number of nonzero elements below the first bin.")
    bins: tuple[int, ...] = fact("Counts; each octave (factor of two) has `bins_per_octave` bins of equal width.")

    @property
    @derived(is_figure=False)
    def bins_per_octave(self) -> int:
        """Bins of an octave."""
        return BINS_PER_OCTAVE

    @property
    @derived(is_figure=False)
    def vanishing(self) -> tuple[Vanishing, ...]:
        """Shares of elements below fractions of the root mean square and of the largest magnitude."""
        return tuple(
            Vanishing(fraction=each, of_rms=share_below_rms(self, each), of_largest=share_below_largest(self, each))
            for each in FRACTIONS
        )


@declared
class Figures:
    """Counts that add up over weights."""

    elements: int = figure("Elements of the dense weight.", default=0)
    zeros: int = figure("Number of them that are zero, stored or not.", default=0)
    rows: int = figure(
        "Entries of the first dimension: output channels of linear layers and convolutions. 0 below two dimensions, as "
        "are `channels`, `groups` along columns, and `blocks`.",
        default=0,
    )
    zero_rows: int = figure("Rows that are entirely zero.", default=0)
    channels: int = figure(
        "Entries of the second dimension: input channels of linear layers and convolutions.", default=0
    )
    zero_channels: int = figure("Channels that are entirely zero.", default=0)
    groups: tuple[Groups, ...] = fact("N:M structure along the axes that are long enough for it.", default=())
    blocks: tuple[Blocks, ...] = fact("Blocks of the matrix that are entirely zero, by size.", default=())
    stored_bytes: int = figure(
        "Bytes of the weight in memory, with its indices, masks and scales.", default=0, better=LESS
    )

    @property
    @derived()
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


@declared
class WeightSparsity:
    """One weight."""

    name: str = fact("Its name; empty for a lone array.")
    form: str = fact(
        "Storage of its zeros: `dense` (as stored numbers), `mask` (`torch.nn.utils.prune`), `parametrization`, `coo`, "
        "`csr`, `csc`, `bsr`, `bsc`, `semi_structured`, or `quantized` (zeros of the integers). Only sparse and "
        "semi-structured forms save bytes or time by themselves."
    )
    dtype: str = fact("Torch's name of the dtype of its elements; `int4` and `uint4` for two in a byte.")
    shape: tuple[int, ...] = fact("Its shape.", row=True)
    figures: Figures = fact("The counts.", row=True)
    magnitudes: Magnitudes | None = fact(
        "A sample of magnitudes, for quantized weights of the integers; None if there is none."
    )
    aliases: tuple[str, ...] = fact("Other names of the same memory.", default=())
    note: str = fact("Description of omitted figures; empty if there are none.", default="")

    @property
    def zero_share(self) -> float:
        """Share of elements that are zero."""
        return self.figures.zero_share

    @property
    def holds_2_4(self) -> bool:
        """Whether at least two of every four neighbors in a row are zero."""
        return any((g.n, g.m, g.axis) == (2, 4, "rows") and g.holds for g in self.figures.groups)


@declared
class Skipped:
    """A weight that was not scanned, with the reason."""

    name: str = fact("Its name.")
    reason: str = fact("Why it was not scanned.")


@declared
class Sparsity(Result):
    """Sparsity of the weights of a model, a file or a tensor."""

    document_key = "sparsity"

    model: str = fact('Name of the model, path of the file, `"array"` or `"tensor"`.')
    weights: tuple[WeightSparsity, ...] = fact("One row per weight, in the model's order.")
    total: Figures = fact("The counts of all weights.")
    skipped: tuple[Skipped, ...] = fact("Weights that could not be scanned; no figure includes them.", default=())

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


@declared
class ActivationRow:
    """One activation operator of one module, with all its calls."""

    module: str = fact("Path of the innermost module that called it; empty for the model itself.")
    op: str = fact("Name of torch's operator, without the trailing underscore of in-place operators.")
    calls: int = fact("Number of calls.")
    elements: int = figure("Elements of all its results.")
    zeros: int = figure("Number of them that are zero.")

    @property
    @derived()
    def zero_share(self) -> float:
        """Share of zeros; 0 without elements."""
        return _ratio(self.zeros, self.elements)


@declared
class ActivationSparsity(Result):
    """Zeros in the activations of one forward."""

    document_key = "activations"
    rows_of = "rows"

    model: str = fact("Class of the model.")
    rows: tuple[ActivationRow, ...] = fact("One per module and activation operator, in the order of the first calls.")

    @property
    @derived()
    def elements(self) -> int:
        """Elements of all results."""
        return sum(row.elements for row in self.rows)

    @property
    @derived()
    def zeros(self) -> int:
        """Number of them that are zero."""
        return sum(row.zeros for row in self.rows)

    @property
    @derived()
    def zero_share(self) -> float:
        """Share of zeros; 0 without elements."""
        return _ratio(self.zeros, self.elements)

    def __repr__(self) -> str:
        return f"ActivationSparsity(model={self.model!r}, rows={len(self.rows)}, zero_share={self.zero_share:.4g})"


@declared
class LayerSpeedup:
    """Speedup from the zeros of one weight."""

    module: str = fact("The layer.")
    weight: str = fact("Name of its weight.")
    form: str = fact("Storage of the zeros, as in `WeightSparsity`.")
    zero_share: float = figure("Share of the weight's elements that are zero.")
    dense_flops: int = figure("FLOPs of the dense product, two per multiply-add.")
    effective_flops: float = figure("FLOPs with nonzero weights.")
    dense_bytes: int = figure("Bytes of the dense weight.")
    compressed_bytes: int = figure(
        "Fewest bytes of any format: 2:4 if the weight has that structure, else nonzero elements with an index of 16 "
        "bits each, or the dense bytes if they are fewer."
    )
    latency_s: float = figure("Seconds of the layer as it runs.", better=LESS)
    realizable_s: float = figure("Seconds of the layer with the machine's kernels for these zeros.", better=LESS)
    why: str = fact("The reason.")

    @property
    @derived(better=MORE)
    def speedup(self) -> float:
        """Dense over realizable time; 1.0 if no kernel uses the zeros."""
        return self.latency_s / self.realizable_s if self.realizable_s > 0 else 1.0


@declared
class SparsitySpeedup(Result):
    """Speedup from zeros in weights on one machine, layer by layer."""

    document_key = "sparsity_speedup"
    rows_of = "layers"

    hardware: str = fact("Id of the machine.")
    latency_s: float = figure("Seconds of the forward as it runs.", better=LESS)
    realizable_s: float = figure("Seconds with the machine's kernels for these zeros.", better=LESS)
    layers: tuple[LayerSpeedup, ...] = fact("One per product with a scanned weight.")

    @property
    @derived(better=MORE)
    def speedup(self) -> float:
        """Dense over realizable time of the forward."""
        return self.latency_s / self.realizable_s if self.realizable_s > 0 else 1.0


def bin_edges(magnitudes: Magnitudes) -> list[float]:
    """Return the lower edge of each bin, and the upper edge of the last."""
    return [_edge(magnitudes, number) for number in range(len(magnitudes.bins) + 1)]


def share_below(magnitudes: Magnitudes, threshold: float) -> float:
    """Return the share of elements that would be zero if all below a threshold were set to zero.

    Elements within a bin are assumed to be spread evenly. Zeros count; infinities and NaNs do not.

    Args:
        magnitudes: The sampled distribution of one weight.
        threshold: A magnitude.

    Returns:
        The share, from 0 to 1.
    """
    sampled, zeros = magnitudes.sampled, magnitudes.zeros
    if threshold <= 0 or not sampled:
        return zeros / sampled if sampled else 0.0
    edges = bin_edges(magnitudes)
    if threshold >= edges[-1] or not magnitudes.bins:
        return (sampled - magnitudes.nonfinite) / sampled
    if threshold < edges[0]:  # the lower end of the first bin is unknown
        return zeros / sampled
    place = bisect_right(edges, threshold) - 1
    inside = (threshold - edges[place]) / (edges[place + 1] - edges[place])
    found = zeros + magnitudes.below + sum(magnitudes.bins[:place]) + inside * magnitudes.bins[place]
    return found / sampled


def share_below_rms(magnitudes: Magnitudes, fraction: float) -> float:
    """Return `share_below` at a multiple of the root mean square."""
    return share_below(magnitudes, fraction * magnitudes.root_mean_square)


def share_below_largest(magnitudes: Magnitudes, fraction: float) -> float:
    """Return `share_below` at a multiple of the largest magnitude."""
    return share_below(magnitudes, fraction * magnitudes.largest)


def _edge(magnitudes: Magnitudes, number: int) -> float:
    octave, part = divmod(number, BINS_PER_OCTAVE)
    exponent = magnitudes.lowest_octave + octave
    return ldexp(1 + part / BINS_PER_OCTAVE, exponent) if exponent < _TOO_LARGE else inf


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
