"""`varied`: a graph with formats, pruned weights and widths that are given as texts, in a fixed order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .channels import ChannelGroupsError, channel_groups
from .exits import leaving_at
from .layers import fewer_layers
from .torchao_kernels import TORCHAO
from .whatif import parse_formats, whatif

if TYPE_CHECKING:
    from .._core import Graph
    from .channels import ChannelGroups

_STEP = 8
"""Channels are kept in multiples of this number, as kernels of matrix units take them."""


def varied(
    graph: Graph,
    *,
    quantize: str = "",
    prune: str = "",
    kv_cache: str = "",
    width: float = 1.0,
    layers: float = 1.0,
    exit_at: int = 0,
) -> Graph:
    """Return the graph of the same model: left early, with fewer layers, narrowed, and then in other formats.

    Args:
        graph: A graph from `capture`.
        quantize: Formats of weights: `"int8_wo"`, or by pattern `"*.mlp.*=int4_wo,lm_head=none"`. Kernels of `whatif`
            may stand in front: `"torchao:int8_wo"`.
        prune: Structure of pruned weights: `"2:4"`, or by pattern.
        kv_cache: Format of keys and values.
        width: Share of the channels that each group keeps, above 0; see `narrowed`.
        layers: Share of the layers that each stack of equal layers keeps, above 0; see `fewer_layers`.
        exit_at: The early exit at which the forward ends, from 1; 0 for the last one. See `leaving_at`.

    Raises:
        FormatError: A format is unknown, or applies to nothing in the graph.
        ChannelGroupsError: The graph has no channels that can be removed.
        LayersError: The graph has no layers that can be removed.
        ExitsError: The graph has no such exit.
    """
    if exit_at:
        graph = leaving_at(graph, exit_at)
    if layers != 1:
        graph = fewer_layers(graph, layers)
    if width != 1:
        graph = narrowed(graph, width)
    if not (quantize or prune or kv_cache):
        return graph
    kernels, formats = split_kernels(quantize)
    return whatif(
        graph,
        quantize=parse_formats(formats) if formats else None,
        kernels=kernels,
        prune=parse_formats(prune) if prune else None,
        kv_cache=kv_cache or None,
    )


def split_kernels(quantize: str) -> tuple[str, str]:
    """Return the kernels and the formats of a text: `"torchao:int8_wo"`; the kernels are `"engine"` without others."""
    kernels, colon, formats = quantize.partition(":")
    return (kernels, formats) if colon and kernels in TORCHAO else ("engine", quantize)


def narrowed(graph: Graph, share: float, groups: ChannelGroups | None = None) -> Graph:
    """Return the graph of a model whose groups of channels all keep the same share of their units.

    Numbers of channels are rounded to multiples of 8; groups of fewer than 16 units keep whole units, at least one.

    Args:
        graph: A graph from `capture`.
        share: The share, above 0 and at most 1.
        groups: The groups of the graph, if they are known already.

    Raises:
        ChannelGroupsError: The graph has no channels that can be removed.
    """
    groups = groups or channel_groups(graph)
    if not groups.groups:
        raise ChannelGroupsError("the graph has no channels that can be removed without changing inputs or results")
    return groups.at(**kept_widths(groups, share))


def kept_widths(groups: ChannelGroups, share: float) -> dict[str, int]:
    """Return the units that each group keeps in `narrowed`, by its name."""
    return {name: _kept(width, share) for name, width in groups.widths.items()}


def _kept(width: int, share: float) -> int:
    step = _STEP if width >= 2 * _STEP else 1
    return min(width, max(step, round(width * share / step) * step))
