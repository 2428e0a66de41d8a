"""Common rules of both readers of exported programs: names of sizes, modules and lines, and operators without work."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyinfercost._core import Expr, Graph, GraphBuilder, count
from pyinfercost.sources.data_names import DataNames, Operand, counted_by
from pyinfercost.sources.expressions import Symbols

from ...errors import InputError

SizeNames = Mapping[int | str, Mapping[int, str]]
"""Input (its position or its name) -> dimension -> name of the size."""


class SizeNameError(InputError):
    """Names of sizes do not fit the program."""


# Checks and symbolic integers run on the host and move no tensor; they become Expr values or are dropped.
_NOT_WORK = frozenset(
    {
        "_assert_async",
        "_assert_scalar",
        "_assert_tensor_metadata",
        "_guards_fn",
        "sym_constrain_range",
        "sym_constrain_range_for_size",
        "sym_is_contiguous",
        "sym_numel",
        "sym_size",
        "sym_storage_offset",
        "sym_stride",
    }
)

INLINED = frozenset(
    {
        "higher_order.invoke_subgraph",
        "higher_order.tag_activation_checkpoint",
        "higher_order.wrap",
        "higher_order.wrap_activation_checkpoint",
        "higher_order.wrap_with_autocast",
        "higher_order.wrap_with_set_grad_enabled",
    }
)
"""Higher-order operators that run their subgraph once, on their last operands: its nodes are inlined."""

INNER_TENSOR = "export.access_subclass_inner_tensor.default"
"""Returns an inner tensor of a parameter, such as a quantized weight, by name."""

CONDITION = "higher_order.cond"
"""Runs one of two subgraphs, depending on data. The more expensive one is inlined, so that counts are upper bounds."""

LOOP = "higher_order.while_loop"
"""Runs a condition and a body an unknown number of times: both are inlined once, and the operator itself has no row."""

PARAMETERS = {"higher_order.flex_attention": ("query", "key", "value")}
"""Names of operands of higher-order operators, which have no schema."""

# Arguments for the placement of a tensor, which do not affect work.
IGNORED_ARGUMENTS = frozenset({"device", "layout", "pin_memory"})

_MOST_CONDITIONS = 128

_UNBOUNDED = 2**62  # torch represents a missing upper bound as None, infinity, or an integer near the largest int64

_UNBACKED = re.compile(r"u\d+")  # torch's names of sizes that depend on data

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_TORCH_FRAME = re.compile(
    r"(^|[/\\])torch[/\\](nn|fx|utils|export|autograd|ao|_\w+|functional\.py|overrides\.py)([/\\]|$)|^<"
)
_SELF = re.compile(r"^(L__self__|L\['self'\])\.?")


@dataclass(frozen=True)
class InputDims:
    """Dimensions of one input tensor.

    Attributes:
        name: Name of the input.
        integers: Whether its dtype is an integer type.
        symbols: Symbol of each dimension, "" for none of its own.
    """

    name: str
    integers: bool
    symbols: tuple[str, ...]


class SizeTable(Symbols):
    """Symbols that become named sizes of a graph on first use.

    Args:
        builder: The graph under construction.
        names: Symbol -> name of the size; other symbols keep their names.
        hints: Symbol -> value during the export, the default of the size.
        ranges: Symbol -> (minimum, maximum), each of which may be None.
    """

    def __init__(
        self,
        builder: GraphBuilder,
        names: Mapping[str, str],
        hints: Mapping[str, int],
        ranges: Mapping[str, tuple[int | None, int | None]],
    ) -> None:
        super().__init__()
        self._builder = builder
        self._names = names
        self._hints = hints
        self._ranges = ranges
        self._made: dict[str, Expr] = {}
        self._data_names = DataNames()

    def of_data(self, symbols: Iterable[str], module: str, op: str, operands: Iterable[Operand]) -> None:
        """Declare new symbols in the results of a call: lengths that depend on data.

        Args:
            symbols: Symbols in the call's results.
            module: Path of the calling module.
            op: Name of the operator, such as `aten.nonzero.default`.
            operands: The tensors that the call reads.
        """
        for symbol in symbols:
            if symbol in self or not _UNBACKED.fullmatch(symbol):
                continue
            counted = counted_by(op, list(operands))
            low, high = self._ranges.get(symbol, (None, None))
            minimum = max(0, low or 0)
            bound = counted.bound if counted.bound is not None else high
            if isinstance(bound, int) and bound >= _UNBOUNDED:
                bound = None
            stated, default = "as many as there can be", bound
            if default is None:
                stated, default = "nothing bounds it", max(1, minimum, self._hints.get(symbol, 1))
            self[symbol] = self._builder.size(
                self._data_names.next(module, counted.what),
                default=default,
                minimum=minimum,
                maximum=bound,
                origin=f"{counted.of}; default: {stated}",
                role="data",
            )

    def __missing__(self, symbol: str) -> Expr:
        name = self._names.get(symbol, symbol)
        if name not in self._made:
            # Symbols with the same name are one size, which must satisfy the ranges of all of them.
            bounds = [
                self._ranges.get(s, (None, None)) for s in {symbol, *(s for s, n in self._names.items() if n == name)}
            ]
            minimum = max([1, *(low for low, _ in bounds if low is not None)])
            maximum = min([high for _, high in bounds if high is not None and high < _UNBOUNDED], default=None)
            hint = max(minimum, self._hints.get(symbol, minimum))
            default = hint if maximum is None else min(hint, maximum)
            self._made[name] = self._builder.size(name, default=default, minimum=minimum, maximum=maximum)
        self[symbol] = self._made[name]
        return self._made[name]


def dearest(read: Callable[[Mapping[str, int]], tuple[Graph, Sequence[str]]]) -> Graph:
    """Return the graph of a program with the more expensive branch of each of its conditions.

    Args:
        read: Maps condition -> branch (0 or 1; 0 by default) to the graph and the conditions in it.

    Returns:
        The graph.

    Raises:
        InputError: It has more than 128 conditions.
    """
    choices: dict[str, int] = {}
    graph, conditions = read(choices)
    cost, waiting, tried = cost_of(graph), list(conditions), 0
    while waiting:
        if tried + len(waiting) > _MOST_CONDITIONS:
            raise InputError(
                f"the program has {tried + len(waiting):,} conditions, for each of which it is read once more to find "
                f"the more expensive branch; expected at most {_MOST_CONDITIONS}"
            )
        tried += 1
        condition = waiting.pop()
        other, conditions = read({**choices, condition: 1})
        if (other_cost := cost_of(other)) > cost:
            choices[condition] = 1
            graph, cost = other, other_cost
            waiting = [c for c in conditions if c not in choices and (c in waiting or c.startswith(f"{condition}/"))]
    return graph


def cost_of(graph: Graph) -> tuple[int, int, int]:
    defaults: dict[str, Any] = {name: limits["default"] for name, limits in graph.sizes.items()}
    # Sizes that depend on data have their own defaults.
    total: Any = count(graph, {name: value for name, value in defaults.items() if isinstance(value, int)}).total
    return total.contraction_flops, total.pointwise_flops, total.bytes_read + total.bytes_written


def is_work(op: str) -> bool:
    """Return False for checks and symbolic-integer calls among `namespace.name.overload` operators."""
    parts = op.split(".")
    return len(parts) > 1 and parts[1] not in _NOT_WORK


def module_path(last_entry: str) -> str:
    """Return the dotted path of a module from the last entry of `nn_module_stack`, without torch's root name."""
    return _SELF.sub("", last_entry)


