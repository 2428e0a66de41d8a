"""The configuration file `pyinfercost.toml`: found, read and checked. `configured.py` gives its values to the commands.

Options have their names on the command line, without `--` and with `_` for `-`. A new table is its name in `TABLES`, a
field of `Configuration`, and its effect in `configured.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .._checks import exists, is_file, read_toml, shown
from ..errors import InputError, MissingFileError

NAME = "pyinfercost.toml"
SCHEMA_VERSION = 1
TABLES = ("defaults", "commands", "models", "machines", "prices", "limits")
SPEC = "spec"
REQUESTS = "requests_per_month"
_OF_MODELS = (SPEC, REQUESTS)
_MOST_REQUESTS = 1e18


class ConfigurationError(InputError):
    """A configuration file that cannot be used."""


@dataclass(frozen=True)
class Configuration:
    """Contents of a configuration file.

    Attributes:
        path: The file.
        defaults: Option -> value, for all commands that have the option.
        commands: Command -> option -> value, for one command; a command of a group is `monitor report`.
        models: Name -> its `spec`, its options, and `requests_per_month`.
        machines: Name -> a catalog id or the path of a TOML file.
        prices: Machine (a name of `machines` or an id) -> price of a device-hour, as of `--price`.
        limits: Limits on changes, as of `--fail-if`.
    """

    path: Path
    defaults: Mapping[str, Any] = field(default_factory=dict)
    commands: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    machines: Mapping[str, str] = field(default_factory=dict)
    prices: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the file are relative to."""
        return self.path.parent

    def machine(self, name: str) -> str:
        """Return the id or the path of a machine: what `machines` has for the name, or the name."""
        found = self.machines.get(name, name)
        path = self.folder / found
        return str(path) if found.endswith(".toml") and is_file(path) else found

    def price_of(self, machine: str) -> str | None:
        """Return the price of a machine, by its name, its id in any spelling or its path; None without one."""
        wanted = {machine, _id_of(self.machine(machine))}
        for name, price in self.prices.items():
            if wanted & {name, _id_of(self.machine(name))}:
                return price
        return None

    def spec(self, name: str) -> str:
        """Return the spec of a model: what `models` has for the name, or the name. Paths are made relative to here."""
        if name not in self.models:
            return name
        spec = str(self.models[name][SPEC])
        scheme, colon, rest = spec.partition(":")
        written, sharp, phase = (rest if colon else spec).partition("#")
        path = self.folder / written
        if not written or Path(written).is_absolute() or not exists(path):
            return spec
        return f"{scheme}{colon}{path}{sharp}{phase}" if colon else f"{path}{sharp}{phase}"


def _id_of(machine: str) -> str:
    """Return the catalog id that a text stands for; a path, and what stands for none, is itself."""
    from ..hardware.catalog_names import device_id
    from ..hardware.errors import UnknownHardwareError

    try:
        return machine if machine.endswith(".toml") else device_id(machine)
    except UnknownHardwareError:
        return machine


def find_configuration(folder: Path) -> Path | None:
    """Return the path of the configuration of a folder: in it, or in the nearest folder above it that has one."""
    try:
        absolute = folder.absolute()
    except OSError:  # the current folder was deleted
        return None
    return next((path for each in (absolute, *absolute.parents) if is_file(path := each / NAME)), None)


