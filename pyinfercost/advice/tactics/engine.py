"""Engines: compilers of whole models, and serving engines for language models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...deployment.engines import TORCH
from ..facts import generates
from ..tactic import Option, Options, Refusal, Tactic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..._core import Graph
    from ...deployment import Deployment
    from ..case import Case
    from ..setups import Setup

TITLES: Mapping[str, str] = {
    "tensorrt": "TensorRT",
    "onnxruntime": "ONNX Runtime",
    "vllm": "vLLM",
    "sglang": "SGLang",
    "trtllm": "TensorRT-LLM",
    "llamacpp": "llama.cpp",
}
_SERVING = ("vllm", "sglang", "trtllm", "llamacpp")
COMPILERS = ("tensorrt", "onnxruntime")
"""Compilers of whole models, which run on one device."""

_VENDORS = {
    "tensorrt": ("nvidia",),
    "trtllm": ("nvidia",),
    "vllm": ("nvidia", "amd"),
    "sglang": ("nvidia", "amd"),
    "onnxruntime": ("nvidia", "x86", "arm"),
    "llamacpp": ("nvidia", "amd", "x86", "arm", "apple"),
}
"""Engine -> beginnings of the families of machines that it is modelled on."""

_TOO_OLD = {
    "tensorrt": ("nvidia-pascal", "nvidia-volta"),
    "trtllm": ("nvidia-pascal", "nvidia-volta", "nvidia-turing"),
    "vllm": ("nvidia-pascal",),
    "sglang": ("nvidia-pascal", "nvidia-volta"),
}
"""Engine -> families that its current versions have dropped: TensorRT 10 requires Turing, TensorRT-LLM Ampere, vLLM
Volta, SGLang Turing."""

_APPLY = {
    "tensorrt": "torch.onnx.export(model, inputs, 'model.onnx', dynamo=True)  # then: trtexec --onnx=model.onnx",
    "onnxruntime": "torch.onnx.export(model, inputs, 'model.onnx', dynamo=True)\n"
    "session = onnxruntime.InferenceSession('model.onnx')",
    "vllm": "vllm serve MODEL",
    "sglang": "python -m sglang.launch_server --model-path MODEL",
    "trtllm": "trtllm-serve MODEL",
    "llamacpp": "python convert_hf_to_gguf.py MODEL && llama-server -m MODEL.gguf",
}


_APPLY_IN_8_BITS = {
    "tensorrt": "quantize with calibration data, then:\n" + _APPLY["tensorrt"],
    "onnxruntime": "torch.onnx.export(model, inputs, 'model.onnx', dynamo=True)\n"
    "quantize_static('model.onnx', 'int8.onnx', reader, activation_type=QuantType.QUInt8)  # reader yields inputs\n"
    "session = onnxruntime.InferenceSession('int8.onnx')",
}
"""Engine -> lines that quantize with scales from data. ONNX Runtime has kernels for unsigned activations alone on x86,
and converts signed ones only in part."""


def why_not_on(engine: str, on: Deployment) -> str:
    """Return why an engine is not offered for a deployment; empty if it is."""
    machine = on.machine
    if engine in COMPILERS and on.layout is not None:
        return f"{TITLES[engine]} runs a model on one device, and this one lies on {on.devices}"
    if not machine.family.startswith(_VENDORS[engine]):
        return f"{TITLES[engine]} is not modelled on {machine.id}"
    if machine.family in _TOO_OLD.get(engine, ()):
        return f"current versions of {TITLES[engine]} do not support {machine.id}"
    return ""


def why_not_exported(graph: Graph) -> str:
    """Return why a model is not worth an export to ONNX; empty if it is."""
    if any(node.op.startswith("aten.") and "embedding_bag" in node.op for node in graph.nodes):
        return "ONNX has no bags of embeddings, which become loops over their rows"
    return ""


def _without_autocast(precision: str) -> dict[str, str]:
    """Return the change of a precision that only torch has."""
    return {"precision": precision.removeprefix("amp_")} if precision.startswith("amp_") else {}


class Engine(Tactic):
    """Another engine than torch."""

    name = "engine"
    title = "another engine"
    risk = "rounding"
    effort = "build"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer serving engines for phases of language models, and compilers for other models."""
        on = setup.placed
        known = _SERVING if generates(case.graphs.open(setup.variant)) else COMPILERS
        found, refused = [], []
        graph = case.graphs.open(setup.variant)
        for engine in known:
            if engine == on.engine:
                continue
            if engine in COMPILERS and (why := why_not_exported(graph)):
                refused.append(Refusal(text=TITLES[engine], why=why))
                continue
            if why := why_not_on(engine, on):
                refused.append(Refusal(text=TITLES[engine], why=why))
                continue
            found.append(
                Option(
                    text=TITLES[engine],
                    phrase=f"in {TITLES[engine]}",
                    change={"engine": engine, "execution": "", **_without_autocast(on.precision)},
                    apply=_APPLY[engine],
                )
            )
        return Options(found, refused)


class EightBitEngine(Tactic):
    """A compiled model whose products have operands of 8 bits, with scales that are known before."""

    name = "eight_bit_engine"
    title = "an engine in 8 bits"
    group = "precision"
    risk = "small"
    effort = "build"

    def options(self, setup: Setup, case: Case) -> Options:
        """Offer int8, and fp8 where the machine has it, in compilers of whole models."""
        on, machine = setup.placed, setup.placed.machine
        if generates(case.graphs.open(setup.variant)):
            why = "language models have 8-bit weights or dynamic formats in their engines instead"
            return Options((), [Refusal(text="int8", why=why)])
        found, refused = [], []
        for engine in COMPILERS:
            for precision, dtype in (("int8", "int8"), ("fp8", "float8_e4m3fn")):
                title = f"{TITLES[engine]} in {precision}"
                if (engine == "onnxruntime" and precision == "fp8") or (engine, precision) == (on.engine, on.precision):
                    continue
                if why := why_not_exported(case.graphs.open(setup.variant)) or why_not_on(engine, on):
                    refused.append(Refusal(text=title, why=why))
                    continue
                if dtype not in machine.matrix_flop_per_s and dtype not in machine.vector_flop_per_s:
                    refused.append(Refusal(text=title, why=f"{machine.id} has no engine for {precision}"))
                    continue
                change = {"engine": engine, "execution": "", "precision": precision}
                if on.engine == engine:
                    change = {"precision": precision}
                published = "int8_static" if precision == "int8" else "fp8_static"
                found.append(
                    Option(
                        text=title,
                        phrase=f"in {precision} with {TITLES[engine]}",
                        change=change,
                        published=published,
                        apply=_APPLY_IN_8_BITS[engine],
                        note="needs data to calibrate scales",
                    )
                )
        return Options(found, refused)


def in_torch(setup: Setup) -> bool:
    """Return whether torch runs a setup."""
    return setup.on.engine == TORCH
