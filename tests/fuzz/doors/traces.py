"""Request traces: files of every format, damaged, with long lines and values at which parsers change."""

from __future__ import annotations

import json
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
from ..mutate import INTEGERS, REALS, broken_json, mutate, mutated_bytes, mutated_text
from ..values import Value

_TABLES = {
    "day.csv": "start_s,requests\n0,5\n60,0\n120,7\n",
    "rates.csv": "start_utc,requests_per_h\n2026-01-01T00:00:00,90\n2026-01-01T01:00:00,0\n",
    "weekly.csv": "time_utc,requests_per_min_mid_rescaled\n2026-01-01T00:03:36,1.5\n2026-01-01T00:10:49,2\n",
    "x_inv.csv": "HashFunction,HashOwner,HashApp,1,2\naaaaaaaa,o,p,3,0\nbbbbbbbb,o,p,0,4\n",
    "azure.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9,48,10\n2023-11-16 18:17:04.0,3,8\n",
    "burst.csv": "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,a,4,8,9,b\n6,a,4,8,9,b\n",
}
_LINES = {
    "mooncake.jsonl": [{"timestamp": 7, "input_length": 700, "output_length": 9, "hash_ids": [1, 2]}] * 3,
    "prompts.jsonl": [{"prompt": "three words here", "output_tokens": 4}] * 3,
}
_TREES: dict[str, Value] = {
    "bench.json": {"input_lens": [4, 5, 6], "output_lens": [1, 2, 3], "start_times": [0.5, 0.25, 9.0]},
    "talks.json": [
        {"conversations": [{"from": who, "value": "some words"} for who in ("human", "gpt", "human", "gpt")]},
        {"messages": [{"role": who, "content": "words"} for who in ("user", "assistant")]},
    ],
}
_WORDS = (
    *(",", "\n", "\r", "nan", "inf", "-1", "1e999", "1e-320", "9" * 400, "\0", "#", "# {", '"', "\ufeff", "\u0663"),
    *(
        "service_s",
        "arrival_s",
        "1e12",
        "0001-01-01",
        "9999-12-31T23:59:59Z",
        "2024-02-30",
        "2024-05-10T00:00:01-12:30",
    ),
)
_LONG = (",", "[", '{"a":', '"', "a", "1,", "[],", "\n", " ", "#")
_OPTIONS: dict[str, tuple[str | None, ...]] = {
    "holes": (None, "keep", "close", "error"),
    "disorder": ("error", "sort"),
    "bad_rows": ("error", "drop"),
    "turns": ("first", "all"),
}
_RULES: dict[str, tuple[tuple[float, ...], ...]] = {
    "scaled": ((2,), (0.5,)),
    "thinned": ((0.5,),),
    "between": ((0, 10), (1, 1e9)),
    "repeated": ((3,),),
    "resampled": ((20,),),
    "at_rate": ((3,),),
    "faster": ((2,), (1e-6,), (1e6,)),
}
_MOST = 100_000  # requests that are looked at: a bin may have a billion


class Traces(Door):
    """`read_trace` of a file, its rules, its figures and its requests."""

    share = 20_000
    libraries = ("numpy.random", "pyarrow.parquet")
    _numbers = count()

    def seeds(self) -> Value:
        """Return names and bytes of files: of each format, and of recorded workloads with tokens or with times."""
        found = {name: text.encode() for name, text in _TABLES.items()}
        found |= {name: "\n".join(map(json.dumps, lines)).encode() for name, lines in _LINES.items()}
        found |= {name: json.dumps(tree).encode() for name, tree in _TREES.items()}
        with tempfile.TemporaryDirectory() as folder:
            arrival = MONDAY_S + np.arange(6.0)
            timed = RequestColumns.of(arrival, start_s=arrival + 0.5, end_s=arrival + 0.75, items=[1, 2, 8, 1, 1, 1])
            for number, rows in enumerate((requests_at(arrival), timed)):
                log = Path(folder) / f"{number}.jsonl"
                with MonitorLog(log, start_s=MONDAY_S) as written:
                    written.append(Observed().snapshot(60.0), rows)
                for form in ("csv", "parquet"):
                    path = export_workload(log, Path(folder) / f"{number}.{form}").path
                    found[path.name] = path.read_bytes()
        return list(found.items())

    def draw(self, random: Random) -> Value:
        """Return the name and the bytes of a file, options of its reader, and a rule."""
        name, content = random.choice(self.corpus)
        drawn = random.random()
        if name.endswith(".parquet") or drawn < 0.1:
            for _ in range(random.randrange(3)):
                content = mutated_bytes(random, content)
        elif name.endswith(".csv") or drawn < 0.2:
            content = _changed(random, content.decode()).encode(errors="replace")
        else:
            texts = content.decode().split("\n")
            place = random.randrange(len(texts))
            tree = json.loads(texts[place])
            texts[place] = broken_json(random, tree) if random.random() < 0.2 else json.dumps(mutate(random, tree))
            content = "\n".join(texts).encode(errors="replace")
        if random.random() < 0.02:
            at = random.randrange(len(content) + 1)
            long = (random.choice(_LONG) * random.choice((100, 100_000, 1_200_000)))[:1_200_000]
            content = content[:at] + long.encode() + content[at:]
        if random.random() < 0.03:
            content = content.decode(errors="replace").encode(random.choice(("utf-8-sig", "utf-16")))
        # Bins may have billions of requests, all of which some rules read.
        rules = [rule for rule in _RULES if rule not in ("at_rate", "resampled") or name not in _TABLES]
        rule = random.choice(rules) if random.random() < 0.3 else ""
        return {
            "name": name,
            "content": content,
            "options": {name: random.choice(values) for name, values in _OPTIONS.items()},
            "rule": [rule, *random.choice(_RULES[rule])] if rule else None,
        }

    def run(self, value: Value) -> Iterator[Figure]:
        """Read the requests: their times ascend, and their lengths are whole numbers from 1."""
        path = self.folder / f"{next(self._numbers)}-{value['name']}"
        try:
            path.write_bytes(value["content"])
            trace = ic.read_trace(path, **value["options"])
            if value["rule"] is not None:
                rule, *numbers = value["rule"]
                trace = getattr(trace, rule)(*numbers)
            seen, last = 0, 0.0
            for chunk in trace.chunks():
                times = chunk.arrival_s
                seen += len(times)
                if trace.timed and len(times):
                    require(np.isfinite(times).all() and times[0] >= last, "times ascend over chunks")
                    require((np.diff(times) >= 0).all(), "times ascend")
                    last = float(times[-1])
                if trace.has_lengths and len(times):
                    require(min(chunk.prompt_tokens.min(), chunk.output_tokens.min()) >= 1, "lengths are from 1")
                if trace.has_service and chunk.service_s is not None and len(times):
                    yield "service_s", float(chunk.service_s.min())
                if seen > _MOST:
                    return
            summary = trace.summary()
            require(summary.requests == seen, "the figures are those of the requests", (summary.requests, seen))
            yield "span_s", summary.span_s
            yield "longest_gap_s", summary.longest_gap_s
        finally:
            path.unlink(missing_ok=True)


def _changed(random: Random, table: str) -> str:
    if random.random() < 0.4:
        table = table.replace(random.choice("012345"), str(random.choice((*INTEGERS, *REALS)))[:400], 1)
    for _ in range(random.randrange(4)):
        table = mutated_text(random, table, _WORDS)
    return table
