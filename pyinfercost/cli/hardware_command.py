"""`pyinfercost hardware`: the machines of the catalog."""

from __future__ import annotations

import click

from .commands import command
from .machines import machine_of
from .options import format_option
from .output import messages_for_people, show, show_pairs, write
from .types import HardwareType


@command()
@click.argument("name", required=False, type=HardwareType(several=False))
@format_option("table", "json", "core-json")
def hardware(*, name: str | None, form: str) -> None:
    """List the machines of the catalog, or describe the machine NAME (an id or a TOML file).

    `core-json` is the machine in base units with all constants, the form that the C++ library reads.
    """
    with messages_for_people():
        if form == "core-json":
            if name is None:
                raise click.UsageError("--format core-json describes one machine; give its NAME")
            write(machine_of(name).to_json() + "\n", None)
            return
        from ..hardware import UnknownHardwareError, describe, names

        try:
            machines = [describe(known) for known in ([name] if name else names())]
        except UnknownHardwareError as error:
            raise click.UsageError(str(error)) from error
        if name or form == "json":
            if form == "table":
                machines[0]["calibration"].pop("origin")  # long sentences, one for each constant
            show_pairs(machines[0] if name else machines, form)
        else:
            from ..report.catalog_tables import hardware_columns
            from ..report.layout import Table
            from ..report.table import laid_out

            show(laid_out([Table(hardware_columns(machines))]), None, width=140)
