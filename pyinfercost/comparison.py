"""One verb for all comparisons: models side by side, and changes from one result to another."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from .deployment.keywords import shows
from .deployment.options import DeploymentAxes
from .errors import InputTypeError
from .fleets.changes import fleet_changes
from .predict.compare import compare_models
from .predict.diff import profile_changes
from .results.documents import document_from, is_fleets
from .results.fleet_plan import FleetPlan
from .results.fleet_result import FleetComparison, FleetResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from typing_extensions import Unpack

    from .deployment import Deployment
    from .fleets.changes import FleetComparable
    from .predict.compare import Compared
    from .predict.diff import ProfileLike
    from .results.comparison import Comparison
    from .results.fleet_changes import FleetChanges
    from .results.profile_changes import ProfileChanges


@overload
def compare(
    *models: Compared | Mapping[str, Compared],
    on: Deployment | Sequence[Deployment] | None = ...,
    sizes: Mapping[str, SupportsIndex | Iterable[SupportsIndex]] | None = ...,
    **options: Unpack[DeploymentAxes],
) -> Comparison: ...
@overload
def compare(
    *, before: FleetResult | FleetComparison | FleetPlan, after: FleetComparable, limits: Iterable[str] = ...
) -> FleetChanges: ...
@overload
def compare(*, before: ProfileLike, after: ProfileLike, limits: Iterable[str] = ...) -> ProfileChanges: ...
@shows(DeploymentAxes)
def compare(
    *models: Compared | Mapping[str, Compared],
    before: ProfileLike | FleetComparable | None = None,
    after: ProfileLike | FleetComparable | None = None,
    limits: Iterable[str] = (),
    on: Deployment | Sequence[Deployment] | None = None,
    sizes: Mapping[str, SupportsIndex | Iterable[SupportsIndex]] | None = None,
    **options: Any,
) -> Comparison | ProfileChanges | FleetChanges:
    """Compare models side by side; or, with `before` and `after`, two results in detail.

    Models are profiled in several deployments. Deployments and sizes may have several values, all combinations of which
    are rows. A model that cannot be captured, or that does not have a size, is a row with its error.

    Two profiles are compared by module and in total. Modules are joined by their paths. Machines, precisions,
    executions and sizes may differ; `warnings` lists these differences. The start of a forward is shared among all
    kernels that the host launches, so a layer may gain a little from added ones.

    Two fleets, comparisons of fleets or plans are compared by fleet, the best ones first. The best fleet is the
    cheapest that keeps the objective. Fleets are joined by deployment and autoscaler, fleets of plans by committed
    replicas, too.

    Args:
        *models: The models: specs, files, graphs, profiles (which are compared as they are if no deployment and no size
            is given), or mappings of names to these.
        before: The first result: a `Profile`, an `Estimate` (which has times and no counts), a `FleetResult`, a
            `FleetComparison`, a `FleetPlan`, the JSON object of its `to_dict`, or the path of a file with it or of an
            HTML report.
        after: The second result, of the same kind.
        limits: Limits on changes from `before` to `after`: `latency_s:+5%` (grows by at most 5 %),
            `throughput_per_s:-5%` (falls by at most 5 %), `peak_memory_bytes:+1e6` (in the figure's own unit),
            `flops:any` (does not change); of the best fleet `usd_per_month:+5%` or `late_share:+0.01`. An unknown
            figure breaks all limits on it.
        on: Where and how the models run; keywords override its fields. Without hardware the models are
            only counted.
        sizes: Values of named sizes, for names that options have too.
        **options: Fields of `Deployment`, such as `hardware`, and sizes by name; several values of one are compared.

    Returns:
        A `Comparison`, whose ratios refer to the first row that did not fail; of two results `ProfileChanges` or
        `FleetChanges`, whose `failed` has the broken limits. An unknown figure is None, and so are its difference and
        its ratio.

    Raises:
        InputError: No model is given; a machine, precision, execution or price is unknown; or there are more than
            10,000 rows.
        InputTypeError: A model or a result is of another type, or the results are of two kinds.
        LimitError: A limit is invalid.
        DocumentError: A document is no result of the kind, or of an unknown version.
        FileAccessError: A file cannot be read.

    Examples:
        >>> small, large = nn.Linear(784, 128), nn.Linear(784, 512)
        >>> before, after = (ic.profile(model, torch.empty(8, 784), hardware="l4") for model in (small, large))
        >>> rows = ic.compare({"small": before, "large": after}).rows
        >>> [(row.model, row.figures["parameters"]) for row in rows]
        [('small', 100480), ('large', 401920)]
        >>> changes = ic.compare(before=before, after=after, limits=["parameters:+10%"])
        >>> str(changes.failed[0])
        'parameters:+10%: parameters grew by 300 % from 100,480 to 401,920; it may grow by 10 %'
    """
    if before is None and after is None:
        if tuple(limits):
            raise InputTypeError("limits are for two results; give these as before= and after=")
        return compare_models(*models, on=on, sizes=sizes, **options)
    if before is None or after is None or models or on is not None or sizes is not None or options:
        raise InputTypeError(
            "before and after are two results, which go together and without models, deployments and sizes; profile a "
            "model first: compare(before=profile(...), after=profile(...))"
        )
    if _is_of_fleets(before) or _is_of_fleets(after):
        return fleet_changes(before, after, limits=limits)  # type: ignore[arg-type]
    return profile_changes(before, after, limits=limits)  # type: ignore[arg-type]


def _is_of_fleets(given: Any) -> bool:
    if isinstance(given, (str, PathLike)):
        given = document_from(given)
    return isinstance(given, (FleetResult, FleetComparison, FleetPlan)) or is_fleets(given)
