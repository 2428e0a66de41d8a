"""Stored sweeps that are disturbed: `python tests/sweeps/kills.py --trials 50` kills, interrupts and starves them.

Each trial disturbs a run at a random moment, repeats the call without a disturbance, and compares each byte of the
folder with an undisturbed run. The table tells how many trials were hit in the middle, and how many ended equal.
Processes are forked, so this runs where there is `os.fork`.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import click
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.errors import FileAccessError
from pyinfercost.sources.captured import Captured
from pyinfercost.sweeps.axes import make_spec
from pyinfercost.sweeps.execute import Run
from pyinfercost.sweeps.storage import run_to_folder

GRID: dict[str, Any] = {
    "hardware": ["a100-sxm-80gb", "t4"],
    "precision": ["fp32", "fp16"],
    "scale": {"bandwidth": [1 + step / 64 for step in range(40)]},
    "price": 2.5,
}
BATCH = range(1, 1001)
PART_POINTS = 4000
PARTS = 40  # 2 machines x 2 precisions x 40 bandwidths x 1,000 batches / 4,000
INTERRUPTED = 7
REFUSED = 8
HANGS_S = 120.0
MOST_PER_HIT = 4  # a disturbance may come when the run has ended


class Outcome(NamedTuple):
    """One trial: whether it was hit in the middle, and whether the repeated call gave the undisturbed folder."""

    hit: bool
    equal: bool


def run_of(**options: Any) -> Run:
    """Return the run of every trial."""
    spec = make_spec(Captured(blocks(), {"batch": BATCH}, {}, "toy"), **GRID)
    return Run(spec, None, **{"chunk_points": PART_POINTS, "workers": 2, "progress": False, **options})


def content(path: Path) -> dict[str, bytes]:
    """Return the files of a folder, without those of writers that were killed."""
    return {file.name: file.read_bytes() for file in path.iterdir() if not file.name.endswith(".tmp")}


class Trials:
    """An undisturbed run, and trials beside it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        run_to_folder(run_of(), folder / "warm")  # the first run makes plans
        start = time.monotonic()
        run_to_folder(run_of(), folder / "whole")
        self.seconds = time.monotonic() - start
        self.whole = content(folder / "whole")
        self.number = 0

    def new(self) -> Path:
        """Return a folder for a trial."""
        self.number += 1
        return self.folder / f"trial-{self.number}"

    def moment(self) -> float:
        """Return a random moment of a run, in seconds from its start."""
        return self.random.uniform(0, self.seconds)

    def completed(self, path: Path, hit: bool, **options: Any) -> Outcome:
        """Repeat the call and compare."""
        stored = run_to_folder(run_of(**options), path)
        equal = stored.complete and content(path) == self.whole
        if equal:
            shutil.rmtree(path)
        return Outcome(hit, equal)

    def forked(self, path: Path, before: Callable[[], None] = lambda: None) -> int:
        """Start a run in a forked process, which exits with 0, `INTERRUPTED` or `REFUSED`; return its id."""
        run = run_of()  # here: `before` may take away what it reads
        if child := os.fork():
            return child
        code = 1
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            before()
            run_to_folder(run, path)
            code = 0
        except ic.SweepInterrupted as stopped:
            partial = stopped.partial
            code = INTERRUPTED if len(partial) == PART_POINTS * len(partial.parts) else 1
        except KeyboardInterrupt:  # before the sweep, or when it was done
            code = INTERRUPTED
        except FileAccessError as error:
            code = REFUSED if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EACCES, errno.EROFS) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    # ---- disturbances ----

    def kill(self) -> Outcome:
        """`kill -9` of the process."""
        path = self.new()
        child = self.forked(path)
        time.sleep(self.moment())
        os.kill(child, signal.SIGKILL)
        status = waited(child)
        return self.completed(path, os.WIFSIGNALED(status) and path.exists())

    def interrupt(self) -> Outcome:
        """Ctrl-C, in every third trial twice."""
        path = self.new()
        child = self.forked(path)
        time.sleep(self.moment())
        for _ in range(2 if self.number % 3 == 0 else 1):
            os.kill(child, signal.SIGINT)
            time.sleep(0.01)
        code = os.waitstatus_to_exitcode(waited(child))
        outcome = self.completed(path, code != 0)
        # A second Ctrl-C may come while the process reports the first one, or before Python has its handler.
        return outcome if code in (0, INTERRUPTED, -signal.SIGINT) or self.number % 3 == 0 else Outcome(True, False)

    def full_disk(self) -> Outcome:
        """A disk that is full: a small file system in memory, or without the right to mount one a limit on files."""
        place = self.new()
        place.mkdir()
        size = self.random.randrange(16, sum(map(len, self.whole.values())) // 1024)
        options = f"size={size}k"
        mounted = mount("-t", "tmpfs", "-o", options, "tmpfs", str(place))
        try:
            path = place / "grid"
            limit = (lambda: None) if mounted else limit_files
            code = os.waitstatus_to_exitcode(waited(self.forked(path, limit)))
            if mounted:
                mount("-o", "remount,size=64m", str(place))
            outcome = self.completed(path, code == REFUSED)
            return outcome if code in (0, REFUSED) else Outcome(True, False)
        finally:
            if mounted:
                subprocess.run(["umount", str(place)], check=False)

    def read_only(self) -> Outcome:
        """A folder that becomes read-only in the middle, or is so from the start."""
        path = self.new()
        child = self.forked(path, as_nobody(path, self.folder))
        time.sleep(self.moment())
        with suppress(FileNotFoundError):
            path.chmod(0o555)
        code = os.waitstatus_to_exitcode(waited(child))
        if path.exists():
            path.chmod(0o755)
        outcome = self.completed(path, code == REFUSED)
        return outcome if code in (0, REFUSED) else Outcome(True, False)

    def two_writers(self) -> Outcome:
        """Two runs into one folder, one of which is killed in every second trial."""
        path = self.new()
        children = [self.forked(path), self.forked(path)]
        if self.number % 2:
            time.sleep(self.moment())
            os.kill(children[0], signal.SIGKILL)
        codes = [os.waitstatus_to_exitcode(waited(child)) for child in children]
        if codes[1] != 0 or codes[0] not in (0, -signal.SIGKILL):
            return Outcome(True, False)
        equal = content(path) == self.whole  # without a further call: the second writer finished
        return self.completed(path, True) if equal else Outcome(True, False)

    def pool_worker(self) -> Outcome:
        """`kill -9` of a worker of a process pool."""
        path = self.new()
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            pool.submit(os.getpid).result()
            return self._worker_killed(path, pool, lambda: list(pool._processes))

    def dask_worker(self) -> Outcome:
        """`kill -9` of a worker of a dask cluster."""
        import distributed

        with (
            distributed.LocalCluster(
                n_workers=2, processes=True, threads_per_worker=1, dashboard_address=":0", silence_logs="CRITICAL"
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            workers = list(client.run(os.getpid).values())
            return self._worker_killed(self.new(), client.get_executor(), lambda: workers)

    def _worker_killed(self, path: Path, executor: Any, workers: Callable[[], list[int]]) -> Outcome:
        parts = self.random.randrange(1, PARTS // 2)
        hit = []

        def kill(done: int, total: int) -> None:
            if not hit and done >= parts * PART_POINTS:
                hit.append(self.random.choice(workers()))
                os.kill(hit[0], signal.SIGKILL)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            stored = run_to_folder(run_of(executor=executor, progress=kill), path)
        if not stored.complete or content(path) != self.whole:
            return Outcome(bool(hit), False)
        return self.completed(path, bool(hit))

    def damage(self) -> Outcome:
        """Bytes of random parts overwritten, cut off or exchanged on the disk."""
        path = shutil.copytree(self.folder / "whole", self.new())
        for number in self.random.sample(range(PARTS), 3):
            part = path / f"part-{number:08d}.parquet"
            data = bytearray(part.read_bytes())
            place, length = self.random.randrange(len(data)), self.random.randrange(1, 4096)
            kind = self.random.randrange(4)
            if kind == 0:
                data[place : place + length] = bytes(len(data[place : place + length]))
            elif kind == 1:
                del data[place:]
            elif kind == 2:
                data[place] ^= 1 << self.random.randrange(8)
            else:
                data = bytearray((path / f"part-{(number + 1) % PARTS:08d}.parquet").read_bytes())
            part.write_bytes(data)
        return self.completed(path, True)

    def fork(self) -> Outcome:
        """A fork while four threads sweep; the child computes a sweep into a folder."""
        stop = threading.Event()

        def use() -> None:
            while not stop.is_set():
                ic.sweep(blocks(), batch=range(1, 300), where="cost_usd > 0", workers=2, progress=False, **GRID)

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(self.random.uniform(0, 0.05))
        path = self.new()
        child = self.forked(path)
        code = waited(child)
        stop.set()
        for thread in threads:
            thread.join()
        return self.completed(path, True) if code == 0 else Outcome(True, False)


def waited(child: int) -> int:
    """Return the status of a process; one that hangs is killed, and has the status of that."""
    end = time.monotonic() + HANGS_S
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.005)
    click.echo(f"process {child} hangs", err=True)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 1 << 8


def mount(*arguments: str) -> bool:
    """Mount a file system, if this process may."""
    return (
        shutil.which("mount") is not None
        and not subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode
    )


def limit_files() -> None:
    """Let this process write no file of more than 8 kB."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))


def as_nobody(path: Path, above: Path) -> Callable[[], None]:
    """Return a function after which a process has no right to write into a read-only folder."""
    if os.getuid() != 0:
        return lambda: None
    above.chmod(0o755)
    path.mkdir(mode=0o755)
    os.chown(path, 65534, 65534)
    return lambda: os.setuid(65534)


KINDS = {
    "kill": Trials.kill,
    "interrupt": Trials.interrupt,
    "full_disk": Trials.full_disk,
    "read_only": Trials.read_only,
    "two_writers": Trials.two_writers,
    "pool_worker": Trials.pool_worker,
    "dask_worker": Trials.dask_worker,
    "damage": Trials.damage,
    "fork": Trials.fork,
}


def main() -> None:
    """Run trials of each kind and print how they ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=50, help="Trials of each kind that hit a run in the middle.")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="sweeps-") as name:
        trials = Trials(Path(name), given.seed)
        for kind in given.kinds.split(","):
            start = time.monotonic()
            outcomes: list[Outcome] = []
            while sum(each.hit for each in outcomes) < given.trials and len(outcomes) < MOST_PER_HIT * given.trials:
                outcomes.append(KINDS[kind](trials))
            result[kind] = {
                "trials": len(outcomes),
                "hit": sum(outcome.hit for outcome in outcomes),
                "equal": sum(outcome.equal for outcome in outcomes),
                "seconds": round(time.monotonic() - start, 1),
            }
            if not given.json:
                told = ", ".join(f"{value} {key}" for key, value in result[kind].items())
                click.echo(f"{kind}: {told}")
    if given.json:
        click.echo(json.dumps(result))
    sys.exit(any(counts["equal"] != counts["trials"] for counts in result.values()))


if __name__ == "__main__":
    main()
