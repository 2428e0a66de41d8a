"""The log of a monitor: a file of JSON lines that is appended to, rotated and bounded."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
import uuid
import warnings
import weakref
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from .. import _core
from .._checks import COUNT, Range, errors_of_writing, file_in_folder, flag, is_folder, number, text, whole
from .._escapes import visible_lines
from ..errors import InputError
from ..results.live_figures import COUNTER, LIVE_FIGURES
from .log_records import INFO, RUN, SCHEMA_VERSION, TIME, change_record, line_of, run_name, without_addresses
from .request_columns import RequestColumns
from .rotated_file import RotatedFile

if TYPE_CHECKING:
    from ..deployment import Deployment
    from ..results.live import Snapshot

_BYTES = Range(1e3, 1e12, "bytes")
_PRICE = Range(1e-9, 1e9, "USD/h", zero=True)
_MOST_WAITING = 200_000
"""Rows of requests that are kept while a log cannot be written."""


class LogNotWrittenWarning(UserWarning):
    """A log could not be written; the monitor goes on. Issued once until it can be written again."""


class MonitorLog:
    """Append the measurements of an observer to a file of JSON lines.

    Records of several runs and processes may be in one file: each is written by one call in append mode, and names its
    run. After the constructor nothing is raised. Data that cannot be written is kept: counters and distributions are
    part of the next record, and rows of requests wait for it, up to 200,000, beyond which they are counted in
    `dropped`. `append` may block as long as the disk does: call it where no request waits for it.

    A file is renamed to `NAME-<date>T<time>Z.jsonl` when it would exceed `rotate_bytes` or, with `rotate_daily`, when
    a day of UTC ends; the oldest of more than `keep` such files are deleted, so that logs need at most
    `(keep + 1) * rotate_bytes`.

    Args:
        path: The file, which may exist.
        deployment: Where and how the model runs.
        spec: The model as the commands accept it, such as `"hf:config.json"`.
        price_usd_per_h: Price of all devices; None takes the price of the first snapshot.
        plan: Reference of the plan, such as its path.
        start_s: Unix time at which the observer started; None takes the time of this call.
        rotate_bytes: Most bytes of a file.
        rotate_daily: Whether each day has a file.
        keep: Most renamed files.

    Attributes:
        dropped: Rows of requests that were not kept.

    Raises:
        FileAccessError: The file cannot be opened.
        InputError: A value is out of range.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        deployment: Deployment | None = None,
        spec: str | None = None,
        price_usd_per_h: float | None = None,
        plan: str | PathLike[str] | None = None,
        start_s: float | None = None,
        rotate_bytes: int = 2**26,
        rotate_daily: bool = True,
        keep: int = 32,
    ) -> None:
        self._path = file_in_folder(path)
        if is_folder(self._path):
            raise InputError(f"{self._path} is a folder; expected the path of a file, such as {self._path}/log.jsonl")
        self._rotation = (
            whole(rotate_bytes, "rotate_bytes", _BYTES),
            flag(rotate_daily, "rotate_daily"),
            whole(keep, "keep", COUNT),
        )
        self._start_s = time.time() if start_s is None else number(start_s, "start_s", TIME)
        self._about = {
            "deployment": None if deployment is None else deployment.to_dict(),
            "spec": None if spec is None else text(spec, "spec"),
            "plan": None if plan is None else os.fspath(plan),
        }
        self._price = None if price_usd_per_h is None else number(price_usd_per_h, "price_usd_per_h", _PRICE)
        try:
            line_of(self._about)
        except ValueError as error:
            raise InputError(
                f"the deployment has a value that JSON cannot hold ({error}); expected finite ones"
            ) from None
        self._own = uuid.uuid4().hex
        self._parent = ""
        self._renew()
        with errors_of_writing(self._path):
            self._file.open()
        _LOGS.add(self)

    def _renew(self) -> None:
        """Set the state that belongs to one process."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._file = RotatedFile(self._path, *self._rotation)  # marked with the runs whose header it has
        self._waiting: list[RequestColumns] = []
        self._last: Snapshot | None = None
        self._observer = self._run = ""  # the run as its observer calls it, and its name in the file
        self._warned = False
        self._notes: tuple[str, ...] = ()
        self.dropped = 0

    # ---- appending ----

    def append(self, snapshot: Snapshot, requests: RequestColumns | None = None) -> bool:
        """Append the changes since the last snapshot.

        Args:
            snapshot: Figures of this moment.
            requests: Requests that ended since then.

        Returns:
            Whether it is in the file. Otherwise it will be part of the next record.
        """
        try:
            with self._lock:
                if requests is not None and len(requests):
                    self._wait(requests)
                self._append(snapshot)
            return True
        except Exception as error:  # a failure of the log must not reach the model
            self._warn(error)
            return False

    def close(self) -> None:
        """Close the file. Rows that wait are tried no more; append the last snapshot before."""
        with self._lock:
            self.dropped += sum(map(len, self._waiting))
            self._waiting = []
            self._file.close()

    def __enter__(self) -> MonitorLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, requests: RequestColumns) -> None:
        space = _MOST_WAITING - sum(map(len, self._waiting))
        kept = requests.chosen(slice(0, max(0, space)))
        self.dropped += len(requests) - len(kept)
        if len(kept):
            self._waiting.append(kept)

    def _append(self, snapshot: Snapshot) -> None:
        observer = snapshot.info.get("run", self._own)
        forked = observer == self._parent
        run = run_name(observer, *([self._pid] if forked else []))
        if forked and self._last is None:
            # Totals of a forked observer include counts that its parent writes: only later ones are counted.
            self._last, self._observer, self._run = snapshot, observer, run
            return
        before = self._last if run == self._run else None
        change, from_s = self._change(before, snapshot)
        requests = RequestColumns.joined(self._waiting) if self._waiting else None
        notes = () if change.notes == self._notes else change.notes
        line = line_of(change_record(run, from_s, change, requests, notes))
        self._file.prepare(snapshot.time_s, len(line))
        header = b"" if self._file.has(run) else line_of(self._header(run, from_s, snapshot))
        self._file.write(header + line)
        self._file.mark(run)
        self._last, self._observer, self._run, self._notes = snapshot, observer, run, change.notes
        self._waiting = []
        self._warned = False

    def _change(self, before: Snapshot | None, now: Snapshot) -> tuple[Snapshot, float]:
        """Return the changes, and since when; counters that began again count in full."""
        if before is None:
            since = self._start_s if self._last is None else self._last.time_s
            return now, min(since, now.time_s)
        try:
            change = now.since(before)
            if all(v >= 0 or LIVE_FIGURES[each.figure].kind != COUNTER for each, v in change.values.items()):
                return change, before.time_s
        except InputError:
            pass
        note = "counters fell without a new run of the observer: they were taken as started again"
        return replace(now, notes=(*now.notes, note)), min(before.time_s, now.time_s)

    def _header(self, run: str, start_s: float, snapshot: Snapshot) -> dict[str, Any]:
        price = self._price if self._price is not None else snapshot.value("price_usd_per_h")
        return {
            "record": RUN,
            "schema_version": SCHEMA_VERSION,
            "run": run,
            "start_s": round(start_s, 6),
            "info": {name: snapshot.info[name] for name in INFO if name in snapshot.info},
            **self._about,
            "price_usd_per_h": price,
            "versions": {"pyinfercost": _core.__version__, "python": platform.python_version()},
            "notes": [without_addresses(each) for each in snapshot.notes],
        }

    def _warn(self, error: Exception) -> None:
        if self._warned:
            return
        self._warned = True
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        told = f"{self._path} cannot be written ({reason}); the next record will have the missing part"
        with contextlib.suppress(Warning):  # where warnings are errors
            warnings.warn(visible_lines(told), LogNotWrittenWarning, stacklevel=3)

    def _after_fork(self) -> None:
        """Begin anew in a child: the descriptor, the lock and the rows belong to its parent."""
        self._file.close()
        self._parent, self._start_s = self._observer or self._parent, time.time()
        self._renew()


_LOGS: weakref.WeakSet[MonitorLog] = weakref.WeakSet()


def _renew_all() -> None:
    for each in list(_LOGS):
        each._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
