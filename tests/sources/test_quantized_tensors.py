"""Weights made of several tensors, as quantized by torchao: logical elements, actual bytes, correct products."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from support.real_forward import check_against_real_forward, figures
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import pyinfercost as ic

pytestmark = pytest.mark.torch

IN, HIDDEN, OUT, ROWS, GROUP = 256, 64, 32, 4, 32


def network(device: str = "cpu") -> nn.Module:
    with torch.device(device):
        module = nn.Sequential(nn.Linear(IN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, OUT, bias=False))
        return module.to(torch.bfloat16).eval()


def rows() -> torch.Tensor:
    return torch.zeros(ROWS, IN, dtype=torch.bfloat16)


WEIGHTS = IN * HIDDEN + HIDDEN * OUT
MACS = ROWS * WEIGHTS
BIAS_BYTES = 2 * HIDDEN


def weight_bytes(counts: ic.results.Counts) -> Any:
    return counts.total.bytes_by_role["weight_read"]


# ---- torchao ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def torchao() -> Any:
    reason = "needs torchao: pip install 'pyinfercost[models]'"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHAO_FORCE_SKIP_LOADING_SO_FILES", "1")
        pytest.importorskip("torchao", reason=reason)
        return pytest.importorskip("torchao.quantization", reason=reason)


class Scheme(NamedTuple):
    """How weights are quantized.

    Attributes:
        name: for the test.
        config: of torchao's module -> the configuration.
        part_bytes: of a weight [n, k] -> bytes of what it is made of.
        engine: dtype of the products.
    """

    name: str
    config: Callable[[Any], Any]
    part_bytes: Callable[[int, int], int]
    engine: str


SCHEMES = [
    # bytes, a float32 scale and an int8 zero point for each row
    Scheme("int8", lambda q: q.Int8WeightOnlyConfig(version=2), lambda n, k: n * k + 5 * n, "bfloat16"),
    Scheme(
        "int8 both", lambda q: q.Int8DynamicActivationInt8WeightConfig(version=2), lambda n, k: n * k + 5 * n, "int8"
    ),
    Scheme(
        "int8 in groups",
        lambda q: q.Int8WeightOnlyConfig(version=2, granularity=q.PerGroup(GROUP)),
        lambda n, k: n * k + 5 * n * k // GROUP,
        "bfloat16",
    ),
    Scheme("fp8", lambda q: q.Float8WeightOnlyConfig(), lambda n, k: n * k + 4 * n, "bfloat16"),
    # Four bits that this class keeps in a byte each; scales have the dtype of the weight.
    Scheme(
        "int4 in bytes",
        lambda q: q.IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=q.PerGroup(GROUP)),
        lambda n, k: n * k + 3 * n * k // GROUP,
        "bfloat16",
    ),
]


def quantized(torchao: Any, scheme: Scheme, device: str = "cpu") -> nn.Module:
    module = network(device)
    torchao.quantize_(module, scheme.config(torchao))
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_quantized_linear_layers(torchao: Any, scheme: Scheme) -> None:
    counts = check_against_real_forward(quantized(torchao, scheme), rows())
    plain = ic.count(ic.capture(network(), (rows(),))).total
    assert counts.total.macs == plain.macs == MACS
    assert counts.total.parameters == plain.parameters == WEIGHTS + HIDDEN
    expected = scheme.part_bytes(HIDDEN, IN) + scheme.part_bytes(OUT, HIDDEN)
    assert counts.total.parameter_bytes == expected + BIAS_BYTES
    assert {row.work.dtype for row in counts.layers if row.work.contraction_flops} == {scheme.engine}
    # Products belong to their layers, and so do what weights are made of.
    assert counts.by_module()["0"].macs == ROWS * IN * HIDDEN
    assert counts.by_module()["0"].parameter_bytes == scheme.part_bytes(HIDDEN, IN) + BIAS_BYTES
    assert set(counts.by_module()) == {"", "0", "1", "2"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.name)
def test_modules_on_meta_count_the_same(torchao: Any, scheme: Scheme) -> None:
    real = ic.count(ic.capture(quantized(torchao, scheme), (rows(),)))
    meta = ic.count(ic.capture(quantized(torchao, scheme, "meta"), (rows().to("meta"),)))
    assert figures(meta.total) == figures(real.total)


@pytest.mark.filterwarnings("ignore")
def test_a_quantized_module_is_left_as_it_was(torchao: Any) -> None:
    module = quantized(torchao, SCHEMES[0])
    weight = module[0].weight
    parts = {name: getattr(weight, name) for name in weight.__tensor_flatten__()[0]}
    values = {name: part.clone() for name, part in parts.items()}
    before = module(rows())
    ic.capture(module, (rows(),))
    assert module[0].weight is weight
    for name, part in parts.items():
        assert getattr(weight, name) is part
        assert torch.equal(part, values[name])
    assert torch.equal(module(rows()), before)


@pytest.mark.filterwarnings("ignore")
def test_tied_quantized_weights_count_once(torchao: Any) -> None:
    module = nn.Sequential(nn.Linear(64, 64, bias=False)).to(torch.bfloat16).eval()
    torchao.quantize_(module, torchao.Int8WeightOnlyConfig(version=2))
    x = torch.zeros(4, 64, dtype=torch.bfloat16)
    once = ic.count(ic.capture(module, (x,)))
    module.append(nn.Linear(64, 64, bias=False))
    module[1].weight = module[0].weight
    twice = ic.count(ic.capture(module, (x,)))
    assert twice.total.parameter_bytes == once.total.parameter_bytes
    assert twice.total.parameters == once.total.parameters == 64 * 64
    assert weight_bytes(twice) == 2 * weight_bytes(once)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scheme", SCHEMES[:2], ids=lambda s: s.name)
def test_exported_programs_are_taken_apart_too(torchao: Any, scheme: Scheme, tmp_path: Any) -> None:
    module = quantized(torchao, scheme)
    program = torch.export.export(module, (rows(),))
    torch.export.save(program, tmp_path / "quantized.pt2")
    traced, exported = (ic.count(ic.capture(*of)) for of in ((module, (rows(),)), (program,)))
    archived = ic.count(ic.capture(tmp_path / "quantized.pt2"))
    for counts in (exported, archived):
        assert counts.unmodelled == {}
        assert counts.total.contraction_flops == traced.total.contraction_flops
        assert counts.total.parameters == traced.total.parameters
    assert exported.total.parameter_bytes == traced.total.parameter_bytes
    # What a program never takes from a weight is in a pickle of the file, which is not opened: the zero points.
    unread = HIDDEN + OUT
    assert archived.total.parameter_bytes == exported.total.parameter_bytes - unread


def float8_layer(granularity: Any) -> nn.Module:
    """A layer that quantizes its input to fp8; torchao makes one on a GPU only."""
    from torchao.float8.inference import Float8MMConfig
    from torchao.quantization.quantize_.workflows.float8.float8_tensor import (
        Float8Tensor,
        QuantizeTensorToFloat8Kwargs,
    )

    layer = network()[0]
    layer.weight = nn.Parameter(
        Float8Tensor.from_hp(
            layer.weight.detach(),
            granularity=granularity,
            mm_config=Float8MMConfig(use_fast_accum=True),
            act_quant_kwargs=QuantizeTensorToFloat8Kwargs(granularity=granularity),
        ),
        requires_grad=False,
    )
    return layer


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("per_row", [True, False])
def test_fp8_products(torchao: Any, per_row: bool) -> None:
    layer = float8_layer(torchao.PerRow() if per_row else torchao.PerTensor())
    counts = ic.count(ic.capture(layer, (rows(),)))
    (product,) = [row for row in counts.layers if row.work.contraction_flops]
    assert (product.op, product.work.dtype) == ("aten._scaled_mm", "float8_e4m3fn")
    assert counts.total.macs == ROWS * IN * HIDDEN
    assert counts.total.parameters == IN * HIDDEN + HIDDEN
    assert counts.total.parameter_bytes == IN * HIDDEN + 4 * (HIDDEN if per_row else 1) + BIAS_BYTES
    assert counts.unmodelled == {}


@pytest.mark.filterwarnings("ignore")
def test_int4_weights_are_half_a_byte_per_element(torchao: Any) -> None:
    """Tiles of 8 rows with columns padded to 1024, as tensor cores take them; torchao packs them on a GPU only."""
    from torchao.quantization import Int4TilePackedTo4dTensor

    columns = 1024
    layer = network("meta")[0]
    tiles = torch.empty(HIDDEN // 8, columns // (8 * 16), 32, 4, dtype=torch.int32, device="meta")
    scales = torch.empty(columns // GROUP, HIDDEN, 2, dtype=torch.bfloat16, device="meta")
    weight = Int4TilePackedTo4dTensor(tiles, scales, [1, GROUP], torch.Size([HIDDEN, IN]))
    layer.weight = nn.Parameter(weight, requires_grad=False)
    counts = ic.count(ic.capture(layer, (rows(),)))
    assert counts.total.parameters == IN * HIDDEN + HIDDEN
    assert counts.total.parameter_bytes == columns * HIDDEN // 2 + 2 * 2 * HIDDEN * columns // GROUP + BIAS_BYTES
    assert counts.total.macs == ROWS * columns * HIDDEN  # the padding is multiplied too
    assert weight_bytes(counts) == counts.total.parameter_bytes
    assert counts.unmodelled == {}


@pytest.mark.filterwarnings("ignore")
def test_rows_that_a_gpu_cannot_take_fall_back_as_torchao_does(torchao: Any) -> None:
    """Ten results are no multiple of eight: torchao multiplies in int32, through the CPU."""
    layer = nn.Sequential(nn.Linear(64, 10)).to(torch.bfloat16).eval()
    torchao.quantize_(layer, torchao.Int8DynamicActivationInt8WeightConfig(version=2))
    counts = ic.count(ic.capture(layer, (torch.zeros(4, 64, dtype=torch.bfloat16),)))
    assert counts.total.macs == 4 * 64 * 10
    assert counts.unmodelled == {}


def test_a_tensor_may_be_moved_to_the_cpu() -> None:
    class Moved(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.cpu() + x.to("cpu", torch.float64)

    check_against_real_forward(Moved(), torch.zeros(3))


# ---- parametrised weights --------------------------------------------------------------------------------------------


class Symmetric(nn.Module):
    """A weight that is computed from its upper triangle."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.triu() + weight.triu(1).transpose(-1, -2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: parametrizations.weight_norm(nn.Linear(8, 8)),
        lambda: parametrizations.spectral_norm(nn.Linear(8, 8)),
        lambda: parametrizations.orthogonal(nn.Linear(8, 8)),
    ],
    ids=["weight norm", "spectral norm", "orthogonal"],
)
def test_parametrised_weights_are_what_lies_in_memory(make: Callable[[], nn.Module]) -> None:
    module = make()
    counts = check_against_real_forward(module, torch.randn(2, 8))
    assert counts.total.parameters == sum(p.numel() for p in module.parameters())
    assert counts.total.parameter_bytes == 4 * counts.total.parameters
    assert counts.total.macs >= 2 * 8 * 8


