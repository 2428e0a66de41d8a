"""Where results, errors and warnings go: data to stdout or a file, everything else to stderr."""

from __future__ import annotations

import sys
import warnings
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..report.render import render
from ..sources.registry import is_graph
from ..sources.sizes import SizeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rich.console import RenderableType

    from ..results.result import Result


STOPPED = 130
"""The exit code after Ctrl-C: 128 and the number of SIGINT, as shells have it."""

LIMIT_BROKEN = 3
"""The exit code where all went well, and a limit that was given does not hold."""


@contextmanager
def messages_for_people() -> Iterator[None]:
    """Turns exceptions into a message and an exit code, and warnings into lines on stderr; --debug lets them pass."""
    debug = click.get_current_context().obj
    with warnings.catch_warnings():
        if not debug:
            warnings.showwarning = _warn
        try:
            yield
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise  # whoever read stdout has seen enough: click knows what to do
        except KeyboardInterrupt:
            if debug:
                raise
            click.echo("Stopped", err=True)
            raise click.exceptions.Exit(STOPPED) from None
        except SizeError as error:
            if debug:
                raise
            raise click.UsageError(str(error)) from error
        except Exception as error:
            if debug:
                raise
            # Our own refusals explain themselves; anything else is named, since its text alone may say little.
            told = isinstance(error, (ValueError, OSError, ImportError)) and str(error)
            text = str(error) if told else f"{type(error).__name__}: {error}"
            raise click.ClickException(f"{text}\n(pyinfercost --debug ... shows where)") from error


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    click.echo(f"Warning: {message}", err=True)


def progress(model: str, *, quiet: bool, silent: bool = False) -> AbstractContextManager[object]:
    """A sign of life on a terminal while a model is captured: importing torch takes seconds.

    Args:
        model: what is captured.
        quiet: whether rich must not be imported for it.
        silent: whether nothing is to be shown at all.
    """
    if silent or not sys.stderr.isatty() or is_graph(model):
        return nullcontext()
    if quiet:
        click.echo(f"Capturing {model} ...", err=True)
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(f"Capturing {model}")


def show_pairs(document: Any, form: str) -> None:
    """A nested document, as JSON or as lines of names and values."""
    if form == "json":
        from ..report.documents import as_json

        write(as_json(document) + "\n", None)
    else:
        from ..report.layout import Pairs
        from ..report.summary import flattened
        from ..report.table import laid_out

        show(laid_out([Pairs(flattened(document))]), None)


def show(view: RenderableType, output: str | None, *, width: int = 100) -> None:
    """A table: with colours to a terminal, as plain text to anything else.

    NO_COLOR and TERM=dumb are heeded, as rich does. FORCE_COLOR is not: whoever reads a pipe gets text that can be
    compared and cut.
    """
    if output is None and sys.stdout.isatty():
        from rich.console import Console

        Console().print(view)
    else:
        from ..report.table import as_text

        write(as_text(view, width=width), output)


def write(text: str, output: str | None) -> None:
    """Data, to stdout or to a file."""
    write_pieces((text,), output)


def write_result(
    result: Result,
    form: str,
    output: str | None,
    *,
    layout: Mapping[str, Any] | None = None,
    table: Mapping[str, Any] | None = None,
) -> None:
    """Write a result in one of the forms of the command line.

    Args:
        result: the result.
        form: `"json"`, `"csv"`, `"md"` or `"table"`.
        output: a file, or None for stdout.
        layout: options of Markdown and of the table, such as the depth.
        table: options of the table alone.
    """
    if form == "json":
        write(result.to_json() + "\n", output)
    elif form == "csv":
        write(result.to_csv(), output)
    elif form == "md":
        write(render(result, "markdown", **(layout or {})), output)
    else:
        show(render(result, "view", **{**(layout or {}), **(table or {})}), output)


def write_trace(trace: Mapping[str, Any], path: str) -> None:
    """A timeline to a file, and a line on stderr that says where it is and what shows it."""
    import json

    write(json.dumps(trace, allow_nan=False) + "\n", path)
    click.echo(
        f"Wrote {path}: drop it on ui.perfetto.dev or chrome://tracing in a browser; nothing was sent anywhere",
        err=True,
    )


def write_pieces(pieces: Iterable[str], output: str | None) -> None:
    """Data that is made piece by piece, to stdout or to a file."""
    if output is None:
        for piece in pieces:
            click.echo(piece, nl=False)
    else:
        with Path(output).open("w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)


def check_writable(output: str) -> None:
    """Refuses a file that cannot be written, before long work is done for it.

    Raises:
        FileNotFoundError: where its folder is not there.
    """
    folder = Path(output).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"cannot write {output}: there is no folder {folder}")
