"""Advice for tests of reports: of a forward and of a fleet, both made by `advise`."""

from __future__ import annotations

from functools import cache

import pyinfercost as ic
from pyinfercost.advice.tactics import TACTICS

from .toy_graphs import transformer


@cache
def of_forward() -> ic.results.Advice:
    """Advice on a forward, with ranges of all tactics on this device."""
    # Of layouts on several devices most are refused for one sequence, each after a sweep of its own.
    elsewhere = ("machine", "devices", "offer", "terms", "region", "instances")
    among = [tactic.name for tactic in TACTICS if tactic.name not in elsewhere]
    return ic.advise(transformer(width=256, heads=8), hardware="l4", risk="small", batch=1, all=True, among=among)


@cache
def of_fleet() -> ic.results.Advice:
    """Advice on a fleet, with rows that no plan uses."""
    return ic.advise(
        transformer(width=256, heads=8), hardware="l4", price="on-demand", traffic="diurnal:mean=2,peak=4,cv=2",
        duration_s=3600.0, slo="e2e_p99<1", commitment="discount=0.4,term_years=1",
    )  # fmt: skip


@cache
def of_nothing() -> ic.results.Advice:
    """Advice on what nothing makes cheaper."""
    return ic.advise(transformer(), hardware="l4", price=1.0, among=["tf32"])
