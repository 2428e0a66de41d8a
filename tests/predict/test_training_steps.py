"""Training on several devices: what copies exchange, when they wait for it, and what ZeRO spares."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from support.processes import printed_by_ranks
from torch import nn

import pyinfercost as ic
from pyinfercost.deployment import Layout, LayoutError
from pyinfercost.predict.training_steps import messages

pytestmark = pytest.mark.torch

H100 = "h100-sxm-80gb"
LLAMA: dict[str, Any] = {
    "model_type": "llama", "num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 1376,
    "num_hidden_layers": 2, "hidden_size": 512, "vocab_size": 4096, "pad_token_id": 0,
}  # fmt: skip
WIDTH, MIB = 1024, 2**20


class Net(nn.Module):
    """Eight square layers, and one of another name."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(8))
        self.last = nn.Linear(WIDTH, 10, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.last(x)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def step() -> ic.Graph:
    return ic.capture(Net().train(), torch.randn(4096, WIDTH), training=True, dynamic={0: {0: "batch"}})


def sent(graph: ic.Graph, layout: str) -> list[tuple[str, int, str]]:
    return [
        (each.op, each.bytes, each.when)
        for each in messages(graph, graph.size_values({}), Layout.parse(layout), "native")
    ]


def test_gradients_are_added_up_in_buckets(step: ic.Graph) -> None:
    # 10 rows of the last layer and 4 MiB of the one before it pass 1 MiB; then six of 4 MiB pass 25 MiB, or seven.
    first = 10 * WIDTH * 4 + 4 * MIB
    assert sent(step, "data=4") == [("all_reduce", first, "backward"), ("all_reduce", 28 * MIB, "backward")]


@pytest.mark.parametrize("zero", [1, 2])
def test_sums_are_scattered_and_weights_gathered_after_the_update(step: ic.Graph, zero: int) -> None:
    found = sent(step, f"data=4,zero={zero}")
    assert [op for op, _, _ in found] == ["reduce_scatter"] * 2 + ["all_gather"] * 9
    assert [when for _, _, when in found] == ["backward"] * 2 + ["update"] * 9
    # Ten rows on four copies: twelve.
    assert sum(size for op, size, _ in found if op == "all_gather") == 8 * 4 * MIB + 12 * WIDTH * 4


def test_weights_of_each_layer_are_gathered_twice(step: ic.Graph) -> None:
    found = Counter(sent(step, "data=4,zero=3"))
    last = 12 * WIDTH * 4
    assert found == {
        ("all_gather", last, "forward"): 1, ("all_gather", 4 * MIB, "forward"): 8,
        ("all_gather", 4 * MIB, "backward"): 8, ("reduce_scatter", 4 * MIB, "backward"): 8,
        ("reduce_scatter", last, "backward"): 1,
    }  # fmt: skip


def test_the_exchange_is_hidden_by_the_backward_pass(step: ic.Graph) -> None:
    alone = ic.estimate(step, hardware=H100, batch=4096)
    four = ic.estimate(step, hardware=H100, layout="data=4", batch=4 * 4096)
    waits_s = four.latency_s - alone.latency_s
    sums = [
        ic.devices.collective("all_reduce", size, hardware=H100, devices=4).latency_s
        for _, size, _ in sent(step, "data=4")
    ]
    assert sums[-1] * 0.9 < waits_s < sum(sums) * 1.1  # the last bucket at least, and all of them at most
    assert four.throughput_per_s == pytest.approx(4 * 4096 / four.latency_s)
    small, large = (
        ic.estimate(step, hardware=H100, layout="data=4", batch=4 * batch).latency_s
        - ic.estimate(step, hardware=H100, batch=batch).latency_s
        for batch in (64, 65536)
    )
    assert large == pytest.approx(sums[-1], rel=0.15)  # of a long pass the last bucket alone, with its launch
    assert small >= large * (1 - 1e-9)


def test_points_of_a_sweep_are_the_estimates(step: ic.Graph) -> None:
    layouts = ["data=2", "data=4,zero=2", "data=8,zero=3"]
    result = ic.sweep(step, hardware=H100, layout=layouts, batch=[512, 4096])
    for row in range(len(result)):
        layout, batch = str(result["layout"][row]), int(result["batch"][row])
        known = ic.estimate(step, hardware=H100, layout=layout, batch=batch, sustained=True)
        assert result["latency_s"][row] == pytest.approx(known.latency_s, rel=1e-12)
        assert result["energy_j"][row] == pytest.approx(known.energy_j, rel=1e-12)


def test_the_third_stage_holds_a_shard_of_the_weights(step: ic.Graph) -> None:
    whole = ic.sweep(step, hardware=H100, layout=["data=8", "data=8,zero=3"], batch=[4096])["peak_memory_bytes"]
    weights = 4 * (8 * WIDTH * WIDTH + 10 * WIDTH)
    assert whole[0] - whole[1] == weights - -(-weights // 8) - 4 * MIB  # one layer is gathered

    profile = ic.profile(step, hardware=H100, layout="data=8,zero=3", optimizer="adamw", batch=4096)
    assert profile.training_memory is not None
    assert (profile.training_memory.zero_stage, profile.training_memory.shards) == (3, 8)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("context=2", "this graph is of a training step, which tensor=, sequence=, pipeline=, data= and zero= divide"),
        ("zero=2", "zero is 2 with data=1; expected several copies"),
    ],
)
def test_other_layouts_are_refused(step: ic.Graph, layout: str, message: str) -> None:
    with pytest.raises(LayoutError, match=re.escape(message)):
        ic.estimate(step, hardware=H100, layout=layout, batch=8)


def test_zero_is_of_training() -> None:
    graph = ic.capture(Net().eval(), torch.randn(8, WIDTH), dynamic={0: {0: "batch"}})
    with pytest.raises(LayoutError, match="zero is 2, and this graph is of a forward"):
        ic.estimate(graph, hardware=H100, layout="data=2,zero=2", batch=8)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "layout"), [("ddp", "data=2"), ("fsdp", "data=2,zero=3"), ("fsdp", "data=4,zero=3")])
def test_messages_are_those_of_real_copies(tmp_path: Path, how: str, layout: str) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")
    (tmp_path / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    ranks = Layout.parse(layout).data
    first = printed_by_ranks("real_training.py", ranks, tmp_path / "config.json", how)[0]
    measured = [(op, size) for op, size in first]

    config = transformers.AutoConfig.for_model(**LLAMA)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()
    ids = torch.zeros(1, 32, dtype=torch.int64)
    graph = ic.capture(model, ic.Inputs((), {"input_ids": ids, "labels": ids, "use_cache": False}), training=True)
    assert Counter((op, size) for op, size, _ in sent(graph, layout)) == Counter(measured)
