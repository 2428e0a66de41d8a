"""Values of the configuration file as defaults of the commands; options of the command line take precedence.

Defaults go to click as the `default_map` of a context. Those that depend on other options, such as the price of the
machine that is used, are functions, which click calls after the options of the command line are read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, cast

import click
from click.core import ParameterSource

from .._checks import exists
from ..errors import Error
from .configuration import (
    Configuration,
    ConfigurationError,
    check_known,
    find_configuration,
    options_of_model,
    read_configuration,
)
from .types import GROUPS

_META = "pyinfercost.configuration"
_LIMITS = "fail_if"
_THIS = "this"  # name of the processor that the command runs on
_PRICE, _MACHINE, _ON = "price", "hardware", "on"
_TERMS = ("on-demand", "spot")  # prices that any machine may have


def configure(context: click.Context, path: str | None, *, needs: Mapping[str, str]) -> None:
    """Read the configuration, and make its values the defaults of the command that is about to run.

    Args:
        context: Context of the group of all commands.
        path: The file; None for the file of the current folder or of the nearest one above.
        needs: Options of deployments that need a machine. Their defaults do not apply without one.

    Raises:
        ConfigurationError: The file is invalid.
    """
    found = find_configuration(Path.cwd()) if path is None else Path(path)
    if found is None or context.invoked_subcommand is None:
        return
    read = read_configuration(found)
    context.meta[_META] = read
    group = cast("click.Group", context.command)
    running = group.get_command(context, context.invoked_subcommand)
    if running is None:
        return  # click reports it
    _check_names(read, context, running)
    context.default_map = {context.invoked_subcommand: _defaults(read, running, context.invoked_subcommand, needs)}
    context.meta[_META + ".needs"] = needs


def configuration() -> Configuration | None:
    """Return the configuration of the running command; None without one."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_META)


def is_given(name: str) -> bool:
    """Return whether an option of the running command was given, not left to a default or to the configuration."""
    source = click.get_current_context().get_parameter_source(name)
    return source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.PROMPT)


def is_configured(name: str) -> bool:
    """Return whether the value of an option of the running command is from the configuration."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.DEFAULT_MAP


def named_machines(_: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Replace names of `[machines]`, and `this`, in a comma-separated list of machines: the callback of options.

    Raises:
        click.UsageError: There are several, or a group, where the option takes one.
    """
    read = configuration()
    if value is None:
        return value
    names = value.split(",")
    if read is not None:
        names = [read.machine(name) for name in names]
    if _THIS in names:
        from .this_machine import this_file

        names = [this_file() if name == _THIS else name for name in names]
    several = getattr(option.type, "several", True)
    if not several and (names[0] in GROUPS or (len(names) > 1 and not value.endswith(".toml"))):
        raise click.UsageError(
            f"--hardware is {value!r}; expected one machine here. `pyinfercost sweep` takes lists, and "
            f"{', '.join(GROUPS)}"
        )
    return ",".join(names)


def named_model(context: click.Context, _: click.Parameter, value: str | None) -> str | None:
    """Replace a name of `[models]` by its spec: the callback of arguments. Its options become defaults, too.

    The argument has to be eager, so that options are read after it.
    """
    read = configuration()
    if read is None or value is None or value not in read.models:
        return _resolved(context, value)
    options = _values(read, context.command, options_of_model(read, value), context.meta[_META + ".needs"])
    context.default_map = {**(context.default_map or {}), **options}
    return _resolved(context, read.spec(value))


def compared_model(context: click.Context, _: click.Parameter, value: str) -> str:
    """Replace a name of `[models]` by its spec alone: the callback of arguments that are files, too."""
    read = configuration()
    found = value if read is None else read.spec(value)
    is_file = exists(Path(found)) or (":" not in found and Path(found).suffix != "")
    return found if is_file else str(_resolved(context, found))


