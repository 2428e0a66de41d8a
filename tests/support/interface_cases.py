"""Five models and 200 settings, as requests to a session of the core."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from support.diffusion_configs import UNET
from support.language_configs import LLAMA, SMALL

import pyinfercost as ic
from pyinfercost.sources.captured import graph_over

MIXTRAL = SMALL | {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
}
MODELS = ("cnn", "vit", "llama", "moe", "unet")
MACHINES = ("h100-sxm-80gb", "a100-sxm-80gb", "t4", "mi300x", "epyc-9654", "tpu-v5e")
LAYOUTS = ("tensor=1", "tensor=2", "tensor=2,data=2", "pipeline=2", "tensor=2,pipeline=2", "pipeline=2,data=4")
SEED = 20_261


class Setting(NamedTuple):
    """One point: a model on a machine.

    Attributes:
        model: One of `MODELS`.
        machine: Id of the machine.
        way: Precision, engine, execution and layout, by the names of `estimate`.
        sizes: Values of the named sizes.
    """

    model: str
    machine: str
    way: dict[str, Any]
    sizes: dict[str, int]


@lru_cache(1)
def graphs() -> dict[str, ic.Graph]:
    """Return the graphs by the name of their model."""
    torchvision = __import__("torchvision")
    images = torch.zeros(2, 3, 64, 64, device="meta")
    with torch.device("meta"):
        cnn = torchvision.models.resnet18()
        vit = torchvision.models.VisionTransformer(64, 16, 2, 4, 64, 128)
    with TemporaryDirectory() as folder:

        def spec(config: dict[str, Any], name: str) -> str:
            path = Path(folder, name)
            path.mkdir()
            (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
            return f"{'diffusers' if '_class_name' in config else 'hf'}:{path}"

        at = {"batch": [2, 3], "context": [40, 80]}
        found = (
            ic.capture(cnn, images, dynamic={0: {0: "batch"}}),
            ic.capture(vit, images, dynamic={0: {0: "batch"}}),
            graph_over(f"{spec(LLAMA, 'llama')}#decode", at).graph,
            graph_over(f"{spec(MIXTRAL, 'moe')}#decode", at).graph,
            graph_over(spec(UNET, "unet"), {"batch": [2, 3]}).graph,
        )
    return dict(zip(MODELS, found, strict=True))


def settings(count: int = 200) -> Iterator[Setting]:
    """Return settings, those of the five models in turn; nothing is captured for them."""
    rng = random.Random(SEED)
    for number in range(count):
        model = MODELS[number % len(MODELS)]
        language = model in ("llama", "moe")
        sizes = {"batch": rng.choice([1, 2, rng.randrange(3, 60)])}
        if language:
            sizes["context"] = rng.choice([1, rng.randrange(2, 4000)])
        way: dict[str, Any] = {"precision": rng.choice(["native", "fp32", "bf16", "fp16", "int8"])}
        engine = rng.choice(["torch", "torch", "vllm", "sglang", "trtllm"]) if language else "torch"
        if engine == "torch":
            way["execution"] = rng.choice(["eager", "compiled", "cuda_graph", "reduce-overhead"])
            machine = rng.choice(MACHINES)
        else:
            way |= {"engine": engine, "execution": rng.choice(["cuda_graph", "eager"])}
            machine = rng.choice(MACHINES[:2])
            way["layout"] = rng.choice(LAYOUTS)
        if machine == "tpu-v5e":
            way["execution"] = "compiled"
        yield Setting(model, machine, way, sizes)


class Served(NamedTuple):
    """A model under load: its two graphs on a machine.

    Attributes:
        model: Name of the model in `served_graphs()`.
        machine: Id of the machine.
        way: Precision, engine, layout and settings of steps, by the names of `Deployment`.
    """

    model: str
    machine: str
    way: dict[str, Any]


SERVED = (
    Served("llama", "h100-sxm-80gb", {"engine": "vllm", "precision": "bf16"}),
    Served("llama", "a100-sxm-80gb", {"engine": "sglang", "layout": "tensor=2,data=2"}),
    Served("llama", "t4", {"engine": "trtllm", "precision": "fp16", "serving": "draft_tokens=2,acceptance=0.6"}),
    Served("llama", "xeon-8480+", {"engine": "vllm"}),
    Served("llama", "h100-sxm-80gb", {"engine": "vllm", "layout": "tensor=2,pipeline=2"}),
    Served("moe", "h100-sxm-80gb", {"engine": "vllm", "layout": "tensor=2", "serving": "async_scheduling"}),
)
"""Deployments of each engine: with copies, drafts, experts, and a memory that is unknown."""
LIMITS = {"context": 512, "most_sequences": 48, "most_tokens": 1024, "most_context": 2048}


@lru_cache(1)
def served_graphs() -> dict[str, tuple[ic.Graph, ic.Graph]]:
    """Return the graphs of decode and prefill by the name of their model."""
    found = {}
    with TemporaryDirectory() as folder:
        for name, config in (("llama", LLAMA), ("moe", MIXTRAL)):
            path = Path(folder, name)
            path.mkdir()
            (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
            found[name] = (
                graph_over(f"hf:{path}#decode", {"batch": [2, 3], "context": [40, 80]}).graph,
                graph_over(f"hf:{path}#prefill", {"batch": [1, 2], "sequence": [40, 80]}).graph,
            )
    return found


class Requests:
    """Requests to a session, which has one graph, machine and deployment of each kind."""

    def __init__(self) -> None:
        self.lines: list[tuple[dict[str, Any], str]] = []
        self._handles: dict[str, int] = {}
        self._taken = 0

    def ask(self, name: str, fields: dict[str, Any], document: str = "") -> int:
        """Add a request, and return its number."""
        self.lines.append(({name: fields}, document))
        return len(self.lines) - 1

    def taken(self, handles: int) -> None:
        """Count handles that requests of the caller have made."""
        self._taken += handles

    def _made(self, key: str, name: str, fields: dict[str, Any], document: str = "") -> int:
        if key not in self._handles:
            self.ask(name, fields, document)
            self._handles[key] = len(self._handles) + self._taken + 1
        return self._handles[key]

    def machine(self, machine: ic.Hardware) -> int:
        """Return the handle of a machine."""
        return self._made(f"machine {machine.id}", "load", {"kind": "machine"}, machine.to_json())

    def deployment(self, name: str, graph: ic.Graph, on: ic.Deployment) -> int:
        """Return the handle of a deployment of a graph."""
        loaded = self._made(f"graph {name}", "load", {"kind": "graph"}, graph.to_json())
        fields = {
            "graph": loaded,
            "precision": on.precision,
            "engine": on.engine,
            "execution": on.execution,
            "layout": on.rank_layout.for_core(),
            "step": on.settings.for_plans(),
        }
        return self._made(json.dumps(fields), "deploy", fields)

    def estimate(self, setting: Setting, *, nodes: bool = False) -> int:
        """Add the request of an estimate, and return its number."""
        on = deployment_of(setting)
        fields = {
            "deployment": self.deployment(setting.model, graphs()[setting.model], on),
            "machine": self.machine(on.machine),
            "sizes": setting.sizes,
            **dict.fromkeys(("kernels", "modules", "nodes"), nodes),
        }
        return self.ask("estimate", fields)

    def tabulated(self, served: Served, **more: Any) -> int:
        """Add the request of the tables of a model under load, and return its number."""
        on = ic.Deployment(hardware=served.machine, **served.way)
        graphs_ = zip(("decode", "prefill"), served_graphs()[served.model], strict=True)
        phases = {name: self.deployment(f"{served.model} {name}", graph, on) for name, graph in graphs_}
        fields = {"machine": self.machine(on.machine), "limits": LIMITS, "acceptance": on.settings.acceptance}
        return self.ask("tabulate", {**phases, **fields, **more})


def deployment_of(setting: Setting) -> ic.Deployment:
    """Return the deployment of a setting."""
    return ic.Deployment(hardware=setting.machine, **setting.way)


def ask(session: Any, name: str, fields: dict[str, Any], document: str = "") -> Any:
    """Return what a session answers.

    Raises:
        AssertionError: It answers with an error.
    """
    found = json.loads(session.answer(json.dumps({name: fields}), document))
    assert "answer" in found, found
    return found["answer"]
