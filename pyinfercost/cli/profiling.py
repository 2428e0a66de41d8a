"""From a model in words to a profile, for every command that makes one: at which point, and the work itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .. import _core
from .arguments import named_settings, whole_number
from .machines import check_region, machine_of, paid_price, transfer_of_option
from .options import PRICE_HELP, changed, utilisation_option, whatif_options
from .output import progress
from .report_options import captured_for

if TYPE_CHECKING:
    from .._core import Hardware
    from ..deployment.terms import Asked, Terms
    from ..results.profile import Profile

_Command = TypeVar("_Command", bound="Callable[..., Any]")

_NEED_HARDWARE = {
    "threads": "--threads needs --hardware",
    "sustained": "--sustained needs --hardware",
    "price": "--price needs --hardware: what is paid is the time of a machine",
    "region": "--region needs --hardware: it is the machine's energy that has a grid",
    "transfer": "--transfer needs --hardware: it is a machine that data gets to",
}


def point_options(command: _Command) -> _Command:
    """At which point a model is profiled: the machine, the sizes, and how it runs."""
    for option in (
        whatif_options,
        utilisation_option,
        click.option("--price", metavar="PRICE", help=PRICE_HELP),
        click.option(
            "--training", is_flag=True, help="A training step without its optimizer: the forward and its backward."
        ),
        click.option("--execution", type=click.Choice(_core.executions()), default="eager", show_default=True),
        click.option("--precision", type=click.Choice(_core.precisions()), default="native", show_default=True),
        click.option(
            "--set", "settings", multiple=True, metavar="NAME=N", help="The value of a named size; repeatable."
        ),
        click.option("--batch", metavar="N", help="Short for --set batch=N."),
        click.option("--hardware", "-H", help="A catalogue id or a TOML file; without it, nothing is timed."),
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class Point:
    """The options of `point_options`, with `--threads` and `--sustained`, as the command line has them.

    Raises:
        click.UsageError: for options that do not go together, and for sizes that are no numbers.
    """

    hardware: str | None
    batch: str | None
    settings: tuple[str, ...]
    precision: str
    execution: str
    threads: int | None
    sustained: bool
    training: bool
    price: str | None
    utilisation: float
    region: str | None
    transfer: str | None
    quantize: str | None
    kv_cache: str | None

    def __post_init__(self) -> None:
        self.sizes()
        for name, message in _NEED_HARDWARE.items():
            if self.hardware is None and getattr(self, name) not in (None, False):
                raise click.UsageError(message)

    def sizes(self) -> dict[str, Any]:
        """The sizes that are named."""
        return {name: whole_number(name, value) for name, value in named_settings(self.settings, self.batch).items()}

    def looked_up(self) -> Profiler:
        """The point with its machine and its price, which fail before a capture, as that may take long."""
        from ..deployment.terms import Asked, Terms, where_is

        machine = None if self.hardware is None else machine_of(self.hardware, self.threads, sustained=self.sustained)
        paid = None if machine is None else paid_price(self.price, machine.id, self.threads)
        check_region(self.region)
        terms = Terms(paid, self.utilisation, where_is(paid, self.region), transfer_of_option(self.transfer))
        return Profiler(self, machine, terms, Asked(self.price, self.utilisation, self.region, self.transfer))


POINT = tuple(field.name for field in fields(Point))
"""The names of the options of a point."""


@dataclass(frozen=True)
class Profiler:
    """Profiles models at one point."""

    point: Point
    machine: Hardware | None
    terms: Terms
    said: Asked

    def profile(self, model: str, *, quiet: bool, varied: Mapping[str, Any] | None = None) -> Profile:
        """The profile of a model in words.

        Args:
            model: a file or a spec.
            quiet: whether rich must not be imported for a sign of life.
            varied: the axes that a report of it is to vary.
        """
        from ..predict.profile import profile_on

        point = self.point
        with progress(model, quiet=quiet):
            captured = captured_for(model, point.sizes(), varied, training=point.training)
            captured = changed(captured, point.quantize, point.kv_cache)
        return profile_on(
            self.machine,
            captured,
            precision=point.precision,
            execution=point.execution,
            rules=None,
            threads=point.threads,
            terms=self.terms,
            said=self.said,
        )