def named_models(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Return the specs of several models under the names that they are given by: the callback of arguments."""
    read = configuration()
    return {value: value if read is None else read.spec(value) for value in values}


def words_of_named_models(values: Collection[str]) -> str | None:
    """Return which options of `[models]` several models side by side do not take; None if they have none."""
    read = configuration()
    own = {} if read is None else {value: list(options_of_model(read, value)) for value in values}
    listed = [f"{', '.join(options)} of [models.{name}]" for name, options in own.items() if options]
    if not listed:
        return None
    return f"Not used: {' and '.join(listed)}; give options that all models share, such as --batch 8"


def _resolved(context: click.Context, value: str | None) -> str | None:
    """Return the spec that the text of a model stands for."""
    if value is None or context.resilient_parsing:  # of a completion
        return value
    from ..sources.loaded_model import UnknownModelError
    from ..sources.spec_names import resolved

    try:
        return resolved(value)
    except UnknownModelError as error:
        raise click.UsageError(str(error), context) from error
    except Error as error:
        raise click.ClickException(str(error)) from error


def configured_words() -> str | None:
    """Return which values of the configuration the running command uses, as one line; None if it uses none."""
    read = configuration()
    if read is None:
        return None
    context = click.get_current_context()
    words = []
    for parameter in context.command.params:
        value = context.params.get(str(parameter.name))
        if not is_configured(str(parameter.name)) or value in (None, ()):
            continue
        values = value if isinstance(value, (tuple, list)) else (value,)
        words += [_word(parameter, each) for each in values]
    return f"Using {os.path.relpath(read.path)}: {' '.join(words)}" if words else None


def _word(parameter: click.Parameter, value: Any) -> str:
    """Return an option with its value as it would be given."""
    if isinstance(value, bool):
        no = parameter.secondary_opts[0] if parameter.secondary_opts else f"no --{_long(parameter)}"
        return f"--{_long(parameter)}" if value else no
    return f"--{_long(parameter)} {value}"


# ---- defaults of a command -------------------------------------------------------------------------------------------


def _defaults(read: Configuration, command: click.Command, words: str, needs: Mapping[str, str]) -> dict[str, Any]:
    """Return the `default_map` of a command, and of the commands of a group."""
    known = _options(command)
    own = read.commands.get(words, {})
    check_known(read.path, f"commands.{words}", own, known)
    values = {**{name: value for name, value in read.defaults.items() if name in known}, **own}
    if _LIMITS in known and read.limits:
        values = {_LIMITS: list(read.limits), **values}
    if _PRICE in known and read.prices:
        values.setdefault(_PRICE, None)  # found by the machine
    found = _values(read, command, values, needs)
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            found[name] = _defaults(read, each, f"{words} {name}", needs)
    return found


def _values(
    read: Configuration, command: click.Command, given: Mapping[str, Any], needs: Mapping[str, str]
) -> dict[str, Any]:
    """Return values of options by the names of their parameters. Options that the command lacks are left out."""
    known = _options(command)
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            continue
        parameter = known[name]
        checked = None if value is None else _checked(read, parameter, name, value)
        if name == _PRICE:
            found[str(parameter.name)] = _price(read, checked)
        elif name == _MACHINE or name in needs:
            found[str(parameter.name)] = _conditional(checked, needs_machine=name in needs)
        else:
            found[str(parameter.name)] = checked
    return found


def _checked(read: Configuration, parameter: click.Option, name: str, value: Any) -> Any:
    """Return a value in the form in which click takes it."""
    where = f"{read.path}: option {name!r}"
    if parameter.is_flag:
        if not isinstance(value, bool):
            raise ConfigurationError(f"{where} is {value!r}; expected true or false")
        return value
    items = value if isinstance(value, list) else [value]
    if any(isinstance(each, bool) for each in items):
        raise ConfigurationError(f"{where} is {value!r}; expected a text or a number")
    texts = [each if isinstance(each, str) else repr(each) for each in items]
    if isinstance(parameter.type, click.Path):
        if name != _ON:
            raise ConfigurationError(f"{where} names a file to write; give --{_long(parameter)} on the command line")
        texts = [str(read.folder / text) for text in texts]
    return texts if parameter.multiple else ",".join(texts)


def _conditional(value: Any, *, needs_machine: bool) -> Callable[[], Any]:
    """Return a default that does not apply if a deployment is given, or if it needs a machine and there is none."""

    def default() -> Any:
        if is_given(_ON) or (needs_machine and _read_text(_MACHINE) is None and _read_text(_ON) is None):
            return None
        return value

    return default


def _price(read: Configuration, value: str | None) -> Callable[[], Any]:
    """Return the default of a price. A price in USD is of one machine, so it does not apply to one that is given."""

    def default() -> Any:
        machines = _read_text(_MACHINE)
        if machines is None or is_given(_ON):
            return None
        if value is not None and (value in _TERMS or not is_given(_MACHINE)):
            return value
        names = machines.split(",")
        prices = [read.price_of(name) for name in names]
        if None in prices:
            return None
        if len(names) == 1:
            return prices[0]
        return ",".join(f"{name}={price}" for name, price in zip(names, prices, strict=True))

    return default


def _read_text(name: str) -> str | None:
    """Return the value of an option while options are read: click has placeholders for those that it has not read."""
    value = click.get_current_context().params.get(name)
    return value if isinstance(value, str) else None


# ---- names of options ------------------------------------------------------------------------------------------------


def _long(parameter: click.Parameter) -> str:
    return next((name[2:] for name in parameter.opts if name.startswith("--")), parameter.opts[0])


def _options(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command by their names in the file."""
    found = [each for each in command.params if isinstance(each, click.Option) and not each.is_eager]
    return {_long(each).replace("-", "_"): each for each in found}


def _check_names(read: Configuration, context: click.Context, running: click.Command) -> None:
    """Reject names of options that no command has, and of commands that do not exist.

    Other commands than the running one are looked at only if it lacks a name.
    """
    group = cast("click.Group", context.command)
    tables = {"defaults": set(read.defaults)}
    tables |= {f"models.{name}": set(options_of_model(read, name)) for name in read.models}
    if not set().union(*tables.values()) <= set(_options(running)) or read.commands:
        commands: dict[str, click.Command] = {}
        for name in group.list_commands(context):
            _add_commands(commands, name, group.get_command(context, name))
        known = set().union(*(_options(command) for command in commands.values()))
        for table, names in tables.items():
            check_known(read.path, table, sorted(names), known)
        check_known(read.path, "commands", read.commands, commands)


def _add_commands(found: dict[str, click.Command], words: str, command: click.Command | None) -> None:
    if command is not None:
        found[words] = command
        if isinstance(command, click.Group):
            for name, each in command.commands.items():
                _add_commands(found, f"{words} {name}", each)
