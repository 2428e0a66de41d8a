"""Dispatch mode that records every ATen call of a forward and runs each distinct call only once.

Under `torch.inference_mode`, composite operators reach a dispatch mode whole: `linear`, `conv2d` and
`scaled_dot_product_attention` arrive as such. Those with a row in the operator tables are kept; others are decomposed.

The model gets aliases of the recorded tensors, so that they are freed when its frames, modules and lists no longer hold
them, as in eager execution.

On meta tensors, the result of a call follows from dtypes, shapes, strides and arguments alone. A repeated call with the
same ones therefore gets a copy of the earlier result's metadata: the 80th equal layer costs a dictionary lookup.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch._higher_order_ops.out_dtype import out_dtype as _out_dtype
from torch._ops import HigherOrderOperator
from torch.utils._python_dispatch import TorchDispatchMode

from pyinfercost import _core

from ...errors import UnsupportedError
from ..symbols import SizeSpace
from ..tensors.packed_weights import PackedWeights
from ..tensors.sparse_tensors import CONSTRUCTORS, is_sparse, sparse_twin
from ..tensors.tensor_parts import call_on_parts
from . import quantized_kernels
from .calls import Call
from .expert_routing import GROUPED_PRODUCTS
from .fused_kernels import KERNELS as _FUSED
from .higher_order import run_higher_order
from .lifetimes import HandedOut
from .meta_kernels import KERNELS as _LAYOUTS
from .recurrent_kernels import KERNELS as _RECURRENT
from .signatures import PLAIN, TENSORS, Signatures
from .symbolic_kernels import KERNELS as _SYMBOLIC
from .unbacked_sizes import DATA_KERNELS, DataSizes
from .value_ranges import parts
from .values import UnknownValueError, Values

if TYPE_CHECKING:
    from torch._ops import OpOverload

# Modules whose frames are not lines of the model: torch, its library of quantized tensors, and this package.
_LIBRARIES = (
    "<",
    str(Path(torch.__file__).parent) + os.sep,
    str(Path(torch.__file__).parents[1] / "torchao") + os.sep,
    str(Path(__file__).parents[1]) + os.sep,
)
_DRIVER = str(Path(__file__).with_name("trace.py"))
_NO_KWARGS: dict[str, Any] = {}
_EQUAL = torch.ops.aten.equal.default
_SLICE = torch.ops.aten.slice.Tensor
_NO_END = 2**63 - 1
_WHOLE = (None, None, 1)


@dataclass(slots=True)
class _Operator:
    """Properties of an operator, determined at its first call."""

    whole: bool  # has a row, so it is not decomposed
    pure: bool  # its result follows from metadata: neither in place nor with out=
    mutable: bool  # in place, or with out=
    packed: bool  # takes weights packed in script objects
    reshapes: bool  # changes the metadata of its operand in place, as `squeeze_` does
    converts: bool  # may move a tensor to another device, as `tolist` does before it reads
    on_data: bool  # its kernel depends on values
    kernel: Any  # runs it


@dataclass(slots=True)
class Recorder:
    """Recorded calls in order, with the caches that make recording fast. One per capture.

    `module` is the path of the running module; the driver of the forward calls `enter` and `leave`. `given` maps ids of
    meta tensors to the real tensors of the inputs, `sizes` are the named sizes, `packed` the weights in script objects.
    In a training step, `backward_from` is the index of the first call of backward.
    """

    given: dict[int, torch.Tensor]
    sizes: SizeSpace
    packed: PackedWeights
    follows: bool = False  # whether every call is also executed with values
    one_device: bool = False  # whether real operands become meta tensors if another operand is one
    calls: list[Call] = field(default_factory=list)
    module: str = ""
    backward_from: int | None = None
    signatures: Signatures = field(default_factory=Signatures)
    handed: HandedOut = field(default_factory=HandedOut)
    packed_ops: set[Any] = field(default_factory=set)  # operators that take weights packed in script objects
    grouped_ops: set[Any] = field(default_factory=set)  # operators that multiply groups of rows
    _operators: dict[Any, _Operator] = field(default_factory=dict)
    _kept: list[Any] = field(default_factory=list)
    _results: dict[Any, tuple[Any, Any]] = field(default_factory=dict)
    _library_code: dict[CodeType, bool] = field(default_factory=dict)
    _meta_copies: dict[int, torch.Tensor] = field(default_factory=dict)
    _callers: list[str] = field(default_factory=list)  # modules that wait for the running one
    _values: Values | None = None
    _data: DataSizes | None = None

    ends_by_exceptions: ClassVar[bool] = False

    @property
    def values(self) -> Values:
        """Values of tensors that follow from the inputs; most forwards need none."""
        if self._values is None:
            self._values = Values(self.given, followed=self.follows)
        return self._values

    @property
    def data(self) -> DataSizes:
        """Shape rules of operators that depend on data; most forwards need none."""
        if self._data is None:
            self._data = DataSizes(self, self.values, self.sizes)
        return self._data

    def enter(self, module: str | None) -> None:
        """Enter a module; one without a path of its own counts as part of its caller."""
        self._callers.append(self.module)
        if module is not None:
            self.module = module

    def leave(self) -> None:
        """Leave the running module."""
        self.module = self._callers.pop()

    def failed_in(self, error: BaseException) -> str:
        """Return the module in which an error occurred."""
        del error
        return self.module

    def mode(self) -> TorchDispatchMode:
        """Return the mode to enter around the forward."""
        return _Mode(self)

    def record(self, mode: TorchDispatchMode, op: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if op in _SCALARS:
            value = self._scalar(self.handed.twin(args[0]))
            return bool(value) if op is torch.ops.aten.is_nonzero.default or type(value) is torch.SymBool else value
        if op is _EQUAL:
            return self.data.numbers.are_equal(*map(self.handed.twin, args))
        if op is _SLICE and self.sizes.symbolic and _is_whole(args) and torch.is_inference_mode_enabled():
            length = args[0].shape[args[1] if len(args) > 1 else 0]
            if not self.sizes.is_of_data(length):
                return args[0]
        operator = self._operators.get(op)
        if operator is None:
            if isinstance(op, HigherOrderOperator):
                return run_higher_order(self, mode, op, args, kwargs)
            operator = self._operators[op] = self._learn(op)
        if not operator.whole:
            with mode:
                result = op.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
            operator.whole = True
        if operator.packed:
            args = tuple([self.packed.resolve(self.module, value) for value in args])
        # The caller of __torch_dispatch__, whose frame is a line of the model.
        frame = sys._getframe(2)
        given, given_kwargs = args, kwargs
        args = self.handed.inside(args)
        if kwargs:
            kwargs = dict(zip(kwargs, self.handed.inside(kwargs.values()), strict=True))
        key = None
        if operator.pure:
            try:
                key = (op, self.signatures.key(args), self.signatures.key(kwargs.items()) if kwargs else None)
                found = self._results.get(key)
            except TypeError:  # an unhashable argument, or a tensor with more than plain metadata
                key = found = None
            if found is not None:
                result, signatures = found
                result = self.signatures.copy(result, signatures)
                self.append(op, args, kwargs, result, frame)
                return self.handed.out(result)
        if operator.reshapes:
            self.signatures.reshape(args[0])
        if operator.converts and _to_host(args, kwargs):
            value = self._on_host(op, args, kwargs)
            if value is not None:
                return value
            args, kwargs = _without_host(args), {**kwargs, "device": torch.device("meta")}
        if operator.mutable:  # the model's own tensors change as the record's do
            outside = self._run(operator, op, given, given_kwargs)
            if isinstance(outside, torch.Tensor) and outside is self._meta_copies.get(id(given[0])):
                outside = given[0]
            if operator.reshapes and args[0] is not given[0]:
                args[0].data = given[0]
            result = self.handed.inside((outside,))[0]
        else:
            result = self._run(operator, op, args, kwargs)
            if type(result) is torch.Tensor and result.layout is not torch.strided and is_sparse(result):
                result = sparse_twin(result)
            outside = self.handed.out_of_new(result, args, given)
        if key is not None:
            signatures = self.signatures.sign(result)
            if signatures is not None:
                self._results[key] = (result, signatures)
        self.append(op, args, kwargs, result, frame)
        return outside

    def _scalar(self, tensor: torch.Tensor) -> Any:
        try:
            return self.values.of(tensor, self.calls).item()
        except UnknownValueError as error:
            told = UnknownValueError(f"the forward reads the value of a tensor of {tensor.dtype}: {error}")
            return self.data.numbers.scalar(tensor, told)

    def _on_host(self, op: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the value of a tensor that is about to be read; None if unknown."""
        try:
            value = self.values.of(args[0], self.calls)
        except UnknownValueError:
            return None
        return op(value, *args[1:], **kwargs)

    def append(self, op: Any, args: Any, kwargs: Any, result: Any, frame: FrameType | None) -> None:
        library = self._library_code
        released = len(self.handed.released)
        source = None
        while frame is not None:
            code = frame.f_code
            known = library.get(code)
            if known is None:
                name = code.co_filename
                if name == _DRIVER:  # the caller of the capture is not a line of the model
                    break
                known = library[code] = name.startswith(_LIBRARIES)
            if not known:
                source = (code, frame.f_lineno)
                break
            frame = frame.f_back
        self.calls.append(Call(op, args, kwargs, result, self.module, source, released))
        if self.follows:
            self.values.follow(self.calls[-1])

    # ---- running --------------------------------------------------------------------------------------------------

    def _learn(self, op: OpOverload) -> _Operator:
        name = str(op)
        known = _core.find_rule(name) is not None
        schema = op._schema
        pure = not schema.is_mutable and torch.Tag.nondeterministic_seeded not in op.tags
        pure = pure and torch.Tag.data_dependent_output not in op.tags
        pure = pure and torch.Tag.dynamic_output_shape not in op.tags
        pure = pure and name not in DATA_KERNELS
        whole = (known and name not in _TAKEN_APART) or not op.has_kernel_for_dispatch_key(_COMPOSITE)
        packed = "quantized" in name and any("__torch__" in str(a.type) for a in schema.arguments)
        if packed:
            self.packed_ops.add(op)
        if name.rpartition(".")[0] in GROUPED_PRODUCTS:
            self.grouped_ops.add(op)
        symbolic = name in _SYMBOLIC and self.sizes.symbolic
        on_data = name in DATA_KERNELS or symbolic
        kernel = self.data.kernel(name) if name in DATA_KERNELS else _KERNELS.get(name, op)
        if symbolic:
            kernel = partial(_SYMBOLIC[name], self.sizes)
        reshapes = torch.Tag.inplace_view in op.tags
        return _Operator(whole, pure, schema.is_mutable, packed, reshapes, op in _CONVERSIONS, on_data, kernel)

    def _run(self, operator: _Operator, op: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        device = kwargs.get("device")
        if device is not None and torch.device(device).type != "cpu":
            kwargs = {**kwargs, "device": torch.device("meta")}
        if operator.kernel is op and _has_quantized(args):
            return quantized_kernels.run(op, args, kwargs)
        moves_to_meta = self.one_device and not operator.on_data
        if moves_to_meta and any(tensor.is_meta for tensor in parts((*args, *kwargs.values()))):
            args, kwargs, _ = self._on_meta(args, kwargs)
        try:
            return operator.kernel(*args, **kwargs)
        except (RuntimeError, NotImplementedError):
            # Tensors that the model creates itself are on the CPU, as in a real run.
            args, kwargs, changed = self._on_meta(args, kwargs)
            if not changed:
                raise
            return operator.kernel(*args, **kwargs)

    def _on_meta(self, args: Any, kwargs: Any) -> tuple[Any, Any, bool]:
        changed = False

        def convert(value: Any) -> Any:
            nonlocal changed
            if isinstance(value, torch.Tensor) and value.device.type != "meta":
                changed = True
                copy = self._meta_copies.get(id(value))
                if copy is None:
                    copy = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
                    self._meta_copies[id(value)] = copy
                    self._kept.append(value)
                return copy
            if isinstance(value, list | tuple):
                return type(value)(convert(v) for v in value)
            if isinstance(value, torch.device) and value.type == "cpu":  # `x.cpu()`: meta tensors stay on meta
                changed = True
                return torch.device("meta")
            return value

        return tuple(convert(a) for a in args), {k: convert(v) for k, v in kwargs.items()}, changed


def _is_whole(args: tuple[Any, ...]) -> bool:
    """Return whether arguments of a slice select all of a dimension, as of `x[:, 0]`.

    Python's indexing leaves such a slice out where the dimension's length is a number, and not where it has a name.
    """
    ends = args[2:]
    # The comparison of a size with a number would restrict the graph.
    return all(type(end) in PLAIN for end in ends) and (*ends, *_WHOLE[len(ends) :]) in (_WHOLE, (0, _NO_END, 1))


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves the class hook untyped
    supports_higher_order_operators = True

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in CONSTRUCTORS:
            return CONSTRUCTORS[func](*args, **(kwargs or {}))
        if types and not TENSORS.issuperset(types):
            with self:
                return call_on_parts(func, types, args, kwargs or _NO_KWARGS)
        return self._recorder.record(self, func, args, kwargs or _NO_KWARGS)


@_out_dtype.py_impl(_Mode)
def _product_of_integers(mode: _Mode, op: OpOverload, dtype: torch.dtype, *operands: torch.Tensor) -> Any:
    """Run an int8 product with an int32 result, as libraries request it on accelerators."""
    if op is not torch.ops.aten.mm.default or dtype is not torch.int32:
        raise UnsupportedError(f"out_dtype of {op} as {dtype}; expected aten.mm as int32")
    with mode:
        return torch._int_mm(*operands)


def _to_host(args: Any, kwargs: Any) -> bool:
    device = kwargs.get("device")
    if device is None:
        device = next((a for a in args[1:] if isinstance(a, torch.device)), None)
    return device is not None and torch.device(device).type == "cpu" and args[0].device.type == "meta"


def _without_host(args: Any) -> Any:
    """Return arguments of a conversion without its device, which is then passed by name."""
    return tuple(torch.device("meta") if isinstance(a, torch.device) else a for a in args)


def _has_quantized(values: Any) -> bool:
    """Return whether there is a quantized tensor among arguments."""
    return any(
        isinstance(value, quantized_kernels.QuantizedMeta)
        or (isinstance(value, list | tuple) and _has_quantized(value))
        for value in values
    )


# These have rows for programs that keep them whole; here they are views of `nonzero`, whose length is known.
_TAKEN_APART = quantized_kernels.TAKEN_APART | {
    "aten.where.default",
    "aten.nonzero_numpy.default",
    "aten.argwhere.default",
}
_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


# Kernels for meta tensors that torch lacks or that differ from torch's.
_KERNELS = {**_RECURRENT, **_FUSED, **_LAYOUTS, **quantized_kernels.KERNELS}
_CONVERSIONS = frozenset({torch.ops.aten.to.dtype_layout, torch.ops.aten.to.device, torch.ops.aten._to_copy.default})
# Operators behind `tensor.item()` and `if tensor:`.
_SCALARS = frozenset(
    {torch.ops.aten.item.default, torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default}
)
