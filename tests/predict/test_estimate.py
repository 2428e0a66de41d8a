"""The Python API: names, sizes, user-defined rules, estimates and profiles."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.toy_graphs import BLOCKS, WIDTH, blocks

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.sources.spec_graphs import SpecGraph

A100 = "a100-sxm-80gb"
LINEAR_FLOPS = 2 * WIDTH * WIDTH  # per row of the batch
LINEARS = BLOCKS + 1


def run(code: str) -> str:
    """What a fresh interpreter prints; elsewhere than in the root, which would stand before an installed wheel."""
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return result.stdout.strip()


@pytest.fixture(scope="module")
def graph() -> ic.Graph:
    return blocks()


# --- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ic.__all__)
def test_every_public_name_is_there(name: str) -> None:
    if name in ("CostRegularizer", "CostTracker") and find_spec("torch") is None:
        with pytest.raises(ImportError, match=r"pyinfercost\[torch\]"):
            getattr(ic, name)
        return
    assert getattr(ic, name) is not None
    assert name in dir(ic)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'cuont'"):
        ic.cuont  # noqa: B018


@pytest.mark.parametrize("name", ["hardware", "profile", "sweep", "count", "estimate"])
def test_names_do_not_change_when_a_module_is_imported(name: str) -> None:
    modules = "pyinfercost.results.profile, pyinfercost.sweeps.sweep, pyinfercost.hardware.loading"
    code = f"import pyinfercost as ic; before = ic.{name}; import {modules}; print(ic.{name} is before)"
    assert run(code) == "True"


def test_a_missing_core_says_how_to_build_it() -> None:
    code = (
        "import sys; sys.modules['pyinfercost._core'] = None\n"
        "try:\n    import pyinfercost\nexcept ImportError as error:\n    print(error)"
    )
    assert "pip install -e ." in run(code)


# --- sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"sequence": 3}, "unknown size 'sequence'; this graph has the sizes 'batch'"),
        ({"batch": 0}, "'batch' must be from 1 to 4096 in this graph, got 0"),
        ({"batch": 4097}, "'batch' must be from 1 to 4096 in this graph, got 4097"),
        ({"batch": 2.0}, "'batch' must be a whole number.*, got 2.0"),
        ({"batch": "2"}, "'batch' must be a whole number.*, got '2'"),
    ],
)
@pytest.mark.parametrize("analysis", ["count", "estimate", "profile", "sweep"])
def test_a_wrong_size_is_refused_by_all(graph: ic.Graph, analysis: str, sizes: dict, message: str) -> None:
    hardware = {} if analysis == "count" else {"hardware": A100}
    with pytest.raises(ValueError, match=message):
        getattr(ic, analysis)(graph, **hardware, **sizes)


def test_a_size_left_out_is_symbolic_in_counts_and_the_default_elsewhere(graph: ic.Graph) -> None:
    flops = ic.count(graph).total.contraction_flops
    assert isinstance(flops, ic.Expr)
    assert flops.evaluate({"batch": 5}) == 5 * LINEARS * LINEAR_FLOPS
    assert ic.estimate(graph, hardware=A100).sizes == {"batch": 1}
    assert ic.profile(graph).counts.total.contraction_flops == LINEARS * LINEAR_FLOPS


# --- rules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mylib::mix", "mylib.mix", "mylib.mix.default", "mylib::mix.default"])
@pytest.mark.parametrize(
    "result",
    [1000, {"contraction_flops": 1000}, ic.Work(contraction_flops=1000)],
    ids=["number", "dict", "Work"],
)
def test_a_rule_gives_an_unknown_op_its_work(name: str, result: object) -> None:
    graph = blocks(custom_op=True)
    without = ic.count(graph, batch=2)
    assert without.unmodelled == {"mylib.mix": 1}
    counts = ic.count(graph, batch=2, rules={name: lambda node: result})
    assert not counts.unmodelled
    assert counts.total.contraction_flops == without.total.contraction_flops + 1000


def test_a_rule_sees_the_node_and_replaces_a_row_of_the_core(graph: ic.Graph) -> None:
    seen = []

    def rule(node: ic._core.NodeInfo) -> int:
        seen.append((node.module, node.inputs[0].shape[-1]))
        return 7

    counts = ic.count(graph, batch=2, rules={"aten::linear": rule})
    assert seen == [("blocks.0.fc", WIDTH), ("blocks.1.fc", WIDTH), ("head", WIDTH)]
    assert counts.total.contraction_flops == 3 * 7


def test_a_rule_may_answer_in_named_sizes() -> None:
    graph = blocks(custom_op=True)
    rules = {"mylib::mix": lambda node: 10 * node.inputs[0].shape[0]}
    without = ic.count(graph, batch=6).total.contraction_flops
    assert ic.count(graph, rules=rules).total.contraction_flops.evaluate({"batch": 6}) == without + 60
    assert ic.count(graph, rules=rules, batch=6).total.contraction_flops == without + 60
    estimate = ic.estimate(graph, hardware=A100, rules=rules, batch=6)
    assert estimate.latency_s == ic.sweep(graph, hardware=A100, rules=rules, batch=[5, 6])["latency_s"][1]


def test_a_rule_reaches_the_estimate() -> None:
    graph = blocks(custom_op=True)
    rules = {"mylib::mix": lambda node: {"bytes_read": 10**10, "bytes_written": 10**10}}
    without = ic.profile(graph, hardware=A100)
    profile = ic.profile(graph, hardware=A100, rules=rules)
    assert profile.counts.total.bytes_read == without.counts.total.bytes_read + 10**10
    # 2e10 bytes at no more than 2.04e12 byte/s
    assert profile.estimate.latency_s > without.estimate.latency_s + 2e10 / 2.04e12
    assert ic.estimate(graph, hardware=A100, rules=rules) == profile.estimate


def test_a_rule_that_matches_nothing_warns(graph: ic.Graph) -> None:
    with pytest.warns(UserWarning, match="'mylib.mxi' matches no op"):
        ic.count(graph, rules={"mylib::mxi": lambda node: 1})


@pytest.mark.parametrize("result", [None, "many", 1.5, True])
def test_a_rule_that_returns_no_work_is_refused(result: object) -> None:
    with pytest.raises(TypeError, match="expected a Work, a dict of its arguments, or a whole number"):
        ic.count(blocks(custom_op=True), rules={"mylib::mix": lambda node: result})


def test_a_rule_with_a_misspelt_field_is_refused() -> None:
    with pytest.raises(TypeError, match="fields that Work does not take"):
        ic.count(blocks(custom_op=True), rules={"mylib::mix": lambda node: {"flops": 1}})


# --- estimates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("execution", _core.executions())
@pytest.mark.parametrize("precision", ["native", "fp16"])
def test_the_layers_of_an_estimate_add_up(graph: ic.Graph, execution: str, precision: str) -> None:
    estimate = ic.estimate(graph, hardware=A100, execution=execution, precision=precision, batch=64)
    assert (estimate.precision, estimate.execution, estimate.hardware) == (precision, execution, A100)
    assert 0 < estimate.latency_low_s <= estimate.latency_s <= estimate.latency_high_s
    assert sum(layer.latency_s for layer in estimate.layers) == pytest.approx(estimate.latency_s)
    assert sum(estimate.bound_shares.values()) == pytest.approx(1)
    assert estimate.throughput_per_s == pytest.approx(64 / estimate.latency_s)
    indices = [layer.index for layer in estimate.layers]
    assert indices == sorted(set(indices))
    for layer in estimate.layers:
        assert layer.module == graph.node(layer.index).module
        assert layer.bound in estimate.bound_shares


def test_an_estimate_is_frozen_and_what_is_not_known_is_none(graph: ic.Graph) -> None:
    estimate = ic.estimate(graph, hardware=A100)
    assert estimate.cost_usd is None
    assert ic.estimate(graph, hardware="tpu-v5e").energy_j is None  # whose power nobody has published
    with pytest.raises(dataclasses.FrozenInstanceError):
        estimate.latency_s = 0.0


def test_threads_are_of_a_cpu(graph: ic.Graph) -> None:
    one, eight = (ic.estimate(graph, hardware="epyc-7742", threads=n, batch=4096) for n in (1, 8))
    assert one.threads == 1
    assert one.latency_s > eight.latency_s
    with pytest.raises(ValueError, match="expected a CPU"):
        ic.estimate(graph, hardware=A100, threads=4)


@pytest.mark.parametrize("argument", ["hardware", "precision", "execution"])
def test_an_unknown_name_is_a_value_error_that_repeats_it(graph: ic.Graph, argument: str) -> None:
    with pytest.raises(ValueError, match="no-such-thing"):
        ic.estimate(graph, **{"hardware": A100, argument: "no-such-thing"})


# --- profiles ------------------------------------------------------------------------------------------------------


def test_a_profile_is_its_parts(graph: ic.Graph) -> None:
    profile = ic.profile(graph, hardware=A100, precision="fp16", batch=8)
    assert profile.graph is graph
    assert (profile.model, profile.sizes, profile.precision) == ("toy", {"batch": 8}, "fp16")
    assert profile.counts.total.to_dict() == ic.count(graph, precision="fp16", batch=8).total.to_dict()
    assert profile.estimate == ic.estimate(graph, hardware=A100, precision="fp16", batch=8)
    assert ic.profile(graph).estimate is None


def test_inputs_do_not_go_with_a_graph(graph: ic.Graph) -> None:
    for analysis in (ic.count, ic.estimate):
        with pytest.raises(TypeError, match="a Graph is captured already"):
            analysis(graph, (1,))
    with pytest.raises(TypeError, match="captured already"):
        ic.profile(graph, (1,))


def test_a_model_in_words_keeps_its_name_and_the_sizes_it_was_captured_at(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def spec_graph(spec: str, sizes: dict[str, int], *, named: list[str]) -> SpecGraph:
        asked.append((spec, sizes))
        assert not named
        return SpecGraph(blocks(fixed_batch=sizes.get("batch", 1)), {})

    monkeypatch.setattr("pyinfercost.sources.captured.spec_graph", spec_graph)
    profile = ic.profile("torchvision:toy", hardware=A100, batch=8)
    assert asked == [("torchvision:toy", {"batch": 8})]
    assert (profile.model, profile.sizes) == ("torchvision:toy", {"batch": 8})
    assert profile.estimate.sizes == {"batch": 8}
    assert profile.estimate.throughput_per_s == pytest.approx(8 / profile.estimate.latency_s)
    assert ic.profile("torchvision:toy").sizes == {"batch": 1}
    with pytest.raises(TypeError, match="brings its own"):
        ic.profile("torchvision:toy", (1,))


def test_names_in_messages_are_short() -> None:
    builder = ic.GraphBuilder("long")
    lengths = [builder.size(f"{'n' * 300}{number}", default=2) for number in range(50)]
    graph = builder.build([builder.tensor("float32", lengths[:8], role="input")], [])
    with pytest.raises(ValueError, match="unknown size") as raised:
        ic.count(graph, **{"m" * 3000: 2})
    assert len(str(raised.value)) < 1000
