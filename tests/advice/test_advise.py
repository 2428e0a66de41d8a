"""Advice on forwards: figures are those of the commands, the plan is the best combination, all of it can run."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.advised import figures_of_code, figures_of_command, setups_of
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost.advice.combinations import TOLERANCE
from pyinfercost.advice.tactics import TACTICS
from pyinfercost.advice.tactics.batch import BATCHES
from pyinfercost.advice.tactics.engine import COMPILERS, why_not_on
from pyinfercost.hardware.dtypes import CORE_DTYPES
from pyinfercost.results.advice import EFFORTS, RISKS

SOFTWARE = ["half_precision", "execution", "batch"]
EXECUTIONS = ("eager", "compiled", "cuda_graph", "reduce-overhead")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A graph file with attention, linear layers and a convolution."""
    path = tmp_path_factory.mktemp("advised") / "transformer.json"
    path.write_text(transformer(width=256, heads=8).to_json())
    return str(path)


# ---- figures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"hardware": "l4", "batch": 1}, id="l4"),
        pytest.param(
            {"hardware": "t4", "batch": 4, "risk": "retrain", "precision": "fp16", "price": "aws/g4dn.xlarge"},
            marks=pytest.mark.slow,
            id="t4",
        ),
        pytest.param(
            {"hardware": "xeon-8480+", "batch": 2, "risk": "small", "price": 1.5, "transfer": "pageable"},
            marks=pytest.mark.slow,
            id="xeon",
        ),
        pytest.param(
            {"hardware": "rtx-4090", "objective": "latency_s", "limits": {"peak_memory_bytes": 1e9}}, id="latency"
        ),
        pytest.param(
            {"hardware": "a100-sxm-80gb", "objective": "carbon_g", "region": "deu", "execution": "compiled"},
            id="carbon",
        ),
    ],
)
@pytest.mark.sample(1)
def test_every_setup_is_what_its_command_predicts(file: str, asked: dict[str, Any]) -> None:
    advice = ic.advise(file, **asked)
    setups = {setup.command: setup for setup in setups_of(advice)}
    assert len(setups) > 3
    for command, setup in setups.items():
        assert figures_of_command(command) == dict(setup.figures), command


@pytest.mark.slow
def test_every_setup_is_what_its_code_predicts(file: str) -> None:
    advice = ic.advise(file, hardware="h100-sxm-80gb", risk="small")
    for setup in {setup.code: setup for setup in setups_of(advice)}.values():
        assert figures_of_code(setup.code) == dict(setup.figures), setup.code


@pytest.mark.slow
def test_a_graph_without_a_name_has_code_instead_of_a_command() -> None:
    graph = transformer()
    advice = ic.advise(graph, hardware="l4")
    for setup in setups_of(advice):
        assert setup.command == ""
        assert figures_of_code(setup.code, graph=graph) == dict(setup.figures)


def test_the_plan_is_a_fresh_estimate_of_the_combined_deployment() -> None:
    graph = transformer(width=256)
    advice = ic.advise(graph, hardware="l4", among=SOFTWARE, batch=1)
    plan = advice.here
    assert plan is not None
    changes = dict(plan.setup.settings)
    batch = changes.pop("batch")
    fresh = ic.estimate(graph, hardware="l4", price="on-demand", sustained=True, batch=batch, sequence=16, **changes)
    assert plan.setup.figures["cost_usd"] == fresh.cost_usd
    assert plan.saving_share == 1 - fresh.cost_usd / advice.baseline.figures["cost_usd"]


# ---- the search ------------------------------------------------------------------------------------------------------


def brute_force(graph: ic.Graph, points: list[dict[str, Any]], objective: str, **fixed: Any) -> float:
    """The least objective of a list of points, each estimated on its own."""
    least = float("inf")
    for point in points:
        found = ic.estimate(graph, **{**fixed, **point})
        if found.fits_in_memory is not False:
            least = min(least, getattr(found, objective))
    return least


