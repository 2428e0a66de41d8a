"""Tensors of torch: `sparsity` of dense, sparse, quantized and odd ones."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pyinfercost as ic

from ..door import Door, Figure
from ..values import Value
from .figures import of_sparsity

_KINDS = (
    "float32",
    "float16",
    "bfloat16",
    "float64",
    "int8",
    "uint8",
    "int64",
    "bool",
    "complex64",
    "float8_e4m3fn",
    "uint16",
    "bits8",
    "complex32",
    "float8_e8m0fnu",
    "float4_e2m1fn_x2",
)
_FORMS = (
    "dense",
    "dense",
    "strided",
    "coo",
    "csr",
    "csc",
    "bsr",
    "quantized",
    "expanded",
    "meta",
    "nested",
    "conj",
    "neg",
    "parameter",
    "empty_storage",
    "subclass",
)


class Tensors(Door):
    """`sparsity` of a tensor in memory."""

    share = 20_000
    libraries = ("torch",)

    def draw(self, random: Random) -> Value:
        """Return the form, the dtype and the shape of a tensor."""
        return {
            "form": random.choice(_FORMS),
            "dtype": random.choice(_KINDS[:6] if random.random() < 0.6 else _KINDS),
            "shape": [random.choice((0, 1, 2, 3, 4, 8, 16)) for _ in range(random.choice((0, 1, 2, 2, 2, 3, 4, 5)))],
            "strides": [random.choice((0, 1, 2, 3, 7)) for _ in range(5)],
            "fill": random.choice((0, 0, 1, 255)),
            "threads": random.choice((1, 2)),
        }

    def run(self, value: Value) -> Iterator[Figure]:
        """Make the tensor and scan it."""
        try:
            tensor = _tensor(value)
        except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError):
            return  # torch makes no such tensor
        yield from of_sparsity(ic.sparsity(tensor, threads=value["threads"]))


def _tensor(value: Value) -> Value:
    import torch

    shape, form = value["shape"], value["form"]
    dtype = getattr(torch, value["dtype"])
    bytes_each = dtype.itemsize
    elements = 1
    for length in shape:
        elements *= length
    data = torch.full((max(1, elements) * bytes_each,), value["fill"], dtype=torch.uint8)
    data[::3] = 0
    dense = data.view(dtype)[:elements].reshape(shape)
    if form == "strided":
        strides = value["strides"][: len(shape)]
        reach = 1 + sum(step * (length - 1) for step, length in zip(strides, shape, strict=True) if length)
        return torch.zeros(max(1, reach), dtype=torch.float32).to(dtype).as_strided(shape, strides)
    if form in ("coo", "csr", "csc"):
        return getattr(dense, f"to_sparse_{form}" if form != "coo" else "to_sparse")()
    if form == "bsr":
        return dense.to_sparse_bsr((2, 2))
    if form == "quantized":
        return torch.quantize_per_tensor(dense.float(), 0.1, 3, torch.qint8)
    if form == "expanded":
        return dense.unsqueeze(0).expand(3, *shape)
    if form == "meta":
        return dense.to("meta")
    if form == "nested":
        return torch.nested.nested_tensor([dense, dense])
    if form == "conj":
        return dense.conj()
    if form == "neg":
        return torch._neg_view(dense)
    if form == "parameter":
        return torch.nn.Parameter(dense, requires_grad=False)
    if form == "empty_storage":
        dense = dense.clone()
        dense.untyped_storage().resize_(0)
        return dense
    if form == "subclass":
        return dense.as_subclass(type("Marked", (torch.Tensor,), {}))
    return dense
