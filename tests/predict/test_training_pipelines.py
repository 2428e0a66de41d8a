"""Training steps in the stages of a pipeline: graphs of stages, schedules, memory, and what is exchanged at the end."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.layout_laws import CONFIGS
from torch import nn

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.deployment import LayoutError
from pyinfercost.predict.plans import value_of
from pyinfercost.predict.training_memory import in_flight_bytes
from pyinfercost.predict.training_steps import forward_family

pytestmark = pytest.mark.torch

H100 = "h100-sxm-80gb"
WIDTH, LAYERS = 1024, 8
SCHEDULES = ("1f1b", "gpipe")
EAGER = ("gemma2", "bloom", "gpt_oss")


# ---- schedules -------------------------------------------------------------------------------------------------------


def order_of(schedule: str, stage: int, stages: int, micro_batches: int) -> list[tuple[str, int]]:
    """Passes of a stage in their order, as the papers list them."""
    forwards = [("forward", i) for i in range(micro_batches)]
    backwards = [("backward", i) for i in range(micro_batches)]
    if schedule == "gpipe":
        return forwards + backwards
    warm = min(stages - 1 - stage, micro_batches)
    steady = [each for pair in zip(forwards[warm:], backwards, strict=False) for each in pair]
    return forwards[:warm] + steady + backwards[micro_batches - warm :]


def simulated(
    schedule: str, forward: list[float], backward: list[float], micro_batches: int
) -> tuple[list[float], list[int]]:
    """When each stage is done, and the most micro-batches between their forward and their backward in each.

    Events are passes that end; a stage that is idle begins its next pass as soon as its input is there.
    """
    stages = len(forward)
    left = [order_of(schedule, stage, stages, micro_batches)[::-1] for stage in range(stages)]
    there = {("forward", 0, i) for i in range(micro_batches)}
    working, ends = [False] * stages, [0.0] * stages
    held, most = [0] * stages, [0] * stages
    events: list[tuple[float, int, str, int]] = []

    def begin(now: float) -> None:
        for stage in range(stages):
            if working[stage] or not left[stage]:
                continue
            kind, number = left[stage][-1]
            if (kind, stage, number) in there:
                left[stage].pop()
                working[stage] = True
                seconds = forward[stage] if kind == "forward" else backward[stage]
                heapq.heappush(events, (now + seconds, stage, kind, number))
                if kind == "forward":
                    held[stage] += 1
                    most[stage] = max(most[stage], held[stage])

    begin(0.0)
    while events:
        now, stage, kind, number = heapq.heappop(events)
        working[stage], ends[stage] = False, now
        if kind == "forward":
            there.add(("forward", stage + 1, number))
            if stage == stages - 1:
                there.add(("backward", stage, number))
        else:
            held[stage] -= 1
            there.add(("backward", stage - 1, number))
        begin(now)
    assert not any(left)
    return ends, most


def ends_of(schedule: str, forward: list[float], backward: list[float], micro_batches: int) -> list[float]:
    columns = (np.asarray(each, dtype=float)[:, None] for each in (forward, backward))
    found = _core.training_ends(*columns, np.asarray([micro_batches], dtype=np.int64), schedule=schedule)
    return [float(each) for each in found[:, 0]]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("seed", range(40))
def test_stages_are_done_when_a_simulation_is(schedule: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    stages, micro_batches = int(random.integers(1, 7)), int(random.integers(1, 13))
    forward, backward = (list(random.uniform(0.5, 3.0, stages)) for _ in range(2))
    ends, most = simulated(schedule, forward, backward, micro_batches)
    assert ends_of(schedule, forward, backward, micro_batches) == pytest.approx(ends, rel=1e-12)
    held = [
        _core.training_in_flight(schedule, stage=stage, stages=stages, micro_batches=micro_batches)
        for stage in range(stages)
    ]
    assert held == most


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("stages", "micro_batches"), [(1, 5), (2, 2), (4, 4), (4, 16), (8, 3), (8, 64)])
def test_equal_stages_have_the_bubble_of_the_papers(schedule: str, stages: int, micro_batches: int) -> None:
    forward, backward = 1.0, 2.0
    total = max(ends_of(schedule, [forward] * stages, [backward] * stages, micro_batches))
    assert total == pytest.approx((micro_batches + stages - 1) * (forward + backward))
    work = micro_batches * (forward + backward)
    assert 1 - work / total == pytest.approx((stages - 1) / (micro_batches + stages - 1))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_slowest_stage_decides(schedule: str) -> None:
    forward, backward = [1.0, 1.0, 2.5, 1.0], [2.0, 2.0, 5.0, 2.0]
    total = max(ends_of(schedule, forward, backward, 100))
    # All micro-batches in the third stage, between the forward and the backward of the two before it.
    assert 100 * 7.5 + 2 * 3.0 <= total < 101 * 7.5 + 3 * 3.0


def test_gpipe_has_the_flow_shop_of_both_passes() -> None:
    forward, backward = [1.0, 3.0, 2.0], [4.0, 2.0, 5.0]
    expected = sum(forward) + 9 * max(forward) + sum(backward) + 9 * max(backward)
    assert max(ends_of("gpipe", forward, backward, 10)) == pytest.approx(expected)


def test_schedules_without_stages_are_refused() -> None:
    with pytest.raises(ic.errors.InputError, match="schedule 'zigzag' is unknown; expected 1f1b or gpipe"):
        _core.training_ends(np.ones((2, 1)), np.ones((2, 1)), np.ones(1, dtype=np.int64), schedule="zigzag")
    with pytest.raises(ic.errors.InputError, match="0 micro-batches"):
        _core.training_ends(np.ones((2, 1)), np.ones((2, 1)), np.zeros(1, dtype=np.int64), schedule="1f1b")


# ---- graphs of stages ------------------------------------------------------------------------------------------------


class Net(nn.Module):
    """Equal square layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(LAYERS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


@pytest.fixture(scope="module")
def net() -> ic.Graph:
    return ic.capture(Net().train(), torch.randn(64, WIDTH), training=True, dynamic={0: {0: "batch"}})


def step_of(name: str) -> ic.Graph:
    transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    layers = "n_layer" if "n_layer" in CONFIGS[name] else "num_hidden_layers"
    config = transformers.AutoConfig.for_model(model_type=name, **{**CONFIGS[name], layers: 4})
    how = "eager" if name in EAGER else "sdpa"
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=how).train()
    ids = torch.zeros(4, 64, dtype=torch.int64)
    return ic.capture(model, ic.Inputs((), {"input_ids": ids, "labels": ids, "use_cache": False}), training=True)


