"""Cost of moving data for an inference; every figure is computed by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost import deployment as money
from pyinfercost import deployment as transfer
from pyinfercost.cli import main
from pyinfercost.predict.derived_costs import DerivedCosts, OnePoint
from pyinfercost.predict.plans import boundary_of

VOCABULARY, WIDTH, HEADS = 1000, 64, 4


def language(*, cached: int | None = None, tables: int = 1, casts: bool = False) -> ic.Graph:
    """A layer of a language model: embeddings, keys and values that are handed out, attention, and a head.

    Args:
        cached: positions that a cache has already; None: no cache is given.
        tables: how many tables of embeddings the ids are looked up in, the first the largest.
        casts: whether ids are cast before.
    """
    builder = ic.GraphBuilder("language")
    batch, sequence = builder.size("batch", default=2), builder.size("sequence", default=16)

    def run(op: str, arguments: dict[str, object], *shape: object) -> ic._core.TensorId:
        y = builder.tensor("float32", shape)
        builder.node(f"aten.{op}", arguments, [y])
        return y

    def weight(*shape: int, name: str) -> ic._core.TensorId:
        return builder.tensor("float32", shape, role="parameter", name=name)

    ids = builder.tensor("int64", (batch, sequence), role="input", name="input_ids")
    kinds = builder.tensor("int64", (batch, sequence), role="input", name="token_type_ids")
    given, inputs = ids, [ids, kinds]
    if casts:
        given = builder.tensor("int32", (batch, sequence))
        builder.node("aten._to_copy.default", {"self": ids}, [given])
    x = run("embedding.default", {"weight": weight(VOCABULARY, WIDTH, name="words"), "indices": given},
            batch, sequence, WIDTH)  # fmt: skip
    for number in range(1, tables):
        table = weight(2, WIDTH, name=f"kinds_{number}")
        y = run("embedding.default", {"weight": table, "indices": kinds}, batch, sequence, WIDTH)
        x = run("add.Tensor", {"self": x, "other": y}, batch, sequence, WIDTH)
    inner = WIDTH // HEADS

    def heads_of(name: str) -> ic._core.TensorId:
        y = run("linear.default", {"input": x, "weight": weight(WIDTH, WIDTH, name=name)}, batch, sequence, WIDTH)
        y = run("view.default", {"self": y, "size": [-1]}, batch, sequence, HEADS, inner)
        return run("transpose.int", {"self": y, "dim0": 1, "dim1": 2}, batch, HEADS, sequence, inner)

    query, key, value = (heads_of(name) for name in ("q", "k", "v"))
    keys, length = [], sequence
    for new in (key, value):
        if cached is not None:
            old = builder.tensor("float32", (batch, HEADS, cached, inner), role="kv_cache", name=f"past_{len(keys)}")
            inputs.append(old)
            length = sequence + cached
            keys.append(run("cat.default", {"tensors": [old, new], "dim": 2}, batch, HEADS, length, inner))
        else:
            keys.append(new)
    copies = [run("clone.default", {"self": each}, batch, HEADS, length, inner) for each in keys]
    y = run("scaled_dot_product_attention.default", {"query": query, "key": copies[0], "value": copies[1]},
            batch, HEADS, sequence, inner)  # fmt: skip
    y = run("view.default", {"self": y, "size": [-1]}, batch, sequence, WIDTH)
    logits = run("linear.default", {"input": y, "weight": weight(VOCABULARY, WIDTH, name="head")},
                 batch, sequence, VOCABULARY)  # fmt: skip
    return builder.build(inputs, [logits, *keys])


@pytest.mark.parametrize("cached", [None, 100])
@pytest.mark.parametrize("casts", [False, True])
def test_keys_and_values_stay_and_tokens_are_the_ids(cached: int | None, casts: bool) -> None:
    boundary = boundary_of(language(cached=cached, tables=3, casts=casts), "native")
    batch, sequence = _core.Expr.size("batch"), _core.Expr.size("sequence")
    assert boundary.tokens == batch * sequence  # and not the kinds, which have a small table
    assert (boundary.input_tensors, boundary.input_bytes) == (2, 2 * 8 * batch * sequence)
    assert (boundary.output_tensors, boundary.output_bytes) == (1, 4 * batch * sequence * VOCABULARY)
    half = boundary_of(language(cached=cached), "fp16")
    assert half.input_bytes == boundary.input_bytes  # ids stay 64 bits wide
    assert half.output_bytes == 2 * batch * sequence * VOCABULARY


def test_what_is_no_language_has_no_tokens() -> None:
    assert boundary_of(blocks(), "native").tokens is None
    assert ic.estimate(blocks(), hardware="t4", price=1).usd_per_million_tokens is None
    assert boundary_of(transformer(), "native").tokens is None


def test_a_copy_takes_its_latency_and_its_bytes_over_the_link() -> None:
    # T4: PCIe 3.0 x16, 15.75 GB/s. A batch of 1000 vectors of 64 floats goes in, as many come out.
    nbytes = 1000 * 64 * 4
    for memory, rate in (("pinned", 0.83 * 15.75e9), ("pageable", 5.9e9)):
        estimate = ic.estimate(blocks(), hardware="t4", batch=1000, transfer=memory)
        assert estimate.transfer_s == pytest.approx(2 * (30e-6 + nbytes / rate))
        assert (estimate.transfer.input_bytes, estimate.transfer.output_bytes) == (nbytes, nbytes)
    half = ic.estimate(blocks(), hardware="t4", batch=1000, precision="fp16")
    assert half.transfer.terms == transfer.Transfer()  # pageable, where nobody says
    assert half.transfer_s == pytest.approx(2 * (30e-6 + nbytes / 2 / 5.9e9))
    shared = ic.estimate(blocks(), hardware="t4", batch=1001, devices=2)
    assert shared.transfer.input_bytes == 501 * 64 * 4  # each device has a link of its own


def test_one_memory_needs_no_copy_and_an_unknown_link_is_not_known() -> None:
    for machine in ("xeon-8480+", "jetson-agx-orin-64gb"):
        assert ic.estimate(blocks(), hardware=machine).transfer_s == 0
    unknown = ic.estimate(blocks(), hardware="tpu-v2", price=1)
    assert unknown.transfer_s is None
    assert unknown.cold_start is None
    assert "unknown: the machine's file has no host link" in ic.profile(blocks(), hardware="tpu-v2").to_markdown()
    with pytest.raises(ValueError, match="tpu-v2 has no link to the host"):
        ic.estimate(blocks(), hardware="tpu-v2", price=1, transfer="pinned")


def test_the_network_has_the_whole_batch_and_egress_is_paid_by_item() -> None:
    terms = "pinned,network_gbit_per_s=8,network_rtt_s=0.01,egress=aws,request_bytes=1e6,response_bytes=2000"
    estimate = ic.estimate(blocks(), hardware="t4", batch=10, devices=2, price=3.6, transfer=terms)
    moved = estimate.transfer
    assert moved.network_s == pytest.approx(0.01 + 10 * (1e6 + 2000) / 1e9)  # 8 Gbit/s are 1 GB/s
    assert moved.egress_usd == pytest.approx(2000 * 0.09 / 1e9)
    assert moved.host_s is not None
    assert estimate.transfer_s == pytest.approx(moved.network_s + moved.host_s)
    assert estimate.cost is not None
    occupied_s = (estimate.latency_s + moved.host_s) * 2 / 10
    assert estimate.cost.used_s == pytest.approx(occupied_s)
    assert estimate.cost_usd == pytest.approx(occupied_s * 3.6 / 3600 + moved.egress_usd)
    tensors = ic.estimate(blocks(), hardware="t4", batch=10, transfer="network_gbit_per_s=8").transfer
    assert (tensors.request_bytes, tensors.response_bytes) == (10 * 64 * 4, 10 * 64 * 4)


def test_copies_behind_the_forward_cost_only_what_is_longer() -> None:
    graph = blocks()
    sizes = graph.size_values({"batch": 64})
    for terms, longer_s, waiting_s in (("pinned", 1.0, None), ("overlapped", 1.0, 0.0), ("overlapped", -5e-5, 5e-5)):
        on = money.Deployment(hardware="t4", transfer=terms)
        host_s = float(DerivedCosts(OnePoint(on, graph, sizes, sizes, 0.0, 0.0, 0.0, 64)).host_s)
        costs = DerivedCosts(OnePoint(on, graph, sizes, sizes, host_s + longer_s, host_s + longer_s, 0.0, 64))
        assert costs.waiting_s == pytest.approx(host_s if waiting_s is None else waiting_s)
    plain, apart, behind = (
        ic.estimate(blocks(), hardware="t4", batch=64, price=1, transfer=terms)
        for terms in (None, "pinned", "pinned,overlapped")
    )
    assert plain.cost_usd is not None
    assert apart.cost_usd is not None
    assert behind.cost_usd == plain.cost_usd < apart.cost_usd  # a forward takes longer than its copies
    assert plain.transfer_s is not None  # and is no part of the cost


def test_an_owner_pays_for_what_a_waiting_device_draws() -> None:
    price = money.Price(usd_per_h=1.0, text="a test", usd_per_kwh=0.2)
    alone, waiting = (
        ic.estimate(blocks(), hardware="t4", batch=64, price=price, transfer=terms) for terms in (None, "pinned")
    )
    assert alone.cost is not None
    assert waiting.cost is not None
    idle_w = ic.hardware.load("t4").power_w["idle"]
    more = waiting.cost.electricity_usd - alone.cost.electricity_usd
    assert more == pytest.approx((waiting.cost.used_s - alone.cost.used_s) * idle_w * 0.2 / 3.6e6)


def test_tokens_have_a_price() -> None:
    estimate = ic.estimate(language(), hardware="t4", batch=4, sequence=32, price=3.6)
    assert estimate.tokens == 4 * 32
    assert estimate.usd_per_million_tokens == pytest.approx(1e6 * estimate.latency_s * 3.6 / 3600 / (4 * 32))
    document = ic.profile(language(), hardware="t4", price=3.6).to_dict()["estimate"]
    assert document["tokens"] == 2 * 16
    assert document["usd_per_million_tokens"] == pytest.approx(document["cost_usd"] * 2 * 1e6 / 32)
    assert "USD per million tokens" in ic.profile(language(), hardware="t4", price=3.6).to_markdown()


TERMS = (
    None,
    "pinned",
    "pageable,overlapped,egress=gcp",
    "network_gbit_per_s=1,network_rtt_s=0.02,egress=0.05",
    "pinned,network_gbit_per_s=1,request_bytes=5e5,response_bytes=100",
)


@pytest.mark.parametrize("terms", TERMS)
def test_a_sweep_has_what_estimates_say(terms: str | None) -> None:
    graph = language()
    grid = ic.sweep(
        graph,
        hardware=["t4", "h100-sxm-80gb", "xeon-8480+", "tpu-v2"],
        precision=["fp32", "bf16"],
        devices=[1, 3],
        batch=[1, 7, 64],
        sequence=[1, 128],
        price=2.0,
        transfer=terms,
    )
    assert grid.columns[-3:] == ("cost_usd", "usd_per_million_tokens", "usd_per_h")
    for point in grid.to_rows():
        way = {name: point[name] for name in ("hardware", "precision", "devices", "batch", "sequence")}
        unknown = point["hardware"] == "tpu-v2"
        estimate = ic.estimate(graph, **way, price=2.0, transfer=None if unknown else terms)
        if unknown:
            assert point["transfer_s"] is None
            assert point["cold_start_s"] is None
            assert (point["cost_usd"] is None) == (terms is not None)
            continue
        for name in ("transfer_s", "cold_start_s", "cost_usd", "usd_per_million_tokens"):
            assert point[name] == pytest.approx(getattr(estimate, name), rel=1e-12), (name, way)


def test_a_stored_sweep_has_the_columns(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    ways = {"hardware": ["t4", "l4"], "batch": range(1, 50), "price": 1, "transfer": "pinned,egress=aws"}
    stored = ic.sweep(language(), **ways, out=tmp_path / "grid")
    grid = ic.sweep(language(), **ways)
    for name in ("transfer_s", "cold_start_s", "usd_per_million_tokens"):
        assert stored.best(name) == grid.best(name)
    with pytest.raises(FileExistsError):
        ic.sweep(language(), **{**ways, "transfer": "pageable"}, out=tmp_path / "grid")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("pined", "transfer has 'pined'; expected pageable, pinned, or NAME=VALUE of memory, overlapped, network"),
        ("rate=1", "transfer has no setting 'rate'"),
        ("network_gbit_per_s=fast", "network_gbit_per_s of transfer is 'fast'; expected a number"),
        ("network_gbit_per_s=0", "network_gbit_per_s of transfer is 0; expected a number from 1e-06 to 1e+06 Gbit/s"),
        ("network_rtt_s=-1", "network_rtt_s of transfer is -1; expected 0 or a number from 1e-09"),
        ("egress=ibm", "egress is 'ibm'; expected aws, azure, gcp, gcp-standard, inter-az, inter-region, or USD"),
        ("pinned,pageable", "transfer has 'memory' twice; pass it once"),
        ("weights_from=nvme", "transfer has no setting 'weights_from'; expected"),
        ("overlapped=perhaps", "overlapped of transfer is 'perhaps'; expected true or false"),
        (3, "transfer is 3; expected pageable"),
        ({"memory": "hbm"}, "memory of transfer is 'hbm'; expected one of pageable, pinned"),
    ],
)
def test_terms_that_are_wrong_say_what_is_expected(given: object, message: str) -> None:
    with pytest.raises(transfer.TransferError, match=re.escape(message)):
        transfer.Transfer.parse(given)


def test_terms_can_be_said_in_several_ways() -> None:
    expected = transfer.Transfer(memory="pinned", overlapped=True, egress_usd_per_gb=0.09)
    said = {"memory": "pinned", "overlapped": True, "egress": "aws"}
    assert transfer.Transfer.parse("pinned, overlapped, egress=aws") == expected
    assert transfer.Transfer.parse(said) == transfer.Transfer.parse(expected) == expected


def test_the_command_line_says_and_refuses(tmp_path: Path) -> None:
    file = tmp_path / "language.json"
    file.write_text(language().to_json())
    path = str(file)
    runner = CliRunner()
    ways = ["-H", "t4", "--price", "2", "--transfer", "pinned,egress=aws"]
    table = runner.invoke(main, ["profile", path, *ways])
    assert table.exit_code == 0, table.stderr
    for words in ("transfer", "pinned memory", "cold start", "egress", "per million tokens"):
        assert words in " ".join(table.stdout.split())
    document = json.loads(runner.invoke(main, ["profile", path, *ways, "--format", "json"]).stdout)["estimate"]
    assert document["transfer"]["terms"]["memory"] == "pinned"
    best = runner.invoke(main, ["sweep", path, *ways, "--batch", "1,8", "--best", "usd_per_million_tokens"])
    assert "per million tokens" in best.stdout, best.stderr
    for command in ("profile", "sweep"):
        wrong = runner.invoke(main, [command, path, "-H", "t4", "--transfer", "pined"])
        assert (wrong.exit_code, "--transfer: transfer has 'pined'" in wrong.stderr) == (2, True)
    assert runner.invoke(main, ["profile", path, "--transfer", "pinned"]).exit_code == 2
