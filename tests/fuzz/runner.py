"""The run: batches of inputs for doors in worker processes, and what failed, kept and shrunk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path

from .door import Door, load_door
from .failures import Failure, write
from .outcomes import DRAW, Outcome
from .shrink import shrink
from .values import Value
from .worker import Limits, Worker, in_process, input_of

_BATCH_S = 1.0
_BATCH = 2000
_FULL_SHARE = 10_000  # a door with less is slow and gets fewer inputs than others
_FAULTS = 25  # of a door that are kept and shrunk; further ones are counted


@dataclass
class Tally:
    """Numbers of one door.

    Attributes:
        share: Inputs of this door among those of all.
        given: Inputs given to workers, without those that were given back.
        next: Number of the first input that no batch has had.
        returned: Stretches of inputs that were given back: first number and count.
        accepted: Inputs that were accepted, with plausible figures.
        refused: Inputs that were refused with an error of the package.
        failed: Inputs that failed.
        seconds: Wall seconds of its batches, over all workers.
        slowest_s: CPU seconds of the slowest input that ended.
        slowest: Its number.
        peak_bytes: Most memory of a worker above its start, as far as it was seen.
        digest: Sum of the checksums of its inputs, which tells whether two runs had the same.
        faults: Failures by fault.
    """

    share: int
    given: int = 0
    next: int = 0
    returned: list[tuple[int, int]] = field(default_factory=list)
    accepted: int = 0
    refused: int = 0
    failed: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    slowest: int = -1
    peak_bytes: int = 0
    digest: int = 0
    faults: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        """Inputs that ended."""
        return self.accepted + self.refused + self.failed


@dataclass
class _Batch:
    door: str
    first: int
    count: int
    began: float


class Run:
    """One run of the fuzzer.

    Args:
        doors: Doors by name.
        seed: Seed of all inputs.
        inputs: Inputs after which the run ends; None for no limit.
        each: Inputs of each door after which the run ends; None for no limit.
        seconds: Seconds after which the run ends; None for no limit.
        jobs: Worker processes.
        limits: Limits of each input.
        keep: Folder for failing inputs.
        shrink_s: Seconds to shrink one failing input.
        say: Prints a line.
    """

    def __init__(
        self,
        doors: Mapping[str, Door],
        *,
        seed: int,
        inputs: int | None,
        each: int | None,
        seconds: float | None,
        jobs: int,
        limits: Limits,
        keep: Path,
        shrink_s: float = 20.0,
        say: Callable[[str], None] = print,
    ) -> None:
        self.doors = doors
        self.seed = seed
        self.inputs = inputs
        self.each = each
        self.until = None if seconds is None else time.monotonic() + seconds
        self.jobs = jobs
        self.limits = limits
        self.keep = keep
        self.shrink_s = shrink_s
        self.say = say
        self.tallies = {name: Tally(door.share) for name, door in doors.items()}
        self.failures: list[Failure] = []
        self._running: dict[Worker, _Batch | None] = {}

    def run(self) -> None:
        """Run until inputs or time are used up."""
        began = said = time.monotonic()
        try:
            while True:
                self._feed()
                busy = [worker for worker, batch in self._running.items() if batch]
                if not busy:
                    return
                wait([worker.connection for worker in busy], timeout=0.05)
                for worker in busy:
                    self._look(worker)
                if time.monotonic() - said > 60:
                    said = time.monotonic()
                    done = sum(tally.inputs for tally in self.tallies.values())
                    failed = sum(tally.failed for tally in self.tallies.values())
                    self.say(f"{said - began:,.0f} s: {done:,} inputs, {failed:,} failed")
        finally:
            for worker in self._running:
                worker.end()

    def _feed(self) -> None:
        """Give a batch to each worker that has none, and start missing workers."""
        while len(self._running) < self.jobs:
            self._running[Worker(self.doors, self.seed, self.limits)] = None
        for worker, batch in self._running.items():
            if batch is None and (new := self._next_batch()):
                self._running[worker] = new
                worker.connection.send(("run", new.door, new.first, new.count, _BATCH_S))

    def _next_batch(self) -> _Batch | None:
        """Return a batch of the door that is furthest behind its share."""
        if self.until is not None and time.monotonic() >= self.until:
            return None
        left = {name: self._left(tally) for name, tally in self.tallies.items()}
        waiting = [(name, tally) for name, tally in self.tallies.items() if left[name] > 0]
        if not waiting:
            return None
        name, tally = min(waiting, key=lambda item: item[1].given / item[1].share)
        count = min(_BATCH, tally.share, left[name])
        if tally.returned:
            first, available = tally.returned.pop()
            if available > count:
                tally.returned.append((first + count, available - count))
            count = min(count, available)
        else:
            first = tally.next
            tally.next += count
        tally.given += count
        return _Batch(name, first, count, time.monotonic())

    def _left(self, tally: Tally) -> int:
        """Return how many inputs a door may still get."""
        left = _BATCH
        if self.inputs is not None:
            left = min(left, self.inputs - sum(other.given for other in self.tallies.values()))
        if self.each is not None:
            left = min(left, -(-self.each * min(tally.share, _FULL_SHARE) // _FULL_SHARE) - tally.given)
        return left

    def _look(self, worker: Worker) -> None:
        """Take what a worker says, or end it where it exceeds a limit or has ended by itself."""
        batch = self._running[worker]
        assert batch is not None
        broken = None
        try:
            while worker.connection.poll(0):
                kind, *message = worker.connection.recv()
                if kind == "done":
                    self._close(worker, batch, message[0])
                    self._running[worker] = None
                    return
                self._fail(batch, message[0], message[1])
        except (EOFError, ConnectionResetError):
            number = max(batch.first, worker.counters.read()[0])
        else:
            number = worker.counters.read()[0]
            if number < batch.first:
                return
            broken = worker.broken_limit((batch.door, number))
            if broken is None:
                return
        door = self.doors[batch.door]
        outcome = worker.end_of(door, input_of(door, batch.door, self.seed, number), broken)
        self._fail(batch, number, outcome)
        self._close(worker, batch, number + 1 - batch.first)
        del self._running[worker]
        worker.end()

    def _close(self, worker: Worker, batch: _Batch, ran: int) -> None:
        """Add a batch to the tally of its door; inputs that did not run are given to a later one."""
        tally = self.tallies[batch.door]
        _, accepted, refused, slowest_s, slowest, digest = worker.counters.read()
        tally.digest = (tally.digest + digest) % 2**32
        tally.accepted += accepted
        tally.refused += refused
        tally.seconds += time.monotonic() - batch.began
        tally.peak_bytes = max(tally.peak_bytes, worker.peak_bytes)
        if slowest_s > tally.slowest_s:
            tally.slowest_s, tally.slowest = slowest_s, slowest
        if ran < batch.count:
            tally.given -= batch.count - ran
            tally.returned.append((batch.first + ran, batch.count - ran))

    def _fail(self, batch: _Batch, number: int, outcome: Outcome) -> None:
        tally = self.tallies[batch.door]
        tally.failed += 1
        known = tally.faults.get(outcome.fault, 0)
        tally.faults[outcome.fault] = known + 1
        if known or len(tally.faults) > _FAULTS:
            return
        failure = Failure(batch.door, self.seed, number, outcome.kind, outcome.what, outcome.text, None)
        self.say(f"{batch.door}: input {number}: {outcome.kind}: {outcome.what}")
        self.failures.append(failure)

    def shrink_failures(self) -> None:
        """Make an input of each fault smaller, write it to a file and print how to run it again."""
        for failure in self.failures:
            door = self.doors[failure.door]
            if failure.kind == DRAW:
                self.say(f"\n{failure.door} cannot draw input {failure.number} of seed {failure.seed}:\n{failure.text}")
                continue
            value = input_of(door, failure.door, failure.seed, failure.number)
            trials = _Trials(partial(Worker, self.doors, self.seed, self.limits), failure)
            try:
                if trials.fails(value):
                    value, text = shrink(value, trials.fails, seconds=self.shrink_s), trials.text
                else:
                    text = f"{failure.text}\nAlone, in a new process, this input does not fail so."
            finally:
                trials.end()
            path = write(self.keep, failure._replace(value=value, text=text))
            self.say(
                f"\n{failure.door}: {failure.kind}: {failure.what}\n{text.strip()[-1500:]}\n"
                f"run it again: nox -s fuzz -- --replay {path}"
            )


class _Trials:
    """Inputs tried one by one in a worker, which is replaced when it ends."""

    def __init__(self, start: Callable[[], Worker], failure: Failure) -> None:
        self._start = start
        self._failure = failure
        self._worker = self._start()
        self.text = failure.text

    def fails(self, value: Value) -> bool:
        """Whether an input fails as the failure did."""
        outcome = self._worker.outcome(self._failure.door, value)
        if not self._worker.process.is_alive():
            self.end()
            self._worker = self._start()
        if outcome.fault != (self._failure.kind, self._failure.what):
            return False
        self.text = outcome.text
        return True

    def end(self) -> None:
        """End the worker."""
        self._worker.end()


def prepared(rows: Mapping[str, str]) -> dict[str, Door]:
    """Return doors by name, with their libraries imported and their seeds made.

    Args:
        rows: Doors by name, each as `module:Class`.
    """
    doors = {name: load_door(path) for name, path in rows.items()}
    for door in doors.values():
        for library in door.libraries:
            import_module(library)
    for door in doors.values():
        if type(door).seeds is not Door.seeds:
            door.corpus = in_process(door.seeds)
    return doors
