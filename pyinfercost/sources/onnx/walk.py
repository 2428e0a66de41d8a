"""The walk through an ONNX graph: scopes, subgraphs, functions, and the operators in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyinfercost._checks import excerpt, shown
from pyinfercost._core import CountOverflowError, Graph, GraphBuilder, GraphRewriter, InputError

from ..exported.program import cost_of
from .emitting import Emitter
from .exported_attention import join_attention
from .exported_gelu import join_gelu
from .folding import fold
from .inference import inferred, schema_function
from .makers import Search
from .naming import Sizes, cache_name, metadata_of, module_of, module_of_weight, source_of
from .op import NotKnownError, Op, Result
from .operators import HANDLERS
from .stored import OnnxError, StoredTensor, dtype_of, kinds_of
from .values import Sequenced, Shape, Size, Value

_MOST_FLOATS = 64  # elements of a float result that are tracked
_DEEPEST = 40  # functions and subgraphs within each other
_MOST_NODES = 300_000  # read in all, with the bodies of functions and of unrolled loops; up to 0.1 ms each
_MOST_OF_FEW = 20_000  # of a model that stores few nodes
_MOST_OF_NODE = 20  # read for each that is stored, if there are more
_CACHES = ("past",)
_FEWEST_OF_CACHE = 2  # dimensions
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


class Walker:
    """Reads the nodes of a graph, a subgraph or a function.

    Args:
        model: State that all graphs share.
        emitter: Where nodes go.
        sizes: Named sizes.
        scope: Name -> value outside.
        versions: Domain -> version of operators.
        prefix: Module of the caller.
        outer: Attributes of the call of a function.
        depth: Number of graphs around this one.
        times: How often loops around it read this graph.
    """

    def __init__(
        self,
        model: Model,
        emitter: Emitter,
        sizes: Sizes,
        scope: Mapping[str, Any] | None = None,
        *,
        versions: Mapping[str, int] | None = None,
        prefix: str = "",
        outer: Mapping[str, Any] | None = None,
        depth: int = 0,
        times: int = 1,
    ) -> None:
        self.model = model
        self.folder = model.folder
        self.emitter = emitter
        self.sizes = sizes
        self.values: dict[str, Any] = dict(scope or {})
        self.versions = model.versions if versions is None else versions
        self.prefix = prefix
        self.outer = outer or {}
        self.depth = depth
        self.times = times
        self.uses: dict[str, int] = {}
        self._declared: dict[str, Any] = {}
        if depth > _DEEPEST:
            raise OnnxError(f"has functions or graphs {depth} deep within each other; expected at most {_DEEPEST}")

    # ---- graphs

    def take(self, info: Any) -> Result:
        """Return the value of one of the model's inputs, which becomes an input of the Graph."""
        kind = info.type
        if kind.HasField("tensor_type"):
            if not kind.tensor_type.HasField("shape"):
                raise OnnxError(f"input {shown(info.name)} has no shape; expected one, with names for dynamic lengths")
            value = Value(dtype_of(kind.tensor_type.elem_type), self.sizes.shape_of(info), name=info.name)
            is_cache = info.name.startswith(_CACHES) and len(value.shape) > _FEWEST_OF_CACHE
            value.name = cache_name(info.name) if is_cache else info.name
            self.emitter.input(value, "kv_cache" if is_cache else "input")
            self.values[info.name] = value
            return value
        found = self._sequence(kind, info.name)
        self.values[info.name] = found
        return found

    def _sequence(self, kind: Any, name: str) -> Result:
        # Its number of tensors is not stated: one.
        if kind.HasField("sequence_type"):
            kind = kind.sequence_type.elem_type
        elif kind.HasField("optional_type"):
            kind = kind.optional_type.elem_type
        else:
            raise OnnxError(f"input {shown(name)} is neither a tensor nor a sequence of tensors")
        if not kind.HasField("tensor_type"):
            return Sequenced([self._sequence(kind, name)])  # type: ignore[list-item]
        dtype = dtype_of(kind.tensor_type.elem_type)
        shape = [int(dim.dim_value) if dim.HasField("dim_value") else 1 for dim in kind.tensor_type.shape.dim]
        value = Value(dtype, shape, name=name)
        self.emitter.input(value, "input")
        return Sequenced([value], dtype)

    def enter(self, graph: Any) -> None:
        """Read the initializers of a graph, and the stated types of its values."""
        kinds = kinds_of(graph)
        for proto in graph.initializer:
            stored = StoredTensor(proto, self.folder, kinds.get(proto.name, ""))
            self.values[stored.name] = Value(stored.dtype, stored.shape, stored=stored)
        for sparse in graph.sparse_initializer:
            stored = StoredTensor(sparse.values, self.folder)
            self.values[stored.name] = Value(stored.dtype, tuple(sparse.dims), stored=stored)
        for infos in (graph.value_info, graph.output):
            for info in infos:
                self._declared[info.name] = info.type

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
        inner = Walker(
            self.model,
            self.emitter,
            self.sizes,
            self.values,
            versions=self.versions,
            prefix=module,
            outer=self.outer,
            depth=self.depth + 1,
            times=self.times * times,
        )
        inner.enter(graph)
        for info, value in zip(graph.input, given, strict=False):
            inner.values[info.name] = value
        returned = [info.name for info in graph.output]
        inner.run(graph.node, returned)
        return [inner.named(name) for name in returned]

    def unrolled(self, graph: Any, steps: int) -> int:
        """Return how many nodes the steps of a loop have, in all steps of the loops around it."""
        return self.times * steps * max(1, self.model.expanded(graph.node))

    def dearer(self, graphs: Sequence[Any], *, module: str) -> int:
        """Return which of several subgraphs costs most; deep within others, the first one."""
        if self.depth >= _DEEPEST_CHOICE:
            return 0
        costs = [self._cost(graph, module) for graph in graphs]
        return costs.index(max(costs))

    def _cost(self, graph: Any, module: str) -> tuple[int, int, int]:
        builder = GraphBuilder("")
        part = Walker(
            self.model,
            Emitter(builder, open_ended=True),
            self.sizes.part(builder),
            self.values,
            versions=self.versions,
            prefix=module,
            outer=self.outer,
            depth=self.depth,
            times=self.times,
        )
        part.emitter.place = self.emitter.place
        results = part.subgraph(graph, (), module=module)
        outputs = [part.emitter.tensor(value) for value in flat(results)]
        return cost_of(builder.build(part.emitter.given, outputs))

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
        module = module_of(proto, metadata, self.prefix)
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
            outer=self.outer,
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
        folded = self._folded(op)
        if folded is not None:
            return folded
        function = self.model.functions.get((op.domain, op.type))
        if function is not None:
            return self.call(op, function)
        handler = HANDLERS.get((op.domain, op.type))
        if handler is not None:
            try:
                found = handler(op)
            except NotKnownError:
                return self._of_unknown_content(op)
            return found if isinstance(found, Sequence) else [found]
        body = schema_function(op)
        if body is not None:
            return self.call(op, body)
        return self.unmodelled(op)

    def _folded(self, op: Op) -> list[Value] | None:
        # Only the dtype of the second operand of CastLike matters.
        values = op.inputs[:1] if op.type == "CastLike" else op.inputs
        if op.domain or not values or not all(isinstance(v, Value) for v in values if v is not None):
            return None
        present = [v for v in values if v is not None]
        floats = [v for v in present if v.dtype.startswith(("float", "bfloat"))]
        if any(v.stored is not None and v.stored.elements > 1 for v in floats):
            return None
        if any(v.make is None and v.stored is None and v._data is None for v in present):
            return None
        if any(v.data is None for v in present):
            return None
        arrays = fold(op)
        if arrays is None:
            return None
        dtype = result_dtype(op)
        if dtype.startswith("float") and sum(a.size for a in arrays) > _MOST_FLOATS:
            return None
        return [Value(dtype, tuple(int(n) for n in array.shape), data=array) for array in arrays]

    def call(self, op: Op, function: Any) -> list[Result]:
        """Read the nodes of a function in the place of its call."""
        attributes = {a.name: a for a in function.attribute_proto}
        attributes.update(op.attributes())
        inner = Walker(
            self.model,
            self.emitter,
            self.sizes,
            versions={**self.versions, **versions_of(function.opset_import)},
            prefix=op.module,
            outer=attributes,
            depth=self.depth + 1,
            times=self.times,
        )
        for place, name in enumerate(function.input):
            inner.values[name] = op.inputs[place] if place < len(op.inputs) else None
        inner.run(function.node, function.output)
        # A body that was made for a call lacks results that the call leaves out.
        return [inner.values.get(name) for name in function.output]

    def _of_unknown_content(self, op: Op) -> list[Result]:
        """Emit an operator whose result has a shape that follows from data, such as the ends of a slice."""
        name = OF_CONTENT.get(op.type, "")
        x = op.get(0)
        if op.domain or not name or x is None:
            return self.unmodelled(op)
        shapes = [op.declared(place) for place in range(len(op.output_names))]
        for place, (_, shape) in enumerate(inferred(op)):
            if shapes[place] is None:
                shapes[place] = shape
        results = []
        for place, shape in enumerate(shapes):
            if shape is None:
                rank = _rank_of_unknown(op, x)
                if rank is None:
                    return self.unmodelled(op)
                shape = op.shape_of_data(op.type.lower(), rank)  # noqa: PLW2901
            results.append(op.result(x.dtype, shape, place=place))
        op.emit(name, {"self": x}, *results)
        return list(results)

    def unmodelled(self, op: Op) -> list[Result]:
        """Emit a node for an operator without a row: the ledger lists it."""
        described = inferred(op)
        results: list[Value] = []
        for place, name in enumerate(op.output_names):
            declared = op.declared(place)
            dtype, guess = described[place] if place < len(described) else ("", None)
            if not dtype:
                dtype = next((v.dtype for v in op.inputs if isinstance(v, Value)), "float32")
            shape = declared if declared is not None else guess
            if shape is None:
                # Most operators of other libraries keep the shape; the ledger lists this one as unknown.
                shape = next((v.shape for v in op.inputs if isinstance(v, Value)), None)
            if shape is None:
                shape = (op.length_of_data(op.type, "elements of a result whose shape is not stated", None),)
            if name or place == 0:
                results.append(op.result(self._declared_dtype(name) or dtype, shape, place=place))
        tensors = {f"input_{i}": v for i, v in enumerate(op.inputs) if isinstance(v, Value)}
        space = _clean_domain(op.domain)
        if results:
            op.emit(f"{space}.{op.type}", tensors, *results)
        return list(results)

    def _declared_dtype(self, name: str) -> str:
        declared = self._declared.get(name)
        if declared is None or not declared.HasField("tensor_type"):
            return ""
        code = declared.tensor_type.elem_type
        return dtype_of(code) if code else ""

    def declared(self, op: Op, place: int, *, known: bool) -> Shape | None:
        """Return the shape that the file states for a result; new names in it become sizes that depend on data."""
        name = op.output_names[place] if place < len(op.output_names) else ""
        declared = self._declared.get(name)
        if declared is None or not declared.HasField("tensor_type") or not declared.tensor_type.HasField("shape"):
            return None
        shape: list[Size] = []
        for dim in declared.tensor_type.shape.dim:
            length = int(dim.dim_value) if dim.HasField("dim_value") else self.sizes.known(dim.dim_param)
            if length is None or (isinstance(length, int) and length < 0):
                if known:
                    return None
                length = op.length_of_data(op.type, "a length that depends on data", None)
            shape.append(length)
        return tuple(shape)


