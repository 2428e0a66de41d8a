"""Conversion of a `torch.export.ExportedProgram` to a Graph, from its public graph, signature and fake values."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyinfercost._core import Graph, GraphBuilder, TensorId
from pyinfercost.sources.data_names import Operand
from pyinfercost.sources.exported.program import (
    CONDITION,
    IGNORED_ARGUMENTS,
    INLINED,
    INNER_TENSOR,
    LOOP,
    PARAMETERS,
    InputDims,
    SizeNames,
    SizeTable,
    dearest,
    is_work,
    module_path,
    name_sizes,
    source_line,
)
from pyinfercost.sources.expressions import Size, to_expr

from ...errors import InputError

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

_ROLES = {
    "PARAMETER": "parameter",
    "BUFFER": "buffer",
    "CONSTANT_TENSOR": "constant",
    "USER_INPUT": "input",
}


def graph_from_exported(program: ExportedProgram, *, model: str = "", dynamic: SizeNames | None = None) -> Graph:
    """Convert an exported program, as exported or after `run_decompositions()`.

    Args:
        program: The program.
        model: Name of the graph.
        dynamic: Input position or name -> dimension -> name, for sizes that were exported as dynamic. By default they
            are named `batch` (dimension 0 of the first input), `sequence` (dimension 1 of a two-dimensional integer
            input), or as in torch.

    Returns:
        The graph. Sizes that depend on data (the output of `nonzero`) are named sizes too, as in a trace.

    Raises:
        SizeNameError: `dynamic` does not fit the program.
        ExpressionError: A size has no integer expression.
    """

    def read(choices: Mapping[str, int]) -> tuple[Graph, list[str]]:
        reader = _Reader(program, model, dynamic, choices)
        return reader.graph(), reader.conditions

    return dearest(read)


class _Reader:
    def __init__(
        self, program: ExportedProgram, model: str, dynamic: SizeNames | None, choices: Mapping[str, int]
    ) -> None:
        self.conditions: list[str] = []  # conditions of the program, in order
        self._choices = choices
        self._scope = ""  # names of the conditions around the current nodes
        self._program = program
        self._builder = GraphBuilder(model)
        self._placeholders = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
        self._sizes = _size_table(program, self._builder, self._placeholders, dynamic)
        self._parameter_names: dict[Any, list[str]] = {}

    def graph(self) -> Graph:
        values: dict[Any, Any] = {}
        inputs = self._register_inputs(values)
        outputs = self._walk(self._program.graph, self._program.graph_module, values)
        specs = self._program.graph_signature.output_specs
        user = [
            o
            for o, spec in zip(outputs, specs, strict=True)
            if spec.kind.name == "USER_OUTPUT" and isinstance(o, TensorId)
        ]
        return self._builder.build(inputs, user)

    def _register_inputs(self, values: dict[Any, Any]) -> list[TensorId]:
        inputs: list[TensorId] = []
        stored: dict[Any, list[tuple[torch.Tensor, TensorId]]] = {}
        for spec in self._program.graph_signature.input_specs:
            node = self._placeholders.get(getattr(spec.arg, "name", ""))
            role = _ROLES.get(spec.kind.name)
            value: Any = None if node is None else node.meta.get("val")
            if node is None or role is None or not _is_tensor(value):
                continue
            if role == "input":
                name = node.name
                if name.startswith("past_key_value"):
                    role = "kv_cache"
                values[node] = self._tensor(value, role, name)
                inputs.append(values[node])
            else:
                values[node] = self._stored_tensor(spec.target, value, role, stored)
        return inputs

    def _stored_tensor(
        self, name: str, value: torch.Tensor, role: str, stored: dict[Any, list[tuple[torch.Tensor, TensorId]]]
    ) -> Any:
        # Tied weights are in memory once.
        held = self._program.state_dict.get(name, self._program.constants.get(name))
        if hasattr(value, "__tensor_flatten__"):
            return self._parts(name, value, role, held, stored)
        if not _is_tensor(held):
            return self._tensor(value, role, name)
        alike = stored.setdefault((held.dtype, held.shape, held.device), [])
        for other, tensor in alike:
            if other is held or _same_memory(other, held):
                return tensor
        alike.append((held, self._tensor(value, role, name)))
        return alike[-1][1]

    def _parts(self, name: str, value: Any, role: str, held: Any, stored: dict[Any, Any]) -> Any:
        """Return the inner tensors of a tensor: attribute -> tensor, nested as in the tensor."""
        from ..tensors.tensor_parts import parts_of

        known = stored.setdefault("parts", {})
        if held is None or id(held) not in known:
            declared = {
                part.name: self._tensor(part.tensor, role, part.name, part.logical_numel)
                for part in parts_of(name, value)
            }
            known[id(held)] = _nested(name, value, declared)
        return known[id(held)]

    def _walk(self, graph: torch.fx.Graph, owner: torch.nn.Module, values: dict[Any, Any]) -> list[Any]:
        for node in graph.nodes:
            if node.op == "call_function":
                self._call(node, owner, values)
            elif node.op == "call_module" and is_work(f"module.{node.target}"):
                raise InputError(
                    f"node {node.name!r} calls module {node.target!r}; expected a flat program from torch.export.export"
                )
            elif node.op == "output":
                return [values.get(a) for a in _flat(node.args[0])]
        return []

    def _call(self, node: torch.fx.Node, owner: torch.nn.Module, values: dict[Any, Any]) -> None:
        if node.target is operator.getitem:
            produced = values.get(node.args[0])
            index = node.args[1]
            if isinstance(produced, list) and isinstance(index, int) and index < len(produced):
                values[node] = produced[index]
            return
        op = _op_name(node.target)
        if op in INLINED:
            subgraph = next(a for a in node.args if getattr(a, "op", "") == "get_attr")
            self._inline(node, subgraph, list(node.args), owner, values)
            return
        if op == INNER_TENSOR and isinstance(values.get(node.args[0]), dict):
            values[node] = values[node.args[0]][node.args[1]]
            return
        if op == CONDITION:
            self._condition(node, owner, values)
            return
        if op == LOOP:
            arguments: Any = node.args
            condition, body, *operands = arguments
            flat = [a for group in operands for a in group]
            self._inline(node, condition, flat, owner, values)
            self._inline(node, body, flat, owner, values)
        results = node.meta.get("val")
        if not op and isinstance(values.get(node.args[0] if node.args else None), TensorId) and _is_tensor(results):
            op = "aten.alias.default"  # functions of torch.func add and remove a batch dimension
        if not op:
            return
        stack = node.meta.get("nn_module_stack") or {}
        path = module_path(next(reversed(stack.values()), ("",))[0])
        self._sizes.of_data(_symbols_of(results), path, op, _operands(node, self._size))
        if not is_work(op):
            return
        outputs = _mapped(results, lambda v: self._tensor(v, "activation", ""))
        tensors = [t for t in _flat(outputs) if isinstance(t, TensorId)]
        self._builder.node(
            op,
            self._arguments(node, values),
            tensors,
            module=path,
            source=source_line(node.meta.get("stack_trace")),
        )
        values[node] = outputs

    def _condition(self, node: torch.fx.Node, owner: torch.nn.Module, values: dict[Any, Any]) -> None:
        scope, name = self._scope, f"{self._scope}{node.name}"
        self.conditions.append(name)
        branch = self._choices.get(name, 0)
        self._scope = f"{name}/{branch}/"
        arguments: Any = node.args
        self._inline(node, arguments[1 + branch], list(arguments[3]), owner, values)
        self._scope = scope

    def _inline(
        self, node: torch.fx.Node, subgraph: Any, args: list[Any], owner: torch.nn.Module, values: dict[Any, Any]
    ) -> None:
        """Read a subgraph whose placeholders are the last of `args`."""
        module: Any = owner.get_submodule(str(subgraph.target))
        graph: torch.fx.Graph = module.graph
        placeholders = [n for n in graph.nodes if n.op == "placeholder"]
        operands = args[len(args) - len(placeholders) :]
        inner = {p: values[a] for p, a in zip(placeholders, operands, strict=True) if a in values}
        outputs = self._walk(graph, module, inner)
        values[node] = outputs if isinstance(node.meta.get("val"), tuple | list) else outputs[0]

    def _arguments(self, node: torch.fx.Node, values: Mapping[Any, Any]) -> dict[str, Any]:
        named = dict(zip(self._names(node.target, len(node.args)), node.args, strict=False)) | dict(node.kwargs)
        arguments = {}
        for name, value in named.items():
            if name in IGNORED_ARGUMENTS or getattr(value, "op", "") == "get_attr":
                continue
            arguments[name] = self._argument(value, values)
        return arguments

    def _names(self, target: Any, count: int) -> list[str]:
        names = self._parameter_names.get(target)
        if names is None:
            schema = getattr(target, "_schema", None)  # higher-order operators have none
            names = [a.name for a in schema.arguments] if schema else list(PARAMETERS.get(_op_name(target), ()))
            self._parameter_names[target] = names
        return names + [f"arg{i}" for i in range(len(names), count)]

    def _argument(self, value: Any, values: Mapping[Any, Any]) -> Any:
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if hasattr(value, "meta") and hasattr(value, "op"):  # an fx node: a tensor, or a symbolic number
            return values[value] if value in values else self._number(value.meta.get("val"))
        if isinstance(value, Sequence):
            items = [self._argument(v, values) for v in value]
            tensors = [item for item in items if isinstance(item, TensorId)]
            # Higher-order operators mix tensors and numbers; only the tensors are operands.
            return items if not tensors or all(i is None or isinstance(i, TensorId) for i in items) else tensors
        text = str(value)
        return text.removeprefix("torch.")  # torch.float32 -> float32, torch.channels_last -> channels_last

    def _number(self, value: Any) -> Any:
        kind = type(value).__name__
        if kind == "SymInt":
            return self._size(value)
        if kind in {"SymFloat", "SymBool"}:
            return value.node.hint
        return value if isinstance(value, bool | int | float) else None

    def _size(self, value: Any) -> Size:
        return value if type(value) is int else to_expr(value.node.expr, self._sizes)

    def _tensor(self, value: torch.Tensor, role: str, name: str, logical_numel: int | None = None) -> TensorId:
        import torch

        strided = value.layout is torch.strided
        return self._builder.tensor(
            str(value.dtype).removeprefix("torch."),
            [self._size(s) for s in value.shape],
            strides=[self._size(s) for s in value.stride()] if strided else None,
            role=role,
            name=name,
            logical_numel=logical_numel,
        )


def _size_table(
    program: ExportedProgram,
    builder: GraphBuilder,
    placeholders: Mapping[str, torch.fx.Node],
    dynamic: SizeNames | None,
) -> SizeTable:
    inputs: list[InputDims] = []
    hints: dict[str, int] = {}
    for name in program.graph_signature.user_inputs:
        node = placeholders.get(name) if isinstance(name, str) else None
        value: Any = None if node is None else node.meta.get("val")
        if node is not None and _is_tensor(value):
            symbols = tuple(_symbol(s) for s in value.shape)
            inputs.append(InputDims(node.name, not (value.is_floating_point() or value.is_complex()), symbols))
    for node in program.graph.nodes:
        for value in _flat(node.meta.get("val")):
            for size in value.shape if _is_tensor(value) else (value,):
                symbol = _symbol(size)
                if symbol and symbol not in hints and size.node.has_hint():
                    hints[symbol] = int(size.node.hint)
    ranges = {
        str(symbol): (_bound(limits.lower), _bound(limits.upper))
        for symbol, limits in program.range_constraints.items()
        if symbol.is_Symbol
    }
    return SizeTable(builder, name_sizes(inputs, dynamic), hints, ranges)


def _symbol(size: Any) -> str:
    if type(size).__name__ != "SymInt":
        return ""
    expression = size.node.expr
    return str(expression.name) if expression.is_Symbol else ""


def _symbols_of(results: Any) -> Iterable[str]:
    """Return the symbols in the lengths of a call's results, or in results that are numbers."""
    for value in _flat(results):
        for size in value.shape if _is_tensor(value) else (value,):
            if type(size).__name__ == "SymInt":
                yield from sorted(symbol.name for symbol in size.node.expr.free_symbols)


