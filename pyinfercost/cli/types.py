"""Types of arguments: models and machines, which a shell completes, and numbers with units. Imports no library."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from .. import _core
from ..results.given_units import full_name, given

GROUPS = ("all", "cpu", "gpu", "systolic", "priced")
"""Groups of machines, where several are accepted."""
_FILES = (".pt2", ".json", ".onnx", ".gguf")


class ModelType(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic from click 8.2 on
    """A spec, a path or a name of a model; `configured.py` makes a spec of it."""

    name = "model"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        del ctx, param
        return _items(_models(incomplete))


class ExecutionType(click.Choice):  # type: ignore[type-arg, unused-ignore]  # generic from click 8.2 on
    """An execution."""

    def __init__(self) -> None:
        super().__init__(_core.executions(), case_sensitive=False)

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        told = super().get_invalid_choice_message(value, ctx)
        hint = engine_hint(str(value).lower())
        return told.rstrip(".") + hint if hint else told


def engine_hint(name: str) -> str:
    """Return what follows the executions that an option expects, if an engine was given."""
    return f"; {name} is an engine: --engine {name}" if name in _core.engines() else ""


class HardwareType(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic from click 8.2 on
    """A machine of the catalog, a name of one, or a file; with `several` a list, in which groups may be."""

    name = "hardware"

    def __init__(self, *, several: bool) -> None:
        self.several = several

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        del ctx, param
        from ..hardware import names

        known = [*names(), *(GROUPS if self.several else ())]
        if incomplete.endswith((".toml", "/")) or incomplete.startswith((".", "~", "/")):
            return _files()
        return _items(_listed(incomplete, known, several=self.several))


class ColumnsType(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic from click 8.2 on
    """Columns of a sweep, separated by commas; figures may be given without their units."""

    name = "columns"

    def __init__(self, *, several: bool = True) -> None:
        self.several = several

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        del param, ctx
        return ",".join(full_name(name.strip()) for name in value.split(","))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        del ctx, param
        from ..results import figures

        known = [figure.key for figure in figures.of_scope(figures.SWEEP)]
        return _items(
            _listed(incomplete, [*known, "hardware", "precision", "execution", "batch"], several=self.several)
        )


class InUnits(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic from click 8.2 on
    """A number, in the unit of the option if it states none: `--timeout-s 500ms`."""

    def __init__(self, unit: str, *, minimum: float | None = None) -> None:
        self.unit = unit
        self.minimum = minimum
        self.name = {"s": "seconds", "B": "bytes"}.get(unit, unit)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        found = given(value)
        if found is None or found[1] not in ("", self.unit):
            example = {"s": "0.5, 500ms or 2h", "B": "4096, 64kB or 1.5GB"}.get(self.unit, f"0.5 or 500m{self.unit}")
            self.fail(f"{value!r} is not a number of {self.name}; give one such as {example}", param, ctx)
        number = float(found[0])
        if self.minimum is not None and number < self.minimum:
            self.fail(f"{value} is less than {self.minimum:g}", param, ctx)
        return number


def _items(values: list[str]) -> list[click.shell_completion.CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(value) for value in values]


def _files() -> list[click.shell_completion.CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem("", type="file")]


def _listed(incomplete: str, known: list[str], *, several: bool) -> list[str]:
    """Return the completions of the last name of a list; names that are in it already are left out."""
    before, comma, last = incomplete.rpartition(",") if several else ("", "", incomplete)
    used = set(before.split(","))
    return [f"{before}{comma}{name}" for name in known if name.startswith(last.lower()) and name not in used]


def _models(incomplete: str) -> list[str]:
    from ..sources.huggingface.local_cache import cached_ids
    from ..sources.model_names import LISTING, names_of
    from ..sources.registry import SCHEMES

    scheme, colon, rest = incomplete.partition(":")
    if not colon:
        schemes = [f"{name}:" for name in sorted(SCHEMES) if name.startswith(incomplete)]
        names = {name for library in LISTING for name in names_of(library)} if incomplete else set()
        return [*schemes, *sorted(name for name in names if name.startswith(incomplete)), *_paths(incomplete)]
    if scheme in LISTING:
        return [f"{scheme}:{name}" for name in names_of(scheme) if name.startswith(rest)]
    if scheme == "hf" and "#" in rest:
        config, _, phase = rest.partition("#")
        return [f"hf:{config}#{name}" for name in ("prefill", "decode") if name.startswith(phase)]
    if scheme in SCHEMES:
        ids = [name for name in cached_ids() if name.startswith(rest)] if scheme == "hf" else []
        return [f"{scheme}:{name}" for name in [*ids, *_paths(rest)]]
    return []


def _paths(start: str) -> list[str]:
    """Return folders, and files that models may be in, that begin like a path."""
    folder, slash, name = start.rpartition("/")
    found = []
    try:
        with os.scandir(Path(folder + slash).expanduser()) as entries:
            for entry in entries:
                if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
                    if entry.is_dir():
                        found.append(f"{folder}{slash}{entry.name}/")
                    elif entry.name.endswith(_FILES):
                        found.append(f"{folder}{slash}{entry.name}")
    except OSError:
        return []
    return sorted(found)
