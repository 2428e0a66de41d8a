"""`pyinfercost explore`: a page that estimates a model at any point by itself."""

from __future__ import annotations

from typing import Any

import click

from .commands import command
from .configured import named_model
from .deployment_options import deployment_of_options, deployment_options
from .options import EPILOG, no_cache_option, out_option
from .output import capturing, check_writable, command_line, messages_for_people, say
from .profile_options import phase_options, size_options, sizes_of_options
from .types import ModelType


@command(epilog=EPILOG)
@deployment_options()
@size_options
@phase_options
@out_option(help="The file to write.", default="explore.html", show_default=True)
@no_cache_option
@click.argument("model", is_eager=True, required=False, callback=named_model, type=ModelType())
def explore(*, model: str | None, output: str, **options: Any) -> None:
    """Write one HTML file that answers what MODEL costs on any machine, with the numbers of this command line.

    The options are where the page begins; without --hardware, on an L4. It opens without a network, and nothing leaves
    it. Without MODEL, the page asks for the file of one: the JSON of a graph, or a GGUF file.
    """
    with messages_for_people():
        from .._checks import write_text
        from ..predict.exploration import explore as explore_any
        from ..predict.exploration import explore_on
        from ..sources.registry import engine_of

        check_writable(output)
        if model is None:
            write_text(output, explore_any(command=command_line()).to_html())
            say(f"Page written to {output}; open it in a browser, and drop a model on it")
            return
        sizes = sizes_of_options(options)
        if options["engine"] is None and options["on"] is None and options["hardware"] is not None:
            options = {**options, "engine": engine_of(model)}
        on = deployment_of_options(options)
        with capturing(model):
            found = explore_on(on, model, sizes, command=command_line())
        write_text(output, found.to_html())
        say(f"Page written to {output}; open it in a browser")