def source_line(stack_trace: str | None) -> str:
    """Return `resnet.py:92` from a node's stack trace: its innermost frame outside torch, or "" if there is none."""
    for path, line in reversed(_FRAME.findall(stack_trace or "")):
        if not _TORCH_FRAME.search(path):
            file = path.replace("\\", "/").rpartition("/")[2]
            return f"{file}:{line}"
    return ""


def name_sizes(inputs: Sequence[InputDims], dynamic: SizeNames | None) -> dict[str, str]:
    """Choose the names of a program's symbols.

    Args:
        inputs: The input tensors, in order.
        dynamic: Requested names. By default, a symbol at dimension 0 of the first input is `batch`, and one at
            dimension 1 of a two-dimensional integer input is `sequence`.

    Returns:
        Symbol -> name, for symbols with a name other than their own.

    Raises:
        SizeNameError: `dynamic` names an input or a dimension that does not exist or is not dynamic, or one symbol
            twice.
    """
    if dynamic is not None:
        return _requested_names(inputs, dynamic)
    names: dict[str, str] = {}
    if inputs and inputs[0].symbols and inputs[0].symbols[0]:
        names[inputs[0].symbols[0]] = "batch"
    for tensor in inputs:
        if tensor.integers and len(tensor.symbols) == 2 and tensor.symbols[1]:  # noqa: PLR2004
            names.setdefault(tensor.symbols[1], "sequence")
            break
    return names


def _requested_names(inputs: Sequence[InputDims], dynamic: SizeNames) -> dict[str, str]:
    names: dict[str, str] = {}
    by_name = {tensor.name: tensor for tensor in inputs}
    for key, dims in dynamic.items():
        tensor = by_name.get(key) if isinstance(key, str) else inputs[key] if 0 <= key < len(inputs) else None
        if tensor is None:
            known = ", ".join(f"{i} ({t.name})" for i, t in enumerate(inputs))
            raise SizeNameError(f"dynamic names input {key!r}; expected one of {known}")
        for dim, name in dims.items():
            symbol = tensor.symbols[dim] if -len(tensor.symbols) <= dim < len(tensor.symbols) else ""
            if not symbol:
                free = [i for i, s in enumerate(tensor.symbols) if s]
                raise SizeNameError(
                    f"dynamic names dimension {dim} of input {tensor.name!r} as {name!r}, but it was not exported as a "
                    f"dynamic size of its own; its dynamic dimensions are {free}; "
                    "export with dynamic_shapes for others"
                )
            if names.setdefault(symbol, name) != name:
                raise SizeNameError(
                    f"dynamic gives one size two names, {names[symbol]!r} and {name!r}: "
                    "the program requires them to be equal"
                )
    return names
