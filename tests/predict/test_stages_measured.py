"""Stages against torch: products and messages of processes that run a model as a pipeline."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.processes import printed_by_ranks

import pyinfercost as ic

pytestmark = [pytest.mark.torch, pytest.mark.slow]
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

BATCH, LENGTH = 4, 128  # of the worker
LLAMA: dict[str, Any] = {
    "model_type": "llama", "num_attention_heads": 8, "num_key_value_heads": 4, "intermediate_size": 160,
    "num_hidden_layers": 6, "hidden_size": 64, "vocab_size": 512, "pad_token_id": 0,
}  # fmt: skip


def run(folder: Path, stages: list[list[str]], micro_batches: int) -> list[dict[str, Any]]:
    """Return what each process ran and sent."""
    (folder / "config.json").write_text(json.dumps(LLAMA), encoding="utf-8")
    (folder / "stages.json").write_text(json.dumps(stages), encoding="utf-8")
    paths = folder / "config.json", folder / "stages.json"
    return printed_by_ranks("real_stages.py", len(stages), *paths, micro_batches)


@pytest.mark.parametrize(("stages", "micro_batches"), [(2, 2), (4, 4), (2, 4)])
def test_products_and_messages_are_those_of_real_stages(tmp_path: Path, stages: int, micro_batches: int) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**LLAMA, "architectures": ["LlamaForCausalLM"], "dtype": "float32"}), encoding="utf-8")
    layout = f"pipeline={stages},micro_batches={micro_batches}"
    profile = ic.profile(f"hf:{path}#prefill", hardware="h100-sxm-80gb", layout=layout, batch=BATCH, sequence=LENGTH)
    known = profile.estimate
    assert known is not None
    modules = [
        [name for name in stage.modules if name.startswith(("model.embed", "model.layers", "model.norm", "lm_head"))]
        for stage in known.stages
    ]
    measured = run(tmp_path, modules, micro_batches)
    part = BATCH // micro_batches
    sends = {stage: [each.sent_bytes] * micro_batches for stage, each in enumerate(known.stages[:-1])}
    assert {stage: found["sent"] for stage, found in enumerate(measured) if found["sent"]} == sends
    assert {each.sent_bytes for each in known.stages[:-1]} == {part * LENGTH * 64 * 4}

    for number, found in enumerate(measured):
        graph_of_stage = ic.devices.rank_graph(profile.graph, layout, stage=number)
        predicted: Counter[tuple[int, ...]] = Counter()
        for row in ic.count(graph_of_stage, batch=BATCH).layers:
            if row.op == "aten.linear":
                weight = graph_of_stage.tensor(graph_of_stage.node(row.index).operand("weight")).shape
                if weight[0] != LLAMA["vocab_size"]:  # of the last token alone in a prefill
                    rows = row.work.contraction_flops // (2 * weight[0] * weight[1])
                    predicted[rows // BATCH, weight[1], weight[0]] += 1
        real = Counter(
            (left[0] // part, left[1], right[1])
            for left, right in found["products"]
            if len(left) == 2 and right[1] != LLAMA["vocab_size"]
        )
        assert real == Counter({shape: count * micro_batches for shape, count in predicted.items()})
