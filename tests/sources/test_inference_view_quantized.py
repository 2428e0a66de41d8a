"""Inference views of quantization-aware training: the quantized modules after conversion."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from support.inference_view_checks import IMAGES, compiled, figures, left_alone, trains_on
from torch import nn

import pyinfercost as ic
from pyinfercost.sources.inference_view.view import InferenceView, inference_view

# Torch and torchao say of each other, and of these parts, that they are about to change.
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]


class Network(nn.Module):
    """What is fused: norms and activations behind layers."""

    def __init__(self) -> None:
        super().__init__()
        self.quant, self.dequant = torch.ao.quantization.QuantStub(), torch.ao.quantization.DeQuantStub()
        self.conv, self.bn, self.relu = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        self.conv2, self.bn2, self.conv3, self.relu3 = (
            nn.Conv2d(8, 8, 3),
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 8, 1),
            nn.ReLU(),
        )
        self.fc, self.act, self.out = nn.Linear(8 * 16, 16), nn.ReLU(), nn.Linear(16, 10)
        self.add = torch.ao.nn.quantized.FloatFunctional()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.bn(self.conv(self.quant(x))))
        x = self.relu3(self.conv3(self.bn2(self.conv2(x)))).flatten(1)
        x = self.out(self.act(self.fc(x)))
        return self.dequant(self.add.add(x, x))


FUSED = [["conv", "bn", "relu"], ["conv2", "bn2"], ["conv3", "relu3"], ["fc", "act"]]
LAYERS = ("conv", "conv2", "conv3", "fc", "out")
ROWS = 8 + 8 + 8 + 16 + 10
FLOAT_OPS = ["conv2d", "relu", "conv2d", "conv2d", "relu", "flatten", "linear", "relu", "linear", "add"]


def folded() -> nn.Module:
    """The float network without its norms: they are part of the layers before them."""
    network = Network()
    network.conv = nn.Conv2d(3, 8, 3)
    network.bn = network.bn2 = nn.Identity()
    return network


def eagerly(network: nn.Module) -> nn.Module:
    from torch.ao import quantization

    network.qconfig = quantization.get_default_qat_qconfig("x86")
    return quantization.prepare_qat(quantization.fuse_modules_qat(network.train(), FUSED))


def by_graph(network: nn.Module) -> nn.Module:
    from torch.ao import quantization
    from torch.ao.quantization.quantize_fx import prepare_qat_fx

    mapping = quantization.get_default_qat_qconfig_mapping("x86")
    return prepare_qat_fx(network.train(), mapping, (IMAGES,))


def converted(prepared: nn.Module) -> nn.Module:
    from torch.ao import quantization
    from torch.ao.quantization.quantize_fx import convert_fx

    prepared = copy.deepcopy(prepared)
    prepared(IMAGES + 1)
    prepared.eval()
    return convert_fx(prepared) if isinstance(prepared, torch.fx.GraphModule) else quantization.convert(prepared)


def short(graph: ic.Graph) -> list[str]:
    return [graph.node(i).op.rpartition(".")[2] for i in range(len(graph))]


@pytest.mark.parametrize("prepare", [eagerly, by_graph])
@pytest.mark.parametrize("wrap", [None, nn.DataParallel, compiled])
def test_torch_ao(prepare: Any, wrap: Any) -> None:
    prepared = prepare(Network())
    prepared(IMAGES + 1)
    wrapped = prepared if wrap is None else wrap(prepared)
    expected = figures(ic.capture(folded(), (IMAGES,)))[""]
    for training in (True, False):
        wrapped.train(training)
        with left_alone(wrapped):
            found = inference_view(wrapped)
            graph = ic.capture(found.module, (IMAGES,))
        assert short(graph) == FLOAT_OPS
        assert figures(graph)[""] == expected
    assert dict(found.quantize) == dict.fromkeys(LAYERS, "int8_static")
    assert f"removed for inference: fake quantization of torch.ao ({len(LAYERS)} times)" in found.notes
    names = {f"{layer}.{of}" for layer in LAYERS for of in ("weight", "bias")}
    assert {name for name, _ in found.module.named_parameters()} == names
    assert not dict(found.module.named_buffers())


@pytest.mark.parametrize("prepare", [eagerly, by_graph])
def test_torch_ao_beside_its_conversion(prepare: Any) -> None:
    prepared = prepare(Network())
    found = inference_view(prepared)
    served = ic.count(ic.whatif(ic.capture(found.module, (IMAGES,)), quantize=found.quantize)).total
    really = ic.count(ic.capture(converted(prepared), (IMAGES,))).total
    assert served.parameters == really.parameters
    assert served.contraction_flops == really.contraction_flops
    # Each row has a zero point, which torch keeps as int32 and the format as int8.
    assert served.parameter_bytes + 3 * ROWS == really.parameter_bytes


def test_torch_ao_with_dynamic_activations() -> None:
    from torch.ao import quantization
    from torch.ao.nn.qat import dynamic

    network = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16)).train()
    network.qconfig = quantization.QConfig(
        activation=quantization.default_dynamic_fake_quant, weight=quantization.default_fused_per_channel_wt_fake_quant
    )
    prepared = quantization.prepare_qat(network, mapping={nn.Linear: dynamic.Linear})
    x = torch.zeros(4, 64)
    prepared(x)
    found = inference_view(prepared)
    assert dict(found.quantize) == {"0": "int8_dynamic", "2": "int8_dynamic"}
    served = ic.count(ic.whatif(ic.capture(found.module, (x,)), quantize=found.quantize)).total
    mapping = {dynamic.Linear: torch.ao.nn.quantized.dynamic.Linear}
    really = ic.count(ic.capture(quantization.convert(prepared.eval(), mapping=mapping), (x,))).total
    assert served.contraction_flops == really.contraction_flops
    assert served.parameters == really.parameters
    assert served.parameter_bytes + 3 * (32 + 16) == really.parameter_bytes


def test_observers_of_others_are_passed_through() -> None:
    """Fake quantization that stands alone, as users put it between layers."""
    from torch.ao import quantization

    network = nn.Sequential(nn.Linear(8, 8), quantization.default_fake_quant(), nn.ReLU())
    found = inference_view(network)
    assert isinstance(found.module[1], nn.Identity)
    assert found.module[0] is network[0]
    assert not found.quantize


def test_embeddings_are_noted() -> None:
    from torch.ao import quantization

    network = nn.Sequential(nn.Embedding(10, 8)).train()
    network.qconfig = quantization.default_embedding_qat_qconfig
    prepared = quantization.prepare_qat(network, mapping={nn.Embedding: torch.ao.nn.qat.Embedding})
    assert type(prepared[0]) is torch.ao.nn.qat.Embedding
    found = inference_view(prepared)
    assert type(found.module[0]) is nn.Embedding
    assert not found.quantize
    assert any("an embedding that will be quantized" in note for note in found.notes)


@pytest.mark.parametrize("prepare", [eagerly, by_graph])
def test_training_goes_on(prepare: Any) -> None:
    prepared = prepare(Network())
    trains_on(prepared, copy.deepcopy(prepared), lambda each: each(IMAGES + 1).square().mean())


# ---- torchao ----------------------------------------------------------------------------------------

TOKENS = torch.zeros(4, dtype=torch.int64)
WEIGHTS = 256 * 512 + 512 * 128
FLOAT = 50 * 256 + 512  # the embedding and a bias


def layers(dtype: torch.dtype = torch.float32) -> nn.Module:
    return nn.Sequential(nn.Embedding(50, 256), nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 128, bias=False)).to(
        dtype
    )


def prepared_by_torchao(config: Any, dtype: torch.dtype = torch.float32, **options: Any) -> nn.Module:
    quantization, qat = pytest.importorskip("torchao.quantization"), pytest.importorskip("torchao.quantization.qat")
    model = layers(dtype)
    quantization.quantize_(model, qat.QATConfig(config, step="prepare"), **options)
    return model


def config(name: str, *granularity: Any, **options: Any) -> Any:
    """A config of torchao, for instance `("IntxWeightOnlyConfig", 32)` with groups of 32."""
    quantization = pytest.importorskip("torchao.quantization")
    if granularity:
        each = "granularity" if name == "IntxWeightOnlyConfig" else "weight_granularity"
        group = granularity[0]
        options[each] = quantization.PerGroup(group) if group else quantization.PerAxis(0)
    return getattr(quantization, name)(**options)


def checked(model: nn.Module) -> tuple[InferenceView, Any]:
    for training in (True, False):
        model.train(training)
        with left_alone(model):
            found = inference_view(model)
            graph = ic.capture(found.module, (TOKENS,))
        assert figures(graph) == figures(ic.capture(layers(model[0].weight.dtype), (TOKENS,)))
    assert [type(part) for part in found.module] == [nn.Embedding, nn.Linear, nn.ReLU, nn.Linear]
    return found, ic.count(ic.whatif(graph, quantize=found.quantize)).total


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("name", "form"),
    [("IntxWeightOnlyConfig", "int8_wo"), ("Int8DynamicActivationIntxWeightConfig", "int8_dynamic")],
)
def test_torchao_int8_beside_its_conversion(name: str, form: str, dtype: torch.dtype) -> None:
    given = config(name, None, weight_dtype=torch.int8)
    model = prepared_by_torchao(given, dtype)
    found, served = checked(model)
    assert dict(found.quantize) == {"1": form, "3": form}
    from torchao.quantization import quantize_
    from torchao.quantization.qat import QATConfig

    quantize_(model, QATConfig(given, step="convert"))
    really = ic.count(ic.capture(model, (TOKENS,))).total
    assert served.parameters == really.parameters == FLOAT + WEIGHTS
    assert served.contraction_flops == really.contraction_flops
    # Scales are float32 in the format; this conversion keeps them in the dtype of the weight.
    assert served.parameter_bytes == really.parameter_bytes + (4 - dtype.itemsize) * (512 + 128)


@pytest.mark.parametrize(
    ("given", "form", "note"),
    [
        (("Int4WeightOnlyConfig", {"group_size": 32}), "int4_wo:32", ""),
        (("Int4WeightOnlyConfig", {}), "int4_wo:128", ""),
        (("IntxWeightOnlyConfig", 64, {"weight_dtype": "int4"}), "int4_wo:64", "which torchao stores in a byte each"),
        (("IntxWeightOnlyConfig", 64, {"weight_dtype": "int3"}), "int4_wo:64", "weights of 3 bits"),
        (
            ("Int8DynamicActivationIntxWeightConfig", 32, {"weight_dtype": "int4"}),
            "int4_wo:32",
            "under int8 activations",
        ),
        (("Float8DynamicActivationInt4WeightConfig", {}), "int4_wo:128", "under float8_e4m3fn activations"),
    ],
)
def test_torchao_int4(given: tuple[Any, ...], form: str, note: str) -> None:
    *rest, options = given
    options = {name: getattr(torch, value) if isinstance(value, str) else value for name, value in options.items()}
    found, served = checked(prepared_by_torchao(config(*rest, **options), torch.bfloat16))
    assert dict(found.quantize) == {"1": form, "3": form}
    assert note in " ".join(found.notes)
    group = int(form.partition(":")[2])
    # Half a byte a weight; a scale and a zero point a group, both in bf16, as the rest is.
    assert served.parameter_bytes == FLOAT * 2 + WEIGHTS // 2 + WEIGHTS // group * 4


def test_torchao_int4_with_a_scale_a_row() -> None:
    found, served = checked(prepared_by_torchao(config("IntxWeightOnlyConfig", None, weight_dtype=torch.int4)))
    assert dict(found.quantize) == {"1": "int4_wo:256", "3": "int4_wo:512"}
    assert served.parameter_bytes == FLOAT * 4 + WEIGHTS // 2 + (512 + 128) * 4


def test_torchao_fp8() -> None:
    quantization = pytest.importorskip("torchao.quantization")
    given = config("Float8DynamicActivationFloat8WeightConfig", granularity=quantization.PerRow())
    found, served = checked(prepared_by_torchao(given, torch.bfloat16))
    assert dict(found.quantize) == {"1": "fp8_dynamic", "3": "fp8_dynamic"}
    assert served.parameter_bytes == FLOAT * 2 + WEIGHTS + (512 + 128) * 4


def test_torchao_formats_of_four_bit_floats() -> None:
    formats = pytest.importorskip("torchao.prototype.mx_formats")
    found, _ = checked(prepared_by_torchao(formats.NVFP4DynamicActivationNVFP4WeightConfig(), torch.bfloat16))
    assert dict(found.quantize) == {"1": "nvfp4_dynamic", "3": "nvfp4_dynamic"}
    four = torch.float4_e2m1fn_x2
    given = formats.MXDynamicActivationMXWeightConfig(activation_dtype=four, weight_dtype=four)
    found, _ = checked(prepared_by_torchao(given, torch.bfloat16))
    assert dict(found.quantize) == {"1": "mxfp4_wo:32", "3": "mxfp4_wo:32"}


def test_torchao_embeddings_and_other_ways_to_prepare() -> None:
    qat = pytest.importorskip("torchao.quantization.qat")
    model = qat.Int4WeightOnlyEmbeddingQATQuantizer(group_size=32).prepare(layers())
    model = qat.Int8DynActInt4WeightQATQuantizer(groupsize=64).prepare(model)
    found, _ = checked(model)
    assert dict(found.quantize) == {"1": "int4_wo:64", "3": "int4_wo:64"}
    assert any("an embedding that will be quantized" in note for note in found.notes)
    trains_on(model, copy.deepcopy(model), lambda each: each(TOKENS).square().mean())
