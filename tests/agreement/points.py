"""Random points: a model on a machine with an engine, a layout, a precision, sizes and a price."""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from support.interface_cases import LAYOUTS, MODELS, graphs

import pyinfercost as ic
from pyinfercost.deployment.prices import offers
from pyinfercost.hardware import describe, names

LANGUAGE = ("llama", "moe")
PRECISIONS = ("native", "fp32", "tf32", "bf16", "fp16", "amp_bf16", "fp8", "int8")
TERMS = ("on-demand", "spot")
MACHINES = tuple(name for name in names() if not describe(name)["missing"])


class Point(NamedTuple):
    """A question.

    Attributes:
        model: Name of the model in `support.interface_cases.graphs()`.
        on: Fields of the deployment.
        sizes: Values of the named sizes.
    """

    model: str
    on: dict[str, Any]
    sizes: dict[str, int]

    @property
    def graph(self) -> ic.Graph:
        """The graph of the model."""
        return graphs()[self.model]

    @property
    def deployment(self) -> ic.Deployment:
        """The deployment."""
        return ic.Deployment(**self.on)


def point_of(seed: int) -> Point:
    """Return the point of a seed; a package may refuse it, such as a precision that the machine lacks."""
    rng = random.Random(seed)
    model = rng.choice(MODELS)
    language = model in LANGUAGE
    on: dict[str, Any] = {
        "hardware": rng.choice(MACHINES),
        "precision": rng.choice(PRECISIONS),
        "engine": rng.choice(["torch", "vllm", "sglang", "trtllm", "llamacpp"] if language else ["torch", "tensorrt"]),
        "utilization": rng.choice([1.0, 0.37]),
        "sustained": rng.choice([True, False]),
    }
    if on["engine"] == "torch":
        on["execution"] = rng.choice(["eager", "compiled", "cuda_graph", "reduce-overhead"])
    if language and rng.random() < 0.5:
        on["layout"] = rng.choice(LAYOUTS)
    elif rng.random() < 0.3:
        on["devices"] = rng.choice([1, 2, 3, 8])
    on["price"] = rng.choice([0.37, 2.5, *(TERMS if offers(device=on["hardware"]) else ())])
    sizes = {"batch": rng.choice([1, 2, rng.randrange(3, 60)])}
    if language:
        sizes["context"] = rng.choice([1, rng.randrange(2, 4000)])
    return Point(model, on, sizes)
