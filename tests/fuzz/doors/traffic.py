"""Traffic: texts of arrivals. `traces` has the files."""

from __future__ import annotations

from collections.abc import Iterator
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
        """Return a text of arrivals."""
        written = random.choice(_TEXTS)
        if random.random() < 0.3:
            written = written.replace(random.choice("012345"), str(random.choice((*INTEGERS, *REALS)))[:400], 1)
        for _ in range(random.randrange(4)):
            written = mutated_text(random, written, _WORDS)
        return {"text": written, "scale": random.choice((1.0, 1.0, 0.5, 3))}

    def run(self, value: Value) -> Iterator[Figure]:
        """Make requests: their times ascend."""
        if value["text"].partition(":")[0].strip() not in KINDS:
            return
        workload = parse_traffic(value["text"], requests=_MOST, scale=value["scale"])
        count, last = 0, 0.0
        for chunk in workload.chunks():
            count += len(chunk)
            require(chunk.arrival_s[0] >= last, "times ascend over chunks")
            require((np.diff(chunk.arrival_s) >= 0).all(), "times ascend")
            last = float(chunk.arrival_s[-1])
        require(count <= _MOST * max(1, value["scale"]), "requests are limited")
        yield "last arrival", last
