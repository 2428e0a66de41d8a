"""Export to sinks of records: the counts of each interval, and the gauges at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import InputError
from ...results.live import Snapshot
from .periodic import INTERVAL_S, Failures, Periodic

if TYPE_CHECKING:
    from ...results.sinks import Sink
    from ..observer import Observer

_PERCENTS = (50, 90, 99)


class RecordExporter:
    """Write a record to a sink at regular intervals.

    A record that the sink does not take is joined with the next one: its counts are lost only if no later one is taken.

    Args:
        sink: The sink. It is closed at the end.
        interval_s: Time between records.

    Attributes:
        name: `"records"`, the label of its errors.

    Raises:
        InputError: The interval is out of range.
    """

    name = "records"

    def __init__(self, sink: Sink, *, interval_s: float = INTERVAL_S) -> None:
        self._sink = sink
        self._failures = Failures(f"the exporter to the sink {type(sink).__name__}")
        self._periodic = Periodic(self._write, interval_s, self._failures)
        self._observer: Observer | None = None
        self._last: Snapshot | None = None
        self._step = 0

    @property
    def errors(self) -> int:
        """Records that the sink did not take, and snapshots that failed."""
        return self._failures.count

    def start(self, observer: Observer) -> None:
        """Begin to write; the first record has the earlier counts of the observer."""
        self._observer = observer
        self._periodic.start()

    def close(self) -> None:
        """Write the last record and close the sink."""
        if self._observer is None:
            return
        self._periodic.close()
        self._observer = None
        try:
            self._sink.close()
        except Exception as error:
            self._failures.add(error)

    def _write(self) -> None:
        if self._observer is None:
            return
        now = self._observer.snapshot()
        self._sink.write(self._step, record_of(now, self._last))
        self._last = now
        self._step += 1


def record_of(now: Snapshot, earlier: Snapshot | None) -> dict[str, float | int]:
    """Return a flat record of the changes between two snapshots.

    Args:
        now: The later one.
        earlier: The earlier one; None for all since the start of the observer. One of another run counts as None.

    Returns:
        `time_s`, the Unix time; `interval_s`, the time since the earlier snapshot if there is one; figures such as
        `live/requests/ok`: counts of the interval and gauges; of distributions their mean and percentiles in the
        interval and the number of values, as in `live/ttft_s/p99`.
    """
    record: dict[str, float | int] = {"time_s": now.time_s}
    changes = now
    if earlier is not None:
        try:
            changes = now.since(earlier)
            record["interval_s"] = now.time_s - earlier.time_s
        except InputError:  # the observer or its model was started again
            changes = now
    for series, value in changes.values.items():
        record["/".join(("live", series.figure, *(text for _, text in series.labels)))] = value
    for series, distribution in changes.distributions.items():
        path = "/".join(("live", series.figure, *(text for _, text in series.labels)))
        record[f"{path}/count"] = distribution.count
        if distribution.count:
            record[f"{path}/mean"] = distribution.mean
            record |= {f"{path}/p{percent}": distribution.percentile(percent) for percent in _PERCENTS}
    return record
