"""Totals over weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..results.sparsity import Blocks, Figures, Groups, Skipped, Sparsity, WeightSparsity


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
        groups=tuple(
            Groups(n=n, m=m, axis=axis, groups=count, satisfied=held) for (n, m, axis), (count, held) in groups.items()
        ),
        blocks=tuple(Blocks(size=size, blocks=count, zero=zero) for size, (count, zero) in blocks.items()),
        stored_bytes=total(lambda f: f.stored_bytes),
    )


def sparsity_of(model: str, weights: Iterable[WeightSparsity], skipped: Iterable[Skipped] = ()) -> Sparsity:
    """Return the result of a scan: its rows and their total."""
    rows = tuple(weights)
    return Sparsity(
        model=model, weights=rows, total=total_of(weight.figures for weight in rows), skipped=tuple(skipped)
    )
