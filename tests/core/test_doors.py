"""The doors of the core: malformed graphs, expressions and machines are refused, and legal oddities are counted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.single_node import T, single_node

import pyinfercost as ic
from pyinfercost import _core

INT64_MIN = -(2**63)
TESTS = Path(__file__).parents[1]


def document(**changes: Any) -> str:
    """A graph of one product `[batch, 4] @ [4, 8]` as JSON, with changed entries."""
    graph = {
        "schema_version": 1,
        "model": "toy",
        "sizes": {"batch": {"default": 2}},
        "tensors": [
            {"dtype": "float32", "shape": ["batch", 4], "role": "input"},
            {"dtype": "float32", "shape": [4, 8], "role": "parameter"},
            {"dtype": "float32", "shape": ["batch", 8], "role": "activation"},
        ],
        "nodes": [{"op": "aten.mm", "args": {"self": ["tensor", 0], "mat2": ["tensor", 1]}, "outputs": [2]}],
        "inputs": [0],
        "outputs": [2],
    }
    return json.dumps(graph | changes)


def with_shape(shape: list[Any]) -> str:
    graph = json.loads(document())
    graph["tensors"][0]["shape"] = shape
    return json.dumps(graph)


def test_errors_are_of_one_hierarchy_and_are_what_users_expect() -> None:
    with pytest.raises(_core.InputError) as refused:
        ic.Graph.from_json("{}")
    assert isinstance(refused.value, _core.Error)
    assert isinstance(refused.value, ValueError)
    with pytest.raises(_core.CountOverflowError) as overflow:
        ic.count(ic.Graph.from_json(document()), batch=2**62)
    assert isinstance(overflow.value, _core.Error)
    assert isinstance(overflow.value, OverflowError)


# ---- expressions ----


@pytest.mark.parametrize("text", ["(" * 200_000, "-" * 200_000, "max(" * 50_000, "[" * 10])
def test_deep_expressions_are_refused(text: str) -> None:
    with pytest.raises(_core.InputError, match="size expression"):
        _core.Expr(text)


def test_expressions_have_a_bound_on_terms() -> None:
    # (a+b+...+n)^9 has C(22, 9) = 497,420 terms.
    names = "(" + "+".join("abcdefghijklmn") + ")"
    with pytest.raises(_core.InputError, match="more than 10000 terms"):
        _core.Expr("*".join([names] * 9))


def repeated(step: Callable[[_core.Expr], _core.Expr]) -> _core.Expr:
    value = _core.Expr("n")
    for _ in range(40):
        value = step(value)
    return value


def test_expressions_have_a_bound_on_powers_and_length() -> None:
    with pytest.raises(_core.InputError, match="to the power 128; expected at most 100"):
        repeated(lambda power: power * power)
    with pytest.raises(_core.InputError, match="more than 1000000 characters"):
        repeated(lambda nested: (nested // 7) * (nested % 7))


@pytest.mark.parametrize("other", [INT64_MIN, 0])
def test_the_lowest_integer_has_no_greatest_common_divisor(other: int) -> None:
    with pytest.raises(OverflowError, match="gcd"):
        _core.Expr("gcd(n-1, m-1)").evaluate({"n": INT64_MIN + 1, "m": other + 1})


@pytest.mark.parametrize(("other", "expected"), [(12, 4), (-12, 4), (-1, 1), (1, 1), (2**62, 2**62)])
def test_the_lowest_integer_divides_like_any_other(other: int, expected: int) -> None:
    assert _core.Expr("gcd(n-1, m-1)").evaluate({"n": INT64_MIN + 1, "m": other + 1}) == expected


def test_signs_of_large_expressions_do_not_wrap() -> None:
    # The sum of coefficients is 2^64 - 2, far beyond 64 bits; the constant alone decides nothing.
    text = f"max({2**63 - 1}*a + {2**63 - 1}*b - {2**63 - 1}, 0)"
    assert _core.Expr(text) == _core.Expr(f"{2**63 - 1}*a + {2**63 - 1}*b - {2**63 - 1}")


# ---- graphs ----


@pytest.mark.parametrize("length", ["-batch", "1-n", "batch-3"])
def test_lengths_below_zero_are_refused_at_the_sizes_that_give_them(length: str) -> None:
    graph = json.loads(with_shape([length, 4]))
    graph["sizes"]["n"] = {"default": 2}
    loaded = ic.Graph.from_json(json.dumps(graph))
    for call in (
        lambda: ic.count(loaded, batch=2, n=2),
        lambda: ic.estimate(loaded, hardware="l4", batch=2, n=2),
        lambda: ic.sweep(loaded, hardware="l4", batch=[4, 2], n=2)["latency_s"],
    ):
        with pytest.raises(_core.InputError, match=r"length or stride .* which is -\d+ for batch=\d, n=2"):
            call()


def test_a_length_may_be_above_zero_by_the_least_value_of_its_size() -> None:
    graph = json.loads(with_shape(["batch-3", 4]))
    graph["sizes"]["batch"] = {"default": 4, "minimum": 3}
    assert ic.count(ic.Graph.from_json(json.dumps(graph)), batch=3).total.contraction_flops == 0


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("aten._foreach_copy", {"self": [None], "src": [None]}),
        ("aten.cat", {"tensors": [None, None]}),
        ("aten.linalg_multi_dot", {"tensors": [None, None]}),
        ("aten.chain_matmul", {"matrices": [None]}),
        ("aten._foreach_norm", {"self": [None]}),
        ("aten.stack", {"tensors": [None]}),
    ],
)
def test_null_operands_are_no_memory(op: str, args: dict[str, list[None]]) -> None:
    builder = _core.GraphBuilder("null")
    x = builder.tensor("float32", [2, 2], role="input")
    y = builder.tensor("float32", [2, 2])
    (name,) = list(args)[:1]
    builder.node(op, {name: [x, None], **{key: [x, None] for key in list(args)[1:]}}, [y])
    graph = builder.build([x], [y])
    try:
        counts = ic.count(graph)
    except _core.InputError as error:
        assert "node 0" in str(error)  # noqa: PT017 (refused or counted: both are right, a crash is not)
    else:
        assert 0 <= int(counts.total.bytes_read) <= 3 * 16


def test_shapes_that_are_too_short_name_the_node() -> None:
    attention = single_node(
        "aten.scaled_dot_product_attention",
        {"query": T((2, 4, 8)), "key": T((2, 4, 8)), "value": T((8,))},
        T((2, 4, 8)),
    )
    matmul = single_node("aten.matmul", {"self": T((2, 3, 4)), "other": T((2, 4, 5))}, T((5,)))
    for graph in (attention, matmul):
        with pytest.raises(_core.InputError, match=r"node 0 \(aten\."):
            ic.estimate(graph, hardware="l4")


@pytest.mark.parametrize("kernel", [[-2, 1], []])
def test_windows_that_cannot_be_name_the_node(kernel: list[int]) -> None:
    graph = single_node("aten.avg_pool2d", {"self": T((1, 3, 8, 8)), "kernel_size": kernel}, T((1, 3, 4, 4)))
    try:
        flops = int(ic.count(graph).total.flops)
    except _core.InputError as error:
        assert "node 0 (aten.avg_pool2d)" in str(error)  # noqa: PT017 (an empty window may be counted as one cell)
    else:
        assert flops >= 0


ZERO_LENGTHS = {
    "linear to none": ("aten.linear", {"input": T((2, 8)), "weight": T((0, 8))}, T((2, 0))),
    "linear from none": ("aten.linear", {"input": T((2, 0)), "weight": T((8, 0))}, T((2, 8))),
    "convolution to none": ("aten.conv2d", {"input": T((1, 3, 8, 8)), "weight": T((0, 3, 3, 3))}, T((1, 0, 6, 6))),
    "norm of none": ("aten.layer_norm", {"input": T((2, 0)), "normalized_shape": [0]}, T((2, 0))),
    "group norm": ("aten.group_norm", {"input": T((0, 4, 8, 8)), "num_groups": 1}, T((0, 4, 8, 8))),
    "product": ("aten.mm", {"self": T((3, 0)), "mat2": T((0, 4))}, T((3, 4))),
    "batched": ("aten.bmm", {"self": T((0, 3, 2)), "mat2": T((0, 2, 4))}, T((0, 3, 4))),
    "attention to no key": (
        "aten.scaled_dot_product_attention",
        {"query": T((1, 2, 4, 8)), "key": T((1, 2, 0, 8)), "value": T((1, 2, 0, 8))},
        T((1, 2, 4, 8)),
    ),
    "attention of no query": (
        "aten.scaled_dot_product_attention",
        {"query": T((1, 2, 0, 8)), "key": T((1, 2, 4, 8)), "value": T((1, 2, 4, 8))},
        T((1, 2, 0, 8)),
    ),
    "decomposition": ("aten.linalg_svd", {"A": T((0, 3))}, T((0, 0))),
}


@pytest.mark.parametrize("case", ZERO_LENGTHS)
@pytest.mark.parametrize("execution", ["eager", "compiled"])
@pytest.mark.parametrize("hardware", ["l4", "epyc-9654", "tpu-v5e"])
def test_lengths_of_zero_are_legal_and_multiply_nothing(case: str, execution: str, hardware: str) -> None:
    op, args, result = ZERO_LENGTHS[case]
    graph = single_node(op, args, result)
    assert ic.count(graph).total.contraction_flops == 0
    assert 0 <= ic.estimate(graph, hardware=hardware, execution=execution).latency_s < 1


def test_a_rule_of_a_user_cannot_count_less_than_nothing() -> None:
    graph = single_node("shop.scores", {"x": T((2, 4))}, T((2, 4)))
    with pytest.raises(_core.InputError, match="contraction_flops is -5; expected zero or more"):
        ic.count(graph, rules={"shop::scores": lambda node: -5})


# ---- machines ----


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bandwidth_byte_per_s", 1e-320),
        ("cores", 1e30),
        ("clock_hz", 1e300),
        ("dispatch", 1e9),
        ("sparsity_2_4", 1e9),
    ],
)
def test_machines_that_cannot_be_built_are_refused(field: str, value: float) -> None:
    machine = json.loads(ic.hardware.load("l4").to_json())
    if field == "dispatch":
        machine["overheads_s"][field] = value
    elif field == "bandwidth_byte_per_s":
        machine["memory"][-1][field] = value
    else:
        machine[field] = value
    with pytest.raises(_core.InputError, match=rf"hardware 'l4': .*{field}.* expected a number from"):
        ic.Hardware.from_json(json.dumps(machine))


# ---- threads and signals ----

REFUSED_THREADS = """
import os, resource, sys
import numpy as np
import pyinfercost as ic
from support.toy_graphs import transformer
graph, machine = transformer(), ic.hardware.load("l4")
data = np.zeros(50_000_000, np.float32)
def run():
    latency = ic.sweep(graph, hardware=machine, batch=range(1, 3000), sequence=[8, 16])["latency_s"]
    return latency, ic.sparsity(data, threads=64).to_dict()["sparsity"]["total"]["zeros"]
