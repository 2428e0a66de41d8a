"""A plain simulation of a fleet of slots, and autoscalers written from the documentation of their products.

Events stand in one heap; requests wait in one list for replicas with room, and in a replica for its slots. It has
nothing in common with the core but the rules. Of events at one time arrivals come first, then replicas that become
ready, then requests that finish, by the place of their replica, and decisions last.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

ARRIVAL, READY, FINISH, DECISION = range(4)


def ceiling(value: float) -> int:
    """Round up, but not for what lies above a whole number by the rounding of a quotient only."""
    return math.ceil(value - 1e-9 * max(1.0, value))


@dataclass
class View:
    """What an autoscaler sees: replicas, requests now, and the mean of the requests in each second that has passed."""

    time_s: float
    ready: int
    starting: int
    wanted: int
    in_flight: int
    seconds: Sequence[float]

    def mean(self, window: int) -> float:
        """Return the mean over the last seconds, or those there are."""
        last = self.seconds[-window:]
        return math.fsum(last) / len(last) if last else 0.0


class Rule(Protocol):
    """An autoscaler."""

    tick_s: float
    idle_first: bool

    def decide(self, view: View) -> int:
        """Return the replicas that there should be."""

    def poked(self, view: View) -> int:
        """Return the same, when a request finds no room."""


@dataclass
class KnativeRule:
    """https://knative.dev/docs/serving/autoscaling/kpa-specific/ and pkg/autoscaler/scaling/autoscaler.go."""

    target: float
    stable_s: int = 60
    panic_s: int = 6
    threshold: float = 2.0
    up: float = 1000.0
    down: float = 2.0
    delay_s: float = 0.0
    grace_s: float = 30.0
    activation: int = 1
    tick_s: float = 2.0
    idle_first: bool = False
    panic_since: float | None = None
    most: int = 0
    activating: bool = False
    zero_since: float | None = None
    decided: list[tuple[float, int]] = field(default_factory=list)

    def decide(self, view: View) -> int:
        """Follow the stable window, or both windows and never fewer replicas in panic."""
        if not view.seconds:
            return view.wanted
        pods = max(1, view.ready)
        if view.wanted == 0:
            self.activating = True
        if view.ready >= self.activation:
            self.activating = False

        def limited(raw: int) -> int:
            count = min(max(raw, math.floor(pods / self.down)), math.ceil(self.up * pods))
            return max(count, self.activation) if self.activating and count > 0 else count

        stable = ceiling(view.mean(self.stable_s) / self.target)
        panic = ceiling(view.mean(self.panic_s) / self.target)
        if panic / pods >= self.threshold:
            self.panic_since = view.time_s
        elif self.panic_since is not None and view.time_s >= self.panic_since + self.stable_s:
            self.panic_since, self.most = None, 0
        count = limited(stable)
        if self.panic_since is not None:
            count = self.most = max(self.most, count, limited(panic))
        if count == 0 < view.wanted and self.activating:
            return view.wanted
        if self.delay_s > 0:
            # A window of as many ticks as the delay has, this one among them.
            ticks = math.ceil(self.delay_s / self.tick_s)
            self.decided = [*self.decided, (view.time_s, count)][-ticks:]
            count = max(each for _, each in self.decided)
        if count > 0 or view.wanted == 0:
            self.zero_since = None
            return count
        if self.zero_since is None:
            self.zero_since = view.time_s
        return 0 if view.time_s >= self.zero_since + self.grace_s else 1

    def poked(self, view: View) -> int:
        """Start from zero: the activator asks at once."""
        if view.wanted > 0:
            return view.wanted
        self.activating = True
        return self.activation