def read_configuration(path: Path) -> Configuration:
    """Read a configuration. Names of options are checked where the commands are known, in `configured.py`.

    Raises:
        ConfigurationError: The file is no TOML, has an unknown key, or a value of a wrong type.
        MissingFileError: There is no file.
    """
    if not exists(path):
        raise MissingFileError(f"{path}: no such configuration; `pyinfercost init` writes one")
    data = read_toml(path, ConfigurationError)
    reader = _Reader(path)
    version = data.pop("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise ConfigurationError(f"{path}: schema_version is {shown(version)}; expected {SCHEMA_VERSION}")
    check_known(path, "", data, TABLES)
    tables = {name: reader.table(data.get(name, {}), name) for name in TABLES}
    for name in tables["prices"]:
        reader.priced(name, tables["machines"])
    return Configuration(
        path=path,
        defaults={name: reader.option(value, f"defaults.{name}") for name, value in tables["defaults"].items()},
        commands={
            name: {
                option: reader.option(given, f"commands.{name}.{option}")
                for option, given in reader.table(value, f"commands.{name}").items()
            }
            for name, value in tables["commands"].items()
        },
        models={name: reader.model(value, f"models.{name}") for name, value in tables["models"].items()},
        machines={name: reader.text(value, f"machines.{name}") for name, value in tables["machines"].items()},
        prices={name: reader.price(value, f"prices.{name}") for name, value in tables["prices"].items()},
        limits=tuple(
            f"{figure}:{limit}"
            for figure, value in tables["limits"].items()
            for limit in reader.texts(value, f"limits.{figure}")
        ),
    )


def check_known(path: Path, table: str, keys: Iterable[str], known: Iterable[str]) -> None:
    """Reject unknown keys, with the nearest known one.

    Raises:
        ConfigurationError: A key is unknown.
    """
    options = sorted(known)
    for key in keys:
        if key in options:
            continue
        near = difflib.get_close_matches(key.replace("-", "_"), options, n=1, cutoff=0.5)
        where = f" in [{table}]" if table else ""
        hint = f"did you mean {near[0]!r}?" if near else f"expected some of {', '.join(options)}"
        raise ConfigurationError(f"{path}: unknown key {shown(key)}{where}; {hint}")


class _Reader:
    """Checks of the types of values."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def table(self, value: object, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(name, value, f"a table, [{name}]")
        return value

    def text(self, value: object, name: str) -> str:
        if not isinstance(value, str) or not value.strip():
            raise self._wrong(name, value, "a text")
        return value

    def texts(self, value: object, name: str) -> list[str]:
        return [self.text(each, name) for each in (value if isinstance(value, list) else [value])]

    def price(self, value: object, name: str) -> str:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return repr(value)  # USD per device-hour
        return self.text(value, name)

    def priced(self, machine: str, machines: Iterable[str]) -> None:
        """Reject a price of a machine that there is not: it would never apply."""
        from ..hardware.catalog_names import device_id
        from ..hardware.errors import UnknownHardwareError

        if machine in machines or machine.endswith(".toml"):
            return
        try:
            device_id(machine)
        except UnknownHardwareError as error:
            raise ConfigurationError(f"{self._path}: [prices] has an unknown machine: {error}") from error

    def option(self, value: object, name: str) -> Any:
        """Return the value of an option; commands check the rest. The items of a list are texts or numbers."""
        items = value if isinstance(value, list) else [value]
        if not items or not all(isinstance(each, (str, int, float)) for each in items):
            raise self._wrong(name, value, "a text, a number, true or false, or a list of these")
        return value

    def model(self, value: object, name: str) -> dict[str, Any]:
        if isinstance(value, str):
            return {SPEC: self.text(value, name)}
        found = self.table(value, name)
        if SPEC not in found:
            raise ConfigurationError(
                f"{self._path}: {name} has no spec; add one, such as spec = 'torchvision:resnet50'"
            )
        self.text(found[SPEC], f"{name}.{SPEC}")
        requests = found.get(REQUESTS, 1)
        if isinstance(requests, bool) or not isinstance(requests, (int, float)) or not 0 < requests < _MOST_REQUESTS:
            raise self._wrong(f"{name}.{REQUESTS}", requests, f"a number above 0 and below {_MOST_REQUESTS:g}")
        return {key: each if key in _OF_MODELS else self.option(each, f"{name}.{key}") for key, each in found.items()}

    def _wrong(self, name: str, value: object, expected: str) -> ConfigurationError:
        return ConfigurationError(f"{self._path}: {name} is {shown(value)}; expected {expected}")


def options_of_model(configuration: Configuration, name: str) -> dict[str, Any]:
    """Return the options of a model of the file."""
    return {key: value for key, value in configuration.models.get(name, {}).items() if key not in _OF_MODELS}
