"""Sparsity of torch tensors: each storage form compared with the equivalent dense tensor."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from support.examples import examples
from support.left_alone import Snapshot
from support.sparsity_reference import reference, structured, without_order
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import pyinfercost as ic
from pyinfercost.results.sparsity import Figures, WeightSparsity
from pyinfercost.scan import SparsityError, arrays

pytestmark = pytest.mark.torch

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)
FNUZ = (torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)
INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)
LAYOUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "coo": lambda dense: dense.to_sparse(),
    "csr": lambda dense: dense.to_sparse_csr(),
    "csc": lambda dense: dense.to_sparse_csc(),
    "bsr": lambda dense: dense.to_sparse_bsr((2, 4)),
    "bsc": lambda dense: dense.to_sparse_bsc((4, 2)),
}


def sparse(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, seed: int = 0, keep: float = 0.4) -> Any:
    """Whole numbers of both signs, and zeros, of both signs where the dtype has them."""
    rng = np.random.default_rng(seed)
    used = structured(rng, shape, keep)
    signs = 1 if dtype is torch.uint8 else rng.choice([-1.0, 1.0], shape)
    return torch.from_numpy(np.asarray(np.where(used, rng.integers(1, 9, shape), 0) * signs)).to(dtype)


def used(tensor: torch.Tensor) -> Any:
    return (tensor.to(torch.float64) != 0).numpy()


def lone(tensor: torch.Tensor) -> WeightSparsity:
    return ic.sparsity(tensor, threads=1).weights[0]


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """Torch warns that its sparse layouts and its quantization are being worked on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# --- tensors ---------------------------------------------------------------------------------------------------------


@settings(max_examples=examples(40))
@given(
    dtype=st.sampled_from((*FLOATS, *FNUZ, *INTEGERS, torch.bool)),
    shape=st.lists(st.integers(0, 140), max_size=2),
    seed=st.integers(0, 10**6),
    turned=st.booleans(),
)
def test_tensors_agree_with_torch(dtype: torch.dtype, shape: list[int], seed: int, turned: bool) -> None:
    tensor = sparse(tuple(shape), dtype, seed)
    if turned and tensor.dim() == 2:
        tensor = tensor.t()
    weight = lone(tensor)
    assert weight.figures == reference(used(tensor), tensor.nbytes)
    assert weight.figures.zeros == tensor.numel() - int(torch.count_nonzero(tensor.to(torch.float64)))
    assert weight.dtype == str(dtype).removeprefix("torch.")


def test_minus_zero_is_zero_and_nan_is_not() -> None:
    for dtype in FLOATS:
        tensor = torch.tensor([[0.0, -0.0, float("nan"), 1.0]]).to(dtype)
        assert lone(tensor).figures.zeros == 2, dtype


def test_channels_last_convolutions_are_seen_as_they_are_meant() -> None:
    tensor = sparse((70, 33, 3, 3))
    assert lone(tensor.to(memory_format=torch.channels_last)).figures == lone(tensor).figures


@pytest.mark.parametrize("seed", range(20))
def test_two_of_four_is_what_semi_structured_tensors_take(seed: int) -> None:
    """Its compression loses nothing exactly where every four in a row have two zeros."""
    from torch.sparse import SparseSemiStructuredTensorCUTLASS
    from torch.sparse._semi_structured_conversions import (
        sparse_semi_structured_from_dense_cutlass,
        sparse_semi_structured_to_dense_cutlass,
    )

    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(32, 64, generator=generator).to(torch.float16).reshape(-1, 4)
    order = torch.rand(dense.shape, generator=generator).argsort(1)
    kept = torch.full((len(dense),), 2)
    if seed % 2:
        kept[torch.randint(len(dense), (2,), generator=generator)] = 3
    dense = torch.where(order < kept[:, None], dense, 0.0).reshape(32, 64)
    packed, meta = sparse_semi_structured_from_dense_cutlass(dense)
    kept_all = torch.equal(sparse_semi_structured_to_dense_cutlass(packed, meta), dense)
    groups = next(g for g in lone(dense).figures.groups if g.label == "2:4")
    assert groups.holds == kept_all == (seed % 2 == 0)
    assert groups.satisfied == int(((dense.reshape(-1, 4) == 0).sum(1) >= 2).sum())
    if kept_all:
        weight = lone(SparseSemiStructuredTensorCUTLASS(dense.shape, packed, meta, None, None, None))
        assert weight.form == "semi_structured"
        assert weight.figures == reference(used(dense), packed.nbytes + meta.nbytes)


