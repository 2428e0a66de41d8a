"""Gates of channels: the caller's own, or magnitudes of the weights that produce each channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..errors import InputError
from ..sources.inference_view.view import plain_name

if TYPE_CHECKING:
    from ..transform.channels import ChannelGroup, ChannelGroups, Member

_TINY = 1e-12


@dataclass(frozen=True)
class Gated:
    """A group of channels with the gate of each.

    Attributes:
        group: Channels that are pruned together.
        read: Returns a differentiable tensor of shape (width,), about 1 for a kept channel and 0 for a pruned one.
        threshold: Channels with gates below it count as pruned.
    """

    group: ChannelGroup
    read: Callable[[], torch.Tensor]
    threshold: float


def gates_given(groups: ChannelGroups, gates: Mapping[str, Any], threshold: float) -> list[Gated]:
    """Return the caller's gates, which are keyed by the name of a group or the path of a layer.

    Raises:
        InputError: A group is unknown or has two gates, or a gate has the wrong length.
    """
    found: dict[str, Gated] = {}
    for key, gate in gates.items():
        try:
            group = groups[key]
        except KeyError as error:
            raise InputError(f"gates: {error.args[0]}") from None
        if group.name in found:
            raise InputError(
                f"gates: {key!r} is one of {', '.join(group.modules)}, which share channels; pass one gate for all"
            )
        read = gate if callable(gate) else _constant(gate)
        value = read()
        if not isinstance(value, torch.Tensor) or value.numel() != group.width:
            got = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise InputError(
                f"the gate of {key!r} is {got}; expected a tensor of {group.width} elements, one per channel"
            )
        found[group.name] = Gated(group, read, threshold)
    return list(found.values())


def _constant(gate: torch.Tensor) -> Callable[[], torch.Tensor]:
    return lambda: gate


def magnitudes(module: torch.nn.Module, groups: ChannelGroups, softness: float) -> list[Gated]:
    """Return gates computed from the weights: `(1 + s) m / (m + s)`, m the magnitude of a channel, s the softness.

    m is relative to the current maximum of the group. Later layers can undo the scale of a whole group (and a
    normalization does), so only differences within a group tell which channels matter, and no group can vanish. The
    maximum itself gets no gradient. If a batch normalization follows, m is the magnitude of its scale, because the
    scale of the weights before it has no effect. Otherwise m is the root mean square of the rows that produce the
    channel, over all layers that add to it.
    """
    values = Weights(module)
    found = []
    for group in groups.groups:
        normed = any(member.role == "buffer" for member in group.members)
        wanted = "scale" if normed else "producer"
        members = [m for m in group.members if m.role == wanted and (not normed or m.tensor.endswith("weight"))]
        if not members:
            continue
        with torch.no_grad():  # layers that add to one channel have equal weight
            rows = [Rows(values, member) for member in members]
            means = [of.mean_squares().mean().clamp_min(_TINY) for of in rows]
        found.append(Gated(group, _Magnitude(rows, means, softness), (1 + softness) / 2))
    return found


class Rows:
    """The slices of one weight that belong to the channels of a group.

    Args:
        values: The weights of the model.
        member: The weight's dimension of the channels.
    """

    def __init__(self, values: Weights, member: Member) -> None:
        self._values = values
        self._member = member
        positions = member.indices.reshape(-1)
        self._in_order = member.per_unit == 1 and bool((positions == range(len(positions))).all())
        self._index: torch.Tensor | None = None

    def mean_squares(self) -> torch.Tensor:
        """Return the mean square of each channel over all other dimensions, shape (width,)."""
        squares = at_least_single(self._values.get(self._member.tensor)).square()
        if squares.dim() > 1:
            squares = squares.movedim(self._member.dim, 0).flatten(1).mean(1)
        if self._in_order and squares.numel() == len(self._member.indices):
            return squares
        if self._index is None or self._index.device != squares.device:  # copy to a device once
            self._index = torch.as_tensor(self._member.indices.copy(), device=squares.device)
        return squares[self._index].mean(1)


class _Magnitude:
    def __init__(self, rows: list[Rows], means: list[torch.Tensor], softness: float) -> None:
        self._rows = rows
        self._means = means
        self._softness = softness

    def __call__(self) -> torch.Tensor:
        parts = [of.mean_squares() / mean for of, mean in zip(self._rows, self._means, strict=True)]
        squares = parts[0]
        for part in parts[1:]:
            squares = squares + part
        # The square root has an infinite slope at 0, where pruned channels end.
        magnitude = (squares / len(parts) + _TINY).sqrt()
        magnitude = magnitude / magnitude.detach().max()
        return (1 + self._softness) * magnitude / (magnitude + self._softness)


class Weights:
    """The current weights of a module by their plain names."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._places: dict[str, tuple[torch.nn.Module, str]] = {}
        for path, part in module.named_modules(remove_duplicate=False):
            names = [*part._parameters, *part._buffers, *getattr(part, "parametrizations", {})]
            for name in names:
                full = f"{path}.{name}" if path else name
                self._places.setdefault(plain_name(full, module), (part, name))

    def get(self, name: str) -> torch.Tensor:
        """Return a weight, multiplied by its pruning mask if there is one.

        Raises:
            InputError: The module does not hold the whole weight.
        """
        if name not in self._places:
            raise InputError(
                f"the module does not hold the whole weight {name!r}, as a sharded model; create the regularizer "
                "before the model is sharded, or pass gates="
            )
        part, attribute = self._places[name]
        mask = part._buffers.get(f"{attribute.removesuffix('_orig')}_mask")
        value: torch.Tensor = getattr(part, attribute)
        return value if mask is None else value * mask


def at_least_single(value: torch.Tensor) -> torch.Tensor:
    """Return a half-precision tensor in single precision, in which squares and sums do not overflow."""
    return value if value.dtype in (torch.float32, torch.float64) else value.float()
