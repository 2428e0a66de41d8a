"""A setup of an advice, applied to a real module: its precision, execution, engine, formats, width and batch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch._inductor.config
from torch import nn

import pyinfercost as ic
from pyinfercost.measuring.real_models import forward_of, real_model
from pyinfercost.sources.loaded_model import LoadedModel
from pyinfercost.training.channel_removal import shrink
from pyinfercost.transform.channels import channel_groups
from pyinfercost.transform.variants import kept_widths, split_kernels
from pyinfercost.transform.whatif import parse_formats

_PRODUCTS = ["Conv", "Gemm", "MatMul"]
_CALIBRATION = 4
"""Batches of random inputs from which ONNX Runtime takes static scales."""


class Applied(NamedTuple):
    """A forward that runs as a setup says.

    Attributes:
        forward: Runs it once.
        items: Items of its batch.
        note: What was done, where that is not plain: the number of layers in a format.
    """

    forward: Callable[[], object]
    items: int
    note: str = ""


def apply(spec: str, sizes: Mapping[str, int], settings: Mapping[str, Any], threads: int) -> Applied:
    """Build a model and change it as a setup says.

    Args:
        spec: The given model.
        sizes: Its sizes.
        settings: What differs from the given setup, as in `AdvisedSetup.settings`.
        threads: Number of threads of ONNX Runtime; those of torch are set already.

    Raises:
        Exception: The change cannot be made; the type is that of the library that refuses.
    """
    torch.manual_seed(0)
    given = {**sizes, **{name: value for name, value in settings.items() if name in sizes}}
    loaded = real_model(settings.get("model") or spec, given)
    notes = []
    if (share := settings.get("width", 1.0)) != 1:
        narrow(loaded, share)
        notes.append(f"{sum(p.numel() for p in loaded.module.parameters()) / 1e6:.1f} million weights left")
    precision = settings.get("precision") or "native"
    engine = settings.get("engine") or "torch"
    if engine == "onnxruntime":
        forward = _in_onnxruntime(loaded, precision, threads)
        return Applied(forward, given.get("batch", 1), "; ".join(notes))
    if precision in ("bf16", "fp16"):
        loaded = _cast(loaded, getattr(torch, {"bf16": "bfloat16", "fp16": "float16"}[precision]))
    if formats := settings.get("quantize"):
        notes.append(_quantize(loaded.module, formats))
    if settings.get("execution") == "compiled":  # as the advice says on a CPU
        torch._inductor.config.freezing = True
    forward = forward_of(loaded, execution=settings.get("execution") or "eager")
    if precision.startswith("amp_"):
        forward = _with_autocast(forward, precision)
    return Applied(forward, given.get("batch", 1), "; ".join(notes))


def narrow(loaded: LoadedModel, share: float) -> None:
    """Take channels out of a module, in place, as many as the predicted graph keeps.

    Raises:
        RuntimeError: The narrower module does not compute what was predicted.
    """
    graph = ic.capture(loaded.module, loaded.inputs)
    groups = channel_groups(graph)
    kept = kept_widths(groups, share)
    shrink(loaded.module, groups, {name: range(width) for name, width in kept.items()})
    for module in loaded.module.modules():  # blocks of diffusers check the width of their input
        conv = getattr(module, "conv", None)
        if isinstance(getattr(module, "channels", None), int) and isinstance(conv, nn.Conv2d):
            module.channels = conv.in_channels  # type: ignore[assignment]
    wanted = ic.count(groups.at(**kept)).total.contraction_flops
    found = ic.count(ic.capture(loaded.module, loaded.inputs)).total.contraction_flops
    if found != wanted:
        raise RuntimeError(f"the narrower module has {found} FLOPs; predicted were {wanted}")


def _cast(loaded: LoadedModel, dtype: torch.dtype) -> LoadedModel:
    args, kwargs = torch.utils._pytree.tree_map_only(
        torch.Tensor, lambda t: t.to(dtype) if t.is_floating_point() else t, (loaded.args, loaded.kwargs)
    )
    return loaded._replace(module=loaded.module.to(dtype), args=args, kwargs=kwargs)


def _with_autocast(forward: Callable[[], object], precision: str) -> Callable[[], object]:
    dtype = {"amp_bf16": torch.bfloat16, "amp_fp16": torch.float16}[precision]

    def inside() -> object:
        with torch.autocast("cpu", dtype=dtype):
            return forward()

    return inside


def _quantize(module: nn.Module, formats: str) -> str:
    """Apply torchao's formats to linear layers, by the patterns of `--quantize`."""
    from torchao import quantization

    configs = {
        "int8_wo": quantization.Int8WeightOnlyConfig,
        "int8_dynamic": quantization.Int8DynamicActivationInt8WeightConfig,
        "fp8_wo": quantization.Float8WeightOnlyConfig,
    }
    parsed = parse_formats(split_kernels(formats)[1])
    patterns = parsed if isinstance(parsed, dict) else {"*": parsed}
    wanted: dict[str, list[str]] = {}
    for path, part in module.named_modules():
        form = next((form for pattern, form in patterns.items() if fnmatchcase(path, pattern)), None)
        if form and isinstance(part, nn.Linear):
            wanted.setdefault(form, []).append(path)
    if not wanted:
        raise RuntimeError(f"no linear layer matches {formats!r}")
    for form, paths in wanted.items():
        chosen = set(paths)
        quantization.quantize_(module, configs[form](), filter_fn=lambda _, path, chosen=chosen: path in chosen)
    return ", ".join(f"{len(paths)} layers in {form}" for form, paths in wanted.items())


