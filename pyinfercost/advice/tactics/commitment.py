"""Hours that are paid ahead for the replicas that are there most of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment import Commitment
from ...errors import InputError
from ...fleets.billing import committed_usd_per_h, price_kind
from ...fleets.plan_search import committed_replicas
from ..fleet_outcomes import FleetEvaluator
from ..tactic import Option, Options, Refusal
from ..traffic_case import OF_FUNCTION, is_of_traffic
from ..traffic_tactic import TrafficTactic

if TYPE_CHECKING:
    from ..case import Case
    from ..setups import Setup


class CommittedReplicas(TrafficTactic):
    """A commitment for as many replicas as pay off."""

    name = "commitment"
    title = "hours that are paid ahead"
    group = "commitment"
    effort = "setting"
    buys = True

    def offered(self, setup: Setup, case: Case) -> Options:
        """Offer the number of replicas that are there for long enough, and one more and less."""
        if setup.terms.get("serverless"):
            return Options((), [Refusal(text="commitment", why=OF_FUNCTION)])
        evaluator = case.evaluator
        commitment = case.commitment if is_of_traffic(case) else ""
        if not isinstance(evaluator, FleetEvaluator):
            return Options((), [Refusal(text="commitment", why="the workload has no hours; ask with traffic")])
        if not commitment:
            why = "no price of hours paid ahead is known; pass it, such as commitment='discount=0.4,term_years=1'"
            return Options((), [Refusal(text="commitment", why=why)])
        replica = evaluator.replica(setup)
        if isinstance(replica, str) or not replica.usd_per_h:
            return Options((), [Refusal(text="commitment", why="the machine has no price")])
        if price_kind(replica) == "spot":
            return Options((), [Refusal(text="commitment", why="spot machines cannot be committed")])
        share = committed_usd_per_h(replica, Commitment.parse(commitment)) / replica.usd_per_h
        try:
            seconds = evaluator.seconds_with(setup)
        except InputError as error:
            return Options((), [Refusal(text="commitment", why=str(error))])
        best = committed_replicas(seconds, share) if share < 1 else 0
        own = int(setup.terms.get("committed") or 0)
        counts = sorted({max(1, best - 1), best, best + 1} - {0, own}) if best else []
        if not counts:
            why = f"no replica is there for more than {100 * share:.0f} % of the time, from which on it pays off"
            return Options((), [Refusal(text="commitment", why=why)])
        found = [
            Option(
                text=f"{count} replica{'s' * (count > 1)} paid ahead",
                change={"terms.committed": count, "terms.commitment": commitment},
                note="paid in every hour of the term, whatever the traffic becomes",
                apply=f"buy a commitment, a savings plan or a reservation for {count} of the machines",
            )
            for count in counts
        ]
        return Options(found)
