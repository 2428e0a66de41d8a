"""Names: of modules, from the scopes that exporters write, and of sizes, from the dimensions of inputs."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from pyinfercost._core import Expr, GraphBuilder

from ...errors import InputError
from ..data_names import DataNames
from ..exported.program import InputDims, SizeNames, name_sizes, source_line
from ..expressions import ExpressionError, Symbols, parse_expr
from .stored import dtype_of
from .values import Size

_SCOPES = "pkg.torch.onnx.name_scopes"
_STACK = "pkg.torch.onnx.stack_trace"
_LONGEST_NAME = 200
_NOT_IN_NAMES = re.compile(r"\W+")
_AUTOMATIC = re.compile(r"s\d+|unk__\d+|dim_?\d*|\?|None|-1|\W*")  # names that exporters make up
_IMAGE_RANK, _TOKENS_RANK = 4, 2
_CACHE = re.compile(r"(past_key_values?|past|present)([._].*|\d.*)?$")
_CACHE_NAME = "past_key_values"


def metadata_of(proto: Any) -> dict[str, str]:
    """Return the metadata of a node."""
    return {entry.key: entry.value for entry in proto.metadata_props}


def module_of(proto: Any, metadata: dict[str, str], prefix: str) -> str:
    """Return the dotted path of the module that called a node.

    Torch's exporters store it in the metadata or in the node's name: `/layer1/layer1.0/conv1/Conv`. The names of other
    converters are paths as well (`model/conv1/Conv2D`). A node without a path has the path of its function or subgraph.

    Args:
        proto: The `NodeProto`.
        metadata: Its metadata.
        prefix: Path of the function or subgraph that it is in.
    """
    if _SCOPES in metadata:
        try:
            scopes = ast.literal_eval(metadata[_SCOPES][:10_000])
            path = scopes[-2] if isinstance(scopes, list) and len(scopes) > 1 else ""
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            path = ""
        return path[:_LONGEST_NAME] if isinstance(path, str) and path else prefix
    if "/" not in proto.name:
        return prefix
    path = ""
    for scope in proto.name.strip("/").split("/")[:-1]:
        # The name of a module in a container starts with the name of the container.
        last = path.rpartition(".")[2]
        if path and (scope.startswith(f"{path}.") or scope.startswith(f"{last}.")):
            scope = scope.removeprefix(f"{path}.").removeprefix(f"{last}.")  # noqa: PLW2901
        path = f"{path}.{scope}" if path else scope
    path = path[:_LONGEST_NAME].strip(".")
    return f"{prefix}.{path}" if prefix and path else path or prefix


def module_of_weight(name: str) -> str:
    """Return the module of a weight such as `layer1.0.conv1.weight`, for nodes whose names are no paths."""
    path, dot, last = name.rpartition(".")
    return path[:_LONGEST_NAME] if dot and last.isidentifier() and "/" not in name and "::" not in name else ""


def source_of(metadata: dict[str, str]) -> str:
    """Return file and line of the Python code that called a node."""
    return source_line(metadata[_STACK][:100_000]) if _STACK in metadata else ""


def cache_name(name: str) -> str:
    """Return the name of a KV cache among the inputs or outputs, the same for both; empty for other tensors."""
    if not _CACHE.match(name):
        return ""
    rest = _CACHE.sub(lambda match: match.group(2) or "", name)
    return f"{_CACHE_NAME}{rest if rest[:1] in ('.', '_', '') else '.' + rest}"


class Sizes:
    """The named sizes of a model.

    Args:
        builder: The graph under construction.
        inputs: The graph's inputs, `ValueInfoProto`.
        dynamic: Names that the caller gives, as in `capture`.
    """

    def __init__(self, builder: GraphBuilder, inputs: Sequence[Any], dynamic: SizeNames | None) -> None:
        self._builder = builder
        self._declared: list[dict[str, Any]] = []
        self._data_names = DataNames()
        self._guards: set[tuple[str, str, str]] = set()
        self._symbols = Symbols()
        self._of_data: set[str] = set()
        dims = [self._dims_of(each) for each in inputs]
        self._names = name_sizes(dims, dynamic) if dynamic is not None else _default_names(dims)
        # Symbols that stand alone are declared before the expressions that use them.
        for tensor in dims:
            for symbol in tensor.symbols:
                if symbol and (symbol.isidentifier() or symbol in self._names or not _is_expression(symbol)):
                    self._declare_symbol(symbol)

    def _dims_of(self, info: Any) -> InputDims:
        tensor = info.type.tensor_type
        symbols = []
        for place, dim in enumerate(tensor.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value >= 0:
                symbols.append("")
            elif dim.dim_param and not _AUTOMATIC.fullmatch(dim.dim_param):
                symbols.append(dim.dim_param[:_LONGEST_NAME])
            else:
                # Nothing states that unnamed first dimensions are equal, but a model runs on one batch.
                own = dim.dim_param if re.fullmatch(r"s\d+", dim.dim_param) else ""
                symbols.append(own or (_BATCH if place == 0 else f"{info.name}_{place}"))
        integers = not dtype_of(tensor.elem_type).startswith(("float", "bfloat", "complex"))
        return InputDims(info.name, integers, tuple(symbols))

    def shape_of(self, info: Any) -> tuple[Size, ...]:
        """Return the shape of an input."""
        symbols = self._dims_of(info).symbols
        dims = info.type.tensor_type.shape.dim
        return tuple(
            self._size(symbol) if symbol else int(dim.dim_value) for symbol, dim in zip(symbols, dims, strict=True)
        )

    def _size(self, symbol: str) -> Size:
        known = self._symbols.get(symbol)
        if known is not None:
            return known
        try:
            return parse_expr(symbol, self._symbols)
        except (ExpressionError, InputError):
            return self._declare_symbol(symbol)

    def known(self, symbol: str) -> Size | None:
        """Return the size that a dimension of an inner value names; None for one that no input has."""
        if symbol in self._symbols:
            return self._symbols[symbol]
        try:
            return parse_expr(symbol, self._symbols)
        except (ExpressionError, InputError):
            return None

    def _declare_symbol(self, symbol: str) -> Expr:
        name = self._names.get(symbol) or _clean(symbol)
        known = {entry["name"]: place for place, entry in enumerate(self._declared)}
        if name in known:
            self._symbols[symbol] = Expr.size(name)
        elif symbol not in self._symbols:
            tokens = any(part in name.lower() for part in ("seq", "token", "past", "len", "context"))
            default = 128 if tokens else 224 if name in ("height", "width") else 1
            role = "sequence" if name in _SEQUENCES else None
            self._symbols[symbol] = self._add(name=name, default=default, role=role)
        return self._symbols[symbol]

    def _add(self, **size: Any) -> Expr:
        self._declared.append(size)
        return self._builder.size(**size)

    def of_data(self, module: str, what: str, of: str, bound: Size | None) -> Expr:
        """Declare a length that depends on data; its default is the bound.

        Args:
            module: The module whose operator creates it.
            what: The operator, for the name.
            of: Description of the counted items.
            bound: Maximum; None if unknown.
        """
        stated = "nothing bounds it" if bound is None else "as many as there can be"
        name = self._data_names.next(module, what)
        self._of_data.add(name)
        return self._add(
            name=name,
            default=1 if bound is None else bound,
            minimum=0,
            maximum=bound,
            origin=f"{of}; default: {stated}",
            role="data",
        )

    def guard(self, left: Size, relation: str, right: Size) -> None:
        """Add a condition that the model's shapes imply; conditions on sizes of data are left out."""
        names = [name for side in (left, right) if isinstance(side, Expr) for name in side.names]
        if any(name in self._of_data for name in names):
            return
        key = (str(left), relation, str(right))
        if key not in self._guards:
            self._guards.add(key)
            self._builder.guard(left, relation, right)

    def part(self, builder: GraphBuilder) -> Sizes:
        """Return the same sizes for a graph of a part of the model."""
        copied = Sizes.__new__(Sizes)
        copied.__dict__.update(self.__dict__)
        copied._builder = builder
        copied._declared = list(self._declared)
        copied._guards = set()
        copied._of_data = set(self._of_data)
        copied._symbols = Symbols(self._symbols)
        copied._data_names = self._data_names.copy()
        for size in self._declared:
            builder.size(**size)
        return copied


