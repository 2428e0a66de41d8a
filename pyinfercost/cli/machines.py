"""Machines on the command line: ids, files, `all`, or a kind of machine; their layouts and prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from .. import _core
from .arguments import axis_values, known_names, price_options, prices_by_id
from .deployment_options import read_deployments, usage_errors
from .output import say

if TYPE_CHECKING:
    from .._core import Hardware
    from ..deployment import Deployment

ALL = "all"
PRICED = "priced"
"""The machines with a known price."""
KINDS = ("cpu", "gpu", "systolic")
_MOST_TENSOR = 1000


def machine_of(name: str) -> Hardware:
    """Return one machine. An unknown name is a usage error (exit code 2); an invalid file is a failure (1)."""
    from ..hardware import load

    with usage_errors():
        return load(name)


def deployments_of(text: str, shared: Deployment | None, **fields: Any) -> list[Deployment]:
    """Return one deployment for each machine of a comma-separated list of ids, files, `all`, `cpu`, `gpu`, `systolic`,
    `priced`.

    Machines of a group that lack data required by estimates are left out and reported on stderr.

    Args:
        text: The list.
        shared: Deployment that provides all other fields.
        **fields: Fields to set on every deployment.
    """
    from ..deployment import deployment_of
    from ..hardware import MissingFactError

    found: dict[str, Deployment] = {}
    lacking: list[str] = []
    for part in text.split(","):
        is_group = part in (ALL, PRICED, *KINDS)
        for name in _group(part) if is_group else [part]:
            try:
                with usage_errors():
                    found[name] = deployment_of(shared, {**fields, "hardware": name})
            except MissingFactError:
                if not is_group:
                    raise
                lacking.append(name)
    if lacking:
        say(f"Left out because data is missing: {', '.join(dict.fromkeys(lacking))}")
    return list(found.values())


def _group(group: str) -> list[str]:
    from ..hardware import describe, names

    if group == PRICED:
        from ..deployment import offers

        known = {offer.device for offer in offers()}
        return [name for name in names() if name in known]
    return [name for name in names() if group == ALL or describe(name)["kind"] == group]


def layouts_of(options: Mapping[str, Any]) -> Any:
    """Return the layouts of `--layout` or `--tensor`; `"all"` where they are to be found, None without any.

    Raises:
        click.UsageError: Both are given, or `all` with others.
    """
    given = list(options["layout"])
    if options["tensor"] is not None:
        if given:
            raise click.UsageError("--layout and --tensor are both given; give layouts such as tensor=4,data=2 alone")
        values = axis_values("--tensor", options["tensor"])
        if len(values) > _MOST_TENSOR:
            raise click.UsageError(f"--tensor has {len(values):,} values; give {_MOST_TENSOR} at the most")
        return [{"tensor": value} for value in values]
    if ALL not in given:
        return given or None
    if len(given) > 1:
        raise click.UsageError("--layout all stands for all layouts; leave the others out")
    return ALL


def priced(on: list[Deployment], prices: Sequence[str]) -> list[Deployment]:
    """Return the deployments whose price is known, and report others on stderr.

    A price by machine is asked for each of them, and a lone machine is asked for by name: these are not left out.
    """
    from ..deployment.prices import UnpricedError
    from ..inputs.price import TERMS

    terms = [price for price in prices if price in TERMS]
    found: list[Deployment] = []
    left_out: list[str] = []
    for each in on:
        try:
            for price in terms:
                each.replace(price=price)
            found.append(each)
        except UnpricedError:
            left_out.append(each.machine.id)
        except ValueError:
            found.append(each)  # another error, which is raised with its option
    if not found or not left_out:
        return on
    say(f"Left out because no {' or '.join(terms)} price is known: {', '.join(dict.fromkeys(left_out))}")
    return found


def listed_deployments(options: Mapping[str, Any]) -> list[Deployment]:
    """Return one deployment for each machine, precision, engine, execution and price of the options, without layouts.

    Raises:
        click.UsageError: An option has a wrong value.
    """
    shared = [] if options["on"] is None else read_deployments(options["on"])
    common = {name: options[name] for name in ("serving", "threads", "sustained", "host")}
    if options["hardware"] is None:
        from ..deployment import deployment_of

        with usage_errors():
            on = [deployment_of(each, common) for each in shared]
    elif len(shared) > 1:
        raise click.UsageError("--on has several deployments with their own hardware; leave --hardware out")
    else:
        engine = None if options["engine"] is None else options["engine"].split(",")[0]
        with usage_errors():
            on = deployments_of(options["hardware"], shared[0] if shared else None, engine=engine, **common)
    for name, known in (
        ("precision", _core.precisions()),
        ("engine", _core.engines()),
        ("execution", _core.executions()),
    ):
        if options[name] is not None:
            values = known_names(name, options[name], known)
            with usage_errors():
                on = [each.replace(**{name: value}) for each in on for value in values]
    if options["price"] is not None:
        names = price_options(options["price"])
        on = priced(on, names)
        by_id = [prices_by_id(name, [each.machine.id for each in on]) for name in names]
        with usage_errors():
            on = [each.replace(price=prices[each.machine.id]) for each in on for prices in by_id]
    return on
