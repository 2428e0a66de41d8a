"""What `quantization_config` says about each weight of a captured model, by method."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.checkpoints import LAYER, LLAMA, MIXTRAL, PROJECTIONS, captured, narrow, weights, write_config

import pyinfercost as ic
from pyinfercost.sources.checkpoints.methods import METHODS
from pyinfercost.sources.loaded_model import SpecError

pytestmark = pytest.mark.torch
pytest.importorskip("transformers")

LINEARS = {f"{LAYER}.{name}" for name in PROJECTIONS}
Q = f"{LAYER}.self_attn.q_proj.weight"
ROWS, COLUMNS = 256, 256  # of the query projection


def torchao(kind: str, **values: Any) -> dict[str, Any]:
    """Return settings of torchao as transformers writes them."""
    return {"quant_method": "torchao", "quant_type": {"default": {"_type": kind, "_version": 1, "_data": values}}}


def compressed(weights: dict[str, Any], activations: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return settings of compressed-tensors with one group."""
    group = {"targets": ["Linear"], "weights": weights, "input_activations": activations}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, "ignore": ["lm_head"]}


WEIGHT_ONLY = "pyinfercost.linear_weight_only"
QUANTIZED = "pyinfercost.linear_quantized"
PER_ROW, PER_TENSOR = (ROWS, 1), (1, 1)