_BATCH = "batch"
_BATCHES = frozenset({"batch", "batch_size", "batchsize", "bs", "n"})
_SEQUENCES = frozenset({"sequence", "seq", "sequence_length", "seq_length", "seq_len", "seqlen", "sequence_len"})


def _default_names(inputs: Sequence[InputDims]) -> dict[str, str]:
    names: dict[str, str] = {}
    symbols = [symbol for tensor in inputs for symbol in tensor.symbols]
    first = next((tensor for tensor in inputs if tensor.symbols), None)
    batch = next((symbol for symbol in symbols if symbol.lower() in _BATCHES), "")
    if not batch and first is not None:
        batch = first.symbols[0]
    if batch:
        names[batch] = _BATCH
    for tensor in inputs:
        made_up = [s for s in tensor.symbols if s.startswith(f"{tensor.name}_") or re.fullmatch(r"s\d+", s)]
        if tensor.integers and len(tensor.symbols) == _TOKENS_RANK and tensor.symbols[1] in made_up:
            names.setdefault(tensor.symbols[1], "sequence")
        if not tensor.integers and len(tensor.symbols) == _IMAGE_RANK:
            for symbol, name in zip(tensor.symbols[2:], ("height", "width"), strict=True):
                if symbol in made_up and name not in names.values():
                    names.setdefault(symbol, name)
    return names


def _is_expression(symbol: str) -> bool:
    return bool(re.search(r"[-+*/()]", symbol)) and bool(re.search(r"[A-Za-z_]", symbol))


def _clean(symbol: str) -> str:
    name = _NOT_IN_NAMES.sub("_", symbol).strip("_")[:_LONGEST_NAME]
    if not name:
        return "size"
    return name if not name[0].isdigit() else f"size_{name}"
