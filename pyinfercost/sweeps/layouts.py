"""Layouts as an axis of a sweep: by the devices that share products, or all that are legal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from os import PathLike
from typing import TYPE_CHECKING, Any

from ..deployment import Deployment, deployment_of
from ..errors import InputError, LayoutError
from ..inputs.price import TERMS as TERMS_OF_PRICES
from ..predict.layouts import check_some, layouts_on_machines, numbers_of
from ..results.layouts import Layouts
from ..sources.sizes import as_axis
from .arguments import priced_machines

if TYPE_CHECKING:
    from .._core import Graph

_PARTS = ("threads", "instances")


def with_all_layouts(
    graph: Graph, on: Deployment | Sequence[Deployment] | None, fields: Mapping[str, Any]
) -> tuple[list[Deployment], dict[str, Any], Layouts]:
    """Return the deployments of a sweep over all legal layouts: each machine with each layout that is legal on it.

    Args:
        graph: The graph of the model.
        on: The deployment, or several as an axis.
        fields: Fields of deployments by name, with one value or several each; `layout` is `ALL`.

    Returns:
        The deployments, the fields without those that they have, and the layouts, with the reasons of those that are
        out on some machine.

    Raises:
        LayoutError: No numbers of devices are given, or no layout is legal.
    """
    if fields.get("devices") is None:
        raise LayoutError("layout is 'all', and devices is missing; pass numbers of devices, such as devices=[8, 16]")
    devices = numbers_of(fields["devices"])
    several = [each.for_throughput() for each in _machines(on, fields)]
    precisions, engines = (_known(name, fields, several) for name in ("precision", "engine"))
    machines = [one.machine for one in _distinct(several)]
    each = [layouts_on_machines(graph, devices, [one], precisions=precisions, engines=engines) for one in machines]
    found = each[0] if len(each) == 1 else _together(each)
    check_some(found)
    legal = {one.hardware: one for one in each}
    deployments = [
        one.replace(layout=layout, devices=layout.devices) for one in several for layout in legal[one.machine.id]
    ]
    left = {name: value for name, value in fields.items() if name not in ("devices", "layout", "hardware", *_PARTS)}
    return deployments, left, found


def _machines(on: Deployment | Sequence[Deployment] | None, fields: Mapping[str, Any]) -> list[Deployment]:
    """Return a deployment for each machine of a sweep; those without a price are left out if there are others."""
    parts = {name: fields[name] for name in _PARTS if fields.get(name) is not None}
    for name, value in parts.items():
        if isinstance(value, Iterable):
            raise InputError(f"{name} has several values, and layout is 'all'; pass one, or name the layouts")
    if on is not None and not isinstance(on, Deployment):
        return [deployment_of(one, parts) for one in on]
    if fields.get("hardware") is None:
        if on is None or on.hardware is None:
            raise InputError("hardware is missing; pass one or several machines, whose memory and links decide")
        return [deployment_of(on, parts)]
    machines = as_axis("hardware", fields["hardware"])
    price = fields.get("price")
    prices = [price] if isinstance(price, (str, PathLike, Mapping)) or not isinstance(price, Iterable) else list(price)
    terms = [each for each in prices if isinstance(each, str) and each in TERMS_OF_PRICES]
    if terms and len(machines) > 1:
        machines = priced_machines(machines, terms, on, parts)
    return [deployment_of(on, {**parts, "hardware": machine}) for machine in machines]


def _known(name: str, fields: Mapping[str, Any], several: Sequence[Deployment]) -> list[str]:
    if fields.get(name) is not None:
        return list(as_axis(name, fields[name]))
    return list(dict.fromkeys(getattr(each, name) for each in several))


def _distinct(several: Sequence[Deployment]) -> list[Deployment]:
    """Return the first deployment of each machine."""
    return list({each.machine.id: each for each in reversed(several)}.values())[::-1]


def _together(each: Sequence[Layouts]) -> Layouts:
    """Return the layouts of several machines: legal ones of any of them, and the reasons of others on each."""
    legal = tuple(dict.fromkeys(chain.from_iterable(each)))
    choices = {(choice.layout, choice.reason): choice for one in each for choice in one.choices}
    return Layouts(
        model=each[0].model,
        hardware=",".join(one.hardware for one in each),
        choices=tuple(choices.values()),
        found=legal,
    )
