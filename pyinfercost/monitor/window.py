"""Gauges of about the last minute from counters ("lately" in the catalog)."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .._checks import Range, number
from ..errors import InputError
from ..results.live import Series, series
from ..results.live_figures import LIVE_FIGURES

if TYPE_CHECKING:
    from ..results.live import Labels

WINDOW_S = 60.0
"""Seconds that gauges are averaged over by default."""

_WINDOW = Range(1e-3, 1e7, "s")
_PEAK = Range(1.0, 1e30)
_KEPT = 12  # states in a window: the stretch that gauges cover is at most 1/12 longer than asked for


class WindowError(InputError):
    """A window whose length or peaks are out of range."""


class Window:
    """The last states of an observer's counters, and averages over about the last `window_s`.

    If less time has passed, averages are over all of it; if no state was added for longer than `window_s`, they are
    over the time since the last one. Times are of a monotonic clock, so wall clocks may jump. Memory is bounded: states
    closer together than a twelfth of the window are not kept. All methods may be called from any thread.
    """

    def __init__(
        self,
        started_s: float,
        *,
        window_s: float = WINDOW_S,
        flop_per_s: float | None = None,
        byte_per_s: float | None = None,
    ) -> None:
        """Begin with counters at 0.

        Args:
            started_s: Time of the monotonic clock at which the observer started.
            window_s: Seconds of the window.
            flop_per_s: Peak of one device at the precision of the model; None leaves the MFU out.
            byte_per_s: Memory bandwidth of one device; None leaves the MBU out.

        Raises:
            WindowError: A value is out of range.
        """
        self._window_s = number(window_s, "window_s", _WINDOW, WindowError)
        self._peaks = {
            name: None if value is None else number(value, name, _PEAK, WindowError)
            for name, value in (("flop_per_s", flop_per_s), ("byte_per_s", byte_per_s))
        }
        self._lock = threading.Lock()
        self._states: deque[tuple[float, Mapping[Series, float]]] = deque([(started_s, {})])

    def lately(self, values: Mapping[Series, float], at_s: float) -> dict[Series, float]:
        """Add the state of the counters, and return the gauges of the window that ends with it.

        Args:
            values: Series of counters -> totals since the start. Gauges among them are ignored. The mapping is kept and
                must not change later.
            at_s: Time of the monotonic clock.

        Returns:
            Series of gauges -> values, without those whose counters are absent or did not move:

            - `power_w`: joules / seconds.
            - `mfu_share`, `mbu_share`: FLOPs, bytes / (paid device-seconds x peak of a device).
            - Figures with a `ratio` in the catalog, such as `joules_per_token`: the quotient of their counters.
            - `measured_to_predicted` of each part: measured / predicted seconds.
        """
        with self._lock:
            while len(self._states) > 1 and at_s - self._states[1][0] >= self._window_s:
                self._states.popleft()
            before_s, before = self._states[0]
            if at_s - self._states[-1][0] >= self._window_s / _KEPT:
                self._states.append((at_s, values))
        # A thread that was held up may bring a state from before the window.
        return self._gauges(_Change(before, values), at_s - before_s) if at_s > before_s else {}

    def _gauges(self, change: _Change, seconds: float) -> dict[Series, float]:
        reserved_s = change("reserved_s")
        shares = {
            "power_w": (change("energy_j"), seconds),
            "mfu_share": (change("model_flops"), _product(reserved_s, self._peaks["flop_per_s"])),
            "mbu_share": (change("model_bytes"), _product(reserved_s, self._peaks["byte_per_s"])),
        }
        for name, figure in LIVE_FIGURES.items():
            if ratio := figure.ratio:
                above, below = change.of(ratio.above, ratio.of_above), change.of(ratio.below, ratio.of_below)
                shares[name] = (_product(above, ratio.factor), below)
        found = {series(name): above / below for name, (above, below) in shares.items() if above is not None and below}
        for part in change.parts():
            measured_s, predicted_s = (change(name, (("part", part),)) for name in ("measured_s", "predicted_s"))
            if measured_s is not None and predicted_s:
                found[series("measured_to_predicted", part=part)] = measured_s / predicted_s
        return found


class _Change:
    """Differences of counters; absent ones were 0."""

    def __init__(self, before: Mapping[Series, float], after: Mapping[Series, float]) -> None:
        self._before = before
        self._after = after

    def __call__(self, figure: str, labels: Labels | None = None) -> float | None:
        """Return how far a counter moved, over all its labels or with some; None if it is absent or fell."""
        asked = [each for each in self._after if each.figure == figure and (labels is None or each.labels == labels)]
        moved = sum(self._after[each] - self._before.get(each, 0.0) for each in asked)
        return moved if asked and moved >= 0.0 else None

    def of(self, figure: str, label: str) -> float | None:
        """Return how far a counter moved, over all its labels or with one value of its label."""
        return self(figure, ((LIVE_FIGURES[figure].labels[0], label),) if label else None)

    def parts(self) -> list[str]:
        """Return the parts that have a prediction."""
        return [dict(each.labels)["part"] for each in self._after if each.figure == "predicted_s"]


def _product(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one * other
