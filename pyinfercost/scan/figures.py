"""Counts of one scan, and what is said of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf, ldexp
from typing import Any

BINS_PER_OCTAVE = 4
"""As in csrc/sparsity/magnitudes.hpp."""
_TOO_LARGE = 1024
"""The exponent of the first power of two that no fp64 holds."""
FRACTIONS = (0.001, 0.01, 0.1, 1.0)
"""Of a weight's RMS and largest magnitude, for which JSON says how much lies below."""


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

    def edges(self) -> list[float]:
        """Where the bins begin, and where the last one ends."""
        return [self._edge(bin_number) for bin_number in range(len(self.bins) + 1)]

    def share_below(self, threshold: float) -> float:
        """The share of elements that would vanish if all below a threshold became zero.

        Within a bin, elements are taken to be spread evenly. Zeros count, and what is not finite does not vanish.

        Args:
            threshold: A magnitude.
        """
        if threshold <= 0 or not self.sampled:
            return _ratio(self.zeros, self.sampled)
        edges = self.edges()
        if threshold >= edges[-1] or not self.bins:
            return _ratio(self.sampled - self.nonfinite, self.sampled)
        if threshold < edges[0]:  # what lies below the bins is spread over an unknown range
            return _ratio(self.zeros, self.sampled)
        place = bisect_right(edges, threshold) - 1
        inside = (threshold - edges[place]) / (edges[place + 1] - edges[place])
        found = self.zeros + self.below + sum(self.bins[:place]) + inside * self.bins[place]
        return found / self.sampled

    def share_below_rms(self, fraction: float) -> float:
        """`share_below` of so many times the root mean square."""
        return self.share_below(fraction * self.root_mean_square)

    def share_below_largest(self, fraction: float) -> float:
        """`share_below` of so many times the largest magnitude."""
        return self.share_below(fraction * self.largest)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object; `vanishing` is the share below a fraction of the RMS and of the largest magnitude."""
        names = ("sampled", "zeros", "nonfinite", "largest", "smallest", "root_mean_square", "lowest_octave", "below")
        return {
            **{name: getattr(self, name) for name in names},
            "bins_per_octave": BINS_PER_OCTAVE,
            "bins": list(self.bins),
            "vanishing": [
                {
                    "fraction": fraction,
                    "of_rms": self.share_below_rms(fraction),
                    "of_largest": self.share_below_largest(fraction),
                }
                for fraction in FRACTIONS
            ],
        }

    def _edge(self, number: int) -> float:
        octave, part = divmod(number, BINS_PER_OCTAVE)
        exponent = self.lowest_octave + octave
        return ldexp(1 + part / BINS_PER_OCTAVE, exponent) if exponent < _TOO_LARGE else inf


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

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of the counts."""
        counts = ("elements", "zeros", "rows", "zero_rows", "channels", "zero_channels", "stored_bytes")
        return {
            **{name: getattr(self, name) for name in counts},
            "zero_share": self.zero_share,
            "groups": [
                {"n": g.n, "m": g.m, "axis": g.axis, "groups": g.groups, "satisfied": g.satisfied, "holds": g.holds}
                for g in self.groups
            ],
            "blocks": [{"size": b.size, "blocks": b.blocks, "zero": b.zero} for b in self.blocks],
        }


def total_of(all_figures: Iterable[Figures]) -> Figures:
    """The counts of several weights added up; groups only of matrices, since no product leaves out a bias's zeros."""
    parts = list(all_figures)
    groups: dict[tuple[int, int, str], tuple[int, int]] = {}
    blocks: dict[int, tuple[int, int]] = {}
    for part in parts:
        for g in part.groups if part.rows else ():
            known, satisfied = groups.get((g.n, g.m, g.axis), (0, 0))
            groups[g.n, g.m, g.axis] = known + g.groups, satisfied + g.satisfied
        for b in part.blocks:
            known, zero = blocks.get(b.size, (0, 0))
            blocks[b.size] = known + b.blocks, zero + b.zero

    def total(pick: Callable[[Figures], int]) -> int:
        return sum(pick(part) for part in parts)

    return Figures(
        elements=total(lambda f: f.elements),
        zeros=total(lambda f: f.zeros),
        rows=total(lambda f: f.rows),
        zero_rows=total(lambda f: f.zero_rows),
        channels=total(lambda f: f.channels),
        zero_channels=total(lambda f: f.zero_channels),
        groups=tuple(Groups(*kind, *counts) for kind, counts in groups.items()),
        blocks=tuple(Blocks(size, *counts) for size, counts in blocks.items()),
        stored_bytes=total(lambda f: f.stored_bytes),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
