"""Collective operations: `collective` of untrusted names, sizes and devices."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np

import pyinfercost as ic
from pyinfercost.predict.collectives import EXECUTIONS, KERNELS, OPERATIONS

from ..door import Door, Figure
from ..mutate import INTEGERS, REALS, integer, real, text
from ..mutate import value as any_value
from ..values import Value
from .figures import check_printable

_MACHINES = ("h100-sxm-80gb", "l4", "mi300x", "tpu-v5e", "gb200", "xeon-8380", "rtx-4090")
_DTYPES = ("fp16", "float16", "fp32", "fp8", "int8", "bf16", "tf32", "int4")
_KINDS = ("int64", "uint64", "float64", "float16", "int8", "bool", "complex64", "object", "datetime64[s]", "U4")


class Collectives(Door):
    """`collective` of numbers, lists and arrays."""

    share = 15_000

    def draw(self, random: Random) -> Value:
        """Return the arguments."""
        sizes: Value = random.choice((real, integer))(random)
        if random.random() < 0.4:
            numbers = random.choice((REALS, INTEGERS))
            sizes = [random.choice(numbers) for _ in range(random.choice((0, 1, 3, 3, 100)))]
        if random.random() < 0.1:
            sizes = any_value(random)
        return {
            "op": random.choice(OPERATIONS) if random.random() < 0.95 else text(random),
            "size_bytes": sizes,
            "array": random.choice(_KINDS) if random.random() < 0.3 else None,
            "hardware": random.choice(_MACHINES),
            "devices": random.choice((1, 2, 8, 8, integer(random))) if random.random() < 0.95 else any_value(random),
            "dtype": random.choice(_DTYPES) if random.random() < 0.95 else text(random),
            "nodes": random.choice((1, 1, 2, 8, integer(random))) if random.random() < 0.95 else any_value(random),
            "kernel": random.choice((None, *KERNELS)) if random.random() < 0.95 else text(random),
            "execution": random.choice(EXECUTIONS) if random.random() < 0.95 else text(random),
            "share": random.choice((1.0, 1.5, real(random))),
            "tokens": [random.choice((1, 8, 256, 7424, integer(random))) for _ in range(4)]
            if random.random() < 0.4
            else None,
        }

    def run(self, value: Value) -> Iterator[Figure]:
        """Estimate the operation."""
        arguments = dict(value)
        tokens = arguments["tokens"]
        if isinstance(tokens, list):
            arguments["tokens"] = ic.devices.ExpertTokens(*tokens)
        kind = arguments.pop("array")
        if kind is not None:
            try:
                arguments["size_bytes"] = np.array(arguments["size_bytes"], dtype=kind)
            except (ValueError, TypeError, OverflowError):
                return
        found = ic.devices.collective(**arguments)
        for name in ("latency_s", "algorithm_bandwidth_byte_per_s", "bus_bandwidth_byte_per_s"):
            numbers = np.atleast_1d(getattr(found, name, 0.0))
            yield from ((name, float(number)) for number in numbers)
        check_printable(found.to_text())
