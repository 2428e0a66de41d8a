"""The deployments of a sweep: what the axes of a grid say of them, and their numbers at points of the grid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from ..deployment import Deployment, deployment_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .grid import Grid

PLAIN = ("precision", "execution", "devices", "utilization")
"""Fields of a deployment that are their own result."""

RESOLVED = ("hardware", "threads", "sustained", "price", "region", "transfer")
"""Fields of a deployment that are looked up: a machine, its price, its place, the rates of its links."""

_MACHINE = frozenset(("hardware", "threads", "sustained"))


@dataclass(frozen=True)
class Settings:
    """What a position of an axis says of the resolved fields.

    Attributes:
        on: A deployment with all of them; None if there is none.
        fields: Values of single fields, which override it.
    """

    on: Deployment | None
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class SettingsAxis:
    """An axis of a grid that says something of resolved fields.

    Attributes:
        name: A name on the axis, by which the grid finds it.
        settings: The distinct settings along the axis.
        number_at: For each position of the axis the number of its settings; None if position and number are equal.
    """

    name: str
    settings: tuple[Settings, ...]
    number_at: NDArray[np.int64] | None = None

    def says(self, fields: Iterable[str]) -> bool:
        """Whether it says something of these fields."""
        return any(each.on is not None or not each.fields.keys().isdisjoint(fields) for each in self.settings[:1])


@dataclass(frozen=True)
class Lookup:
    """A value that depends on the position on some axes of a grid.

    Attributes:
        axes: For each dimension of `values` a name on its axis, and `SettingsAxis.number_at`.
        values: The values.
    """

    axes: tuple[tuple[str, NDArray[np.int64] | None], ...]
    values: NDArray[Any]

    def column(self, position: Callable[[str], NDArray[np.int64]]) -> Any:
        """Return the values at some points: one number if they are all equal, else an array.

        Args:
            position: Gives the positions of the points on the axis of a name.
        """
        if not self.axes:
            return self.values.item()
        places = [position(name) if numbers is None else numbers[position(name)] for name, numbers in self.axes]
        return self.values[tuple(places)]

    def at(self, grid: Grid, point: int) -> Any:
        """Return the value at one point."""
        places = [(grid.position(name, point), numbers) for name, numbers in self.axes]
        return self.values[tuple(place if numbers is None else numbers[place] for place, numbers in places)]

    def content(self) -> tuple[Any, ...]:
        """Return all that it holds as plain values, for a hash."""
        axes = [(name, None if numbers is None else numbers.tobytes()) for name, numbers in self.axes]
        return axes, self.values.shape, self.values.tobytes()


class GridDeployments:
    """The deployments of a grid, each made when it is first needed and only with what is needed.

    A value that depends on the machine alone is looked up once for each machine, however many prices there are.
    """

    def __init__(self, shared: Deployment | None, fields: Mapping[str, Any], axes: Sequence[SettingsAxis]) -> None:
        """Of a grid.

        Args:
            shared: The deployment that all points share, if there is one.
            fields: Resolved fields with one value for all points.
            axes: The axes that say something of resolved fields; hardware is on one of them.
        """
        self._shared = shared
        self._fields = fields
        self._axes = tuple(axes)
        self._of_machine = [number for number, axis in enumerate(axes) if axis.says(_MACHINE)]
        self._made: dict[tuple[tuple[int, int], ...], Deployment] = {}

    def on_axis(self, axis: SettingsAxis) -> list[Deployment]:
        """Return the deployments along an axis, at the first position of the others that matter."""
        number = self._axes.index(axis)
        return [self._at({number: place}) for place in range(len(axis.settings))]

    def lookup(self, fields: Iterable[str], of: Callable[[Deployment], Any]) -> Lookup:
        """Return a value of all deployments.

        Args:
            fields: The fields that it depends on.
            of: The value.
        """
        import numpy as np

        wanted = frozenset(fields)
        numbers = [number for number, axis in enumerate(self._axes) if axis.says(wanted)]
        places = product(*(range(len(self._axes[number].settings)) for number in numbers))
        flat = [of(self._at(dict(zip(numbers, each, strict=True)))) for each in places]
        values = np.asarray(flat).reshape([len(self._axes[number].settings) for number in numbers])
        kept: list[tuple[str, NDArray[np.int64] | None]] = []
        for number in numbers:
            first = values.take([0], axis=len(kept))
            if np.array_equal(values, np.broadcast_to(first, values.shape), equal_nan=True):
                values = values.take(0, axis=len(kept))
            else:
                kept.append((self._axes[number].name, self._axes[number].number_at))
        return Lookup(tuple(kept), values)

    def _at(self, places: Mapping[int, int]) -> Deployment:
        """Return the deployment at positions of some axes; of the machine's axes the first position counts."""
        key = tuple(sorted({**dict.fromkeys(self._of_machine, 0), **places}.items()))
        if key not in self._made:
            of_machine = tuple((number, place) for number, place in key if number in self._of_machine)
            others = [self._axes[number].settings[place] for number, place in key if number not in self._of_machine]
            if others:
                changes = {name: value for each in others for name, value in each.fields.items()}
                self._made[key] = self._at(dict(of_machine)).replace(**changes)
            else:
                self._made[key] = self._with_machine([self._axes[number].settings[place] for number, place in key])
        return self._made[key]

    def _with_machine(self, settings: Sequence[Settings]) -> Deployment:
        on = next((each.on for each in settings if each.on is not None), self._shared)
        return deployment_of(on, **{**{n: v for each in settings for n, v in each.fields.items()}, **self._fields})
