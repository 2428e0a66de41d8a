"""Conversion of a `.pt2` file to a Graph without torch: the archive is an uncompressed zip of JSON and raw weights.

`models/model.json` is the program in torch's export schema, and `data/weights/model_weights_config.json` maps names
to raw entries. `data/sample_inputs` is a pickle and is never opened.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyinfercost._checks import shown
from pyinfercost._core import Graph, GraphBuilder, TensorId
from pyinfercost.sources.data_names import Operand
from pyinfercost.sources.exported.archive_weights import (
    Archive,
    ArchiveError,
    Weight,
    element_bytes,
    scalar_type,
    weights,
)
from pyinfercost.sources.exported.program import (
    CONDITION,
    IGNORED_ARGUMENTS,
    INLINED,
    INNER_TENSOR,
    LOOP,
    PARAMETERS,
    InputDims,
    SizeNameError,
    SizeNames,
    SizeTable,
    dearest,
    is_work,
    module_path,
    name_sizes,
    source_line,
)
from pyinfercost.sources.expressions import Size, parse_expr, symbol_name

__all__ = ["ArchiveError", "Weight", "graph_from_archive", "weights"]

_MODELS = "models/"
_SCHEMA_MAJOR = 8
_MEMORY_FORMATS = {1: "contiguous_format", 2: "channels_last", 3: "channels_last_3d", 4: "preserve_format"}
_STRIDED = 7
_LISTS_OF_UNIONS = frozenset({"as_optional_tensors", "as_sym_ints", "as_sym_bools", "as_sym_floats"})

_Json = dict[str, Any]


def graph_from_archive(path: str | os.PathLike[str], *, dynamic: SizeNames | None = None) -> Graph:
    """Read a program written by `torch.export.save`.

    Args:
        path: Path of the `.pt2` file.
        dynamic: Input position or name -> dimension -> name, for sizes that were exported as dynamic; see
            `graph_from_exported`.

    Returns:
        The graph, named after the file.

    Raises:
        ArchiveError: The file is not such an archive, is damaged, or has an unsupported schema.
        FileNotFoundError: There is no such file.
        SizeNameError: `dynamic` does not fit the program.
    """
    with Archive(path) as archive:
        entries = sorted(name for name in archive.names if name.startswith(_MODELS) and name.endswith(".json"))
        if len(entries) != 1:
            raise archive.error(
                f"has {len(entries)} programs {shown(entries)}; expected exactly one {_MODELS}NAME.json, as written "
                "by torch.export.save (torch 2.8 or newer)"
            )
        entry = entries[0]
        program = archive.json(entry)
        try:
            version = program["schema_version"]["major"]
            if version != _SCHEMA_MAJOR:
                raise archive.error(
                    f"{entry} has export schema {shown(version)} (torch {shown(program.get('torch_version'))}); "
                    f"expected {_SCHEMA_MAJOR}, as written by torch.export.save of torch 2.8 or newer"
                )
            tied = archive.tied_names()

            def read(choices: Mapping[str, int]) -> tuple[Graph, list[str]]:
                reader = _Reader(program, Path(path).name, tied, dynamic, choices)
                return reader.graph(), reader.conditions

            return dearest(read)
        except (ArchiveError, SizeNameError):
            raise
        except ValueError as error:
            raise archive.error(f"{entry}: {error}") from error
        except (KeyError, TypeError, IndexError, AttributeError, StopIteration, RuntimeError, OverflowError) as error:
            raise archive.error(
                f"{entry} does not follow torch's export schema: {type(error).__name__} {error}"
            ) from error


class _Reader:
    def __init__(
        self,
        program: _Json,
        model: str,
        tied: Mapping[str, str],
        dynamic: SizeNames | None,
        choices: Mapping[str, int],
    ) -> None:
        self.conditions: list[str] = []  # conditions of the program, in order
        self._choices = choices
        self._scope = ""  # names of the conditions around the current nodes
        self._module: _Json = program["graph_module"]
        self._graph: _Json = self._module["graph"]
        self._builder = GraphBuilder(model)
        self._tied = tied
        self._sizes = self._size_table(program["range_constraints"], dynamic)

    def graph(self) -> Graph:
        values: dict[str, TensorId] = {}
        inputs = self._register_inputs(values)
        self._walk(self._graph, values)
        outputs = []
        for spec in self._module["signature"]["output_specs"]:
            kind, body = _union(spec)
            if kind == "user_output":
                outputs += [values[name] for name in _tensor_names(body["arg"]) if name in values]
        return self._builder.build(inputs, outputs)

    def _register_inputs(self, values: dict[str, TensorId]) -> list[TensorId]:
        metas = self._graph["tensor_values"]
        stored: dict[str, Any] = {}
        parts = self._inner_tensors()
        inputs = []
        for kind, arg, target in self._inputs():
            for name in _tensor_names(arg):
                if kind == "user_input":
                    role = "kv_cache" if name.startswith("past_key_value") else "input"
                    values[name] = self._tensor(metas[name], role, name)
                    inputs.append(values[name])
                    continue
                first = self._tied.get(target, target)
                if first not in stored:
                    role = "constant" if kind == "tensor_constant" else kind
                    stored[first] = self._stored(metas[name], role, target, parts.get(name, {}))
                values[name] = stored[first]
        return inputs

    def _inner_tensors(self) -> dict[str, dict[str, _Json]]:
        """Return name of a tensor subclass -> attribute -> metadata of the inner tensors that the program uses."""
        parts: dict[str, dict[str, _Json]] = {}
        for node in self._graph["nodes"]:
            if node["target"] == f"torch.ops.{INNER_TENSOR}":
                whole, attribute = (_union(named["arg"])[1] for named in node["inputs"])
                (output,) = (name for item in node["outputs"] for name in _tensor_names(item))
                parts.setdefault(whole["name"], {})[attribute] = self._graph["tensor_values"][output]
        return parts

    def _stored(self, meta: _Json, role: str, name: str, parts: Mapping[str, _Json]) -> Any:
        if not parts:
            return self._tensor(meta, role, name)
        # The largest part has all elements. Unused parts are in a pickle and not counted.
        largest = max(parts, key=lambda attribute: _known_bytes(parts[attribute]))
        elements = math.prod(int(size["as_int"]) for size in meta["sizes"])
        return {
            attribute: self._tensor(part, role, f"{name}[{attribute}]", elements if attribute == largest else 0)
            for attribute, part in parts.items()
        }

    def _inputs(self) -> Iterator[tuple[str, _Json, str]]:
        for spec in self._module["signature"]["input_specs"]:
            kind, body = _union(spec)
            if kind == "user_input":
                yield kind, body["arg"], ""
            elif kind in {"parameter", "buffer", "tensor_constant"}:
                yield kind, {"as_tensor": body["arg"]}, body[f"{kind}_name"]

    def _walk(self, graph: _Json, values: dict[str, TensorId]) -> None:
        scope = _Scope(graph, values)
        for node in graph["nodes"]:
            target: str = node["target"]
            if not target.startswith("torch.ops."):
                continue  # a Python function on symbolic integers
            op = target.removeprefix("torch.ops.")
            self._declare_of_data(op, node, scope)
            if op in INLINED:
                self._inline(node, 0, values)
            elif op == CONDITION:
                self._condition(node, values)
            elif op == INNER_TENSOR:
                whole, attribute = (_union(named["arg"])[1] for named in node["inputs"])
                (output,) = (name for item in node["outputs"] for name in _tensor_names(item))
                held: Any = values[whole["name"]]
                values[output] = held[attribute]
            elif is_work(op):
                if op == LOOP:
                    self._inline(node, 0, values, results=False)
                    self._inline(node, 1, values)

                self._node(op, node, scope)

    def _node(self, op: str, node: _Json, scope: _Scope) -> None:
        outputs = []
        for output in node["outputs"]:
            for name in _tensor_names(output):
                scope.values[name] = self._tensor(scope.metas[name], "activation", "")
                outputs.append(scope.values[name])
        arguments = {}
        for position, named in enumerate(node["inputs"]):
            name = named["name"] or _name_at(op, position)
            kind, value = _union(named["arg"])
            if name not in IGNORED_ARGUMENTS and kind not in {"as_graph", "as_string_to_argument", "as_custom_obj"}:
                arguments[name] = self._argument(kind, value, scope)
        source = source_line(node["metadata"].get("stack_trace"))
        self._builder.node(op, arguments, outputs, module=_module_of(node), source=source)

    def _declare_of_data(self, op: str, node: _Json, scope: _Scope) -> None:
        symbols = []
        for output in node["outputs"]:
            sizes = [size for name in _tensor_names(output) for size in scope.metas[name]["sizes"]]
            kind, value = _union(output)
            if kind == "as_sym_int" and "as_name" in value:
                sizes.append(scope.integers[value["as_name"]])
            texts = [size["as_expr"]["expr_str"] for size in sizes if "as_expr" in size]
            symbols += [symbol for text in texts for symbol in _UNBACKED.findall(text)]
        if symbols:
            metas = [scope.metas[name] for named in node["inputs"] for name in _tensor_names(named["arg"])]
            operands = [Operand(scalar_type(m["dtype"]), [self._size(s) for s in m["sizes"]]) for m in metas]
            self._sizes.of_data(symbols, _module_of(node), op, operands)

    def _condition(self, node: _Json, values: dict[str, TensorId]) -> None:
        name = self._scope + "+".join(n for output in node["outputs"] for n in _tensor_names(output))
        scope = self._scope
        self.conditions.append(name)
        branch = self._choices.get(name, 0)
        self._scope = f"{name}/{branch}/"
        self._inline(node, branch, values)
        self._scope = scope

    def _inline(self, node: _Json, which: int, values: dict[str, TensorId], *, results: bool = True) -> None:
        """Read one of the node's subgraphs, whose placeholders are its last operands."""
        operands = [_union(named["arg"]) for named in node["inputs"]]
        graph: _Json = [value["graph"] for kind, value in operands if kind == "as_graph"][which]
        inner: dict[str, TensorId] = {}
        given = [single for kind, value in operands for single in _single(kind, value)]
        given = given[len(given) - len(graph["inputs"]) :]
        for placeholder, operand in zip(graph["inputs"], given, strict=True):
            for inside, outside in zip(_tensor_names(placeholder), _tensor_names(operand), strict=True):
                inner[inside] = values[outside]
        self._walk(graph, inner)
        if not results:
            return
        produced = [name for output in graph["outputs"] for name in _tensor_names(output)]
        wanted = [name for output in node["outputs"] for name in _tensor_names(output)]
        for outside, inside in zip(wanted, produced, strict=True):
            values[outside] = inner[inside]

    def _argument(self, kind: str, value: Any, scope: _Scope) -> Any:
        match kind:
            case "as_none":
                return None
            case "as_tensor":
                return scope.values[value["name"]]
            case "as_tensors" | "as_nested_tensors":
                return [scope.values[name] for name in _tensor_names({kind: value})]
            case "as_optional_tensor":
                return self._argument(*_union(value), scope)
            case "as_optional_tensors":
                return [self._argument(*_union(item), scope) for item in value]
            case "as_sym_int" | "as_sym_float" | "as_sym_bool":
                return self._number(value, scope)
            case "as_sym_ints" | "as_sym_floats" | "as_sym_bools":
                return [self._number(item, scope) for item in value]
            case "as_scalar_type":
                return scalar_type(value)
            case "as_memory_format":
                return _MEMORY_FORMATS.get(value, "")
            case "as_float":
                return float(value)  # infinities are stored as text
            case "as_floats":
                return [float(item) for item in value]
            case "as_int_lists" | "as_float_lists":
                return [item for items in value for item in items]
            case "as_complex":
                return str(complex(value["real"], value["imag"]))
        return value

    def _number(self, argument: _Json, scope: _Scope) -> Any:
        kind, value = _union(argument)
        if kind != "as_name":
            return value
        if value in scope.integers:
            return self._size(scope.integers[value])
        kind, value = _union(scope.others[value])
        hint = value.get("hint") if kind == "as_expr" else {kind: value}
        return None if hint is None else _union(hint)[1]

    def _size(self, size: _Json) -> Size:
        if "as_int" in size:
            return int(size["as_int"])
        return parse_expr(size["as_expr"]["expr_str"], self._sizes)

    def _tensor(self, meta: _Json, role: str, name: str, logical_numel: int | None = None) -> TensorId:
        strides = [self._size(s) for s in meta["strides"]] if meta["layout"] == _STRIDED else None
        shape = [self._size(s) for s in meta["sizes"]]
        dtype = scalar_type(meta["dtype"])
        return self._builder.tensor(dtype, shape, strides=strides, role=role, name=name, logical_numel=logical_numel)

    def _size_table(self, constraints: Mapping[str, _Json], dynamic: SizeNames | None) -> SizeTable:
        metas = self._graph["tensor_values"]
        inputs = []
        for kind, arg, _ in self._inputs():
            if kind == "user_input":
                for name in _tensor_names(arg):
                    dtype = scalar_type(metas[name]["dtype"])
                    integers = not dtype.startswith(("float", "bfloat", "complex"))
                    inputs.append(InputDims(name, integers, tuple(_symbol(s) for s in metas[name]["sizes"])))
        hints: dict[str, int] = {}
        sizes = [size for meta in metas.values() for size in meta["sizes"]] if constraints else []
        for size in [*sizes, *self._graph["sym_int_values"].values()]:
            symbol = _symbol(size)
            if symbol and symbol not in hints and size["as_expr"].get("hint"):
                hints[symbol] = int(_union(size["as_expr"]["hint"])[1])
        ranges = {key: (limits["min_val"], limits["max_val"]) for key, limits in constraints.items()}
        return SizeTable(self._builder, name_sizes(inputs, dynamic), hints, ranges)


