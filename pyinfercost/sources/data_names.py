"""Names of sizes that depend on data, and descriptions of their origin. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from pyinfercost._core import Expr

Size: TypeAlias = "int | Expr"

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.]")

ROOT = "forward"
"""Name of the model itself, whose path is empty."""


def is_data_name(name: str) -> bool:
    """Return whether a name is of a size that depends on data: captures give these names a dot.

    For sizes of a graph use `Graph.depends_on_data`, which reads their role; this function is for names before a
    capture.
    """
    return "." in name


class DataNames:
    """Unique names of sizes: `roi_heads.nms`, `roi_heads.nms_2`."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def copy(self) -> DataNames:
        """Return names that go on from here, for a part of a model that is read twice."""
        copied = DataNames()
        copied._given.update(self._given)
        return copied

    def peek(self, module: str, what: str) -> str:
        """Return the name that `next` would return."""
        base = _base(module, what)
        number = self._given.get(base, 0) + 1
        return base if number == 1 else f"{base}_{number}"

    def next(self, module: str, what: str) -> str:
        """Return the next name for a size that an operator of a module creates.

        Args:
            module: Path of the module.
            what: The operator, or the counted items: `nms`.

        Returns:
            The name.
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
    """A tensor that a call reads: torch's name of its dtype without `torch.`, and its lengths."""

    dtype: str
    shape: Sequence[Size]


class Counted(NamedTuple):
    """Items counted by the length of an operator's result.

    Attributes:
        what: The operator, as in names of sizes.
        of: Description of the counted items.
        bound: Maximum; None if unknown.
    """

    what: str
    of: str
    bound: Size | None


def counted_by(op: str, operands: Sequence[Operand]) -> Counted:
    """Return the items counted by a new size in the results of an operator of a program.

    Args:
        op: Name of the operator, such as `aten.nonzero.default`.
        operands: The tensors that the call reads, in order.

    Returns:
        The counted items.
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