def _operands(node: torch.fx.Node, size: Callable[[Any], Size]) -> Iterator[Operand]:
    for operand in _flat(list(node.args)):
        value: Any = operand.meta.get("val") if hasattr(operand, "meta") else None
        if _is_tensor(value):
            yield Operand(str(value.dtype).removeprefix("torch."), [size(length) for length in value.shape])


def _bound(limit: Any) -> int | None:
    return int(limit) if getattr(limit, "is_Integer", False) or isinstance(limit, int) else None


def _op_name(target: Any) -> str:
    """Return `aten.linear.default`, `higher_order.cond`, or "" for a Python function on numbers."""
    if hasattr(target, "_schema"):
        return str(target)
    return f"{target.namespace}.{target.name()}" if hasattr(target, "namespace") else ""


def _same_memory(a: torch.Tensor, b: torch.Tensor) -> bool:
    # Compared by the identity of the storage, since meta tensors have no address.
    return (
        a.untyped_storage()._cdata == b.untyped_storage()._cdata
        and a.storage_offset() == b.storage_offset()
        and a.stride() == b.stride()
    )


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "stride") and hasattr(value, "dtype")


def _nested(name: str, value: Any, declared: Mapping[str, TensorId]) -> Any:
    if name in declared:
        return declared[name]
    names = value.__tensor_flatten__()[0]
    return {part: _nested(f"{name}[{part}]", getattr(value, part), declared) for part in names}


def _mapped(value: Any, make: Any) -> Any:
    """Return the same nesting with every tensor mapped, and None for other values."""
    if isinstance(value, tuple | list):
        return [_mapped(v, make) for v in value]
    return make(value) if _is_tensor(value) else None


def _flat(value: Any) -> Iterable[Any]:
    if isinstance(value, tuple | list):
        for item in value:
            yield from _flat(item)
    else:
        yield value
