"""Recorded workloads: tables of CSV and Parquet with requests, as of `monitor export`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import numpy as np
from support.monitored import MONDAY_S, Observed, requests_at

import pyinfercost as ic
from pyinfercost.monitor.log import MonitorLog
from pyinfercost.monitor.recorded import export_workload
from pyinfercost.monitor.request_columns import RequestColumns

from ..door import Door, Figure, require
from ..mutate import INTEGERS, REALS, mutated_bytes, mutated_text
from ..values import Value

_WORDS = (",", "\n", "nan", "inf", "-1", "1e999", "9" * 400, "\0", "#", "# {", '"', "\ufeff", "service_s", "arrival_s")


class RecordedWorkloads(Door):
    """`read_trace` of a recorded workload, and its requests."""

    share = 2_000
    libraries = ("numpy.random", "pyarrow.parquet")
    _numbers = count()

    def seeds(self) -> Value:
        """Return the bytes of both forms, with tokens and with times in service."""
        found = []
        with tempfile.TemporaryDirectory() as folder:
            arrival = MONDAY_S + np.arange(6.0)
            timed = RequestColumns.of(arrival, start_s=arrival + 0.5, end_s=arrival + 0.75, items=[1, 2, 8, 1, 1, 1])
            for number, rows in enumerate((requests_at(arrival), timed)):
                log = Path(folder) / f"{number}.jsonl"
                with MonitorLog(log, start_s=MONDAY_S) as written:
                    written.append(Observed().snapshot(60.0), rows)
                for form in ("csv", "parquet"):
                    path = export_workload(log, Path(folder) / f"{number}.{form}").path
                    found.append({"form": form, "content": path.read_bytes()})
        return found

    def draw(self, random: Random) -> Value:
        """Return a form and bytes."""
        seed = random.choice(self.corpus)
        content = seed["content"]
        if seed["form"] == "parquet":
            for _ in range(random.randrange(3)):
                content = mutated_bytes(random, content)
            return {"form": "parquet", "content": content}
        text = content.decode()
        if random.random() < 0.4:
            text = text.replace(random.choice("012345"), str(random.choice((*INTEGERS, *REALS)))[:400], 1)
        for _ in range(random.randrange(4)):
            text = mutated_text(random, text, _WORDS)
        return {"form": "csv", "content": text.encode(errors="replace")}

    def run(self, value: Value) -> Iterator[Figure]:
        """Read the requests: their times ascend."""
        path = self.folder / f"{next(self._numbers)}.{value['form']}"
        try:
            path.write_bytes(value["content"])
            trace = ic.read_trace(path)
            options = {} if trace.has_lengths else {"prompt": 1, "output": 1}
            found = ic.Workload(trace=trace, **options).all()
            require((np.diff(found.arrival_s) >= 0).all(), "times ascend")
            if not len(found):
                return
            yield "first arrival", float(found.arrival_s[0])
            yield "last arrival", float(found.arrival_s[-1])
            if found.service_s is not None:
                yield "service_s", float(found.service_s.min())
        finally:
            path.unlink(missing_ok=True)
