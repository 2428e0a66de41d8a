"""Configs from outside: limits of counts before a model is built, and errors for exceptions of model libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.tiny_configs import DIT

import pyinfercost as ic
from pyinfercost.errors import Error, MissingLibraryError, TooLargeError
from pyinfercost.sources import library_configs
from pyinfercost.sources.huggingface import media
from pyinfercost.sources.loaded_model import SpecError, SpecSizeError
from pyinfercost.sources.models import load_model
from pyinfercost.sources.spec_graphs import load_graph

pytestmark = pytest.mark.torch

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
}


def spec_of(folder: Path, scheme: str, config: Any) -> str:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return f"{scheme}:{folder}"


class TestHuggingFace:
    @pytest.fixture(autouse=True)
    def _needs_transformers(self) -> None:
        pytest.importorskip("transformers")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"architectures": 1}, "architectures of its config is 1; expected a list of names"),
            ({"architectures": [0.5]}, r"architectures of its config is \[0\.5\]; expected a list of names"),
            ({"head_dim": 0}, "cannot build its LlamaForCausalLM: ZeroDivisionError"),
            ({"pad_token_id": 2**55}, "cannot build its LlamaForCausalLM: AssertionError: Padding_idx must be within"),
            ({"hidden_size": -32}, "cannot build its LlamaForCausalLM: RuntimeError"),
            ({"hidden_size": 2**70}, "hf:"),
            ({"id2label": 7}, "transformers does not support its config: AttributeError"),
            ({"rope_parameters": {"rope_type": "no such", "rope_theta": 1.0}}, "cannot build its LlamaForCausalLM"),
        ],
    )
    def test_exceptions_of_the_library_are_one_error(
        self, tmp_path: Path, changes: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(SpecError, match=message) as caught:
            load_model(spec_of(tmp_path, "hf", LLAMA | changes), {})
        assert str(tmp_path) in str(caught.value)
        assert "expected" in str(caught.value)

    @pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
    @pytest.mark.parametrize(
        "kernel", ["flex_attention", "flash_attention_2", "a/b", "a/b:c", "nonsense", 7, {"": "a/b"}, {"text": "a/b"}]
    )
    def test_kernels_of_attention_are_not_fetched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, kernel: Any
    ) -> None:
        from transformers import AutoConfig

        monkeypatch.setattr(AutoConfig, "from_pretrained", None)  # nothing of the library is called with such a config
        for config in (LLAMA | {key: kernel}, LLAMA | {"text_config": {key: kernel}}):
            with pytest.raises(SpecError, match=r"attn_implementation of its config is .*; expected eager or sdpa"):
                load_model(spec_of(tmp_path, "hf", config), {})

    @pytest.mark.parametrize("kernel", [None, "sdpa", "eager"])
    def test_known_kernels_of_attention(self, tmp_path: Path, kernel: str | None) -> None:
        config = LLAMA | {"attn_implementation": kernel, "_attn_implementation_autoset": True}
        assert load_model(spec_of(tmp_path, "hf", config), {}).module is not None

    def test_a_config_with_a_byte_order_mark(self, tmp_path: Path) -> None:
        spec = spec_of(tmp_path, "hf", LLAMA)
        graph = load_graph(spec, {"sequence": 4}).to_json()
        file = tmp_path / "config.json"
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
        assert load_graph(spec, {"sequence": 4}).to_json() == graph
        assert load_graph(f"hf:{file}", {"sequence": 4}).to_json() == graph.replace(spec, f"hf:{file}")

    def test_the_exception_of_the_library_is_the_cause(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError) as caught:
            load_model(spec_of(tmp_path, "hf", LLAMA | {"head_dim": 0}), {})
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"num_hidden_layers": 2**27}, "num_hidden_layers of its config is 134217728; expected at most 1,000"),
            ({"num_hidden_layers": 10**400}, "num_hidden_layers of its config is a whole number of 401 digits"),
            ({"model_type": "gpt2", "n_layer": 1001}, "n_layer of its config is 1001; expected at most 1,000"),
            ({"model_type": "mamba", "num_hidden_layers": 2**31}, "num_hidden_layers of its config"),
            ({"model_type": "t5", "num_layers": 2**62}, "num_layers of its config"),
            ({"model_type": "swin", "depths": [2, 2**31]}, r"depths\[1\] of its config is 2147483648"),
            (
                {"model_type": "llava", "text_config": {"model_type": "llama", "num_hidden_layers": 2**31}},
                "text_config.num_hidden_layers of its config is 2147483648",
            ),
            ({"model_type": "mixtral", "num_local_experts": 10**6}, "num_local_experts .* expected at most 100,000"),
            ({"num_labels": 2**27}, "num_labels of its config is 134217728; expected at most 1,000,000"),
        ],
    )
    def test_counts_that_no_model_has_are_refused(self, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(SpecError, match=message):
            load_model(spec_of(tmp_path, "hf", LLAMA | changes), {})

    def test_large_widths_are_no_counts(self, tmp_path: Path) -> None:
        layers, hidden, inner, vocabulary = 3, 100_000, 400_000, 262_144
        config = LLAMA | {
            "num_hidden_layers": layers,
            "hidden_size": hidden,
            "intermediate_size": inner,
            "num_attention_heads": 1000,
            "num_key_value_heads": 1000,
            "vocab_size": vocabulary,
            "max_position_embeddings": 10_000_000,
            "hidden_size_per_layer_input": 4096,  # keys that end otherwise than counts of layers
            "vocab_size_per_layer_input": vocabulary,
            "block_size": 2**20,
        }
        counts = ic.count(load_graph(spec_of(tmp_path, "hf", config), {"sequence": 4}))
        # Embedding and head; per layer four square projections, three of the feed-forward and two norms; a last norm.
        layer = 4 * hidden**2 + 3 * hidden * inner + 2 * hidden
        assert counts.total.parameters == 2 * vocabulary * hidden + layers * layer + hidden

    def test_modules_are_counted_while_they_are_made(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = spec_of(tmp_path, "hf", LLAMA)
        parts = len(list(load_model(spec, {}).module.modules()))
        monkeypatch.setattr(library_configs, "MOST_PARTS", parts)  # parameters count, too
        with pytest.raises(TooLargeError, match=f"asks for more than {parts} modules and parameters") as caught:
            load_model(spec, {})
        assert isinstance(caught.value, SpecError)
        monkeypatch.undo()
        assert len(list(load_model(spec, {}).module.modules())) == parts

    @pytest.mark.parametrize("value", [0, -1, 2.5, "8", True, 2**60])
    def test_sizes_are_whole_numbers(self, tmp_path: Path, value: Any) -> None:
        with pytest.raises(SpecSizeError, match=r"size batch of hf:.* is .*; expected a whole number from 1 to"):
            load_model(spec_of(tmp_path, "hf", LLAMA), {"batch": value})

    def test_processors_get_no_more_than_they_can_hold(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(media, "MOST_VALUES", 5 * 3 * 32 * 32)
        config = {
            "model_type": "qwen2_vl",
            "text_config": {**LLAMA, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}},
            "vision_config": {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 4},
        }
        spec = spec_of(tmp_path, "hf", config)
        with pytest.raises(TooLargeError, match=r"images of 18432 values are too large .* pass a smaller batch"):
            load_model(spec, {"batch": 6, "image_size": 32})  # 6 * 3 * 32 * 32

    @pytest.mark.parametrize(
        "content", ["[]", "7", '{"model_type": ' + "[" * 3000, "{", '{"a": ' * 200 + "1" + "}" * 200]
    )
    def test_files_that_hold_no_config(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "config.json").write_text(content, encoding="utf-8")
        with pytest.raises(Error):
            load_model(f"hf:{tmp_path}", {})

    def test_paths_that_no_file_system_takes(self) -> None:
        for name in ("a" * 1000, "a" * 1000 + ".json", "a\0b"):
            with pytest.raises(SpecError):
                load_model(f"hf:{name}", {})


class TestDiffusers:
    @pytest.fixture(autouse=True)
    def _needs_diffusers(self) -> None:
        pytest.importorskip("diffusers")

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({"_class_name": "AutoencoderKL", "sample_size": "a"}, "cannot build its AutoencoderKL: TypeError"),
            ({"_class_name": "AutoencoderKL", "norm_num_groups": 0}, "cannot build .*: ZeroDivisionError"),
            ({"_class_name": "AutoencoderKL", "down_block_types": [""]}, "cannot build .*: ValueError"),
            (DIT | {"in_channels": -1}, "cannot build its DiTTransformer2DModel: RuntimeError"),
            (DIT | {"sample_size": -1}, "the config does not determine the inputs of its DiTTransformer2DModel"),
            (DIT | {"num_layers": 2**31}, "num_layers of its config is 2147483648; expected at most 1,000"),
            ([], "_class_name None"),
        ],
    )
    def test_exceptions_of_the_library_are_one_error(self, tmp_path: Path, config: Any, message: str) -> None:
        with pytest.raises(SpecError, match=message) as caught:
            load_model(spec_of(tmp_path, "diffusers", config), {})
        assert str(tmp_path) in str(caught.value)

    def test_paths_that_no_file_system_takes(self) -> None:
        for name in ("a" * 1000, "a\0b"):
            with pytest.raises(SpecError, match="no such file"):
                load_model(f"diffusers:{name}", {})

    @pytest.mark.parametrize("value", [0, 2.5, "8", True])
    def test_sizes_are_whole_numbers(self, tmp_path: Path, value: Any) -> None:
        with pytest.raises(SpecSizeError, match=r"size batch of diffusers:.* expected a whole number from 1 to"):
            load_model(spec_of(tmp_path, "diffusers", DIT), {"batch": value})


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    import diffusers

    def absent(*_: Any, **__: Any) -> None:
        raise ModuleNotFoundError("No module named 'timm'", name="timm")

    monkeypatch.setattr(diffusers.DiTTransformer2DModel, "from_config", absent)
    with pytest.raises(MissingLibraryError, match="needs timm"):
        load_model(spec_of(tmp_path, "diffusers", DIT), {})


def test_detection_models_take_images_one_by_one() -> None:
    pytest.importorskip("torchvision")
    with pytest.raises(SpecSizeError, match=r"size batch .* is 1048576; expected at most 10,000"):
        load_model("torchvision:ssdlite320_mobilenet_v3_large", {"batch": 2**20})


@pytest.mark.slow
def test_default_configs_of_transformers_are_within_the_limits() -> None:
    pytest.importorskip("transformers")
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    from pyinfercost.sources.huggingface.classes import check_config

    checked = 0
    for kind in CONFIG_MAPPING:
        try:
            config = CONFIG_MAPPING[kind]().to_dict()
        except Exception:  # its defaults are incomplete, or need a library
            continue
        check_config(f"hf:{kind}", config)
        checked += 1
    assert checked > 300


@pytest.mark.parametrize(
    ("spec", "library"),
    [
        ("{}", ""),
        ("{}.pt2", ""),
        ("{}.json", ""),
        ("{}:function", ""),
        ("os:{}", ""),
        ("hf:{}", "transformers"),
        ("hf:x#{}", "transformers"),
        ("diffusers:{}", "diffusers"),
        ("torchvision:{}", "torchvision"),
        ("timm:{}", "timm"),
    ],
)
def test_a_message_about_a_long_spec_is_short(spec: str, library: str) -> None:
    if library:
        pytest.importorskip(library)
    with pytest.raises(SpecError) as caught:
        ic.capture(spec.format("a" * 30_000))
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("name", ["a\0b.pt2", "a\0b.json", "\ud800.json"])
def test_paths_of_graphs_that_no_file_system_takes(name: str) -> None:
    with pytest.raises(SpecError, match="no such file"):
        ic.capture(name)


def test_builtins_have_no_sizes() -> None:
    with pytest.raises(SpecError, match=r"builtins:iter: .* expected a function with a signature"):
        load_model("builtins:iter", {})


def test_inputs_have_no_more_elements_than_torch_counts() -> None:
    pytest.importorskip("torchvision")
    with pytest.raises(SpecSizeError, match=r"\[1, 3, 2147483648, 2147483648\] has more than 2\^60 elements"):
        load_model("torchvision:resnet18", {"image_size": 2**31})
    assert load_model("torchvision:resnet18", {"batch": 2**31}).args[0].shape == (2**31, 3, 224, 224)


def test_an_image_size_that_a_model_cannot_have() -> None:
    pytest.importorskip("torchvision")
    with pytest.raises(SpecError, match=r"torchvision cannot build it with image_size 225: \w+: .*; expected an image"):
        load_model("torchvision:vit_b_16", {"image_size": 225})
