"""Safetensors files beside a config: the bytes of weights are theirs, and a difference from the config is reported."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support.checkpoints import LAYER, LLAMA, MIXTRAL, PROJECTIONS, narrow, published, weights, write_config

import pyinfercost as ic
from pyinfercost.errors import CheckpointSizeWarning
from pyinfercost.sources.loaded_model import SpecError
from pyinfercost.sources.models import load_model

pytestmark = pytest.mark.torch
pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

LINEARS = {f"{LAYER}.{name}" for name in PROJECTIONS}
SHAPES = {
    "self_attn.q_proj": (256, 256),
    "self_attn.k_proj": (128, 256),
    "self_attn.v_proj": (128, 256),
    "self_attn.o_proj": (256, 256),
    "mlp.gate_proj": (512, 256),
    "mlp.up_proj": (512, 256),
    "mlp.down_proj": (256, 512),
}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128}


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointSizeWarning)
        yield


def embeddings(dtype: torch.dtype = torch.float16) -> dict[str, torch.Tensor]:
    """Return the tensors of a model that are not quantized."""
    return {
        "model.embed_tokens.weight": torch.zeros(1000, 256, dtype=dtype),
        "lm_head.weight": torch.zeros(1000, 256, dtype=dtype),
        "model.norm.weight": torch.zeros(256, dtype=dtype),
        f"{LAYER}.input_layernorm.weight": torch.zeros(256, dtype=dtype),
        f"{LAYER}.post_attention_layernorm.weight": torch.zeros(256, dtype=dtype),
    }


def awq_linear(path: str, rows: int, columns: int, group: int = 128) -> dict[str, torch.Tensor]:
    """Return the tensors of a linear layer as AutoAWQ stores it: eight 4-bit numbers in an int32."""
    return {
        f"{path}.qweight": torch.zeros(columns, rows // 8, dtype=torch.int32),
        f"{path}.qzeros": torch.zeros(columns // group, rows // 8, dtype=torch.int32),
        f"{path}.scales": torch.zeros(columns // group, rows, dtype=torch.float16),
    }


def awq_model() -> dict[str, torch.Tensor]:
    tensors = embeddings()
    for name, shape in SHAPES.items():
        tensors |= awq_linear(f"{LAYER}.{name}", *shape)
    return tensors


def size(tensors: dict[str, torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def write(folder: Path, tensors: dict[str, torch.Tensor], shards: int = 1) -> None:
    """Write tensors to files with an index, or to one file."""
    names = list(tensors)
    if shards == 1:
        safetensors.save_file(tensors, folder / "model.safetensors")
        return
    places = {name: f"model-{number % shards + 1:05}-of-{shards:05}.safetensors" for number, name in enumerate(names)}
    for file in set(places.values()):
        safetensors.save_file({name: tensors[name] for name in names if places[name] == file}, folder / file)
    index = {"metadata": {"total_size": size(tensors)}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


@pytest.mark.parametrize("shards", [1, 3])
def test_the_bytes_are_those_of_the_files(tmp_path: Path, shards: int) -> None:
    spec = write_config(tmp_path, LLAMA, AWQ)
    tensors = awq_model()
    write(tmp_path, tensors, shards)
    graph = ic.capture(spec)
    assert narrow(graph) == LINEARS
    assert ic.count(graph).total.parameter_bytes == size(tensors)
    found = weights(graph)
    path = f"{LAYER}.mlp.up_proj.weight"
    assert found[f"{path}.int4_awq"] == ("int4", (512, 256))
    assert found[f"{path}.qzeros"] == ("int32", (2 * 64,))
    assert found[f"{path}.scales"] == ("float16", (2 * 512,))


def test_other_groups_than_the_config_says(tmp_path: Path) -> None:
    """The config says groups of 64, and the files have groups of 128: theirs count."""
    spec = write_config(tmp_path, LLAMA, AWQ | {"group_size": 64})
    tensors = awq_model()
    write(tmp_path, tensors)
    # A float16 scale and an int4 zero point more for each 128 weights: 0.9 % of all bytes, and no warning.
    linears = 2 * 256 * 256 + 2 * 128 * 256 + 3 * 512 * 256
    described = size(tensors) + linears // 128 * 2.5
    assert 0.8 < 100 * (described / size(tensors) - 1) < 1
    assert ic.count(ic.capture(spec)).total.parameter_bytes == size(tensors)


def test_layers_that_the_files_store_whole(tmp_path: Path) -> None:
    spec = write_config(tmp_path, LLAMA, AWQ)
    tensors = awq_model()
    path = f"{LAYER}.self_attn.k_proj"
    for part in ("qweight", "qzeros", "scales"):
        del tensors[f"{path}.{part}"]
    tensors[f"{path}.weight"] = torch.zeros(128, 256, dtype=torch.float16)
    write(tmp_path, tensors)
    with pytest.warns(
        CheckpointSizeWarning, match=r"the files hold [\d,]+ bytes of weights, and the config describes"
    ) as told:
        graph = ic.capture(spec)
    assert narrow(graph) == LINEARS - {path}
    assert ic.count(graph).total.parameter_bytes == size(tensors)
    assert f"{size(tensors):,} bytes" in str(told[0].message)
    assert "(-3." in str(told[0].message)


@pytest.mark.parametrize("names", ["w1 w3 w2", "gate_proj up_proj down_proj"])
def test_experts_are_stored_one_by_one(tmp_path: Path, names: str) -> None:
    """fp8 in blocks, in the names of published Mixtral and Qwen checkpoints."""
    gate, up, down = names.split()
    kind = (
        MIXTRAL
        if gate == "w1"
        else {
            **MIXTRAL,
            "architectures": ["Qwen3MoeForCausalLM"],
            "model_type": "qwen3_moe",
            "num_experts": 4,
            "moe_intermediate_size": 512,
            "head_dim": 64,
        }
    )
    block = "block_sparse_moe" if gate == "w1" else "mlp"
    tensors = embeddings(torch.bfloat16)
    tensors[f"{LAYER}.{block}.gate.weight"] = torch.zeros(4, 256, dtype=torch.bfloat16)
    if gate != "w1":
        tensors |= {f"{LAYER}.self_attn.{part}_norm.weight": torch.zeros(64, dtype=torch.bfloat16) for part in "qk"}

    def add(path: str, rows: int, columns: int) -> None:
        tensors[f"{path}.weight"] = torch.zeros(rows, columns, dtype=torch.float8_e4m3fn)
        tensors[f"{path}.weight_scale_inv"] = torch.zeros(rows // 128, columns // 128)

    for name, shape in SHAPES.items():
        if name.startswith("self_attn"):
            add(f"{LAYER}.{name}", *shape)
    for expert in range(4):
        for part, shape in ((gate, (512, 256)), (up, (512, 256)), (down, (256, 512))):
            add(f"{LAYER}.{block}.experts.{expert}.{part}", *shape)
    spec = write_config(tmp_path, kind, {"quant_method": "fp8", "weight_block_size": [128, 128]})
    write(tmp_path, tensors, 2)
    graph = ic.capture(f"{spec}#decode")
    assert ic.count(graph).total.parameter_bytes == size(tensors)
    found = weights(graph)
    assert found[f"{LAYER}.mlp.experts.gate_up_proj.fp8_block"] == ("float8_e4m3fn", (4, 1024, 256))
    assert found[f"{LAYER}.mlp.experts.gate_up_proj.weight_scale_inv"] == ("float32", (4, 16))
    assert ic.count(graph).unmodelled == {}


def test_experts_are_stored_as_one(tmp_path: Path) -> None:
    """mxfp4 in the names of gpt-oss: 16 bytes and a scale for each 32 weights."""
    h, inner, experts = 128, 64, 4
    config = published(
        "gpt-oss-20b",
        hidden_size=h,
        intermediate_size=inner,
        num_hidden_layers=1,
        layer_types=["full_attention"],
        num_local_experts=experts,
        pad_token_id=0,
        vocab_size=1000,
    )
    described = weights(ic.capture(write_config(tmp_path, config)))
    tensors = {
        name: torch.zeros(shape, dtype=torch.bfloat16)
        for name, (dtype, shape) in described.items()
        if dtype == "bfloat16"  # all but experts
    }
    for name, rows, columns in (("gate_up_proj", 2 * inner, h), ("down_proj", h, inner)):
        path = f"{LAYER}.mlp.experts.{name}"
        tensors[f"{path}_blocks"] = torch.zeros(experts, rows, columns // 32, 16, dtype=torch.uint8)
        tensors[f"{path}_scales"] = torch.zeros(experts, rows, columns // 32, dtype=torch.uint8)
    write(tmp_path, tensors, 2)
    graph = ic.capture(f"hf:{tmp_path}#decode")
    assert ic.count(graph).total.parameter_bytes == size(tensors)
    found = weights(graph)
    assert found[f"{LAYER}.mlp.experts.down_proj.mxfp4_wo"] == ("float4_e2m1fn_x2", (experts, h, inner // 2))
    assert found[f"{LAYER}.mlp.experts.down_proj.scales"] == ("uint8", (experts, h * inner // 32))


def test_tensors_that_no_part_of_the_model_has(tmp_path: Path) -> None:
    spec = write_config(tmp_path, LLAMA, AWQ)
    tensors = awq_model()
    known = size(tensors)
    tensors["model.layers.1.eh_proj.weight"] = torch.zeros(256, 512, dtype=torch.float16)
    write(tmp_path, tensors, 2)
    message = r"1 of 27 tensors belong to no part of the model: model\.layers\.1\.eh_proj\.weight"
    with pytest.warns(CheckpointSizeWarning, match=message):
        graph = ic.capture(spec)
    assert ic.count(graph).total.parameter_bytes == known


def test_an_index_without_its_files_is_compared(tmp_path: Path) -> None:
    spec = write_config(tmp_path, LLAMA, AWQ)
    write(tmp_path, awq_model(), 2)
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    ic.capture(spec)  # as large as described
    index = tmp_path / "model.safetensors.index.json"
    document = json.loads(index.read_text(encoding="utf-8"))
    document["metadata"]["total_size"] *= 2
    index.write_text(json.dumps(document), encoding="utf-8")
    with pytest.warns(CheckpointSizeWarning, match=r"\(-50\.\d %\)"):
        ic.capture(spec)
    document["metadata"] = None
    index.write_text(json.dumps(document), encoding="utf-8")
    ic.capture(spec)


@pytest.mark.parametrize(
    "settings",
    [
        {"quant_method": "mxfp4"},
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
        {"quant_method": "gptq", "bits": 4},
        {"quant_method": "gptq", "bits": 2},
        {"quant_method": "awq", "bits": 4},
        {"load_in_4bit": True, "bnb_4bit_use_double_quant": True},
        {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"]},
    ],
)
@pytest.mark.parametrize("model", [LLAMA, MIXTRAL], ids=["llama", "mixtral"])
@pytest.mark.sample(1)
def test_the_config_describes_the_bytes_that_are_counted(
    tmp_path: Path, model: dict[str, Any], settings: dict[str, Any]
) -> None:
    spec = write_config(tmp_path, model, settings)
    counted = ic.count(ic.capture(spec)).total.parameter_bytes
    index = tmp_path / "model.safetensors.index.json"
    for total, warns in ((counted, False), (counted * 1.009, False), (counted * 1.02, True), (counted * 0.98, True)):
        document = {"metadata": {"total_size": int(total)}, "weight_map": {"lm_head.weight": "model-1.safetensors"}}
        index.write_text(json.dumps(document), encoding="utf-8")
        if warns:  # when the model is built; what it does afterwards is captured above
            with pytest.warns(CheckpointSizeWarning):
                load_model(spec, {})
        else:
            load_model(spec, {})


def test_files_of_a_model_that_is_not_quantized(tmp_path: Path) -> None:
    plain: dict[str, Any] = {key: value for key, value in LLAMA.items() if key != "torch_dtype"}
    spec = write_config(tmp_path, plain)
    tensors = embeddings(torch.bfloat16)
    tensors |= {f"{LAYER}.{name}.weight": torch.zeros(shape, dtype=torch.bfloat16) for name, shape in SHAPES.items()}
    write(tmp_path, tensors)
    graph = ic.capture(spec)  # the config names no dtype, and the files are bfloat16
    assert ic.count(graph).total.parameter_bytes == size(tensors)
    # The same files beside a config of float32, to which a library converts them.
    spec = write_config(tmp_path, {**plain, "torch_dtype": "float32"})
    with pytest.warns(CheckpointSizeWarning, match=r"\(\+100\.0 %\)"):
        assert ic.count(ic.capture(spec)).total.parameter_bytes == 2 * size(tensors)


def test_a_config_of_another_name_has_no_files(tmp_path: Path) -> None:
    write_config(tmp_path, LLAMA, AWQ)
    (tmp_path / "config.json").rename(tmp_path / "llama.json")
    write(tmp_path, embeddings())
    graph = ic.capture(f"hf:{tmp_path / 'llama.json'}")
    assert narrow(graph) == LINEARS


def test_damaged_files_are_errors(tmp_path: Path) -> None:
    spec = write_config(tmp_path, LLAMA, AWQ)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"\x00" * 4)
    with pytest.raises(SpecError, match="has 4 bytes, expected 8 of length and a header"):
        ic.capture(spec)
    file.unlink()
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": 3}', encoding="utf-8")
    with pytest.raises(SpecError, match="has no weight_map of names to files"):
        ic.capture(spec)


def test_only_headers_are_read(tmp_path: Path) -> None:
    """A file whose data is a hole of a terabyte is described in no time."""
    spec = write_config(tmp_path, LLAMA)
    length = 2**40
    header = json.dumps({"x": {"dtype": "U8", "shape": [length], "data_offsets": [0, length]}}).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        try:
            file.truncate(8 + len(header) + length)
        except OSError as error:
            pytest.skip(f"the file system has no sparse files of a terabyte: {error}")
    with pytest.warns(CheckpointSizeWarning, match="1 of 1 tensors belong to no part of the model: x"):
        ic.capture(spec)
