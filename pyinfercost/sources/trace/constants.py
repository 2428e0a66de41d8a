"""Tensors that a model creates from Python numbers on the device of its inputs: on meta, with recorded values."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from .values import UnknownValueError

if TYPE_CHECKING:
    from types import FrameType

    from .recorder import Recorder

_MAKERS = frozenset({torch.tensor, torch.as_tensor, torch.asarray})
_INDEXED = frozenset({torch.Tensor.__getitem__, torch.Tensor.__setitem__})


class Constants(TorchFunctionMode):
    """Intercepts `torch.tensor(numbers, device="meta")` and the like, which torch executes without a dispatch."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        kwargs = kwargs or {}
        data: Any = args[0] if args else None
        if func in _MAKERS and not isinstance(data, torch.Tensor):
            device = kwargs.get("device")
            inside = _tensors(data)
            if any(isinstance(n, torch.SymInt) for n in _flat(data)):
                return func(*args, **kwargs)
            if (device is not None and torch.device(device).type != "cpu") or any(t.is_meta for t in inside):
                return self._made(func, args, kwargs)
        elif func is torch.Tensor.tolist and data.is_meta:
            return self._numbers(data)
        elif func is torch.Tensor.numpy and data.is_meta:
            numbers = self._numbers(data)
            if data.is_floating_point():  # integers are sizes and places, whose arithmetic is nobody's cost
                _warn_of_numpy(sys._getframe(1))
            open_sizes = any(isinstance(n, torch.SymInt) for n in _flat(numbers))
            return np.array(numbers, dtype=object if open_sizes else None)
        elif func is torch.Tensor.__format__ and data.is_meta and data.dim() == 0:
            return format(data.item(), *args[1:])  # torch cannot format other meta tensors
        elif func is torch.Tensor.new_tensor and data is not None and data.is_meta:
            return self._made(torch.tensor, args[1:], {"dtype": data.dtype, **kwargs})
        elif func in _INDEXED and data.is_meta:
            return func(data, self._index(args[1]), *args[2:])
        return func(*args, **kwargs)

    def _index(self, index: Any) -> Any:
        """Return an index with tensors instead of lists of numbers, which torch would convert without a dispatch."""
        if isinstance(index, tuple):
            return tuple(self._index(part) for part in index)
        numbers = _flat(index) if isinstance(index, list) else []
        if numbers and all(type(n) in (int, bool) for n in numbers):
            return self._made(torch.tensor, (index,), {})
        return index

    def _numbers(self, tensor: torch.Tensor) -> Any:
        return self._recorder.data.numbers.numbers(tensor)

    def _made(self, maker: Any, args: Any, kwargs: dict[str, Any]) -> torch.Tensor:
        recorder = self._recorder
        known = True

        def number(value: Any) -> Any:
            nonlocal known
            if isinstance(value, list | tuple):
                return type(value)(number(v) for v in value)
            if not isinstance(value, torch.Tensor):
                return value
            try:
                return recorder.values.of(recorder.handed.twin(value), recorder.calls).tolist()
            except UnknownValueError:
                known = False
                return torch.zeros(value.shape, dtype=value.dtype).tolist()

        with torch._C.DisableTorchFunction(), torch.utils._python_dispatch._disable_current_modes():
            # These calls are not the model's.
            real = maker(number(args[0]), *args[1:], **{**kwargs, "device": "cpu"})
            return recorder.values.twin(real) if known else torch.empty_like(real, device="meta")


def _warn_of_numpy(caller: FrameType) -> None:
    """Warn about a tensor that leaves torch; a capture records only operators of torch."""
    file = caller.f_code.co_filename.replace(chr(92), "/").rpartition("/")[2]
    warnings.warn(
        f"the forward turns a tensor into a NumPy array at {file}:{caller.f_lineno}; what NumPy computes from it is "
        "not counted, and its result is a constant: compute it with torch to count it",
        UserWarning,
        stacklevel=3,
    )


def _flat(data: Any) -> list[Any]:
    return [n for item in data for n in _flat(item)] if isinstance(data, list | tuple) else [data]


def _tensors(data: Any) -> list[torch.Tensor]:
    return [item for item in _flat(data) if isinstance(item, torch.Tensor)]
