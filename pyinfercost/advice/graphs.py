"""Graphs of a model in its variants: with the batch open, to search, and at fixed sizes, as a command captures them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from .._core import Graph
from ..sources.captured import Captured, graph_at, graph_over
from ..sources.memory_formats import marked
from ..sources.registry import is_graph
from ..sources.sizes import BATCH, SizeError
from ..transform.channels import ChannelGroups, channel_groups
from ..transform.variants import narrowed, varied
from .setups import Variant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .setups import Setup


class ModelGraphs:
    """The graphs of one model, each made once.

    Attributes:
        spec: Spec or path of the model; empty for a graph.
        name: Name of the model.
    """

    def __init__(
        self,
        model: Graph | str,
        sizes: Mapping[str, int],
        name: str = "",
        recapture: Callable[[], Graph] | None = None,
    ) -> None:
        """Make the graphs of a model.

        Args:
            model: A graph, or a spec or a path.
            sizes: The sizes of the baseline; all but the batch stay fixed.
            name: Name of the model; by default the name of the spec or the graph.
            recapture: Captures the module of a graph in channels_last; None for a graph without a module.
        """
        self._recapture = recapture
        self.spec = model if isinstance(model, str) else ""
        self._graph = None if isinstance(model, str) else model
        self._sizes = dict(sizes)
        self.name = name or self.spec or (self._graph.model if self._graph is not None else "") or "the model"
        self._open: dict[Variant, Captured] = {}
        self._groups: dict[int, tuple[Graph, ChannelGroups]] = {}  # by identity of a graph, which is kept alive
        self._at: dict[tuple[Variant, tuple[tuple[str, int], ...], tuple[str, ...]], Captured] = {}

    def open(self, variant: Variant) -> Graph:
        """Return the graph of a variant with its batch open, if the model allows that."""
        return self.opened(variant).graph

    def opened(self, variant: Variant) -> Captured:
        """Return the graph of a variant with its batch open, and the sizes of the baseline."""
        if variant not in self._open:
            given = variant.captured
            if variant != given:
                source = self.opened(given)
                self._open[variant] = source._replace(graph=self._varied(source.graph, variant))
            else:
                self._open[variant] = self._captured(variant)
        return self._open[variant]

    def at(self, setup: Setup) -> Captured:
        """Return the graph of a setup at its sizes, as the command that reproduces it captures it."""
        shared = tuple(sorted(setup.placed.rank_layout.shared_sizes))
        return self._fixed(setup.variant, setup.sizes, shared)

    def _fixed(self, variant: Variant, sizes: Mapping[str, int], shared: tuple[str, ...]) -> Captured:
        key = (variant, tuple(sorted(sizes.items())), shared)
        if key not in self._at:
            given = variant.captured
            if variant != given:
                source = self._fixed(given, sizes, shared)
                self._at[key] = source._replace(graph=self._varied(source.graph, variant))
            else:
                spec = variant.model or self.spec
                if not spec or is_graph(spec):
                    source = self.opened(given)
                    self._at[key] = source._replace(sizes=dict(sizes))
                else:
                    self._at[key] = graph_at(marked(spec, variant.memory_format), sizes, shared=shared)
        return self._at[key]

    @property
    def has_module(self) -> bool:
        """Whether the model can be captured in another memory format."""
        return self._recapture is not None or bool(self.spec and not is_graph(self.spec))

    def _captured(self, variant: Variant) -> Captured:
        spec = variant.model or self.spec
        if not spec:
            graph = self._graph or Graph.from_json("")
            if variant.memory_format and self._recapture is not None:
                graph = self._recapture()
            return Captured(graph, self._sizes, {}, graph.model)
        if is_graph(spec):
            return graph_at(spec, self._sizes)
        spec = marked(spec, variant.memory_format)
        axes: dict[str, Sequence[int]] = {name: [value] for name, value in self._sizes.items()}
        batch = self._sizes.get(BATCH, 1)
        try:
            found = graph_over(spec, {**axes, BATCH: [batch, batch + 1]})
        except SizeError:  # the model has no batch, or its capture fixes it
            return graph_at(spec, self._sizes)
        return found._replace(sizes={**{name: values[0] for name, values in found.sizes.items()}})

    def _varied(self, graph: Graph, variant: Variant) -> Graph:
        changes = variant.transforms
        if variant.width == 1 or variant.layers != 1 or variant.exit_at:
            return varied(graph, **changes)
        key = id(graph)
        if key not in self._groups:
            self._groups[key] = (graph, channel_groups(graph))
        del changes["width"]
        return varied(narrowed(graph, variant.width, self._groups[key][1]), **changes)
