"""Comparison of several models and deployments: one row for each, and a row with an error for what fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

from .. import _core
from .._checks import MOST, shown, whole
from ..deployment import Deployment, deployment_of
from ..deployment.engines import TORCH, forms_steps
from ..deployment.keywords import shows, split_options
from ..deployment.options import DeploymentAxes
from ..errors import Error, InputError, InputTypeError
from ..results.comparison import FIGURES, ComparedModel, Comparison
from ..results.language_profile import LanguageProfile
from ..results.notices import Notice, notice
from ..results.profile import Profile
from ..sources.captured import Captured, CapturedPhases, graph_at, graph_over, has_phases, phases_at
from ..sources.sizes import SizeError, call_sizes
from .plans import is_narrowed
from .profile import phases_on, profile, profile_on
from .slower_execution import FUSED, LayerTime, why_slower

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Unpack

    from .._core import Graph
    from ..inputs.price import Price
    from ..results.estimate import Estimate

Compared: TypeAlias = "str | PathLike[str] | Graph | Profile | LanguageProfile"
"""What `compare` takes as a model."""

_Change: TypeAlias = "Callable[[Captured], Captured]"

MOST_ROWS = 10_000
"""Maximum number of rows; larger grids are for `sweep`."""

_MOST_NOTES = 3
_MOST_LOADS = 2


@shows(DeploymentAxes)
def compare_models(
    *models: Compared | Mapping[str, Compared],
    on: Deployment | Sequence[Deployment] | None = None,
    sizes: Mapping[str, SupportsIndex | Iterable[SupportsIndex]] | None = None,
    **options: Unpack[DeploymentAxes],
) -> Comparison:
    """Profile several models in several deployments, with the arguments of `compare`."""
    named = dict(_named(models))
    if not named:
        raise InputError("no model is given to compare; pass specs, files, graphs or profiles")
    fields, named_sizes = split_options(options)
    given = {name: value for name, value in fields.items() if value is not None}
    deployments: list[Deployment] | None = None
    if on is not None or given:
        deployments = _deployments(on, given)
    with call_sizes(compare_models, sizes, named_sizes) as named_values:
        axes = {name: _values(name, value) for name, value in named_values.items()}
        return compare_on(named, deployments, axes)


def compare_on(
    models: Mapping[str, Compared],
    on: Sequence[Deployment] | None,
    axes: Mapping[str, Sequence[int]],
    *,
    changed: _Change = lambda captured: captured,
) -> Comparison:
    """Compare models in resolved deployments.

    Args:
        models: Name -> model.
        on: The deployments; None keeps profiles as they are, and counts other models.
        axes: Size name -> values.
        changed: Change of each captured model, such as other formats of its weights.

    Raises:
        InputError: There are too many rows.
        SizeError: No model has a size of such a name, or takes the value.
    """
    points = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    count = len(models) * len(points) * max(1, len(on or ()))
    if count > MOST_ROWS:
        raise InputError(f"{count:,} rows are more than {MOST_ROWS:,}; give fewer values, or use sweep")
    rows: list[ComparedModel] = []
    for name, model in models.items():
        rows += _rows_of(_Captures(name, model, axes, changed, on), on, points)
    causes = [row.cause for row in rows]
    if causes and all(isinstance(cause, SizeError) for cause in causes):
        raise causes[0]  # type: ignore[misc]  # no model has the size: a name is wrong
    return Comparison(rows=tuple(rows), notices=(*_slower(rows), *_expert_loads(rows), *_narrowed(rows)))


def _named(models: Iterable[Any]) -> Iterator[tuple[str, Compared]]:
    """Yield the models with distinct names."""
    taken: dict[str, int] = {}
    for given in models:
        for name, model in given.items() if isinstance(given, Mapping) else [(_name(given), given)]:
            if not isinstance(model, (str, PathLike, _core.Graph, Profile, LanguageProfile)):
                raise InputTypeError(
                    f"a model to compare is of type {type(model).__name__}; expected a spec, a file, a Graph (of "
                    "capture(module, inputs)) or a Profile"
                )
            taken[name] = taken.get(name, 0) + 1
            yield name if taken[name] == 1 else f"{name} ({taken[name]})", model


def _name(model: Any) -> str:
    if isinstance(model, (str, PathLike)):
        return fspath(model)
    return str(getattr(model, "model", "")) or "graph"


def _values(name: str, value: Any) -> list[int]:
    several = [value] if isinstance(value, SupportsIndex) else value
    if isinstance(several, (str, bytes)) or not isinstance(several, Iterable):
        raise InputTypeError(f"size {name} is {shown(value)}; expected a whole number or several")
    values = [int(each.__index__()) if isinstance(each, SupportsIndex) else whole(each, name) for each in several]
    if not values or len(values) > MOST:
        raise InputError(f"size {name} has {len(values):,} values; expected 1 to {MOST:,}")
    return values


def _deployments(on: Any, given: Mapping[str, Any]) -> list[Deployment]:
    """Return all combinations of deployments and fields."""
    bases: list[Deployment | None] = list(on) if isinstance(on, (list, tuple)) else [on]
    axes = {name: _several(name, value) for name, value in given.items()}
    return [
        deployment_of(base, dict(zip(axes, values, strict=True)))
        for base in bases
        for values in product(*axes.values())
    ]


def _several(name: str, value: Any) -> list[Any]:
    """Return the values of a field; a mapping, such as a layout or prices by machine, is one value."""
    if isinstance(value, (str, PathLike, Mapping)) or not isinstance(value, (list, tuple)):
        return [value]
    if not value:
        raise InputError(f"{name} has no values; leave it out, or give at least one")
    return list(value)


# ---- rows ------------------------------------------------------------------------------------------------------------


class _Captures:
    """Graphs of one model, each captured once: for all values of sizes if these can stay symbolic, else for each point.

    Attributes:
        name: Name of the model in the comparison.
        model: The model.
    """

    def __init__(
        self,
        name: str,
        model: Compared,
        axes: Mapping[str, Sequence[int]],
        changed: _Change,
        on: Sequence[Deployment] | None,
    ) -> None:
        self.name = name
        self.model = model
        self._axes = axes
        self._changed = changed
        self._computes_masks = not on or not all(forms_steps(each.engine) for each in on)
        self._known: dict[Any, Captured | CapturedPhases | Exception] = {}

    def profile(self, on: Deployment, point: Mapping[str, int]) -> Profile | LanguageProfile:
        """Return the profile at one point in one deployment."""
        if isinstance(self.model, (Profile, LanguageProfile)):
            return profile(self.model, on=on, sizes=point)
        if isinstance(self.model, _core.Graph):
            return profile_on(on, self._changed(Captured(self.model, point, {}, self.name)))
        found = self._at(fspath(self.model), point, frozenset(on.rank_layout.shared_sizes))
        return phases_on(on, found) if isinstance(found, CapturedPhases) else profile_on(on, found)

    def _at(self, spec: str, point: Mapping[str, int], shared: frozenset[str]) -> Captured | CapturedPhases:
        key = (tuple(point.items()), shared)
        if key not in self._known:
            try:
                self._known[key] = self._captured(spec, point, shared)
            except Exception as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, Exception):
            raise found
        return found

    def _captured(self, spec: str, point: Mapping[str, int], shared: frozenset[str]) -> Captured | CapturedPhases:
        if has_phases(spec, point):
            phases = phases_at(spec, point, shared=shared)
            prefill, decode = (self._changed(each) for each in (phases.prefill, phases.decode))
            return phases._replace(prefill=prefill, decode=decode, name=self.name)
        whole_grid = self._over(spec, shared) if any(len(values) > 1 for values in self._axes.values()) else None
        if whole_grid is None:
            found = graph_at(spec, point, shared=shared)
        else:
            found = whole_grid._replace(sizes={name: point[name] for name in whole_grid.sizes if name in point})
        return self._changed(found)._replace(name=self.name)

    def _over(self, spec: str, shared: frozenset[str]) -> Captured | None:
        """Return the graph with symbolic sizes; None if a size that varies is fixed by the capture."""
        key = ("grid", shared)
        if key not in self._known:
            try:
                self._known[key] = graph_over(spec, self._axes, shared=shared, computes_masks=self._computes_masks)
            except SizeError as error:
                self._known[key] = error
        found = self._known[key]
        return found if isinstance(found, Captured) else None


def _rows_of(
    captures: _Captures, on: Sequence[Deployment] | None, points: Sequence[Mapping[str, int]]
) -> Iterator[ComparedModel]:
    """Yield the rows of one model: of each point, all deployments."""
    model = captures.model
    if on is None and isinstance(model, (Profile, LanguageProfile)) and not any(points):
        yield from _of_profile(captures.name, model)
        return
    for point in points:
        for deployment in on or [Deployment()]:
            try:
                found = captures.profile(deployment, point)
            except Exception as error:
                yield _failed(captures.name, deployment, point, error)
            else:
                yield from _of_profile(captures.name, found)


def _of_profile(name: str, found: Profile | LanguageProfile, phase: str = "") -> Iterator[ComparedModel]:
    """Yield the row of a profile, or the rows of both phases."""
    if isinstance(found, LanguageProfile):
        yield from _of_profile(f"{name} (prefill)", found.prefill, "prefill")
        yield from _of_profile(f"{name} (decode)", found.decode, "decode")
        return
    estimate = found.estimate
    shares = {} if estimate is None else dict(estimate.bound_shares)
    yield ComparedModel(
        model=name,
        hardware=None if estimate is None else estimate.hardware,
        devices=1 if estimate is None else estimate.devices,
        precision=found.precision,
        engine=None if estimate is None else estimate.engine,
        execution=None if estimate is None else estimate.execution,
        layout=str(estimate.layout) if estimate is not None and estimate.layout.ranks > 1 else "",
        price=None if estimate is None or estimate.cost is None else _price(estimate.cost.price),
        sizes=dict(found.sizes),
        bound=max(shares, key=shares.__getitem__) if any(shares.values()) else None,
        bound_shares=shares,
        figures={key: _figure(found, estimate, key) for key in FIGURES},
        unmodelled=dict(found.counts.unmodelled),
        profile=found,
        phase=phase,
    )


def _slower(rows: Iterable[ComparedModel]) -> list[Notice]:
    """Return why fused executions take longer than others of the same model in the same place, at most a few lines."""
    others: dict[Any, dict[str, ComparedModel]] = {}
    for row in rows:
        if row.hardware is not None and row.execution is not None and not row.error:
            place = (row.model, row.hardware, row.devices, row.precision, row.engine, row.layout)
            others.setdefault((place, tuple(row.sizes.items())), {})[row.execution] = row
    found: list[Notice] = []
    for by_execution in others.values():
        plain = next((row for name, row in by_execution.items() if name not in FUSED), None)
        for name, row in by_execution.items():
            reason = None if plain is None else why_slower((name, plain.execution), (_times(row), _times(plain)))
            if reason is not None:
                where = {"model": row.model, "hardware": row.hardware, "sizes": dict(row.sizes)}
                found.append(notice("slower", **reason, **where))
    return found[:_MOST_NOTES]


def _expert_loads(rows: Iterable[ComparedModel]) -> list[Notice]:
    """Return the loads of experts that times are for, by engine."""
    estimates = [row.profile.estimate for row in rows if row.profile is not None]
    loads = [(each.engine, str(each.layout.expert_load)) for each in estimates if each is not None]
    return [
        notice("expert_loads", load=load if load.count(":") < _MOST_LOADS else "measured", engine=engine)
        for engine, load in dict.fromkeys(loads)
        if load
    ]


def _narrowed(rows: Iterable[ComparedModel]) -> list[Notice]:
    """Return the models that engines load in 16 bits though their weights have 32."""
    found = [
        (row.engine, row.model.removesuffix(f" ({row.phase})"))
        for row in rows
        if row.profile is not None
        and row.engine not in (None, TORCH)
        and row.precision == "native"
        and is_narrowed(row.profile.graph)
    ]
    return [notice("model_narrowed", engine=engine, model=name) for engine, name in dict.fromkeys(found)]


def _times(row: ComparedModel) -> list[LayerTime]:
    estimate = None if row.profile is None else row.profile.estimate
    layers = () if estimate is None else estimate.layers
    return [LayerTime(layer.op, layer.latency_s, layer.effect) for layer in layers]


def _price(price: Price) -> str:
    """Return the price of an hour, and where it is from unless it was given as a number."""
    of = "" if price.devices == 1 else f" for {price.devices} devices"
    return f"{price.usd_per_h * price.devices:g} USD/h{of}" + ("" if price.text == "given" else f", {price.text}")


def _figure(found: Profile, estimate: Estimate | None, key: str) -> Any:
    if key in found.figures:
        return found.figures[key]
    return None if estimate is None else getattr(estimate, key, None)


def _failed(name: str, on: Deployment, point: Mapping[str, int], error: Exception) -> ComparedModel:
    told = isinstance(error, (Error, ValueError, OSError, ImportError)) and str(error)
    timed = on.hardware is not None
    return ComparedModel(
        model=name,
        hardware=on.machine.id if timed else None,
        devices=on.devices,
        precision=on.precision,
        engine=on.engine if timed else None,
        execution=on.execution if timed else None,
        layout=str(on.rank_layout) if on.rank_layout.ranks > 1 else "",
        price=None,
        sizes=dict(point),
        bound=None,
        bound_shares={},
        figures=dict.fromkeys(FIGURES),
        unmodelled={},
        error=str(error) if told else f"{type(error).__name__}: {error}",
        cause=error,
    )