def work(graph: ic.Graph) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for row in ic.count(graph).layers:
        found[row.module, row.phase] += row.work.contraction_flops
    return +found


def weights(graph: ic.Graph) -> dict[str, tuple[Any, ...]]:
    return {tensor.name: tensor.shape for tensor in graph.tensors if tensor.role == "parameter"}


@pytest.mark.parametrize("name", list(CONFIGS))
@pytest.mark.sample(3)
def test_stages_have_the_whole_step_together(name: str) -> None:
    whole = step_of(name)
    stages = [ic.devices.rank_graph(whole, "pipeline=3", stage=stage) for stage in range(3)]
    together: Counter[tuple[str, str]] = Counter()
    for stage in stages:
        together.update(work(stage))
    assert together == work(whole)

    # Every weight is in one stage, but a table of embeddings that is also the head.
    readers = Counter(weight for stage in stages for weight in weights(stage))
    assert set(readers) == set(weights(whole))
    assert {weight for weight, count in readers.items() if count > 1} <= {
        "transformer.wte.weight", "transformer.word_embeddings.weight", "model.embed_tokens.weight"
    }  # fmt: skip

    # One activation goes to the next stage, and its gradient comes back.
    hidden = (4, 64, 128)
    for number, stage in enumerate(stages):
        sent = [(node.phase, tuple(node.inputs[0].shape)) for node in stage.nodes if node.op == "collective.send"]
        assert sent == [("forward", hidden)] * (number < 2) + [("backward", hidden)] * (number > 0)
        received = [tuple(tensor.shape) for tensor in stage.inputs if tensor.name == "received"]
        assert received == [hidden] * ((number > 0) + (number < 2))

    # Gradients are those of the weights of a stage.
    for stage in stages:
        memory = ic.training_memory(stage, optimizer="adamw")
        assert memory.gradient_bytes == memory.parameter_bytes


