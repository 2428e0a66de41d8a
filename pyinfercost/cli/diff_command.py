"""`pyinfercost diff`: compare two profiles, or two results of fleets, and check limits on the changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .._checks import exists
from ..errors import InputError, MissingFileError
from .commands import command
from .configured import compared_model, is_configured, is_given
from .options import format_option, out_option
from .output import LIMIT_BROKEN, check_writable, messages_for_people, say, write_result
from .profile_options import POINT, Profiler, point_options

if TYPE_CHECKING:
    from ..results.fleet_changes import FleetChanges
    from ..results.profile_changes import ProfileChanges

_EPILOG = (
    "BEFORE and AFTER are each the output of `pyinfercost profile MODEL --format json -o FILE`, an HTML report with a "
    "profile in it, or a MODEL (as of `profile`), which is then profiled with the given options; or both are the JSON "
    "or the HTML report of `pyinfercost fleet`. Exit codes: 0 success (with or without differences), 1 failure, 2 "
    "usage error, 3 a limit of --fail-if is exceeded, 130 interrupted."
)
_FAIL_IF_HELP = (
    "Limit on a figure of the whole model, such as latency_s:+5% (may grow by at most 5%), throughput_per_s:-5% (may "
    "fall by at most 5%), peak_memory_bytes:+1e6 (in its own unit) or flops:any (may not change), or of the best "
    "fleet, such as usd_per_month:+5% or late_share:+0.01; repeatable. An unknown figure exceeds its limit. If a limit "
    "is exceeded, the exit code is 3."
)
_WHOLE = ("json", "csv")
_PROFILES = (".json", ".html", ".htm")


@command("diff", epilog=_EPILOG)
@click.option("--fail-if", "limits", multiple=True, metavar="FIGURE:LIMIT", help=_FAIL_IF_HELP)
@click.option("--depth", type=click.IntRange(min=1), help="Sum up modules below this depth.")
@format_option("table", "json", "csv", "md")
@out_option()
@point_options
@click.argument("before", callback=compared_model)
@click.argument("after", callback=compared_model)
def diff(
    *,
    before: str,
    after: str,
    limits: tuple[str, ...],
    depth: int | None,
    form: str,
    output: str | None,
    **options: Any,
) -> None:
    """Compare two profiles module by module: FLOPs, bytes, latency, energy and cost; or two results of fleets.

    Machines, precisions, executions and sizes may differ too; the report then lists these differences. The options from
    --hardware on apply to models only, not to files with profiles.
    """
    if depth is not None and form in _WHOLE:
        raise click.UsageError("--depth is for tables and Markdown; json and csv list every module, so leave it out")
    _check_limits(limits)
    with messages_for_people():
        from ..predict.diff import ProfileLike, profile_changes
        from ..predict.limits import LIMITED
        from ..results.documents import is_fleets
        from ..results.fleet_changes import FLEET_FIGURES

        if output is not None:
            check_writable(output)
        documents = [_document(side) for side in (before, after)]
        if any(map(is_fleets, documents)):
            _fleets(documents, (before, after), _of_kind(limits, FLEET_FIGURES), form, output, depth)
            return
        limits = _of_kind(limits, LIMITED)
        _check_limits(limits, of_profiles=True)
        if None not in documents:
            _refuse_options_of_models()
        profiler = None if None not in documents else Profiler.from_options(options)
        sides: list[ProfileLike] = []
        for side, document in zip((before, after), documents, strict=True):
            if document is not None:
                sides.append(document)
            elif profiler is not None:
                sides.append(profiler.profile(side))
        one, other = sides
        result = profile_changes(one, other, limits=limits)
        write_result(result, form, output, layout={"depth": depth})
        _end(result)


def _fleets(
    documents: list[dict[str, Any] | None],
    sides: tuple[str, str],
    limits: tuple[str, ...],
    form: str,
    output: str | None,
    depth: int | None,
) -> None:
    """Compare two results of fleets."""
    from ..fleets.changes import fleet_changes
    from ..results.documents import is_fleets

    for document, side in zip(documents, sides, strict=True):
        if not is_fleets(document):
            raise InputError(
                f"{side} is no fleet, comparison of fleets or plan, and the other side is; pass two of the same kind"
            )
    if depth is not None:
        raise click.UsageError("--depth is for modules of profiles, and both sides are fleets; leave it out")
    _refuse_options_of_models()
    _check_limits(limits, of_fleets=True)
    first, second = (document for document in documents if document is not None)
    result = fleet_changes(first, second, limits=limits)
    write_result(result, form, output)
    _end(result)


def _of_kind(limits: tuple[str, ...], figures: Sequence[str]) -> tuple[str, ...]:
    """Return limits without the limits of the configuration on figures of the other kind of result."""
    if not is_configured("limits"):
        return limits
    return tuple(limit for limit in limits if limit.partition(":")[0] in figures)


def _check_limits(limits: tuple[str, ...], *, of_profiles: bool = False, of_fleets: bool = False) -> None:
    """Reject invalid limits before any computation; figures of both kinds are valid until the kind is known."""
    from ..predict.limits import LIMITED, LimitError, limit_of
    from ..results.fleet_changes import FLEET_FIGURES

    profiles = () if of_fleets else LIMITED
    fleets = () if of_profiles else FLEET_FIGURES
    try:
        for text in limits:
            limit_of(text, tuple(dict.fromkeys((*profiles, *fleets))))
    except LimitError as error:
        raise click.UsageError(f"--fail-if: {error}") from error


def _document(side: str) -> dict[str, Any] | None:
    """Return the profile or the fleets in a file; None for a model to profile. The content tells which it is."""
    from ..results.documents import checked_profile, document_from, is_fleets, is_graph
    from ..sources.registry import source_of

    path = Path(side)
    source = source_of(side)
    if source is not None and (source.scheme or source.name == "archive"):
        return None
    if not exists(path) or path.is_dir():
        if path.suffix in _PROFILES:
            raise MissingFileError(f"{side}: no such file")
        return None
    document = document_from(side)
    if is_fleets(document):
        return dict(document)
    if not is_graph(document):
        return checked_profile(document, side)
    if path.suffix != ".json":
        raise InputError(f"{side} is a graph; rename it to end with .json to have it profiled")
    return None


def _refuse_options_of_models() -> None:
    """Reject options of models if both sides are files; the files already state the point of their profiles."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name
        if name in POINT and is_given(name):
            raise click.UsageError(
                f"{parameter.opts[0]} is for a model to profile, but both sides are files with profiles; leave it out, "
                "or profile again with it"
            )


def _end(result: ProfileChanges | FleetChanges) -> None:
    """Report exceeded limits on stderr and exit with their code."""
    for broken in result.failed:
        say(f"FAILED {broken}")
    if result.failed:
        raise click.exceptions.Exit(LIMIT_BROKEN)
