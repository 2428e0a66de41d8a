"""Ranks of models in narrow formats: packed weights, scales and zero points are divided, in whole blocks."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import pytest

import pyinfercost as ic
from pyinfercost import Layout
from pyinfercost.deployment import LayoutError
from pyinfercost.formats.table import FORMATS

pytestmark = pytest.mark.torch
pytest.importorskip("transformers", reason="needs transformers: pip install 'pyinfercost[models]'")

_BASE: dict[str, Any] = {
    "num_hidden_layers": 2, "hidden_size": 512, "vocab_size": 1024, "pad_token_id": 0, "num_attention_heads": 8,
    "num_key_value_heads": 4, "head_dim": 128, "intermediate_size": 1024,
}  # fmt: skip
EXPERTS = 8
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": _BASE,
    "mixtral": {**_BASE, "num_local_experts": EXPERTS},
    "gpt_oss": {**_BASE, "num_local_experts": EXPERTS},
}
MIXTURES = ("mixtral", "gpt_oss")
ROUTERS = ("gate", "router")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configs")


@cache
def captured(folder: Path, name: str, **changes: int) -> ic.Graph:
    """Return a prefill of 128 tokens."""
    path = folder / f"{name}-{'-'.join(map(str, changes.values()))}.json"
    path.write_text(json.dumps({"model_type": name, **CONFIGS[name], **changes}), encoding="utf-8")
    return ic.capture(f"hf:{path}#prefill")


def contractions(graph: ic.Graph) -> Counter[str]:
    """Contraction FLOPs by module."""
    found: Counter[str] = Counter()
    for row in ic.count(graph).layers:
        found[row.module] += row.work.contraction_flops
    return found


def weight_bytes(graph: ic.Graph) -> dict[str, int]:
    return {made.name: made.nbytes for made in graph.tensors if made.role == "parameter"}


def is_of_all(weight: str, *, by_row: bool) -> bool:
    """Return whether every device needs a weight: of norms, of routers, of sums over devices, of whole inputs."""
    summed = any(part in weight for part in ("o_proj", "down_proj"))
    kind = weight.rpartition(".")[2]
    if kind in ("scale", "zero_point") and by_row and summed:
        return True
    if kind == "group_index" and not summed:
        return True
    return any(part in weight for part in ("norm", "bias", *(f".{router}." for router in ROUTERS)))


@pytest.mark.parametrize("layout", [Layout(tensor=2), Layout(tensor=4), Layout(tensor=4, expert=4)], ids=str)
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.sample(15)
def test_ranks_together_have_the_weights_and_contractions(folder: Path, name: str, form: str, layout: Layout) -> None:
    if layout.expert > 1 and name not in MIXTURES:
        return
    whole = ic.whatif(captured(folder, name), quantize=form)
    rank = ic.devices.rank_graph(whole, layout)
    before, after = weight_bytes(whole), weight_bytes(rank)
    listed = {share.name for share in ic.devices.weight_shares(rank) if share.why}
    assert all(is_of_all(weight, by_row=FORMATS[form].group is None) for weight in listed), listed
    for weight, size in before.items():
        # Eight experts and every other length are multiples of four; a scale for a whole tensor is listed.
        assert layout.tensor * after[weight] == size * (layout.tensor if weight in listed else 1), weight
    ops = Counter(node.op for node in rank.nodes)
    stacked = sum(ops[op] for op in ("pyinfercost.grouped_weight_only", "pyinfercost.grouped_quantized"))
    assert stacked == (4 if name in MIXTURES and not FORMATS[form].is_cast else 0)

    of_whole, of_rank = contractions(whole), contractions(rank)
    for module, flops in of_whole.items():
        again = module.rpartition(".")[2] in ROUTERS
        assert layout.tensor * of_rank[module] == flops * (layout.tensor if again else 1), module


@pytest.mark.parametrize("form", FORMATS)
def test_tokens_are_sent_to_experts_in_any_format(folder: Path, form: str) -> None:
    rank = ic.devices.rank_graph(
        ic.whatif(captured(folder, "mixtral"), quantize=form), Layout(tensor=2, expert=8, data=4)
    )
    kinds = Counter(node.op for node in rank.nodes)
    assert (kinds["collective.dispatch"], kinds["collective.combine"]) == (2, 2)
    stacks = {made.shape[0] for made in rank.tensors if made.role == "parameter" and "experts" in made.name}
    assert stacks == {1}  # of eight


def test_blocks_of_mxfp4_experts_are_padded(folder: Path) -> None:
    """96 columns are 3 blocks of 32: one of two devices has 2 of them, and the other is padded to as many."""
    whole = ic.whatif(captured(folder, "gpt_oss", intermediate_size=96), quantize={"*.experts": "mxfp4_wo"})
    rank = ic.devices.rank_graph(whole, Layout(tensor=2))
    parts = {
        share.name.partition(".experts.")[2]: 2 * share.elements / share.of
        for share in ic.devices.weight_shares(rank)
        if ".layers.0.mlp.experts" in share.name
    }
    padded = {f"{name}.{part}" for name in ("gate_up_proj", "down_proj") for part in ("mxfp4_wo", "scale")}
    # The bias of rows that are divided, and that of the sum on every device.
    assert parts == {**dict.fromkeys(padded, 4 / 3), "gate_up_proj_bias": 4 / 3, "down_proj_bias": 2}
    assert {made.shape for made in rank.tensors if made.name.endswith("down_proj.mxfp4_wo")} == {(8, 512, 32)}
    assert {made.shape for made in rank.tensors if made.name.endswith("down_proj.scale")} == {(8, 512, 2)}


@pytest.mark.parametrize(
    ("name", "form", "ranks", "changes", "message"),
    [
        ("mixtral", "fp8_block", 4, {"intermediate_size": 768}, "a device 192 of 768 elements of the weights of"),
        ("llama", "int4_awq", 4, {"intermediate_size": 768}, "blocks of 128 cannot be divided; expected tensor to be"),
        ("llama", "nvfp4_wo", 4, {"intermediate_size": 96}, "a device 24 of 96 elements of the weights of"),
        ("mixtral", "mxfp8_dynamic", 2, {"intermediate_size": 96}, "blocks of 32 cannot be divided; expected tensor=1"),
        ("llama", "fp8_block", 16, {"num_key_value_heads": 1}, "expected tensor to be one of 1, 2, 4, 8"),
    ],
)
@pytest.mark.sample(2)
def test_a_block_is_on_one_device(
    folder: Path, name: str, form: str, ranks: int, changes: dict[str, int], message: str
) -> None:
    whole = ic.whatif(captured(folder, name, **changes), quantize=form)
    with pytest.raises(LayoutError, match=re.escape(message)) as error:
        ic.devices.rank_graph(whole, Layout(tensor=ranks))
    listed = re.findall(r"\b\d+\b", str(error.value).rpartition("expected tensor")[2])
    assert listed
    assert str(ranks) not in listed
    for fitting in listed:
        ic.devices.rank_graph(whole, Layout(tensor=int(fitting)))


def test_columns_of_all_layers_together_decide_whether_they_may_stay_whole(folder: Path) -> None:
    """Each of 24 products has less than a hundredth of the weights."""
    whole = captured(folder, "llama", intermediate_size=150, num_hidden_layers=24, hidden_size=64, head_dim=16)
    down = next(made for made in whole.tensors if made.name.endswith("layers.0.mlp.down_proj.weight"))
    assert 150 * 64 == prod(down.shape) < ic.count(whole).total.parameters / 100
    with pytest.raises(LayoutError, match=re.escape("does not divide the 150 columns before model.layers.0.mlp.down")):
        ic.devices.rank_graph(whole, Layout(tensor=4))


class Stored:
    """Two products in a row with weights of 4 bits, and what GPTQ stores beside them, as flat as in a file."""

    OUTER, INNER, GROUP = 512, 256, 64

    def __init__(self, op: str = "pyinfercost.linear_weight_only.default") -> None:
        self.builder = ic.GraphBuilder("stored")
        x = self.builder.tensor("bfloat16", [4, self.INNER], role="input", name="x")
        up = self.linear(op, x, "up", self.OUTER, self.INNER)
        act = self.builder.tensor("bfloat16", [4, self.OUTER])
        self.builder.node("aten.silu.default", {"self": up}, [act])
        down = self.linear("pyinfercost.linear_weight_only.default", act, "down", self.INNER, self.OUTER)
        self.graph = self.builder.build([x], [down])

    def linear(self, op: str, x: Any, name: str, rows: int, columns: int) -> Any:
        def parameter(kind: str, dtype: str, *shape: int) -> Any:
            return self.builder.tensor(dtype, list(shape), role="parameter", name=f"{name}.{kind}")

        groups = columns // self.GROUP
        args = {
            "input": x, "weight": parameter("qweight", "int4", rows, columns), "group_size": self.GROUP,
            "weight_scales": parameter("scales", "float16", rows * groups),
            "weight_qzeros": parameter("qzeros", "int32", rows * groups // 8),
            "weight_g_idx": parameter("g_idx", "int32", columns),
        }  # fmt: skip
        made = self.builder.tensor("bfloat16", [4, rows])
        self.builder.node(op, args, [made], module=name)
        return made


def test_what_files_store_beside_a_weight_is_divided_with_it() -> None:
    shares = ic.devices.weight_shares(ic.devices.rank_graph(Stored().graph, "tensor=4"))
    parts = {share.name: share.of // share.elements for share in shares}
    assert parts == {
        "up.qweight": 4, "up.scales": 4, "up.qzeros": 4, "up.g_idx": 1,  # groups of inputs, which are whole
        "down.qweight": 4, "down.scales": 4, "down.qzeros": 4, "down.g_idx": 4,
    }  # fmt: skip
    assert {share.name: share.why for share in shares if share.why} == {"up.g_idx": "they are of an input of the model"}
    with pytest.raises(LayoutError, match=re.escape("gives a device 32 of 512 elements of the weights of down")):
        ic.devices.rank_graph(Stored().graph, "tensor=16")  # groups of 64


def test_a_weight_of_an_operator_that_is_not_followed_is_refused() -> None:
    graph = Stored("mylib.product").graph
    reason = "tensor=2 divides no product of this model: at down, mylib.product of up may need them all"
    with pytest.raises(LayoutError, match=reason):
        ic.devices.rank_graph(graph, "tensor=2")
