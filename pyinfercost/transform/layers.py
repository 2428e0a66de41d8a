"""Fewer layers: the graph of a model that keeps some of the equal layers of its stacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InputError
from .subgraphs import reduced

if TYPE_CHECKING:
    from .._core import Graph, NodeInfo, TensorInfo

_FEW = 2  # layers of the smallest stack


class LayersError(InputError):
    """The graph has no layers that can be removed."""


@dataclass(frozen=True)
class _Layer:
    """Consecutive nodes of one module.

    Attributes:
        first: Number of its first node.
        end: Number after its last one.
        shape: Signature of its nodes: operators, places in the layer, and lengths of results and weights.
    """

    first: int
    end: int
    shape: tuple[object, ...]


@dataclass(frozen=True)
class GraphStack:
    """Consecutive layers of equal structure, each of which reads one result of the one before.

    Attributes:
        path: Prefix of the paths of its layers, up to their number.
        layers: The nodes of each layer, as first number and number after the last one.
        results: The tensor of each layer that the next one reads.
    """

    path: str
    layers: tuple[tuple[int, int], ...]
    results: tuple[int, ...]


def evenly(layers: int, kept: int) -> list[int]:
    """Return the positions of evenly spaced layers, the first and the last one among them.

    Args:
        layers: Number of layers.
        kept: Number of layers to keep, at most as many.
    """
    if kept == 1:
        return [0]
    return [round(place * (layers - 1) / (kept - 1)) for place in range(kept)]


def graph_stacks(graph: Graph) -> list[GraphStack]:
    """Return the outermost stacks of two or more equal layers of a forward, in its order.

    Layers are modules with consecutive numbers in one container, such as `model.layers.0` and `model.layers.1`, whose
    nodes are the same operators with results and weights of the same lengths.

    Args:
        graph: A graph from `capture`.
    """
    calls = _Calls(graph)
    found: list[GraphStack] = []
    for path, numbers in _containers(calls.modules).items():
        if len(numbers) < _FEW or any(path.startswith(stack.path) for stack in found):
            continue
        found += _stacks(calls, path, [calls.layer(f"{path}{number}", at) for number, at in sorted(numbers.items())])
    return sorted(found, key=lambda stack: stack.layers)


def fewer_layers(graph: Graph, share: float) -> Graph:
    """Return the graph of a model that keeps a share of the layers of each stack, evenly spaced ones.

    Students of a distillation have such a graph, for example DistilBERT (arXiv:1910.01108).

    Args:
        graph: A graph from `capture`.
        share: The share of the layers, above 0 and at most 1; at least one layer of each stack stays.

    Raises:
        LayersError: There is no stack, or the share removes no layer.
    """
    stacks = graph_stacks(graph)
    if not stacks:
        raise LayersError("the graph has no stack of equal layers, each of which reads the result of the one before")
    removed: list[int] = []
    redirected: dict[int, int] = {}
    for stack in stacks:
        count = len(stack.layers)
        kept = set(evenly(count, max(1, round(share * count))))
        for place in range(1, count):
            if place in kept:
                continue
            removed += range(*stack.layers[place])
            before = stack.results[place - 1]
            redirected[stack.results[place]] = redirected.get(before, before)
    if not removed:
        longest = max(len(stack.layers) for stack in stacks)
        raise LayersError(f"a share of {share:g} removes no layer of stacks of {longest} layers at most; pass less")
    gone = {tensor for number in removed for tensor in graph.node(number).results}
    outputs = [redirected.get(each.index, each.index) for each in graph.outputs]
    kept_outputs = [tensor for tensor in outputs if tensor not in gone]
    return reduced(graph, outputs=kept_outputs, without=removed, redirected=redirected)


def _containers(modules: Sequence[str]) -> dict[str, dict[int, list[int]]]:
    """Return stem of the paths of numbered modules -> number -> nodes, outer modules first."""
    found: dict[str, dict[int, list[int]]] = {}
    for place, module in enumerate(modules):
        path = ""
        for part in module.split("."):
            path = f"{path}.{part}" if path else part
            stem = path.rstrip("0123456789")
            if stem != path and "." in stem:
                found.setdefault(stem, {}).setdefault(int(path[len(stem) :]), []).append(place)
    return dict(sorted(found.items(), key=lambda item: item[0].count(".")))


class _Calls:
    """The nodes of a graph, each of which is read once.

    Attributes:
        modules: Paths of their modules.
    """

    def __init__(self, graph: Graph) -> None:
        self._nodes: list[NodeInfo] = graph.nodes
        self.modules = [node.module for node in self._nodes]
        self._operands = [node.operands for node in self._nodes]
        self._results = [node.results for node in self._nodes]
        self._returned = {each.index for each in graph.outputs}
        self._last_read = {tensor: place for place, read in enumerate(self._operands) for tensor in read}
        self._forms: dict[int, tuple[object, ...]] = {}

    def layer(self, path: str, places: Sequence[int]) -> _Layer:
        """Return the layer of some nodes, given the path of its module."""
        shape = tuple((self.modules[place].removeprefix(path), *self._form(place)) for place in places)
        return _Layer(places[0], places[-1] + 1, shape)

    def _form(self, place: int) -> tuple[object, ...]:
        if place not in self._forms:
            node = self._nodes[place]
            weights = [each for each in node.inputs if each.role in ("parameter", "buffer")]
            self._forms[place] = (node.op, *(_lengths(each) for each in (*node.outputs, *weights)))
        return self._forms[place]

    def reads(self, layer: _Layer, tensor: int) -> bool:
        """Return whether a layer reads a tensor."""
        return any(tensor in self._operands[place] for place in range(layer.first, layer.end))

    def only_result(self, layer: _Layer) -> int | None:
        """Return the tensor of a layer that later nodes read, or the forward returns; None if there are several."""
        made = {tensor for place in range(layer.first, layer.end) for tensor in self._results[place]}
        read = {tensor for tensor in made if self._last_read.get(tensor, -1) >= layer.end}
        if not read:
            read = made & self._returned
        return next(iter(read)) if len(read) == 1 else None


def _lengths(tensor: TensorInfo) -> tuple[object, ...]:
    return tensor.dtype, tuple(map(str, tensor.shape)), tuple(map(str, tensor.strides))


def _stacks(calls: _Calls, path: str, layers: Sequence[_Layer]) -> list[GraphStack]:
    """Return the runs of equal layers among numbered modules."""
    found: list[GraphStack] = []
    run: list[_Layer] = []
    results: list[int] = []

    def close() -> None:
        if len(run) >= _FEW:
            found.append(GraphStack(path, tuple((each.first, each.end) for each in run), tuple(results)))

    for layer in layers:
        result = calls.only_result(layer)
        whole = result is not None and layer.end - layer.first == len(layer.shape)
        follows = bool(run) and run[-1].end <= layer.first and run[-1].shape == layer.shape
        if not (whole and follows and calls.reads(layer, results[-1])):
            close()
            run, results = [], []
        if result is not None and whole:
            run.append(layer)
            results.append(result)
    close()
    return found
