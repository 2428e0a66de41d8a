"""Names that documentation snippets assume: `<!-- setup: NAME -->` on a page calls the function NAME.

A function returns names for the page, and may write files into the page's folder.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pyinfercost as ic

Names = dict[str, Any]


def pruned_file() -> Names:
    """Write `pruned.safetensors`, with weights pruned in different ways."""
    import torch
    from safetensors.torch import save_file

    random = torch.Generator().manual_seed(0)
    sizes = {"conv": (256, 256, 3, 3), "fc": (1024, 1024), "head": (1000, 1024), "proj": (1536, 1600)}
    weights = {f"{name}.weight": torch.randn(size, generator=random) for name, size in sizes.items()}
    weights["conv.weight"][::4] = 0
    quads = weights["fc.weight"].view(-1, 4)
    quads.scatter_(1, quads.abs().argsort(1)[:, :2], 0)
    head = weights["head.weight"]
    head[head.abs() < head.abs().median()] = 0
    blocks = weights["proj.weight"].view(24, 64, 25, 64)
    blocks *= (torch.rand((24, 1, 25, 1), generator=random) > 0.7).float()
    save_file({**weights, "fc.bias": torch.randn(1024, generator=random)}, "pruned.safetensors")
    return {}


def compared_files() -> Names:
    """Return the two files written by the preceding commands."""
    return {"before": "before.json", "after": "after.json"}


def stored_graph() -> Names:
    """Write `graph.json`, a small graph."""
    from support.toy_graphs import transformer

    Path("graph.json").write_text(transformer(layers=2).to_json(), encoding="utf-8")
    return {}


def changed_repository() -> Names:
    """Make the folder a repository whose last commit has two models, and enlarge one of them."""
    import subprocess

    from support.toy_graphs import blocks, transformer

    def git(*arguments: str) -> None:
        names = ("-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *names, *arguments], check=True)

    Path("chat.json").write_text(transformer(layers=12).to_json(), encoding="utf-8")
    Path("ranking.json").write_text(blocks().to_json(), encoding="utf-8")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "models")
    Path("chat.json").write_text(transformer(layers=16).to_json(), encoding="utf-8")
    return {}


def network() -> Names:
    """Return a perceptron with an input, and an accuracy that is the same for all such networks."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    return {"model": model, "x": torch.randn(32, 784), "accuracy": lambda _: 0.9, "smaller": lambda module: module}


def served_model() -> Names:
    """Return the perceptron, an input, and a function that takes the place of loading weights."""
    names = network()
    return {"model": names["model"], "x": names["x"], "load_weights": lambda _: None}


def application() -> Names:
    """Return a stand-in for an application; the middleware is real."""
    return {"app": mock.MagicMock()}


def resnet50() -> Names:
    """Return ResNet-50, an input, and the channels of its first convolution to keep."""
    import torch
    import torchvision

    return {
        "model": torchvision.models.resnet50(),
        "x": torch.empty(1, 3, 224, 224),
        "is_kept": torch.arange(64) % 2 == 0,
    }


def onnx_files() -> Names:
    """Write a convolutional network and a decoder's attention as ONNX files."""
    from pathlib import Path

    from support.onnx_texts import model_of

    for file, name in (("net.onnx", "convolution"), ("decoder.onnx", "grouped_attention")):
        Path(file).write_bytes(model_of(name).SerializeToString())
    return {}


def language_model() -> Names:
    """Write `config.json` of a small Llama."""
    from transformers import LlamaConfig

    config = LlamaConfig(
        architectures=["LlamaForCausalLM"],
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=1000,
    )
    config.to_json_file("config.json")
    return {}


def quantized_model() -> Names:
    """Write `config.json` of a small Llama that AWQ has quantized."""
    language_model()
    config = json.loads(Path("config.json").read_text(encoding="utf-8"))
    config |= {"dtype": "float16", "num_hidden_layers": 1}
    config["quantization_config"] = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
    Path("config.json").write_text(json.dumps(config), encoding="utf-8")
    return {}