expected, zeros = run()  # imports and reads all that another user may not read
assert zeros == data.size
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
if os.getuid() == 0:
    os.setuid(65534)  # root may have any number
import threading
try:
    threading.Thread(target=print).start()
except RuntimeError:
    pass
else:
    print("the system refuses no thread here")
    sys.exit(77)
latency, zeros = run()
assert (latency == expected).all()
assert zeros == data.size
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of resources")
def test_threads_that_the_system_refuses_are_done_without() -> None:
    # In the folder of the tests, so that an installed package is tested where there is one.
    result = subprocess.run([sys.executable, "-c", REFUSED_THREADS], check=False, capture_output=True, cwd=TESTS)
    if result.returncode == 77:
        pytest.skip("this system refuses no thread to a user at its limit")
    assert result.returncode == 0, result.stderr.decode()[-2000:]


def count_for_ever(graph: ic.Graph) -> None:
    while True:
        ic.count(graph)


def test_ctrl_c_ends_a_long_count() -> None:
    builder = _core.GraphBuilder("long")
    lengths = [builder.size(f"n{i}", default=2) for i in range(12)]
    x = builder.tensor("float32", lengths, role="input")
    tensors = [x]
    for _ in range(100_000):
        tensors.append(builder.tensor("float32", lengths))
        builder.node("aten.add", {"self": tensors[-2], "other": x}, [tensors[-1]])
    graph = builder.build([x], [tensors[-1]])
    timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        count_for_ever(graph)
    timer.join()