def test_ranks_of_stages_share_their_products() -> None:
    whole = step_of("llama")
    stages = [ic.devices.rank_graph(whole, "tensor=2,pipeline=2", stage=stage) for stage in range(2)]
    flops = sum(ic.count(stage).total.contraction_flops for stage in stages)
    assert 2 * flops == ic.count(whole).total.contraction_flops
    sums = Counter(node.phase for stage in stages for node in stage.nodes if node.op == "collective.all_reduce")
    assert sums == {"forward": 2 * 4 + 1, "backward": 2 * 4 + 1}


@pytest.mark.slow
def test_ranks_of_stages_send_their_share_of_the_tokens() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.for_model(model_type="llama", **{**CONFIGS["llama"], "num_hidden_layers": 4})
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()
    ids = torch.zeros(4, 64, dtype=torch.int64)
    inputs = ic.Inputs((), {"input_ids": ids, "labels": ids, "use_cache": False})
    named = {0: "batch", 1: "sequence"}
    whole = ic.capture(
        model, inputs, training=True, dynamic={"input_ids": named, "labels": named}, roles={"sequence": "sequence"}
    )
    stages = [ic.devices.rank_graph(whole, "tensor=2,sequence=1,pipeline=2", stage=stage) for stage in range(2)]
    sizes = {"batch": 4, "sequence": 64}
    flops = [ic.count(stage, sizes=sizes).total.contraction_flops for stage in stages]
    assert 2 * sum(flops) == ic.count(whole, sizes=sizes).total.contraction_flops
    assert all(any(f".layers.{layer}." in name for name in weights(stages[layer // 2])) for layer in (0, 3))
    for stage in stages:
        bound = stage.size_values(sizes)
        sent = [value_of(node.inputs[0].nbytes, bound) for node in stage.nodes if node.op == "collective.send"]
        assert sent == [4 * 32 * 128 * 4]


def test_frozen_layers_have_no_backward() -> None:
    model = Net()
    for layer in model.layers[:4]:
        layer.weight.requires_grad_(False)
    graph = ic.capture(model.train(), torch.randn(64, WIDTH), training=True)
    first, last = (ic.devices.rank_graph(graph, "pipeline=2", stage=stage) for stage in range(2))
    assert "backward" in {node.phase for node in last.nodes}
    assert work(first) + work(last) == work(graph)


def test_too_many_stages_are_refused(net: ic.Graph) -> None:
    with pytest.raises(LayoutError, match="pipeline=99 needs 98 places where one activation passes"):
        ic.devices.rank_graph(net, "pipeline=99")


# ---- costs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("micro_batches", [1, 4, 16])
def test_the_time_is_that_of_the_schedule(net: ic.Graph, schedule: str, micro_batches: int) -> None:
    batch = 1024 * micro_batches
    layout = ic.Layout(pipeline=4, micro_batches=micro_batches, schedule=schedule)
    estimate = ic.estimate(net, hardware=H100, layout=layout, batch=batch)
    each = [stage.latency_s for stage in estimate.stages]
    forward = []
    for number in range(4):
        stage = ic.devices.rank_graph(net, layout, stage=number, on=ic.Deployment(hardware=H100))
        plan = forward_family(stage, "native", "eager").plan_for({"batch": 1024})
        forward.append(_core.evaluate_point(plan, {"batch": 1024}, ic.hardware.load(H100))["latency_s"])
    backward = [both - own for both, own in zip(each, forward, strict=True)]
    ends, _ = simulated(schedule, forward, backward, micro_batches)
    assert estimate.latency_s == pytest.approx(max(ends), rel=1e-9)
    assert estimate.interval_s == estimate.latency_s
    assert sum(estimate.bound_shares.values()) == pytest.approx(1.0)
    # All stages work for the micro-batches, and wait with idle power.
    machine = ic.hardware.load(H100)
    idle = machine.power_w["idle"] * sum(estimate.latency_s - micro_batches * seconds for seconds in each)
    assert estimate.energy_j is not None
    assert estimate.energy_j > idle


def test_equal_stages_wait_in_the_bubble_alone(net: ic.Graph) -> None:
    few, many = (
        ic.estimate(net, hardware=H100, layout=f"pipeline=4,micro_batches={count}", batch=2048 * count)
        for count in (4, 32)
    )
    slowest = max(stage.latency_s for stage in many.stages)
    assert few.latency_s / (7 * slowest) == pytest.approx(1.0, abs=0.12)  # (4 + 4 - 1) turns
    assert many.latency_s / (35 * slowest) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(("schedule", "micro_batches"), [("1f1b", 2), ("1f1b", 16), ("gpipe", 2), ("gpipe", 16)])
def test_a_stage_holds_the_activations_of_its_micro_batches(net: ic.Graph, schedule: str, micro_batches: int) -> None:
    layout = ic.Layout(pipeline=4, micro_batches=micro_batches, schedule=schedule)
    estimate = ic.estimate(net, hardware=H100, layout=layout, batch=512 * micro_batches)
    one = ic.estimate(net, hardware=H100, layout="pipeline=4,micro_batches=1", batch=512)
    for number in range(4):
        stage = ic.devices.rank_graph(net, layout, stage=number, on=ic.Deployment(hardware=H100))
        sizes = stage.size_values({"batch": 512})
        counts = _core.count(stage, sizes, on_cpu=False)
        saved = in_flight_bytes(stage, sizes, counts)
        # Two layers: the activation that each reads and the one that it makes, of which the first is received.
        assert saved >= 2 * 512 * WIDTH * 4
        held = micro_batches if schedule == "gpipe" else min(micro_batches, 4 - number)
        more = estimate.stages[number].memory_bytes - one.stages[number].memory_bytes
        gradients = 2 * WIDTH * WIDTH * 4  # all of them are there when the second micro-batch begins
        assert (held - 1) * saved <= more <= (held - 1) * saved + gradients
    assert estimate.per_device is not None
    memory = ic.profile(net, hardware=H100, layout=layout, batch=512 * micro_batches, optimizer="sgd").training_memory
    assert memory is not None
    assert memory.peak_bytes == max(stage.memory_bytes for stage in estimate.stages)


def test_points_of_a_sweep_are_the_estimates(net: ic.Graph) -> None:
    layouts = [
        "pipeline=2",
        "pipeline=4,micro_batches=8",
        "pipeline=2,data=2,zero=1",
        "tensor=2,pipeline=2,schedule=gpipe",
    ]
    result = ic.sweep(net, hardware=H100, layout=layouts, batch=[64, 4096])
    for row in range(len(result)):
        layout, batch = str(result["layout"][row]), int(result["batch"][row])
        known = ic.estimate(net, hardware=H100, layout=layout, batch=batch, sustained=True)
        assert result["latency_s"][row] == pytest.approx(known.latency_s, rel=1e-12)
        assert result["energy_j"][row] == pytest.approx(known.energy_j, rel=1e-12)
        assert result["peak_memory_bytes"][row] == max(stage.memory_bytes for stage in known.stages)


def test_copies_exchange_the_gradients_of_a_stage(net: ic.Graph) -> None:
    layout = "pipeline=4,micro_batches=8"
    one = ic.estimate(net, hardware=H100, layout=layout, batch=8192)
    two = ic.estimate(net, hardware=H100, layout=f"{layout},data=2", batch=16384)
    # The last bucket of two layers at least, and all of it at most.
    gradients = 2 * WIDTH * WIDTH * 4
    seconds = ic.devices.collective("all_reduce", gradients, hardware=H100, devices=2).latency_s
    assert 0 < two.latency_s - one.latency_s < 1.3 * seconds


def test_stages_that_read_one_weight_add_up_its_gradient() -> None:
    graph = step_of("gpt2")
    first, last = (ic.devices.rank_graph(graph, "pipeline=2", stage=stage) for stage in range(2))
    assert weights(first)["transformer.wte.weight"] == weights(last)["transformer.wte.weight"] == (1024, 128)
    estimate = ic.estimate(graph, hardware=H100, layout="pipeline=2")
    each = [stage.latency_s for stage in estimate.stages]
    seconds = ic.devices.collective("all_reduce", 1024 * 128 * 4, hardware=H100, devices=2).latency_s
    launch_s = 50e-6  # of the host in eager execution, at most
    assert seconds < estimate.latency_s - sum(each) < seconds + launch_s


def test_stages_with_equal_work_are_balanced(net: ic.Graph) -> None:
    estimate = ic.estimate(net, hardware=H100, layout="pipeline=4", batch=4 * 4096)
    layers = [sum("layers" in module for module in stage.modules) for stage in estimate.stages]
    assert layers == [LAYERS // 4] * 4
    assert [ceil(stage.weight_bytes / (4 * WIDTH * WIDTH)) for stage in estimate.stages] == layers


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("pipeline=2,data=2,zero=2", "zero is 2 with pipeline=2, whose stages add up the gradients of micro-batches"),
        ("pipeline=2,schedule=zigzag", "schedule of layout is 'zigzag'; expected one of 1f1b, gpipe"),
        ("data=2,schedule=gpipe", "schedule is gpipe with pipeline=1; expected several stages"),
    ],
)
def test_layouts_that_do_not_fit_are_refused(net: ic.Graph, layout: str, message: str) -> None:
    with pytest.raises(LayoutError, match=re.escape(message)):
        ic.estimate(net, hardware=H100, layout=layout, batch=8)


def test_schedules_are_of_training() -> None:
    graph = ic.capture(Net().eval(), torch.randn(8, WIDTH), dynamic={0: {0: "batch"}})
    with pytest.raises(LayoutError, match="schedule is gpipe, and this graph is of a forward"):
        ic.estimate(graph, hardware=H100, layout="pipeline=2,schedule=gpipe", batch=8)


def test_documents_state_the_schedule(net: ic.Graph, tmp_path: Path) -> None:
    paths = []
    for layout in ("pipeline=2,schedule=gpipe", "pipeline=2"):
        paths.append(tmp_path / f"{len(paths)}.json")
        profile = ic.profile(net, hardware=H100, layout=layout, batch=64)
        paths[-1].write_text(profile.to_json(), encoding="utf-8")
    text = ic.compare(before=paths[0], after=paths[1]).to_text()
    assert "layout pipeline=2,schedule=gpipe\n" in text
    assert "layout pipeline=2\n" in text


def test_layouts_try_schedules_that_are_given() -> None:
    step = ic.capture(nn.Sequential(*(nn.Linear(8, 8) for _ in range(4))).train(), torch.empty(4, 8), training=True)
    found = ic.find_layouts(step, 2, tensor=1, data=1, pipeline=2, schedule=["gpipe", "zigzag"])
    assert [each.schedule for each in found] == ["gpipe"]
    assert "schedule of layout is 'zigzag'; expected one of 1f1b, gpipe" in found.out[0].reason
    chosen = ic.find_layouts(step, 2, pipeline=2, tensor=1, data=1, schedule="gpipe")
    assert [each.schedule for each in chosen] == ["gpipe"]
