"""Model specs: the module that is built, its inputs, and errors."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.paths import CONFIGS
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import pyinfercost as ic
from pyinfercost.sources.loaded_model import building_on, on_build_device
from pyinfercost.sources.models import LoadedModel, SpecError, load_model
from pyinfercost.sources.spec_graphs import load_graph
from pyinfercost.sources.trace.trace import output_on_meta, trace_graph

pytestmark = pytest.mark.torch

SMALL = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
ENCODER = {k: v for k, v in SMALL.items() if k not in {"num_key_value_heads", "bos_token_id", "eos_token_id"}}
T5_SIZES = {"d_model": 64, "d_ff": 128, "num_layers": 2, "num_heads": 4, "d_kv": 16, "vocab_size": 256}
GPT2_SIZES = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 256, "bos_token_id": 1, "eos_token_id": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": SMALL,
    "qwen2": SMALL,
    "mixtral": {**SMALL, "num_local_experts": 4, "dtype": "bfloat16"},
    "mixtral_float32": {**SMALL, "num_local_experts": 4},
    "gpt2": GPT2_SIZES,
    "t5": T5_SIZES,
}


def forward(loaded: LoadedModel) -> tuple[Any, Counter[str]]:
    graph = trace_graph(loaded.module, loaded.args, loaded.kwargs)
    return output_on_meta(loaded.module, loaded.args, loaded.kwargs), Counter(graph.op_counts())


def on_meta(module: nn.Module) -> bool:
    return {t.device.type for t in module.state_dict().values()} == {"meta"} and not module.training


@pytest.fixture
def family(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    pytest.importorskip("transformers")
    path = tmp_path / "config.json"
    path.write_text(
        json.dumps({"model_type": request.param.partition("_")[0], **FAMILIES[request.param]}), encoding="utf-8"
    )
    return f"hf:{path}"


every_family = pytest.mark.parametrize("family", FAMILIES, indirect=True)


def test_weights_have_values_on_real_devices_alone() -> None:
    class Ops(TorchDispatchMode):
        names: ClassVar[set[str]] = set()

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            del types
            self.names.add(func._schema.name)
            return func(*args, **(kwargs or {}))

    with Ops(), on_build_device():
        layers = nn.Sequential(nn.Linear(4, 4), nn.Embedding(8, 4), nn.BatchNorm1d(4))
        nn.init.trunc_normal_(layers[0].weight)
    assert all(weight.is_meta for weight in layers.state_dict().values())
    assert not Ops.names & {"aten::uniform_", "aten::normal_", "aten::fill_", "aten::zero_"}
    with building_on("cpu"), on_build_device():
        real = nn.Linear(4, 4)
    assert float(real.weight.detach().std()) > 0


class TestTorchvision:
    @pytest.fixture(autouse=True)
    def _needs_torchvision(self) -> None:
        pytest.importorskip("torchvision")

    @pytest.mark.parametrize(
        ("name", "shape"),
        [
            ("resnet18", (1, 3, 224, 224)),
            ("inception_v3", (1, 3, 299, 299)),
            ("vit_h_14", (1, 3, 518, 518)),
            ("googlenet", (1, 3, 224, 224)),
            ("regnet_y_400mf", (1, 3, 224, 224)),
            ("deeplabv3_resnet50", (1, 3, 520, 520)),
            ("r3d_18", (1, 3, 16, 112, 112)),
        ],
    )
    @pytest.mark.sample(3)
    def test_as_published(self, name: str, shape: tuple[int, ...]) -> None:
        from torchvision import models

        loaded = load_model(f"torchvision:{name}", {})
        published = models.get_model_weights(name).DEFAULT.meta
        assert on_meta(loaded.module)
        assert [tuple(x.shape) for x in loaded.args] == [shape]
        assert sum(p.numel() for p in loaded.module.parameters()) == published["num_params"]
        counts = ic.count(load_graph(f"torchvision:{name}", {}))
        assert counts.total.macs / 1e9 == pytest.approx(published["_ops"], abs=0.0015)

    def test_sizes(self) -> None:
        (image,) = load_model("torchvision:vit_b_16", {"batch": 4, "image_size": 384}).args
        assert image.shape == (4, 3, 384, 384)
        graph = load_graph("torchvision:vit_b_16", {"image_size": 384})
        tokens = (384 // 16) ** 2 + 1
        assert {t.shape for t in map(graph.tensor, range(graph.tensor_count)) if t.name.endswith("pos_embedding")} == {
            (1, tokens, 768)
        }

    @pytest.mark.parametrize(
        ("spec", "sizes", "message"),
        [
            ("torchvision:resnet51", {}, "no model 'resnet51' among its .*resnet50"),
            ("torchvision:resnet18", {"sequence": 8}, "no size 'sequence'; expected batch or image_size"),
            (
                "torchvision:resnet18",
                {"batch": 0},
                "size batch of torchvision:resnet18 is 0; expected a whole number from 1 to 9007199254740992",
            ),
        ],
    )
    def test_refused(self, spec: str, sizes: dict[str, int], message: str) -> None:
        with pytest.raises(SpecError, match=message):
            load_model(spec, sizes)


class TestTimm:
    @pytest.fixture(autouse=True)
    def _needs_timm(self) -> None:
        pytest.importorskip("timm")

    @pytest.mark.parametrize(
        ("name", "side"), [("convnext_tiny", 224), ("mobilevit_s", 256), ("vit_small_patch14_dinov2", 518)]
    )
    def test_as_published(self, name: str, side: int) -> None:
        loaded = load_model(f"timm:{name}", {"batch": 2})
        assert on_meta(loaded.module)
        assert loaded.args[0].shape == (2, 3, side, side)
        forward(loaded)

    def test_a_fixed_image_size_is_built_in(self) -> None:
        loaded = load_model("timm:vit_tiny_patch16_224", {"image_size": 320})
        assert loaded.args[0].shape == (1, 3, 320, 320)
        forward(loaded)

    def test_nearest_names(self) -> None:
        with pytest.raises(SpecError, match=r"did you mean convnext_tiny"):
            load_model("timm:convnext_tny", {})


class TestHuggingFace:
    @every_family
    def test_one_forward(self, family: str) -> None:
        loaded = load_model(family, {"batch": 2, "sequence": 24})
        assert on_meta(loaded.module)
        output, ops = forward(loaded)
        assert output.logits.shape == (2, 24, 256)
        assert loaded.dynamic["input_ids"] == {0: "batch", 1: "sequence"}
        assert not any("scalar_dense" in op for op in ops)

    @every_family
    def test_prefill_predicts_the_next_token_only(self, family: str) -> None:
        output, _ = forward(load_model(f"{family}#prefill", {"batch": 2}))
        assert output.logits.shape == (2, 1, 256)

    @every_family
    @pytest.mark.sample(2)
    def test_decode_reads_a_full_cache(self, family: str) -> None:
        loaded = load_model(f"{family}#decode", {"batch": 2, "context": 50})
        cache = {name: t for name, t in loaded.kwargs.items() if name.startswith("past_key_values")}
        assert cache["past_key_values_0_keys"].shape[-2] == 50
        assert loaded.dynamic["past_key_values_0_keys"] == {0: "batch", 2: "context"}
        for _ in range(2):  # a second call starts from the same cache
            output, ops = forward(loaded)
            assert output.logits.shape == (2, 1, 256)
            filled = getattr(output, "cache", None) or output.past_key_values
            assert filled.get_seq_length() == 51
        # one query against 51 keys needs no mask
        assert not ops["aten.tril.default"]

    def test_a_cache_is_an_input_of_its_own_kind(self) -> None:
        pytest.importorskip("transformers")
        graph = load_graph(f"hf:{CONFIGS / 'llama-3-8b.json'}#decode", {"context": 1000})
        cache = [t for t in graph.inputs if t.role == "kv_cache"]
        # 32 layers, keys and values, 8 heads of 4096 / 32
        assert Counter(t.shape for t in cache) == {(1, 8, 1000, 128): 64}

    @pytest.mark.parametrize(
        ("name", "parameters"),
        [
            # vocab * h * 2 + L * (2 h*h + 2 h * h*kv/heads + 3 h*i + 2h) + h
            (
                "llama-3-8b",
                128256 * 4096 * 2 + 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336 + 2 * 4096) + 4096,
            ),
            (
                "llama-3.1-405b",
                128256 * 16384 * 2 + 126 * (2 * 16384**2 + 2 * 16384 * 1024 + 3 * 16384 * 53248 + 2 * 16384) + 16384,
            ),
            # the same with 8 experts and a router of h * 8
            (
                "mixtral-8x7b",
                32000 * 4096 * 2
                + 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 8 * (3 * 4096 * 14336) + 8 * 4096 + 2 * 4096)
                + 4096,
            ),
        ],
    )
    @pytest.mark.sample(2)
    def test_large_models_are_never_allocated(self, name: str, parameters: int) -> None:
        pytest.importorskip("transformers")
        graph = load_graph(f"hf:{CONFIGS / name}.json#prefill", {"sequence": 16})
        assert ic.count(graph).total.parameters == parameters
        assert {graph.node(i).outputs[0].dtype for i in range(len(graph)) if graph.node(i).op == "aten.linear"} == {
            "bfloat16"
        }

    def test_contractions_of_a_prefill(self) -> None:
        pytest.importorskip("transformers")
        tokens = 128
        graph = load_graph(f"hf:{CONFIGS / 'llama-3-8b.json'}", {"sequence": tokens})
        weights = 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336) + 128256 * 4096
        attention = 32 * 2 * tokens**2 * 4096  # dense: every query with every key, then with every value
        rotary = 64 * tokens  # angles: position x frequency, an outer product
        macs = ic.count(graph).total.macs
        assert macs - (tokens * weights + attention) in {0, rotary}

    @pytest.mark.parametrize("kind", ["bert", "roberta"])
    def test_encoders(self, kind: str, tmp_path: Path) -> None:
        pytest.importorskip("transformers")
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, **ENCODER}), encoding="utf-8")
        loaded = load_model(f"hf:{tmp_path}", {})
        assert type(loaded.module).__name__.lower() == f"{kind}model"
        output, _ = forward(loaded)
        assert output.last_hidden_state.shape == (1, 128, 64)
        with pytest.raises(SpecError, match="does not generate and has no decode"):
            load_model(f"hf:{tmp_path}#decode", {})

    def test_images(self, tmp_path: Path) -> None:
        pytest.importorskip("transformers")
        config = {"model_type": "vit", **{k: v for k, v in ENCODER.items() if k != "vocab_size"}, "patch_size": 8}
        path = tmp_path / "vit.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        loaded = load_model(f"hf:{path}", {"image_size": 32, "batch": 3})
        output, _ = forward(loaded)
        assert output.last_hidden_state.shape == (3, (32 // 8) ** 2 + 1, 64)

    def test_context_stays_within_the_positions(self, tmp_path: Path) -> None:
        pytest.importorskip("transformers")
        path = tmp_path / "gpt2.json"
        path.write_text(json.dumps({"model_type": "gpt2", **GPT2_SIZES, "n_positions": 64}), encoding="utf-8")
        assert load_model(f"hf:{path}#decode", {}).kwargs["past_key_values_0_keys"].shape[-2] == 63
        assert load_model(f"hf:{path}", {}).kwargs["input_ids"].shape == (1, 64)

    @pytest.mark.parametrize(
        ("spec", "sizes", "message"),
        [
            ("hf:absent/model", {}, "not in the local Hugging Face cache. Nothing is downloaded"),
            ("hf:absent.json", {}, "no such file"),
            (f"hf:{CONFIGS}", {}, "the folder has no config.json"),
            (
                f"hf:{CONFIGS / 'llama-3-8b.json'}#train",
                {},
                "phase 'train' .* expected prefill or decode or text-prefill or none",
            ),
            (f"hf:{CONFIGS / 'llama-3-8b.json'}", {"context": 8}, "no size 'context'; expected batch or sequence"),
            (
                f"hf:{CONFIGS / 'llama-3-8b.json'}#decode",
                {"sequence": 8},
                "no size 'sequence'; expected batch or context",
            ),
        ],
    )
    def test_refused(self, spec: str, sizes: dict[str, int], message: str) -> None:
        pytest.importorskip("transformers")
        with pytest.raises(SpecError, match=message):
            load_model(spec, sizes)


MODULE = """
import torch
from torch import nn

