"""Traffic: texts of arrivals, and small request traces and tables of counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random

import numpy as np

from pyinfercost.serving.arrival_texts import KINDS
from pyinfercost.serving.traffic import parse_traffic

from ..door import Door, Figure, require
from ..mutate import INTEGERS, REALS, mutated_text
from ..values import Value

_TEXTS = (
    "poisson:20",
    "gamma:20,cv=4",
    "bursts:20,size=8,spacing_s=0.01",
    "diurnal:mean=20,peak=3,weekend=0.5,growth=10%/month,cv=4",
    "diurnal:20/min,profile=1:0:4,period_s=60,burst=3,share=0.1,length_s=5",
    "diurnal:3,week=1:1:2:1:1:0.5:0",
    "mmpp:mean=20,burst=5,share=0.1,length_s=60",
    "mmpp:rates=0:50:1,sojourns_s=300:20:5,growth=-50%/day",
    "closed:3",
    "at-once",
)
_FILES: Mapping[str, str] = {
    "day.csv": "start_s,requests\n0,5\n60,0\n120,7\n",
    "rates.csv": "start_utc,requests_per_h\n2026-01-01T00:00:00,90\n2026-01-01T01:00:00,0\n",
    "weekly.csv": "time_utc,requests_per_min_mid_rescaled\n2026-01-01T00:03:36,1.5\n2026-01-01T00:10:49,2\n",
    "x_inv.csv": "HashFunction,HashOwner,HashApp,1,2\naaaaaaaa,o,p,3,0\nbbbbbbbb,o,p,0,4\n",
    "azure.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9,48,10\n2023-11-16 18:17:04.0,3,8\n",
    "burst.csv": "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,a,4,8,9,b\n6,a,4,8,9,b\n",
}
_WORDS = (
    *(
        ":",
        ",",
        "=",
        "%",
        "#",
        "/",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "1e-320",
        "9" * 400,
        "-1",
        "0",
        "\n",
        "\r",
        '"',
        "\0",
    ),
    *("/min", "%/day", "cv=", "growth=", "\u0663", "\ufeff", "1e9", "1e-9", "1e12"),
)
_MOST = 200


class Traffic(Door):
    """`parse_traffic`, and the first requests of what it returns."""

    share = 2_000

    def draw(self, random: Random) -> Value:
        """Return a text of arrivals, or a name and a content of a file."""
        name = None if random.random() < 0.5 else random.choice(list(_FILES))
        written = random.choice(_TEXTS) if name is None else _FILES[name]
        if random.random() < 0.3:
            written = written.replace(random.choice("012345"), str(random.choice((*INTEGERS, *REALS)))[:400], 1)
        for _ in range(random.randrange(4)):
            written = mutated_text(random, written, _WORDS)
        return {"name": name, "text": written, "scale": random.choice((1.0, 1.0, 0.5, 3))}

    def run(self, value: Value) -> Iterator[Figure]:
        """Make requests: their times ascend."""
        traffic = value["text"]
        if value["name"] is None:
            if traffic.partition(":")[0].strip() not in KINDS:
                return
        else:
            traffic = self.folder / value["name"]
            traffic.write_text(value["text"], encoding="utf-8", errors="replace", newline="")
        workload = parse_traffic(traffic, requests=_MOST, scale=value["scale"])
        count, last = 0, 0.0
        for chunk in workload.chunks():
            count += len(chunk)
            require(chunk.arrival_s[0] >= last, "times ascend over chunks")
            require((np.diff(chunk.arrival_s) >= 0).all(), "times ascend")
            last = float(chunk.arrival_s[-1])
        require(count <= _MOST * max(1, value["scale"]), "requests are limited")
        yield "last arrival", last
