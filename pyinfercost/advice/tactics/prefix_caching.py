"""Prompts that begin alike: their blocks stay in the cache, and a router sends them where these are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment.engine_flags import flag_of
from ..tactic import Option, Options, Refusal
from ..traffic_case import is_of_traffic
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup

_TERM = "enable_prefix_caching"


class PrefixCaching(TrafficTactic):
    """Prefix caches, and routing by cached prefixes."""

    name = "prefix_caching"
    title = "prefix caching"
    group = "prefix_caching"
    effort = "setting"

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer the cache where it is off, and routing by prefixes."""
        if not is_of_traffic(case) or not case.facts.shares:
            why = "no two prompts of these requests begin alike; pass prefixes, turns, or a trace with its blocks"
            return Options((), [Refusal(text="prefix caching", why=why)])
        if case.of_fleet:
            why = "fast fleets have no prefix caches; ask with a workload"
            return Options((), [Refusal(text="prefix caching", why=why)])
        found = []
        off = setup.terms.get(_TERM) is False
        if off:
            found.append(
                Option(
                    text="prefix caching",
                    change={f"terms.{_TERM}": True},
                    apply=flag_of(setup.on.engine, "prefix", ""),
                )
            )
        if not off and setup.terms.get("routing") != "prefix_aware":
            found.append(
                Option(
                    text="routing by cached prefixes",
                    change={"terms.routing": "prefix_aware"},
                    effort="build",
                    apply="a router that is aware of prefixes, such as in SGLang, llm-d or Dynamo",
                )
            )
        return Options(found)
