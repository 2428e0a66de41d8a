"""Notations of the command line: sizes, axes, byte sizes, factors and lists of names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from types import MappingProxyType
from typing import Any

import click

from pyinfercost.cli.arguments import axis_values, byte_sizes, known_names, listed, named_settings, scale_axes

from ..door import Door, Figure
from ..mutate import INTEGERS, REALS, mutated_text
from ..values import Value

_WORDS = (
    *(":", ",", "=", "1:2147483648", "9" * 400, "9" * 5000, "e", ".", "-", "KiB", "\u0663", "\u00b2", "_", " ", "*"),
    *("\0", "1e999", "inf", "nan", "1e-320"),
)
_TEXTS: Mapping[str, tuple[str, ...]] = {
    "settings": ("sequence=2048", "batch=8", "experts.count*=3"),
    "axis": ("1,8,64", "1:64", "8:64:8", "1:100000:3,5", "1:400000000,5", "1:4:0", "4:1", "7"),
    "bytes": ("512", "64MiB", "1.5GB", "512,64MiB", "1KiB"),
    "scales": ("bandwidth=1,2,4", "cores=1:4:0.5", "compute=0.5"),
    "listed": ("latency_s,batch", "latency_s"),
    "known": ("latency_s,batch", "latency_s"),
}
_READ: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {
        "settings": lambda text: named_settings((text,), None),
        "axis": lambda text: axis_values("batch", text)[:1],
        "bytes": byte_sizes,
        "scales": lambda text: scale_axes((text,), ("bandwidth", "compute", "cores")),
        "listed": lambda text: listed("--columns", (text,)),
        "known": lambda text: known_names("column", text, ("latency_s", "batch")),
    }
)


class Arguments(Door):
    """The functions of `cli.arguments`."""

    share = 5_000
    refusals = (click.UsageError,)

    def draw(self, random: Random) -> Value:
        """Return a notation and a text."""
        notation = random.choice(list(_TEXTS))
        written = random.choice(_TEXTS[notation])
        if random.random() < 0.2:
            numbers = INTEGERS if random.random() < 0.5 else REALS
            parts = [str(random.choice(numbers))[:500] for _ in range(random.randrange(1, 5))]
            name, equals, _ = written.rpartition("=")
            written = f"{name}{equals}{random.choice((':', ','))}".rstrip(":,") + ":".join(parts)
        for _ in range(random.randrange(3)):
            written = mutated_text(random, written, _WORDS)
        return {"notation": notation, "text": written}

    def run(self, value: Value) -> Iterator[Figure]:
        """Read the text."""
        _READ[value["notation"]](value["text"])
        yield from ()