def software(most: int) -> list[dict[str, Any]]:
    """The product of precisions, executions and batches."""
    sizes = [batch for batch in BATCHES if batch <= most]
    return [
        {"precision": precision, "execution": execution, "batch": batch}
        for precision, execution, batch in product(("native", "fp16", "bf16"), EXECUTIONS, sizes)
    ]


CASES = {
    "vectors on l4": (blocks, {"hardware": "l4", "price": 0.8}, SOFTWARE, software(8), "cost_usd"),
    "attention on l4": (transformer, {"hardware": "l4", "price": 0.8}, SOFTWARE, software(8), "cost_usd"),
    "energy on a100": (transformer, {"hardware": "a100-sxm-40gb"}, SOFTWARE, software(4), "energy_per_item_j"),
    "latency on h100": (
        transformer,
        {"hardware": "h100-sxm-80gb", "sustained": False},
        ["half_precision", "tf32", "execution"],
        [
            {"precision": precision, "execution": execution, "batch": 2}
            for precision, execution in product(("native", "fp16", "bf16", "tf32"), EXECUTIONS)
        ],
        "latency_s",
    ),
    "machines": (
        transformer,
        {"hardware": "t4", "price": "on-demand"},
        ["half_precision", "l4", "a10g", "t4", "machine"],
        [
            {"hardware": machine, "precision": precision, "batch": 2}
            for machine, precision in product(("t4", "l4", "a10g"), ("native", "fp16", "bf16"))
            if (machine, precision) != ("t4", "bf16")  # it has no TF32 units
        ],
        "cost_usd",
    ),
    "copies on a CPU": (
        transformer,
        {"hardware": "xeon-8480+", "price": 2.0},
        ["instances", "batch"],
        [
            {"instances": copies, "batch": batch}
            for copies, batch in product((1, 2, 4, 7, 8, 14, 16, 28, 32, 48), (1, 2, 3, 4, 5, 6, 7, 8))
        ],
        "cost_usd",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_plan_is_the_brute_force_optimum(name: str) -> None:
    make, fixed, among, points, objective = CASES[name]
    graph = make()
    most = {"batch": max(point["batch"] for point in points)} if any("batch" in point for point in points) else {}
    limits = most if "batch" in among else {}
    advice = ic.advise(graph, **fixed, among=among, limits=limits, objective=objective)
    assert advice.best is not None
    found = advice.best.setup.figures[objective]
    sustained = {"sustained": True} if objective != "latency_s" and "hardware" not in points[0] else {}
    if fixed["hardware"].startswith("xeon"):
        sustained = {}  # its power under load is not known
    if "hardware" in points[0]:
        points = [{**point, "sustained": True} for point in points]
        fixed = {name: value for name, value in fixed.items() if name != "hardware"}
    least = brute_force(graph, points, objective, **{**fixed, **sustained})
    assert least <= found <= least * (1 + TOLERANCE)


def test_equally_good_setups_differ_in_effort_then_in_latency() -> None:
    graph = transformer(width=256)
    advice = ic.advise(graph, hardware="l4", price=0.8, among=["batch"])
    assert advice.best is not None
    (step,) = advice.best.steps
    costs = {
        batch: ic.estimate(graph, hardware="l4", price=0.8, sustained=True, batch=batch).cost_usd for batch in BATCHES
    }
    least = min(costs.values())
    assert step.setup.settings["batch"] == min(b for b, cost in costs.items() if cost <= least * (1 + TOLERANCE))


# ---- properties ------------------------------------------------------------------------------------------------------


def check_advice(advice: ic.results.Advice, graph: ic.Graph) -> None:
    """Check what holds for every advice."""
    saving = [row.saving_share for row in advice.rows]
    assert saving == sorted(saving, reverse=True)
    assert all(row.saving_share >= 0.01 for row in advice.rows)
    assert not {row.tactic for row in advice.rows} & {each.tactic for each in advice.unhelpful}
    assert all(each.why for each in advice.unhelpful)
    allowed = [row.saving_share for row in advice.rows if row.in_plan and row.within_limits]
    if advice.best is None:
        assert not allowed
        assert "nothing that was tried" in advice.sentence
    else:
        assert advice.best.saving_share >= max(allowed, default=0.0) - TOLERANCE
    for plan in filter(None, (advice.best, advice.here)):
        check_plan(plan, advice)
    for setup in setups_of(advice):
        assert setup.figures[advice.objective] > 0
    for setup in {setup.code: setup for setup in setups_of(advice)}.values():
        names: dict[str, Any] = {"graph": graph}
        exec(setup.code, names)
        estimate = names["profile"].estimate
        if setup is advice.baseline:
            continue
        emulated = {layer.note for layer in estimate.layers if layer.note.startswith("no ")}
        assert not emulated or estimate.hardware in advice.baseline.code, setup.code
        assert estimate.fits_in_memory is not False
        assert estimate.max_sequences is None or estimate.max_sequences >= estimate.sizes["batch"]


def check_plan(plan: ic.results.AdvicePlan, advice: ic.results.Advice) -> None:
    """Check that steps add up to the plan, and that none of them is counted twice."""
    assert sum(step.adds_share for step in plan.steps) == pytest.approx(plan.saving_share)
    assert plan.steps[-1].setup == plan.setup
    assert plan.saving_share == 1 - plan.setup.figures[advice.objective] / advice.baseline.figures[advice.objective]
    names = [step.tactic for step in plan.steps]
    assert len(set(names)) == len(names)
    group_of = {tactic.name: tactic.group or tactic.name for tactic in TACTICS}
    groups = [group_of[name] for name in names]
    assert len(set(groups)) == len(groups)
    assert all(RISKS.index(step.risk) <= RISKS.index(advice.risk) for step in plan.steps)
    assert all(step.effort in EFFORTS for step in plan.steps)
    assert plan.saving_low_share <= plan.saving_share <= plan.saving_high_share
    for name, most in advice.limits.items():
        value = plan.setup.settings.get("batch", 0) if name == "batch" else plan.setup.figures[name]
        assert value <= most


def known_machines() -> list[str]:
    """The machines of the catalog that have all facts of an estimate."""
    found = []
    for name in ic.hardware.names():
        try:
            ic.Deployment(hardware=name)
        except ValueError:
            continue
        found.append(name)
    return found


MACHINES = known_machines()
NO_MACHINES = [tactic.name for tactic in TACTICS if tactic.name not in ("machine", "batch")]


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES)
def test_advice_on_every_machine(machine: str) -> None:
    graph = transformer(width=128)
    check_advice(ic.advise(graph, hardware=machine, objective="latency_s", risk="retrain", among=NO_MACHINES), graph)


@settings(max_examples=4)
@given(data=st.data())
@pytest.mark.slow
def test_advice_with_any_baseline(data: st.DataObject) -> None:
    graph = transformer(width=128)
    asked = {
        "hardware": data.draw(st.sampled_from(MACHINES)),
        "precision": data.draw(st.sampled_from(["native", "fp32", "amp_bf16", "fp16", "int8"])),
        "execution": data.draw(st.sampled_from(EXECUTIONS)),
        "batch": data.draw(st.integers(1, 64)),
        "risk": data.draw(st.sampled_from(RISKS)),
    }
    limits = data.draw(st.sampled_from([{}, {"latency_s": 1e-3}, {"latency_s": 1e-9}, {"batch": 4}]))
    check_advice(ic.advise(graph, **asked, limits=limits, objective="latency_s", among=[*NO_MACHINES, "batch"]), graph)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
@pytest.mark.slow
def test_the_plan_is_within_3_percent_of_brute_force_on_any_machine(data: st.DataObject) -> None:
    machine = data.draw(st.sampled_from(MACHINES))
    graph = data.draw(st.sampled_from([blocks(), transformer(), transformer(width=256, heads=8)]))
    objective = data.draw(st.sampled_from(["latency_s", "energy_per_item_j"]))
    if objective == "energy_per_item_j" and ic.estimate(graph, hardware=machine).energy_per_item_j is None:
        objective = "latency_s"
    most = data.draw(st.integers(2, 12))
    batches = (
        [batch for batch in BATCHES if batch <= most] if objective != "latency_s" else [graph.size_values({})["batch"]]
    )
    advice = ic.advise(graph, hardware=machine, objective=objective, among=SOFTWARE, limits={"batch": most})
    base = advice.baseline.figures[objective]
    found = base if advice.best is None else advice.best.setup.figures[objective]
    least = base
    known = ic.Deployment(hardware=machine).machine
    sustained = None if objective == "latency_s" else ic.Deployment(hardware=machine).for_throughput().sustained
    for precision, execution, batch in product(("native", "fp16", "bf16"), EXECUTIONS, batches):
        dtype = {"native": "float32", "fp16": "float16", "bf16": "bfloat16"}[precision]
        if dtype not in (*known.matrix_flop_per_s, *known.vector_flop_per_s):
            continue
        if execution in ("cuda_graph", "reduce-overhead") and not known.family.startswith(("nvidia", "amd")):
            continue
        point = ic.estimate(
            graph, hardware=machine, precision=precision, execution=execution, batch=batch, sustained=sustained or None
        )
        if point.fits_in_memory is not False and not any(layer.note.startswith("no ") for layer in point.layers):
            least = min(least, getattr(point, objective))
    assert found <= least * 1.03


@pytest.mark.slow
def test_options_are_of_engines_and_dtypes_that_the_machine_has() -> None:
    graph = transformer(width=128)
    seen = set()
    for machine in MACHINES:
        on = ic.Deployment(hardware=machine)
        known = {*on.machine.matrix_flop_per_s, *on.machine.vector_flop_per_s}
        runs = tuple(why_not_on(engine, on) for engine in COMPILERS)
        if (on.machine.family, *sorted(known), *runs) in seen:  # options depend on nothing else
            continue
        seen.add((on.machine.family, *sorted(known), *runs))
        advice = ic.advise(
            graph, hardware=machine, objective="latency_s", among=["engine", "half_precision", "execution"]
        )
        for setup in setups_of(advice):
            changes = setup.settings
            if changes.get("precision"):
                assert CORE_DTYPES[changes["precision"]] in known
            if "engine" in changes:
                assert not why_not_on(changes["engine"], on)
            if changes.get("execution") in ("cuda_graph", "reduce-overhead"):
                assert on.machine.family.startswith(("nvidia", "amd"))


@pytest.mark.parametrize("heads", [3, 5, 6])
def test_heads_that_devices_do_not_divide_are_not_shared(heads: int) -> None:
    graph = transformer(width=32 * heads, heads=heads)
    advice = ic.advise(graph, hardware="h100-sxm-80gb", objective="latency_s", among=["devices"], risk="none")
    texts = [row.option for row in advice.rows] + [each.option for each in advice.unhelpful]
    shared = {int(text.split()[0]) for text in texts if "devices" in text}
    assert all(heads % devices == 0 for devices in shared)
    for devices in (2, 4, 8):
        if heads % devices:
            with pytest.raises(ic.errors.InputError):
                ic.estimate(graph, hardware="h100-sxm-80gb", layout=f"tensor={devices}")


def test_no_plan_exceeds_the_memory() -> None:
    graph = transformer(width=2048, heads=16, layers=8)
    for machine in ("jetson-orin-nano-8gb", "rtx-4090", "t4"):
        capacity = ic.Deployment(hardware=machine).machine.memory_bytes
        advice = ic.advise(graph, hardware=machine, objective="energy_per_item_j", among=[*SOFTWARE, "engine"])
        for setup in setups_of(advice):
            if setup is not advice.baseline:
                assert setup.figures["peak_memory_bytes"] <= capacity


def test_nothing_helps_and_the_sentence_says_so() -> None:
    advice = ic.advise(transformer(), hardware="l4", precision="fp16", price=0.8, among=["tf32", "half_precision"])
    assert advice.best is advice.here is None
    assert advice.rows == ()
    assert "nothing that was tried saves more than 0.0 %" in advice.sentence
    assert {each.tactic: each.why for each in advice.unhelpful} == {"half_precision": "the model runs in fp16 already"}


@pytest.mark.slow
def test_limits_that_nothing_satisfies() -> None:
    advice = ic.advise(transformer(), hardware="l4", price=0.8, limits={"latency_s": 1e-9})
    assert not advice.within_limits
    assert advice.best is None
    assert "breaks the limit on latency_s; nothing that was tried satisfies that" in advice.sentence
    assert advice.rows
    assert not any(row.within_limits for row in advice.rows)


@pytest.mark.slow
def test_a_model_that_does_not_fit_its_machine() -> None:
    graph = transformer(width=4096, heads=32, layers=12)
    base = ic.estimate(graph, hardware="jetson-orin-nano-8gb", batch=2)
    assert base.fits_in_memory is False
    advice = ic.advise(graph, hardware="jetson-orin-nano-8gb", objective="latency_s")
    assert "does not fit its memory" in advice.sentence
    assert advice.here is not None
    assert advice.here.setup.figures["peak_memory_bytes"] <= 8e9
    assert "half_precision" in [step.tactic for step in advice.here.steps]


def test_no_plan_takes_more_risk_than_it_may() -> None:
    graph = transformer(width=256)
    shares = []
    for risk in RISKS:
        among = ["execution", "half_precision", "weight_formats", "layers"]  # one of each risk
        advice = ic.advise(graph, hardware="l4", price=0.8, risk=risk, among=among)
        assert advice.here is None or RISKS.index(advice.here.risk) <= RISKS.index(risk)
        shares.append(0.0 if advice.here is None else advice.here.saving_share)
    assert all(less <= more + TOLERANCE for less, more in pairwise(shares))


# ---- arguments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, "no machine is given"),
        ({"hardware": "l4", "risk": "high"}, "risk is 'high'; expected one of none, rounding"),
        ({"hardware": "l4", "objective": "speed"}, "objective is 'speed'"),
        ({"hardware": "l4", "limits": {"latency": 0.02}}, "limits have 'latency'; expected some of latency_s"),
        ({"hardware": "l4", "limits": {"latency_s": "fast"}}, "limit of latency_s is 'fast'"),
        ({"hardware": "l4", "among": ["quantise"]}, "among has 'quantise'; expected ids of machines, and tactics of"),
        ({"hardware": "l4", "among": "batch"}, "among is 'batch'; expected several names"),
        ({"hardware": "l4", "objective": "carbon_g"}, "carbon_g of the model is not known on l4; pass region="),
        ({"hardware": "l4", "batsh": 2}, "unknown size 'batsh'"),
    ],
)
def test_wrong_arguments(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(ic.errors.InputError) as error:
        ic.advise(transformer(), **asked)
    assert told in str(error.value)


def test_an_assumed_price_is_noted() -> None:
    assumed = ic.advise(transformer(), hardware="l4", among=["tf32"])
    assert "no price was given" in assumed.notes[0]
    assert assumed.objective == "cost_usd"
    unknown = ic.advise(transformer(), hardware="rtx-4090", among=["tf32"])
    assert unknown.objective == "latency_s"
    assert unknown.notes == ()


def test_forms(tmp_path: Path) -> None:
    advice = ic.advise(transformer(width=256), hardware="l4", price=0.8)
    document = advice.to_dict()["advice"]
    assert document["sentence"] == advice.sentence
    assert [row["tactic"] for row in document["rows"]] == [row.tactic for row in advice.rows]
    assert [row["tactic"] for row in advice.to_rows()] == ["baseline", *(row.tactic for row in advice.rows)]
    assert advice.to_csv().count("\n") == 1 + 1 + len(advice.rows)  # a header, the baseline
    assert advice.sentence in " ".join(advice.to_text().split())
    assert "fp16" in advice.to_markdown()
    assert "<table" in advice.to_html()
    assert repr(advice) == f"<Advice {advice.sentence}>"
