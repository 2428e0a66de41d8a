"""Plans that monitors compare with: documents of fleets, of servers, and numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random

import pyinfercost as ic
from pyinfercost.fleets import Slots
from pyinfercost.monitor.planned import planned_figures, read_plan

from ..door import Door, Figure
from ..mutate import broken_json, mutate, real
from ..values import Value

_SLOTS = Slots(slots=2, service_s=1.0, usd_per_h=1.5)
_DAY_S = 86_400.0


class Plans(Door):
    """`read_plan` of a document and of a file, and the figures of an hour."""

    share = 3_000

    def seeds(self) -> Value:
        """Return the documents of a plan with its verification, of a fleet and of a comparison, and others."""
        given = {"traffic": "diurnal:mean=0.01,peak=3", "on": _SLOTS, "autoscaler": "static", "slo": "queue_p95<5"}
        plan = ic.plan_fleet(None, duration_s=2 * _DAY_S, **given)
        fleets = ic.fleet(None, duration_s=_DAY_S, **given)
        served = {"engine": "vllm", "replicas": 1, "requests_per_s": 2.0, "tokens_per_s": 90.0, "slo": "ttft_p99<1"}
        return [
            json.loads(plan.to_json()),
            json.loads(fleets.to_json()),
            json.loads(fleets.fleets[0].to_json()),
            {"schema_version": 1, "serve": {**served, "usd_per_million_tokens": 1.0}},
            {"usd_per_h": 12.0, "requests_per_s": 3.5, "replicas": 2},
        ]

    def draw(self, random: Random) -> Value:
        """Return a document or its text, and a time."""
        tree = json.loads(json.dumps(random.choice(self.corpus)))
        at = random.choice((0.0, 1.8e9, real(random)))
        if random.random() < 0.2:
            return {"text": broken_json(random, tree), "document": None, "time_s": at}
        return {"text": None, "document": mutate(random, tree), "time_s": at}

    def run(self, value: Value) -> Iterator[Figure]:
        """Read the plan, and its figures of an hour."""
        plan = value["document"]
        if plan is None:
            plan = self.folder / "plan.json"
            plan.write_text(value["text"] or "", encoding="utf-8", errors="replace")
        found = read_plan(plan)
        str(found.said)
        if abs(value["time_s"]) <= 1e12:
            for each, amount in planned_figures(found, value["time_s"]).items():
                yield each.figure, amount
        if found.usd_per_month is not None:
            yield "usd_per_month", found.usd_per_month
