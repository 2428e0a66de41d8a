"""Terms of transfer: how the data of an inference gets to the machine and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from .._checks import Range, shown
from ..errors import InputError
from .facts import facts
from .settings import Settings, flag, number, word

if TYPE_CHECKING:
    from typing_extensions import Self

TransferLike: TypeAlias = "Transfer | str | Mapping[str, str | float | bool]"
"""Terms of transfer as `Transfer.parse` accepts them."""

EGRESS_USD_PER_GB = Range(1e-9, 1e4, "USD per 10^9 bytes", zero=True)
_BYTES = Range(1e-3, 1e15, "bytes", zero=True)
_EGRESS = "egress"


class TransferError(InputError):
    """Invalid terms of transfer."""


class Transfer(Settings):
    """How the data of an inference gets to the machine and back.

    A text may name the cloud of its responses in the place of their price: `"pinned,overlapped,egress=aws"`.
    """

    kind = "transfer"
    unnamed = "memory"
    error = TransferError
    memory: str = word(
        ("pageable", "pinned"),
        'Host memory that is copied from and to: `"pageable"`, as `tensor.to("cuda")` does, or `"pinned"`.',
        default="pageable",
    )
    overlapped: bool = flag(
        "Whether the next batch is copied while one is computed: then the device is occupied for the longer of the "
        "two, else for their sum.",
        default=False,
    )
    network_gbit_per_s: float | None = number(
        Range(1e-6, 1e6, "Gbit/s"),
        "Rate at which requests arrive and responses leave, 1e-6 to 1e6; None leaves the network out.",
        default=None,
    )
    network_rtt_s: float = number(
        Range(1e-9, 1e5, "seconds", zero=True),
        "Round-trip time in seconds from a user to the service, once per forward; at most 1e5.",
        default=0.0,
    )
    request_bytes: float | None = number(
        _BYTES,
        "Bytes of a request for one item on the network, at most 1e15; None takes the model's inputs.",
        default=None,
    )
    response_bytes: float | None = number(
        _BYTES, "Bytes of a response for one item, at most 1e15; None takes the model's outputs.", default=None
    )
    egress_usd_per_gb: float = number(
        EGRESS_USD_PER_GB, "USD per 10^9 bytes that leave the cloud, at most 1e4.", default=0.0
    )

    @classmethod
    def _of_mapping(cls, values: Mapping[str, Any]) -> Self:
        if _EGRESS not in values:
            return super()._of_mapping(values)
        given = {name: value for name, value in values.items() if name != _EGRESS}
        return super()._of_mapping({**given, "egress_usd_per_gb": _egress(values[_EGRESS])})

    @classmethod
    def _expected(cls) -> str:
        return f"{super()._expected()}, or egress"


def _egress(value: Any) -> Any:
    """Return a price of egress; the price of the first gigabytes of a month for the name of a cloud."""
    known: Mapping[str, Any] = facts()["egress"]
    if not isinstance(value, str):
        return value
    if value in known:
        return float(known[value]["usd_per_gb"][0])
    try:
        return float(value)
    except ValueError:
        expected = f"expected {', '.join(known)}, or USD per 10^9 bytes"
        raise TransferError(f"egress is {shown(value)}; {expected}") from None
