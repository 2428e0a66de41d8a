"""Cases: their descriptions, and predictions equal to those of `estimate`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pyinfercost as ic
from benchmarks.accuracy.captures import Capturing
from benchmarks.accuracy.cases import Case, measured_s
from benchmarks.accuracy.measured import Problems, read_table
from benchmarks.accuracy.predict import Plans, predict
from benchmarks.accuracy.roofline import roofline_s
from benchmarks.accuracy.tables import KINDS, gemm
from benchmarks.accuracy.tables.routing import routed

PLAIN = [name for name, kind in KINDS.items() if not (kind.calls or kind.servers or kind.sample_by)]
"""Tables of operators, whose graphs need no model."""


def cases_of(folder: Path, name: str) -> list[Case]:
    problems = Problems()
    found = KINDS[name].cases(read_table(folder / f"{name}.csv", problems), Capturing(folder))
    assert not list(problems.lines())
    return found


def machines_of(cases: list[Case]) -> dict[str, ic.Hardware]:
    return {case.hardware: ic.hardware.load(case.group.device, sustained=case.sustained) for case in cases}


@pytest.mark.parametrize("name", PLAIN)
def test_a_prediction_is_an_estimate(measured: Path, name: str) -> None:
    cases = cases_of(measured, name)
    machines = machines_of(cases)
    predicted = predict(cases, machines)
    assert len(predicted.latency_s) == len(measured_s(cases))
    row = 0
    for case in cases:
        for place in range(len(case)):
            one = ic.estimate(
                case.graph,
                hardware=machines[case.hardware],
                precision=case.precision,
                execution=case.execution,
                **{size: int(values[place]) for size, values in case.sizes.items()},
            )
            # What measuring adds on the host is no part of an estimate.
            assert predicted.latency_s[row] == one.latency_s + case.host_s
            assert predicted.low_s[row] == one.latency_low_s + case.host_s
            assert predicted.high_s[row] == one.latency_high_s + case.host_s
            row += 1


@pytest.mark.parametrize("name", PLAIN)
def test_all_that_runs_is_modelled(measured: Path, name: str) -> None:
    for case in cases_of(measured, name):
        counts = ic.count(case.graph, **{size: int(values[0]) for size, values in case.sizes.items()})
        assert counts.unmodelled == {}


def test_threads_and_plans_of_the_callers_own_change_nothing(measured: Path) -> None:
    cases = [case for name in ("gemm", "attention", "llm_layers") for case in cases_of(measured, name)]
    machines = machines_of(cases)
    expected, plans = predict(cases, machines), Plans()
    for threads in (1, 2):
        found = predict(cases, machines, plans=plans, threads=threads)
        assert found.latency_s.tolist() == expected.latency_s.tolist()
        assert found.high_s.tolist() == expected.high_s.tolist()
    assert roofline_s(cases, machines, plans=plans).tolist() == roofline_s(cases, machines).tolist()


def test_other_constants_need_no_new_cases(measured: Path) -> None:
    cases = cases_of(measured, "fp32_softmax")
    machines = machines_of(cases)
    slower = {name: machine.scaled(bandwidth=0.5) for name, machine in machines.items()}
    ratio = predict(cases, slower).latency_s / predict(cases, machines).latency_s
    assert np.all(ratio > 1.5)


def test_a_row_that_fails_costs_no_other(measured: Path) -> None:
    (case,) = cases_of(measured, "fp32_linear")
    sizes = {name: np.array([8, 0 if name == "m" else 8, 8]) for name in case.sizes}  # no size may be 0
    broken = Case(case.group, case.graph, case.precision, case.execution, sizes, np.ones(3), np.arange(3))
    failures: list[int] = []
    predicted = predict([broken], machines_of([broken]), lambda _, place, reason: failures.append(place))
    assert failures == [1]
    assert np.isfinite(predicted.latency_s).tolist() == [True, False, True]
    assert np.isfinite(roofline_s([broken], machines_of([broken]))).tolist() == [True, True, True]


def test_an_unknown_way_of_running_is_told_row_by_row(measured: Path) -> None:
    (case,) = cases_of(measured, "fp32_softmax")
    strange = Case(case.group, case.graph, "fp3", case.execution, case.sizes, case.measured_s, case.rows)
    told: list[str] = []
    predicted = predict([strange, case], machines_of([case]), lambda *failure: told.append(failure[2]))
    assert np.isnan(predicted.latency_s[0])
    assert np.isfinite(predicted.latency_s[1])
    assert len(told) == 1
    assert "fp3" in told[0]


@pytest.mark.parametrize(
    ("name", "flops", "read", "written"),
    [
        # m 64, n and k 4096: the first of each group of gemm.csv
        ("bfloat16", 2 * 64 * 4096 * 4096, 2 * (64 * 4096 + 4096 * 4096), 2 * 64 * 4096),
        ("int8_wo", 2 * 64 * 4096 * 4096, 2 * 64 * 4096 + 4096 * 4096 + 2 * 4096, 2 * 64 * 4096),
        ("int4_wo", 2 * 64 * 4096 * 4096, 2 * 64 * 4096 + 4096 * 4096 // 2 + 2 * 2 * 4096 * 32, 2 * 64 * 4096),
        ("sq", 2 * 64 * 4096 * 4096, 64 * 4096 + 4096 * 4096, 2 * 64 * 4096),
        # bf16 is read and written as fp8 with a scale for each of 64 rows, then the product reads that
        (
            "fp8",
            2 * 64 * 4096 * 4096,
            (2 * 64 * 4096 + 4 * 64) + (64 * 4096 + 4096 * 4096 + 4 * 64 + 4 * 4096),
            64 * 4096 + 2 * 64 * 4096,
        ),
    ],
)
def test_bytes_of_products(measured: Path, name: str, flops: int, read: int, written: int) -> None:
    (case,) = (case for case in cases_of(measured, "gemm") if case.group.precision == name)
    total = ic.count(case.graph, **{size: int(values[0]) for size, values in case.sizes.items()}).total
    assert (total.contraction_flops, total.bytes_read, total.bytes_written) == (flops, read, written)


@pytest.mark.parametrize(
    ("dtype", "operand", "scales"),
    [("fp8", 64 * 4096, 4 * 64), ("fp8_block", 64 * 4096, 4 * 64 * 32), ("nvfp4", 64 * 4096 // 2, 64 * 256)],
)
def test_narrow_products_read_what_was_quantized(dtype: str, operand: int, scales: int) -> None:
    graph = gemm.product(dtype)
    assert graph is not None
    quantize, product = ic.count(graph, m=64, n=32, k=4096).layers
    assert quantize.work.bytes_read == 2 * 64 * 4096 + scales
    assert quantize.work.bytes_written == operand
    assert product.work.contraction_flops == 2 * 64 * 32 * 4096
    assert product.work.bytes_by_role["activation_read"] == operand + scales


def test_attention_is_grouped_causal_and_writes_its_cache(measured: Path) -> None:
    context, generation = cases_of(measured, "attention")
    sizes = {size: int(values[0]) for size, values in context.sizes.items()}
    write, attend = ic.count(context.graph, **sizes).layers
    keys = 8 * 512 * 128
    assert write.work.bytes_by_role["kv_cache_written"] == 2 * keys * 2
    assert attend.work.bytes_by_role["kv_cache_read"] == 2 * keys * 2
    assert attend.work.causal_flops == 32 * (512 * 513 // 2) * 2 * (128 + 128)
    sizes = {size: int(values[0]) for size, values in generation.sizes.items()}
    write, attend = ic.count(generation.graph, **sizes).layers
    assert attend.work.bytes_by_role["kv_cache_read"] == 2 * 16 * 8 * 2048 * 128, "an fp8 cache"
    assert write.work.bytes_by_role["kv_cache_written"] == 2 * 16 * 8 * 128, "one token each"
    assert attend.work.causal_flops == attend.work.contraction_flops


def test_layers_are_divided_among_workers(measured: Path) -> None:
    sizes = {
        case.group.part: {k: int(v[0]) for k, v in case.sizes.items()} for case in cases_of(measured, "llm_layers")
    }
    assert sizes["attn_pre_proj"] == {"m": 64, "n": 3 * 4096 // 2, "k": 4096}
    assert sizes["attn_post_proj"] == {"m": 64, "n": 4096, "k": 2048}
    assert sizes["mlp_up_proj"] == {"m": 64, "n": 2 * 11008 // 2, "k": 4096}
    assert sizes["mlp_down_proj"] == {"m": 64, "n": 4096, "k": 5504}
    assert sizes["mlp_act"] == {"tokens": 64, "width": 5504}
    assert sizes["attn_rope"] == {"tokens": 64, "heads": 32, "head_width": 128}
    assert sizes["emb"] == {"tokens": 64, "width": 4096, "vocabulary": 16384}
    assert sizes["add"] == {"tokens": 64, "width": 4096}


def test_experts_are_divided_among_ranks(measured: Path) -> None:
    whole, shared, fp8 = (
        {size: int(values[0]) for size, values in case.sizes.items()} for case in cases_of(measured, "moe")
    )
    assert (whole["rows"], whole["used"], whole["experts"], whole["passed"]) == (64 * 8, 128, 128, 64 * 8)
    assert "elsewhere" not in whole
    assert shared["experts"] == 16
    assert shared["rows"] + shared["elsewhere"] == shared["passed"] == 64 * 8
    assert shared["rows"] > 64, "the busiest of eight ranks"
    assert (fp8["intermediate"], fp8["rows"]) == (384, 64 * 8)


def test_rows_of_an_engine_contain_its_timer(measured: Path) -> None:
    path = measured / "gemm.csv"
    plain = cases_of(measured, "gemm")
    path.write_text(path.read_text().replace("engine 1", "trtllm 1.0.0"))
    timed = cases_of(measured, "gemm")
    machines = machines_of(plain)
    added = predict(timed, machines).latency_s - predict(plain, machines).latency_s
    assert added == pytest.approx([4.6e-6] * 5 + [0.0] * 2, abs=1e-12)


def test_fused_experts_process_their_own_rows_without_other_kernels(measured: Path) -> None:
    """One rank of eight on B200: no rows of other ranks, and no activation between the products."""
    path = measured / "moe.csv"
    path.write_text(path.read_text().replace("h100-sxm-80gb", "b200-sxm-180gb"))
    whole, shared, fp8 = cases_of(measured, "moe")
    for case in (whole, shared, fp8):
        assert "elsewhere" not in case.sizes
        assert case.sizes["passed"] == case.sizes["rows"]
        assert "aten.glu" not in {node.op for node in case.graph.nodes}
    ops = [node.op for node in fp8.graph.nodes]
    assert ops.count("torchao.quantize_affine_float8_non_decomposed") == 1


def test_routing() -> None:
    assert routed("balanced", 64, 8, 128, 1) == (512, 128, 4)
    assert routed("balanced", 1, 8, 256, 64) == (1, 1, 1)
    assert routed("power_law_1.2", 64, 8, 128, 8) == routed("power_law_1.2", 64, 8, 128, 8)
    even, uneven = routed("balanced", 4096, 2, 16, 4), routed("power_law_1.2", 4096, 2, 16, 4)
    assert even is not None
    assert uneven is not None
    assert uneven.rows > even.rows
    assert 4096 >= uneven.largest > even.largest
    assert routed("dice", 1, 1, 1, 1) is None


def test_roofline_by_hand(measured: Path) -> None:
    cases = [case for case in cases_of(measured, "gemm") if case.group.precision == "bfloat16"]
    machine = ic.hardware.load("a100-sxm-80gb")
    (case,) = cases
    expected = [
        max(
            2 * m * 4096 * 4096 / machine.matrix_flop_per_s["bfloat16"],
            2 * (m * 4096 + 4096 * 4096 + m * 4096) / machine.bandwidth_byte_per_s,
        )
        for m in (64, 1)
    ]
    assert roofline_s(cases, machines_of(cases)) == pytest.approx(expected)
    assert case.sizes["m"].tolist() == [64, 1]
