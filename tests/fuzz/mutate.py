"""Mutations of trees, texts and bytes, drawn from a `random.Random`.

Hypothesis is the library for this and is not used to draw inputs: a document of 300 values takes it 0.8 ms and more, 20
times what a mutation takes, and a run draws a million.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Sequence
from random import Random

from .values import Value

INTEGERS = (
    *(0, 1, -1, 2, 3, 4, 5, 7, 8, 16, 17, 63, 64, 255, 256, 1000, 4096, 65_537),
    *(2**31 - 1, 2**31, 2**32, 2**32 + 1, 2**53, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64),
    *(-2, -7, -(2**31), -(2**31) - 1, -(2**62), -(2**63) + 1, -(2**63), -(2**63) - 1, 10**30, 10**400),
)
"""Integers at which arithmetic, conversions and checks change."""

REALS = (
    *(0.0, -0.0, 0.5, 1.0, -1.0, 1.5, 1e-9, 1e9, 1e18, 2.0**53, 2.0**63, 1e30, 1e100, 1e300),
    *(1.7976931348623157e308, 5e-324, 1e-320, 2.2250738585072014e-308, 1e-30, -1e-320, -1e308),
    *(float("inf"), -float("inf"), float("nan")),
)
"""Real numbers at which arithmetic, conversions and checks change."""

TEXTS = (
    *("", " ", "0", "-1", "1e400", "nan", "inf", "None", "null", "true", "a", "A", "batch", "float32", "int64"),
    *("\0", "\x1b[31m", "\u202e", "\ud800", "é", "\U0001f600", "\r\n", "=1+1", '"', "'", "\\", "<script>", "{}", "[]"),
    *("../../etc/passwd", "/dev/zero", "%s%n", "a" * 300, "9" * 5000, "(" * 500, "a.b.c", "*", "__class__", "-0"),
)
"""Texts at which parsers, terminals and formats change."""


def integer(random: Random) -> int:
    """Draw an integer: small, or one of `INTEGERS`, or near one."""
    drawn = random.random()
    if drawn < 0.4:
        return random.randrange(-2, 12)
    if drawn < 0.8:
        return random.choice(INTEGERS)
    return random.choice(INTEGERS) + random.randrange(-2, 3)


def real(random: Random) -> float:
    """Draw a real number: one of `REALS`, or from an exponential range."""
    if random.random() < 0.7:
        return random.choice(REALS)
    sign: int = random.choice((1, 1, -1))
    return float(sign * 10.0 ** random.uniform(-330, 308))


def text(random: Random) -> str:
    """Draw a text: one of `TEXTS`, or two joined, or characters."""
    drawn = random.random()
    if drawn < 0.7:
        return random.choice(TEXTS)
    if drawn < 0.8:
        return random.choice(TEXTS) + random.choice(TEXTS)
    return "".join(chr(random.choice((random.randrange(32, 127), random.randrange(0x300)))) for _ in range(4))


def value(random: Random) -> Value:
    """Draw a value of any kind."""
    return random.choice(_SCALARS)(random)


def nested(random: Random) -> Value:
    """Draw lists or dicts in each other, not so deep that a door could not write them; `broken_json` goes deeper."""
    inner: Value = random.choice((0, [], {}, ""))
    dicts = random.random() < 0.5
    for _ in range(random.choice((1, 3, 30, 90))):
        inner = {"a": inner} if dicts else [inner]
    return inner


_SCALARS: tuple[Callable[[Random], Value], ...] = (
    lambda random: None,
    lambda random: random.random() < 0.5,
    integer,
    real,
    text,
    lambda random: [],
    lambda random: {},
    lambda random: [integer(random) for _ in range(random.randrange(4))],
    nested,
)


def like(random: Random, old: Value) -> Value:
    """Draw a value of the kind of another."""
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return old + random.randrange(-2, 3) if random.random() < 0.2 else integer(random)
    if isinstance(old, float):
        return old * random.choice((-1, 0.1, 10, 1e9)) if random.random() < 0.2 else real(random)
    if isinstance(old, str):
        return mutated_text(random, old) if random.random() < 0.6 else text(random)
    if isinstance(old, bytes):
        return mutated_bytes(random, old)
    return value(random)


def mutated_text(random: Random, old: str, words: Sequence[str] = TEXTS) -> str:
    """Return a text with a part removed, repeated, replaced or inserted."""
    first = random.randrange(len(old) + 1)
    last = min(len(old), first + random.choice((0, 1, 1, 2, 8, len(old))))
    drawn = random.random()
    if drawn < 0.3:
        middle = ""
    elif drawn < 0.5:
        middle = old[first:last] * random.choice((2, 2, 3, 50))
    elif drawn < 0.7:
        middle = chr(random.choice((random.randrange(32, 127), random.randrange(32, 127), random.randrange(0x3000))))
    else:
        middle = random.choice(words)
    return old[:first] + middle + old[last:]


def broken_json(random: Random, tree: Value) -> str:
    """Return the JSON text of a tree with a change, or brackets deeper than recursive code can go."""
    if random.random() < 0.05:
        return random.choice(("[", '{"a":', "[[1],")) * random.choice((500, 2000, 100_000))
    return mutated_text(random, json.dumps(tree))


def mutated_bytes(random: Random, old: bytes) -> bytes:
    """Return bytes with some changed, removed, repeated, cut off or overwritten by an integer."""
    if not old:
        return random.randbytes(random.randrange(16))
    first = random.randrange(len(old))
    size = random.choice((1, 1, 2, 4, 8, 64))
    drawn = random.random()
    if drawn < 0.3:
        return old[:first] + bytes([old[first] ^ 1 << random.randrange(8)]) + old[first + 1 :]
    if drawn < 0.4:
        return old[:first]
    if drawn < 0.5:
        return old[:first] + old[first + size :]
    if drawn < 0.6:
        return old[: first + size] + old[first:]
    if drawn < 0.8:
        return old[:first] + random.randbytes(size) + old[first + size :]
    width = random.choice((2, 4, 8))
    number: int = random.choice(INTEGERS) % 2 ** (8 * width)
    return old[:first] + number.to_bytes(width, "little") + old[first + width :]


def mutate(random: Random, tree: Value, *, most: int = 4) -> Value:
    """Change a tree in place, at up to `most` positions, and return it.

    A position is found from the root down, one random child after another, so that short lists near the root are
    changed as often as long ones.
    """
    for _ in range(random.randint(1, most) if random.random() < 0.5 else 1):
        tree = _mutated_once(random, tree)
    return tree


def _mutated_once(random: Random, tree: Value) -> Value:
    place = _place(random, tree)
    if place is None:
        return like(random, tree)
    parent, key = place
    old = parent[key]
    drawn = random.random()
    if drawn < 0.55:
        parent[key] = like(random, old)
    elif drawn < 0.65:
        parent[key] = value(random)
    elif drawn < 0.75:
        del parent[key]
    elif drawn < 0.85 and (other := _place(random, tree)) is not None:
        # Through pickle, which is a fast deep copy: shared parts would change together.
        parent[key] = pickle.loads(pickle.dumps(other[0][other[1]]))
    elif isinstance(parent, list):
        if drawn < 0.95:
            parent.insert(key, old if random.random() < 0.7 else value(random))
        else:
            parent[key : key + 1] = [old] * random.choice((2, 3, 9, 100))
    elif drawn < 0.95:
        parent[text(random)] = value(random)
    elif isinstance(old, list):
        random.shuffle(old)
    else:
        parent[key] = [old]
    return tree


def _place(random: Random, tree: Value) -> tuple[Value, Value] | None:
    """Draw a container of the tree and one of its keys; None if the tree has none."""
    place = None
    while isinstance(tree, (dict, list)) and tree:
        key = random.choice(list(tree)) if isinstance(tree, dict) else random.randrange(len(tree))
        place = (tree, key)
        if random.random() < 0.12:
            break
        tree = tree[key]
    return place
