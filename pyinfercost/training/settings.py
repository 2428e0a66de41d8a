"""Settings of a tracker, checked before anything is traced."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from operator import index
from typing import TYPE_CHECKING, Any

from .._core import Hardware
from ..deployment import Deployment, deployment_of
from ..errors import InputError
from ..hardware.dtypes import VALUE_BITS

if TYPE_CHECKING:
    from ..deployment.options import DeploymentAxes


def checked_count(name: str, value: Any) -> int:
    """Return a whole number of at least 1.

    Raises:
        InputError: It is none.
    """
    try:
        number = index(value)
    except TypeError:
        raise InputError(f"{name} is {value!r}; expected a whole number of at least 1") from None
    if number < 1:
        raise InputError(f"{name} is {number}; expected at least 1")
    return number


def serving_deployments(
    on: Deployment | Iterable[Deployment] | None, options: DeploymentAxes
) -> tuple[Deployment, ...]:
    """Return the deployments to serve on; without a machine, the one with the precision to count in.

    Args:
        on: One or several, or None.
        options: Fields that take precedence over `on` unless None. Machines may be several, each with the other fields.
            A price is of all machines, or a mapping of prices by id; machines that it leaves out have none.

    Raises:
        InputError: A machine is there twice, is unknown or missing where `price` names it, or precisions differ.
    """
    fields: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    hardware, price = fields.pop("hardware", None), fields.pop("price", None)
    shared = [] if on is None else [on] if isinstance(on, Deployment) else list(on)
    lone = isinstance(hardware, str | os.PathLike | Hardware)
    machines: list[Any] = [] if hardware is None else [hardware] if lone else list(hardware)
    if machines and len(shared) > 1:
        raise InputError(f"on has {len(shared)} deployments, each with its hardware; leave hardware out")
    first = shared[0] if shared else None
    if machines:
        found = [deployment_of(first, {**fields, "hardware": each}) for each in machines]
    else:
        found = [deployment_of(each, fields) for each in shared] or [deployment_of(None, fields)]
    names = [each.machine.id for each in found if each.hardware is not None]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"hardware has {', '.join(twice)} twice; records name figures by the id, so pass each once")
    if len({each.precision for each in found}) > 1:
        raise InputError("on has deployments in several precisions; a record has one, so pass one for all")
    if isinstance(price, Mapping):
        unknown = sorted(price.keys() - set(names))
        if unknown:
            raise InputError(
                f"price has {', '.join(unknown)}, which is not in hardware; expected {', '.join(names) or 'no price'}"
            )
        found = [each.replace(price=price[each.machine.id]) if each.machine.id in price else each for each in found]
    else:
        found = [deployment_of(each, {"price": price}) for each in found]
    return tuple(each.for_throughput() for each in found)


# Operands of a matrix unit are fetched in pieces of this many bytes. Rows that are no multiple of it take slower paths
# (cuBLAS: "Tensor Core Requirements" of NVIDIA's Deep Learning Performance guide).
_PIECE_BYTES = 16
_VECTOR_BITS = {"avx512": 512, "amx": 512, "avx2": 256, "neon": 128}
_USUAL_VECTOR_BITS = 256
_USUAL_BITS = 32


def granularity_of(value: Any, machine: Hardware | None, precision: str) -> int:
    """Return the number of channels that a machine's units process together.

    Args:
        value: A number, or `"auto"`: the elements in 16 bytes for a GPU, the elements in a vector for a CPU (the blocks
            of oneDNN's layouts), 8 for other machines.
        machine: The machine; None for a granularity of 1.
        precision: Dtype to serve in.

    Raises:
        InputError: It is neither.
    """
    if value != "auto":
        return checked_count("granularity", value)
    if machine is None:
        return 1
    bits = VALUE_BITS.get(precision.removeprefix("amp_"), _USUAL_BITS)
    if machine.kind == "gpu":
        return 8 * _PIECE_BYTES // bits
    if machine.kind == "cpu":
        vector = next((n for word, n in _VECTOR_BITS.items() if word in machine.family), _USUAL_VECTOR_BITS)
        return vector // max(bits, _USUAL_BITS)
    return 8
