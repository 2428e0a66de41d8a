"""Axes: the arguments of `sweep` become a spec; all names and values are checked before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from os import PathLike
from typing import TYPE_CHECKING, Any

from .._checks import is_number
from ..deployment import OPTIONS, Deployment, Layout, checked_field, deployment_of
from ..deployment.engines import TORCH, execution_of
from ..errors import InputError, InputTypeError, TooLargeError
from ..inputs.price import TERMS as TERMS_OF_PRICES
from ..predict.derived_costs import TERMS
from ..predict.plans import ONE_DEVICE, overrides_of
from ..sources.sizes import (
    Ranges,
    SizeError,
    as_axis,
    batch_name,
    bind_axis,
    matched,
    maximum,
)
from .arguments import ON, check_prices, columns_of, priced_machines, scale_axes
from .evidence import SweepEmulation, SweepEvidence
from .pipelines import SweepPipelines
from .spec import Axis, Grid, Lookup, SweepFacts, SweepSpec, check_corner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .._core import Graph, Hardware
    from ..predict.rules import Rules
    from ..sources.captured import Captured

PLAIN = ("precision", "engine", "serving", "execution", "devices", "layout", "utilization")
"""Fields of a deployment that need no look-up."""

RESOLVED = ("hardware", "threads", "instances", "sustained", "host", "price", "region", "transfer", "startup")
"""Fields of a deployment that are resolved: to a machine, a price, a place, rates of links, parts of a start."""

MOST_SETTINGS = 100_000
"""Maximum number of resolved deployments on an axis, or of their combinations: each takes kilobytes."""

MOST_POINTS = 2**63 - 1
"""Maximum number of points of a grid."""

_MACHINE = ("hardware", "threads", "instances", "sustained", "host")
_ALWAYS = ("hardware", "precision", "execution")
"""Fields that are columns of every sweep."""


@dataclass(frozen=True)
class _Draft:
    """An axis before its labels are known.

    Attributes:
        columns: For each name its values along the axis.
        settings: Resolved fields along the axis.
        labeled: The names of those that get columns.
    """

    columns: Mapping[str, Any]
    settings: SettingsAxis | None = None
    labeled: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[tuple[str, ...], int]:
        """The names on the axis, and its length."""
        if self.columns:
            length = len(next(iter(self.columns.values())))
        elif self.settings is None:
            length = 0
        else:
            length = len(self.settings.settings if self.settings.number_at is None else self.settings.number_at)
        return (*self.columns, *self.labeled), length


@dataclass
class _Given:
    """The deployment arguments of a sweep by kind: one value for all points, or an axis."""

    shared: Deployment | None
    several_on: Sequence[Deployment] = ()
    scalars: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, Sequence[Any]] = field(default_factory=dict)
    paired: list[tuple[str, ...]] = field(default_factory=list)  # names that share one axis


def make_spec(
    captured: Captured,
    *,
    on: Deployment | Iterable[Deployment] | None = None,
    scale: Mapping[str, Any] | None = None,
    points: Any = None,
    rules: Rules | None = None,
    **fields: Any,
) -> SweepSpec:
    """Return the spec of a sweep.

    Args:
        captured: The graph and its sizes, each with one value or several.
        on: One deployment for all points, or several as an axis.
        scale: As in `sweep`.
        points: As in `sweep`.
        rules: Work of the caller's own ops.
        **fields: Fields of deployments, each with one value or several; None leaves a field to `on`.

    Raises:
        InputError: An axis has no values, or a size, machine, precision, execution, price, place or scale is unknown.
        TooLargeError: The grid has too many points, or deployments.
        CountOverflowError: The greatest sizes give totals that do not fit 64 bits.
    """
    graph, sizes, fixed, called, _ = captured
    points = {} if points is None else columns_of(points)
    given = _split(on, fields, points)
    for name in points:
        if name in given.axes or name in given.scalars or name in sizes:
            raise InputError(f"{name!r} is given as an axis and in points; pass it once")
    drafts = _drafts(graph, given, points, {} if scale is None else scale)
    deployments = GridDeployments(
        given.shared,
        {name: value for name, value in given.scalars.items() if name in RESOLVED},
        [draft.settings for draft in drafts if draft.settings is not None],
    )
    axes = [_axis(draft, deployments) for draft in drafts]
    axes += [Axis((name,), ((value,),)) for name, value in fixed.items()]
    named = {name: bind_axis(graph, name, values) for name, values in matched(graph, sizes).items()}
    # A size that depends on data and has no axis is at its default, which may differ between points.
    named.update(
        (name, bind_axis(graph, name, limits["default"]))
        for name, limits in graph.sizes.items()
        if name not in named and name not in points and not graph.depends_on_data(name)
    )
    grid = Grid([*axes, *(Axis((name,), (values,)) for name, values in named.items())])
    if grid.size > MOST_POINTS:
        raise TooLargeError(f"the grid has {grid.size:,} points; pass fewer values, so that it has 2^63 at the most")
    open_sizes = tuple(name for name in grid.names if name in graph.sizes)
    _check_layouts(grid)
    if _most_copies(grid) > 1 and batch_name(graph) not in open_sizes:
        raise SizeError(
            "devices share the batch, and this graph has no size 'batch'; capture it with "
            "dynamic={0: {0: 'batch'}}, pass batch= with a spec, or leave devices out"
        )
    machines: dict[int, Hardware] = {}
    numbers: dict[int, int] = {}

    def number_of(deployment: Deployment) -> int:
        machine = deployment.machine
        machines[id(machine)] = machine
        return numbers.setdefault(id(machine), len(numbers))

    utilization = given.scalars.get("utilization", 1.0 if given.shared is None else given.shared.utilization)
    overrides = overrides_of(graph, grid.plan_keys(), rules)
    where: dict[str, Any] = {
        "graph": graph,
        "overrides": overrides,
        "grid": grid,
        "open_sizes": open_sizes,
        "machine_number": deployments.lookup(_MACHINE, number_of),
        "machines": tuple(machines.values()),
    }
    spec = SweepSpec(
        model=called,
        **where,
        facts=SweepFacts(
            evidence=SweepEvidence(**where),
            emulation=SweepEmulation(**where),
            machine_number=where["machine_number"],
            pipelines=SweepPipelines(graph, where["machines"], overrides),
            graph=graph,
            terms=_Terms(deployments),
            utilization=utilization,
            priced=_holds_anywhere(deployments, lambda each: each.device_price is not None),
            placed=_holds_anywhere(deployments, _is_placed),
        ),
    )
    spec.check()
    check_corner(spec)
    return spec


def _most_copies(grid: Grid) -> int:
    """Return the most copies of the model at some point."""
    if "devices" not in grid.names:
        return 1
    devices = grid.values("devices")
    if "layout" not in grid.names:
        return maximum(devices)
    layouts = [Layout.parse(each) for each in grid.values("layout")]
    paired = grid.repeat("layout") == grid.repeat("devices") and len(layouts) == len(devices)
    pairs = zip(devices, layouts, strict=True) if paired else product([maximum(devices)], layouts)
    return max(count // each.ranks * each.attention_data for count, each in pairs)


def _holds_anywhere(deployments: GridDeployments, of: Callable[[Deployment], bool]) -> bool:
    """Return whether a test is true for the price or the place at some point."""
    return bool(deployments.lookup((*_MACHINE, "price", "region"), of).values.any())


def _is_placed(deployment: Deployment) -> bool:
    price = deployment.device_price
    return deployment.region is not None or (price is not None and bool(price.region))


def _split(on: Any, fields: Mapping[str, Any], points: Mapping[str, Sequence[Any]]) -> _Given:
    """Return the deployment arguments by kind: shared by all points, or an axis."""
    given = _Given(on) if on is None or isinstance(on, Deployment) else _Given(None, as_axis(ON, on))
    for each in (*given.several_on, *points.get(ON, ())):
        if not isinstance(each, Deployment):
            raise InputTypeError(f"on has {each!r}; expected one or several Deployments")
    if on is not None and ON in points:
        raise InputError(f"{ON!r} is given as an axis and in points; pass it once")
    if given.several_on and not set(OPTIONS).isdisjoint(points):
        raise InputError(f"on has several deployments, and points have fields of deployments; put {ON!r} into points")
    for name in OPTIONS:
        value = fields.get(name)
        if value is None:
            continue
        is_axis = isinstance(value, Iterable) and not isinstance(value, (str, PathLike, Mapping))
        if is_axis or name in (*_ALWAYS, "engine", "serving", "devices", "layout"):
            given.axes[name] = [value] if name == "layout" and not is_axis else as_axis(name, value)
        else:
            given.scalars[name] = checked_field(name, value) if name in PLAIN else value
    if "price" in given.axes:
        check_prices(given.axes["price"])
    several = [*given.several_on, *points.get(ON, ())]
    shared = given.shared or Deployment()
    engines = given.axes.get("engine", ())
    is_asked = "execution" in {*given.axes, *points} or any(each.asked_execution for each in (*several, shared))
    if engines and not is_asked:  # each engine's default execution
        given.axes["execution"] = [execution_of(checked_field("engine", each), "") for each in engines]
        given.paired.append(("engine", "execution"))
    layouts = given.axes.get("layout", ())
    if not layouts and shared.layout is not None:
        layouts = given.axes["layout"] = [shared.rank_layout]
    if layouts and "devices" not in points and len({each.devices for each in several}) <= 1:
        _pair_layouts(given, layouts, shared)
    named = {*given.axes, *points}
    if several:
        if "utilization" not in named and len({each.utilization for each in several}) == 1:
            given.scalars.setdefault("utilization", several[0].utilization)
        return given
    prices = given.axes.get("price", [given.scalars.get("price")])
    terms = [price for price in prices if isinstance(price, str) and price in TERMS_OF_PRICES]
    if terms and len(given.axes.get("hardware", ())) > 1:
        parts = {name: value for name, value in given.scalars.items() if name in ("threads", "instances")}
        given.axes["hardware"] = priced_machines(given.axes["hardware"], terms, given.shared, parts)
    if "hardware" not in named:
        if shared.hardware is None:
            raise InputError(
                "hardware is missing; pass one or several ids, files or Hardware as hardware=, in on= or in points"
            )
        given.axes["hardware"] = [shared.hardware]
    for name in ("precision", "execution"):
        if name not in named and not (name == "execution" and "engine" in points):
            given.axes[name] = [getattr(shared, name)]
    if "engine" not in named and shared.engine != TORCH:
        given.axes["engine"] = [shared.engine]
    if "serving" not in named and shared.serving:
        given.axes["serving"] = [shared.serving]
    if "devices" not in named and shared.devices != 1:
        given.axes["devices"] = [shared.devices]
    return given


def _pair_layouts(given: _Given, layouts: Sequence[Any], shared: Deployment) -> None:
    """Make layouts and their devices one axis: devices of the layout, of the shared deployment, or a given number."""
    counts = given.axes.get("devices", (shared.devices if shared.layout is None else 1,))
    if isinstance(counts, Ranges):  # too many to be listed with each layout
        return
    found = [Layout.parse(each) for each in layouts]
    pairs = [
        (str(each), each.devices if count == 1 and "devices" not in given.axes else each.on(count).devices)
        for count in (checked_field("devices", count) for count in counts)
        for each in found
    ]
    given.axes["layout"], given.axes["devices"] = [text for text, _ in pairs], [count for _, count in pairs]
    given.paired.append(("devices", "layout"))


def _check_layouts(grid: Grid) -> None:
    """Check that each layout fits each number of devices that it meets.

    Raises:
        LayoutError: Devices are no multiple of the devices of a layout.
    """
    if "layout" not in grid.names:
        return
    apart = grid.repeat("layout") != grid.repeat("devices")
    layouts, devices = grid.values("layout"), grid.values("devices")
    pairs = product(dict.fromkeys(layouts), devices) if apart else zip(layouts, devices, strict=True)
    for layout, count in dict.fromkeys(pairs):
        Layout.parse(layout).on(count)


def deployment_axes(
    on: Deployment | Iterable[Deployment] | None, fields: Mapping[str, Any], scale: Mapping[str, Any]
) -> list[tuple[tuple[str, ...], int]]:
    """Return the axes of deployments and scales that a sweep will have: names of columns, and number of values.

    Args:
        on: As in `make_spec`.
        fields: As in `make_spec`.
        scale: As in `make_spec`.
    """
    return [draft.shape for draft in _drafts(None, _split(on, fields, {}), {}, scale)]


def _drafts(
    graph: Graph | None, given: _Given, points: Mapping[str, Sequence[Any]], scale: Mapping[str, Any]
) -> list[_Draft]:
    """Return the axes of deployments and scales, outermost first, with a list of points before all others."""
    lists = (points, {ON: given.several_on} if given.several_on else {})
    drafts = [_joint(graph, columns, given) for columns in lists if columns]
    for name in OPTIONS:
        if name in given.axes:
            values = given.axes[name]
            together = next((names for names in given.paired if name in names), ())
            if together:
                columns = {each: _plain(each, given.axes[each]) for each in together}
                drafts += [_Draft(columns, _of_layouts(columns, given))] if name == together[0] else []
            elif name in PLAIN:
                columns = {name: _plain(name, values)}
                drafts.append(_Draft(columns, _of_devices(columns, given)))
            else:
                _check_settings(name, len(values))
                settings = SettingsAxis(name, tuple(_settings(name, value, given) for value in values))
                drafts.append(_Draft({}, settings, (name,)))
        if name == "host":  # scales are part of the machine
            scales = {} if scale == {} else scale_axes(scale)
            drafts += [_Draft({name: factors}) for name, factors in scales.items()]
    return drafts


def _of_layouts(columns: Mapping[str, Sequence[Any]], given: _Given) -> SettingsAxis | None:
    """Return layouts as resolved fields if prices depend on them: whole instances are paid for."""
    price = given.shared.price if given.shared is not None else None
    if "layout" not in columns or (price is None and "price" not in {*given.axes, *given.scalars}):
        return None
    rows = zip(columns["layout"], columns["devices"], strict=True)
    return SettingsAxis("layout", tuple(Settings(None, {"layout": text, "devices": count}) for text, count in rows))


def _of_devices(columns: Mapping[str, Sequence[Any]], given: _Given) -> SettingsAxis | None:
    """Return numbers of devices as resolved fields if prices depend on them; prices in numbers do not."""
    if "devices" not in columns or not _pays_instances(given, ()):
        return None
    _check_settings("devices", len(columns["devices"]))
    return SettingsAxis("devices", tuple(Settings(None, {"devices": count}) for count in columns["devices"]))


def _pays_instances(given: _Given, listed: Iterable[Any]) -> bool:
    """Return whether some price is more than a number, so that the bill depends on the devices."""
    shared = [each.price for each in (given.shared, *given.several_on) if each is not None]
    prices = [*shared, *listed, *given.axes.get("price", ()), given.scalars.get("price")]
    return any(each is not None and not is_number(each) for each in prices)


def _plain(name: str, values: Sequence[Any]) -> Sequence[Any]:
    """Return the checked values of a field that needs no look-up."""
    if isinstance(values, Ranges):  # in range as a whole if both ends are
        for end in (values.minimum, values.maximum):
            checked_field(name, end)
        return values
    return tuple(checked_field(name, value) for value in values)


def _check_settings(what: str, count: int) -> None:
    """Check that deployments are not too many.

    Raises:
        TooLargeError: They are.
    """
    if count > MOST_SETTINGS:
        raise TooLargeError(f"{what} gives {count:,} deployments; pass {MOST_SETTINGS:,} at the most in one sweep")


def _settings(name: str, value: Any, given: _Given) -> Settings:
    if given.shared is not None and value is given.shared.hardware:
        return Settings(given.shared, {})  # its machine is loaded
    return Settings(None, {name: value})


def _joint(graph: Graph | None, points: Mapping[str, Sequence[Any]], given: _Given) -> _Draft:
    """Return a list of points as one axis of several names."""
    import numpy as np

    columns: dict[str, Any] = {}
    labeled = [name for name in points if name in RESOLVED]
    placed = [name for name in ("devices", "layout") if name in points]
    resolved = [*labeled, *(placed if _pays_instances(given, points.get("price", ())) else ())]
    elsewhere = {*points, *given.axes, *given.scalars}
    for name, values in points.items():
        if name in PLAIN:
            columns[name] = _plain(name, values)
        elif graph is not None and name in graph.sizes:
            columns[name] = bind_axis(graph, name, values)
        elif name not in (*RESOLVED, ON):
            known = () if graph is None else graph.sizes
            raise SizeError(f"points have {name!r}; expected some of {', '.join((ON, *OPTIONS, *known))}")
    if "engine" in points and "execution" not in elsewhere:
        columns["execution"] = tuple(execution_of(engine, "") for engine in columns["engine"])
    if "layout" in points and "devices" not in elsewhere:
        columns["devices"] = tuple(Layout.parse(each).devices for each in columns["layout"])
    if ON in points:
        for name in OPTIONS:
            values = [str(each.rank_layout) if name == "layout" else getattr(each, name) for each in points[ON]]
            constant = all(value == values[0] for value in values[1:])
            plain = {"devices": 1, "engine": TORCH, "layout": ONE_DEVICE, "serving": ""}
            told = name in _ALWAYS or values[0] != plain.get(name, values[0])
            if name in elsewhere or (constant and not told):
                continue
            if name in PLAIN:
                columns[name] = tuple(values)
            else:
                labeled.append(name)
    if resolved or ON in points:
        _check_settings("points", len(next(iter(points.values()))))
    rows = list(zip(*(points[name] for name in (ON, *resolved) if name in points), strict=True))
    numbers: dict[Any, int] = {}
    number_at = np.asarray([numbers.setdefault(_key(row), len(numbers)) for row in rows], dtype=np.int64)
    if not len(number_at):  # no resolved field
        return _Draft(columns)
    first = np.unique(number_at, return_index=True)[1].tolist()
    settings = []
    for row in (rows[place] for place in first):
        on, values = (row[0], row[1:]) if ON in points else (None, row)
        settings.append(Settings(on, dict(zip(resolved, values, strict=True))))
    return _Draft(columns, SettingsAxis((*labeled, *resolved)[0], tuple(settings), number_at), tuple(labeled))


def _key(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a hashable key of a row; values other than texts and numbers are compared by identity."""
    return tuple(value if isinstance(value, (str, int, float, type(None))) else id(value) for value in row)


