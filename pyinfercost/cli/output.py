"""Output of commands: data to stdout or a file, messages to stderr, and exit codes."""

from __future__ import annotations

import logging
import os
import re
import shlex
import sys
import warnings
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .. import _cache
from .._checks import errors_of_writing, file_in_folder, write_text
from .._escapes import visible_lines
from .._interrupts import STOPPED, WORDS, Raised
from ..errors import Error, FileAccessError
from ..report.render import render
from ..sources.loaded_model import UnknownModelError
from ..sources.registry import is_graph
from ..sources.sizes import SizeError
from .configured import configured_words
from .progress import working

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rich.console import RenderableType

    from ..results.result import Result


LIMIT_BROKEN = 3
"""Exit code if the command succeeded and a given limit is exceeded."""


_CHATTY = ("torch.utils._pytree", "torchao", "transformers", "diffusers", "timm")
"""Libraries that report missing kernels and their own deprecations where a model is built from its config."""


_CACHE_TOLD = "pyinfercost.cache_told"


@contextmanager
def messages_for_people() -> Iterator[None]:
    """Turn exceptions into a message and an exit code, and warnings into lines on stderr; --debug disables both."""
    debug = click.get_current_context().obj
    with warnings.catch_warnings():
        if not debug:
            warnings.showwarning = _warn
            for library in _CHATTY:  # their loggers exist before they are imported
                logging.getLogger(library).setLevel(logging.ERROR)
        try:
            with Raised():
                if (words := configured_words()) is not None:
                    say(words)
                _warn_of_cache()
                yield
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise  # click handles these; a closed pipe is not an error
        except KeyboardInterrupt:
            if debug:
                raise
            say(WORDS)
            raise click.exceptions.Exit(STOPPED) from None
        except (SizeError, UnknownModelError) as error:
            if debug:
                raise
            raise click.UsageError(in_options(str(error))) from error
        except Exception as error:
            if debug:
                raise
            # The text of these types is self-contained; other errors also need the name of their type.
            told = isinstance(error, (Error, ValueError, OSError, ImportError)) and str(error)
            text = str(error) if told else f"{type(error).__name__}: {error}"
            raise click.ClickException(f"{in_options(text)}\n(pyinfercost --debug ... shows where)") from error


def in_options(text: str) -> str:
    """Return a message of the library with the options of the running command for keywords of Python.

    `pass hardware=, such as hardware='l4'` becomes `give --hardware, such as --hardware l4`.
    """
    context = click.get_current_context(silent=True)
    for parameter in () if context is None else context.command.get_params(context):
        if not isinstance(parameter, click.Option) or parameter.name is None:
            continue
        option, name = max(parameter.opts, key=len), re.escape(parameter.name)
        text = re.sub(rf"(?<![\w.'-]){name}=(['\"])(.*?)\1", rf"{option} \2", text)
        text = re.sub(rf"(?<![\w.'-]){name}=(?=[\s,;.)]|$)", option, text)
        text = re.sub(rf"\bpass {name}(?==\S)=", f"give {option} ", text)
        text = re.sub(rf"\bpass {name}(?=[\s,;.)]|$)", f"give {option}", text)
    return text.replace("pass --", "give --")


def command_line() -> str:
    """Return the running command as a line for a shell, from the options and arguments that were given."""
    context = click.get_current_context()
    words = context.command_path.split()
    last: list[str] = []
    for parameter in context.command.get_params(context):
        name = parameter.name or ""
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        value = context.params.get(name)
        values = [str(each) for each in value] if isinstance(value, (tuple, list, dict)) else [str(value)]
        if isinstance(parameter, click.Argument):
            last += values
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            words.append(parameter.opts[0])
        else:
            words += [word for each in values for word in (max(parameter.opts, key=len), each)]
    return shlex.join([*words[:2], *last, *words[2:]])


def say(text: str) -> None:
    """Write a line to stderr; names in it may come from files of others."""
    click.echo(visible_lines(text), err=True)


def _warn_of_cache() -> None:
    """Report a wrong setting of the cache once, also where a command has several blocks of messages."""
    told = click.get_current_context().find_root().meta
    if (wrong := _cache.wrong_limit()) is not None and not told.get(_CACHE_TOLD):
        told[_CACHE_TOLD] = True
        say(f"Warning: {wrong}")


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    say(f"Warning: {message}")


def capturing(model: str, *, silent: bool = False) -> AbstractContextManager[object]:
    """Show that a model is captured, unless it is a file that is only read; importing torch takes seconds.

    Args:
        model: The model.
        silent: Show nothing.
    """
    return nullcontext() if is_graph(model) else working(f"Capturing {model}", silent=silent)


def show_pairs(document: Any, form: str) -> None:
    """Show a nested document as JSON or as lines of names and values."""
    if form == "json":
        from ..report.documents import as_json

        write(as_json(document) + "\n", None)
    else:
        from ..report.layout import Pairs
        from ..report.summary import flattened
        from ..report.table import laid_out

        show(laid_out([Pairs(flattened(document))]), None)


def show(view: RenderableType, output: str | None, *, width: int = 100) -> None:
    """Show a table: in color on a terminal, as plain text elsewhere.

    NO_COLOR and TERM=dumb are respected, as in rich. FORCE_COLOR is ignored, so that piped output stays plain text for
    diff and cut.
    """
    if output is None and sys.stdout.isatty():
        from rich.console import Console

        Console().print(view)
    else:
        from ..report.table import as_text

        write(as_text(view, width=width), output)


def write(text: str, output: str | None) -> None:
    """Write data to stdout or to a file."""
    write_pieces((text,), output)


def write_result(
    result: Result,
    form: str,
    output: str | None,
    *,
    layout: Mapping[str, Any] | None = None,
    table: Mapping[str, Any] | None = None,
) -> None:
    """Write a result in one of the formats of the command line.

    Args:
        result: The result.
        form: `"json"`, `"csv"`, `"md"` or `"table"`.
        output: Path of a file, or None for stdout.
        layout: Options of Markdown and of the table, such as the depth.
        table: Options of the table only.
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
    """Write a timeline to a file and report its path on stderr."""
    import json

    write(json.dumps(trace, allow_nan=False) + "\n", path)
    say(f"Wrote {path}: open it in ui.perfetto.dev or chrome://tracing; no data leaves this machine")


def write_pieces(pieces: Iterable[str], output: str | None) -> None:
    """Write data piece by piece to stdout or to a file."""
    if output is None:
        for piece in pieces:
            try:
                with errors_of_writing("the standard output", "What is there is incomplete"):
                    click.echo(piece, nl=False)
            except FileAccessError:
                # What stays in the buffer would fail again when Python ends, with a code of its own.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise
    else:
        write_text(output, pieces)


def check_writable(output: str) -> None:
    """Reject a path that cannot be written, before any long computation.

    Raises:
        MissingFileError: The folder does not exist.
    """
    file_in_folder(output)