OF_CONTENT = {
    "AffineGrid": "aten.empty.memory_format",
    "CenterCropPad": "aten.constant_pad_nd.default",
    "Col2Im": "aten.col2im.default",
    "MaxUnpool": "aten.max_unpool2d.default",
    "MelWeightMatrix": "aten.full.default",
    "Pad": "aten.constant_pad_nd.default",
    "ReduceL1": "aten.norm.ScalarOpt_dim",
    "ReduceL2": "aten.linalg_vector_norm.default",
    "ReduceLogSum": "aten.logsumexp.default",
    "ReduceLogSumExp": "aten.logsumexp.default",
    "ReduceMax": "aten.amax.default",
    "ReduceMean": "aten.mean.dim",
    "ReduceMin": "aten.amin.default",
    "ReduceProd": "aten.prod.dim_int",
    "ReduceSum": "aten.sum.dim_IntList",
    "ReduceSumSquare": "aten.norm.ScalarOpt_dim",
    "Slice": "aten.slice.Tensor",
    "Split": "aten.split_with_sizes.default",
    "Squeeze": "aten.reshape.default",
    "Tile": "aten.repeat.default",
    "Unsqueeze": "aten.reshape.default",
}
"""Operators whose work does not need the content of their other operands, once the shape of the result is known."""

