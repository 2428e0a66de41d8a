"""Torch and module state around a captured forward: restored attributes, empty caches, disabled fast paths."""

from __future__ import annotations

import contextlib
import functools
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import FunctionType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..errors import UnsupportedError
from .tensors.jagged import jagged_attention


class SharedChange:
    """A change that is active while any thread needs it.

    Args:
        make: Called when the first user begins.
        undo: Called when the last user has ended.
    """

    def __init__(self, make: Callable[[], None], undo: Callable[[], None]) -> None:
        self._make = make
        self._undo = undo
        self._lock = threading.Lock()
        self._users = 0

    @contextlib.contextmanager
    def needed(self) -> Iterator[None]:
        """Keep the change active within the context."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._make()
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._undo()


@contextlib.contextmanager
def as_it_was(module: torch.nn.Module) -> Iterator[None]:
    """Restore a module's attributes on exit, such as stored results and registered tables.

    The states of Python's and numpy's random generators are restored too.
    """
    import numpy as np

    kept: list[tuple[Any, Any]] = [
        (values, values.copy())
        for part in module.modules()
        for values in (
            vars(part),
            part._parameters,
            part._buffers,
            part._modules,
            part._non_persistent_buffers_set,
            part._forward_hooks,  # a library may install its own in the first forward
            part._forward_pre_hooks,
            part._forward_hooks_with_kwargs,
            part._forward_hooks_always_called,
            part._forward_pre_hooks_with_kwargs,
            part._load_state_dict_pre_hooks,
        )
    ]
    classes = [(part, type(part)) for part in module.modules()]  # the first forward of a lazy module changes its own
    drawn, drawn_by_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the one that a forward draws from
    try:
        yield
    finally:
        random.setstate(drawn)
        np.random.set_state(drawn_by_numpy)  # noqa: NPY002
        for values, before in kept:
            for name in [name for name in values if name not in before]:
                if isinstance(values, dict):
                    del values[name]
                else:
                    values.discard(name)
            values.update(before)
        for part, before in classes:
            part.__class__ = before


@contextlib.contextmanager
def initialized_apart(module: torch.nn.Module) -> Iterator[None]:
    """Let lazy modules initialize their weights outside of the running dispatch modes, until `as_it_was` ends."""
    for part in module.modules():
        if isinstance(part, torch.nn.modules.lazy.LazyModuleMixin):
            vars(part)["initialize_parameters"] = _outside_of_modes(part.initialize_parameters)
    yield


def _outside_of_modes(function: Callable[..., None]) -> Callable[..., None]:
    def run(*args: Any, **kwargs: Any) -> None:
        with torch.utils._python_dispatch._disable_current_modes():
            function(*args, **kwargs)

    return run


@contextlib.contextmanager
def in_mode(module: torch.nn.Module, *, training: bool) -> Iterator[None]:
    """Set all submodules to training or evaluation mode, without calling `train`, which models override."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = training
        yield
    finally:
        for part, before in modes:
            part.training = before


@contextlib.contextmanager
def without_fast_path() -> Iterator[None]:
    """Disable the fused CPU path of `nn.MultiheadAttention`, which hides its products, within the context."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _refuse_backward(*operands: torch.Tensor) -> None:
    """Reject operands of flex attention that need a gradient.

    Raises:
        UnsupportedError: An operand needs a gradient, which torch computes in compiled kernels alone.
    """
    if any(operand.requires_grad for operand in operands):
        raise UnsupportedError(
            "flex_attention was called on tensors that need a gradient, and its backward has no eager form; expected "
            "an inference, or scaled_dot_product_attention in its place"
        )


def _recorded_gradient(*args: Any, **kwargs: Any) -> Any:
    """Return a gradient of `torch.autograd.functional`, whose own function returns zeros where nothing is recorded."""
    if torch.is_inference_mode_enabled():
        raise RuntimeError("the result of a function does not require grad in inference mode")
    return _own["torch.autograd.functional", "_autograd_grad"](*args, **kwargs)


_MODES: ContextVar[tuple[TorchFunctionMode, ...]] = ContextVar("function modes of the running capture", default=())


@contextlib.contextmanager
def function_modes(*modes: TorchFunctionMode) -> Iterator[None]:
    """Enter modes, which also see the functions that a checkpoint runs again in backward."""
    token = _MODES.set(modes)
    try:
        with contextlib.ExitStack() as stack:
            for mode in modes:
                stack.enter_context(mode)
            yield
    finally:
        _MODES.reset(token)


def _engine_under_modes(*args: Any, **kwargs: Any) -> Any:
    """Run autograd's engine under the modes of the capture: torch suspends those that `backward` passes through."""
    active = torch.overrides._get_current_function_mode_stack()  # type: ignore[no-untyped-call]
    with contextlib.ExitStack() as stack:
        for mode in _MODES.get():
            if mode not in active:
                stack.enter_context(mode)
        return _own["torch.autograd", "_engine_run_backward"](*args, **kwargs)


