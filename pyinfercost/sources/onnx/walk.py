"""The walk through an ONNX graph: scopes, subgraphs, functions, and the operators in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pyinfercost._checks import excerpt, shown
from pyinfercost._core import CountOverflowError, Graph, GraphBuilder, GraphRewriter, InputError

from ..exported.program import cost_of
from .declared_types import DeclaredTypes
from .exported_attention import join_attention
from .exported_gelu import join_gelu
from .graph_writer import Emitter
from .inference import schema_function
from .makers import Search
from .model_inputs import input_of
from .names import Sizes, metadata_of, module_of, module_of_weight, source_of
from .op import NotKnownError, Op, Result
from .operators import HANDLERS
from .small_tensors import folded
from .stored import OnnxError, StoredTensor, kinds_of
from .unhandled import of_unknown_content, unmodelled
from .values import Sequenced, Value

_DEEPEST = 40  # functions and subgraphs within each other
_MOST_NODES = 300_000  # read in all, with the bodies of functions and of unrolled loops; up to 0.1 ms each
_MOST_OF_FEW = 20_000  # of a model that stores few nodes
_MOST_OF_NODE = 20  # read for each that is stored, if there are more
_DEEPEST_CHOICE = 4  # conditions within each other whose branches are compared


class Model:
    """State that all graphs of a model share.

    Args:
        proto: The `ModelProto`.
        folder: Folder of external data.
    """

    def __init__(self, proto: Any, folder: Path | None) -> None:
        self.folder = folder
        self.versions = versions_of(proto.opset_import)
        self.functions = {(domain_of(f.domain), f.name): f for f in proto.functions}
        self.read = 0  # nodes so far
        self._expanded: dict[tuple[str, str], int] = {}

    def expanded(self, nodes: Iterable[Any]) -> int:
        """Return the number of nodes after functions are inlined, with loops counted once."""
        count = 0
        for proto in nodes:
            count += 1 + sum(self.expanded(part.g.node) for part in proto.attribute if part.HasField("g"))
            key = (domain_of(proto.domain), proto.op_type)
            if key in self.functions and key not in self._expanded:
                self._expanded[key] = 0  # one that calls itself is refused by its depth
                self._expanded[key] = self.expanded(self.functions[key].node)
            count += self._expanded.get(key, 0)
        return count


def domain_of(domain: str) -> str:
    """Return a domain's usual name: ONNX itself has two."""
    return "" if domain == "ai.onnx" else domain


def versions_of(imports: Iterable[Any]) -> dict[str, int]:
    """Return domain -> version of its operators."""
    return {domain_of(entry.domain): int(entry.version) for entry in imports}


@dataclass(frozen=True)
class Frame:
    """Call of a graph, a subgraph or a function.

    Attributes:
        versions: Domain -> version of operators.
        module: Module of the caller.
        outer: Attributes of the call of a function.
        depth: Number of graphs around this one.
        times: How often loops around it read this graph.
    """

    versions: Mapping[str, int]
    module: str = ""
    outer: Mapping[str, Any] = field(default_factory=dict)
    depth: int = 0
    times: int = 1

    def inner(self, **changes: Any) -> Frame:
        """Return the frame of a graph in this one."""
        depth = self.depth + 1
        if depth > _DEEPEST:
            raise OnnxError(f"has functions or graphs {depth} deep within each other; expected at most {_DEEPEST}")
        return replace(self, depth=depth, **changes)


