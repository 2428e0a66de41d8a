"""Worker processes for cases: a crash, a hang or a lack of memory ends one case instead of the run."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path

from zoo.check import Outcome, check
from zoo.families import family

# What a worker may allocate; a build that makes real weights of a large model ends here.
MEMORY_LIMIT_BYTES = 4 * 2**30
# A worker that holds more than this when a case is done is replaced.
WORKER_KEEPS_BYTES = 2 * 2**30
# How long a worker may take to import its libraries, before the time for its first case begins.
IMPORT_LIMIT_S = 120
_BEGINS = "begins"

Job = tuple[str, str]  # the file of cases, and the case's name in it


def run(jobs: list[tuple[Job, str]], workers: int, limit_s: float) -> Iterator[Outcome]:
    """Check cases in worker processes, and yield the outcome of each when it is done.

    Args:
        jobs: File of cases and name of a case, with its group.
        workers: Number of processes.
        limit_s: Time limit of a case, after which its process is ended.
    """
    waiting = list(reversed(jobs))
    running: list[_Worker] = []
    try:
        while waiting or any(worker.job for worker in running):
            while waiting and (free := _free(running, workers)) is not None:
                free.start(*waiting.pop())
            ready = wait([worker.connection for worker in running if worker.job], timeout=0.5)
            for worker in [worker for worker in running if worker.job]:
                outcome = worker.outcome(limit_s) if worker.connection not in ready else worker.received()
                if outcome is not None:
                    yield outcome
            running = [worker for worker in running if worker.process.is_alive()]
    finally:
        for worker in running:
            worker.end()


def _free(running: list[_Worker], most: int) -> _Worker | None:
    for worker in running:
        if worker.job is None and worker.process.is_alive():
            return worker
    if len(running) < most:
        running.append(_Worker())
        return running[-1]
    return None


class _Worker:
    """A process that checks one case after another."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.job: Job | None = None
        self.group = ""
        self.began = 0.0
        descriptor, name = tempfile.mkstemp(prefix="zoo-", suffix=".log")
        os.close(descriptor)
        self.log = Path(name)
        self.connection, far_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(far_end, name), daemon=True)
        self.process.start()
        far_end.close()

    def start(self, job: Job, group: str) -> None:
        """Send a case to the process."""
        self.job, self.group, self.began = job, group, time.monotonic() + IMPORT_LIMIT_S
        self.connection.send(job)

    def received(self) -> Outcome | None:
        """Return the received message: an outcome, or None at the beginning of a case.

        If the process has exited, this is the outcome.
        """
        try:
            message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            return self._failed(f"the process ended with code {self.process.exitcode}{self._last_words()}")
        if message == _BEGINS:
            self.began = time.monotonic()
            return None
        outcome, kept_bytes = message
        self.job = None
        if kept_bytes > WORKER_KEEPS_BYTES:
            self.end()
        assert isinstance(outcome, Outcome)
        return outcome

    def outcome(self, limit_s: float) -> Outcome | None:
        """Return None within the time limit of a case."""
        # Until it begins, it imports a library.
        if time.monotonic() < self.began + limit_s:
            return None
        return self._failed(f"not done after {limit_s:g} s{self._last_words()}")

    def _failed(self, text: str) -> Outcome:
        assert self.job is not None
        seconds = max(0.0, time.monotonic() - self.began)
        outcome = Outcome(self.job[1], self.group, failures=[text], seconds=seconds)
        self.job = None
        self.end()
        return outcome

    def _last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        # A traceback of the interpreter's begins where it stopped; anything else ends there.
        fatal = next((i for i, line in enumerate(said) if line.startswith("Fatal Python error")), len(said))
        words = said[fatal : fatal + 5] or said[-5:]
        return f"; it said: {' | '.join(words)[:500]}" if words else ""

    def end(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.kill()
        self.process.join()
        self.log.unlink(missing_ok=True)


def _serve(connection: Connection, log: str) -> None:
    with Path(log).open("a", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable(all_threads=False)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT_BYTES, most))
    import torch

    torch.set_num_threads(1)
    while True:
        try:
            name, case = connection.recv()
        except EOFError:
            return
        os.ftruncate(1, 0)
        found = family(name).cases[case]
        connection.send(_BEGINS)
        outcome = check(found)
        connection.send((outcome, _resident_bytes()))


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) if Path("/proc").is_dir() else 0
    return pages * resource.getpagesize()
