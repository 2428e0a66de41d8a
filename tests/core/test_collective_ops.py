"""Collectives as kernels of a graph: what they count, and that a plan takes the time of `collective`."""

from __future__ import annotations

import json
import pickle
from itertools import pairwise

import numpy as np
import pytest
from support.single_node import T, single_node, work_of

import pyinfercost as ic
from pyinfercost import _core

TOKENS, WIDTH = 96, 4096
HALF = 2  # bytes of an element
MESSAGE = TOKENS * WIDTH * HALF
H100 = ic.hardware.load("h100-sxm-80gb")


def exchange(op: str, result: tuple[int, ...] = (TOKENS, WIDTH), **arguments: object) -> ic.Graph:
    """Return a graph of one collective over 96 tokens of 4096 halves."""
    return single_node(f"collective.{op}", {"input": T((TOKENS, WIDTH), "float16"), **arguments}, T(result, "float16"))


# What they count


@pytest.mark.parametrize(
    ("op", "result", "sent", "additions"),
    [
        ("all_reduce", (TOKENS, WIDTH), 2 * MESSAGE * 7 // 8, TOKENS * WIDTH * 7 // 8),
        ("reduce_scatter", (TOKENS // 8, WIDTH), MESSAGE * 7 // 8, TOKENS * WIDTH * 7 // 8),
        ("all_gather", (8 * TOKENS, WIDTH), 8 * MESSAGE * 7 // 8, 0),
        ("all_to_all", (TOKENS, WIDTH), MESSAGE * 7 // 8, 0),
        ("broadcast", (TOKENS, WIDTH), MESSAGE, 0),
        ("send", (TOKENS, WIDTH), MESSAGE, 0),
    ],
)
def test_bytes_of_memory_and_of_links_are_counted_apart(
    op: str, result: tuple[int, ...], sent: int, additions: int
) -> None:
    total = ic.count(exchange(op, result, devices=8, nodes=1)).total
    assert (total.contraction_flops, total.pointwise_flops) == (0, additions)
    assert total.bytes_read == MESSAGE
    assert total.bytes_written == result[0] * WIDTH * HALF
    assert total.bytes_sent == sent


def test_tokens_go_to_their_experts_and_return() -> None:
    dispatch = ic.count(exchange("dispatch.default", (8 * TOKENS, WIDTH), devices=16, nodes=2)).total
    assert dispatch.bytes_sent == MESSAGE * 8 * 15 // 16  # eight copies of each token, a sixteenth to itself
    assert dispatch.flops == 0
    back = single_node(
        "collective.combine",
        {"input": T((8 * TOKENS, WIDTH), "float16"), "devices": 16, "nodes": 2},
        T((TOKENS, WIDTH), "float16"),
    )
    combine = ic.count(back).total
    assert combine.bytes_sent == dispatch.bytes_sent
    assert combine.pointwise_flops == TOKENS * WIDTH * 15  # eight products and seven sums


def test_copies_of_an_open_number_of_tokens_are_sent_one_by_one() -> None:
    builder = ic.GraphBuilder("one")
    batch = builder.size("batch", default=64)
    x = builder.tensor("float16", (batch, WIDTH), role="input")
    y = builder.tensor("float16", (batch // 8 * 8, WIDTH))
    builder.node("collective.dispatch", {"input": x, "devices": 8, "nodes": 1}, [y])
    graph = builder.build([x], [y])
    assert ic.count(graph, batch=60).total.bytes_sent == 56 * WIDTH * HALF * 7 // 8
    given = ic.GraphBuilder("one")
    batch = given.size("batch", default=64)
    x, y = (given.tensor("float16", (batch, WIDTH), role=role) for role in ("input", "activation"))
    given.node("collective.dispatch", {"input": x, "devices": 8, "nodes": 1, "top_k": 4}, [y])
    assert ic.count(given.build([x], [y]), batch=60).total.bytes_sent == 60 * 4 * WIDTH * HALF * 7 // 8


def test_narrow_tokens_have_scales() -> None:
    graph = single_node(
        "collective.dispatch",
        {"input": T((TOKENS, 7168), "float8_e4m3fn"), "devices": 8, "nodes": 1, "top_k": 8},
        T((8 * TOKENS, 7168), "float8_e4m3fn"),
    )
    # 56 scales of 4 bytes for 7168 elements, and 16 bytes of its own.
    assert ic.count(graph).total.bytes_sent == TOKENS * (7168 + 4 * 56 + 16) * 8 * 7 // 8


def test_the_busiest_rank_sends_more() -> None:
    even = ic.count(exchange("all_to_all", devices=8, nodes=1)).total.bytes_sent
    assert ic.count(exchange("all_to_all", devices=8, nodes=1, share=1500)).total.bytes_sent == even * 3 // 2


def test_one_rank_sends_nothing() -> None:
    for op in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send", "broadcast"):
        total = ic.count(exchange(op, devices=1, nodes=1)).total
        assert (total.bytes_sent, total.flops) == (0, 0)


def test_sizes_stay_open() -> None:
    builder = ic.GraphBuilder("one")
    batch = builder.size("batch", default=4)
    x, y = (builder.tensor("float16", (batch, WIDTH), role=role) for role in ("input", "activation"))
    builder.node("collective.all_reduce", {"input": x, "devices": 4, "nodes": 1}, [y])
    counts = ic.count(builder.build([x], [y]))
    assert counts.total.bytes_sent == batch * (WIDTH * HALF * 2 * 3) // 4


def test_work_of_a_collective_survives_a_pickle() -> None:
    arguments = {"input": T((TOKENS, WIDTH), "float16"), "devices": 8, "nodes": 2, "kernel": "library"}
    work = work_of("collective.all_reduce", arguments, T((TOKENS, WIDTH), "float16"))
    again = pickle.loads(pickle.dumps(work))
    assert (again.kind, again.bytes_sent) == ("collective", work.bytes_sent)
    assert again.__getstate__() == work.__getstate__()


@pytest.mark.parametrize(
    ("op", "arguments", "message"),
    [
        ("all_reduce", {"devices": 0, "nodes": 1}, "devices is 0; expected a whole number, 1 or more"),
        ("all_reduce", {"devices": 4, "nodes": 5}, "nodes is 5; expected 1 to the 4 devices"),
        ("all_reduce", {"devices": 4, "nodes": 1, "kernel": "nccl"}, "unknown kernel of a collective 'nccl'"),
        ("all_reduce", {"devices": 4, "nodes": 1, "kernel": "normal"}, "kernel 'normal' does no all_reduce"),
        ("all_gather", {"devices": 4, "nodes": 1, "kernel": "push"}, "kernel 'push' does no all_gather"),
        ("all_to_all", {"devices": 4, "nodes": 1, "share": 999}, "share is 999; expected 1000"),
        ("dispatch", {"devices": 4, "nodes": 1, "top_k": 9, "experts": 8}, "top_k is 9; expected 1 to the 8 experts"),
    ],
)
def test_a_group_that_cannot_be_is_refused(op: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ic.count(exchange(op, **arguments))


def test_a_rule_of_ones_own_is_no_collective() -> None:
    with pytest.raises(ValueError, match="kind is 'collective'"):
        ic.Work(bytes_read=1, kind="collective")


# Their time


def plan_of(graph: ic.Graph, execution: str = "cuda_graph") -> _core.Plan:
    return _core.plan(graph, {}, execution=execution)


@pytest.mark.parametrize("machine", ["h100-sxm-80gb", "a100-sxm-80gb", "l40s", "mi300x"])
@pytest.mark.parametrize("kernel", ["library", "engine", "push"])
@pytest.mark.parametrize("devices", [1, 2, 4, 8])
def test_a_kernel_takes_the_time_of_collective(machine: str, kernel: str, devices: int) -> None:
    hardware = ic.hardware.load(machine)
    plan = plan_of(exchange("all_reduce", devices=devices, nodes=1, kernel=kernel))
    (found,) = _core.evaluate_kernels(plan, {}, hardware)
    expected = ic.devices.collective("all_reduce", MESSAGE, hardware=hardware, devices=devices, kernel=kernel)
    assert found.latency_s == expected.latency_s
    assert found.launch_s + found.link_s == pytest.approx(found.latency_s, rel=1e-15)
    assert found.bound == ("link" if found.link_s > found.launch_s else "launch" if devices > 1 else "compute")
    assert found.sent_bytes == 2 * MESSAGE * (devices - 1) // devices
    assert found.band == "kernel.collective"


@pytest.mark.parametrize("op", ["dispatch", "combine"])
@pytest.mark.parametrize("nodes", [1, 2, 8])
def test_tokens_take_the_time_of_collective(op: str, nodes: int) -> None:
    shapes = [T((TOKENS, WIDTH), "float16"), T((8 * TOKENS, WIDTH), "float16")]
    given, result = shapes if op == "dispatch" else shapes[::-1]
    arguments = {"input": given, "devices": 8 * nodes, "nodes": nodes, "experts": 128, "sms": 24}
    (found,) = _core.evaluate_kernels(plan_of(single_node(f"collective.{op}", arguments, result)), {}, H100)
    tokens = ic.devices.ExpertTokens(WIDTH * HALF, 8, 128, 24)
    expected = ic.devices.collective(op, MESSAGE, hardware=H100, devices=8 * nodes, nodes=nodes, tokens=tokens)
    assert found.latency_s == expected.latency_s


@pytest.mark.parametrize("simd", _core.simd_levels())
def test_a_sweep_of_messages_is_the_same_on_every_instruction_set(simd: str) -> None:
    builder = ic.GraphBuilder("one")
    batch = builder.size("batch", default=4)
    x, y = (builder.tensor("float16", (batch, WIDTH), role=role) for role in ("input", "activation"))
    builder.node("collective.all_reduce", {"input": x, "devices": 8, "nodes": 1, "kernel": "engine"}, [y])
    plan = plan_of(builder.build([x], [y]))
    batches = np.array([2, 3, 17, 64, 255, 1000, 1024, 1025, 2**16, 2**20] * 40, dtype=np.int64)
    found = _core.evaluate(plan, {"batch": batches}, H100, points=len(batches), simd=simd)
    expected = ic.devices.collective("all_reduce", batches * WIDTH * HALF, hardware=H100, devices=8, kernel="engine")
    assert found["latency_s"].tolist() == expected.latency_s.tolist()
    assert found["link_s"] + found["launch_s"] == pytest.approx(found["latency_s"], rel=1e-14)
    assert {"one-shot", "two-shot", "switch"} <= set(expected.algorithm.tolist())


def test_time_beside_other_kernels_adds_up() -> None:
    builder = ic.GraphBuilder("two")
    batch = builder.size("batch", default=4)
    x, y, z = (builder.tensor("float16", (batch, WIDTH), role=r) for r in ("input", "activation", "activation"))
    builder.node("aten.relu", {"self": x}, [y])
    builder.node("collective.all_reduce", {"input": y, "devices": 8, "nodes": 1}, [z])
    graph = builder.build([x], [z])
    for execution in ("eager", "compiled", "cuda_graph", "reduce-overhead"):
        plan = _core.plan(graph, {"batch": 512}, execution=execution)
        whole = _core.evaluate_point(plan, {}, H100)
        kernels = _core.evaluate_kernels(plan, {}, H100)
        assert sum(k.latency_s * len(k.launches) for k in kernels) == pytest.approx(whole["latency_s"], rel=1e-12)
        parts = sum(whole[f"{bound}_s"] for bound in _core.bounds())
        assert parts == pytest.approx(whole["latency_s"], rel=1e-12)
        assert whole["link_s"] > 0
        assert [k.kind for k in kernels].count("collective") == 1  # never fused with its neighbors


def test_an_eager_all_reduce_of_an_engine_copies_its_message_and_waits_for_its_host() -> None:
    small, large = 2**10, 2**30
    host_s = H100.constants["engine_all_reduce.host_s"]
    eager = ic.devices.collective(
        "all_reduce", [small, large], hardware=H100, devices=2, kernel="engine", execution="eager"
    ).latency_s
    graph = ic.devices.collective("all_reduce", [small, large], hardware=H100, devices=2, kernel="engine").latency_s
    assert eager[0] == pytest.approx(host_s)
    stream_s = 2 * large / (H100.bandwidth_byte_per_s * H100.achieved["dram"])
    assert eager[1] - graph[1] == pytest.approx(stream_s + H100.overheads_s["launch_gap"], rel=1e-9)
    message = T((small // WIDTH // HALF or 1, WIDTH), "float16")
    node = single_node(
        "collective.all_reduce", {"input": message, "devices": 2, "nodes": 1, "kernel": "engine"}, message
    )
    whole = _core.evaluate_point(plan_of(node, "eager"), {}, H100)
    assert whole["latency_s"] == pytest.approx(host_s + H100.constants.get("forward.start_s", 0.0))


def test_parts_of_a_collective_name_its_steps_and_its_network() -> None:
    def parts(nodes: int, tokens: int) -> tuple[_core.KernelEstimate, dict[str, float]]:
        shape = T((tokens, WIDTH), "float16")
        graph = single_node("collective.all_reduce", {"input": shape, "devices": 8 * nodes, "nodes": nodes}, shape)
        (found,) = _core.evaluate_kernels(plan_of(graph), {}, H100)
        return found, found.parts_s

    small, of_small = parts(1, 1)
    hops = 14 * H100.constants["collectives.hop_s"]  # twice around a ring of eight
    assert of_small["steps"] == pytest.approx(hops)
    assert small.bound == "launch"
    large, of_large = parts(4, 2**17)
    # Of 32 devices, each sends 2 x 3 / 4 of its eighth of the message over its NIC.
    nic = 50e9 * H100.constants["collectives.network_share"]
    assert large.link_s == pytest.approx(2**17 * WIDTH * HALF / 8 * 1.5 / nic)
    assert large.bound == "link"
    assert 0 < of_large["network"] < large.link_s


def test_links_draw_energy_where_it_is_known() -> None:
    plan = plan_of(exchange("all_reduce", devices=8, nodes=1))
    (found,) = _core.evaluate_kernels(plan, {}, H100)
    data = json.loads(H100.to_json())
    link_j = data["constants"].pop("energy.link_j_per_byte")
    (without,) = _core.evaluate_kernels(plan, {}, ic.Hardware.from_json(json.dumps(data)))
    assert link_j == pytest.approx(9.9e-12)
    assert found.energy_j - without.energy_j == pytest.approx(found.sent_bytes * link_j, rel=1e-6)


def test_devices_of_one_domain_are_one_node() -> None:
    gb200 = ic.hardware.load("gb200")
    near = ic.devices.collective("all_reduce", 2**26, hardware=gb200, devices=64, nodes=16)
    assert near.link == "device"
    assert near.latency_s == ic.devices.collective("all_reduce", 2**26, hardware=gb200, devices=64).latency_s
    assert ic.devices.collective("all_reduce", 2**26, hardware=gb200, devices=144, nodes=36).link == "network"


def test_more_nodes_never_take_less_time() -> None:
    for op in ("all_reduce", "all_gather", "reduce_scatter", "alltoall"):
        times = [
            ic.devices.collective(op, [2**10, 2**20, 2**28], hardware=H100, devices=8 * nodes, nodes=nodes).latency_s
            for nodes in (1, 2, 4, 8, 16)
        ]
        for few, many in pairwise(times):
            assert (many >= few).all(), op


def test_a_machine_without_nics_spans_no_nodes() -> None:
    with pytest.raises(ValueError, match=r"'l40s' has no link to other nodes; expected \[link.network\]"):
        ic.devices.collective("all_reduce", 1, hardware="l40s", devices=16, nodes=2)


def test_more_devices_than_a_machine_holds_are_in_several() -> None:
    two = ic.devices.collective("all_reduce", 2**26, hardware=H100, devices=16, nodes=2)
    found = ic.devices.collective("all_reduce", 2**26, hardware=H100, devices=16)
    assert (found.nodes, found.link, found.latency_s) == (2, "network", two.latency_s)
    assert ic.devices.collective("all_reduce", 2**26, hardware=H100, devices=8).link == "device"
    graph = plan_of(exchange("all_reduce", devices=16, nodes=1))
    named = plan_of(exchange("all_reduce", devices=16, nodes=2))
    kernels = [_core.evaluate_kernels(plan, {}, H100)[0].latency_s for plan in (graph, named)]
    assert kernels[0] == kernels[1] > 0
