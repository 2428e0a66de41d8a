"""Modules built from a spec: the return type of sources, validation of sizes, and the device of weights."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from .._checks import Range, excerpt, shown, whole
from ..errors import InputError, TooLargeError
from .inputs import Inputs

if TYPE_CHECKING:
    import torch

    from ..formats.checkpoints import Checkpoint

_DEVICE: ContextVar[str] = ContextVar("build_device", default="meta")


_LONGEST_MESSAGE = 4_000  # characters
_MOST_ELEMENTS = 2**60  # of an input; torch counts bytes in 64 bits
_SIZE = Range(1, 2**53)  # doubles do not hold every larger whole number


class SpecError(InputError):
    """A model spec cannot be opened; the message states what is expected. A long one, of a long spec, is shortened."""

    def __init__(self, message: str) -> None:
        super().__init__(excerpt(message, most=_LONGEST_MESSAGE))


class UnknownModelError(SpecError):
    """A text names no model, or several that differ; the message has the candidates."""


class SpecSizeError(SpecError):
    """The model of a spec does not have a size, or a value is out of range."""


class SpecTooLargeError(SpecError, TooLargeError):
    """The model of a spec would not fit in memory, or has more parts than can be built."""


class LoadedModel(NamedTuple):
    """A module with the inputs of one forward.

    Attributes:
        module: The module, in evaluation mode.
        args: Positional inputs.
        kwargs: Named inputs. Tensors named `past_key_values_*` are a KV cache.
        dynamic: Input position or name -> dimension -> name of the size, for a capture with symbolic sizes.
        checkpoint: How the weights are stored; None if they are stored as in the module.
        sizes: Values of the sizes of the inputs, defaults included, as far as the source states them.
        positions: Most tokens of a sequence that the config states; None if it states none.
        open_images: As `dynamic`, for the height and the width of images, which few models leave open.
    """

    module: torch.nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    dynamic: dict[int | str, dict[int, str]]
    checkpoint: Checkpoint | None = None
    sizes: Mapping[str, int] = MappingProxyType({})
    positions: int | None = None
    open_images: Mapping[int | str, Mapping[int, str]] = MappingProxyType({})

    @property
    def inputs(self) -> Inputs:
        """The inputs of both kinds, as accepted by `capture`."""
        return Inputs(self.args, self.kwargs)


def checked_sizes(spec: str, sizes: Mapping[str, int], defaults: Mapping[str, int]) -> dict[str, int]:
    """Return the defaults, overridden by the given sizes.

    Args:
        spec: The spec, for error messages.
        sizes: The given sizes.
        defaults: All sizes of the model with their defaults.

    Returns:
        Name -> value of all sizes.

    Raises:
        SpecSizeError: A size is unknown, no whole number, or out of range.
    """
    for name in sizes:
        if name not in defaults:
            raise SpecSizeError(f"{spec} has no size {name!r}; expected {' or '.join(defaults)}")
    return {**defaults, **{name: checked_size(spec, name, value) for name, value in sizes.items()}}


def checked_size(spec: str, name: str, value: object) -> int:
    """Return the value of a size.

    Args:
        spec: The spec, for error messages.
        name: The size.
        value: Its value.

    Raises:
        SpecSizeError: It is no whole number, or out of range.
    """
    return whole(value, f"size {name} of {spec}", _SIZE, SpecSizeError)


def unknown_name(library: str, name: str, names: Iterable[str]) -> UnknownModelError:
    """Return the error for a model that a library does not have, with similar names."""
    names = list(names)
    nearest = difflib.get_close_matches(name, names, n=5, cutoff=0.5)
    meant = f"did you mean {', '.join(nearest)}?" if nearest else "no name is similar"
    return UnknownModelError(f"{library} has no model {name!r} among its {len(names)}; {meant}")


def build_device() -> str:
    """Return the device on which builders create weights and buffers: meta, unless within `building_on`."""
    return _DEVICE.get()


@contextmanager
def building_on(device: str) -> Iterator[None]:
    """Create weights on a real device within the context, initialized by the model's constructor."""
    token = _DEVICE.set(device)
    try:
        yield
    finally:
        _DEVICE.reset(token)


@contextmanager
def on_build_device() -> Iterator[None]:
    """Create tensors on the build device within the context; on meta, the first values of weights are not computed.

    Meta tensors have no values, yet torch checks and broadcasts in each of the calls that draw them, which takes longer
    than the rest of a constructor.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    tensor, init = torch.Tensor, torch.nn.init
    fills = {tensor.normal_, tensor.uniform_, tensor.fill_, tensor.zero_, tensor.erfinv_, tensor.clamp_}
    fills |= {init.normal_, init.uniform_, init.constant_, init.kaiming_uniform_}

    class Unfilled(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            del types
            kwargs = kwargs or {}
            if func in fills:
                filled = args[0] if args else kwargs["tensor"]
                if filled.is_meta:
                    return filled
            return func(*args, **kwargs)

    with torch.device(build_device()), Unfilled():
        yield


def build(make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """Call a constructor with its weights on the build device; return the module in evaluation mode."""
    import torch
    from torch.overrides import TorchFunctionMode

    class WeightsOnDevice(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            del types
            kwargs = dict(kwargs or {})
            if func is torch.empty:
                kwargs["device"] = build_device()
            return func(*args, **kwargs)

    try:
        with on_build_device():
            return make().eval()
    except (RuntimeError, NotImplementedError):
        # Some models compute their own widths with tensors, which must have values. Only weights are created with
        # `torch.empty`.
        with WeightsOnDevice():
            return make().to(build_device()).eval()


def images(batch: int, *shape: int) -> torch.Tensor:
    """Return an image input on meta, [batch, *shape], float32.

    Raises:
        SpecSizeError: It has more elements than torch can count.
    """
    import torch

    if math.prod((batch, *shape)) > _MOST_ELEMENTS:
        raise SpecSizeError(
            f"an input of shape {shown([batch, *shape])} has more than 2^60 elements; pass smaller sizes"
        )
    return torch.empty((batch, *shape), device="meta")
