"""Traces of estimates: every event is well formed, slices are nested, and durations add up."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost.cli import main
from pyinfercost.results.measurement import MeasuredLayer, Measurement

MACHINES = ("a100-sxm-80gb", "epyc-7763", "tpu-v4", "coral-edge-tpu")
EXECUTIONS = ("eager", "compiled", "cuda_graph", "reduce-overhead")
FIELDS = {
    "M": {"ph", "pid", "tid", "name", "ts", "args"},
    "B": {"ph", "pid", "tid", "name", "ts", "args"},
    "E": {"ph", "pid", "tid", "name", "ts"},
    "C": {"ph", "pid", "tid", "name", "ts", "args"},
}

Slice = tuple[str, float, float, int, dict[str, Any]]
"""Name, start, end, depth and arguments."""


def check(trace: dict[str, Any]) -> dict[tuple[str, str], list[Slice]]:
    """The slices by process and track, of a trace that is well formed: all that viewers rely on."""
    assert json.loads(json.dumps(trace, allow_nan=False)) == trace
    assert set(trace) == {"displayTimeUnit", "otherData", "traceEvents"}
    assert trace["displayTimeUnit"] in ("ms", "ns")
    processes: dict[int, str] = {}
    threads: dict[tuple[int, int], str] = {}
    slices: dict[tuple[str, str], list[Slice]] = {}
    open_slices: dict[tuple[int, int], list[dict[str, Any]]] = {}
    last: dict[tuple[int, object], float] = {}
    for event in trace["traceEvents"]:
        assert set(event) == FIELDS[event["ph"]]
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        assert isinstance(event["name"], str)
        assert event["name"]
        assert event["ts"] >= 0
        track = (event["pid"], event["tid"])
        if event["ph"] == "M":
            if event["name"] == "process_name":
                processes[event["pid"]] = event["args"]["name"]
            elif event["name"] == "thread_name":
                threads[track] = event["args"]["name"]
            else:
                assert event["name"] in ("process_sort_index", "thread_sort_index")
                assert isinstance(event["args"]["sort_index"], int)
            continue
        assert event["pid"] in processes
        clock = (event["pid"], event["name"] if event["ph"] == "C" else event["tid"])
        assert event["ts"] >= last.get(clock, 0.0), "times of a track go forward"
        last[clock] = event["ts"]
        if event["ph"] == "C":
            assert all(isinstance(value, (int, float)) and value >= 0 for value in event["args"].values())
            assert len(event["args"]) == 1
            continue
        assert track in threads
        stack = open_slices.setdefault(track, [])
        if event["ph"] == "B":
            stack.append(event)
            continue
        begun = stack.pop()
        assert begun["name"] == event["name"], "the slice that began last ends first"
        found = (begun["name"], begun["ts"], event["ts"], len(stack), begun["args"])
        slices.setdefault((processes[track[0]], threads[track]), []).append(found)
    assert not any(open_slices.values())
    assert len(set(threads.values())) == len(threads)
    return slices


def on_engines(slices: dict[tuple[str, str], list[Slice]]) -> list[Slice]:
    """The kernels of the estimate, in their order."""
    found = [
        one
        for (process, track), several in slices.items()
        if process.startswith("estimated") and not track.startswith("modules")
        for one in several
    ]
    return sorted(found, key=lambda one: one[1])


@pytest.mark.parametrize("precision", ["native", "fp16", "amp_bf16"])
@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("hardware", MACHINES)
def test_durations_add_up_to_the_estimate(hardware: str, execution: str, precision: str) -> None:
    for graph in (transformer(), blocks(custom_op=True)):
        profile = ic.profile(graph, hardware=hardware, execution=execution, precision=precision)
        latency_us = 1e6 * profile.estimate.latency_s
        slices = check(profile.to_trace())
        kernels = on_engines(slices)
        assert sum(end - start for _, start, end, _, _ in kernels) == pytest.approx(latency_us, rel=1e-9)
        assert sum(kernel[4]["latency_s"] for kernel in kernels) == pytest.approx(latency_us / 1e6, rel=1e-9)
        assert kernels[-1][2] == pytest.approx(latency_us, rel=1e-9)
        # Back to back, in the order of the graph, none in another.
        assert kernels[0][1] == 0
        assert all(one[2] == other[1] for one, other in pairwise(kernels))
        assert {kernel[3] for kernel in kernels} == {0}
        timed = [layer for layer in profile.estimate.layers if layer.latency_s > 0]
        assert [kernel[4]["op"] for kernel in kernels] == [layer.op for layer in timed]
        (modules,) = (several for (_, track), several in slices.items() if track == "modules (estimated)")
        assert sum(end - start for _, start, end, depth, _ in modules if depth == 0) == pytest.approx(
            latency_us, rel=1e-9
        )


def test_each_engine_has_a_track_and_copies_have_one_of_their_own() -> None:
    builder = ic.GraphBuilder("mixed")
    x = start = builder.tensor("float16", (512, 512), role="input")
    weight = builder.tensor("float16", (512, 512), role="parameter", name="fc.weight")
    y, z, copy = (builder.tensor("float16", (512, 512)) for _ in range(3))
    builder.node("aten.linear.default", {"input": x, "weight": weight}, [y], module="fc")
    builder.node("aten.relu.default", {"self": y}, [z], module="act")
    builder.node("aten.clone.default", {"self": z}, [copy], module="copy")
    profile = ic.profile(builder.build([start], [copy]), hardware="a100-sxm-80gb")
    slices = check(profile.to_trace())
    assert {track: [one[0] for one in several] for (_, track), several in slices.items()} == {
        "modules (estimated)": ["fc", "act", "copy", "mixed"],
        "matrix float16 (estimated)": ["linear"],
        "vector float16 (estimated)": ["relu"],
        "memory (estimated)": ["clone"],
    }
    arguments = slices["estimated: mixed on a100-sxm-80gb", "matrix float16 (estimated)"][0][4]
    layer = profile.estimate.layers[0]
    assert arguments["flops"] == 2 * 512**3
    assert arguments["flop_per_byte"] == pytest.approx(2 * 512**3 / layer.kernel_bytes)
    for name in (
        "module",
        "op",
        "bound",
        "effect",
        "latency_s",
        "compute_s",
        "dram_s",
        "cache_s",
        "link_s",
        "launch_s",
        "energy_j",
    ):
        assert arguments[name] == getattr(layer, name)
    assert arguments["phase"] == "forward"
    assert arguments["estimated"] is True


def test_modules_are_nested_and_sum_what_is_in_them() -> None:
    profile = ic.profile(blocks(), hardware="t4", batch=64)
    slices = check(profile.to_trace())
    modules = slices["estimated: toy on t4", "modules (estimated)"]
    order = sorted(modules, key=lambda one: (one[1], one[3]))
    assert [(one[0], one[3]) for one in order] == [
        ("toy", 0), ("blocks", 1), ("0", 2), ("fc", 3), ("act", 3), ("1", 2), ("fc", 3), ("act", 3), ("head", 1),
    ]  # fmt: skip
    for name, start, end, _, arguments in modules:
        assert arguments["latency_s"] == pytest.approx((end - start) / 1e6, rel=1e-9), name
    assert order[0][4]["energy_j"] == pytest.approx(profile.estimate.energy_j)
    assert [one[4]["module"] for one in order[2:4]] == ["blocks.0", "blocks.0.fc"]


def counted(trace: dict[str, Any], name: str) -> list[tuple[float, float]]:
    return [
        (event["ts"], next(iter(event["args"].values()))) for event in trace["traceEvents"] if event["name"] == name
    ]


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_memory_and_power_are_counted(execution: str) -> None:
    profile = ic.profile(transformer(), hardware="a100-sxm-80gb", execution=execution)
    trace = profile.to_trace()
    memory = counted(trace, "live memory (estimated)")
    total = profile.counts.total
    assert max(value for _, value in memory) == total.peak_memory_bytes
    assert memory[-1][1] == total.peak_memory_bytes - total.peak_activation_bytes
    power = counted(trace, "power (estimated)")
    steps = pairwise(power)
    assert sum(watts * (then - now) / 1e6 for (now, watts), (then, _) in steps) == pytest.approx(
        profile.estimate.energy_j
    )
    assert power[-1] == (memory[-1][0], 0.0)


def test_a_machine_of_unknown_power_has_no_such_counter() -> None:
    profile = ic.profile(blocks(), hardware="t4")
    unknown = replace(
        profile.estimate,
        energy_j=None,
        layers=tuple(replace(layer, energy_j=None) for layer in profile.estimate.layers),
    )
    trace = replace(profile, estimate=unknown).to_trace()
    check(trace)
    assert counted(trace, "power (estimated)") == []
    assert counted(trace, "live memory (estimated)")


def test_what_is_said_of_it_all() -> None:
    about = ic.profile(blocks(), hardware="t4", precision="fp16", batch=3).to_trace()["otherData"]
    assert about["schema"] == "pyinfercost.trace/1"
    assert about["estimated"] is True
    wanted = {"model": "toy", "hardware": "t4", "precision": "fp16", "execution": "eager", "sizes": {"batch": 3}}
    assert wanted.items() <= about.items()


def test_phases_are_apart() -> None:
    builder = ic.GraphBuilder("step")
    x = start = builder.tensor("float32", (64, 64), role="input")
    for phase in ("forward", "backward"):
        y = builder.tensor("float32", (64, 64))
        builder.node("aten.relu.default", {"self": x}, [y], module="act", phase=phase)
        x = y
    trace = ic.profile(builder.build([start], [x]), hardware="t4").to_trace()
    slices = check(trace)
    assert [kernel[4]["phase"] for kernel in on_engines(slices)] == ["forward", "backward"]
    names = [one[0] for one in slices["estimated: step on t4", "modules (estimated)"]]
    assert names == ["act", "step: forward", "act", "step: backward"]


# --- beside a measurement ------------------------------------------------------------------------------------------


def measurement(*, layers: bool = True) -> Measurement:
    rows = tuple(
        MeasuredLayer(module=module, ops=("aten.linear.default",), measured_s=seconds, predicted_s=None)
        for module, seconds in (
            ("", 1e-5),
            ("blocks.0.fc", 2e-4),
            ("blocks.0.act", 1e-4),
            ("head", 3e-4),
            ("idle", 0.0),
        )
    )
    return Measurement(
        model="toy", sizes={"batch": 8}, execution="eager", precision="native", device="cpu", threads=2, hardware=None,
        runs=7, measured_s=5e-4, measured_low_s=4e-4, measured_high_s=6e-4, predicted_s=None, predicted_low_s=None,
        predicted_high_s=None, layers=rows if layers else (),
    )  # fmt: skip


def test_what_was_measured_is_a_process_of_its_own() -> None:
    trace = ic.profile(blocks(), hardware="t4").to_trace(measured=measurement())
    slices = check(trace)
    assert {process for process, _ in slices} == {"estimated: toy on t4", "measured: toy on cpu"}
    theirs = {track: several for (process, track), several in slices.items() if process.startswith("measured")}
    assert all("medians per module, laid end to end" in track for track in theirs)
    (alone,) = (several for track, several in theirs.items() if track.startswith("each module by itself"))
    assert [one[0] for one in alone] == ["toy", "blocks.0.fc", "blocks.0.act", "head"]
    assert [one[2] - one[1] for one in alone] == pytest.approx([10, 200, 100, 300])
    assert [one[1] for one in alone] == pytest.approx([0, 10, 210, 310])
    (nested,) = (several for track, several in theirs.items() if track.startswith("modules"))
    assert [(one[0], one[3]) for one in sorted(nested, key=lambda one: (one[1], one[3]))] == [
        ("toy", 0), ("blocks", 1), ("0", 2), ("fc", 3), ("act", 3), ("head", 1),
    ]  # fmt: skip
    about = trace["otherData"]["measured"]
    assert about["measured_s"] == 5e-4
    assert about["modules_s"] == pytest.approx(6.1e-4)
    assert "medians per module" in about["how"]


def test_a_measurement_alone_is_not_called_an_estimate() -> None:
    trace = measurement(layers=False).to_trace()
    slices = check(trace)
    assert list(slices) == [("measured: toy on cpu", "forward (measured, the median of 7)")]
    assert "estimated" not in trace["otherData"]
    assert check(ic.profile(blocks()).to_trace(measured=measurement()))
    with pytest.raises(ValueError, match="a trace needs times"):
        ic.profile(blocks()).to_trace()


def test_a_measurement_keeps_its_prediction() -> None:
    both = replace(measurement(), prediction=ic.profile(blocks(), hardware="t4"))
    assert {process for process, _ in check(both.to_trace())} == {"estimated: toy on t4", "measured: toy on cpu"}
    assert both.to_dict() == measurement().to_dict()


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("graphs") / "toy.json"
    path.write_text(blocks().to_json(), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("form", ["table", "json", "csv", "md"])
def test_the_command_writes_it_beside_any_format(toy: str, tmp_path: Path, form: str) -> None:
    path = tmp_path / "out.json"
    arguments = ["profile", toy, "-H", "t4", "--format", form]
    result = CliRunner().invoke(main, [*arguments, "--trace", str(path)])
    assert result.exit_code == 0, result.output
    assert json.loads(path.read_text(encoding="utf-8")) == ic.profile(blocks(), hardware="t4").to_trace()
    assert result.stdout == CliRunner().invoke(main, arguments).stdout
    assert f"Wrote {path}: " in result.stderr
    assert "chrome://tracing" in result.stderr


def test_what_cannot_be_is_refused_before_anything_is_captured(toy: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["profile", toy, "--trace", str(tmp_path / "out.json")])
    assert (result.exit_code, "--trace needs --hardware" in result.stderr) == (2, True)
    for command in (["profile", "missing.json", "-H", "t4"], ["measure", "no.such:model"]):
        result = CliRunner().invoke(main, [*command, "--trace", str(tmp_path / "no" / "out.json")])
        assert (result.exit_code, "does not exist" in result.stderr) == (1, True), result.stderr