def _in_onnxruntime(loaded: LoadedModel, precision: str, threads: int) -> Callable[[], object]:
    """Export a module and run it in a session, with static scales of 8 bits if the precision is int8."""
    import onnxruntime

    if precision not in ("native", "fp32", "int8"):
        raise RuntimeError(f"no way to run ONNX Runtime in {precision} on a CPU")
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "model.onnx"
    with torch.no_grad():
        torch.onnx.export(loaded.module, loaded.args, str(path), kwargs=dict(loaded.kwargs), dynamo=True, verbose=False,
                          external_data=False)  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    named = [node.name for node in onnxruntime.InferenceSession(str(path), options).get_inputs()]
    tensors = [t for t in torch.utils._pytree.tree_leaves((loaded.args, loaded.kwargs)) if isinstance(t, torch.Tensor)]
    feeds = {name: tensor.detach().numpy() for name, tensor in zip(named, tensors, strict=True)}
    if precision == "int8":
        path = _with_static_scales(path, feeds)
    session = onnxruntime.InferenceSession(str(path), options)

    def forward() -> object:
        return session.run(None, feeds)

    forward.folder = folder  # type: ignore[attr-defined]  # kept, with the external weights in it
    return forward


def _with_static_scales(path: Path, feeds: Mapping[str, Any]) -> Path:
    import numpy as np
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    generator = np.random.default_rng(0)

    def drawn() -> dict[str, Any]:
        return {
            name: generator.standard_normal(value.shape).astype(value.dtype) if value.dtype.kind == "f" else value
            for name, value in feeds.items()
        }

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [drawn() for _ in range(_CALIBRATION)]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    prepared, narrow_path = path.with_name("prepared.onnx"), path.with_name("int8.onnx")
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    unsigned = quantization.QuantType.QUInt8
    try:
        quantization.quantize_static(str(prepared), str(narrow_path), Reader(), activation_type=unsigned)
    except ValueError:  # a graph with an operator whose scales the library cannot share
        quantization.quantize_static(
            str(prepared), str(narrow_path), Reader(), activation_type=unsigned, op_types_to_quantize=_PRODUCTS
        )
    return narrow_path
