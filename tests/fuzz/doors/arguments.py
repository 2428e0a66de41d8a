"""Notations of the command line: sizes, axes, byte sizes, factors and lists of names."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import click

from pyinfercost.cli.arguments import axis_values, byte_sizes, known_names, listed, named_settings, scale_axes

from ..door import Door, Figure
from ..mutate import INTEGERS, REALS, mutated_text
from ..values import Value

_WORDS = (
    ":",
    ",",
    "=",
    "1:2147483648",
    "9" * 400,
    "9" * 5000,
    "e",
    ".",
    "-",
    "KiB",
    "\u0663",
    "\u00b2",
    "_",
    " ",
    "*",
    "\0",
    "1e999",
    "inf",
    "nan",
)
_TEXTS = (
    "1,8,64",
    "1:64",
    "8:64:8",
    "1:100000:3,5",
    "sequence=2048",
    "512",
    "64MiB",
    "1.5GB",
    "bandwidth=1,2,4",
    "cores=1:4:0.5",
    "latency_s,batch",
    "1:400000000,5",
    "1:4:0",
    "4:1",
    "b.count*=3",
)


class Arguments(Door):
    """The functions of `cli.arguments`; each text is given to all of them."""

    share = 5_000
    refusals = (click.UsageError,)

    def draw(self, random: Random) -> Value:
        """Return a text."""
        drawn = random.random()
        if drawn < 0.3:
            numbers = [
                str(random.choice(INTEGERS if random.random() < 0.5 else REALS))[:500]
                for _ in range(random.randrange(1, 5))
            ]
            written = random.choice((":", ",", "=")).join(numbers)
            return random.choice(("", "bandwidth=", "batch=", "cores=")) + written
        written = random.choice(_TEXTS)
        for _ in range(random.randrange(3)):
            written = mutated_text(random, written, _WORDS)
        return written

    def run(self, value: Value) -> Iterator[Figure]:
        """Read the text as each notation; it is accepted if one accepts it."""
        refused: BaseException | None = None
        accepted = False
        for read in (
            lambda: named_settings((value,), None),
            lambda: axis_values("batch", value)[:1],
            lambda: byte_sizes(value),
            lambda: scale_axes((value,), ("bandwidth", "cores")),
            lambda: listed("--columns", (value,)),
            lambda: known_names("column", value, ("latency_s", "batch")),
        ):
            try:
                read()
                accepted = True
            except click.UsageError as error:
                refused = error
        if not accepted and refused is not None:
            raise refused
        yield from ()