def _axis(draft: _Draft, deployments: GridDeployments) -> Axis:
    """Return the axis of a draft, with the labels of resolved fields."""
    columns = dict(draft.columns)
    if draft.settings is not None:
        along = deployments.on_axis(draft.settings)
        for name in draft.labeled:
            labels = [_label(name, each) for each in along]
            numbers = draft.settings.number_at
            columns[name] = tuple(labels if numbers is None else [labels[number] for number in numbers.tolist()])
    return Axis(tuple(columns), tuple(columns.values()))


def _label(name: str, deployment: Deployment) -> Any:
    """Return the value of a field in its column."""
    value = getattr(deployment, name)
    if name == "hardware":
        return deployment.machine.id
    if name == "price":
        return "" if value is None else str(getattr(value, "text", value))
    if name == "transfer":
        return "" if value is None else str(deployment.data_transfer)
    if name == "startup":
        return "" if value is None else str(deployment.replica_startup)
    if name == "region":
        return value or ""
    return value or 0 if name == "threads" else value


# ---- deployments of a grid -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """Resolved fields at one position of an axis.

    Attributes:
        on: A deployment with all of them; None without one.
        fields: Values of single fields, which override it.
    """

    on: Deployment | None
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class SettingsAxis:
    """An axis of a grid with resolved fields.

    Attributes:
        name: A name on the axis, for the grid.
        settings: The distinct settings along the axis.
        number_at: For each position of the axis the index of its settings; None if position and index are equal.
    """

    name: str
    settings: tuple[Settings, ...]
    number_at: NDArray[np.int64] | None = None

    def has(self, fields: Iterable[str]) -> bool:
        """Return whether the axis has some of these fields."""
        return any(each.on is not None or not each.fields.keys().isdisjoint(fields) for each in self.settings[:1])


class GridDeployments:
    """The deployments of a grid, each made when it is first needed, with the fields that are needed.

    A value that depends on the machine alone is looked up once per machine, for any number of prices.
    """

    def __init__(self, shared: Deployment | None, fields: Mapping[str, Any], axes: Sequence[SettingsAxis]) -> None:
        """Make the deployments of a grid.

        Args:
            shared: The deployment that all points share; None without one.
            fields: Resolved fields with one value for all points.
            axes: The axes with resolved fields; hardware is on one of them.
        """
        self._shared = shared
        self._fields = fields
        self._axes = tuple(axes)
        self._of_machine = [number for number, axis in enumerate(axes) if axis.has(_MACHINE)]
        self._made: dict[tuple[tuple[int, int], ...], Deployment] = {}

    def on_axis(self, axis: SettingsAxis) -> list[Deployment]:
        """Return the deployments along an axis, at the first position of the others that matter."""
        number = self._axes.index(axis)
        return [self._at({number: place}) for place in range(len(axis.settings))]

    def lookup(self, fields: Iterable[str], of: Callable[[Deployment], Any]) -> Lookup:
        """Return a value of each deployment.

        Args:
            fields: The fields that the value depends on.
            of: Returns the value of a deployment.
        """
        import numpy as np

        wanted = frozenset(fields)
        numbers = [number for number, axis in enumerate(self._axes) if axis.has(wanted)]
        several = " and ".join(self._axes[number].name for number in numbers)
        _check_settings(several, prod(len(self._axes[number].settings) for number in numbers))
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
        """Return the deployment at positions of some axes, and at the first position of the machine's other axes."""
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
        fields = {**{n: v for each in settings for n, v in each.fields.items()}, **self._fields}
        return deployment_of(on, fields).for_throughput()


class _Terms(Mapping[str, Lookup]):
    """The numbers of `derived_costs.TERMS` at the points of a grid, each looked up when a column first needs it."""

    def __init__(self, deployments: GridDeployments) -> None:
        self._deployments = deployments
        self._found: dict[str, Lookup] = {}

    def __getitem__(self, name: str) -> Lookup:
        if name not in self._found:
            term = TERMS[name]
            self._found[name] = self._deployments.lookup(term.fields, term.of)
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(TERMS)

    def __len__(self) -> int:
        return len(TERMS)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)
