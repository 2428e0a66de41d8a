"""Hosts of GPUs: how long a machine's Python and torch take to issue one operator to its GPU.

An operator of an eager forward takes the host as long on every GPU: the call of a module, the dispatcher of torch, the
allocation of its result and the launch. A forward whose kernels are shorter than that is bound by its host. Processors,
versions of torch and the depth of modules make hosts differ by more than two times, so that the host is a setting of a
machine, separate from the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

from .._checks import Range, number_in, shown
from .._records import dataclass
from .errors import HardwareError

HostLike: TypeAlias = "float | str"
"""A host: microseconds to issue an operator of an eager forward, as number or text, or a name of `HOSTS`."""

_US = Range(0.01, 1e6)
_MICRO = 1e-6


@dataclass(frozen=True)
class Host:
    """A kind of host.

    Attributes:
        us_per_operator: Microseconds to issue one operator.
        source: The measurement.
    """

    us_per_operator: float
    source: str


HOSTS: Mapping[str, Host] = MappingProxyType(
    {
        "desktop": Host(
            16.8,
            "8.4 ms of an eager step of Llama-3.1-8B on H100, whose 500 kernels take 5.1 ms as a graph (cloudai.pt); "
            "18.1 us a kernel of compiled code on the hosts of RTX 4090 and RTX 5090 (pytorch-image-models@aa4b585)",
        ),
        "cloud": Host(
            37.3,
            "6.53 ms of ResNet-50 of transformers at batch 1 on A100, 175 kernels, torch 2.0; V100 on its host takes "
            "6.48 ms (docs-benchmarks/compile-benchmarks of Hugging Face)",
        ),
    }
)
"""Name -> host. The default of machines, `dispatch_us` of `gpu.toml`, lies in the middle of these."""


CHOICES = ", ".join(f"{name} ({host.us_per_operator:g})" for name, host in HOSTS.items())
"""Names of hosts with their microseconds, in words."""


def host_seconds(host: HostLike) -> float:
    """Return the seconds that a host takes to issue an operator.

    Raises:
        HardwareError: The name is unknown, or the number is out of range.
    """
    if isinstance(host, str) and host in HOSTS:
        return HOSTS[host].us_per_operator * _MICRO
    try:
        return number_in(host, "host", _US, HardwareError) * _MICRO
    except HardwareError:
        raise HardwareError(
            f"host is {shown(host)}; expected {', '.join(HOSTS)}, or the microseconds that the host takes to issue an "
            "operator, such as 25"
        ) from None
