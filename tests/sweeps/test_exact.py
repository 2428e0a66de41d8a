"""A point has one result, independent of instruction set, threads, chunk, and other points."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from support.toy_graphs import blocks, transformer

import pyinfercost as ic
from pyinfercost import _core
from pyinfercost.sweeps.columns import QUANTITIES
from pyinfercost.sweeps.spec import COMPUTED

MACHINES = ["a100-sxm-80gb", "h100-sxm-80gb", "t4", "epyc-7763", "xeon-8480+", "tpu-v5e"]
PRECISIONS = ["fp32", "fp16", "int8"]
SIMD = _core.simd_levels()


@pytest.fixture(scope="module", params=[blocks, transformer])
def graph(request: pytest.FixtureRequest) -> ic.Graph:
    return request.param()


def axes_of(graph: ic.Graph) -> list[tuple[str, np.ndarray, int]]:
    """Every batch from 1 to 600, and some lengths where the graph has any."""
    batch = np.arange(1, 601)
    if "sequence" not in graph.sizes:
        return [("batch", batch, 1)]
    return [("batch", batch, 4), ("sequence", np.asarray([1, 7, 64, 333]), 1)]


def evaluated(
    graph: ic.Graph, machine: str, precision: str, execution: str, *, cuts: tuple[int, ...] = (), **options: Any
) -> dict[str, np.ndarray]:
    """All points of `axes_of`, in stretches that end at the cuts."""
    family = _core.PlanFamily(graph, precision=precision, execution=execution)
    axes = axes_of(graph)
    points = int(np.prod([len(values) for _, values, _ in axes]))
    out = {name: np.full(points, np.nan) for name in COMPUTED}
    bounds = [0, *cuts, points]
    for first, last in pairwise(bounds):
        part = {name: column[first:last] for name, column in out.items()}
        _core.evaluate_grid(
            family, axes, ic.hardware.load(machine), first=first, points=last - first, out=part, **options
        )
    return out


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for name in COMPUTED:
        unknown = np.isnan(one[name])
        assert not unknown.any() or (name == "energy_j" and unknown.all()), name  # a machine whose power is not known
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("execution", _core.executions())
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("machine", MACHINES)
def test_instruction_sets_agree_to_the_last_bit(graph: ic.Graph, machine: str, precision: str, execution: str) -> None:
    first, *others = [evaluated(graph, machine, precision, execution, simd=simd) for simd in SIMD]
    for other in others:
        assert_same(first, other)


@pytest.mark.parametrize("machine", MACHINES)
def test_stretches_and_threads_do_not_matter(graph: ic.Graph, machine: str) -> None:
    whole = evaluated(graph, machine, "fp16", "eager")
    assert_same(whole, evaluated(graph, machine, "fp16", "eager", cuts=(1, 2, 5, 255, 256, 257, 511, 599)))
    assert_same(whole, evaluated(graph, machine, "fp16", "eager", cuts=(300,), threads=3))


def convolution() -> ic.Graph:
    """A 3x3 convolution of 64 channels, which has Winograd's algorithms beside tiles."""
    builder = ic.GraphBuilder("convolution")
    batch = builder.size("batch", default=2)
    x = builder.tensor("float32", (batch, 64, 28, 28), role="input", name="x")
    weight = builder.tensor("float32", (64, 64, 3, 3), role="parameter", name="weight")
    y = builder.tensor("float32", (batch, 64, 28, 28))
    arguments = {"input": x, "weight": weight, "stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "groups": 1}
    builder.node("aten.conv2d.default", arguments, [y], module="conv")
    return builder.build([x], [y])


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("make", [transformer, convolution])
def test_neighbors_do_not_matter(make: Callable[[], ic.Graph], machine: str, precision: str) -> None:
    """Points that keep all cores busy take shortcuts together; beside small ones each of them takes the long way."""
    graph = make()
    family, hardware = _core.PlanFamily(graph, precision=precision), ic.hardware.load(machine)
    batches = np.unique(np.geomspace(2, 2_000_000, 1500).astype(np.int64))

    def at(values: np.ndarray) -> dict[str, np.ndarray]:
        axes = [("batch", values, 1), ("sequence", np.asarray([48]), 1)]
        out = {name: np.full(len(values), np.nan) for name in COMPUTED}
        _core.evaluate_grid(
            family, [axis for axis in axes if axis[0] in graph.sizes], hardware, first=0, points=len(values), out=out
        )
        return out

    beside_small_ones = at(np.stack([batches, np.full_like(batches, 2)], axis=1).ravel())
    assert_same(at(batches), {name: column[::2] for name, column in beside_small_ones.items()})


def test_many_threads_give_what_one_gives() -> None:
    graph, points = blocks(), 200_000
    out = []
    for threads in (1, 2, 5):
        columns = {name: np.empty(points) for name in COMPUTED}
        axes = [("batch", np.arange(1, 4097), 1)]
        machine = ic.hardware.load("a100-sxm-80gb")
        _core.evaluate_grid(
            _core.PlanFamily(graph), axes, machine, first=77, points=points, out=columns, threads=threads
        )
        out.append(columns)
    assert_same(out[0], out[1])
    assert_same(out[0], out[2])


SAMPLE = int(os.environ.get("PYINFERCOST_SAMPLE", "300"))
"""Points that are compared with `estimate`; the benchmark compares 10,000."""


@pytest.mark.sample(1)
def test_points_of_a_sweep_are_what_estimates_say(graph: ic.Graph) -> None:
    sizes = {"batch": range(1, 301), **({"sequence": [1, 2, 64, 333]} if "sequence" in graph.sizes else {})}
    grid = ic.sweep(
        graph,
        hardware=MACHINES,
        precision=PRECISIONS,
        execution=_core.executions(),
        devices=[1, 2, 3],
        scale={"bandwidth": [1.0, 1.5], "cores": [0.5, 1.0]},
        **sizes,
    )
    rows = np.random.default_rng(4).choice(len(grid), SAMPLE, replace=False)
    for point in grid.take(rows).to_rows():
        machine = ic.hardware.load(point["hardware"]).scaled(
            bandwidth=point["bandwidth_scale"], cores=point["cores_scale"]
        )
        way = {name: point[name] for name in ("precision", "execution", "devices", *sizes)}
        estimate = ic.estimate(graph, hardware=machine, **way)
        for name in QUANTITIES:
            if name == "peak_memory_bytes":
                continue
            expected = (
                estimate.bound_shares[name[:-2]] if name[:-2] in estimate.bound_shares else getattr(estimate, name)
            )
            if name[:-2] in estimate.bound_shares:
                total = sum(point[f"{bound}_s"] for bound in estimate.bound_shares)
                assert point[name] / total == expected, (name, point)
            elif name == "fits_in_memory" and expected is None:  # the owner of the machine chooses its memory
                assert (point[name], point["machine_memory_bytes"]) == (True, None), (name, point)
            elif expected is None:
                assert point[name] is None, (name, point)
            else:
                assert point[name] == expected, (name, point)


def test_columns_are_what_numpy_makes_of_the_axes() -> None:
    graph = transformer()
    grid = ic.sweep(
        graph, hardware=["t4", "l4"], scale={"compute": [1, 2]}, devices=[1, 4], batch=[3, 1, 2], sequence=[8, 16]
    )
    meshes = np.meshgrid([0, 1], [1.0, 2.0], [1, 4], [3, 1, 2], [8, 16], indexing="ij")
    for name, mesh in zip(("hardware", "compute_scale", "devices", "batch", "sequence"), meshes, strict=True):
        expected = np.asarray(["t4", "l4"])[mesh] if name == "hardware" else mesh
        np.testing.assert_array_equal(grid[name], expected.ravel())
    np.testing.assert_array_equal(grid.take(np.asarray([5, 0]))["batch"], grid["batch"][[5, 0]])
