"""Which machines a command line means: ids, files, `all`, or a kind of machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from .._core import Hardware
    from ..deployment import Transfer
    from ..results.costs import Price

ALL = "all"
KINDS = ("cpu", "gpu", "systolic")


def machine_of(name: str, threads: int | None, *, sustained: bool = False) -> Hardware:
    """One machine. An unknown name is wrong usage; a file that does not do fails."""
    from ..hardware import HardwareFileError, MissingFactError, load

    try:
        return load(name, threads=threads, sustained=sustained)
    except (HardwareFileError, MissingFactError):
        raise  # the name is right, the file is not
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def paid_price(price: Any, device: str, threads: int | None) -> Price | None:
    """What an hour of a machine costs; what cannot be understood is wrong usage."""
    from ..deployment.terms import price_of_device
    from ..hardware import HardwareFileError

    try:
        return price_of_device(price, device, threads)
    except HardwareFileError:
        raise  # the path is right, the file is not
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def check_region(region: str | None) -> None:
    """Refuses a place that is not known."""
    from ..deployment import UnknownPlaceError, place

    try:
        if region is not None:
            place(region)
    except UnknownPlaceError as error:
        raise click.UsageError(str(error)) from error


def transfer_of_option(text: str | None) -> Transfer | None:
    """How data gets to a machine; what cannot be understood is wrong usage."""
    from ..deployment import TransferError, transfer_of

    try:
        return transfer_of(text)
    except TransferError as error:
        raise click.UsageError(f"--transfer: {error}") from error


def machines_of(text: str, threads: int | None, *, sustained: bool = False) -> list[Hardware]:
    """The machines of a list with commas, each once: ids, files, `all`, `cpu`, `gpu`, `systolic`.

    Machines of a group that lack a fact which estimates need are left out and named on stderr.
    """
    machines: dict[str, Hardware] = {}
    lacking: list[str] = []
    for name in text.split(","):
        is_group = name == ALL or name in KINDS
        if is_group:
            machines.update(_group(name, threads, lacking, sustained=sustained))
        else:
            machines[name] = machine_of(name, threads, sustained=sustained)
    if lacking:
        click.echo(f"Left out, since facts are missing: {', '.join(dict.fromkeys(lacking))}", err=True)
    return list(machines.values())


def _group(group: str, threads: int | None, lacking: list[str], *, sustained: bool) -> dict[str, Hardware]:
    from ..hardware import MissingFactError, describe, names

    found = {}
    for name in names():
        if group != ALL and describe(name)["kind"] != group:
            continue
        try:
            found[name] = machine_of(name, threads, sustained=sustained)
        except MissingFactError:
            lacking.append(name)
    return found