class _Scope:
    """The names in scope of a graph or subgraph."""

    def __init__(self, graph: _Json, values: dict[str, TensorId]) -> None:
        self.values = values
        self.metas: _Json = graph["tensor_values"]
        self.integers: _Json = graph["sym_int_values"]
        self.others: _Json = graph.get("sym_float_values", {}) | graph.get("sym_bool_values", {})


_UNBACKED = re.compile(r"\bu\d+\b")


def _module_of(node: _Json) -> str:
    # Each entry is "key,path,type"; the last one is the module whose forward called the operator.
    path = node["metadata"].get("nn_module_stack", "").rpartition(";")[2].split(",")[1:2] or [""]
    return "" if path[0].startswith("_empty_nn_module_stack") else module_path(path[0])


def _union(value: _Json) -> tuple[str, Any]:
    """Return the alternative of a union in the schema, and its value."""
    return next(iter(value.items()))


def _known_bytes(meta: _Json) -> int:
    return element_bytes(meta["dtype"]) * math.prod(int(size["as_int"]) for size in meta["sizes"])


def _name_at(op: str, position: int) -> str:
    names = PARAMETERS.get(op, ())
    return names[position] if position < len(names) else f"arg{position}"


def _single(kind: str, value: Any) -> list[_Json]:
    """Return the items of a list argument: a subgraph has one placeholder per item."""
    if isinstance(value, list):
        item = kind.removesuffix("s")
        return [v if kind in _LISTS_OF_UNIONS else {item: v} for v in value]
    return [{kind: value}]


def _symbol(size: _Json) -> str:
    return symbol_name(size["as_expr"]["expr_str"]) if "as_expr" in size else ""


def _tensor_names(argument: _Json) -> Sequence[str]:
    kind, value = _union(argument)
    match kind:
        case "as_tensor":
            return [value["name"]]
        case "as_tensors":
            return [item["name"] for item in value]
        case "as_nested_tensors":
            return [item["name"] for items in value for item in items]
        case "as_optional_tensor":
            return _tensor_names(value)
        case "as_optional_tensors":
            return [name for item in value for name in _tensor_names(item)]
    return []