_OF_SAME_RANK = frozenset({"Pad", "Slice", "CenterCropPad", "Tile"})


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


def _rank_of_unknown(op: Op, x: Value) -> int | None:
    """Return the number of dimensions of a result whose lengths depend on data; None if that does, too."""
    if op.type in _OF_SAME_RANK or (op.type.startswith("Reduce") and op.integer("keepdims", 1)):
        return x.rank
    axes = op.get(1)
    count = axes.shape[0] if axes is not None and axes.rank == 1 else None
    return x.rank - count if op.type.startswith("Reduce") and isinstance(count, int) else None


def flat(values: Iterable[Result]) -> list[Value]:
    """Return the tensors among values, also in sequences."""
    found: list[Value] = []
    for value in values:
        if isinstance(value, Value):
            found.append(value)
        elif isinstance(value, Sequenced):
            found += flat(value.items)
    return found


def result_dtype(op: Op) -> str:
    """Return the dtype of a folded result."""
    if op.type in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Not"):
        return "bool"
    if op.type == "Cast":
        return op.dtype_attribute("to")
    if op.type == "CastLike":
        return op[1].dtype
    return op[1].dtype if op.type == "Where" else op[0].dtype


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


def _clean_domain(domain: str) -> str:
    name = "".join(c if c.isalnum() and c.isascii() else "_" for c in domain)
    return name or "onnx"


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
    walker = Walker(whole, Emitter(builder), sizes)
    walker.enter(graph)
    given = [walker.emitter.tensor(value) for value in flat(walker.take(info) for info in inputs)]
    returned = [info.name for info in graph.output]
    walker.run(graph.node, returned)
    walker.emitter.place = ("", "")
    for value in [*walker.values.values()]:
        # Tensors that torch marks as parameters count even if the forward does not use them, as in the module.
        if isinstance(value, Value) and value.stored is not None and value.stored.kind == "PARAMETER":
            walker.emitter.declare_stored(value)
    outputs = [walker.emitter.tensor(value) for value in flat(walker.named(name) for name in returned)]
    return _joined(builder.build(given, outputs))


def _joined(graph: Graph) -> Graph:
    """Return a graph in which operators that an exporter has written as several are one."""
    if not {"aten.softmax", "aten.erf"} & set(graph.op_counts()):
        return graph
    search, rewriter = Search(graph), GraphRewriter(graph)
    joined = join_attention(search, rewriter) + join_gelu(search, rewriter)
    return rewriter.build() if joined else graph
