"""Review of a change: comparisons of several models, and what the change costs in a month."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..results.profile_changes import BrokenLimit, Change, ProfileChanges
from .diff import profile_changes
from .limits import broken_of

MONTHLY = "usd_per_month"
"""The figure of a review that no model has alone: the cost of all requests of a month."""

CHANGED, SAME, ADDED, REMOVED, UNKNOWN = "changed", "same", "added", "removed", "unknown"


@dataclass(frozen=True)
class ModelReview:
    """One model before and after a change.

    Attributes:
        name: Its name.
        status: `"changed"`, `"same"`, `"added"`, `"removed"`, or `"unknown"` if a side could not be profiled.
        comparison: The comparison. Of a model that was added or removed it has the known side twice; None if a side
            could not be profiled.
        requests_per_month: Number of its requests; None if it is not given.
        error: Why a side could not be profiled; empty if both could.
    """

    name: str
    status: str
    comparison: ProfileChanges | None
    requests_per_month: float | None = None
    error: str = ""

    @property
    def usd_per_month(self) -> Change:
        """Cost of the requests of a month: the cost of an item of the batch, times the requests.

        None on a side without a price or with an unknown number of requests; 0 where the model does not exist.
        """
        if self.comparison is None or self.requests_per_month is None:
            return Change(None, None)
        cost = self.comparison.totals["cost_usd"]
        before, after = (None if usd is None else usd * self.requests_per_month for usd in (cost.before, cost.after))
        return Change(0 if self.status == ADDED else before, 0 if self.status == REMOVED else after)


@dataclass(frozen=True)
class Review:
    """Models before and after a change.

    Attributes:
        models: The models, in the given order.
        broken: Exceeded limits on the cost of a month; limits of a model are in its comparison.
    """

    models: tuple[ModelReview, ...]
    broken: tuple[BrokenLimit, ...] = ()

    @property
    def usd_per_month(self) -> Change:
        """Sum over the models whose cost is known on both sides; None without any."""
        return _sum(self.models)

    @property
    def failed(self) -> list[tuple[str, BrokenLimit]]:
        """Exceeded limits with the name of the model; the name is empty for the sum over all models."""
        of_models = [
            (each.name, broken) for each in self.models if each.comparison for broken in each.comparison.failed
        ]
        return [*(("", broken) for broken in self.broken), *of_models]


def model_review(
    name: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    *,
    requests_per_month: float | None = None,
    limits: Iterable[str] = (),
) -> ModelReview:
    """Return the review of one model from the documents of its profiles; one of them is None where it does not exist.

    A model that was added or removed breaks no limit: there is nothing to compare it with.
    """
    if before is None or after is None:
        only = after if before is None else before
        if only is None:
            return ModelReview(name, UNKNOWN, None, requests_per_month)
        status = ADDED if before is None else REMOVED
        return ModelReview(name, status, profile_changes(only, only), requests_per_month)
    found = profile_changes(before, after, limits=limits)
    return ModelReview(name, CHANGED if found.changed else SAME, found, requests_per_month)


def review_of(models: Sequence[ModelReview], *, limits: Iterable[str] = ()) -> Review:
    """Return the review of several models. Limits are those on `usd_per_month`."""
    return Review(tuple(models), broken_of({MONTHLY: _sum(models)}, limits))


def _sum(models: Sequence[ModelReview]) -> Change:
    known = [
        (each.before, each.after)
        for each in (model.usd_per_month for model in models)
        if each.before is not None and each.after is not None
    ]
    if not known:
        return Change(None, None)
    return Change(sum(before for before, _ in known), sum(after for _, after in known))