# Settings; dtype of the query projection; its kernel; what is stored beside it.
STORED: list[tuple[str, dict[str, Any], str, str, dict[str, tuple[str, tuple[int, ...]]]]] = [
    (
        "fp8 in blocks",
        {"quant_method": "fp8", "weight_block_size": [128, 64], "activation_scheme": "dynamic"},
        "float8_e4m3fn",
        QUANTIZED,
        {"scale": ("float32", (2, 4))},
    ),
    (
        "fp8 per tensor",
        {"quant_method": "fp8", "activation_scheme": "static", "ignored_layers": ["lm_head"]},
        "float8_e4m3fn",
        QUANTIZED,
        {"scale": ("float32", PER_TENSOR)},
    ),
    (
        "fp8 with scales of 8 bits",
        {"quant_method": "fp8", "weight_block_size": [128, 128], "scale_fmt": "ue8m0"},
        "float8_e4m3fn",
        QUANTIZED,
        {"scale": ("uint8", (2, 2))},
    ),
    ("fbgemm", {"quant_method": "fbgemm_fp8"}, "float8_e4m3fn", QUANTIZED, {"scale": ("float32", PER_ROW)}),
    ("mxfp8", {"quant_method": "mxfp8"}, "float8_e4m3fn", QUANTIZED, {"scale": ("uint8", (ROWS, COLUMNS // 32))}),
    (
        "GPTQ",
        {"quant_method": "gptq", "bits": 4, "group_size": 128},
        "int4",
        WEIGHT_ONLY,
        {"scale": ("float16", (ROWS, 2)), "zero_point": ("int4", (ROWS, 2)), "group_index": ("int32", (COLUMNS,))},
    ),
    (
        "GPTQ of whole rows in 8 bits",
        {"quant_method": "gptq", "bits": 8, "group_size": -1},
        "int8",
        WEIGHT_ONLY,
        {"scale": ("float16", PER_ROW), "zero_point": ("int8", PER_ROW), "group_index": ("int32", (COLUMNS,))},
    ),
    (
        "AWQ",
        {"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True, "version": "gemm"},
        "int4",
        WEIGHT_ONLY,
        {"scale": ("float16", (ROWS, 4)), "zero_point": ("int4", (ROWS, 4))},
    ),
    (
        "AWQ in its older keys",
        {"quant_method": "awq", "w_bit": 4, "q_group_size": 128, "zero_point": False},
        "int4",
        WEIGHT_ONLY,
        {"scale": ("float16", (ROWS, 2))},
    ),
    (
        "bitsandbytes int8",
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
        "int8",
        QUANTIZED,
        {"scale": ("float32", PER_ROW)},
    ),
    (
        "bitsandbytes nf4",
        {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        "int4",
        WEIGHT_ONLY,
        {"scale": ("float32", (ROWS, COLUMNS // 64))},
    ),
    (
        "bitsandbytes fp4, quantized twice",
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True},
        "int4",
        WEIGHT_ONLY,
        {"scale": ("uint8", (ROWS, COLUMNS // 64)), "outer_scale": ("float32", (ROWS * COLUMNS // 64 // 256,))},
    ),
    (
        "compressed-tensors fp8",
        compressed(
            {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True},
            {"num_bits": 8, "type": "float", "dynamic": True},
        ),
        "float8_e4m3fn",
        QUANTIZED,
        {"scale": ("bfloat16", PER_ROW)},
    ),
    (
        "compressed-tensors int8",
        compressed({"num_bits": 8, "type": "int", "strategy": "tensor"}, {"num_bits": 8, "dynamic": False}),
        "int8",
        QUANTIZED,
        {"scale": ("bfloat16", PER_TENSOR)},
    ),
    (
        "compressed-tensors int4 in groups",
        compressed(
            {
                "num_bits": 4,
                "type": "int",
                "strategy": "group",
                "group_size": 32,
                "symmetric": False,
                "actorder": "group",
            }
        ),
        "int4",
        WEIGHT_ONLY,
        {
            "scale": ("bfloat16", (ROWS, 8)),
            "zero_point": ("int4", (ROWS, 8)),
            "group_index": ("int32", (COLUMNS,)),
        },
    ),
    (
        "compressed-tensors fp8 in blocks",
        compressed({"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 128]}),
        "float8_e4m3fn",
        WEIGHT_ONLY,
        {"scale": ("bfloat16", (2, 2))},
    ),
    (
        "compressed-tensors nvfp4",
        compressed(
            {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
            {"num_bits": 4, "type": "float", "dynamic": "local"},
        ),
        "float4_e2m1fn_x2",
        QUANTIZED,
        {"scale": ("float8_e4m3fn", (ROWS, COLUMNS // 16))},
    ),
    (
        "torchao int4",
        torchao("Int4WeightOnlyConfig", group_size=64),
        "int4",
        WEIGHT_ONLY,
        {"scale": ("bfloat16", (ROWS, 4)), "zero_point": ("bfloat16", (ROWS, 4))},
    ),
    (
        "torchao fp8 per row",
        torchao("Float8DynamicActivationFloat8WeightConfig", granularity=[{"_type": "PerRow", "_data": {}}]),
        "float8_e4m3fn",
        QUANTIZED,
        {"scale": ("float32", PER_ROW)},
    ),
    (
        "torchao fp8 per tensor",
        torchao("Float8DynamicActivationFloat8WeightConfig"),
        "float8_e4m3fn",
        QUANTIZED,
        {"scale": ("float32", PER_TENSOR)},
    ),
    (
        "torchao by an older name",
        {"quant_method": "torchao", "quant_type": "int4_weight_only", "quant_type_kwargs": {"group_size": 128}},
        "int4",
        WEIGHT_ONLY,
        {"scale": ("bfloat16", (ROWS, 2)), "zero_point": ("bfloat16", (ROWS, 2))},
    ),
    (
        "Model Optimizer fp8",
        {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head"]},
        "float8_e4m3fn",
        QUANTIZED,
        {"scale": ("float32", PER_TENSOR)},
    ),
    (
        "Model Optimizer nvfp4",
        {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16, "ignore": ["lm_head"]},
        "float4_e2m1fn_x2",
        QUANTIZED,
        {"scale": ("float8_e4m3fn", (ROWS, COLUMNS // 16))},
    ),
]


@pytest.mark.parametrize(
    ("settings", "dtype", "kernel", "beside"), [case[1:] for case in STORED], ids=[case[0] for case in STORED]
)
@pytest.mark.sample(1)
def test_linear_layers_are_stored_as_the_settings_say(
    tmp_path: Path, settings: dict[str, Any], dtype: str, kernel: str, beside: dict[str, Any]
) -> None:
    graph = captured(tmp_path, LLAMA, settings, "#decode")
    assert narrow(graph) == LINEARS  # embeddings, norms and the output embedding are not
    parts = {name.removeprefix(f"{Q}."): part for name, part in weights(graph).items() if name.startswith(f"{Q}.")}
    elements = [part for name, part in parts.items() if name not in beside]
    assert elements == [(dtype, (ROWS, COLUMNS // (2 if dtype.startswith("float4") else 1)))]
    assert {name: parts[name] for name in beside} == beside
    assert [node.op for node in graph.nodes if node.module == f"{LAYER}.self_attn.q_proj"][-1] == kernel
    plain = captured(tmp_path, LLAMA, None, "#decode")
    before, after = ic.count(plain), ic.count(graph)
    assert after.total.parameters == before.total.parameters
    assert after.total.contraction_flops == before.total.contraction_flops
    assert after.unmodelled == {}
    assert ic.estimate(graph, hardware="h100-sxm-80gb").latency_s > 0


def test_every_method_is_tested() -> None:
    tested = {settings.get("quant_method", "bitsandbytes") for _, settings, *_ in STORED}
    assert tested == METHODS.keys() - {"mxfp4"}  # of experts alone


EXPERTS = {f"{LAYER}.mlp.experts.gate_up_proj", f"{LAYER}.mlp.experts.down_proj"}
ATTENTION = {f"{LAYER}.self_attn.{part}_proj" for part in "qkvo"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"quant_method": "mxfp4"}, EXPERTS),
        ({"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}, EXPERTS),
        ({"quant_method": "fp8"}, EXPERTS | ATTENTION),
        ({"quant_method": "fp8", "modules_to_not_convert": []}, EXPERTS | ATTENTION | {"lm_head"}),
        ({"quant_method": "fp8", "modules_to_not_convert": ["lm_head", "mlp.experts"]}, ATTENTION),
        (
            {"quant_method": "fp8", "modules_to_not_convert": ["model.layers.0.self_attn.q"]},
            EXPERTS | ATTENTION | {"lm_head"},
        ),
        ({"quant_method": "fp8", "modules_to_not_convert": [r"model.layers.\d+.self_attn"]}, EXPERTS | {"lm_head"}),
        ({"quant_method": "awq", "modules_to_not_convert": ["gate"]}, EXPERTS | ATTENTION),
        ({"quant_method": "awq", "modules_to_not_convert": ["self_attn"]}, EXPERTS),
        ({"quant_method": "gptq", "bits": 4}, EXPERTS | ATTENTION),
        ({"quant_method": "gptq", "bits": 4, "lm_head": True}, EXPERTS | ATTENTION | {"lm_head"}),
        (
            {
                "quant_method": "gptq",
                "bits": 4,
                "modules_in_block_to_quantize": [["self_attn.k_proj"], ["self_attn.q_proj"]],
            },
            {f"{LAYER}.self_attn.k_proj", f"{LAYER}.self_attn.q_proj"},
        ),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {r"-:.*\.self_attn": {}}}, EXPERTS),
        ({"load_in_8bit": True}, EXPERTS | ATTENTION),
        (
            {"load_in_8bit": True, "llm_int8_skip_modules": ["lm_head", "q_proj"]},
            EXPERTS | ATTENTION - {f"{LAYER}.self_attn.q_proj"},
        ),
        (compressed({"num_bits": 8}) | {"ignore": []}, EXPERTS | ATTENTION | {"lm_head"}),
        (compressed({"num_bits": 8}) | {"ignore": ["lm_head", "re:.*self_attn.*"]}, EXPERTS),
        # in the names of published checkpoints
        (compressed({"num_bits": 8}) | {"ignore": ["lm_head", "re:.*block_sparse_moe.experts.*"]}, ATTENTION),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"a": {"targets": [r"re:.*experts\.\d+\.(w1|w2|w3)"], "weights": {"num_bits": 4}}},
            },
            EXPERTS,
        ),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["*self_attn*", "lm_head"]}, EXPERTS),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["model.layers.0.mlp", "lm_head"]}, ATTENTION),
        (
            {
                "quant_method": "modelopt",
                "quant_algo": "MIXED_PRECISION",
                "quantized_layers": {
                    f"{LAYER}.mlp.experts.0.down_proj": {"quant_algo": "NVFP4", "group_size": 16},
                    f"{LAYER}.self_attn.q_proj": {"quant_algo": "FP8"},
                },
            },
            {f"{LAYER}.mlp.experts.down_proj", f"{LAYER}.self_attn.q_proj"},
        ),
        (
            torchao(
                "FqnToConfig",
                fqn_to_config={
                    "_default": {"_type": "Int8WeightOnlyConfig", "_data": {}},
                    "re:.*self_attn.*": None,
                    "lm_head": {"_type": "Float8WeightOnlyConfig", "_data": {}},
                },
            ),
            EXPERTS,
        ),
    ],
)
@pytest.mark.sample(3)
def test_exclusions_are_those_of_the_method(tmp_path: Path, settings: dict[str, Any], expected: set[str]) -> None:
    """The router is no linear layer, and no method quantizes it."""
    graph = captured(tmp_path, MIXTRAL, settings)
    assert narrow(graph) == expected
    assert ic.count(graph).unmodelled == {}


@pytest.mark.slow
def test_tied_embeddings_stay_whole(tmp_path: Path) -> None:
    tied = {**LLAMA, "tie_word_embeddings": True}
    for settings in ({"quant_method": "fp8"}, {"quant_method": "awq"}, {"load_in_4bit": True}):
        graph = captured(tmp_path, tied, settings)
        assert narrow(graph) == LINEARS
        assert ic.count(graph).total.parameters == ic.count(captured(tmp_path, tied)).total.parameters


def test_exceptions_of_gptq_have_their_own_bits(tmp_path: Path) -> None:
    settings = {
        "quant_method": "gptq",
        "bits": 4,
        "group_size": 128,
        "dynamic": {r"+:.*\.q_proj": {"bits": 8, "group_size": 64}},
    }
    found = weights(captured(tmp_path, LLAMA, settings))
    assert found[f"{Q}.int8_gptq"] == ("int8", (ROWS, COLUMNS))
    assert found[f"{Q}.scale"] == ("float16", (ROWS, 4))
    assert f"{LAYER}.self_attn.k_proj.weight.int4_gptq" in found


def test_gptq_quantizes_the_language_model_of_a_model_with_images() -> None:
    import torch
    import transformers

    from pyinfercost.sources.checkpoints.weights import weights_of

    text = transformers.LlamaConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, vocab_size=100
    )
    image = transformers.CLIPVisionConfig(
        hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, image_size=32, patch_size=16
    )
    config = transformers.LlavaConfig(text_config=text, vision_config=image)
    with torch.device("meta"):
        found = weights_of(transformers.LlavaForConditionalGeneration(config))
    in_blocks = {weight.module for weight in found if weight.in_block}
    assert {path.partition(".layers.0.")[2] for path in in_blocks} == set(PROJECTIONS)
    assert len(in_blocks) == len(PROJECTIONS)
    vision = next(weight for weight in found if weight.module.endswith("mlp.fc1"))
    assert any(name.startswith("vision_tower.") for name in vision.names)  # as published checkpoints name it


def test_experts_may_have_another_format(tmp_path: Path) -> None:
    settings = {"quant_method": "fp8", "weight_block_size": [128, 128], "expert_dtype": "fp4", "scale_fmt": "ue8m0"}
    found = weights(captured(tmp_path, MIXTRAL, settings))
    assert found[f"{LAYER}.mlp.experts.down_proj.mxfp4_wo"] == ("float4_e2m1fn_x2", (4, 256, 256))
    assert found[f"{Q}.fp8_block"] == ("float8_e4m3fn", (ROWS, COLUMNS))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"quant_method": "exl3"},
            "quant_method of the quantization_config of hf:.* is 'exl3'; expected fp8, .*gptq, awq, ",
        ),
        ({"bits": 4}, "quant_method of the .* is None; expected fp8"),
        ([4], "transformers does not support its config"),
        ({"quant_method": "gptq", "bits": 3}, "bits of .* is 3; expected 2, 4, 8"),
        ({"quant_method": "gptq", "bits": "4"}, "bits of .* is '4'; expected a whole number"),
        ({"quant_method": "awq", "group_size": 0}, "group_size of .* is 0; expected a length, or -1"),
        (
            {"quant_method": "fp8", "weight_block_size": [128]},
            r"weight_block_size of .* is \[128\]; expected two lengths",
        ),
        ({"quant_method": "fp8", "activation_scheme": "none"}, "is 'none'; expected dynamic or static"),
        ({"quant_method": "fp8", "expert_dtype": "int2"}, "expert_dtype of .* is 'int2'; expected fp8 or fp4"),
        ({"quant_method": "fp8", "modules_to_not_convert": "lm_head"}, "is 'lm_head'; expected a list of texts"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["(["]}, r"has '\(\[', which is no regular expression"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["x" * 2000]}, "an expression of 2000 characters"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["(a+)+b"]}, "which repeats a repetition"),
        ({"quant_method": "bitsandbytes"}, "load_in_8bit of .* is False and load_in_4bit is False"),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "q4"}, "bnb_4bit_quant_type of .* is 'q4'; expected nf4 or fp4"),
        (compressed({"num_bits": 3}), "num_bits of .* is 3 of type 'int'; expected float of 8"),
        (compressed({"num_bits": 4}, {"num_bits": 8}), "is 8, for weights of 4 bits"),
        (compressed({"num_bits": 8, "strategy": "row"}), "strategy of .* is 'row'; expected tensor"),
        ({**compressed({"num_bits": 8}), "sparsity_config": {"format": "sparse-24-bitmask"}}, "expected dense"),
        (torchao("Int3Config"), "the class of quant_type of .* is 'Int3Config'; expected Int4WeightOnlyConfig"),
        ({"quant_method": "torchao", "quant_type": "int3"}, "is 'int3'; expected Int4WeightOnlyConfig"),
        (
            {**torchao("Int8WeightOnlyConfig"), "include_input_output_embeddings": True},
            "narrow embeddings are not supported",
        ),
        ({"quant_method": "modelopt", "quant_algo": "W4A8"}, "quant_algo of .* is 'W4A8'; expected FP8"),
        (
            {"quant_method": "gptq", "bits": 4, "modules_in_block_to_quantize": [1]},
            r"is \[1\]; expected lists of names",
        ),
    ],
)
def test_what_is_not_known_is_an_error(tmp_path: Path, settings: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        captured(tmp_path, LLAMA, settings)


def test_settings_of_the_text_part_and_of_a_file_beside_the_config(tmp_path: Path) -> None:
    spec = write_config(tmp_path / "modelopt", LLAMA)
    assert narrow(ic.capture(spec)) == set()
    settings = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
    (tmp_path / "modelopt" / "hf_quant_config.json").write_text(json.dumps(settings), encoding="utf-8")
    assert narrow(ic.capture(spec)) == LINEARS
    (tmp_path / "modelopt" / "hf_quant_config.json").write_text(
        '{"quantization": {"quant_algo": null}}', encoding="utf-8"
    )
    assert narrow(ic.capture(spec)) == set()
    (tmp_path / "modelopt" / "hf_quant_config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(SpecError, match="has no object; expected the settings"):
        ic.capture(spec)
    nested = {**settings, "quant_method": "modelopt"}
    assert narrow(captured(tmp_path / "nested", LLAMA, nested)) == LINEARS


def test_a_config_without_a_dtype_has_that_of_its_method(tmp_path: Path) -> None:
    plain = {key: value for key, value in LLAMA.items() if key != "torch_dtype"}
    for settings, dtype in (
        ({"quant_method": "fp8"}, "bfloat16"),
        ({"quant_method": "awq"}, "float16"),
        (None, "float32"),
    ):
        graph = captured(tmp_path, plain, settings)
        assert weights(graph)["lm_head.weight"][0] == dtype
    assert (
        weights(captured(tmp_path, {**plain, "dtype": "float16"}, {"quant_method": "fp8"}))["lm_head.weight"][0]
        == "float16"
    )


def test_sweeps_and_profiles_see_the_checkpoint(tmp_path: Path) -> None:
    from pyinfercost.sources.captured import graph_over

    spec = write_config(tmp_path, MIXTRAL, {"quant_method": "fp8", "weight_block_size": [128, 128]})
    over = graph_over(f"{spec}#decode", {"batch": [1, 8, 64]})
    assert "batch" in over.graph.sizes
    assert narrow(over.graph) == EXPERTS | ATTENTION
    profile = ic.profile(f"{spec}#decode", hardware="h100-sxm-80gb", batch=8)
    assert profile.counts.total.parameter_bytes == ic.count(over.graph, batch=8).total.parameter_bytes


def test_uses_of_the_module_itself_are_refused(tmp_path: Path) -> None:
    spec = write_config(tmp_path, LLAMA, {"quant_method": "awq"})
    with pytest.raises(SpecError, match="is quantized by awq, and a training step would use full-precision weights"):
        ic.capture(spec, training=True)
    with pytest.raises(SpecError, match="is quantized by awq, and a measurement would use full-precision weights"):
        ic.measure(spec)
