"""The definitions that count themselves also compute what torch computes: a reference that is wrong is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.reference import Tally, attention, convolution, einsum, numbers, transposed_convolution, values
from support.reference_elements import POINTWISE, Definition
from support.reference_rows import REDUCTIONS, ROWS, layer_norm, rms_norm
from support.reference_special import FUNCTIONS, FUNCTIONS_OF_TWO, SPECIAL

pytestmark = pytest.mark.torch

# They draw random numbers, or take a shape that a row is not.
DRAWN = {"aten.dropout", "aten.native_dropout", "aten.feature_dropout", "aten.alpha_dropout", "aten.bernoulli"}
# A stand-in for a function has no value; `isreal` is true of what is finite here.
STAND_INS = {f"aten.{op}" for op in (*FUNCTIONS, *FUNCTIONS_OF_TWO, "mvlgamma", "special_multigammaln", "special_ndtr")}
STAND_INS |= {"aten.lcm", "aten.isposinf", "aten.isneginf", "aten.rad2deg"}
DRAWN |= {f"aten.{op}" for op in ("_fused_dropout", "feature_alpha_dropout", "rrelu", "rrelu_with_noise")}
OTHERWISE = {
    "_add_relu": lambda self, other: torch.relu(self + other),
    "_masked_scale": lambda self, mask, scale: self * mask * scale,
    "log_sigmoid_forward": F.logsigmoid,
}
REDUCED_OTHERWISE = {
    "logsumexp": lambda x: torch.logsumexp(x, 0),
    "special_logsumexp": lambda x: torch.logsumexp(x, 0),
    "linalg_vector_norm": torch.linalg.vector_norm,
    "linalg_norm": torch.linalg.norm,
    "linalg__powsum": lambda x: (x * x).sum(),
    "sum_to_size": lambda x: x.sum_to_size(()),
    "segment_reduce": torch.sum,
    "_is_all_true": torch.all,
    "_is_any_true": torch.any,
    "_aminmax": torch.aminmax,
    "equal": lambda x: torch.tensor(torch.equal(x, torch.full_like(x, 0.5))),
    "allclose": lambda x: torch.tensor(torch.allclose(x, torch.full_like(x, 0.5))),
    **dict.fromkeys(("linalg_matrix_norm", "frobenius_norm", "native_norm", "norm_except_dim"), torch.norm),
}
BOOLEAN = {"__and__", "__or__", "__xor__", "__iand__", "__ior__", "__ixor__"}


def real(array: Any) -> torch.Tensor:
    return torch.from_numpy(values(array))


def named(definition: Definition) -> str:
    return "-".join([definition.op.removeprefix("aten."), *map(str, definition.attributes.values())])


@pytest.mark.parametrize(
    "definition", [d for d in (*POINTWISE, *SPECIAL) if d.op not in DRAWN | STAND_INS and "fake" not in d.op], ids=named
)
def test_pointwise(definition: Definition) -> None:
    tally = Tally()
    operands = {name: numbers(tally, (8,), seed) for seed, name in enumerate(definition.tensors)}
    tensors = {name: real(array) for name, array in operands.items()}
    name = definition.op.removeprefix("aten.")
    if name.startswith(("logical", "bitwise")) or name in BOOLEAN:
        tensors = {key: tensor > 0.5 for key, tensor in tensors.items()}
        for key, array in operands.items():
            for scalar, value in zip(array, tensors[key].tolist(), strict=True):
                scalar.value = value
    for condition in ("condition", "mask"):
        if condition in tensors:
            tensors[condition] = tensors[condition] > 0.5
            for scalar, value in zip(operands[condition], tensors[condition].tolist(), strict=True):
                scalar.value = value
    result = [definition(*elements) for elements in zip(*operands.values(), strict=True)]
    name = name.removesuffix(".other")
    if name == "glu":  # both halves in one tensor
        tensors = {"self": torch.cat([tensors["self"], tensors["gate"]])}
    if name == "rsub":
        expected = torch.rsub(tensors["self"], tensors["other"])
    elif name in {"prelu", "_prelu_kernel"}:
        expected = F.prelu(tensors["self"].reshape(1, 8), tensors["weight"])[0]
    elif name in OTHERWISE:
        expected = OTHERWISE[name](*tensors.values(), **definition.attributes)
    elif name in {"where", "fmod", "true_divide"}:
        expected = getattr(torch, name)(*tensors.values())
    else:
        expected = getattr(torch.ops.aten, name)(*tensors.values(), **definition.attributes)
    np.testing.assert_allclose(values(result), expected.double().numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("op", [op for op in REDUCTIONS if op not in {"aten.histc", "aten.bincount"}])
def test_reductions(op: str) -> None:
    row = numbers(Tally(), (6,))
    result = REDUCTIONS[op](row)
    tensor = real(row)
    name = op.removeprefix("aten.")
    if name in {"any", "all"}:
        expected = getattr(torch, name)(tensor)
    elif name in REDUCED_OTHERWISE:
        expected = REDUCED_OTHERWISE[name](tensor)
    elif name.startswith("arg"):
        expected = tensor[getattr(torch, name)(tensor)]
    elif name in {"var_mean", "std_mean"}:
        expected = getattr(torch, name)(tensor)[0]
    else:
        expected = getattr(torch, name)(tensor)
    expected = torch.stack(list(expected)) if isinstance(expected, tuple) else expected
    got = values(result) if not isinstance(result, tuple) else values(np.array(result, dtype=object))
    if name.startswith("std"):
        got = np.sqrt(got)  # the root of the variance is taken once for the row
    np.testing.assert_allclose(got, expected.double().numpy(), rtol=1e-9)


@pytest.mark.parametrize("op", [op for op in ROWS if op != "aten.multinomial"])  # draws
def test_rows(op: str) -> None:
    row = numbers(Tally(), (6,))
    name = op.removeprefix("aten.").removeprefix("special_").removeprefix("_safe").removeprefix("_")
    if name.startswith(("weight_norm", "renorm")):
        expected = real(row) * (2.0 / torch.linalg.vector_norm(real(row)))
    else:
        expected = getattr(torch, name)(real(row), dim=0)
    expected = expected if isinstance(expected, torch.Tensor) else expected[0]
    np.testing.assert_allclose(values(ROWS[op](row)), expected.numpy(), rtol=1e-9)


def test_norms() -> None:
    tally = Tally()
    x, weight, bias = numbers(tally, (6,)), numbers(tally, (6,), 1), numbers(tally, (6,), 2)
    expected = F.layer_norm(real(x), (6,), real(weight), real(bias), 1e-5)
    np.testing.assert_allclose(values(layer_norm(x, weight, bias)), expected.numpy(), rtol=1e-9)
    expected = F.rms_norm(real(x), (6,), real(weight), 1e-5)
    np.testing.assert_allclose(values(rms_norm(x, weight)), expected.numpy(), rtol=1e-9)


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 1, 2), (1, 2, 2, 4)])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.sample(4)
def test_convolutions(axes: int, stride: int, padding: int, dilation: int, groups: int) -> None:
    tally = Tally()
    given: dict[str, Any] = {
        "stride": (stride,) * axes,
        "padding": (padding,) * axes,
        "dilation": (dilation,) * axes,
        "groups": groups,
    }
    x, weight = numbers(tally, (2, 4, *(5,) * axes)), numbers(tally, (4, 4 // groups, *(2,) * axes))
    expected = getattr(F, f"conv{axes}d")(real(x), real(weight), **given)
    np.testing.assert_allclose(values(convolution(x, weight, **given)), expected.numpy(), rtol=1e-9)
    extra = (stride - 1,) * axes
    expected = getattr(F, f"conv_transpose{axes}d")(real(x), real(weight), output_padding=extra, **given)
    got = transposed_convolution(x, weight, output_padding=extra, **given)
    np.testing.assert_allclose(values(got), expected.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("heads", [4, 2])
@pytest.mark.parametrize("causal", [False, True])
def test_attention(heads: int, causal: bool) -> None:
    tally = Tally()
    q, k, v = numbers(tally, (2, 4, 3, 2)), numbers(tally, (2, heads, 5, 2)), numbers(tally, (2, heads, 5, 3))
    mask = None if causal else numbers(tally, (3, 5), 1)
    got = attention(q, k, v, mask=mask, seen=(lambda row, column: column <= row) if causal else None)
    real_mask = None if mask is None else real(mask)
    expected = F.scaled_dot_product_attention(
        real(q), real(k), real(v), real_mask, is_causal=causal, enable_gqa=heads != 4
    )
    np.testing.assert_allclose(values(got), expected.numpy(), rtol=1e-9)


@pytest.mark.parametrize(
    "equation",
    ["ij,jk->ik", "bhid,bhjd->bhij", "bii,bi->b", "i,j->ij", "ij,jk,kl->li", "bi,bj,ijk->bk", "ij,k->ik", "ii,ij->j"],
)
def test_einsum(equation: str) -> None:
    tally = Tally()
    lengths = dict(zip("bhdijkl", (2, 3, 2, 3, 4, 2, 3), strict=True))
    operands = [
        numbers(tally, [lengths[c] for c in part], i)
        for i, part in enumerate(equation.split("->", maxsplit=1)[0].split(","))
    ]
    expected = torch.einsum(equation, *map(real, operands))
    np.testing.assert_allclose(values(einsum(equation, *operands)), expected.numpy(), rtol=1e-9)
