"""Weights packed in script objects of quantized modules, as the tensors that they contain.

A quantized module has no parameters: its weights are in an object that only its own operators can read. The public
methods of that object (`unpack`, `stride`, ...) are called once before the forward; the copy made by unpacking is of
one layer and is dropped at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from ...errors import InputError
from ..symbols import CaptureError
from .tensor_parts import Part

# Attributes of torch's own quantized modules that hold such objects, directly or in a submodule.
_PRIVATE = re.compile(r"(?:^|\.)(?:_packed_params|_all_weight_values)(?:\.(\d+))?$")
_ATTRIBUTES = frozenset({"_packed_params", "_packed_weight", "param"})
_CELL = frozenset({"_packed_weight_ih", "_packed_weight_hh"})
_BESIDE = ("_scale", "_zero_point")
_CONVOLUTION = ("stride", "padding", "output_padding", "dilation", "groups")


class PackedWeight:
    """Content of one script object.

    Attributes:
        path: Path of the module that owns it.
        tensors: Name -> meta twin: `weight`, `bias`, `weight_scale`, `weight_zero_point`; for a cell of a recurrent
            layer the same for `weight_ih` and `weight_hh`.
        names: The same names -> names in the model, such as `layer1.0.conv1.weight`.
        settings: For convolutions: `stride`, `padding`, `dilation`, `groups`, `transposed`.
    """

    __slots__ = ("names", "path", "settings", "source", "tensors")

    def __init__(self, source: Any, owner: str, attribute: str) -> None:
        self.source = source
        private = _PRIVATE.search(owner)
        self.path = owner[: private.start()] if private else owner
        number = f"_{private[1]}" if private and private[1] else ""
        self.settings: dict[str, Any] = {}
        if source._has_method("transpose"):
            self.settings = {name: source._get_method(name)() for name in _CONVOLUTION}
            self.settings["transposed"] = bool(source.transpose())
        self.tensors: dict[str, torch.Tensor] = {}
        self.names: dict[str, str] = {}
        cell = attribute.removeprefix("_packed_weight") if attribute in _CELL else ""
        for name, tensor in contents_of(source).items():
            twins = _twins(tensor)
            for part, twin in twins.items():
                plain = name + cell + number if cell or attribute in _ATTRIBUTES else f"{attribute}[{name}]"
                key = f"{name}_{part}" if part else name
                self.tensors[key] = twin
                self.names[key] = (f"{self.path}." if self.path else "") + (f"{plain}[{part}]" if part else plain)

    @property
    def weight(self) -> torch.Tensor:
        """The weight, in its shape before packing."""
        return self.tensors["weight"]

    def parts(self) -> Iterator[Part]:
        """Yield all tensors. Scales and zero points add bytes to the weight but no elements."""
        for key, tensor in self.tensors.items():
            yield Part(self.names[key], tensor, 0 if key.endswith(_BESIDE) else None)

    def holds_what(self, other: Any) -> bool:
        """Return whether another script object of the same type has the same content."""
        mine, its = contents_of(self.source), contents_of(other)
        return mine.keys() == its.keys() and all(_equal(mine[name], its[name]) for name in mine)


def _read(source: Any, path: str, attribute: str) -> PackedWeight:
    try:
        return PackedWeight(source, path, attribute)
    except RuntimeError as error:
        raise CaptureError(
            f"module {path!r} has {source._type()} in {attribute!r}, whose weight cannot be read: {error}; "
            "expected an engine that can unpack its weights, such as fbgemm"
        ) from error


def contents_of(source: Any) -> dict[str, torch.Tensor]:
    """Return the unpacked tensors of a script object: `weight`, and `bias` if it has one."""
    if source._has_method("unpack"):
        held = source.unpack()
        weight, bias = held if isinstance(held, tuple) else (held, None)
        return {"weight": weight} | ({} if bias is None else {"bias": bias})
    # A cell of a recurrent layer: its biases, and two objects with one weight each.
    _, biases, _, _, packed = source.__getstate__()[0]
    contents = {}
    for name, inner in zip(("ih", "hh"), packed, strict=True):
        held = contents_of(inner)
        contents[f"weight_{name}"] = held["weight"]
        if "bias" in held and not biases:
            contents[f"bias_{name}"] = held["bias"]
    return contents | {f"bias_{name}": bias for name, bias in zip(("ih", "hh"), biases, strict=False)}


def _twins(tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return meta twins of a tensor as stored in memory, and of its scales and zero points."""

    def meta(shape: Any, dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    if not tensor.is_quantized:
        # float16 weights are unpacked to float32; biases are float32 in memory.
        half = tensor.dim() >= 2  # noqa: PLR2004
        return {"": meta(tensor.shape, torch.float16 if half else tensor.dtype)}
    twins: dict[str, torch.Tensor] = {"": torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")}
    scales = torch.Size([])
    scale, zero_point = torch.float32, torch.int32
    if tensor.qscheme() is not torch.per_tensor_affine:
        scales = tensor.q_per_channel_scales().shape
    if tensor.qscheme() is torch.per_channel_affine_float_qparams:  # rows of an embedding with float parameters
        scale = zero_point = torch.float16 if tensor.dtype is torch.quint4x2 else torch.float32
    return twins | {"scale": meta(scales, scale), "zero_point": meta(scales, zero_point)}


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.dtype is not b.dtype or a.shape != b.shape:
        return False
    return torch.equal(a.int_repr(), b.int_repr()) if a.is_quantized else torch.equal(a, b)


class PackedWeights:
    """The script objects of a module, matched to operands: torch passes copies without identity to operators."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.all: list[PackedWeight] = []
        self._of_module: dict[str, list[PackedWeight]] = {}
        self._used: set[int] = set()
        known: dict[int, PackedWeight] = {}
        of_torch: dict[type, bool] = {}  # caches that torch's float modules have none
        for path, part in module.named_modules():
            kind = type(part)
            if kind not in of_torch:
                of_torch[kind] = kind.__module__.startswith("torch.nn.modules")
            if of_torch[kind] or torch.ScriptObject not in map(type, vars(part).values()):
                continue
            for attribute, value in vars(part).items():
                if type(value) is not torch.ScriptObject:
                    continue
                if id(value) not in known:
                    known[id(value)] = _read(value, path, attribute)
                    self.all.append(known[id(value)])
                self._of_module.setdefault(path, []).append(known[id(value)])

    def resolve(self, module: str, value: Any) -> Any:
        """Return the `PackedWeight` of a script object passed to an operator, also in lists; other values unchanged.

        Args:
            module: Path of the running module.
            value: An argument.

        Returns:
            The argument with packed weights resolved.

        Raises:
            ValueError: The object was created during the forward, from weights that a capture does not have.
        """
        if isinstance(value, list | tuple):
            return [self.resolve(module, v) for v in value]
        if type(value) is not torch.ScriptObject:
            return value
        candidates = [c for c in self._candidates(module) if c.source._type() == value._type()]
        if len(candidates) > 1:
            candidates = [c for c in candidates if c.holds_what(value)]
        if not candidates:
            raise InputError(f"{value._type()} belongs to no module at or below {module!r}; expected one of its own")
        # Layers with equal content are told apart by the order of their calls.
        found = next((c for c in candidates if id(c) not in self._used), candidates[0])
        if len(candidates) > 1:
            self._used.add(id(found))
        return found

    def _candidates(self, module: str) -> Iterator[PackedWeight]:
        own = self._of_module.get(module)
        if own:
            yield from own
            return
        below = f"{module}." if module else ""
        for path, held in self._of_module.items():
            if path.startswith(below):
                yield from held

    @staticmethod
    def arguments(given: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Return the named arguments of a call with packed weights replaced by their content.

        A single packed weight becomes `weight`, `bias`, `weight_scale` and so on; several keep the names of their
        arguments. A list of cells becomes the list of their weights and biases, followed by all scales.
        """
        named = list(given)
        lone = sum(isinstance(value, PackedWeight) for _, value in named) == 1
        result: list[tuple[str, Any]] = []
        for name, value in named:
            if isinstance(value, PackedWeight):
                # With several, as in a cell, the biases are separate arguments.
                result += [
                    (key if lone else key.replace("weight", name, 1), tensor)
                    for key, tensor in value.tensors.items()
                    if lone or key != "bias"
                ]
                result += value.settings.items()
            elif isinstance(value, list) and value and isinstance(value[0], PackedWeight):
                held = [item for cell in value for item in cell.tensors.items()]
                result.append((name, [t for key, t in held if not key.endswith(_BESIDE)]))
                result.append(("scales", [t for key, t in held if key.endswith(_BESIDE)]))
            else:
                result.append((name, value))
        return result
