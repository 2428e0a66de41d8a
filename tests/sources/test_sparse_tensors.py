"""Products with sparse matrices: every stored value is multiplied once per column, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import pyinfercost as ic
from pyinfercost.sources.trace.trace import CaptureError

ROWS, INNER, COLUMNS = 12, 20, 7
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:Sparse")]


def matrix() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    dense = torch.randn(ROWS, INNER, generator=generator)
    return dense * (torch.rand(ROWS, INNER, generator=generator) < 0.2)


LAYOUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "coo": lambda dense: dense.to_sparse(),
    "csr": lambda dense: dense.to_sparse_csr(),
    "csc": lambda dense: dense.to_sparse_csc(),
    "bsr": lambda dense: dense.to_sparse_bsr((4, 4)),
}


def places(sparse: torch.Tensor) -> list[tuple[int, int]]:
    """Where values are stored: those of a block are, zero or not."""
    if sparse.layout is torch.sparse_bsr:
        height, width = sparse.values().shape[1:]
        found = []
        for row in range(len(sparse.crow_indices()) - 1):
            for at in range(int(sparse.crow_indices()[row]), int(sparse.crow_indices()[row + 1])):
                column = int(sparse.col_indices()[at])
                found += [(row * height + i, column * width + j) for i in range(height) for j in range(width)]
        return found
    return [tuple(place) for place in sparse.to_dense().nonzero().tolist()]


def work_of(sparse: torch.Tensor, dense: torch.Tensor) -> tuple[int, torch.Tensor]:
    """FLOPs of `sparse @ dense`, counted while it is carried out."""
    values = sparse.to_dense()
    flops = 0
    result = torch.zeros(ROWS, dense.shape[1])
    for row, inner in places(sparse):
        for column in range(dense.shape[1]):
            result[row, column] += values[row, inner] * dense[inner, column]
            flops += 2
    return flops, result


class Product(nn.Module):
    def __init__(self, run: Callable[[torch.Tensor, torch.Tensor], Any], sparse: torch.Tensor) -> None:
        super().__init__()
        self.run = run
        self.register_buffer("sparse", sparse)

    def forward(self, dense: torch.Tensor) -> Any:
        return self.run(self.sparse, dense)


PRODUCTS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "sparse.mm": torch.sparse.mm,
    "mm": torch.mm,
    "@": lambda a, b: a @ b,
    "addmm": lambda a, b: torch.addmm(torch.zeros(ROWS, COLUMNS), a, b),
    "sparse.addmm": lambda a, b: torch.sparse.addmm(torch.zeros(ROWS, COLUMNS), a, b),
    "linear": lambda a, b: nn.functional.linear(b.t(), a).t(),
    "on the right": lambda a, b: (b.t() @ a.t()).t(),
    "scaled": lambda a, b: (a * 2.0) @ b,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products(layout: str, name: str) -> None:
    sparse, dense = LAYOUTS[layout](matrix()), torch.randn(INNER, COLUMNS)
    flops, expected = work_of(sparse, dense)
    run = PRODUCTS[name]
    scale = 2.0 if name == "scaled" else 1.0
    torch.testing.assert_close(run(sparse, dense), expected * scale)  # the reference is the same product
    graph = ic.capture(Product(run, sparse), (dense,))
    counts = ic.count(graph)
    assert counts.total.contraction_flops == flops
    assert not counts.unmodelled
    assert graph.outputs[0].shape == (ROWS, COLUMNS)
    assert ic.Graph.from_json(graph.to_json()) == graph
    assert counts.total.buffer_bytes == sum(part.nbytes for part in stored_parts(sparse))


def stored_parts(sparse: torch.Tensor) -> list[torch.Tensor]:
    if sparse.layout is torch.sparse_coo:
        return [sparse._values(), sparse._indices()]
    if sparse.layout is torch.sparse_csc:
        return [sparse.values(), sparse.ccol_indices(), sparse.row_indices()]
    return [sparse.values(), sparse.crow_indices(), sparse.col_indices()]


def test_a_vector() -> None:
    sparse = matrix().to_sparse_csr()
    counts = ic.count(ic.capture(Product(torch.mv, sparse), (torch.randn(INNER),)))
    assert counts.total.contraction_flops == 2 * sparse.values().numel()


def test_a_sampled_product_makes_the_stored_places_alone() -> None:
    sparse = matrix().to_sparse_csr()

    def sampled(places: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
        return torch.sparse.sampled_addmm(places, left, torch.zeros(5, INNER))

    graph = ic.capture(Product(sampled, sparse), (torch.randn(ROWS, 5),))
    assert ic.count(graph).total.contraction_flops == 2 * 5 * sparse.values().numel()


def test_batches_have_values_of_their_own() -> None:
    sparse = torch.stack([matrix(), matrix() * (matrix() > 0)]).to_sparse()
    counts = ic.count(ic.capture(Product(torch.bmm, sparse), (torch.randn(2, INNER, COLUMNS),)))
    assert counts.total.contraction_flops == 2 * sparse._values().numel() * COLUMNS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_input_and_what_is_read(layout: str) -> None:
    """Values, indices and the dense operand are read once, the result is written."""

    class Two(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a @ b

    sparse, dense = LAYOUTS[layout](matrix()), torch.randn(INNER, COLUMNS)
    graph = ic.capture(Two(), (sparse, dense))
    (layer,) = ic.count(graph).layers
    assert layer.work.bytes_read == dense.nbytes + sum(part.nbytes for part in stored_parts(sparse))
    assert layer.work.bytes_written == ROWS * COLUMNS * 4
    assert [t.name.partition("[")[0] for t in graph.inputs] == ["arg0"] * (len(graph.inputs) - 1) + ["arg1"]


@pytest.mark.parametrize("layout", ["coo", "csr"])
def test_made_in_the_forward(layout: str) -> None:
    class Graph(nn.Module):
        def forward(self, parts: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
            if layout == "coo":
                return torch.sparse.mm(torch.sparse_coo_tensor(parts[1], parts[0], (ROWS, INNER)), x)
            return torch.sparse_csr_tensor(parts[1], parts[2], parts[0], (ROWS, INNER)) @ x

    sparse, dense = LAYOUTS[layout](matrix()), torch.randn(INNER, COLUMNS)
    counts = ic.count(ic.capture(Graph(), (stored_parts(sparse), dense)))
    assert counts.total.contraction_flops == work_of(sparse, dense)[0]
    assert not counts.unmodelled


def test_results_that_stay_sparse() -> None:
    sparse = matrix().to_sparse()
    graph = ic.capture(Product(lambda a, b: torch.sparse.softmax(a, 1) * b.sum(), sparse), (torch.randn(3),))
    counts = ic.count(graph)
    assert counts.layers[0].work.bytes_written == sparse._values().nbytes
    assert not counts.unmodelled


def test_a_dense_form_is_a_dense_product() -> None:
    sparse, dense = matrix().to_sparse_csr(), torch.randn(INNER, COLUMNS)
    counts = ic.count(ic.capture(Product(lambda a, b: a.to_dense() @ b, sparse), (dense,)))
    assert counts.total.contraction_flops == 2 * ROWS * INNER * COLUMNS


def test_a_product_of_two_sparse_matrices_is_refused() -> None:
    """Its work depends on where the values lie."""
    with pytest.raises(CaptureError, match=r"no rule for aten.* on a sparse tensor; expected a product with a dense"):
        ic.capture(Product(lambda a, _: torch.sparse.mm(a, a.t()), matrix().to_sparse()), (torch.randn(1),))
