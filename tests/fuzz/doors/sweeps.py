"""Sweeps: untrusted axes, points, scales and conditions."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np
from support.toy_graphs import blocks

import pyinfercost as ic

from ..door import Door, Figure
from ..mutate import INTEGERS, integer, real, text
from ..mutate import value as any_value
from ..values import Value

_FIELDS: dict[str, tuple[Value, ...]] = {
    "hardware": ("l4", "t4", "xeon-8380", "tpu-v5e"),
    "precision": ("native", "fp16", "int8", "fp8"),
    "execution": ("eager", "compiled", "cuda_graph", "reduce-overhead"),
    "devices": (1, 2, 8),
    "price": ("on-demand", 0.5, "spot", 1e-320),
    "utilization": (0.1, 1.0, 1e-320),
    "region": ("deu", "world"),
    "transfer": ("pinned", "pageable,overlapped"),
    "startup": ("machine=pool", "image_gb=8,loader=sllm", "warmup=engine"),
    "threads": (1, 4),
    "instances": (1, 4),
}
_WHERE = ("latency_s < 0.05", "batch > 3 and fits_in_memory", "cost_usd < 1e-9", "hardware == 'l4'", "energy_j >= 0")


class Sweeps(Door):
    """`sweep` in memory, its columns, `where`, `best` and `pareto`."""

    share = 20_000

    def draw(self, random: Random) -> Value:
        """Return the arguments of a sweep; a range is a dict of its bounds."""
        arguments: dict[str, Value] = {"hardware": ["l4"], "batch": _axis(random)}
        for name in random.sample(list(_FIELDS), random.choice((0, 1, 1, 2, 3))):
            values = [random.choice(_FIELDS[name]) for _ in range(random.choice((1, 1, 2, 3)))]
            if random.random() < 0.15:
                values.append(any_value(random))
            arguments[name] = values if random.random() < 0.8 else values[0]
        if random.random() < 0.1:
            arguments["scale"] = {
                name: [real(random), 1] for name in ("bandwidth", "cores", text(random)) if random.random() < 0.5
            }
        if random.random() < 0.1:
            points = [
                {"batch": integer(random), "precision": random.choice(("fp16", "int8"))}
                for _ in range(random.randrange(4))
            ]
            arguments["points"] = points
            arguments.pop("batch")
        if random.random() < 0.1:
            arguments[random.choice(("batch", "where", "points", "scale", "hardware"))] = any_value(random)
        if random.random() < 0.2:
            arguments["where"] = random.choice(_WHERE)
        return arguments

    def run(self, value: Value) -> Iterator[Figure]:
        """Sweep, and read every column."""
        arguments = {name: _made(item) if name == "batch" else item for name, item in value.items()}
        sweep = ic.sweep(_MODEL, progress=False, workers=1, **arguments)
        for name in sweep.columns:
            column = sweep[name]
            if column.dtype.kind in "iuf" and len(column):
                known = column[~np.isnan(column)] if column.dtype.kind == "f" else column
                if len(known):
                    yield from ((f"column {name}", number) for number in (known.min().item(), known.max().item()))
        if len(sweep):
            sweep.pareto("latency_s", "peak_memory_bytes")
            sweep.best("latency_s")
            str(sweep)


_MODEL = blocks()


def _axis(random: Random) -> Value:
    drawn = random.random()
    if drawn < 0.4:
        return [random.choice((1, 2, 64, 4096)) for _ in range(random.choice((1, 2, 5)))]
    if drawn < 0.6:
        return [integer(random) for _ in range(random.choice((0, 1, 2)))]
    if drawn < 0.8:
        return {
            "start": random.choice((1, 0, -5, integer(random))),
            "stop": random.choice((1, 100, integer(random))),
            "step": random.choice((1, 1, 7, integer(random))),
        }
    if drawn < 0.9:
        return {
            "array": random.choice(("int64", "uint64", "float64", "object", "int8")),
            "values": [random.choice(INTEGERS) for _ in range(3)],
        }
    return integer(random)


def _made(axis: Value) -> Value:
    if isinstance(axis, dict) and "step" in axis:
        return range(axis["start"], axis["stop"], axis["step"] or 1)
    if isinstance(axis, dict) and "array" in axis:
        try:
            return np.array(axis["values"], dtype=axis["array"])
        except OverflowError:
            return axis["values"]
    return axis
