"""Totals over weights, and quantiles of the distribution of their magnitudes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from math import inf, ldexp

from ..results.sparsity import (
    BINS_PER_OCTAVE,
    Blocks,
    Figures,
    Groups,
    Magnitudes,
    Skipped,
    Sparsity,
    WeightSparsity,
)

_TOO_LARGE = 1024
"""Exponent of the first power of two beyond the range of fp64."""


def total_of(all_figures: Iterable[Figures]) -> Figures:
    """Sum up the counts of several weights; groups count for matrices only, since zeros of a bias save no product."""
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


def sparsity_of(model: str, weights: Iterable[WeightSparsity], skipped: Iterable[Skipped] = ()) -> Sparsity:
    """Return the result of a scan: its rows and their total."""
    rows = tuple(weights)
    return Sparsity(model, rows, total_of(weight.figures for weight in rows), tuple(skipped))


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
