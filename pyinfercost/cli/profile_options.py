"""Profiles for the commands that make one: the options of a point, and the profiler that they build."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .._checks import MOST
from .._records import dataclass
from .arguments import named_settings, whole_number
from .commands import grouped
from .deployment_options import DEPLOYMENT, deployment_of_options, deployment_options, usage_errors
from .options import WHAT_IF, WhatIf, whatif_options
from .output import capturing
from .report_options import captured_for, phases_for

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..predict.training_memory import TrainingSetup
    from ..results.language_profile import LanguageProfile
    from ..results.profile import Profile

_Command = TypeVar("_Command", bound="Callable[..., Any]")

TRAINING = ("optimizer", "zero_stage", "shards", "master_weights")
"""Names of the options of an optimizer."""

POINT = (*DEPLOYMENT, "batch", "settings", "training", *TRAINING, *WHAT_IF)
"""Names of the options of a point."""


SIZES = "Sizes"
"""Title of the options for sizes in the help."""

PHASE_SIZES = ("prompt", "context")
"""Sizes of a language model, which have options of their own."""


size_options = grouped(
    SIZES,
    click.option("--batch", metavar="N", help="Short for --set batch=N."),
    click.option("--set", "settings", multiple=True, metavar="NAME=N", help="Value of a named size; repeatable."),
)
"""Adds the options for values of named sizes."""


def sizes_of_options(options: Mapping[str, Any]) -> dict[str, int]:
    """Return the values of `size_options`.

    Raises:
        click.UsageError: A value is not a whole number.
    """
    given = tuple(f"{name}={options[name]}" for name in PHASE_SIZES if options.get(name) is not None)
    settings = named_settings((*options["settings"], *given), options["batch"])
    return {name: whole_number(name, value) for name, value in settings.items()}


_TRAINING = grouped(
    "Training",
    click.option(
        "--training", is_flag=True, help="Count a training step: forward and backward; --optimizer adds memory."
    ),
    click.option(
        "--optimizer",
        metavar="NAME",
        help="Add its memory to the memory of --training: sgd, sgd_momentum, adam, adamw, adamw_8bit or adafactor.",
    ),
    click.option(
        "--zero-stage",
        type=click.IntRange(min=0, max=3),
        help="What devices share in training: 1 states of the optimizer, 2 also gradients, 3 also weights.",
    ),
    click.option("--shards", type=click.IntRange(min=1, max=MOST), metavar="N", help="Devices of --zero-stage."),
    click.option(
        "--master-weights", is_flag=True, help="Also weights in fp32, besides narrower ones; with --optimizer."
    ),
)


def point_options(command: _Command) -> _Command:
    """Add the options for the point at which a model is profiled: deployment, sizes, training and formats."""
    for options in (whatif_options, _TRAINING, size_options, deployment_options()):
        command = options(command)
    return command


phase_options = grouped(
    SIZES,
    click.option(
        "--prompt",
        metavar="N",
        help="Tokens of a prompt. With --prompt or --context, an hf: config is profiled in both phases.",
    ),
    click.option(
        "--context", metavar="N", help="Tokens in the cache before the decode step; default: the tokens of the prompt."
    ),
)
"""Adds the sizes of a language model with both phases."""


@dataclass(frozen=True)
class Profiler:
    """Profile models at one point.

    Attributes:
        on: Deployment.
        sizes: Values of named sizes.
        training: Whether to profile a training step.
        what_if: Formats, pruned weights and widths that the model does not have.
        setup: Optimizer and sharding of the training step.
    """

    on: Deployment
    sizes: Mapping[str, Any]
    training: bool
    what_if: WhatIf
    setup: TrainingSetup | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any], model: str = "") -> Profiler:
        """Return the profiler that `point_options` describe. Unknown names are rejected here, before a long capture.

        A model in the files of one engine is run by it, unless an option names another.

        Raises:
            click.UsageError: The options exclude each other, or a value is unknown.
        """
        from ..sources.registry import engine_of

        sizes = sizes_of_options(options)
        if options["engine"] is None and options["on"] is None and options["hardware"] is not None:
            options = {**options, "engine": engine_of(model)}
        on = deployment_of_options(options)
        return cls(on, sizes, options["training"], WhatIf.from_options(options), setup=_setup_of(options))

    def has_phases(self, model: str) -> bool:
        """Return whether the sizes ask for both phases of a language model."""
        from ..sources.captured import has_phases

        return has_phases(model, self.sizes)

    def phases(self, model: str, *, reported: bool = False) -> LanguageProfile:
        """Return the profile of both phases of a language model.

        Args:
            model: Its spec, without a phase.
            reported: Whether a report of the profile estimates other points.
        """
        from ..predict.profile import phases_on

        with capturing(model):
            captured = phases_for(model, self.sizes, shared=self.on.rank_layout.shared_sizes, reported=reported)
            prefill, decode = (self.what_if.changed(at) for at in (captured.prefill, captured.decode))
            name = self.what_if.name(model)
        return phases_on(self.on, captured._replace(prefill=prefill, decode=decode, name=name))

    def profile(self, model: str, *, reported: bool = False) -> Profile:
        """Return the profile of a model in one forward.

        Args:
            model: Path of a file, or a spec.
            reported: Whether a report of the profile estimates other points.
        """
        from ..predict.profile import profile_on

        with capturing(model):
            captured = captured_for(
                model,
                self.sizes,
                training=self.training,
                shared=self.on.rank_layout.shared_sizes,
                reported=reported,
            )
            captured = self.what_if.changed(captured)
        return profile_on(self.on, captured, training=self.setup)


def _setup_of(options: Mapping[str, Any]) -> TrainingSetup | None:
    """Return the optimizer that the options describe.

    Raises:
        click.UsageError: An option is given without the one that it needs, or they contradict each other.
    """
    given = {name: options[name] for name in TRAINING}
    given["master_weights"] = given["master_weights"] or None
    if all(value is None for value in given.values()):
        return None
    from ..predict.training_memory import setup_of

    if given["optimizer"] is None and any(value is not None for value in given.values()):
        raise click.UsageError("--zero-stage, --shards and --master-weights need --optimizer, such as adamw")
    if given["optimizer"] is not None and not options["training"]:
        raise click.UsageError("--optimizer needs --training; give both")
    with usage_errors():
        return setup_of(None, **given)
