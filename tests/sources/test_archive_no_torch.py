"""Reading archives without torch, on an archive written by hand."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import pytest
from support.toy_graphs import blocks

import pyinfercost as ic
from pyinfercost.errors import InputError
from pyinfercost.sources.exported.archive import ArchiveError, graph_from_archive, weights
from pyinfercost.sources.exported.program import dearest
from pyinfercost.sources.expressions import ExpressionError, Symbols, parse_expr, symbol_name

FLOAT32 = 7
SYMBOL = {"as_expr": {"expr_str": "Symbol('s0', positive=True, integer=True)", "hint": {"as_int": 4}}}


def meta(*sizes: int | dict[str, Any]) -> dict[str, Any]:
    strides, step = [], 1
    for size in reversed(sizes):
        strides.insert(0, {"as_int": step})
        step *= size if isinstance(size, int) else 1
    shape = [size if isinstance(size, dict) else {"as_int": size} for size in sizes]
    return {"dtype": FLOAT32, "sizes": shape, "strides": strides, "storage_offset": {"as_int": 0}, "layout": 7}


def named(name: str, tensor: str) -> dict[str, Any]:
    return {"name": name, "arg": {"as_tensor": {"name": tensor}}, "kind": 1}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = linear(x, weight), with a dynamic batch."""
    node = {
        "target": "torch.ops.aten.linear.default",
        "inputs": [named("input", "x"), named("weight", "p_fc_weight")],
        "outputs": [{"as_tensor": {"name": "y"}}],
        "metadata": {
            "nn_module_stack": "L__self__,,net.Net;L__self__fc,fc,torch.nn.modules.linear.Linear",
            "stack_trace": 'File "/home/me/net.py", line 7, in forward\n'
            '  File "/venv/site-packages/torch/nn/modules/linear.py", line 134',
        },
    }
    graph = {
        "inputs": [{"as_tensor": {"name": "p_fc_weight"}}, {"as_tensor": {"name": "x"}}],
        "outputs": [{"as_tensor": {"name": "y"}}],
        "nodes": [node],
        "tensor_values": {"p_fc_weight": meta(2, 3), "x": meta(SYMBOL, 3), "y": meta(SYMBOL, 2)},
        "sym_int_values": {},
        "sym_bool_values": {},
    }
    signature = {
        "input_specs": [
            {"parameter": {"arg": {"name": "p_fc_weight"}, "parameter_name": "fc.weight"}},
            {"user_input": {"arg": {"as_tensor": {"name": "x"}}}},
        ],
        "output_specs": [{"user_output": {"arg": {"as_tensor": {"name": "y"}}}}],
    }
    program = {
        "schema_version": {"major": 8, "minor": 20},
        "range_constraints": {"s0": {"min_val": 0, "max_val": 128}},
        "graph_module": {"graph": graph, "signature": signature},
    }
    payload = {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": meta(2, 3)}
    path = tmp_path_factory.mktemp("archive") / "net.pt2"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("net/data/weights/weight_0", struct.pack("<6f", *range(6)))
        file.writestr("net/data/weights/model_weights_config.json", json.dumps({"config": {"fc.weight": payload}}))
        file.writestr("net/models/model.json", json.dumps(program))
        file.writestr("net/archive_format", "pt2")
        file.writestr("net/byteorder", "little")
    return path


def test_graph(archive: Path) -> None:
    graph = graph_from_archive(archive)
    assert graph.sizes == {"batch": {"default": 4, "minimum": 1, "maximum": 128, "role": "batch"}}
    node = graph.node(0)
    assert (node.op, node.overload, node.module, node.source) == ("aten.linear", "default", "fc", "net.py:7")
    assert [t.name for t in node.inputs] == ["x", "fc.weight"]
    # batch x 2 outputs x 3 multiply-adds
    assert ic.count(graph, batch=5).total.contraction_flops == 2 * (5 * 2 * 3)


def test_weights(archive: Path) -> None:
    weight = weights(archive)["fc.weight"]
    assert (weight.dtype, weight.shape, weight.strides) == ("float32", (2, 3), (3, 1))
    assert struct.unpack("<6f", weight.read()) == (0, 1, 2, 3, 4, 5)


@pytest.mark.parametrize("sizes", [(2**24, 2**24), (2**40,), (2, 3)])
def test_weights_whose_elements_overlap_are_not_scanned(archive: Path, tmp_path: Path, sizes: tuple[int, ...]) -> None:
    expanded = {**meta(*sizes), "strides": [{"as_int": 0}] * len(sizes)}
    payload = {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": expanded}
    path = tmp_path / "net.pt2"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            config = json.dumps({"config": {"fc.weight": payload}}).encode()
            target.writestr(name, config if name.endswith("weights_config.json") else source.read(name))
    result = ic.sparsity(path)
    assert not result.weights
    assert [each.reason for each in result.skipped] == [f"its {4 * prod(sizes):,} bytes overlap in 4 stored ones"]


def test_many_conditions_are_refused_before_their_branches_are_read() -> None:
    reads: list[Mapping[str, int]] = []

    def read(choices: Mapping[str, int]) -> tuple[ic.Graph, list[str]]:
        reads.append(choices)
        return blocks(), [f"c{number}" for number in range(129)]

    with pytest.raises(InputError, match=r"has 129 conditions, .*; expected at most 128"):
        dearest(read)
    assert len(reads) == 1


def test_no_archive_is_an_archive_error(tmp_path: Path) -> None:
    path = tmp_path / "text.pt2"
    path.write_text("not a zip", encoding="utf-8")
    with pytest.raises(ArchiveError, match=r"text\.pt2: not a complete zip archive"):
        graph_from_archive(path)


def test_neither_torch_nor_numpy_is_imported(archive: Path) -> None:
    code = (
        "import sys\n"
        "from pyinfercost.sources.exported.archive import graph_from_archive, weights\n"
        f"graph_from_archive({str(archive)!r}); weights({str(archive)!r})\n"
        "print(sorted({'torch', 'numpy', 'sympy', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=archive.parent)
    assert done.stdout.strip() == "[]"


S0, S1 = "Symbol('s0', positive=True, integer=True)", "Symbol('s1', integer=True)"


@pytest.mark.parametrize(
    ("text", "value"),  # at s0 = 7, s1 = 3
    [
        ("Integer(12)", 12),
        (f"Mul(Integer(2), {S0})", 14),
        ("2*s0", 14),
        (f"Add({S0}, Mul(Integer(-1), {S1}))", 4),
        ("s0 - s1 + 1", 5),
        ("-s0 + 10", 3),
        (f"Pow({S0}, Integer(2))", 49),
        ("s0**2", 49),
        (f"Max(Integer(1), {S0}, {S1})", 7),
        (f"Min(Integer(5), {S0})", 5),
        (f"FloorDiv({S0}, Integer(2))", 3),
        ("s0//2", 3),
        ("((s0 + 1)//2)", 4),
        ("Mod(s0, 4)", 3),
        ("PythonMod(s0, s1)", 1),
        ("ModularIndexing(s0, 2, 2)", 1),
        ("CeilToInt(IntTrueDiv(s0, 2))", 4),
        ("CeilToInt(IntTrueDiv(s0 + 1, 2))", 4),
        ("TruncToInt(IntTrueDiv(s0, 2))", 3),
        ("CeilDiv(s0, s1)", 3),
        ("floor(s0/2) + 1", 4),
        ("ceiling(s0/2)", 4),
        ("Mul(Rational(1, 2), Add(s0, Integer(1)))", 4),
        ("TruncToInt(Mul(Float('0.5', precision=53), ToFloat(s0)))", 3),
        ("TruncToInt(1.5*s0)", 10),
        ("Mul(s0, Pow(s1, Integer(-1)))", 2),
        ("LShift(s1, 2)", 12),
        ("RShift(s0, 1)", 3),
        ("Abs(s1 - s0)", 4),
        ("Identity(s0)", 7),
    ],
)
def test_expressions(text: str, value: int) -> None:
    sizes = {"a": 7, "b": 3}
    result = parse_expr(text, Symbols({"s0": ic.Expr.size("a"), "s1": ic.Expr.size("b")}))
    assert (result if isinstance(result, int) else result.evaluate(sizes)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2*s9", r"uses 's9'; expected one of \['s0'\]"),
        ("Where(s0 > 1, 2, 3)", r"has 's0 > 1'; expected a number"),
        ("Piecewise(s0)", "uses 'Piecewise'; expected one of Abs, Add"),
        ("2 *", "cannot be read"),
        ("__import__('os').getcwd()", "expected"),
        ("s0.real", r"has 's0\.real'; expected a number"),
        ("FloorDiv(s0)", "calls FloorDiv with 1 operands"),
        ("s0**s0", "exponent is not a whole number"),
    ],
)
def test_expressions_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        parse_expr(text, {"s0": ic.Expr.size("a")})


def test_symbol_names() -> None:
    assert [symbol_name(t) for t in (S0, "s5", f"Mul(Integer(2), {S0})", "2*s0", "Integer(3)")] == [
        "s0",
        "s5",
        "",
        "",
        "",
    ]


def test_messages_quote_values_of_the_file_in_part(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.pt2"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith("model.json"):
                program = json.loads(content)
                program |= {"schema_version": {"major": ["a" * 50_000]}, "torch_version": "b" * 50_000}
                content = json.dumps(program).encode()
            new.writestr(entry.filename, content)
    with pytest.raises(ArchiveError, match=r"has export schema \['aaa.* expected 8") as caught:
        graph_from_archive(path)
    assert len(str(caught.value)) < 2000


def test_a_message_quotes_a_long_name_of_an_entry_in_part(archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.pt2"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.infolist():
            name = entry.filename.replace("model.json", "m" * 50_000 + ".json")
            new.writestr(name, b"{}" if name != entry.filename else old.read(entry))
    with pytest.raises(ArchiveError, match="does not follow torch's export schema") as caught:
        graph_from_archive(path)
    assert len(str(caught.value)) < 3000
