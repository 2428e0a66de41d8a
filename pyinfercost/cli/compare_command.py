"""`pyinfercost compare`: several models and deployments side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..sources.registry import is_graph
from .arguments import axis_values, known_names, named_settings
from .commands import command, grouped
from .configured import named_models, words_of_named_models
from .deployment_options import deployment_options, usage_errors
from .machines import ALL, layouts_of, listed_deployments
from .options import WhatIf, format_option, html_option, out_option, whatif_options
from .output import capturing, check_writable, command_line, messages_for_people, say, write, write_result
from .profile_options import SIZES, phase_options
from .types import ModelType

if TYPE_CHECKING:
    from ..deployment import Deployment

_EPILOG = (
    "MODEL is a spec or a file, as of `profile`. Machines, precisions, engines, executions, prices and sizes may have "
    "several values; every combination is a row. Ratios are to the first row. Exit codes: 0 success, 1 a model failed "
    "(the others are shown), 2 usage error, 130 interrupted."
)
_OPTIONS = (
    "on",
    "hardware",
    "precision",
    "engine",
    "serving",
    "execution",
    "layout",
    "threads",
    "sustained",
    "host",
    "price",
)
_OF_MACHINES = ("engine", "serving", "execution", "layout", "tensor", "threads", "sustained", "host", "price")
_DATA = ("json", "csv")


@command("compare", epilog=_EPILOG)
@deployment_options(
    several=True,
    hardware="Catalog ids or TOML files, comma-separated; or all, cpu, gpu, systolic. Without it, models are counted.",
    only=_OPTIONS,
)
@grouped(
    SIZES,
    click.option("--batch", metavar="AXIS", help="Short for --set batch=AXIS, such as 1,8,64."),
    click.option("--set", "settings", multiple=True, metavar="NAME=AXIS", help="Values of a named size; repeatable."),
)
@phase_options
@whatif_options
@html_option("Also write an HTML page.")
@format_option("table", "json", "csv", "md")
@out_option()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", callback=named_models, type=ModelType())
def compare(
    *,
    models: dict[str, str],
    batch: str | None,
    settings: tuple[str, ...],
    html: str | None,
    form: str,
    output: str | None,
    **options: Any,
) -> None:
    """Show models and deployments side by side: FLOPs, memory, latency, energy, cost, and ratios to the first one."""
    with messages_for_people():
        from ..predict.compare import compare_on

        for file in filter(None, (html, output)):
            check_writable(file)
        if (unused := words_of_named_models(models)) is not None:
            say(unused)
        given = [f"{name}={options[name]}" for name in ("prompt", "context") if options[name] is not None]
        named = named_settings((*settings, *given), batch)
        axes = {name: axis_values(name, value) for name, value in named.items()}
        on = _deployments(options)
        what_if = WhatIf.from_options(options)
        shown = [name for name, spec in models.items() if not is_graph(spec)]
        with capturing(" and ".join(shown) or next(iter(models.values()))):
            result = compare_on(models, on, axes, changed=what_if.changed)
        if html is not None:
            write(result.to_html(command=command_line()), html)
            say(f"Report written to {html}")
        write_result(result, form, output)
        failed = list(dict.fromkeys(row.model for row in result.failed))
        if failed:
            for row in result.failed if form in _DATA or output is not None else ():
                say(f"FAILED {row.model}: {row.error}")
            say(f"{len(result.failed)} of {len(result.rows)} rows failed: {', '.join(failed)}")
            raise click.exceptions.Exit(1)


def _deployments(options: Mapping[str, Any]) -> Sequence[Deployment] | None:
    """Return the deployments of the options; without a machine, one for each precision to count in.

    Raises:
        click.UsageError: A value is unknown, or an option needs a machine.
    """
    from .. import _core
    from ..deployment import Deployment

    layouts = layouts_of(options)
    if layouts == ALL:
        raise click.UsageError("--layout all is for sweep; give the layouts to compare, such as --layout tensor=4")
    if options["hardware"] is None and options["on"] is None:
        for name in _OF_MACHINES:
            if options[name]:
                raise click.UsageError(f"--{name} needs --hardware; give a machine, such as --hardware l4")
        if options["precision"] is None:
            return None
        names = known_names("precision", options["precision"], _core.precisions())
        return [Deployment(precision=name) for name in names]
    on = listed_deployments(options)
    if layouts is None:
        return on
    with usage_errors():
        return [each.replace(layout=layout) for each in on for layout in layouts]
