"""Scripted observers of live models: a clock that a test moves, and a day with a peak, a slowdown and a restart."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import cos, exp, log, pi
from random import Random

from pyinfercost.monitor.history import Clock, History
from pyinfercost.results.live import Distribution, Series, Snapshot, series

DAY_S = 86_400
MIDNIGHT_S = 1_780_704_000.0  # 2026-06-06 00:00 UTC
BOUNDS = tuple(1e-3 * 1.05**number for number in range(240))


@dataclass
class Times:
    """A clock that a test moves."""

    elapsed_s: float = 1000.0
    unix_s: float = MIDNIGHT_S

    def go(self, seconds: float) -> None:
        self.elapsed_s += seconds
        self.unix_s += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.elapsed_s, lambda: self.unix_s)


@dataclass
class Scripted:
    """An observer whose totals a test sets."""

    times: Times
    values: dict[Series, float] = field(default_factory=dict)
    measured: dict[str, list[float]] = field(default_factory=dict)
    info: dict[str, str] = field(default_factory=lambda: {"model": "toy", "run": "1"})
    notes: tuple[str, ...] = ()
    fails: Exception | None = None

    def add(self, figure: str, amount: float, **labels: str) -> None:
        name = series(figure, **labels)
        self.values[name] = self.values.get(name, 0.0) + amount

    def gauge(self, figure: str, value: float, **labels: str) -> None:
        self.values[series(figure, **labels)] = value

    def took(self, figure: str, *seconds: float) -> None:
        self.measured.setdefault(figure, []).extend(seconds)

    def snapshot(self) -> Snapshot:
        if self.fails is not None:
            raise self.fails
        return Snapshot(
            self.times.unix_s,
            dict(self.values),
            {series(name): distribution_of(found) for name, found in self.measured.items()},
            dict(self.info),
            self.notes,
        )


def distribution_of(values: list[float], bounds: tuple[float, ...] = BOUNDS) -> Distribution:
    """Counts of values, each found by itself."""
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[sum(bound < value for bound in bounds)] += 1
    return Distribution(bounds, tuple(counts), sum(values))


class Day:
    """A language model over a day: a peak at 14:00, a slowdown, a restart with a cold start, and a sleeping machine."""

    SLOW_H = (10.5, 12.0)
    DOWN_H = (17.0, 17.06)
    COLD_H = (17.06, 17.2)
    ASLEEP_H = (3.0, 3.6)
    DRAWN = 200  # requests of an interval whose times are drawn; others take the same times

    def __init__(self, *, model: str = "llama-3.1-8b", seed: int = 1) -> None:
        self.times = Times()
        self.random = Random(seed)
        self.values: dict[Series, float] = {}
        self.counts = {name: [0] * (len(BOUNDS) + 1) for name in ("ttft_s", "tpot_s", "request_s", "queue_wait_s")}
        self.totals = dict.fromkeys(self.counts, 0.0)
        self.info = {
            "model": model,
            "hardware": "h100-sxm-80gb",
            "engine": "vllm 0.32",
            "precision": "bf16",
            "layout": "tensor=1",
            "observer": "sidecar",
            "run": "a",
        }
        self.notes = ("energy is that of the boards: NVML has no power of the host",)

    def _add(self, figure: str, amount: float, **labels: str) -> None:
        name = series(figure, **labels)
        self.values[name] = self.values.get(name, 0.0) + amount

    def _took(self, figure: str, seconds: float, requests: int) -> None:
        place = min(len(BOUNDS), max(0, int(log(max(seconds, 1e-3) / 1e-3) / log(1.05)) + 1))
        self.counts[figure][place] += requests
        self.totals[figure] += seconds * requests

    def go(self, seconds: float) -> None:
        """Let time pass, with what happens in it."""
        self.times.go(seconds)
        hour = (self.times.unix_s - MIDNIGHT_S) / 3600 % 24
        planned = 3.0 + 9.0 * exp(2.2 * (cos(2 * pi * (hour - 14) / 24) - 1))
        slow = 1.55 if self.SLOW_H[0] <= hour < self.SLOW_H[1] else 1.0
        down, cold = (low <= hour < high for low, high in (self.DOWN_H, self.COLD_H))
        replicas = 4 if 8 <= hour < 20 else 2
        busy = min(0.97, slow * planned / (4.2 * replicas))
        count = 0 if down or cold else max(0, round(self.random.gauss(planned * seconds, (planned * seconds) ** 0.5)))
        use = {"cold": 1.0} if down or cold else {"busy": busy, "idle": 1 - busy}
        for name, share in use.items():
            self._add("reserved_s", seconds * replicas * share, use=name)
            self._add("cost_usd", seconds * replicas * share * 2.99 / 3600, use=name)
        self._add("cold_starts", float(0 < (hour - self.COLD_H[0]) * 3600 <= seconds))
        self._add("restarts", float(0 < (hour - self.COLD_H[0]) * 3600 <= seconds))
        self._add("requests", count - (failed := sum(self.random.random() < 0.002 for _ in range(count))), outcome="ok")
        self._add("requests", failed, outcome="error")
        prompt, output = round(count * self.random.gauss(820, 20)), round(count * self.random.gauss(240, 6))
        self._add("prompt_tokens", prompt)
        self._add("cached_prompt_tokens", round(0.31 * prompt))
        self._add("output_tokens", output)
        self._add("energy_j", seconds * replicas * (110 + 480 * busy * (not (down or cold))))
        self._add("preemptions", float(busy > 0.9 and self.random.random() < 0.1))
        load = 1 / (1.02 - busy)
        drawn = min(count, self.DRAWN)
        for number in range(drawn):
            alike = (count + number) // drawn
            wait = self.random.expovariate(1 / (0.012 * load))
            ttft = slow * self.random.lognormvariate(log(0.11), 0.35) + wait
            tpot = slow * self.random.lognormvariate(log(0.011 + 0.006 * busy), 0.16)
            self._took("queue_wait_s", wait, alike)
            self._took("ttft_s", ttft, alike)
            self._took("tpot_s", tpot, alike)
            self._took("request_s", ttft + 239 * tpot, alike)
        for part, each_s, share in (("prefill", 0.1, 0.22), ("decode", 2.6, 0.15)):
            predicted = each_s * count
            real = predicted * slow * self.random.gauss(1.04 if part == "decode" else 0.93, 0.02)
            self._add("measured_s", real, part=part)
            self._add("predicted_s", predicted, part=part)
            self._add("predicted_low_s", predicted * (1 - share), part=part)
            self._add("predicted_high_s", predicted * (1 + share), part=part)
            self.values[series("measured_to_first", part=part)] = slow * self.random.gauss(1.01, 0.01)
        gauges = {
            "in_flight": 0 if down or cold else planned * slow * 3.1,
            "waiting": 0 if down or cold else max(0.0, load - 4),
            "kv_cache_use_share": 0 if down or cold else min(0.99, 0.06 * planned * slow / replicas * 2),
            "mfu_share": 0 if down or cold else 0.34 * busy / slow,
            "mbu_share": 0 if down or cold else 0.62 * busy / slow,
            "price_usd_per_h": replicas * 2.99,
            "planned_usd_per_h": (4 if 8 <= hour < 19 else 2) * 2.99,
            "planned_requests_per_s": planned,
            "planned_replicas": 4 if 8 <= hour < 19 else 2,
            "planned_usd_per_million_tokens": 1.3,
            "replicas": replicas,
            "up": float(not down),
        }
        self.values |= {series(name): value for name, value in gauges.items()}

    def snapshot(self) -> Snapshot:
        found = {
            series(name): Distribution(BOUNDS, tuple(counts), self.totals[name]) for name, counts in self.counts.items()
        }
        return Snapshot(self.times.unix_s, dict(self.values), found, dict(self.info), self.notes)


def day_history(hours: float = 24.0, *, day: Day | None = None, interval_s: float = 15.0) -> History:
    """The history of a scripted day, sampled as its thread would."""
    day = day or Day()
    history = History(day, interval_s=interval_s, clock=day.times.clock())
    history.sample()
    for _ in range(round(hours * 3600 / interval_s)):
        day.go(interval_s)
        hour = (day.times.unix_s - MIDNIGHT_S) / 3600 % 24
        if not Day.ASLEEP_H[0] <= hour < Day.ASLEEP_H[1]:
            history.sample()
    return history
