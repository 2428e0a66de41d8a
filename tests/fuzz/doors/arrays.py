"""Arrays: `sparsity` of numpy arrays of odd dtypes, shapes and strides."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np

import pyinfercost as ic

from ..door import Door, Figure
from ..mutate import integer
from ..values import Value
from .figures import of_sparsity

_KINDS = (
    "float32",
    "float64",
    "float16",
    "int8",
    "uint8",
    "int16",
    "int64",
    "uint64",
    "bool",
    "complex64",
    "complex128",
    ">f4",
    ">i2",
    "longdouble",
    "clongdouble",
    "object",
    "U3",
    "S2",
    "V4",
    "datetime64[s]",
    "timedelta64[ns]",
    "f4,i4",
)


class Arrays(Door):
    """`sparsity` of an array in memory."""

    share = 40_000

    def draw(self, random: Random) -> Value:
        """Return the bytes of an array and how it lies on them."""
        shape = [random.choice((0, 1, 1, 2, 3, 4, 8, 16, 65)) for _ in range(random.randrange(6))]
        return {
            "dtype": random.choice(_KINDS[:12] if random.random() < 0.7 else _KINDS),
            "data": bytes(random.choice((0, 0, 0, 1, 127, 128, 255)) for _ in range(64)),
            "shape": shape,
            "strides": [random.choice((0, 1, -1, 2, 3, -2, 5, 40)) for _ in shape] if random.random() < 0.4 else None,
            "offset": random.choice((0, 0, 1, 3)),
            "transpose": random.random() < 0.2,
            "threads": random.choice((1, 1, 2, 3)) if random.random() < 0.97 else integer(random) % 300,
        }

    def run(self, value: Value) -> Iterator[Figure]:
        """Make the array and scan it."""
        array = _array(value)
        if array is not None:
            yield from of_sparsity(ic.sparsity(array, threads=value["threads"]))


def _array(value: Value) -> Value:
    """Return an array that lies within its own memory; None if the value describes none."""
    kind = np.dtype(value["dtype"])
    steps = value["strides"]
    shape = value["shape"]
    elements = 1
    for length in shape:
        elements *= length
    if elements > 300_000:
        return None
    if steps is None:
        size = max(1, elements) * kind.itemsize
        data = (value["data"] or b"\0") * (size // max(1, len(value["data"])) + 2)
        if kind.hasobject:
            array: Value = np.zeros(shape, dtype=kind)
        else:
            array = np.frombuffer(data, dtype=kind, count=elements, offset=value["offset"]).reshape(shape)
    else:
        reach = sum(abs(step) * max(0, length - 1) for step, length in zip(steps, shape, strict=True))
        if reach > 1_000_000 or len(steps) != len(shape):
            return None
        first = sum(-step * max(0, length - 1) for step, length in zip(steps, shape, strict=True) if step < 0)
        base = np.zeros(reach + 1, dtype=kind)
        if not kind.hasobject:
            base.view(np.uint8)[:: max(1, len(value["data"]) % 7)] = 255
        array = np.lib.stride_tricks.as_strided(base[first:], shape, [step * kind.itemsize for step in steps])
    return array.T if value["transpose"] else array
