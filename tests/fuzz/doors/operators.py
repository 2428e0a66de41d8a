"""Every operator of the core's rule table, called with arguments by torch's schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pyinfercost as ic
from pyinfercost import _core

from ..door import Door, Figure
from ..mutate import integer
from ..values import Value
from .figures import EXECUTIONS, MACHINES, PRECISIONS, of_counts, of_estimate
from .graph_json import argument

_DTYPES = [dtype.name for dtype in _core.dtypes()]
_COMMON = ("float32", "float16", "int64", "bool", "int8", "complex64")
_FEW = (1, 2, 3, 4, 8)


class Operators(Door):
    """A graph of one node for each operator; then `count` and `estimate`."""

    share = 157_000
    libraries = ("torch",)

    def seeds(self) -> list[tuple[str, list[list[tuple[str, str]]]]]:
        """Return each operator of the rule table with its overloads: names and types of arguments, then of results."""
        import torch

        schemas: dict[str, list[list[tuple[str, str]]]] = {}
        for schema in torch._C._jit_get_all_schemas():
            arguments = [(a.name, str(a.type)) for a in schema.arguments]
            results = [("", str(a.type)) for a in schema.returns]
            overload = schema.overload_name or "default"
            schemas.setdefault(schema.name.replace("::", "."), []).append(
                [("", overload), *arguments, ("", "->"), *results]
            )
        unknown = [[("", "default"), ("self", "Tensor"), ("other", "Tensor"), ("", "->"), ("", "Tensor")]]
        return [(rule.op, schemas.get(rule.op, unknown)) for rule in _core.rules()]

    def draw(self, random: Random) -> Value:
        """Return the document of a graph of one node, and how to run it."""
        op, overloads = random.choice(self.corpus)
        (_, overload), *schema = random.choice(overloads)
        split = schema.index(("", "->"))
        tensors: list[dict[str, Value]] = []
        scale = random.choice(("small", "small", "small", "odd", "huge"))
        base = _shape(random, scale, random.choice((0, 1, 2, 2, 3, 4, 4, 5)))
        dtype = random.choice(_COMMON) if random.random() < 0.8 else random.choice(_DTYPES)

        def tensor(role: str) -> int:
            drawn = random.random()
            if drawn < 0.45:
                shape = list(base)
            elif drawn < 0.6:
                shape = list(reversed(base))
            elif drawn < 0.7:
                shape = base[random.randrange(len(base) + 1) :]
            else:
                shape = _shape(random, scale, random.randrange(6))
            entry: dict[str, Value] = {
                "dtype": dtype if random.random() < 0.9 else random.choice(_DTYPES),
                "shape": shape,
                "role": role,
            }
            if random.random() < 0.1:
                entry["strides"] = [random.choice((0, 1, 2, integer(random))) for _ in shape]
            tensors.append(entry)
            return len(tensors) - 1

        args = {name: _argument(random, kind, tensor) for name, kind in schema[:split]}
        wrong = random.random()
        if wrong < 0.15 and args:
            args[random.choice(list(args))] = argument(random, len(tensors) + 1)
        elif wrong < 0.25 and args:
            del args[random.choice(list(args))]
        inputs = [number for number, entry in enumerate(tensors) if entry["role"] == "input"]
        outputs: list[int | None] = []
        for _, kind in schema[split + 1 :]:
            outputs += [tensor("activation") for _ in range(random.randrange(3) if "List" in kind else 1)]
        if random.random() < 0.05:
            outputs = outputs[:-1]
        graph = {
            "schema_version": 1,
            "sizes": {},
            "tensors": tensors,
            "nodes": [{"op": f"{op}.{overload}", "args": args, "outputs": outputs}],
            "inputs": inputs,
            "outputs": outputs,
        }
        if random.random() < 0.2:
            graph["sizes"] = {"n": {"default": random.choice((1, 2, 5)), "minimum": 1}}
            for entry in tensors:
                entry["shape"] = [random.choice((length, "n", "2*n", "n-1", "n//2")) for length in entry["shape"]]
        return {
            "graph": graph,
            "machine": random.choice(MACHINES),
            "precision": random.choice(PRECISIONS),
            "execution": random.choice(EXECUTIONS),
            "sizes": {"n": random.choice((1, 3, integer(random)))} if graph["sizes"] else {},
        }

    def run(self, value: Value) -> Iterator[Figure]:
        """Count and estimate the graph."""
        graph = ic.Graph.from_json(json.dumps(value["graph"]))
        sizes = value["sizes"]
        ic.count(graph)
        yield from of_counts(ic.count(graph, sizes=sizes))
        how: dict[str, Any] = {name: value[name] for name in ("precision", "execution")}
        yield from of_estimate(ic.estimate(graph, hardware=value["machine"], sizes=sizes, **how))

    def label(self, value: Value) -> str:
        """Return the operator."""
        try:
            op: str = value["graph"]["nodes"][0]["op"]
        except (LookupError, TypeError):
            return ""
        return op.rpartition(".")[0]


def _length(random: Random, scale: str) -> int:
    if scale == "small":
        return random.choice(_FEW)
    if scale == "odd":
        return random.choice((0, 0, 1, *_FEW, 7, 513))
    return random.choice((1, 2**16, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1))


def _shape(random: Random, scale: str, rank: int) -> list[int]:
    return [_length(random, scale) for _ in range(rank)]


def _argument(random: Random, kind: str, tensor: Any) -> Value:
    """Draw an argument of a type of a schema.

    Args:
        random: The source of numbers.
        kind: The type as torch writes it, such as `Optional[List[int]]`.
        tensor: Declares a tensor and returns its number.
    """
    if kind.startswith("Optional["):
        return None if random.random() < 0.4 else _argument(random, kind[len("Optional[") : -1], tensor)
    if kind == "Tensor":
        return ["tensor", tensor("input")]
    if kind.startswith("List["):
        inner = kind[len("List[") : -1]
        count = random.choice((0, 1, 1, 2, 2, 3, 4))
        if "Tensor" in inner:
            return ["tensors", [None if random.random() < 0.15 else tensor("input") for _ in range(count)]]
        if inner == "float":
            return ["floats", [random.choice((0.5, 1.0, -1.0, "nan", 1e300)) for _ in range(count)]]
        return ["ints", [_whole(random) for _ in range(count)]]
    if kind == "int":
        return ["int", _whole(random)]
    if kind in ("float", "number"):
        return random.choice((["float", random.choice((0.0, 0.5, -1.0, "nan", "inf", 1e300))], ["int", _whole(random)]))
    if kind == "bool":
        return ["bool", random.random() < 0.5]
    if kind == "str":
        return ["str", random.choice(("none", "tanh", "same", "valid", "mean", "ij->ji", "ij,jk->ik", "...", ""))]
    return random.choice((None, ["int", _whole(random)], ["str", "cpu"]))


def _whole(random: Random) -> int:
    return random.choice((0, 1, 1, 2, 2, 3, -1, -2)) if random.random() < 0.75 else integer(random)
