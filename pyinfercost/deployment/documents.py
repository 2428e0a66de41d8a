"""Machines, prices and terms of a deployment as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from .. import _core
from ..inputs.price import Price
from .engines import DeploymentError

if TYPE_CHECKING:
    from ..inputs.startup import Startup
    from ..inputs.transfer import Transfer

_HARDWARE_FIELDS = (
    "id",
    "name",
    "kind",
    "family",
    "cores",
    "clock_hz",
    "matrix_flop_per_s",
    "vector_flop_per_s",
    "memory",
    "array",
    "sparsity_2_4",
    "overheads_s",
    "achieved",
    "power_w",
    "links_byte_per_s",
    "spread",
    "constants",
    "evidence",
    "provenance",
)


def plain_hardware(hardware: Any) -> Any:
    """Return a machine, as it was given, as JSON values."""
    if isinstance(hardware, _core.Hardware):
        return {name: getattr(hardware, name) for name in _HARDWARE_FIELDS}
    return None if hardware is None else fspath(hardware)


def plain_price(price: Any) -> Any:
    """Return a price, as it was given, as JSON values."""
    if isinstance(price, Price):
        return price.to_dict()
    if isinstance(price, Mapping):
        return {str(device): plain_price(value) for device, value in price.items()}
    return fspath(price) if isinstance(price, PathLike) else price


def plain_terms(terms: Transfer | Startup) -> dict[str, Any]:
    """Return the fields of some terms that are not the defaults."""
    return {field.name: value for field in terms.fields if (value := getattr(terms, field.name)) != field.default}


def hardware_from(document: Mapping[str, Any]) -> _core.Hardware:
    """Return the machine that `plain_hardware` described.

    Raises:
        DeploymentError: A value is missing, unknown or of another type.
    """
    unknown = sorted(map(str, document.keys() - set(_HARDWARE_FIELDS)))
    if unknown:
        raise DeploymentError(
            f"hardware of the deployment has {', '.join(unknown)}; expected {', '.join(_HARDWARE_FIELDS)}"
        )
    try:
        return _core.Hardware(**document)
    except TypeError as error:  # of the conversion of arguments
        raise DeploymentError(
            "hardware of the deployment lacks a value, or has one of another type; expected what to_dict writes"
        ) from error


def price_from(document: Any) -> Any:
    """Return the price that `plain_price` described.

    Raises:
        PriceError: It has unknown fields, or a value is not valid.
    """
    if not isinstance(document, Mapping):
        return document
    if "usd_per_h" not in document:
        return {
            device: price_from(value) if isinstance(value, Mapping) and "usd_per_h" in value else value
            for device, value in document.items()
        }
    return Price.parse({"text": "", **document})
