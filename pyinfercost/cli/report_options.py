"""Options `--html` and `--vary`: an HTML report, and the points that it can switch between."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .._checks import write_text
from ..sources.sizes import BATCH
from .arguments import whole_number
from .output import command_line, say

if TYPE_CHECKING:
    from ..results.profile import Profile
    from ..sources.captured import Captured

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_WORDS = ("hardware", "precision", "execution")


def vary_option(command: _Command) -> _Command:
    """Add the option `--vary`."""
    return click.option(
        "--vary",
        multiple=True,
        metavar="NAME=A,B",
        help="Points that the report of --html can switch between: hardware=l4,t4, precision=native,fp16, "
        "execution=eager,compiled, batch=1,8,64 or another size; repeatable. Default: execution and precision.",
    )(command)


def varied_axes(given: Sequence[str], *, html: str | None, timed: bool) -> dict[str, Any] | None:
    """Return the axes of `--vary`, or None if there are none.

    Args:
        given: Values of the option.
        html: Value of `--html`.
        timed: Whether a machine is given.

    Raises:
        click.UsageError: A value is not of the form NAME=A,B, a size is not a number, or a required option is missing.
    """
    if not given:
        return None
    if html is None:
        raise click.UsageError("--vary needs --html; give a file for the report, such as --html report.html")
    if not timed:
        raise click.UsageError("--vary needs --hardware; give a machine, such as --hardware l4")
    axes: dict[str, Any] = {}
    for text in given:
        name, equals, values = text.partition("=")
        listed = [value for value in values.split(",") if value]
        if not equals or not name or not listed:
            raise click.UsageError(f"--vary takes NAME=A,B, such as hardware=l4,t4 or batch=1,8; got {text!r}")
        if name in axes:
            raise click.UsageError(f"--vary {name} is given twice; give all values in one option, separated by commas")
        axes[name] = listed if name in _WORDS else [whole_number(name, value) for value in listed]
    return axes


def captured_for(
    model: str, sizes: Mapping[str, Any], axes: Mapping[str, Any] | None, *, training: bool, shared: Collection[str]
) -> Captured:
    """Return the graph of a model at its sizes.

    The sizes that a report varies stay symbolic, and those that devices share.
    """
    from ..sources.captured import graph_at, graph_over
    from ..sources.registry import is_graph

    varied = [name for name in axes or () if name not in _WORDS]
    if not varied or is_graph(model) or training:
        return graph_at(model, sizes, training=training, shared=shared)
    own = {name: sizes.get(name, 1 if name == BATCH else None) for name in varied}
    unknown = [name for name, value in own.items() if value is None]
    if unknown:
        raise click.UsageError(f"--vary {unknown[0]} needs an initial value; give --set {unknown[0]}=N")
    asked = {**sizes, **own}
    found = graph_over(
        model,
        {name: [value, *(axes or {}).get(name, ())] if name in varied else [value] for name, value in asked.items()},
        shared=shared,
    )
    return found._replace(sizes={name: asked[name] for name in found.sizes})


def write_report(profile: Profile, axes: Mapping[str, Any] | None, path: str, *, hint: str) -> None:
    """Write a report and print its path on stderr.

    Args:
        profile: The profile.
        axes: Values of `--vary`.
        path: Path of the file.
        hint: What would shorten the forward most.
    """
    from ..hardware import UnknownHardwareError
    from ..predict.alternatives import VaryError

    try:
        page = profile.to_html(vary=axes, hint=hint, command=command_line())
    except (VaryError, UnknownHardwareError) as error:
        raise click.UsageError(f"--vary: {error}") from error
    write_text(path, page)
    say(f"Report written to {path}")