# Wrappers that torch puts around the caller's functions. Compiling these under a dispatch mode would leave dynamo's
# caches in a state that breaks later exports, and attention of other kinds rejects meta tensors.
_IN_PLACE_OF: dict[tuple[str, str], Any] = {
    ("torch._higher_order_ops.utils", "_hop_compile_and_call"): lambda fn, args, kwargs=None: fn(
        *args, **(kwargs or {})
    ),
    ("torch.nn.attention.flex_attention", "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG"): True,
    ("torch.nn.attention.flex_attention", "_validate_device"): _refuse_backward,
    ("torch.autograd", "_engine_run_backward"): _engine_under_modes,
    ("torch.autograd.functional", "_autograd_grad"): _recorded_gradient,
    ("torch.nested._internal.ops", "jagged_scaled_dot_product_attention"): jagged_attention,
}


_own: dict[tuple[str, str], Any] = {}
"""Module and name -> the value of torch while it is replaced."""


def _replacing(key: tuple[str, str], replacement: Any) -> SharedChange:
    module, name = key

    def make() -> None:
        _own[key] = getattr(sys.modules[module], name)
        setattr(sys.modules[module], name, replacement)

    return SharedChange(make, lambda: setattr(sys.modules[module], name, _own.pop(key)))


_UNCOMPILED = {key: _replacing(key, replacement) for key, replacement in _IN_PLACE_OF.items()}


def replaceable() -> int:
    """Return the number of functions that `uncompiled` replaces; a forward may import the modules of more."""
    return sum(hasattr(sys.modules.get(module), name) for module, name in _UNCOMPILED)


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Run conditions, loops and attention with functions for meta tensors, if their modules are imported."""
    with contextlib.ExitStack() as stack:
        for (module, name), change in _UNCOMPILED.items():
            if hasattr(sys.modules.get(module), name):
                stack.enter_context(change.needed())
        yield


_Cached = type(functools.lru_cache(len))


@contextlib.contextmanager
def isolate_lru_caches(module: torch.nn.Module) -> Iterator[None]:
    """Empty the `functools.lru_cache` of functions in a model's code, and restore the caches at the end.

    A result cached by an earlier forward hides the work that computed it, and a result cached by a capture has no
    values. Functions are searched among the methods of the module's parts, in the modules that define these, and in
    closures of decorators.
    """
    put_back: list[Callable[[], None]] = []
    classes = {found for part in module.modules() for found in type(part).__mro__ if _is_model_class(found)}
    owners = [*classes, *{id(m): m for c in classes if (m := sys.modules.get(c.__module__)) is not None}.values()]
    try:
        for owner in owners:
            for name, value in list(vars(owner).items()):
                function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
                if isinstance(function, _Cached):
                    put_back.append(functools.partial(setattr, owner, name, value))
                    setattr(
                        owner,
                        name,
                        _without_results(value) if function is value else type(value)(_without_results(function)),
                    )
                elif isinstance(function, FunctionType):
                    put_back += _cells_without_results(function)
        yield
    finally:
        for restore in put_back:
            restore()


def _is_model_class(found: type) -> bool:
    return found is not object and found.__module__.partition(".")[0] != "torch"


def _without_results(cached: Any) -> Any:
    return functools.lru_cache(**cached.cache_parameters())(cached.__wrapped__)


def _cells_without_results(function: FunctionType) -> Iterator[Callable[[], None]]:
    """Replace cached functions in the closure of a decorated function; yield functions that restore them."""
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # an empty cell
            continue
        if isinstance(value, _Cached):
            yield functools.partial(setattr, cell, "cell_contents", value)
            cell.cell_contents = _without_results(value)


@contextlib.contextmanager
def allow_autocast_off_on_meta() -> Iterator[None]:
    """Allow `with torch.autocast(x.device.type, enabled=False)` for `x` on meta, which torch rejects.

    Rotary embeddings contain this. A region that enables autocast is still rejected, because its casts would not be
    recorded; for float32, torch disables it.
    """
    original = torch.autocast.__init__

    def for_meta(
        self: Any, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: Any = None
    ) -> None:
        if device_type == "meta" and (not enabled or dtype is torch.float32):
            device_type, enabled = "cpu", False
        original(self, device_type, dtype, enabled, cache_enabled)

    torch.autocast.__init__ = for_meta  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.autocast.__init__ = original  # type: ignore[method-assign]
