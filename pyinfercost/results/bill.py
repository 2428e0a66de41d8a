"""Result type: cost of a service over a time, by kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .costs import SECONDS_PER_HOUR
from .declared import declared, derived, fact
from .figures import LESS

MONTH_S = 8766 / 12 * SECONDS_PER_HOUR
"""Seconds of a month: a twelfth of 365.25 days."""

USES = ("busy", "idle", "cold", "draining")
"""Uses of the paid time of machines: with requests, without, before they are ready, and before they leave."""

_MILLION = 1e6


class _Paid(Protocol):
    """A result with money and tokens, each None if it is unknown."""

    @property
    def usd(self) -> float | None: ...
    @property
    def output_tokens(self) -> float | None: ...


@declared
class PaidTokens:
    """Cost of the tokens of a result with `usd` and `output_tokens`."""

    @property
    @derived(better=LESS, title="10^6 tokens", spare=2, headline="for 10^6 generated tokens")
    def usd_per_million_tokens(self: _Paid) -> float | None:
        """USD for 10^6 generated tokens, with all paid time; None without tokens or a price."""
        return None if self.usd is None or not self.output_tokens else _MILLION * self.usd / self.output_tokens


@declared
class BillLine:
    """One line of a bill."""

    kind: str = fact(
        'Kind of cost: `"on-demand"`, `"spot"`, `"reserved"`, `"committed"`, `"purchase"`, `"given"`, `"requests"`, '
        '`"memory"`, `"provisioned"`, `"egress"`, `"storage"`, `"electricity"` or `"staff"`.'
    )
    item: str = fact("Of what, such as the name of an instance.")
    quantity: float = fact("How much of it.")
    unit: str = fact('Unit of the quantity: `"h"`, `"GB"`, `"kWh"`, `"GB s"`, `"million"`, `"month"`.')
    usd: float = fact("Its price.")


@declared(after="usd_per_thousand_requests")
class Bill(PaidTokens):
    """The bill of a service."""

    duration_s: float = fact("The time that it covers.", row=False)
    lines: tuple[BillLine, ...] = fact("Lines of the bill.")
    use_usd: Mapping[str, float] = fact("Use of the paid time of machines, of `USES` -> USD of it.")
    hourly_usd: Mapping[str, tuple[float, ...]] = fact(
        "Kind of line or use -> USD in each bin of time, for plots; lines by the month are spread evenly.", series=True
    )
    requests: int = fact("Requests that were answered.", row=False)
    output_tokens: float = fact("Tokens that were generated; 0 without tokens.")

    @property
    @derived(better=LESS)
    def usd(self) -> float:
        """USD of all lines."""
        return sum(line.usd for line in self.lines)

    @property
    @derived(better=LESS)
    def usd_per_h(self) -> float:
        """Mean USD per hour."""
        return self.usd / self.duration_s * SECONDS_PER_HOUR

    @property
    @derived(better=LESS, title="cost of a month")
    def usd_per_month(self) -> float:
        """USD of a month in which the same happens again and again."""
        return self.usd / self.duration_s * MONTH_S

    @property
    @derived(better=LESS, title="1,000 requests")
    def usd_per_thousand_requests(self) -> float | None:
        """USD for 1,000 answered requests; None without one."""
        return 1e3 * self.usd / self.requests if self.requests else None

    @property
    def by_kind(self) -> dict[str, float]:
        """Kind of line -> USD."""
        found: dict[str, float] = {}
        for line in self.lines:
            found[line.kind] = found.get(line.kind, 0.0) + line.usd
        return found
