"""Sentences of notices: each code that a result can have is in the table, and no other one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pyinfercost
from pyinfercost.report import notices
from pyinfercost.results.notices import notice, sentences

SOURCES = [path.read_text(encoding="utf-8") for path in Path(pyinfercost.__file__).parent.rglob("*.py")]


def test_each_code_has_a_sentence() -> None:
    made = {code for text in SOURCES for code in re.findall(r'\bnotice\(\s*"(\w+)"', text)}
    assert made <= notices._WORDS.keys()
    others = [text for text in SOURCES if "_WORDS[notice.code]" not in text]
    assert all(any(f'"{code}"' in text for text in others) for code in notices._WORDS)


@pytest.mark.parametrize(
    ("code", "values", "words"),
    [
        ("too_long", {"requests": 3, "tokens": 8192},
         "refused: the prompt leaves no token of the longest sequence, 8,192"),
        ("cache_limit", {"preempted": 0}, "memory for caches: requests wait for blocks"),
        ("steps", {"part": "host", "share": 0.906}, "the host between steps takes about 91 % of the time of steps"),
        ("differs", {"name": "price", "before": None, "after": 2.5},
         "price differs: not given before, 2.5 after; this changes costs, too"),
        ("needed", {"requests": "10 requests/s", "replicas": 1, "given": 1},
         "10 requests/s need 1 replica, and there is 1"),
        ("busiest_days", {"days": 7, "most": 1000, "simulated": 2},
         "of 7 days with more than 1,000 requests, the busiest 2 days were simulated: other days cost less"),
    ],
)  # fmt: skip
def test_values_stand_in_the_sentence(code: str, values: dict[str, object], words: str) -> None:
    assert sentences([notice(code, **values)]) == (words,)
