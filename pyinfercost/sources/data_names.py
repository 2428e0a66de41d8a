"""Names of the sizes that depend on data, and what is said about where they come from. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from pyinfercost._core import Expr

Size: TypeAlias = "int | Expr"

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.]")

ROOT = "forward"
"""What stands in a name for the model itself, which has no path."""


def is_data_name(name: str) -> bool:
    """Return whether a name is one of a size that depends on data, as captures give them out: it has a dot.

    A size of a graph has a role, which `Graph.depends_on_data` reads; this is for names that come before the graph.
    """
    return "." in name


class DataNames:
    """Names that are given out once: `roi_heads.nms`, `roi_heads.nms_2`."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def peek(self, module: str, what: str) -> str:
        """What `next` would give."""
        base = _base(module, what)
        number = self._given.get(base, 0) + 1
        return base if number == 1 else f"{base}_{number}"

    def next(self, module: str, what: str) -> str:
        """The next name for a size that an op of a module brings up.

        Args:
            module: The path of the module.
            what: The op, or what is counted: `nms`.
        """
        name = self.peek(module, what)
        base = _base(module, what)
        self._given[base] = self._given.get(base, 0) + 1
        return name


def _base(module: str, what: str) -> str:
    path = _NOT_IN_NAMES.sub("_", module)
    if not path or path[0].isdigit():
        path = f"{ROOT}.{path}" if path else ROOT
    return f"{path}.{_NOT_IN_NAMES.sub('_', what)}"


class Operand(NamedTuple):
    """A tensor that a call reads: its dtype as torch spells it, without `torch.`, and its lengths."""

    dtype: str
    shape: Sequence[Size]


class Counted(NamedTuple):
    """What the length of an op's result counts.

    Attributes:
        what: The op, as names have it.
        of: What is counted, in words.
        bound: The most that there can be; None if the op says nothing.
    """

    what: str
    of: str
    bound: Size | None


def counted_by(op: str, operands: Sequence[Operand]) -> Counted:
    """What a new size stands for in the results of an op of a program.

    Args:
        op: `aten.nonzero.default`.
        operands: The tensors that the call reads, in order.
    """
    name = op.split(".")[1]
    masks = [operand for operand in operands if operand.dtype in ("bool", "uint8")]
    if name in _OF_MASK and operands:
        return Counted("nonzero", "elements of a mask that are true", _numel((masks or operands)[-1]))
    if name == "index" and masks:
        return Counted("nonzero", "elements of a mask that are true", _numel(masks[0]))
    if name == "masked_select" and len(operands) > 1:
        shapes: list[list[Size]] = [list(operand.shape) for operand in operands[:2]]
        rank = max(map(len, shapes))
        one: list[Size] = [1]
        sides = [one * (rank - len(shape)) + shape for shape in shapes]
        broadcast = [a if isinstance(b, int) and b == 1 else b for a, b in zip(*sides, strict=True)]
        return Counted("nonzero", "elements of a mask that are true", _numel(Operand("", broadcast)))
    if "unique" in name and operands:
        return Counted("unique", "different values of a tensor", _numel(operands[0]))
    if name == "nms" and operands:
        return Counted("nms", "boxes that non-maximum suppression keeps", operands[0].shape[0])
    if name in ("item", "_local_scalar_dense"):
        return Counted("item", "a value that is used as a size", None)
    return Counted(name, "a length that depends on data", None)


_OF_MASK = frozenset({"nonzero", "nonzero_numpy", "argwhere"})


def _numel(operand: Operand) -> Size:
    whole: Size = 1
    for length in operand.shape:
        whole = whole * length
    return whole