class Walker:
    """Reads the nodes of a graph, a subgraph or a function.

    Args:
        model: State that all graphs share.
        emitter: Where nodes go.
        sizes: Named sizes.
        frame: Call that reads the graph.
        scope: Name -> value outside.
    """

    def __init__(
        self, model: Model, emitter: Emitter, sizes: Sizes, frame: Frame, scope: Mapping[str, Any] | None = None
    ) -> None:
        self.model = model
        self.folder = model.folder
        self.emitter = emitter
        self.sizes = sizes
        self.frame = frame
        self.versions = frame.versions
        self.values: dict[str, Any] = dict(scope or {})
        self.uses: dict[str, int] = {}
        self.declared = DeclaredTypes()

    # ---- graphs

    def enter(self, graph: Any) -> None:
        """Read the initializers of a graph, and the stated types of its values."""
        kinds = kinds_of(graph)
        for proto in graph.initializer:
            stored = StoredTensor(proto, self.folder, kinds.get(proto.name, ""))
            self.values[stored.name] = Value(stored.dtype, stored.shape, stored=stored)
        for sparse in graph.sparse_initializer:
            stored = StoredTensor(sparse.values, self.folder)
            self.values[stored.name] = Value(stored.dtype, tuple(sparse.dims), stored=stored)
        self.declared.read(graph)

    def run(self, nodes: Sequence[Any], returned: Iterable[str]) -> None:
        """Read nodes in order."""
        self.uses = _uses(nodes, returned)
        for proto in nodes:
            self.model.read += 1
            if self.model.read > _MOST_NODES:
                raise OnnxError(f"has more than {_MOST_NODES:,} nodes with its loops unrolled; expected fewer")
            self._node(proto)

    def subgraph(self, graph: Any, given: Sequence[Result], *, module: str, times: int = 1) -> list[Result]:
        """Read a subgraph, as one of `times`, and return its results."""
        frame = self.frame.inner(module=module, times=self.frame.times * times)
        inner = Walker(self.model, self.emitter, self.sizes, frame, self.values)
        inner.enter(graph)
        for info, value in zip(graph.input, given, strict=False):
            inner.values[info.name] = value
        returned = [info.name for info in graph.output]
        inner.run(graph.node, returned)
        return [inner.named(name) for name in returned]

    def unrolled(self, graph: Any, steps: int) -> int:
        """Return how many nodes the steps of a loop have, in all steps of the loops around it."""
        return self.frame.times * steps * max(1, self.model.expanded(graph.node))

    def dearer(self, graphs: Sequence[Any], *, module: str) -> int:
        """Return which of several subgraphs costs most; deep within others, the first one."""
        if self.frame.depth >= _DEEPEST_CHOICE:
            return 0
        costs = [self._cost(graph, module) for graph in graphs]
        return costs.index(max(costs))

    def _cost(self, graph: Any, module: str) -> tuple[int, int, int]:
        builder = GraphBuilder("")
        emitter = Emitter(builder, open_ended=True)
        part = Walker(self.model, emitter, self.sizes.part(builder), self.frame, self.values)
        emitter.place = self.emitter.place
        results = part.subgraph(graph, (), module=module)
        outputs = [emitter.tensor(value) for value in flat(results)]
        return cost_of(builder.build(emitter.given, outputs))

    def settle(self, graphs: Iterable[Any]) -> None:
        """Emit the nodes of values that subgraphs read, before one of them is chosen."""
        for graph in graphs:
            for proto in graph.node:
                for name in proto.input:
                    value = self.values.get(name)
                    if isinstance(value, Value) and value.make is not None:
                        self.emitter.tensor(value)
                self.settle(attribute.g for attribute in proto.attribute if attribute.HasField("g"))

    def named(self, name: str) -> Result:
        """Return the value of a name.

        Raises:
            OnnxError: Nothing has that name.
        """
        if not name:
            return None
        if name not in self.values:
            raise OnnxError(f"reads {shown(name)}, which nothing before it writes")
        found: Result = self.values[name]
        return found

    # ---- operators

    def _node(self, proto: Any) -> None:
        try:
            self._read(proto)
        except NodeError:
            raise
        except NotKnownError:
            raise NodeError(f"{_title(proto)} has a shape that depends on data by an unknown rule") from None
        except CountOverflowError:
            raise
        except (InputError, *UNREADABLE) as error:
            reason = str(error) if isinstance(error, InputError) else f"cannot be read: {type(error).__name__} {error}"
            raise NodeError(f"{_title(proto)}: {excerpt(reason, most=1_000)}") from error

    def _read(self, proto: Any) -> None:
        metadata = metadata_of(proto)
        module = module_of(proto, metadata, self.frame.module)
        if not module:
            names = (name for name in proto.input if isinstance(self.values.get(name), Value))
            found = (module_of_weight(name) for name in names if self.values[name].is_weight)
            module = next((path for path in found if path), "")
        domain = domain_of(proto.domain)
        op = Op(
            self,
            proto,
            domain=domain,
            version=self.versions.get(domain, 1),
            inputs=[self.named(name) for name in proto.input],
            module=module,
            outer=self.frame.outer,
        )
        self.emitter.place = (module, source_of(metadata))
        results = self._results(op)
        for name, value in zip(proto.output, results, strict=False):
            if name:
                self.values[name] = value
        for name in list(proto.output)[len(results) :]:
            if name:
                raise OnnxError(f"has the result {shown(name)}, which its operator does not have")

    def _results(self, op: Op) -> Sequence[Result]:
        known = folded(op)
        if known is not None:
            return known
        function = self.model.functions.get((op.domain, op.type))
        if function is not None:
            return self._call(op, function)
        handler = HANDLERS.get((op.domain, op.type))
        if handler is not None:
            try:
                found = handler(op)
            except NotKnownError:
                return of_unknown_content(op)
            return found if isinstance(found, Sequence) else [found]
        body = schema_function(op)
        return unmodelled(op) if body is None else self._call(op, body)

    def _call(self, op: Op, function: Any) -> list[Result]:
        """Read the nodes of a function in the place of its call."""
        attributes = {a.name: a for a in function.attribute_proto}
        attributes.update(op.attributes())
        versions = {**self.versions, **versions_of(function.opset_import)}
        frame = self.frame.inner(versions=versions, module=op.module, outer=attributes)
        inner = Walker(self.model, self.emitter, self.sizes, frame)
        for place, name in enumerate(function.input):
            inner.values[name] = op.inputs[place] if place < len(op.inputs) else None
        inner.run(function.node, function.output)
        # A body that was made for a call lacks results that the call leaves out.
        return [inner.values.get(name) for name in function.output]


