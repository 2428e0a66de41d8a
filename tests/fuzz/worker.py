"""Worker processes: forked from the runner, they give one input after another to a door and are ended from outside."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import mmap
import multiprocessing
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any

from .door import Door
from .outcomes import DRAW, HANG, MEMORY, OK, SIGNAL, Outcome, outcome_of, outcome_of_end
from .values import Value

FORK = multiprocessing.get_context("fork")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_NONE = -1
_DEEPEST = 10_000


@dataclass(frozen=True)
class Limits:
    """Limits of each input.

    Attributes:
        cpu_s: Seconds of processor time.
        wall_s: Seconds, for what waits forever.
        memory_bytes: Bytes above what the process held when it started.
        address_space: Whether the address space is limited, too: then an allocation beyond the limit fails at once.
            Sanitizers reserve too much of it.
    """

    cpu_s: float = 2.0
    wall_s: float = 60.0
    memory_bytes: int = 2**30
    address_space: bool = True


def input_of(door: Door, name: str, seed: int, number: int) -> Value:
    """Return the input of a door, a seed and a number; it is the same on every run."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(_DEEPEST)  # some inputs are nested deeply
    try:
        return door.draw(Random(f"{name}/{seed}/{number}"))
    finally:
        sys.setrecursionlimit(limit)


class Counters:
    """Numbers that a worker writes and its runner reads, also after the worker ended."""

    _FORMAT = struct.Struct("=qqqdqq")

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, self._FORMAT.size)
        self.write(_NONE, 0, 0, 0.0, _NONE, 0)

    def write(self, number: int, accepted: int, refused: int, slowest_s: float, slowest: int, digest: int) -> None:
        """Write the number of the input that runs now, and counts since the start of the batch."""
        self._FORMAT.pack_into(self._shared, 0, number, accepted, refused, slowest_s, slowest, digest)

    def read(self) -> tuple[int, int, int, float, int, int]:
        """Return what was written last."""
        number, accepted, refused, slowest_s, slowest, digest = self._FORMAT.unpack_from(self._shared, 0)
        return number, accepted, refused, slowest_s, slowest, digest


