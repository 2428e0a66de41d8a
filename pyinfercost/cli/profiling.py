"""Profiles for the commands that make one: the options of a point, and the profiler that they build."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .arguments import named_settings, whole_number
from .deployment_options import DEPLOYMENT, deployment_of_options, deployment_options
from .options import changed, whatif_options
from .output import progress
from .report_options import captured_for

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..results.profile import Profile

_Command = TypeVar("_Command", bound="Callable[..., Any]")

POINT = (*DEPLOYMENT, "batch", "settings", "training", "quantize", "kv_cache")
"""Names of the options of a point."""


def size_options(command: _Command) -> _Command:
    """Add the options for values of named sizes."""
    command = click.option(
        "--set", "settings", multiple=True, metavar="NAME=N", help="Value of a named size; repeatable."
    )(command)
    return click.option("--batch", metavar="N", help="Short for --set batch=N.")(command)


def sizes_of_options(options: Mapping[str, Any]) -> dict[str, int]:
    """Return the values of `size_options`.

    Raises:
        click.UsageError: A value is not a whole number.
    """
    settings = named_settings(options["settings"], options["batch"])
    return {name: whole_number(name, value) for name, value in settings.items()}


def point_options(command: _Command) -> _Command:
    """Add the options for the point at which a model is profiled: deployment, sizes, training and formats."""
    for option in (
        whatif_options,
        click.option(
            "--training", is_flag=True, help="Count a training step without its optimizer: forward and backward."
        ),
        size_options,
        deployment_options(),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class Profiler:
    """Profile models at one point.

    Attributes:
        on: Deployment.
        sizes: Values of named sizes.
        training: Whether to profile a training step.
        quantize: Formats of weights, in the notation of `--quantize`.
        kv_cache: Format of keys and values, in the notation of `--kv-cache`.
    """

    on: Deployment
    sizes: Mapping[str, Any]
    training: bool
    quantize: str | None
    kv_cache: str | None

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Profiler:
        """Return the profiler that `point_options` describe. Unknown names are rejected here, before a long capture.

        Raises:
            click.UsageError: The options exclude each other, or a value is unknown.
        """
        sizes = sizes_of_options(options)
        others = {name: options[name] for name in ("training", "quantize", "kv_cache")}
        return cls(deployment_of_options(options), sizes, **others)

    def profile(self, model: str, *, quiet: bool, varied: Mapping[str, Any] | None = None) -> Profile:
        """Return the profile of a model.

        Args:
            model: Path of a file, or a spec.
            quiet: Show progress without importing rich.
            varied: Axes that a report of the profile varies.
        """
        from ..predict.profile import profile_on

        with progress(model, quiet=quiet):
            captured = captured_for(model, self.sizes, varied, training=self.training)
            captured = changed(captured, self.quantize, self.kv_cache)
        return profile_on(self.on, captured)