@dataclass
class KubernetesRule:
    """https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/ with one metric of pods."""

    target: float
    tolerance: float = 0.1
    up_percent: float = 100.0
    up_pods: int = 4
    up_period_s: float = 15.0
    up_window_s: float = 0.0
    down_percent: float = 100.0
    down_period_s: float = 15.0
    down_window_s: float = 300.0
    tick_s: float = 15.0
    idle_first: bool = False
    advice: list[tuple[float, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)

    def advised(self, view: View) -> int:
        """Apply the formula to the pods that are ready, then to those that start as well."""
        load, now = view.in_flight / self.target, view.wanted
        ready, pods = max(view.ready, 0) or view.starting, view.ready + view.starting
        usage = load / max(1, ready)
        if usage > 1 and pods > ready:
            again = load / pods
            if again < 1:
                return now
            usage = again
        if abs(usage - 1) <= self.tolerance:
            return now
        return max(1, ceiling(load))

    def decide(self, view: View) -> int:
        """Stabilize the advice, then keep the rates of the policies."""
        if view.wanted == 0:
            return 0
        now, time = view.wanted, view.time_s
        advice = self.advised(view)
        self.advice.append((time, advice))
        lower = min([n for t, n in self.advice if t > time - self.up_window_s] + [advice])
        upper = max([n for t, n in self.advice if t > time - self.down_window_s] + [advice])
        # The replicas of now, moved into the interval of the two.
        wish = min(max(now, lower), upper)
        if wish > now:
            start = now - sum(n for t, n in self.changes if t > time - self.up_period_s)
            allowed = max(math.ceil(start * (1 + self.up_percent / 100) - 1e-9), start + self.up_pods)
            wish = max(now, min(wish, allowed))
        elif wish < now:
            start = now - sum(n for t, n in self.changes if t > time - self.down_period_s)
            wish = min(now, max(wish, math.floor(start * (1 - self.down_percent / 100) + 1e-9)))
        if wish != now:
            self.changes.append((time, wish - now))
        return wish

    def poked(self, view: View) -> int:
        """Do nothing: the controller looks at its turns only."""
        return view.wanted


@dataclass
class RayRule:
    """https://docs.ray.io/en/latest/serve/advanced-guides/advanced-autoscaling.html and autoscaling_policy.py."""

    target: float
    look_back_s: int = 30
    up_delay_s: float = 30.0
    down_delay_s: float = 600.0
    up_factor: float = 1.0
    down_factor: float = 1.0
    tick_s: float = 0.1
    idle_first: bool = True
    agreed: int = 0

    def decide(self, view: View) -> int:
        """Change the replicas once the loop has agreed for long enough."""
        if view.ready == 0:
            return self.poked(view) if view.in_flight else view.wanted
        wish = view.mean(self.look_back_s) / self.target
        factor = self.up_factor if wish > view.ready else self.down_factor
        count = ceiling(view.ready + factor * (wish - view.ready))
        if ceiling(wish) < view.ready == count:
            count -= 1
        if view.wanted > 1:
            count = max(1, count)
        if count == view.wanted:
            self.agreed = 0
            return count
        sign = 1 if count > view.wanted else -1
        self.agreed = self.agreed + sign if self.agreed * sign > 0 else sign
        delay_s = self.up_delay_s if sign > 0 else self.down_delay_s
        if abs(self.agreed) <= int(delay_s / self.tick_s + 1e-9):
            return view.wanted
        self.agreed = 0
        return count

    def poked(self, view: View) -> int:
        """Start from zero at once."""
        return max(view.wanted, math.ceil(self.up_factor)) if view.ready == 0 else view.wanted


@dataclass
class Request:
    """A request and its times."""

    arrival_s: float
    service_s: float
    started_s: float = math.nan
    finish_s: float = math.nan


@dataclass
class Replica:
    """Slots with a line before them."""

    place: int
    number: int
    state: str = "starting"
    line: list[Request] = field(default_factory=list)
    running: list[Request] = field(default_factory=list)

    def count(self) -> int:
        """Count its requests."""
        return len(self.line) + len(self.running)


@dataclass
class ReferenceFleet:
    """One pool with a rule."""

    rule: Rule
    slots: int
    concurrency: int
    min_replicas: int = 0
    max_replicas: int = 1 << 20
    start_replicas: int = 1
    cold_start_s: float = 0.0
    routing: str = "least_loaded"

    def run(self, arrival_s: Sequence[float], service_s: Sequence[float]) -> list[Request]:
        """Serve requests; `decisions` and `paid_s` are found as well."""
        self.decisions: list[tuple[float, int, int]] = []
        self.paid_s = 0.0
        self.now = 0.0
        self.seconds: list[float] = []
        self.area = 0.0
        self.inside = 0
        self.waiting: list[Request] = []
        self.replicas: list[Replica] = []
        self.made = 0
        self.order = 0
        self.heap: list[tuple[float, int, int, int, object]] = []
        self.wanted = min(max(self.start_replicas, self.min_replicas), self.max_replicas)
        for _ in range(self.wanted):
            self.make().state = "ready"
        found = [Request(*each) for each in zip(arrival_s, service_s, strict=True)]
        for each in found:
            self.push(each.arrival_s, ARRIVAL, 0, each)
        turn = 0
        self.push(0.0, DECISION, 0, None)
        left = len(found)
        while left:
            time, kind, place, _, what = heapq.heappop(self.heap)
            self.pass_to(time)
            if kind == ARRIVAL:
                assert isinstance(what, Request)
                self.arrive(what)
            elif kind == READY:
                assert isinstance(what, Replica)
                if what in self.replicas:
                    what.state = "ready"
                    self.dispatch()
            elif kind == FINISH:
                self.finish(next(each for each in self.replicas if each.place == place), what)
                left -= 1
            else:
                turn += 1
                self.push(turn * self.rule.tick_s, DECISION, 0, None)
                self.scale(self.rule.decide(self.view()))
        return found

    def push(self, time_s: float, kind: int, place: int, what: object) -> None:
        """Add an event."""
        self.order += 1
        heapq.heappush(self.heap, (time_s, kind, place, self.order, what))

    def pass_to(self, time_s: float) -> None:
        """Let time pass."""
        while time_s >= len(self.seconds) + 1:
            end = len(self.seconds) + 1
            self.area += self.inside * (end - self.now)
            self.paid_s += len(self.replicas) * (end - self.now)
            self.now = float(end)
            self.seconds.append(self.area)
            self.area = 0.0
        self.area += self.inside * (time_s - self.now)
        self.paid_s += len(self.replicas) * (time_s - self.now)
        self.now = time_s

    def kept(self) -> list[Replica]:
        """Replicas that start or are ready."""
        return [each for each in self.replicas if each.state != "draining"]

    def view(self) -> View:
        """Return the pool as its autoscaler sees it."""
        ready = sum(each.state == "ready" for each in self.replicas)
        starting = sum(each.state == "starting" for each in self.replicas)
        return View(self.now, ready, starting, self.wanted, self.inside, self.seconds)

    def make(self) -> Replica:
        """Create a replica in the first free place."""
        taken = {each.place for each in self.replicas}
        place = next(i for i in range(len(taken) + 1) if i not in taken)
        self.made += 1
        replica = Replica(place, self.made)
        self.replicas.append(replica)
        return replica

    def scale(self, count: int) -> None:
        """Start replicas, or let some leave: those that start first, and the newest first."""
        count = min(max(count, self.min_replicas), self.max_replicas)
        if count != self.wanted:
            self.decisions.append((self.now, self.wanted, count))
            self.wanted = count
        while len(self.kept()) < count:
            replica = self.make()
            if self.cold_start_s == 0:
                replica.state = "ready"
            else:
                self.push(self.now + self.cold_start_s, READY, 0, replica)
        kept = self.kept()

        def first_to_leave(each: Replica) -> tuple[bool, int, int]:
            return each.state != "starting", each.count() if self.rule.idle_first else 0, -each.number

        for replica in sorted(kept, key=first_to_leave)[: len(kept) - count]:
            replica.state = "draining"
            if replica.count() == 0:
                self.replicas.remove(replica)
        self.dispatch()

    def arrive(self, request: Request) -> None:
        """Hand a request over, or let it wait and tell the autoscaler."""
        self.inside += 1
        self.waiting.append(request)
        self.dispatch()
        if request in self.waiting:
            self.scale(self.rule.poked(self.view()))

    def dispatch(self) -> None:
        """Hand over what waits as long as a replica has room."""
        while self.waiting:
            room = [each for each in self.replicas if each.state == "ready" and each.count() < self.concurrency]
            if not room:
                return
            best = min(room, key=lambda each: (each.count() if self.routing == "least_loaded" else 0, each.place))
            best.line.append(self.waiting.pop(0))
            self.serve(best)

    def serve(self, replica: Replica) -> None:
        """Fill free slots."""
        while replica.line and len(replica.running) < self.slots:
            request = replica.line.pop(0)
            request.started_s = self.now
            replica.running.append(request)
            self.push(self.now + request.service_s, FINISH, replica.place, request)

    def finish(self, replica: Replica, request: object) -> None:
        """End the service of a request."""
        assert isinstance(request, Request)
        request.finish_s = self.now
        self.inside -= 1
        replica.running = [each for each in replica.running if each is not request]
        self.serve(replica)
        if replica.state == "draining" and replica.count() == 0:
            self.replicas.remove(replica)
        self.dispatch()