UNREADABLE = (
    RecursionError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    ZeroDivisionError,
    OverflowError,
)
"""Exceptions that fields of the wrong length, type or encoding raise where they are used."""


class NodeError(OnnxError):
    """A node cannot be read; the message names it."""


def flat(values: Iterable[Result]) -> list[Value]:
    """Return the tensors among values, also in sequences."""
    found: list[Value] = []
    for value in values:
        if isinstance(value, Value):
            found.append(value)
        elif isinstance(value, Sequenced):
            found += flat(value.items)
    return found


def _uses(nodes: Iterable[Any], returned: Iterable[str]) -> dict[str, int]:
    uses: dict[str, int] = {}
    for proto in nodes:
        for name in proto.input:
            uses[name] = uses.get(name, 0) + 1
        for attribute in proto.attribute:
            if attribute.HasField("g"):
                for name, count in _uses(attribute.g.node, ()).items():
                    uses[name] = uses.get(name, 0) + count + 1
    for name in returned:
        uses[name] = uses.get(name, 0) + 2
    return uses


def _title(proto: Any) -> str:
    return f"node {shown(proto.name)} ({shown(proto.op_type)})"


def graph_of(model: Any, folder: Path | None, name: str, dynamic: Any) -> Graph:
    """Convert a `ModelProto`.

    Args:
        model: The `ModelProto`.
        folder: Folder of external data.
        name: Name of the graph.
        dynamic: As in `capture`.
    """
    graph = model.graph
    whole = Model(model, folder)
    stored = len(graph.node) + sum(len(function.node) for function in model.functions)
    most = min(_MOST_NODES, max(_MOST_OF_FEW, _MOST_OF_NODE * stored))
    if (count := whole.expanded(graph.node)) > most:
        raise OnnxError(f"has {count:,} nodes with its functions expanded; expected at most {most:,}")
    builder = GraphBuilder(name)
    initialized = {tensor.name for tensor in graph.initializer}
    inputs = [info for info in graph.input if info.name not in initialized]
    tensors = [info for info in inputs if info.type.HasField("tensor_type")]
    sizes = Sizes(builder, tensors, dynamic)
    emitter = Emitter(builder)
    walker = Walker(whole, emitter, sizes, Frame(whole.versions))
    walker.enter(graph)
    read = [input_of(info, sizes, emitter) for info in inputs]
    walker.values.update(zip([info.name for info in inputs], read, strict=True))
    given = [emitter.tensor(value) for value in flat(read)]
    returned = [info.name for info in graph.output]
    walker.run(graph.node, returned)
    emitter.place = ("", "")
    for value in [*walker.values.values()]:
        # Tensors that torch marks as parameters count even if the forward does not use them, as in the module.
        if isinstance(value, Value) and value.stored is not None and value.stored.kind == "PARAMETER":
            emitter.declare_stored(value)
    outputs = [emitter.tensor(value) for value in flat(walker.named(name) for name in returned)]
    return _joined(builder.build(given, outputs))


def _joined(graph: Graph) -> Graph:
    """Return a graph in which operators that an exporter has written as several are one."""
    if not {"aten.softmax", "aten.erf"} & set(graph.op_counts()):
        return graph
    search, rewriter = Search(graph), GraphRewriter(graph)
    joined = join_attention(search, rewriter) + join_gelu(search, rewriter)
    return rewriter.build() if joined else graph
