"""A plan for recorded traffic: the cheapest fleet of the recorded deployment, or of its measured service."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..fleets.plan_fleet import plan_fleet
from ..fleets.replicas import Slots
from ..fleets.terms import Terms
from ..results.monitor_report import Stretch, Suggestion
from .log_reader import LoggedInterval, LoggedRun, MonitorRecording, summed
from .recorded import export_workload

if TYPE_CHECKING:
    from ..deployment import Deployment

_TORCH = "torch"  # the engine of a deployment that names none


class SuggestionError(InputError):
    """A plan for recorded traffic that lacks its objective, its model or its price."""


def suggestion(recording: MonitorRecording, whole: Stretch, slo: str, seed: int = 0) -> Suggestion:
    """Return the cheapest fleet that meets an objective for the recorded traffic.

    With a spec of the model and a deployment in the log, replicas run the deployment; else each has places of
    the measured service time.

    Args:
        recording: The log, of one model.
        whole: Figures of all of it.
        slo: The objective.
        seed: Seed of the drawn requests, where the log has counters alone.

    Raises:
        SuggestionError: The objective or the price is missing.
        LogError: The log has several models, or no requests.
    """
    if not slo:
        raise SuggestionError("the suggested change needs an objective; pass slo (--slo), such as 'ttft_p95<2'")
    recording = recording.of_model()
    notes: list[str] = []
    run = recording.runs[-1]
    deployed = _deployment(run)
    model = None if deployed is None else run.spec
    place = _slots(recording, notes) if deployed is None or model is None else deployed
    if (place.usd_per_h if isinstance(place, Slots) else place.device_price) is None:
        raise SuggestionError("the suggested change needs the price of a replica; start the monitor with a price")
    with tempfile.TemporaryDirectory() as folder:
        traffic = Path(folder) / "recorded.csv"
        exported = export_workload(recording, traffic, seed=seed)
        if exported.form == "bins" and model is not None:
            raise SuggestionError(
                "the log has counts of requests without their lengths, and the model needs these; export the workload, "
                "and pass lengths to `pyinfercost fleet --plan --prompt --output-tokens`"
            )
        plan = plan_fleet(
            model, traffic=traffic, on=place, slo=slo, terms=Terms(start_hour=exported.start_hour), seed=seed
        )
    return Suggestion(
        plan=plan,
        requests=exported.requests,
        usd_per_month=whole.usd_per_month,
        notes=(*exported.notes, *notes),
    )


def _deployment(run: LoggedRun) -> Deployment | None:
    """Return the deployment of a run, if replicas can be simulated on it."""
    found = run.deployed()
    return None if found is None or found.hardware is None or found.engine == _TORCH else found


def _slots(recording: MonitorRecording, notes: list[str]) -> Slots:
    """Return a replica with places of the measured service time."""
    intervals = [each for run in recording.runs for each in run.intervals]
    totals = summed(intervals)
    requests, service_s = totals.value("requests") or 0.0, totals.value("service_s")
    if service_s is None or requests <= 0 or service_s <= 0:
        raise SuggestionError(
            "the log has neither a model with a deployment nor the time of requests in service, so that a replica is "
            "unknown; start the monitor with a model and a machine"
        )
    places = _together(intervals, totals.value("reserved_s", use="busy"), service_s)
    run = recording.runs[-1]
    starts, cold_s = totals.value("cold_starts") or 0.0, totals.value("reserved_s", use="cold") or 0.0
    notes.append(
        f"a replica serves {places} at once, each for the measured {service_s / requests:.4g} s on average: the "
        "log has no model in a serving engine, whose steps could be simulated"
    )
    return Slots(
        slots=places,
        service_s=service_s / requests,
        usd_per_h=next((each.price_usd_per_h for each in reversed(recording.runs) if each.price_usd_per_h), None),
        cold_start_s=cold_s / starts if starts else 0.0,
        name=f"{run.info.get('hardware', 'replica')}, {places} at once",
    )


def _together(intervals: Sequence[LoggedInterval], busy_s: float | None, service_s: float) -> int:
    """Return how many requests a replica serves at once: as many as were seen, at least the mean while it is busy."""
    seen = max((each.change.value("in_flight") or 0.0 for each in intervals), default=0.0)
    mean = service_s / busy_s if busy_s else 1.0
    return max(1, round(seen), ceil(mean - 0.5))