# ---- paths of modules ----


@pytest.mark.parametrize("path", [".".join(["a"] * 201), "a" * 2_001, "." * 100_000], ids=["levels", "length", "both"])
def test_a_path_of_too_many_modules_is_refused(path: str) -> None:
    # `Counts.by_module` has a row for each level of each path.
    node = {"op": "aten.relu", "module": path, "args": {"self": ["tensor", 0]}, "outputs": [0]}
    with pytest.raises(ic.errors.InputError, match=r"characters in .* levels; expected at most 2000"):
        ic.Graph.from_json(document(nodes=[node]))


# ---- numbers of a rewriter ----


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda rewriter: rewriter.set_dtype(-1, "int8"), IndexError, "a tensor is -1; expected the number"),
        (lambda rewriter: rewriter.set_dtype(10**6, "int8"), IndexError, "tensor is 1000000; this graph has"),
        (lambda rewriter: rewriter.set_dtype(2**31, "int8"), IndexError, "a tensor is 2147483648; expected"),
        (lambda rewriter: rewriter.set_dtype(10**30, "int8"), IndexError, "a tensor does not fit 64 bits"),
        (lambda rewriter: rewriter.set_dtype("x", "int8"), TypeError, "a tensor is a str; expected a whole number"),
        (lambda rewriter: rewriter.set_dtype(0, "\ud800"), ValueError, "half of a surrogate pair"),
        (lambda rewriter: rewriter.set_dtype(0, 8), TypeError, "a name is a int; expected a str"),
        (lambda rewriter: rewriter.remove(-1), IndexError, "a node is -1; expected the number"),
        (lambda rewriter: rewriter.remove(10**6), IndexError, "node is 1000000; this graph has"),
        (lambda rewriter: rewriter.remove(2**31), IndexError, "a node is 2147483648; expected"),
    ],
)
def test_a_rewriter_refuses_what_the_graph_does_not_have(
    call: Callable[[_core.GraphRewriter], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(ic.Error, match=message) as raised:
        call(_core.GraphRewriter(ic.Graph.from_json(document())))
    assert isinstance(raised.value, error)


def test_a_rewriter_that_has_built_its_graph_says_so() -> None:
    rewriter = _core.GraphRewriter(ic.Graph.from_json(document()))
    rewriter.build()
    with pytest.raises(ic.errors.StateError, match="already built its graph; make a new one"):
        rewriter.build()


# ---- sums of thousands of terms ----


def test_the_text_of_a_long_sum_is_read_back_and_substituted() -> None:
    names = "+".join(f"s{number}" for number in range(20))
    long = _core.Expr(f"({names})*({names})*({names})*(1 + a + b + c + d)")
    assert _core.Expr(str(long)) == long
    # 20^3 of the first factors, times 1 + 4 x 5 of the last one.
    assert long.substitute({f"s{number}": 1 for number in range(20)}).evaluate(dict.fromkeys("abcd", 5)) == 8000 * 21


# ---- constants ----


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host_link.pageable_byte_per_s", 0.0),
        ("host_link.pageable_byte_per_s", 1e-320),
        ("cold_start.runtime_low_s", 1e308),
        ("tiles_matrix.round_s", 1e308),
        ("tiles_matrix.round_s", -1.0),
        ("tiles_matrix.most_splits", 1e-9),  # fewer parts than one
    ],
)
def test_constants_have_plausible_ranges(name: str, value: float) -> None:
    machine = json.loads(ic.hardware.load("l4").to_json())
    machine["constants"][name] = value
    with pytest.raises(ic.errors.InputError, match=f"constant '{name}' is .*; expected a finite number >= "):
        ic.Hardware.from_json(json.dumps(machine))


def test_copies_whose_strides_do_not_fit_64_bits_are_refused() -> None:
    tensors = [
        {"dtype": "float16", "shape": [2**40, 2**16, 2**63 - 1], "strides": [2, 6, 0], "role": "input"},
        {"dtype": "bfloat16", "shape": [], "role": "activation"},
    ]
    node = {"op": "aten.tan", "args": {"self": ["tensor", 0]}, "outputs": [1]}
    graph = ic.Graph.from_json(document(tensors=tensors, nodes=[node], inputs=[0], outputs=[1], sizes={}))
    for precision in ("fp16", "amp_bf16"):  # autocast copies the operand into memory without gaps
        with pytest.raises(ic.errors.CountOverflowError):
            ic.estimate(graph, hardware="l4", precision=precision)
