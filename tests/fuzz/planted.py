"""Doors with planted faults, one of each kind, on which the tests see that the runner finds them."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from random import Random

from pyinfercost import Expr, _core

from .door import Door, Figure, require
from .mutate import integer
from .values import Value

TRIGGER = 1000
"""Inputs that contain a greater number trigger a planted fault."""


class Planted(Door):
    """A list of numbers, one of which may be above TRIGGER; it is refused if empty."""

    share = 100

    def draw(self, random: Random) -> Value:
        """Return some small numbers; for one of 20 inputs, also a greater one."""
        numbers = [random.randrange(9) for _ in range(random.randrange(6))]
        if random.random() < 0.05:
            numbers.insert(random.randrange(len(numbers) + 1), TRIGGER + 1 + abs(integer(random)) % 2**31)
        return {"numbers": numbers, "rest": "not needed"}

    def run(self, value: Value) -> Iterator[Figure]:
        """Refuse an empty list, and call `fault` for a list with a great number."""
        numbers = value["numbers"]
        if not numbers:
            raise _core.InputError("numbers is empty; expected some")
        if max(numbers) > TRIGGER:
            yield from self.fault()
        yield "sum", sum(numbers)

    def fault(self) -> Iterator[Figure]:
        """Do what this door is for."""
        yield from ()


class Crash(Planted):
    """It reads memory at address 0."""

    def fault(self) -> Iterator[Figure]:
        """Read memory at address 0."""
        ctypes.string_at(0)
        yield from ()


class Exit(Planted):
    """It ends the process."""

    def fault(self) -> Iterator[Figure]:
        """End the process without a signal."""
        ctypes.CDLL(None).exit(3)
        yield from ()


class Hang(Planted):
    """It loops forever."""

    share = 20

    def fault(self) -> Iterator[Figure]:
        """Loop."""
        while True:
            yield from ()


class Wait(Planted):
    """It waits for what never comes, without using the processor."""

    share = 20

    def fault(self) -> Iterator[Figure]:
        """Sleep."""
        time.sleep(10_000)
        yield from ()


class Late(Planted):
    """It takes a while, and ends."""

    def fault(self) -> Iterator[Figure]:
        """Use the processor for 0.05 s."""
        begin = time.process_time()
        while time.process_time() - begin < 0.05:
            pass
        yield from ()


class Memory(Planted):
    """It allocates more than the limit."""

    def fault(self) -> Iterator[Figure]:
        """Allocate 2 GiB at once."""
        yield "length", len(bytearray(2**31))


class Foreign(Planted):
    """It raises an exception that is not of the package."""

    def fault(self) -> Iterator[Figure]:
        """Raise a KeyError."""
        names: dict[str, int] = {}
        yield "nothing", names["nothing"]


class Infinite(Planted):
    """It accepts and returns an infinite figure."""

    def fault(self) -> Iterator[Figure]:
        """Return an infinite figure."""
        yield "latency_s", float("inf")


class Negative(Planted):
    """It accepts and returns a negative figure."""

    def fault(self) -> Iterator[Figure]:
        """Return a negative figure."""
        yield "flops", -1


class Broken(Planted):
    """It breaks a rule of its own."""

    def fault(self) -> Iterator[Figure]:
        """Break a rule."""
        require(False, "numbers are small")
        yield from ()


class Slow(Planted):
    """It takes a while for each input, so that a batch ends before all of it has run."""

    share = 2000

    def run(self, value: Value) -> Iterator[Figure]:
        """Sleep."""
        time.sleep(0.02)
        yield "sum", sum(value["numbers"])


class Sound(Planted):
    """It has no fault: some inputs are accepted, others are refused by the core."""

    def fault(self) -> Iterator[Figure]:
        """Have the core refuse a text."""
        Expr("(")
        yield from ()


TABLE = {
    kind.__name__.lower(): f"fuzz.planted:{kind.__name__}"
    for kind in (Crash, Exit, Hang, Wait, Memory, Foreign, Infinite, Negative, Broken, Slow, Sound)
}
"""Name of a door -> its module and class."""
