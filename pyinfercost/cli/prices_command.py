"""`pyinfercost prices`: rental prices of machines."""

from __future__ import annotations

import click

from .commands import command
from .machines import machine_of
from .options import format_option
from .output import messages_for_people, show, write
from .types import HardwareType


@command()
@click.argument("device", required=False, type=HardwareType(several=False))
@format_option("table", "json")
def prices(*, device: str | None, form: str) -> None:
    """List rental prices of all machines or of DEVICE (an id), sorted by price per device-hour."""
    with messages_for_people():
        from ..deployment import offers
        from ..report.catalog_tables import price_columns, prices_document
        from ..report.documents import as_json
        from ..report.layout import Table
        from ..report.table import laid_out

        device = None if device is None else machine_of(device).id
        found = offers(device=device)
        if device is not None and not found:
            machine_of(device)  # raises for an unknown id
            raise click.ClickException(f"no price of {device} is known; give one of your own, such as --price 2.49/h")
        if form == "json":
            write(as_json(prices_document(found)) + "\n", None)
        else:
            show(laid_out([Table(price_columns(found))]), None, width=140)