class Worker:
    """A worker process, seen from the runner."""

    def __init__(self, doors: Mapping[str, Door], seed: int, limits: Limits) -> None:
        self.limits = limits
        self.seed = seed
        self.doors = doors
        self.counters = Counters()
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.log = self.folder / "stderr"
        self.log.touch()
        self.connection, far = FORK.Pipe()
        self.process = FORK.Process(target=_serve, args=(far, self), daemon=True)
        self.process.start()
        far.close()
        self.start_bytes = self.resident_bytes()
        self.peak_bytes = 0
        self._watched: tuple[object, float, float] = (None, 0.0, 0.0)

    def resident_bytes(self) -> int:
        """Return the bytes of memory that the process holds."""
        try:
            return int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
        except (OSError, IndexError):
            return 0

    def cpu_s(self) -> float:
        """Return the seconds of processor time that the process has used."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / _TICKS if len(fields) > 12 else 0.0

    def broken_limit(self, input_id: object) -> str | None:
        """Return `hang` or `memory` if the input that runs exceeds its limit.

        Args:
            input_id: What tells this input from the one before.
        """
        now, cpu_s = time.monotonic(), self.cpu_s()
        if self._watched[0] != input_id:
            self._watched = (input_id, now, cpu_s)
        _, began, began_cpu_s = self._watched
        if cpu_s - began_cpu_s > self.limits.cpu_s + 0.1 or now - began > self.limits.wall_s:
            return HANG
        above = self.resident_bytes() - self.start_bytes
        self.peak_bytes = max(self.peak_bytes, above)
        return MEMORY if above > self.limits.memory_bytes else None

    def end(self) -> None:
        """End the process and remove its files."""
        self.process.kill()
        self.process.join()
        self.connection.close()
        for path in sorted(self.folder.rglob("*"), reverse=True):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def end_of(self, door: Door, value: Value, kind: str | None) -> Outcome:
        """End a process that exceeds a limit or has ended by itself, and return the outcome of its input.

        Args:
            door: The door.
            value: The input that ran.
            kind: The limit that it exceeds; None if the process has ended.
        """
        if kind is not None and self.process.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGUSR1)  # writes the stack to the log
            time.sleep(0.1)
            self.process.kill()
        self.process.join()
        code = self.process.exitcode or 0
        how = kind or (signal.Signals(-code).name if code < 0 else f"exit {code}")
        with contextlib.suppress(OSError):
            log = self.log.read_text(encoding="utf-8", errors="replace")
            return outcome_of_end(door, value, kind or SIGNAL, how, log)
        return Outcome(kind or SIGNAL, how)

    def outcome(self, door: str, value: Value) -> Outcome:
        """Give one input to a door and wait for what it leads to. After a failure of the process it is ended."""
        trial = object()
        try:
            self.connection.send(("try", door, value))
            while not self.connection.poll(0.02):
                broken = self.broken_limit(trial)
                if broken or not self.process.is_alive():
                    if not broken and self.connection.poll(0):
                        break
                    return self.end_of(self.doors[door], value, broken)
            answer: Outcome = self.connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return self.end_of(self.doors[door], value, None)
        return answer


def in_process(function: Any, *arguments: Any) -> Any:
    """Return the result of a function that runs in a forked process, so that its threads and caches end with it."""
    near, far = FORK.Pipe()
    process = FORK.Process(target=lambda: far.send(function(*arguments)), daemon=True)
    process.start()
    far.close()
    try:
        return near.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"{function} ended with exit code {process.exitcode} in a process of its own") from None
    finally:
        process.join()
        near.close()


def _serve(connection: Connection, worker: Worker) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner ends its workers
    descriptor = os.open(worker.log, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    if worker.limits.address_space:  # not beside a sanitizer, which handles signals itself
        faulthandler.enable()
        space = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * _PAGE
        resource.setrlimit(resource.RLIMIT_AS, (space + worker.limits.memory_bytes,) * 2)
    faulthandler.register(signal.SIGUSR1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    gc.freeze()
    for door in worker.doors.values():
        door.folder = worker.folder
    while True:
        try:
            order, *arguments = connection.recv()
        except EOFError:
            return
        if order == "try":
            door, value = arguments
            connection.send(outcome_of(worker.doors[door], value, worker.limits.cpu_s))
        else:
            _run_batch(connection, worker, *arguments)


def _drawn_and_run(door: Door, name: str, number: int, worker: Worker) -> tuple[Outcome, int]:
    """Return what an input led to, and its checksum."""
    try:
        value = input_of(door, name, worker.seed, number)
        checksum = zlib.crc32(repr(value).encode(errors="surrogatepass"))
    except Exception as error:
        return Outcome(
            DRAW,
            type(error).__name__,
            "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=-5)),
        ), 0
    return outcome_of(door, value, worker.limits.cpu_s), checksum


def _run_batch(connection: Connection, worker: Worker, name: str, first: int, count: int, seconds: float) -> None:
    """Run inputs from a number on; each failure is sent at once, and the numbers of all at the end."""
    door = worker.doors[name]
    until = time.monotonic() + seconds
    accepted = refused = digest = 0
    slowest_s, slowest = 0.0, _NONE
    for number in range(first, first + count):
        worker.counters.write(number, accepted, refused, slowest_s, slowest, digest)
        outcome, checksum = _drawn_and_run(door, name, number, worker)
        digest += checksum
        if outcome.failed:
            connection.send(("failed", number, outcome))
        elif outcome.kind == OK:
            accepted += 1
        else:
            refused += 1
        if outcome.seconds > slowest_s:
            slowest_s, slowest = outcome.seconds, number
        if time.monotonic() > until:
            count = number + 1 - first
            break
    worker.counters.write(_NONE, accepted, refused, slowest_s, slowest, digest)
    connection.send(("done", count))
