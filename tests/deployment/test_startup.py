"""Cold starts from their parts; every figure is computed by hand."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.cli import main
from pyinfercost.deployment import (
    ColdStart,
    Startup,
    StartupError,
    cold_start,
    default_startup,
    recorded_graphs,
)
from pyinfercost.errors import InputError
from pyinfercost.inputs.facts import facts
from pyinfercost.inputs.startup import STORAGES
from pyinfercost.results.costs import START_EVIDENCE, START_PARTS

WEIGHTS = 3 * 64 * 64 * 4
PINNED, PAGEABLE = 0.83 * 15.75e9, 5.9e9  # of T4: PCIe 3.0 x16


def start_of(terms: str | None = None, **on: str) -> ColdStart:
    fields: dict[str, Any] = {"hardware": "t4", "startup": terms, **on}
    found = ic.estimate(blocks(), **fields).cold_start
    assert found is not None
    return found


def test_a_running_process_reads_files_then_copies_them() -> None:
    start = start_of()
    assert [part.name for part in start.parts] == list(START_PARTS)
    # 6.4 GB/s of page faults are slower than the SSD's 7.0; then the copy, 25 % faster or slower.
    assert start.seconds == pytest.approx(math.sqrt(5) + WEIGHTS / 6.4e9 + WEIGHTS / PAGEABLE)
    assert start.low_s == pytest.approx(1 + WEIGHTS / 9e9 + WEIGHTS / PAGEABLE / 1.25)
    assert start.high_s == pytest.approx(5 + WEIGHTS / 3.2e9 + WEIGHTS / PAGEABLE * 1.25)
    assert [start.part(name).seconds for name in ("machine", "image", "warmup")] == [0, 0, 0]
    assert start.weight_bytes == WEIGHTS
    assert start_of(precision="fp16").weight_bytes == WEIGHTS // 2


@pytest.mark.parametrize(
    ("terms", "s_per_byte"),
    [
        ("weights_from=0.001", 1 / 1e6 + 1 / PAGEABLE),
        ("weights_from=100", 1 / 6.4e9 + 1 / PAGEABLE),  # the reads of one process, whatever the array
        ("weights_from=network", 1 / 0.33e9 + 1 / PAGEABLE),
        ("weights_from=memory", 1 / PAGEABLE),
        ("weights_from=pinned", 1 / PINNED),
        ("weights_from=0.001,loader=sllm", 1 / 0.81e6),
        ("weights_from=100,loader=sllm", 1 / PINNED),  # the link is slower than the array
        ("weights_from=network,loader=sllm", 1 / 0.33e9),
        ("weights_from=memory,loader=sllm", 1 / PINNED),
    ],
)
def test_weights_take_the_rate_of_their_place_and_of_their_loader(terms: str, s_per_byte: float) -> None:
    part = start_of(terms).part("weights")
    assert part.seconds == pytest.approx(WEIGHTS * s_per_byte)
    assert part.low_s <= part.seconds <= part.high_s


def test_one_memory_needs_no_copy_and_an_unknown_link_is_not_known() -> None:
    on_cpu = start_of("weights_from=2", hardware="xeon-8480+")
    assert (on_cpu.part("runtime").seconds, on_cpu.part("weights").seconds) == (0, pytest.approx(WEIGHTS / 2e9))
    assert start_of("weights_from=memory", hardware="xeon-8480+").seconds == 0
    assert start_of("weights_from=memory", hardware="xeon-8480+").part("weights").evidence == "none"
    unknown = ic.estimate(blocks(), hardware="tpu-v2", startup="machine=cloud")
    assert (unknown.cold_start_s, unknown.cold_start) == (None, None)


def test_machine_image_and_process_come_before() -> None:
    start = start_of("machine=cloud,image_gb=8,weights_from=pinned")
    machine, image, runtime = (start.part(name) for name in ("machine", "image", "runtime"))
    assert (machine.seconds, machine.low_s, machine.high_s) == (pytest.approx(math.sqrt(30 * 240)), 30, 240)
    assert image.seconds == pytest.approx(math.sqrt(30) + 8 / math.sqrt(0.017 * 0.32))
    assert (image.low_s, image.high_s) == (pytest.approx(1 + 8 / 0.32), pytest.approx(30 + 8 / 0.017))
    assert runtime.seconds == pytest.approx(math.sqrt(1.4 * 24) + math.sqrt(5))
    assert start.seconds == pytest.approx(sum(part.seconds for part in start.parts))
    cached = start_of("machine=12,image_gb=0")
    assert (cached.part("machine").seconds, cached.part("machine").evidence) == (12, "given")
    assert cached.part("image").seconds == pytest.approx(math.sqrt(30))
    given = start_of("image_gb=8,image_gb_per_s=2").part("image")
    assert given.seconds == pytest.approx(math.sqrt(30) + 4)
    assert start_of("machine=pool").part("machine").evidence == "assumed"


def warmup_of(terms: str) -> float | None:
    found = ic.estimate(blocks(), hardware="t4", startup=terms).cold_start
    return None if found is None else found.part("warmup").seconds


def of(on: ic.Deployment) -> ColdStart | None:
    graphs = recorded_graphs(on.engine, on.execution, on.settings)
    return cold_start(on.machine, WEIGHTS, on.replica_startup, engine=on.engine, graphs=graphs)


def test_an_engine_records_its_graphs_one_by_one() -> None:
    other_s, capture_s = math.sqrt(4.2 * 24.3), math.sqrt(0.25 * 0.43)
    for engine, graphs in (("vllm", 51), ("sglang", 36), ("trtllm", 23)):
        assert len(_core.recorded_sizes(engine)) == graphs
        on = ic.Deployment(hardware="t4", engine=engine, startup="warmup=engine")
        start = of(on)
        assert start is not None
        assert start.part("warmup").seconds == pytest.approx(other_s + graphs * capture_s)
        assert start.part("warmup").high_s == pytest.approx(24.3 + graphs * 0.43)
        assert start.part("warmup").evidence == ("reported" if engine == "vllm" else "assumed")
        eager = of(on.replace(execution="eager"))
        assert eager is not None
        assert eager.part("warmup").seconds == pytest.approx(other_s)
        few = of(on.replace(serving="graph_batches=1:2:4"))
        assert few is not None
        assert few.part("warmup").seconds == pytest.approx(other_s + 3 * capture_s)
    assert warmup_of("warmup=7.5") == 7.5
    assert warmup_of("warmup=engine") is None  # torch has no warm-up of its own
    said = " ".join(ic.profile(blocks(), hardware="t4", startup="warmup=engine").to_text().split())
    assert "cold start unknown: the warm-up of torch is not known; give its seconds" in said


def test_the_recorded_sizes_are_those_that_steps_are_padded_to() -> None:
    assert _core.recorded_sizes("vllm") == [1, 2, 4, *range(8, 257, 8), *range(272, 513, 16)]
    assert _core.recorded_sizes("sglang") == [1, 2, 4, 8, 12, *range(16, 257, 8)]
    assert _core.recorded_sizes("torch") == []
    with pytest.raises(ValueError, match="unknown engine 'x'"):
        _core.recorded_sizes("x")


def test_a_sweep_has_what_estimates_say() -> None:
    startups = ["machine=cloud,image_gb=4", "loader=sllm,weights_from=memory,warmup=3", "weights_from=network"]
    grid = ic.sweep(
        blocks(),
        hardware=["t4", "h100-sxm-80gb", "xeon-8480+", "tpu-v2"],
        precision=["fp32", "bf16"],
        startup=startups,
        batch=[1, 7],
    )
    for row in grid.to_rows():
        way = {name: row[name] for name in ("hardware", "precision", "startup", "batch")}
        estimate = ic.estimate(blocks(), **way)
        expected = estimate.cold_start_s
        assert row["cold_start_s"] == (None if expected is None else pytest.approx(expected, rel=1e-12)), way


def test_a_sweep_over_engines_has_the_warm_up_of_each() -> None:
    graph = transformer()
    ways = {"hardware": ["h100-sxm-80gb", "l4"], "startup": ["warmup=engine", "warmup=2"]}
    grid = ic.sweep(graph, **ways, engine=["torch", "vllm", "sglang"], serving=["", "graph_batches=1:2"])
    seen: dict[object, object] = {}
    for row in grid.to_rows():
        way = {name: row[name] for name in ("hardware", "startup", "engine", "serving")}
        if way["engine"] == "torch":
            way["serving"] = ""
        expected = ic.estimate(graph, **way).cold_start_s
        assert row["cold_start_s"] == (None if expected is None else pytest.approx(expected, rel=1e-12)), way
        seen[way["startup"], way["engine"], way["serving"]] = expected
    assert seen["warmup=engine", "torch", ""] is None
    # Two engines of their own graphs, with two graphs, torch, and two seconds with weights in 32 and in 16 bits.
    assert len({*seen.values()}) == 6
    columns = ic.sweep(graph, hardware="l4", engine="vllm", startup="warmup=engine", batch=[1, 2])
    assert np.all(columns["cold_start_s"] > 20)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("cloud", "startup has 'cloud'; expected NAME=VALUE of machine, image_gb"),
        ("rate=1", "startup has no setting 'rate'; expected"),
        (
            "machine=moon",
            "machine of startup is 'moon'; expected running, pool, cloud, or 0 or a number from 1e-06 to 1e+06 sec",
        ),
        ("machine=-1", "machine of startup is -1; expected running, pool, cloud, or 0 or a number"),
        (
            "image_gb=large",
            "image_gb of startup is 'large'; expected 0 or a number from 1e-06 to 100000 times 10^9 bytes",
        ),
        ("weights_from=tape", "weights_from of startup is 'tape'; expected nvme, network, memory, pinned, or a number"),
        (
            "weights_from=0",
            "weights_from of startup is 0; expected nvme, network, memory, pinned, or a number from 1e-06",
        ),
        ("loader=pickle", "loader of startup is 'pickle'; expected one of safetensors, sllm"),
        ("warmup=all", "warmup of startup is 'all'; expected none, engine, or 0 or"),
        ("loader=sllm,loader=sllm", "startup has 'loader' twice; pass it once"),
        (3, "startup is 3; expected NAME=VALUE"),
    ],
)
def test_terms_that_are_wrong_say_what_is_expected(given: object, message: str) -> None:
    with pytest.raises(StartupError, match=re.escape(message)):
        Startup.parse(given)  # type: ignore[arg-type]


def test_terms_travel_as_text_and_as_values() -> None:
    text = "machine=cloud,image_gb=8,weights_from=12,loader=sllm,warmup=engine"
    terms = Startup(machine="cloud", image_gb=8, weights_from=12, loader="sllm", warmup="engine")
    assert Startup.parse(text) == Startup.parse(terms) == terms
    assert Startup.parse(
        {"machine": "cloud", "image_gb": 8, "weights_from": 12.0, "loader": "sllm", "warmup": "engine"}
    )
    assert str(terms) == text
    assert str(Startup()) == ""
    assert Startup.parse("") == Startup()
    on = ic.Deployment(hardware="l4", startup=text)
    assert ic.Deployment.from_dict(on.to_dict()) == on
    assert f"startup='{text}'" in repr(on)
    with pytest.raises(InputError, match="a cold start has no part 'disk'; expected one of machine, image"):
        start_of().part("disk")


def test_every_figure_has_a_source_a_date_and_evidence() -> None:
    known = facts()
    assert {*known["storage"]} == {*STORAGES} - {"memory", "pinned"}  # in memory nothing is read
    for table in [*known["storage"].values(), *known["loaders"].values(), *known["startup"].values()]:
        assert len(table["source"]) > 20
        assert re.fullmatch(r"20[0-9]{2}(-[0-9]{2})?", table["date"])
        assert table["evidence"] in START_EVIDENCE
        for name, low in table.items():
            if name.startswith("low_"):
                assert 0 < low < table[f"high_{name[4:]}"]
                assert low < table.get(name[4:], math.inf)
    for machine in ("t4", "tpu-v5e"):
        origin = ic.hardware.describe(machine)["calibration"]["origin"]
        assert {"host_link.pinned_share", "host_link.pageable_gb_per_s", "cold_start.runtime_low_s"} <= origin.keys()


def test_reports_list_the_parts(tmp_path: Path) -> None:
    file = tmp_path / "blocks.json"
    file.write_text(blocks().to_json())
    ways = ["profile", str(file), "-H", "t4", "--startup", "machine=cloud,image_gb=8,warmup=5"]
    text = " ".join(CliRunner().invoke(main, ways).stdout.split())
    for words in (
        "machine 84.85 s (reported)",
        "image 113.9 s",
        "49.15 kB from nvme by safetensors",
        "5.000 s (given)",
    ):
        assert words in text
    document = json.loads(CliRunner().invoke(main, [*ways, "--format", "json"]).stdout)["estimate"]["cold_start"]
    assert [part["name"] for part in document["parts"]] == list(START_PARTS)
    assert document["terms"]["machine"] == "cloud"
    assert document["seconds"] == pytest.approx(sum(part["seconds"] for part in document["parts"]))
    assert (
        "machine 84.85 s (reported)"
        in ic.profile(blocks(), hardware="t4", startup="machine=cloud,image_gb=8,warmup=5").to_html()
    )
    for command in ("profile", "sweep"):
        wrong = CliRunner().invoke(main, [command, str(file), "-H", "t4", "--startup", "cloud"])
        assert (wrong.exit_code, "--startup: startup has 'cloud'" in wrong.stderr) == (2, True)
    assert CliRunner().invoke(main, ["profile", str(file), "--startup", "machine=cloud"]).exit_code == 2


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_a_replica_of_an_engine_starts_with_its_machine(engine: str) -> None:
    terms = Startup.parse("machine=cloud,image_gb=0,weights_from=network,warmup=engine")
    on = ic.Deployment(hardware="l4", engine=engine)
    assert on.replica_startup == default_startup(engine) == terms
    assert on.startup is None
    graph = transformer()
    stated = ic.estimate(graph, hardware="l4", engine=engine, startup=str(terms))
    assert ic.estimate(graph, hardware="l4", engine=engine).cold_start_s == stated.cold_start_s
    column = ic.sweep(graph, hardware="l4", engine=["torch", engine], batch=1)["cold_start_s"]
    assert column.tolist() == pytest.approx([ic.estimate(graph, hardware="l4").cold_start_s, stated.cold_start_s])


def test_a_running_process_is_the_default_of_a_forward_and_a_machine_that_of_a_service() -> None:
    assert ic.Deployment(hardware="l4").replica_startup == default_startup("torch") == Startup()
    assert default_startup("torch", added=True) == Startup.parse("machine=cloud,image_gb=0,weights_from=network")
