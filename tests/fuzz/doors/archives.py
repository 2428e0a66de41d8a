"""`.pt2` archives: `capture` and `sparsity` of a file, without torch."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any

import pyinfercost as ic

from ..door import Door, Figure
from ..mutate import integer, mutate, mutated_bytes, mutated_text, text
from ..values import Value, at, paths
from .figures import MACHINES, of_counts, of_estimate, of_sparsity

_FUNCTIONS = (
    "Add",
    "Mul",
    "Pow",
    "Max",
    "Min",
    "FloorDiv",
    "Mod",
    "CeilDiv",
    "IntTrueDiv",
    "CeilToInt",
    "floor",
    "Abs",
    "LShift",
    "Rational",
    "ModularIndexing",
    "TruncToInt",
)
_LEAVES = (
    "s0",
    "Symbol('s0')",
    "s77",
    "u0",
    "2",
    "0",
    "-1",
    "Integer(3)",
    "Float('1e400')",
    "1e999",
    "0.5",
    "9223372036854775807",
    "62",
    "1/3",
    "9" * 5000,
)


_PLAIN = 4


class Archives(Door):
    """`capture` of a `.pt2` file, then `count` and `estimate`; and `sparsity` of it."""

    share = 10_000
    libraries = ("torch",)
    _numbers = count()

    def seeds(self) -> list[dict[str, Value]]:
        """Return the entries of archives that torch writes of small modules."""
        import torch

        from .modules import modules

        def branched(times: int, depth: int) -> torch.nn.Module:
            class Branched(torch.nn.Module):
                def forward(self, x: torch.Tensor) -> torch.Tensor:
                    for _ in range(times):
                        x = _chosen(x, depth)
                    return x

            return Branched()

        archives = []
        branches = [(branched(*size), (torch.empty(3, 8),), {}) for size in ((1, 1), (1, 5), (20, 1))]
        for module, inputs, dynamic in (*modules(), *branches):  # the first _PLAIN have no conditions
            dims = {
                name: torch.export.Dim(name, min=1, max=64) for names in dynamic.values() for name in names.values()
            }
            shapes = tuple(
                {d: dims[name] for d, name in dynamic.get(position, {}).items()} for position in range(len(inputs))
            )
            program = torch.export.export(module, inputs, dynamic_shapes=shapes)
            file = io.BytesIO()
            torch.export.save(program, file)
            with zipfile.ZipFile(file) as archive:
                archives.append(
                    {
                        info.filename: archive.read(info)
                        for info in archive.infolist()
                        if "sample_inputs" not in info.filename
                    }
                )
        return archives

    def draw(self, random: Random) -> Value:
        """Return the entries of an archive, or a whole archive whose bytes are changed."""
        entries = dict(random.choice(self.corpus if random.random() < 0.4 else self.corpus[:_PLAIN]))
        value: dict[str, Value] = {
            "entries": entries,
            "method": zipfile.ZIP_STORED if random.random() < 0.97 else zipfile.ZIP_DEFLATED,
            "machine": random.choice(MACHINES),
            "sizes": {name: integer(random) for name in ("batch", "sequence") if random.random() < 0.2},
        }
        drawn = random.random()
        if drawn < 0.1:
            value["entries"] = None
            value["archive"] = mutated_bytes(random, _zip(entries, zipfile.ZIP_STORED))
            return value
        if drawn < 0.2:
            name = random.choice(list(entries))
            entries[name] = mutated_bytes(random, entries[name])
        elif drawn < 0.25:
            name = random.choice(list(entries))
            content = entries.pop(name)
            if random.random() < 0.5:
                entries[random.choice((name + "x", text(random), "/" + name, "../" + name))] = content
        else:
            suffix = "models/model.json" if random.random() < 0.75 else "_config.json"
            name = random.choice([name for name in entries if name.endswith(suffix)])
            tree = json.loads(entries[name])
            changed = random.random()
            if suffix != "models/model.json":
                _change_layout(random, tree)
            elif changed < 0.5:
                _change_sizes(random, tree)
            elif changed < 0.7:
                _repeat_conditions(random, tree)
            if random.random() < 0.6:
                tree = mutate(random, tree, most=8)
            entries[name] = tree
        return value

    def run(self, value: Value) -> Iterator[Figure]:
        """Write the archive, scan its weights, capture, count and estimate it."""
        path = self.folder / f"{next(self._numbers)}.pt2"
        try:
            path.write_bytes(value["archive"] if value["entries"] is None else _zip(value["entries"], value["method"]))
            refused = None
            try:
                yield from of_sparsity(ic.sparsity(str(path), threads=1))
            except ic._core.Error as error:  # a program is read without its weights
                refused = error
            graph = ic.capture(str(path))
            yield from of_counts(ic.count(graph))
            yield from of_estimate(ic.estimate(graph, hardware=value["machine"], sizes=value["sizes"]))
            if refused is not None:
                raise refused
        finally:
            path.unlink(missing_ok=True)


def _zip(entries: dict[str, Value], method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in entries.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            archive.writestr(zipfile.ZipInfo(name.encode(errors="replace").decode()), data, method)
    return file.getvalue()


def _chosen(x: Any, depth: int) -> Any:
    """Return what a condition returns, with conditions in its first branch."""
    import torch

    if depth == 0:
        return x + 1
    return torch.cond(x.sum() > depth, lambda x: _chosen(x, depth - 1), lambda x: x @ x.t() @ x, (x,))


def _repeat_conditions(random: Random, program: Value) -> None:
    """Repeat the conditions of a program, beside each other or within their branches."""
    graph = program["graph_module"]["graph"]
    conditions = [node for node in graph["nodes"] if "cond" in str(node["target"])]
    if not conditions:
        return
    original = json.dumps(random.choice(conditions))
    if random.random() < 0.5:  # the branches are graphs with nodes
        for _ in range(random.choice((1, 10, 60))):
            outer = json.loads(original)
            branches = [argument["arg"]["as_graph"] for argument in outer["inputs"] if "as_graph" in argument["arg"]]
            branches[0]["graph"]["nodes"].append(conditions[0])  # in both, they would be doubled at each level
            conditions.insert(0, outer)
        graph["nodes"].append(conditions[0])
        return
    for number in range(random.choice((1, 100, 200))):
        node = json.loads(original)
        for output in node["outputs"]:
            for tensor in output.get("as_tensors") or [output["as_tensor"]]:
                graph["tensor_values"][f"{tensor['name']}.{number}"] = graph["tensor_values"][tensor["name"]]
                tensor["name"] += f".{number}"
        graph["nodes"].append(node)


def _change_layout(random: Random, config: Value) -> None:
    """Give a weight another layout: strides of 0, overlaps, more elements than bytes."""
    weights = [weight for weight in config.get("config", {}).values() if weight.get("tensor_meta")]
    if not weights or random.random() < 0.3:
        return
    weight = random.choice(weights)
    sizes = [random.choice((1, 2, 8, 2**10, 2**24, 2**40)) for _ in range(random.choice((1, 2, 2, 3, 70)))]
    strides = [random.choice((0, 0, 0, 1, 8, -1, 2**40)) for _ in sizes]
    meta = weight["tensor_meta"]
    meta["sizes"], meta["strides"] = ([{"as_int": number} for number in numbers] for numbers in (sizes, strides))
    if random.random() < 0.2:
        weight["path_name"] = random.choice(("../../x", "/etc/passwd", "", "../models/model.json", "\0", text(random)))


def _change_sizes(random: Random, program: Value) -> None:
    """Replace some sizes of a program by expressions."""
    values = program["graph_module"]["graph"]["tensor_values"]
    places = [path for path in paths(values) if len(path) > 1 and path[-2] in ("sizes", "strides")]
    for path in random.sample(places, min(len(places), random.choice((1, 1, 3)))):
        old = at(values, path[:-1])[path[-1]]
        if "as_expr" in old and random.random() < 0.3:
            expression = mutated_text(random, old["as_expr"]["expr_str"])
        else:
            expression = _expression(random, random.choice((0, 1, 2, 3, 6)))
        size: Value = {"as_expr": {"expr_str": expression, "hint": {"as_int": 2}}}
        at(values, path[:-1])[path[-1]] = size if random.random() < 0.8 else {"as_int": integer(random)}


def _expression(random: Random, depth: int) -> str:
    if depth == 0:
        return random.choice(_LEAVES) if random.random() < 0.98 else "-" * 20000 + "1"
    function = random.choice(_FUNCTIONS)
    if random.random() < 0.1:
        inner = _expression(random, 0)
        for _ in range(random.choice((2, 5, 40, 300))):
            inner = f"{function}({inner},{random.choice(_LEAVES[:8])})"
        return inner
    return f"{function}({', '.join(_expression(random, depth - 1) for _ in range(random.choice((1, 2, 2, 2, 3))))})"