def image_model():
    return nn.Conv2d(3, 4, 3)

def with_inputs(batch=1, width=8):
    return nn.Linear(width, 4), (torch.zeros(batch, width),)

def with_names():
    return nn.Bilinear(2, 3, 4), (), {"input1": torch.zeros(5, 2), "input2": torch.zeros(5, 3)}

def two_inputs():
    return nn.Bilinear(2, 3, 4)

def needy(path):
    return nn.ReLU()

number = 3
text = lambda: "text"
"""


class TestCallable:
    @pytest.fixture(autouse=True)
    def _in_a_folder_of_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        (tmp_path / "own_models.py").write_text(MODULE, encoding="utf-8")
        (tmp_path / "broken_models.py").write_text("import module_that_is_not_there", encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        yield
        sys.modules.pop("own_models", None)

    def test_a_module_alone_takes_images(self) -> None:
        before = list(sys.path)
        loaded = load_model("own_models:image_model", {"batch": 2, "image_size": 32})
        assert loaded.args[0].shape == (2, 3, 32, 32)
        assert sys.path == before

    def test_sizes_are_arguments(self) -> None:
        loaded = load_model("own_models:with_inputs", {"batch": 6})
        assert loaded.args[0].shape == (6, 8)
        # 6 rows x 8 x 4 multiply-adds
        assert ic.count(load_graph("own_models:with_inputs", {"batch": 6})).total.macs == 6 * 8 * 4

    def test_named_inputs(self) -> None:
        loaded = load_model("own_models:with_names", {})
        assert set(loaded.kwargs) == {"input1", "input2"}
        assert not loaded.module.training

    @pytest.mark.parametrize(
        ("spec", "sizes", "message"),
        [
            ("own_models:absent", {}, "has no attribute 'absent'"),
            ("absent_models:make", {}, "there is no module 'absent_models'"),
            ("own_models:number", {}, "is a int; expected a callable"),
            ("own_models:text", {}, "returned a str; expected an nn.Module"),
            ("own_models:needy", {}, "cannot be called with the sizes {}: missing a required argument: 'path'"),
            ("own_models:two_inputs", {}, "forward takes 2 inputs; expected .module, args."),
            ("own_models:with_inputs", {"depth": 3}, "no size 'depth'; expected batch or width"),
            ("just words", {}, "is not valid; expected torchvision:NAME"),
        ],
    )
    def test_refused(self, spec: str, sizes: dict[str, int], message: str) -> None:
        with pytest.raises(SpecError, match=message):
            load_model(spec, sizes)

    def test_an_error_inside_the_module_is_not_hidden(self) -> None:
        with pytest.raises(ModuleNotFoundError, match="module_that_is_not_there"):
            load_model("broken_models:make", {})


class TestFiles:
    @pytest.fixture
    def graph(self) -> ic.Graph:
        builder = ic.GraphBuilder("tiny")
        batch = builder.size("batch", default=2)
        x, y = (builder.tensor("float32", (batch, 4), role=role) for role in ("input", "activation"))
        builder.node("aten.relu.default", {"self": x}, [y])
        return builder.build([x], [y])

    def test_a_stored_graph(self, graph: ic.Graph, tmp_path: Path) -> None:
        path = tmp_path / "tiny.json"
        path.write_text(graph.to_json(), encoding="utf-8")
        assert load_graph(str(path), {"batch": 8}) == graph
        with pytest.raises(SpecError, match="no size 'sequence'; expected batch"):
            load_graph(str(path), {"sequence": 8})

    @pytest.mark.parametrize("name", ["absent.json", "absent.pt2"])
    def test_no_such_file(self, name: str) -> None:
        with pytest.raises(SpecError, match="no such file"):
            load_graph(name, {})
