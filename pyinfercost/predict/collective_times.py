"""What a collective operation between devices of one node costs: start, steps, and bytes over the slowest link.

A call takes `base + step x steps + bytes / rate`. Its library has protocols that begin late and run fast or begin early
and run slowly, and takes the cheapest:

    LL      base + hop steps + x / (ll_share link)
    LL128   base + hop steps + ll128 + x / (ll128_share link)         not through the host
    Simple  base + hop steps + simple + x / (simple_share link)
    switch  base + switch + 2 bytes / (switch_share link)             all-reduce, where the switch adds up

with `x` the bytes that leave one device and what it copies of its own part, `own_copy bytes / devices`. A ring of `n`
devices takes `n - 1` steps (an all-reduce twice as many); an all-to-all sends to all peers at once and takes `1 +
alltoall_step (n - 1)`. The form is the alpha-beta model of NCCL's own tuner (`src/graph/tuning.cc`); starts, steps and
shares are fitted to measured calls (`[collectives]` in `hardware/calibration/`), links are those of data sheets.

Of a link that divides among `peers`, `n` devices use `(n - 1) / peers`. Devices without a link of their own, and more
than two of those that are joined in pairs, send through the host and share it: there Simple has `host_share link (2 /
flows)^host_sharing`, where `flows` is how many devices send at once, and LL half of that, as half of it is flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._core import Hardware


class CollectiveError(ValueError):
    """A collective that cannot be estimated; the message says what was got and what was expected."""


class UnknownCollectiveError(CollectiveError):
    """No operation or dtype of that name, or sizes or a number of devices that cannot be."""


@dataclass(frozen=True)
class Operation:
    """How one operation moves its bytes.

    Attributes:
        rounds: how often the bytes go round the ring.
        parts: whether each device has one of `devices` parts, so that its own need not be sent.
        direct: whether devices send to each other at once instead of round a ring.
        pair: whether two devices take part, however many there are.
    """

    rounds: int = 1
    parts: bool = True
    direct: bool = False
    pair: bool = False


OPERATIONS: Mapping[str, Operation] = {
    "all_reduce": Operation(rounds=2),
    "all_gather": Operation(),
    "reduce_scatter": Operation(),
    "alltoall": Operation(direct=True),
    "broadcast": Operation(parts=False),
    "send": Operation(parts=False, pair=True),
}
"""The operations by name. `broadcast` and `send` follow from the formula; no measurement of them was compared."""

PROTOCOLS = ("LL", "LL128", "Simple", "switch")


@dataclass(frozen=True)
class Path:
    """The way between devices.

    Attributes:
        link: `"device"` or `"host"`.
        byte_per_s: what one device can send at the same time as all others, by the data sheet.
        shared: what sharing the host leaves of that; 1 over a link of their own.
        reduces: whether a switch adds up.
    """

    link: str
    byte_per_s: float
    shared: float = 1.0
    reduces: bool = False


@dataclass(frozen=True)
class Times:
    """The seconds of calls, by protocol and size; infinite where a protocol is not used.

    Attributes:
        start_s: what no size changes.
        wire_s: what bytes take.
    """

    start_s: NDArray[np.float64]
    wire_s: NDArray[np.float64]


def constant(hardware: Hardware, key: str) -> float:
    """A constant of `[collectives]` as the file spells it, in seconds where that says microseconds.

    Raises:
        CollectiveError: where the machine's family and kind have none.
    """
    name = "collectives." + (key.removesuffix("_us") + "_s" if key.endswith("_us") else key)
    found = hardware.constants.get(name)
    if found is None:
        raise CollectiveError(
            f"{hardware.id!r} has no constant collectives.{key}, without which no collective can be timed; expected it "
            f"in the calibration file of its family {hardware.family!r} or of its kind, in a table [collectives]"
        )
    return float(found)


def path_between(hardware: Hardware, devices: int) -> Path:
    """The way between some devices of a node.

    Raises:
        CollectiveError: where there is none.
    """
    links, facts = hardware.links_byte_per_s, hardware.constants
    peers = facts.get("link.device.peers")
    pairs_only = peers == 1  # one peer each: more than two devices cannot all be joined
    if "device" in links and not (pairs_only and devices > 2):  # noqa: PLR2004
        share = 1.0 if peers is None else min(1.0, (devices - 1) / peers)
        return Path("device", links["device"] * share, reduces=bool(facts.get("link.device.reduces")))
    if "host" not in links or not facts.get("link.host.shared"):
        raise CollectiveError(
            f"{hardware.id!r} has no link to other devices; expected [link.device], or [link.host] with a bandwidth "
            "and a kind that begins with 'PCIe', in its file"
        )
    flows = max(2.0, devices / (2 if "device" in links else 1))  # within a pair nothing passes through the host
    return Path("host", links["host"], shared=(2 / flows) ** constant(hardware, "host_sharing"))


def times(
    op: Operation, size_bytes: NDArray[Any], hardware: Hardware, *, devices: int, in_switch: bool
) -> tuple[Path, Times]:
    """The seconds of calls in each of `PROTOCOLS`.

    Args:
        op: the operation.
        size_bytes: the sizes of messages.
        hardware: the machine.
        devices: how many of them, two or more.
        in_switch: whether the numbers are such as a switch can add.
    """

    def known(key: str) -> float:
        return constant(hardware, key)

    n = 2 if op.pair else devices
    path = path_between(hardware, n)
    wire_bytes = size_bytes * (op.rounds * ((n - 1) / n if op.parts else 1.0))
    if op.parts:
        wire_bytes = wire_bytes + known("own_copy") * size_bytes / n
    steps = 1 + known("alltoall_step") * (n - 1) if op.direct else op.rounds * (n - 1)
    over_host = path.link == "host"
    base_s = known("base_us") + known("host_hop_us" if over_host else "hop_us") * steps
    if over_host:
        rate = path.byte_per_s * path.shared * known("host_share")
        # LL sends four bytes of flags with every four of data; LL128 needs writes of 128 bytes that stay whole.
        starts, rates = [0.0, np.inf, known("simple_us")], [rate / 2, np.inf, rate]
    else:
        starts = [0.0, known("ll128_us"), known("simple_us")]
        rates = [path.byte_per_s * known(f"{protocol}_share") for protocol in ("ll", "ll128", "simple")]
    starts_s = [base_s + start for start in starts]
    wires_s = [wire_bytes / rate for rate in rates]
    adds_up = path.reduces and in_switch and op.rounds == 2 and n >= known("switch_devices")  # noqa: PLR2004
    starts_s.append(known("base_us") + known("switch_us") if adds_up else np.inf)
    wires_s.append(2 * size_bytes / (known("switch_share") * path.byte_per_s))
    return path, Times(np.array(starts_s)[:, None], np.stack(wires_s))
