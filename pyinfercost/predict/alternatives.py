"""Alternatives to a profile: the same model on other machines, in other precisions, executions and sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any

from .. import _core
from .._checks import shown
from ..deployment.deployment import TORCH, executions_of
from ..errors import InputError
from ..sources.sizes import SizeError, bind_sizes
from .profile import profile as profile_at

if TYPE_CHECKING:
    from ..results.profile import Profile

HARDWARE, PRECISION, EXECUTION = "hardware", "precision", "execution"

LAYERS_OF_ALL = 16_000
"""Maximum number of layers over all points of the default grid; a large model has fewer alternatives."""

MOST_VALUES = 1_000
"""Maximum number of values of one axis; a page holds a profile for each."""

_BATCHES = (1, 8, 32, 128)
_LOW_PRECISION = "fp16"


class VaryError(InputError):
    """An axis or a value that cannot be varied."""


@dataclass(frozen=True)
class Alternatives:
    """A grid of profiles.

    Attributes:
        axes: `hardware`, `precision`, `execution` and names of sizes, each with its values in the order of the grid;
            axes of one value are left out.
        points: The profiles, the last axis fastest; None for a point that cannot be profiled.
        base: Position of the profile that the alternatives belong to.
        refused: Position of a missing point -> the reason.
    """

    axes: Mapping[str, tuple[Any, ...]]
    points: tuple[Profile | None, ...]
    base: int
    refused: Mapping[int, str]


def alternatives(profile: Profile, vary: Mapping[str, Any] | None = None) -> Alternatives:
    """Return the profiles at the points of a grid that contains one profile.

    Args:
        profile: The profile, with an estimate.
        vary: Axis -> values; a lone value is an axis of one. The profile's own value is part of each axis. None varies
            execution, fp16 and, if the batch is open, the batch, as far as the size of the model allows
            (`LAYERS_OF_ALL`).

    Returns:
        The grid.

    Raises:
        VaryError: An axis is neither `hardware`, `precision`, `execution` nor an open size of the graph.
        InputError: A machine, precision or execution is unknown, or a size does not allow a value.
    """
    own = _own(profile)
    axes = _usual(profile, own) if vary is None else _given(profile, own, vary)
    axes = {name: values for name, values in axes.items() if len(values) > 1}
    points: list[Profile | None] = []
    refused: dict[int, str] = {}
    base = 0
    for place, values in enumerate(product(*axes.values())):
        changes = {name: value for name, value in zip(axes, values, strict=True) if _name(value) != _name(own[name])}
        if not changes:
            base = place
            points.append(profile)
            continue
        try:
            points.append(profile_at(profile, **changes))
        except ValueError as error:
            if len(changes) == 1:  # the value itself is invalid, not the combination
                raise
            points.append(None)
            refused[place] = str(error)
    return Alternatives(axes, tuple(points), base, refused)


def _own(profile: Profile) -> dict[str, Any]:
    estimate = profile.estimate
    if estimate is None:
        raise VaryError("this profile has no estimate to compare; profile the model with hardware=")
    own: dict[str, Any] = {
        HARDWARE: estimate.machine,
        PRECISION: profile.precision,
        EXECUTION: estimate.execution,
    }
    return own | {name: value for name, value in profile.sizes.items() if name in profile.graph.sizes}


def _usual(profile: Profile, own: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return the default axes, as far as the size of the model allows."""
    wanted: dict[str, Iterable[Any]] = {
        EXECUTION: executions_of(profile.estimate.engine if profile.estimate is not None else TORCH),
        PRECISION: (own[PRECISION], "native", _LOW_PRECISION),
    }
    if "batch" in own:
        wanted["batch"] = sorted({own["batch"], *(b for b in _BATCHES if _takes(profile, "batch", b))})
    left = LAYERS_OF_ALL // max(len(profile.counts.layers), 1)
    axes: dict[str, tuple[Any, ...]] = {}
    for name, values in wanted.items():
        axis = tuple(dict.fromkeys(values))
        if len(axis) > left:
            break
        left //= len(axis)
        axes[name] = axis
    order = (PRECISION, EXECUTION, "batch")
    return {name: axes[name] for name in order if name in axes}


def _given(profile: Profile, own: Mapping[str, Any], vary: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    if not isinstance(vary, Mapping):
        raise VaryError(f"vary is {shown(vary)}; expected a mapping of an axis to its values")
    axes = {}
    for name, given in vary.items():
        if name not in own:
            raise VaryError(
                f"{shown(name)} cannot be varied; expected one of {', '.join(own)}"
                + (" (capture the model with dynamic= to leave a size open)" if name in profile.sizes else "")
            )
        lone = isinstance(given, str) or not isinstance(given, Iterable)
        values = [given] if lone else list(islice(given, MOST_VALUES + 1))
        if len(values) > MOST_VALUES:
            raise VaryError(f"{name} has more than {MOST_VALUES:,} values; pass fewer")
        if name == HARDWARE:
            values = [_machine(value, sustained=own[HARDWARE].sustained) for value in values]
        elif name not in (PRECISION, EXECUTION):
            values = [_size(profile, name, value) for value in values]
        axis = {_name(value): value for value in (own[name], *values)}
        axes[name] = tuple(axis.values())
        if name not in (HARDWARE, PRECISION, EXECUTION):
            axes[name] = tuple(sorted(axes[name]))
    return axes


def _machine(value: Any, *, sustained: bool) -> Any:
    """Return a machine; a loaded one is sustained if the profile's machine is."""
    from ..hardware import load

    return value if isinstance(value, _core.Hardware) else load(value, sustained=sustained)


def _size(profile: Profile, name: str, value: Any) -> int:
    return bind_sizes(profile.graph, {name: value})[name]


def _takes(profile: Profile, name: str, value: int) -> bool:
    try:
        _size(profile, name, value)
    except SizeError:
        return False
    return True


def _name(value: Any) -> Any:
    """Return a value to compare; the name of a machine includes its number of cores."""
    return value.name if isinstance(value, _core.Hardware) else value
