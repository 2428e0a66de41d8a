"""Values of tensors that a forward reads, computed on demand from the calls that produced them.

A forward that evaluates `mask.all()` needs one bool. It follows from the inputs and from tensors that the model created
itself (`torch.ones`, `arange`), through recorded calls. Only these calls are run again, on the CPU with real numbers.
Weights are never involved: a value that depends on one is unknown before the model runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...errors import InputError

if TYPE_CHECKING:
    from .calls import Call

# Size of a mask for a batch of long sequences; larger tensors are not masks.
_LARGEST = 2**26
# If every call is executed, larger results count against a budget: a forward that searches its images for padding is
# followed, while one that makes a large mask in each of many layers exhausts the budget soon.
_SMALL_FOLLOWED = 2**20
_BUDGET_BYTES = 2**29
_ATEN = torch.ops.aten
# Operators with an operand whose values do not matter, and its position.
_SHAPE_ALONE = {
    _ATEN.expand_as.default: 1,
    _ATEN.view_as.default: 1,
    _ATEN.reshape_as.default: 1,
    _ATEN.type_as.default: 1,
    _ATEN.zeros_like.default: 0,
    _ATEN.ones_like.default: 0,
    _ATEN.full_like.default: 0,
    _ATEN.new_zeros.default: 0,
    _ATEN.new_ones.default: 0,
    _ATEN.new_full.default: 0,
}


class UnknownValueError(InputError):
    """A value depends on data that a capture does not have."""


class Values:
    """Values of recorded tensors.

    Args:
        given: Id of a meta tensor -> the caller's real tensor.
        followed: Whether every call is executed with values when it is recorded (`follow`), which covers in-place
            writes; otherwise only calls that lead to a requested value are executed.
    """

    def __init__(self, given: dict[int, torch.Tensor], *, followed: bool = False) -> None:
        # In-place calls are executed too, so the caller's tensors are copied.
        self._known = {key: real.clone() for key, real in given.items()} if followed else dict(given)
        self._followed = followed
        self._budget_bytes = _BUDGET_BYTES
        self._kept: list[torch.Tensor] = []
        self._base: dict[int, int] = {}  # id of a view -> id of its base
        self._written: set[int] = set()  # ids of tensors written to in place, directly or through a view
        self._producers: dict[int, Call] = {}  # id of a tensor -> the call that produced its value
        self._read = 0  # number of calls read into it

    def known(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """Return the value of a meta tensor if it is known without computing anything."""
        return self._known.get(id(tensor))

    def of(self, tensor: torch.Tensor, calls: Sequence[Call]) -> torch.Tensor:
        """Return the value of a tensor.

        Raises:
            UnknownValueError: It depends on a weight, on an input without values, or on random numbers.
        """
        if tensor.device.type != "meta":
            return tensor
        if not self._followed:
            self._read_on(calls)
            self._compute(tensor)
        elif id(tensor) not in self._known:
            raise UnknownValueError("it depends on a weight, on an input without values, or on random numbers")
        return self._known[id(tensor)]

    def follow(self, call: Call) -> None:
        """Execute a call with values, if the values of all its operands are known."""
        results = [t for t in _tensors(call.result) if t.is_meta]
        operands = [t for t in _operands(call) if t.is_meta]
        mutable = call.op._schema.is_mutable
        if not results or (not mutable and all(id(t) in self._known for t in results)):
            return
        known = all(id(t) in self._known for t in operands)
        by_chance = torch.Tag.nondeterministic_seeded in call.op.tags
        if not known or by_chance or not self._affords(call, results):
            if mutable:
                self._forget([t for t in operands if id(t) in self._known])
            return
        try:
            real = call.op(*self._real_args(call), **{name: self._real(v) for name, v in call.kwargs.items()})
        except UnknownValueError:  # a symbolic size
            if mutable:
                self._forget(operands)
            return
        for meta, value in zip(_tensors(call.result), _tensors(real), strict=True):
            self._known[id(meta)] = value

    def _affords(self, call: Call, results: list[torch.Tensor]) -> bool:
        """Return whether values of this size are computed; large new tensors are subtracted from the budget."""
        if any(r.alias_info is not None for r in call.op._schema.returns):
            return True
        large = [t for t in results if t.numel() > _SMALL_FOLLOWED]
        size = sum(t.numel() * t.element_size() for t in large)
        if any(t.numel() > _LARGEST for t in large) or size > self._budget_bytes:
            return False
        self._budget_bytes -= size
        return True

    def _forget(self, written: list[torch.Tensor]) -> None:
        """Drop values of tensors written with unknown values, and of their views."""
        storages = {self._known[id(t)].untyped_storage().data_ptr() for t in written}
        gone = [key for key, real in self._known.items() if real.untyped_storage().data_ptr() in storages]
        for key in gone:
            del self._known[key]

    def twin(self, real: torch.Tensor) -> torch.Tensor:
        """Return a meta tensor that represents a real one."""
        meta = torch.empty_strided(real.shape, real.stride(), dtype=real.dtype, device="meta")
        self._known[id(meta)] = real
        self._kept.append(meta)
        return meta

    def _read_on(self, calls: Sequence[Call]) -> None:
        for call in calls[self._read :]:
            # Not a call that returned its operand, as `to` may, or `detach_` of the result of `torch.tensor`.
            writes = call.op._schema.is_mutable and call.op is not torch.ops.aten.detach_.default
            handed_on = set() if writes else {id(t) for t in _operands(call)}
            self._producers |= {id(part): call for part in _tensors(call.result) if id(part) not in handed_on}
            self._note_aliases(call)
        self._read = len(calls)

    def _note_aliases(self, call: Call) -> None:
        """Record which tensors are views, and which were written to."""
        schema = call.op._schema
        if schema.is_mutable:
            if torch.Tag.inplace_view not in call.op.tags:
                written = [a for a, s in zip(call.args, schema.arguments, strict=False) if s.is_write]
                self._written |= {self._base.get(id(t), id(t)) for t in _tensors(written)}
        elif call.args and any(r.alias_info is not None for r in schema.returns):
            for base in _tensors(call.args[:1]):
                self._base |= {id(part): self._base.get(id(base), id(base)) for part in _tensors(call.result)}

    def _compute(self, tensor: torch.Tensor) -> None:
        # Depth first without recursion, since chains of calls may be long.
        waiting = [tensor]
        while waiting:
            current = waiting[-1]
            if self._base.get(id(current), id(current)) in self._written:
                raise UnknownValueError("it depends on a tensor that is written to in place")
            if id(current) in self._known:
                waiting.pop()
                continue
            call = self._producers.get(id(current))
            if call is None:
                raise UnknownValueError("it depends on a weight, or on an input without values")
            missing = [t for t in _operands(call) if t.device.type == "meta" and id(t) not in self._known]
            if missing:
                if any(t is current for t in missing):
                    raise UnknownValueError(f"it depends on {call.op}, which works in place")
                waiting.extend(missing)
            else:
                self._run(call)

    def _run(self, call: Call) -> None:
        if call.op._schema.is_mutable or torch.Tag.nondeterministic_seeded in call.op.tags:
            raise UnknownValueError(f"it depends on {call.op}, which works in place or is random")
        if any(part.numel() > _LARGEST for part in _tensors(call.result)):
            raise UnknownValueError(f"it depends on {call.op} with a result of more than {_LARGEST} elements")
        kwargs = {name: self._real(value) for name, value in call.kwargs.items()}
        result = call.op(*self._real_args(call), **kwargs)
        for meta, real in zip(_tensors(call.result), _tensors(result), strict=True):
            self._known[id(meta)] = real

    def _real_args(self, call: Call) -> list[Any]:
        shape_alone = _SHAPE_ALONE.get(call.op)
        if shape_alone is not None and any(isinstance(n, torch.SymInt) for n in call.args[shape_alone].shape):
            raise UnknownValueError("it depends on a symbolic size")
        return [
            torch.zeros((), dtype=value.dtype).expand(value.shape) if place == shape_alone else self._real(value)
            for place, value in enumerate(call.args)
        ]

    def _real(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value if value.device.type != "meta" else self._known[id(value)]
        if isinstance(value, list | tuple):
            return type(value)(self._real(v) for v in value)
        if isinstance(value, torch.device):
            return torch.device("cpu")
        if isinstance(value, torch.SymInt):
            raise UnknownValueError(f"it depends on the symbolic size {value}")
        return value


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for item in value for t in _tensors(item)] if isinstance(value, list | tuple) else []


def _operands(call: Call) -> list[torch.Tensor]:
    """Return the tensors whose values a call depends on."""
    shape_alone = _SHAPE_ALONE.get(call.op)
    args = call.args if shape_alone is None else [a for place, a in enumerate(call.args) if place != shape_alone]
    return _tensors(args) + _tensors(tuple(call.kwargs.values()))
