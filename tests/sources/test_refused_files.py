"""Files that hold no model that can be captured: the error says what to pass, and nothing of the file is run."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost.sources.loaded_model import SpecError
from pyinfercost.sources.registry import engine_of, source_of
from pyinfercost.sources.symbols import CaptureError

pytestmark = pytest.mark.torch


class Branches(nn.Module):
    """A perceptron with a part that is TorchScript."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.scripted = torch.jit.script(nn.Linear(8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the results."""
        return self.scripted(self.first(x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused_with_the_way_to_export(tmp_path: Path) -> None:
    x = torch.zeros(2, 8)
    scripted, traced = torch.jit.script(nn.Linear(8, 8)), torch.jit.trace(nn.Linear(8, 8), x)
    for module in (scripted, traced):
        with pytest.raises(CaptureError, match=r"the module is TorchScript \(.*\), .* torch\.export\.export"):
            ic.capture(module, (x,))
    with pytest.raises(CaptureError, match="its part 'scripted' is TorchScript"):
        ic.capture(Branches(), (x,))
    path = tmp_path / "model.pt"
    traced.save(str(path))
    with pytest.raises(SpecError, match=r"model\.pt is TorchScript, .* torch\.export\.save"):
        ic.capture(str(path))


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(SpecError, match="may be a pickle, which can run arbitrary code, and is not opened"):
        ic.capture(str(path))
    path.write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(SpecError, match="may be a pickle"):
        ic.capture(str(path))
    with pytest.raises(SpecError, match=r"absent\.pt' is not known; there is no such file"):
        ic.capture(str(tmp_path / "absent.pt"))


def test_weights_alone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 2) + b"{}")
    with pytest.raises(SpecError, match=r"has weights alone, .* pass a folder with it and the config\.json"):
        ic.capture(str(path))
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(SpecError, match=r"its folder has a config\.json: pass the folder"):
        ic.capture(str(path))


def test_a_folder_is_the_model_of_its_config(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    safetensors = pytest.importorskip("safetensors.torch")
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 100, "tie_word_embeddings": True,
        "dtype": "bfloat16",
    }  # fmt: skip
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    with pytest.raises(SpecError, match=r"the folder has no config\.json"):
        ic.capture(str(folder))
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    spec = f"hf:{folder}"
    from pyinfercost.sources.huggingface.classes import build_model, load_config

    model = build_model(spec, load_config(str(folder)))
    weights = {name: torch.zeros(p.shape, dtype=torch.bfloat16) for name, p in model.named_parameters()}
    safetensors.save_file(weights, folder / "model.safetensors")
    for phase in ("", "#prefill", "#decode"):
        of_folder, of_spec = (ic.count(ic.capture(f"{text}{phase}")).total for text in (folder, spec))
        assert of_folder.contraction_flops == of_spec.contraction_flops
        assert of_folder.parameter_bytes == of_spec.parameter_bytes == sum(2 * w.numel() for w in weights.values())
    both = ic.profile(str(folder), prompt=16)
    assert both.decode.sizes["context"] == 16


def test_sources_of_files(tmp_path: Path) -> None:
    assert source_of("a.gguf") is source_of("a.gguf#decode") is not None
    assert source_of("a.pt2#decode") is None
    assert source_of("my#model.pt2") is source_of("model.pt2")
    assert engine_of("a.gguf#prefill") == "llamacpp"
    assert engine_of("hf:a.gguf") is None
    assert engine_of(3) is None
    folder = source_of(str(tmp_path))
    assert folder is not None
    assert folder.name == "folder"
    assert source_of(f"{tmp_path}#decode") is folder


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.keras", "is a model of Keras; convert it to ONNX"),
        ("model.h5", "is a model of Keras; convert it to ONNX"),
        ("model.pb", "is a graph of TensorFlow; convert it to ONNX"),
        ("model.engine", r"is a compiled engine of TensorRT.* pass the \.onnx file"),
        ("model.mlmodel", r"is a model of Core ML; pass the module or the \.onnx file"),
        ("model.TFLITE", "is a TensorFlow Lite model; convert it to ONNX"),
    ],
)
def test_files_of_other_frameworks_are_refused_with_the_way_to_a_graph(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"content")
    with pytest.raises(SpecError, match=message):
        ic.capture(str(tmp_path / name))