@pytest.mark.parametrize("form", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("window", [1, 2**26])
def test_sparse_layouts(form: str, dtype: torch.dtype, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "WINDOW_BYTES", window)
    dense = sparse((204, 68), dtype)
    tensor = LAYOUTS[form](dense)
    weight = lone(tensor)
    assert weight.form == form
    values = tensor._values() if form == "coo" else tensor.values()
    assert weight.figures == reference(used(dense), weight.figures.stored_bytes)
    assert weight.figures.stored_bytes > values.nbytes
    assert weight.magnitudes == lone(dense).magnitudes


def test_zeros_that_a_sparse_tensor_stores_are_zeros() -> None:
    tensor = torch.sparse_coo_tensor([[0, 1, 1], [0, 2, 2]], [0.0, 2.0, -2.0], (3, 4))
    weight = lone(tensor)
    assert weight.figures.zeros == 12
    assert weight.figures.stored_bytes == 3 * 4 + 6 * 8


@pytest.mark.parametrize("sparse_dim", [1, 2, 3])
def test_sparse_tensors_of_dense_slices(sparse_dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "WINDOW_BYTES", 2**12)
    dense = sparse((200, 5, 6))
    weight = lone(dense.to_sparse(sparse_dim))
    assert weight.figures == reference(used(dense), weight.figures.stored_bytes)


def test_empty_sparse_tensors() -> None:
    assert lone(torch.zeros(5, 6).to_sparse()).figures.zeros == 30
    assert lone(torch.zeros(0, 6).to_sparse()).figures.elements == 0
    assert lone(torch.zeros(6).to_sparse()).figures.zeros == 6


def test_quantized_tensors_are_zero_at_their_zero_point() -> None:
    tensor = torch.quantize_per_tensor(torch.relu(torch.randn(40, 24)), 0.05, 7, torch.quint8)
    weight = lone(tensor)
    assert (weight.form, weight.dtype, weight.note) == ("quantized", "uint8", "")
    assert weight.figures == reference(used(tensor.dequantize()), 960)
    points = torch.tensor([0, 3] * 20)
    channels = torch.quantize_per_channel(torch.randn(40, 24), torch.full((40,), 0.1), points, 0, torch.qint8)
    mixed = lone(channels)
    assert mixed.figures.zeros == int((channels.int_repr() == 0).sum())
    assert "zero points differ" in mixed.note


def test_tensors_without_memory_are_refused() -> None:
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        fake = torch.zeros(3, 4)
    with pytest.raises(SparsityError, match="FakeTensor has no readable memory"):
        ic.sparsity(fake)


def test_meta_tensors_and_complex_ones_are_refused() -> None:
    with pytest.raises(SparsityError, match="on the meta device and has no values"):
        ic.sparsity(torch.empty(3, 4, device="meta"))
    with pytest.raises(SparsityError, match="complex128"):
        ic.sparsity(torch.zeros(3, dtype=torch.complex128))


# --- modules ---------------------------------------------------------------------------------------------------------


def test_masks_of_pruning_are_applied() -> None:
    module = nn.Sequential(nn.Conv2d(4, 16, 3), nn.Linear(24, 12))
    prune.ln_structured(module[0], "weight", 0.25, 2, 0)
    prune.l1_unstructured(module[1], "weight", 0.5)
    before = Snapshot(module)
    result = ic.sparsity(module)
    assert not before.differences()
    for at in (0, 1):
        weight, kept = result[f"{at}.weight"], module[at].weight_orig
        assert weight.form == "mask"
        assert weight.figures == reference(used(module[at].weight.detach()), 2 * kept.nbytes)
    assert result["0.weight"].figures.zero_rows == 4
    assert {weight.name for weight in result.weights} == {"0.weight", "0.bias", "1.weight", "1.bias"}
    prune.remove(module[1], "weight")
    assert ic.sparsity(module)["1.weight"].form == "dense"
    assert ic.sparsity(module)["1.weight"].zero_share == 0.5


class Halved(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return torch.where(torch.arange(weight.shape[-1]) % 2 == 0, weight, 0.0)


class Drawn(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * (torch.rand_like(weight) < 0.5)


def test_parametrizations_are_computed_and_leave_no_trace() -> None:
    module = nn.Sequential(nn.Linear(16, 8), parametrizations.spectral_norm(nn.Linear(8, 8)), nn.Linear(8, 4))
    parametrize.register_parametrization(module[0], "weight", Halved())
    parametrize.register_parametrization(module[2], "weight", Drawn())
    before = Snapshot(module)
    result = ic.sparsity(module)
    assert not before.differences()
    assert result["0.weight"].form == result["1.weight"].form == "parametrization"
    assert result["0.weight"].figures == reference(used(module[0].weight.detach()), 16 * 8 * 4)
    assert result["0.weight"].figures.best_groups is not None
    assert 0.1 < result["2.weight"].zero_share < 0.9
    assert {weight.name for weight in result.weights} == {
        f"{i}.{name}" for i in range(3) for name in ("weight", "bias")
    }


def test_tied_weights_count_once() -> None:
    module = nn.ModuleDict({"embedding": nn.Embedding(10, 4), "head": nn.Linear(4, 10, bias=False)})
    module["head"].weight = module["embedding"].weight
    result = ic.sparsity(module)
    (row,) = result.weights
    assert (row.name, row.aliases) == ("embedding.weight", ("head.weight",))
    assert result["head.weight"] is row
    assert result.total.elements == 40
    shared = nn.Linear(4, 4)
    twice = ic.sparsity(nn.Sequential(shared, shared))
    assert [(w.name, w.aliases) for w in twice.weights] == [("0.weight", ("1.weight",)), ("0.bias", ("1.bias",))]


def test_packed_weights() -> None:
    linear = nn.Linear(32, 16)
    linear.weight.data = sparse((16, 32))
    module = torch.ao.quantization.quantize_dynamic(nn.Sequential(linear), {nn.Linear}, dtype=torch.qint8)
    result = ic.sparsity(module)
    held = module[0].weight()
    assert result["0.weight"].form == "quantized"
    assert result["0.weight"].figures == reference((held.int_repr() != held.q_zero_point()).numpy(), 16 * 32)
    assert result["0.bias"].figures.elements == 16


def test_torchao_weights() -> None:
    quantization = pytest.importorskip("torchao.quantization")
    module = nn.Sequential(nn.Linear(128, 64, bias=False))
    module[0].weight.data = sparse((64, 128))
    quantization.quantize_(module, quantization.Int8WeightOnlyConfig())
    (weight,) = ic.sparsity(module).weights
    held = module[0].weight
    stored = sum(getattr(held, name).nbytes for name in held.__tensor_flatten__()[0])
    assert (weight.form, weight.dtype, weight.shape) == ("quantized", "int8", (64, 128))
    assert weight.figures == reference((held.qdata != 0).numpy(), stored)


class Packed(torch.Tensor):
    """A weight of four bits in bytes or in tiles, as quantized subclasses keep them."""

    qdata: torch.Tensor
    scale: torch.Tensor
    zero_point: torch.Tensor

    @staticmethod
    def __new__(cls, qdata: torch.Tensor, zero: int, shape: tuple[int, ...]) -> Packed:
        make: Any = torch.Tensor._make_wrapper_subclass
        made: Packed = make(cls, shape, dtype=torch.float32)
        made.qdata, made.scale, made.zero_point = qdata, torch.ones(4), torch.full((4,), zero, dtype=torch.int8)
        return made

    def __tensor_flatten__(self) -> tuple[list[str], Any]:
        return ["qdata", "scale", "zero_point"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, torch.Tensor], context: Any, shape: Any, stride: Any) -> Packed:
        raise NotImplementedError

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.detach.default:
            return args[0]
        raise NotImplementedError(func)


@pytest.mark.parametrize("zero", [0, 8])
def test_four_bits_in_a_byte(zero: int) -> None:
    nibbles = torch.where(sparse((32, 64)) != 0, (zero + 3) % 16, zero).to(torch.uint8)
    packed = nibbles[:, 0::2] | nibbles[:, 1::2] << 4
    weight = lone(Packed(packed, zero, (32, 64)))
    stored = packed.nbytes + 16 + 4
    assert (weight.form, weight.note) == ("quantized", "")
    assert weight.figures == reference((nibbles != zero).numpy(), stored)
    tiles = packed.reshape(4, 8, 8, 4).transpose(1, 2).contiguous().view(torch.int32)
    tiled = lone(Packed(tiles, zero, (32, 64)))
    assert without_order(tiled.figures) == without_order(weight.figures)
    assert tiled.figures == Figures(elements=2048, zeros=weight.figures.zeros, stored_bytes=stored)
    assert "a kernel's own order" in tiled.note


def test_programs_and_archives_say_what_the_module_does(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    module[0].weight.data = sparse((16, 8))
    module[2].weight.data = sparse((16, 4)).t()
    expected = ic.sparsity(module)
    program = torch.export.export(module, (torch.randn(2, 8),))
    torch.export.save(program, tmp_path / "model.pt2")
    for found in (ic.sparsity(program), ic.sparsity(tmp_path / "model.pt2")):
        assert {w.name: w.figures for w in found.weights} == {w.name: w.figures for w in expected.weights}
        assert {w.name: w.magnitudes for w in found.weights} == {w.name: w.magnitudes for w in expected.weights}


def test_safetensors_say_what_the_module_does(tmp_path: Path) -> None:
    save_file = pytest.importorskip("safetensors.torch").save_file
    state = {str(dtype): sparse((33, 65), dtype) for dtype in (*FLOATS, *FNUZ, *INTEGERS, torch.bool)}
    save_file(state, tmp_path / "model.safetensors")
    found = ic.sparsity(tmp_path / "model.safetensors")
    assert {w.name for w in found.weights} == state.keys()
    for weight in found.weights:
        assert weight.figures == lone(state[weight.name]).figures, weight.name


def test_modules_without_weights_are_refused() -> None:
    with pytest.raises(SparsityError, match="ReLU has no weights to scan: it has no parameters"):
        ic.sparsity(nn.ReLU())
    with torch.device("meta"):
        module = nn.Linear(3, 4)
    with pytest.raises(SparsityError, match="weight: it is on the meta device"):
        ic.sparsity(module)
    mixed = nn.Sequential(nn.Linear(3, 4), module)
    result = ic.sparsity(mixed)
    assert [item.name for item in result.skipped] == ["1.weight", "1.bias"]
    assert "skipped: it is on the meta device" in str(result)
