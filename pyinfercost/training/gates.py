"""How much of each channel there is: gates of the caller's own, or magnitudes of the weights that make it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from .inference_view import plain_name

if TYPE_CHECKING:
    from ..transform.channels import ChannelGroup, ChannelGroups, Member

_TINY = 1e-12


@dataclass(frozen=True)
class Gated:
    """A group of channels and how much of each there is.

    Attributes:
        group: of channels that go together.
        read: gives a differentiable tensor of [width], about 1 for a channel that is there and 0 for one that is not.
        threshold: below it a channel counts as gone.
    """

    group: ChannelGroup
    read: Callable[[], torch.Tensor]
    threshold: float


def gates_given(groups: ChannelGroups, gates: Mapping[str, Any], threshold: float) -> list[Gated]:
    """Gates by the name of a group or the path of a layer.

    Raises:
        ValueError: for a group that there is not, one that has two gates, or a gate of another length.
    """
    found: dict[str, Gated] = {}
    for key, gate in gates.items():
        try:
            group = groups[key]
        except KeyError as error:
            raise ValueError(f"gates: {error.args[0]}") from None
        if group.name in found:
            raise ValueError(
                f"gates: {key!r} is one of {', '.join(group.modules)}, which share channels: give one gate"
            )
        read = gate if callable(gate) else _constant(gate)
        value = read()
        if not isinstance(value, torch.Tensor) or value.numel() != group.width:
            got = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise ValueError(
                f"the gate of {key!r} is {got}; expected a tensor of {group.width} elements, one a channel"
            )
        found[group.name] = Gated(group, read, threshold)
    return list(found.values())


def _constant(gate: torch.Tensor) -> Callable[[], torch.Tensor]:
    return lambda: gate


def magnitudes(module: torch.nn.Module, groups: ChannelGroups, softness: float) -> list[Gated]:
    """Gates from the weights themselves: `(1 + s) m / (m + s)`, m the magnitude of a channel's weights, s the softness.

    m is relative to the largest of the group, as it is now: what follows can undo the size of a whole group (and a
    normalisation does), so that only differences within it say which channels matter, and no group can vanish. The
    largest itself is held, and not pushed down. Where a batch normalisation follows, m is that of its scale, since the
    weights before it may have any size without a change to what is computed. Otherwise it is the root mean square of
    the rows that make the channel, of all layers that add to it.
    """
    values = _Weights(module)
    found = []
    for group in groups.groups:
        normed = any(member.role == "buffer" for member in group.members)
        wanted = "scale" if normed else "producer"
        members = [m for m in group.members if m.role == wanted and (not normed or m.tensor.endswith("weight"))]
        if not members:
            continue
        with torch.no_grad():  # so that several layers that make a channel count alike
            rows = [_Rows(values, member) for member in members]
            means = [of.mean_squares().mean().clamp_min(_TINY) for of in rows]
        found.append(Gated(group, _Magnitude(rows, means, softness), (1 + softness) / 2))
    return found


class _Rows:
    """What one weight has of the channels of a group.

    Args:
        values: the weights of the model.
        member: the weight's dimension along which the channels lie.
    """

    def __init__(self, values: _Weights, member: Member) -> None:
        self._values = values
        self._member = member
        positions = member.indices.reshape(-1)
        self._in_order = member.per_unit == 1 and bool((positions == range(len(positions))).all())
        self._index: torch.Tensor | None = None

    def mean_squares(self) -> torch.Tensor:
        """Of each channel's positions, over all other dimensions: [width]."""
        squares = at_least_single(self._values.get(self._member.tensor)).square()
        if squares.dim() > 1:
            squares = squares.movedim(self._member.dim, 0).flatten(1).mean(1)
        if self._in_order and squares.numel() == len(self._member.indices):
            return squares
        if self._index is None or self._index.device != squares.device:  # copied to a device once
            self._index = torch.as_tensor(self._member.indices.copy(), device=squares.device)
        return squares[self._index].mean(1)


class _Magnitude:
    def __init__(self, rows: list[_Rows], means: list[torch.Tensor], softness: float) -> None:
        self._rows = rows
        self._means = means
        self._softness = softness

    def __call__(self) -> torch.Tensor:
        parts = [of.mean_squares() / mean for of, mean in zip(self._rows, self._means, strict=True)]
        squares = parts[0]
        for part in parts[1:]:
            squares = squares + part
        # The square root has no slope at 0, where channels are meant to end.
        magnitude = (squares / len(parts) + _TINY).sqrt()
        magnitude = magnitude / magnitude.detach().max()
        return (1 + self._softness) * magnitude / (magnitude + self._softness)


class _Weights:
    """The weights of a module by their plain names, as they are now."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._places: dict[str, tuple[torch.nn.Module, str]] = {}
        for path, part in module.named_modules(remove_duplicate=False):
            names = [*part._parameters, *part._buffers, *getattr(part, "parametrizations", {})]
            for name in names:
                full = f"{path}.{name}" if path else name
                self._places.setdefault(plain_name(full, module), (part, name))

    def get(self, name: str) -> torch.Tensor:
        """A weight, with its mask where it has one.

        Raises:
            ValueError: the module has no such weight as a whole.
        """
        if name not in self._places:
            raise ValueError(
                f"the module has no weight {name!r} of its own; a sharded model has none as a whole: make the "
                "regulariser before it is sharded, or give gates="
            )
        part, attribute = self._places[name]
        mask = part._buffers.get(f"{attribute.removesuffix('_orig')}_mask")
        value: torch.Tensor = getattr(part, attribute)
        return value if mask is None else value * mask


def at_least_single(value: torch.Tensor) -> torch.Tensor:
    """In single precision, where it is in half: squares and sums of many would not fit."""
    return value if value.dtype in (torch.float32, torch.float64) else value.float()
