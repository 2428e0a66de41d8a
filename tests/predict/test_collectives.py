"""Collective operations: limits of the formula, routes of the bytes, and errors."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyinfercost as ic
from pyinfercost.hardware.catalog_names import CATALOG
from pyinfercost.predict.collectives import OF_TOKENS, OPERATIONS, CollectiveError, UnknownCollectiveError

H100 = ic.hardware.load("h100-sxm-80gb")
SIZES = [0, 1, 512, 2**14, 2**20, 2**24, 2**30]
SPREAD_OVER_A_MACHINE = st.sampled_from(["h100-sxm-80gb", "a100-sxm-80gb", "l40s", "rtx-3090", "mi300x"])


def known(machine: ic.Hardware, key: str) -> float:
    return machine.constants[f"collectives.{key}"]


def tokens_of(op: str) -> ic.devices.ExpertTokens | None:
    return ic.devices.ExpertTokens(token_bytes=7424) if op in OF_TOKENS else None


@given(
    op=st.sampled_from(sorted(OPERATIONS)),
    hardware=SPREAD_OVER_A_MACHINE,
    devices=st.integers(2, 8),
    sizes=st.lists(st.integers(0, 2**36), min_size=2, max_size=20),
    kernel=st.sampled_from(["library", "engine"]),
)
def test_a_larger_message_takes_no_less_time(
    op: str, hardware: str, devices: int, sizes: list[int], kernel: str
) -> None:
    found = ic.devices.collective(
        op, sorted(sizes), hardware=hardware, devices=devices, kernel=kernel, tokens=tokens_of(op)
    )
    assert (np.diff(found.latency_s) >= 0).all()
    assert (found.latency_s > 0).all()
    assert (found.latency_low_s < found.latency_s).all()
    assert (found.latency_s < found.latency_high_s).all()


def test_an_array_has_what_each_size_alone_has() -> None:
    many = ic.devices.collective("all_reduce", np.array(SIZES), hardware=H100, devices=8)
    for row, size in enumerate(SIZES):
        one = ic.devices.collective("all_reduce", size, hardware=H100, devices=8)
        assert many.to_rows()[row] == one.to_rows()[0]
        assert isinstance(one.latency_s, float)
        assert isinstance(one.size_bytes, int)
    assert ic.devices.collective("send", [], hardware=H100, devices=2).latency_s.shape == (0,)


def test_protocols_that_begin_late_are_for_large_messages() -> None:
    found = ic.devices.collective("all_gather", [2**power for power in range(36)], hardware=H100, devices=8)
    order = ["LL", "LL128", "Simple"]
    places = [order.index(protocol) for protocol in found.protocol]
    assert places == sorted(places)
    assert set(places) == {0, 1, 2}
    assert (found.bound[0], found.bound[-1]) == ("latency", "link")  # and back where a later start is the cheaper one


def test_no_bytes_take_start_and_steps() -> None:
    for op, steps in (("all_reduce", 14), ("all_gather", 7), ("reduce_scatter", 7), ("broadcast", 7), ("send", 1)):
        found = ic.devices.collective(op, 0, hardware=H100, devices=8)
        assert found.latency_s == pytest.approx(known(H100, "base_s") + steps * known(H100, "hop_s"))
        assert (found.bound, found.protocol, found.bus_bandwidth_byte_per_s) == ("latency", "LL", 0)
    alltoall = ic.devices.collective("alltoall", 0, hardware=H100, devices=8)
    steps = 1 + 7 * known(H100, "alltoall_step")
    assert alltoall.latency_s == pytest.approx(known(H100, "base_s") + steps * known(H100, "hop_s"))


def test_many_bytes_take_what_the_link_takes() -> None:
    size, rate = 1e15, 450e9 * known(H100, "simple_share")
    own = known(H100, "own_copy") / 4  # its part of four
    for op, carried in (("all_reduce", 1.5 + own), ("all_gather", 0.75 + own), ("broadcast", 1.0), ("send", 1.0)):
        found = ic.devices.collective(op, size, hardware=H100, devices=4)
        assert found.latency_s == pytest.approx(size * carried / rate, rel=1e-6)
        assert (found.bound, found.protocol, found.link) == ("link", "Simple", "device")
    gathered = ic.devices.collective("all_gather", size, hardware=H100, devices=4)
    assert gathered.bus_bandwidth_byte_per_s == pytest.approx(rate * 0.75 / (0.75 + own), rel=1e-6)


def test_a_switch_adds_up_floats_of_enough_devices() -> None:
    def algorithm(dtype: str, devices: int, hardware: str = "h100-sxm-80gb", op: str = "all_reduce") -> str:
        return ic.devices.collective(op, 2**30, hardware=hardware, devices=devices, dtype=dtype).algorithm

    assert algorithm("fp16", 8) == algorithm("bfloat16", 8) == "switch"
    assert algorithm("fp16", 4) == algorithm("int8", 8) == algorithm("fp8", 8) == "ring"
    assert algorithm("fp16", 8, "a100-sxm-80gb") == "ring"  # its switch passes on and does not add
    assert algorithm("fp16", 8, op="all_gather") == "ring"
    assert algorithm("fp16", 8, op="alltoall") == "direct"


@pytest.mark.parametrize("hardware", ["h100-sxm-80gb", "tpu-v5e", "apple-m1", "epyc-9654"])
@pytest.mark.parametrize("op", sorted(OPERATIONS))
def test_one_device_costs_nothing(op: str, hardware: str) -> None:
    found = ic.devices.collective(op, [0, 2**30], hardware=hardware, devices=1, tokens=tokens_of(op))
    for column in (found.latency_s, found.latency_low_s, found.latency_high_s, found.bus_bandwidth_byte_per_s):
        assert column.tolist() == [0, 0]
    assert (found.link, found.algorithm.tolist()) == ("none", ["none", "none"])


# The way between devices


def test_a_mesh_gives_each_peer_its_share() -> None:
    mi300x = ic.hardware.load("mi300x")  # seven links of 64 GB/s, one to each of seven others
    for n, link in ((2, 64e9), (4, 192e9), (8, 448e9)):
        gathered = ic.devices.collective("broadcast", 1e15, hardware=mi300x, devices=n)
        assert gathered.latency_s == pytest.approx(1e15 / (link * known(mi300x, "simple_share")), rel=1e-6)
    assert ic.devices.collective("send", 1e15, hardware=mi300x, devices=8).latency_s == pytest.approx(
        1e15 / (64e9 * known(mi300x, "simple_share")), rel=1e-6
    )


def test_more_than_a_pair_goes_through_the_host() -> None:
    rtx_3090 = ic.hardware.load("rtx-3090")  # a bridge joins two
    two, four, eight = (ic.devices.collective("broadcast", 1e15, hardware=rtx_3090, devices=n) for n in (2, 4, 8))
    assert [found.link for found in (two, four, eight)] == ["device", "host", "host"]
    rate = 31.5e9 * known(rtx_3090, "host_share") * known(rtx_3090, "host_through")
    assert four.latency_s == pytest.approx(1e15 / rate, rel=1e-6)  # two flows, one from each pair
    assert eight.latency_s == pytest.approx(1e15 / rate / 0.5 ** known(rtx_3090, "host_sharing"), rel=1e-6)


def test_switches_of_pcie_give_each_card_its_link(tmp_path: Path) -> None:
    text = (CATALOG / "l40s.toml").read_text(encoding="utf-8")
    path = tmp_path / "switched.toml"
    path.write_text(
        text.replace("bandwidth_gb_per_s = 31.5", "bandwidth_gb_per_s = 31.5\ndirect = true"), encoding="utf-8"
    )
    l40s = ic.hardware.load(path)
    for n in (2, 4, 8):
        found = ic.devices.collective("broadcast", 1e15, hardware=l40s, devices=n)
        assert found.latency_s == pytest.approx(1e15 / (31.5e9 * known(l40s, "host_share")), rel=1e-6)


def test_cards_on_pcie_share_the_host() -> None:
    t4 = ic.hardware.load("t4")
    rates = [1e15 / ic.devices.collective("send", 1e15, hardware=t4, devices=2).latency_s]
    rates += [
        1e15
        * (1 - 1 / n + known(t4, "own_copy") / n)
        / ic.devices.collective("all_gather", 1e15, hardware=t4, devices=n).latency_s
        for n in (2, 4, 8)
    ]
    first, halved = 15.75e9 * known(t4, "host_share"), 0.5 ** known(t4, "host_sharing")
    through = first * known(t4, "host_through")
    assert rates == pytest.approx([first, first, through * halved, through * halved**2], rel=1e-6)
    assert halved == pytest.approx(0.5, rel=0.05)  # of a family without rows: one root complex for all
    assert set(ic.devices.collective("all_reduce", SIZES, hardware=t4, devices=4).protocol) == {"LL", "Simple"}


def test_every_gpu_with_a_way_to_others_can_be_timed() -> None:
    timed = 0
    for name in ic.hardware.names():
        if ic.hardware.describe(name)["kind"] != "gpu":
            continue
        machine = ic.hardware.load(name)
        try:
            found = ic.devices.collective("all_reduce", SIZES, hardware=machine, devices=8)
        except CollectiveError as error:
            assert "has no link to other devices" in str(error)  # noqa: PT017
            assert "link.host_shared" not in machine.constants or "host" not in machine.links_byte_per_s
        else:
            timed += 1
            assert np.isfinite(found.latency_s).all()
    assert timed > 40


@pytest.mark.parametrize("hardware", ["a100-sxm-80gb", "h100-sxm-80gb"])
def test_measured_calls_are_met(shared: Path, hardware: str) -> None:
    """The rows that the constants were fitted to, as they are in the files."""
    with (shared / "measured" / "collectives.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["device"] == hardware]
    assert len(rows) == 504
    ratios, inside = [], []
    for row in rows:
        dtype, width = {"half": ("fp16", 2), "int8": ("int8", 1)}[row["dtype"]]
        size, measured_s = int(row["elements"]) * width, float(row["latency_us"]) * 1e-6
        found = ic.devices.collective(row["op"], size, hardware=hardware, devices=int(row["gpus"]), dtype=dtype)
        ratios.append(found.latency_s / measured_s)
        inside.append(found.latency_low_s <= measured_s <= found.latency_high_s)
    assert np.abs(np.array(ratios) - 1).mean() < 0.1
    assert 0.7 < np.mean(inside) < 0.9  # four of five


# Kernels of engines


def test_an_engine_takes_the_fastest_of_its_kernels_and_the_library() -> None:
    sizes = [2**power for power in range(8, 31)]
    for machine in ("h100-sxm-80gb", "a100-sxm-80gb", "b200-sxm-180gb"):
        for n in (2, 4, 8):
            library = ic.devices.collective("all_reduce", sizes, hardware=machine, devices=n)
            engine = ic.devices.collective("all_reduce", sizes, hardware=machine, devices=n, kernel="engine")
            own = np.isin(engine.algorithm, ["one-shot", "two-shot"])
            assert (engine.latency_s <= library.latency_s).all()
            assert (engine.latency_s[own] < library.latency_s[own]).all()
            assert own[0]
            assert not own[-1]
            assert ("two-shot" in engine.algorithm) == (n > 2)


def test_one_shot_reads_the_data_of_all_others() -> None:
    start_s, hop_s, share = (H100.constants[f"engine_all_reduce.{key}"] for key in ("start_s", "hop_s", "share"))
    for n, doublings in ((2, 1), (4, 2), (8, 3)):
        found = ic.devices.collective("all_reduce", 4096, hardware=H100, devices=n, kernel="engine")
        assert found.algorithm == "one-shot"
        expected_s = start_s + doublings * hop_s + (n - 1) * 4096 / (share * 450e9)
        assert found.latency_s == pytest.approx(expected_s, rel=1e-12)


def test_engines_call_the_library_where_their_kernels_cannot_run() -> None:
    for arguments in (
        {"hardware": "l40s", "devices": 4},  # through the host, in pairs alone
        {"hardware": H100, "devices": 16, "nodes": 2},
        {"hardware": "gb200", "devices": 16},
    ):
        library = ic.devices.collective("all_reduce", SIZES, **arguments)
        for kernel in ("engine", "push"):
            engine = ic.devices.collective("all_reduce", SIZES, kernel=kernel, **arguments)
            assert engine.latency_s.tolist() == library.latency_s.tolist()
    assert ic.devices.collective("all_reduce", 256, hardware="l40s", devices=2, kernel="engine").algorithm == "one-shot"


def test_the_faster_mode_moves_tokens() -> None:
    tokens = ic.devices.ExpertTokens(7168 + 224 + 16, 8, 256)
    sizes = [n * tokens.token_bytes for n in (1, 16, 128, 1024, 8192)]
    for op in OF_TOKENS:
        for nodes in (1, 2, 4):
            any_mode, low_latency, normal = (
                ic.devices.collective(
                    op, sizes, hardware=H100, devices=8 * nodes, nodes=nodes, kernel=kernel, tokens=tokens
                ).latency_s
                for kernel in (None, "low_latency", "normal")
            )
            assert any_mode.tolist() == np.minimum(low_latency, normal).tolist()
            assert low_latency[0] < normal[0]
            assert normal[-1] < low_latency[-1]  # a token goes once to each rank


def test_more_cores_and_fewer_experts_of_a_token_take_less_time() -> None:
    def seconds(top_k: int, sms: int) -> float:
        tokens = ic.devices.ExpertTokens(8192, top_k, 256, sms)
        return ic.devices.collective(
            "dispatch", 2**30, hardware=H100, devices=8, kernel="normal", tokens=tokens
        ).latency_s

    assert seconds(8, 4) > seconds(8, 8) > seconds(8, 12)
    assert seconds(1, 4) < seconds(2, 4) < seconds(8, 4)


def test_the_busiest_device_decides() -> None:
    tokens = ic.devices.ExpertTokens(14336)
    arguments = {"hardware": H100, "devices": 8, "tokens": tokens, "kernel": "low_latency"}
    start_s = ic.devices.collective("combine", 0, **arguments).latency_s
    even, twice = (ic.devices.collective("combine", 2**28, share=share, **arguments).latency_s for share in (1.0, 2.0))
    assert twice - start_s == pytest.approx(2 * (even - start_s), rel=1e-12)


# Between nodes


def test_devices_of_a_node_share_the_work_between_nodes() -> None:
    nic = 50e9 * known(H100, "network_share")
    for nodes in (2, 4, 8):
        found = ic.devices.collective("all_reduce", 1e15, hardware=H100, devices=8 * nodes, nodes=nodes)
        near_s = 2e15 / (450e9 * known(H100, "switch_share"))
        far_s = 1e15 / 8 * 2 * (nodes - 1) / nodes / nic
        assert found.latency_s == pytest.approx(max(near_s, far_s), rel=1e-6)
        assert found.link == "network"
    sent = ic.devices.collective("send", 1e15, hardware=H100, devices=16, nodes=2)
    assert sent.latency_s == pytest.approx(1e15 / nic, rel=1e-6)
    exchanged = ic.devices.collective("alltoall", 1e15, hardware=H100, devices=16, nodes=2)
    assert exchanged.latency_s == pytest.approx(1e15 / 2 / nic, rel=1e-6)


def test_a_file_gives_the_latency_of_its_network(tmp_path: Path) -> None:
    text = (CATALOG / "h100-sxm-80gb.toml").read_text(encoding="utf-8")
    path = tmp_path / "slow.toml"
    path.write_text(text.replace("nic_gb_per_s = 50.0", "nic_gb_per_s = 50.0\nlatency_us = 100"), encoding="utf-8")
    for op, steps in (("all_reduce", 4), ("all_gather", 2), ("send", 1)):  # twice, or once, log2 of four nodes
        slow, usual = (ic.devices.collective(op, 0, hardware=machine, devices=32, nodes=4) for machine in (path, H100))
        assert slow.latency_s - usual.latency_s == pytest.approx(steps * (100e-6 - known(H100, "network_hop_s")))


def test_a_file_gives_the_devices_of_its_machines(tmp_path: Path) -> None:
    text = (CATALOG / "h100-sxm-80gb.toml").read_text(encoding="utf-8")
    path = tmp_path / "four.toml"
    path.write_text(text.replace('vendor = "NVIDIA"', 'vendor = "NVIDIA"\ndevices_per_node = 4', 1), encoding="utf-8")
    small = ic.devices.collective("all_reduce", 2**26, hardware=path, devices=8)
    assert (small.nodes, small.link) == (2, "network")
    assert small.latency_s == ic.devices.collective("all_reduce", 2**26, hardware=H100, devices=8, nodes=2).latency_s


# What is refused


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"op": "allreduce"}, r"unknown collective 'allreduce'; expected one of all_reduce.*nearest is 'all_reduce'"),
        ({"dtype": "tf32"}, r"unknown dtype 'tf32'; expected one of fp64, fp32"),
        ({"devices": 0}, r"devices is 0; expected a whole number from 1 to 1000000"),
        ({"devices": True}, r"devices is True; expected a whole number"),
        ({"devices": None}, r"devices is None; expected a whole number"),
        ({"devices": 2**63}, r"devices is 9223372036854775808; expected a whole number"),
        ({"size_bytes": -1}, r"size_bytes has -1; expected 0 to 1e\+18 bytes"),
        ({"size_bytes": 2**62}, r"size_bytes has 4\.6\d*e\+18; expected 0 to 1e\+18 bytes"),
        ({"size_bytes": 1.7e308}, r"size_bytes has 1\.7e\+308; expected 0 to 1e\+18 bytes"),
        ({"size_bytes": np.array([2**63], np.uint64)}, r"size_bytes has 9\.2\d*e\+18"),
        ({"size_bytes": np.array([1, np.inf], np.float16)}, r"size_bytes has inf"),
        ({"size_bytes": 10**5000}, r"size_bytes is a whole number of 5001 digits"),
        ({"size_bytes": [[1], [2, 3]]}, r"size_bytes is \[\[1\], \[2, 3\]\]; expected"),
        ({"op": ["all_reduce"]}, r"unknown collective \['all_reduce'\]"),
        ({"dtype": []}, r"unknown dtype \[\]"),
        ({"size_bytes": [1.0, math.nan]}, r"size_bytes has nan"),
        ({"size_bytes": "64MiB"}, r"size_bytes is '64MiB'; expected a number of bytes"),
        ({"size_bytes": [[1]]}, r"size_bytes is \[\[1\]\]; expected"),
        ({"nodes": 3}, r"nodes is 3; expected a whole number from 1 to 2"),
        ({"kernel": "nccl"}, r"kernel is 'nccl' for 'all_reduce'; expected one of library, engine, push"),
        ({"kernel": "normal"}, r"kernel is 'normal' for 'all_reduce'"),
        ({"op": "all_gather", "kernel": "push"}, r"kernel is 'push' for 'all_gather'; expected one of library, engine"),
        ({"execution": "compiled"}, r"execution is 'compiled'; expected one of cuda_graph, eager"),
        ({"share": 0.5}, r"share is 0\.5; expected a number from 1 to 1e\+06"),
        ({"op": "dispatch"}, r"tokens is None for 'dispatch'; expected an ExpertTokens"),
        (
            {"tokens": ic.devices.ExpertTokens(1)},
            r"for 'all_reduce'; expected an ExpertTokens for dispatch and combine alone",
        ),
    ],
)
def test_a_wrong_argument_is_named(wrong: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"op": "all_reduce", "size_bytes": 1, "hardware": H100, "devices": 2, **wrong}
    with pytest.raises(UnknownCollectiveError, match=message):
        ic.devices.collective(arguments.pop("op"), arguments.pop("size_bytes"), **arguments)  # type: ignore[call-overload]


def test_a_machine_that_cannot_be_timed_says_what_it_lacks() -> None:
    with pytest.raises(CollectiveError, match=r"'apple-m1' has no link to other devices; expected \[link.device\]"):
        ic.devices.collective("all_reduce", 1, hardware="apple-m1", devices=2)
    with pytest.raises(CollectiveError, match=r"'tpu-v5e' has no constant collectives\.\w+.*family 'google-tpu'"):
        ic.devices.collective("all_reduce", 1, hardware="tpu-v5e", devices=2)
    with pytest.raises(ic.hardware.UnknownHardwareError, match="h100-sxm-80gb"):
        ic.devices.collective("all_reduce", 1, hardware="h100", devices=2)


def test_a_file_of_ones_own_may_say_how_it_is_wired(tmp_path: Path) -> None:
    text = (CATALOG / "a100-sxm-80gb.toml").read_text(encoding="utf-8")
    path = tmp_path / "pair.toml"
    path.write_text(
        text.replace("bandwidth_gb_per_s = 300.0", "bandwidth_gb_per_s = 300.0\npeers = 1"), encoding="utf-8"
    )
    assert ic.devices.collective("all_gather", 1, hardware=path, devices=2).link == "device"
    assert ic.devices.collective("all_gather", 1, hardware=path, devices=4).link == "host"
    path.write_text(
        text.replace("bandwidth_gb_per_s = 300.0", "bandwidth_gb_per_s = 300.0\npeers = 0"), encoding="utf-8"
    )
    with pytest.raises(ic.hardware.HardwareFileError, match=r"link\.device\.peers"):
        ic.hardware.load(path)