def gguf_model() -> Names:
    """Write `llama-8b-q4_k_m.gguf`, without the data of its weights."""
    from support.gguf_files import q4_k_m_of, write_gguf

    write_gguf(Path("llama-8b-q4_k_m.gguf"), "llama-8b", q4_k_m_of(32))
    return {}


def pruned_network() -> Names:
    """Return the perceptron with nine of ten weights zeroed, and its graph."""
    from pyinfercost.tradeoffs.candidates import magnitude

    names = network()
    model = magnitude(0.9)(names["model"])
    return {"model": model, "graph": ic.capture(model, (names["x"],), dynamic={0: {0: "batch"}})}


def distillation() -> Names:
    """Return a perceptron that was trained for a moment, its data, and its accuracy on other rows."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    x = torch.randn(1536, 64)
    y = (x[:, :10] + 0.5 * x[:, 10:20].abs()).argmax(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for rows in torch.arange(1280).repeat(4).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()

    def accuracy(candidate: Any) -> float:
        with torch.no_grad():
            return float((candidate(x[1280:]).argmax(1) == y[1280:]).double().mean())

    data = {"train_x": x[:1280], "train_y": y[:1280], "test_x": x[1280:]}
    return {"model": model.eval(), "accuracy": accuracy, **data}


def training() -> Names:
    """Return a model, batches, a loss and an optimizer, and write a machine's file, `this.toml`."""
    import torch

    names = network()
    batches = [(torch.randn(32, 784), torch.randint(10, (32,))) for _ in range(12)]
    machine = Path(ic.hardware.describe("l4")["path"])
    Path("this.toml").write_text(machine.read_text(encoding="utf-8"), encoding="utf-8")
    return {
        **names,
        "loader": batches,
        "batch": batches[0][0],
        "labels": batches[0][1],
        "criterion": torch.nn.CrossEntropyLoss(),
        "optimizer": torch.optim.SGD(names["model"].parameters(), lr=0.01),
    }


def frameworks() -> Names:
    """Return stand-ins for parts of the reader's program; the adapters are real."""
    return {name: mock.MagicMock() for name in ("pl", "Trainer", "args", "data", "Accelerator", "engine")}


def live_day() -> Names:
    """Return the history of a scripted day of a language model that becomes slow at 10:30."""
    from support.live_cases import day_history

    return {"history": day_history(11.5, interval_s=60.0)}


def measuring() -> Names:
    """Return stand-ins for measurements, which take minutes, with the names and arguments of the package."""
    calls = {name: mock.create_autospec(getattr(ic, name)) for name in ("calibrate", "measure")}
    measured = [field.name for field in fields(ic.results.Measurement)]
    calls["measure"].return_value = mock.MagicMock(spec_set=[*measured, *dir(ic.results.Measurement)])
    # On a machine without counters, the meter issues a warning and has no figures.
    return {
        "ic": SimpleNamespace(**calls, energy_meter=ic.energy_meter),
        "serve": mock.MagicMock(),
        "requests": [],
    }


def scripted_engine() -> Names:
    """Let http://127.0.0.1:8000 be a vLLM that answers 30 requests between two readings."""
    from pyinfercost.monitor import scraping, sidecar

    from .engine_server import TEXT, VllmProcess

    process = VllmProcess(1_790_000_000.0, model="llama-3.1-8b")
    process.running.set(3)
    process.kv.set(0.21)

    def fetch(url: str, **options: Any) -> Any:
        if url != "http://127.0.0.1:8000/metrics":
            return scraping.fetch(url, **options)
        page = process.page().decode()
        for _ in range(30):
            process.answer(420, 180, ttft_s=0.09, itl_s=0.021)
        return page, TEXT

    sidecar.fetch = fetch  # type: ignore[assignment]
    return {}


def monitored_week() -> Names:
    """Write `week.jsonl`, the log of a week of two monitors on a simulated clock."""
    from .monitored_week import write_week

    write_week(Path("week.jsonl"), interval_s=900.0, ttft_s=0.09, tpot_s=0.0225, hardware="l40s", spec="hf:llama-8b")
    return {}
