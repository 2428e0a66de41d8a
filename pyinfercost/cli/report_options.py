"""`--html` and `--vary`: a report, and the points between which it can be switched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .arguments import whole_number

if TYPE_CHECKING:
    from ..results.profile import Profile
    from ..sources.captured import Captured

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_WORDS = ("hardware", "precision", "execution")


def vary_option(command: _Command) -> _Command:
    """What can be switched in a report."""
    return click.option(
        "--vary",
        multiple=True,
        metavar="NAME=A,B",
        help="What the report of --html can be switched between: hardware=l4,t4, precision=native,fp16, "
        "execution=eager,compiled, batch=1,8,64 or another size; repeatable. By default execution and precision.",
    )(command)


def varied_axes(given: Sequence[str], *, html: str | None, timed: bool) -> dict[str, Any] | None:
    """The axes of `--vary`; None where none was given.

    Raises:
        click.UsageError: for what is not NAME=A,B, a size that is no number, or without what it is for.
    """
    if not given:
        return None
    if html is None:
        raise click.UsageError("--vary needs --html: it says what a report can be switched between")
    if not timed:
        raise click.UsageError("--vary needs --hardware: what differs between points is what a machine makes of them")
    axes: dict[str, Any] = {}
    for text in given:
        name, equals, values = text.partition("=")
        listed = [value for value in values.split(",") if value]
        if not equals or not name or not listed:
            raise click.UsageError(f"--vary takes NAME=A,B, as in hardware=l4,t4 or batch=1,8; got {text!r}")
        if name in axes:
            raise click.UsageError(f"--vary {name} is given twice; give its values in one, with commas between")
        axes[name] = listed if name in _WORDS else [whole_number(name, value) for value in listed]
    return axes


def captured_for(model: str, sizes: Mapping[str, Any], axes: Mapping[str, Any] | None, *, training: bool) -> Captured:
    """A model's graph at its sizes, with those open that a report varies."""
    from ..sources.captured import graph_at, graph_over
    from ..sources.registry import is_graph

    varied = [name for name in axes or () if name not in _WORDS]
    if not varied or is_graph(model) or training:
        return graph_at(model, sizes, training=training)
    own = {name: sizes.get(name, 1 if name == "batch" else None) for name in varied}
    unknown = [name for name, value in own.items() if value is None]
    if unknown:
        raise click.UsageError(f"--vary {unknown[0]} needs a value to start from: give --set {unknown[0]}=N")
    asked = {**sizes, **own}
    found = graph_over(
        model,
        {name: [value, *(axes or {}).get(name, ())] if name in varied else [value] for name, value in asked.items()},
    )
    return found._replace(sizes={name: asked[name] for name in found.sizes})


def write_report(profile: Profile, axes: Mapping[str, Any] | None, path: str) -> None:
    """Writes a report, and says so."""
    from pathlib import Path

    from ..hardware import UnknownHardwareError
    from ..predict.alternatives import VaryError

    try:
        page = profile.to_html(vary=axes)
    except (VaryError, UnknownHardwareError) as error:
        raise click.UsageError(f"--vary: {error}") from error
    Path(path).write_text(page, encoding="utf-8")
    click.echo(f"Report written to {path}", err=True)