def test_a_parametrisation_of_ones_own_is_part_of_the_forward() -> None:
    layer = nn.Linear(8, 8, bias=False)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    counts = check_against_real_forward(layer, torch.randn(2, 8))
    assert counts.total.parameters == 64
    assert counts.total.macs == 2 * 8 * 8
    assert [row.op for row in counts.layers][-1] == "aten.linear"
    assert "aten.triu" in counts.by_op()


# ---- any tensor that is made of others -------------------------------------------------------------------------------


class Halves(torch.Tensor):
    """A matrix kept as two: nothing but `__tensor_flatten__` says so. It knows `mm`, and no composite operator."""

    @staticmethod
    def __new__(cls, top: torch.Tensor, bottom: torch.Tensor) -> Any:
        shape = (top.shape[0] + bottom.shape[0], top.shape[1])
        return torch.Tensor._make_wrapper_subclass(cls, shape, dtype=top.dtype, device=top.device)

    def __init__(self, top: torch.Tensor, bottom: torch.Tensor) -> None:
        self.top, self.bottom = top, bottom

    def __tensor_flatten__(self) -> Any:
        return ["top", "bottom"], None

    @classmethod
    def __tensor_unflatten__(cls, inner: Any, context: Any, shape: Any, strides: Any) -> Any:
        return cls(inner["top"], inner["bottom"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.detach.default:
            return cls(args[0].top.detach(), args[0].bottom.detach())
        if func is torch.ops.aten.mm.default:
            split = args[1].top.shape[0]
            return args[0][:, :split] @ args[1].top + args[0][:, split:] @ args[1].bottom
        raise NotImplementedError(str(func))


class Product(nn.Module):
    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.matmul(x, self.weight)


def test_what_a_subclass_does_not_know_whole_is_taken_apart() -> None:
    module = Product(Halves(torch.randn(3, 4), torch.randn(5, 4)))
    graph = ic.capture(module, (torch.randn(2, 8),))
    counts = ic.count(graph)
    assert counts.total.macs == 2 * 8 * 4
    assert counts.total.parameters == 8 * 4
    assert counts.total.parameter_bytes == 4 * 8 * 4
    stored = [graph.tensor(i) for i in range(graph.tensor_count) if graph.tensor(i).role == "parameter"]
    # The larger half stands for all elements.
    assert [(t.name, t.logical_numel) for t in stored] == [("weight[top]", 0), ("weight[bottom]", 32)]


def test_a_subclass_that_cannot_do_what_is_asked_says_so() -> None:
    module = copy.deepcopy(Product(torch.randn(8, 4)))
    module.weight = nn.Parameter(Halves(torch.randn(3, 4), torch.randn(5, 4)), requires_grad=False)
    module.forward = lambda x: torch.exp(module.weight)
    with pytest.raises(ValueError, match=r"aten\.exp\.default is implemented by none of the tensor types Halves"):
        ic.capture(module, (torch.randn(2, 8),))
